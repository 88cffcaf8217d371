"use strict";
// Tables: each heading is a button that sorts by its column, by value where cells have one.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = element("button", { type: "button" }, heading.textContent);
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") !== "descending" && column > 0
        || heading.getAttribute("aria-sort") === "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => {
        const cell = row.cells[column], given = cell.dataset.value;
        if (given === undefined) return cell.textContent;
        return given === "" ? null : Number(given);
      };
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [left, right] = [value(a), value(b)];
        if (left === null || right === null) return (left === null) - (right === null);
        const order = typeof left === "number" ? left - right : left.localeCompare(right);
        return down ? -order : order;
      });
      table.tBodies[0].append(...rows);
    });
  });
}
for (const input of document.querySelectorAll("input[data-filters]")) {
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase();
    for (const row of document.getElementById(input.dataset.filters).tBodies[0].rows)
      row.hidden = !row.cells[0].textContent.toLowerCase().includes(words);
  });
}

// Figures with several views show one.
for (const figure of document.querySelectorAll("figure[data-views]")) {
  const select = figure.querySelector("select"), views = figure.querySelectorAll(".view");
  select.addEventListener("change", () => views.forEach((view, place) => { view.hidden = place !== select.selectedIndex; }));
}

// Gallery.
const data = JSON.parse(document.getElementById("data").textContent);
const form = document.querySelector("#gallery form"), place = document.querySelector("#gallery .cards");
const dialog = document.querySelector("dialog");
let shown = [], opened = 0;

const options = (select, pairs) => select.replaceChildren(...pairs.map(([value, text]) => element("option", { value }, text)));
options(form.method, data.methods.map((name, index) => [index, name]));
options(form.group, [["", "all shown here"], ...Object.entries(data.groups)]);
options(form.kind, [["", "all kinds"], ...data.kinds.map((kind) => [kind, kind])]);
options(form.sort, [["score", "score"], ["id", "ID"], ...data.columns.map((name) => ["all." + name, "p of " + name])]);
form.group.value = "most";
form.kind.parentElement.hidden = data.kinds.length === 0;
form.method.parentElement.hidden = data.methods.length < 2;

const label = (card) => {
  const kind = card.kind === undefined ? "" : `, ${card.kind}`;
  const p = card.p === undefined ? "" : `, p ${number(card.p, 2)}`;
  return `image ${card.id}${kind}, score ${number(card.score)}${p}, rank ${card.rank} of ${data.total}`;
};
const picture = (card) => {
  const parts = card.wide ? "image, reconstruction and error map of " : "";
  const image = element("img", { src: card.src, alt: parts + label(card), width: card.wide ? 192 : 64, height: 64 });
  if (!card.wide) image.className = "single";
  return image;
};
const tag = (card) => {
  if (card.kind === undefined) return "";
  return element("b", { class: card.anomalous ? "tag bad" : "tag normal" }, card.kind);
};

function draw() {
  const key = form.sort.value, up = form.order.value === "up";
  const value = (card) => {
    if (key === "score") return card.score;
    if (key === "id") return up ? card.id : -card.id;  // in the order of the IDs either way
    return -((card.all || {})[key.slice(4)] ?? 2);
  };
  shown = data.cards.filter((card) => card.method === Number(form.method.value)
    && (!form.group.value || card.groups.includes(form.group.value))
    && (!form.kind.value || card.kind === form.kind.value)
    && (!form.low.value || card.score >= Number(form.low.value))
    && (!form.high.value || card.score <= Number(form.high.value)));
  shown.sort((a, b) => (up ? 1 : -1) * (value(a) - value(b)) || a.id - b.id);
  place.replaceChildren(...shown.map((card, index) => {
    const button = element("button", { type: "button", class: "card" }, picture(card),
      words(element("b", {}, `#${card.id}`), tag(card), `score ${number(card.score)}`,
        card.p === undefined ? "" : `p ${number(card.p, 2)}`));
    button.addEventListener("click", () => open(index));
    return button;
  }));
  const all = data.totals[form.method.value]?.[form.group.value], of = all ?? data.total;
  const what = all === undefined ? "test images" : data.groups[form.group.value];
  form.querySelector("output").textContent = `${shown.length.toLocaleString("en")} of ${of.toLocaleString("en")} ${what}`;
}

function open(index) {
  opened = (index + shown.length) % shown.length;
  const card = shown[opened], focused = document.activeElement?.dataset?.step;
  const button = (text, step) => {
    const made = element("button", { type: "button", class: "plain" }, text);
    made.addEventListener("click", () => (step ? open(opened + step) : dialog.close()));
    made.dataset.step = step;
    return made;
  };
  const names = card.wide ? ["image", "reconstruction", "error"].map((name) => element("span", {}, name)) : [];
  dialog.replaceChildren(
    element("div", { class: "bar" }, button("← before", -1), button("close", 0), button("next →", 1)),
    element("h2", { id: "dialog-title" }, label(card)), picture(card), element("p", { class: "names" }, ...names),
    ...(card.map ? [element("p", { class: "hint" }, "Where the score comes from:"),
      element("img", { src: card.map, alt: `where the score of image ${card.id} comes from`, class: "single" })] : []),
    ...reasons(card));
  if (!dialog.open) dialog.showModal();
  dialog.querySelector(`[data-step="${focused ?? 0}"]`)?.focus();  // the button that had the focus was replaced
}
document.addEventListener("keydown", (event) => {
  if (!dialog.open) return;
  if (event.key === "ArrowRight") open(opened + 1);
  if (event.key === "ArrowLeft") open(opened - 1);
});
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => place.children[opened]?.focus());
form.addEventListener("change", (event) => {
  if (event.target === form.group) form.order.value = ["least", "misses"].includes(form.group.value) ? "up" : "down";
  draw();
});
form.addEventListener("submit", (event) => event.preventDefault());
draw();
