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
let shown = [], listed = [], opened = 0;  // the cards of the gallery; those that the dialog steps through, and its place

options(form.method, data.methods.map((name, index) => [index, name]));
options(form.group, [["", "all shown here"], ...Object.entries(data.groups)]);
options(form.kind, [["", "all kinds"], ...data.kinds.map((kind) => [kind, kind])]);
options(form.sort, [["score", "score"], ["id", "ID"], ...data.columns.map((name) => ["all." + name, "p of " + name])]);
form.group.value = "most";
form.kind.parentElement.hidden = data.kinds.length === 0;
form.method.parentElement.hidden = data.methods.length < 2;

const label = (card) => {
  const kind = card.kind === undefined ? "" : `, ${card.kind}`;
  const p = card.p === undefined ? "" : `, ${rare(card.p, data.normals[card.method])}`;
  const file = card.file === undefined ? "" : ` (${card.file})`;
  return `image ${card.id}${file}${kind}, score ${number(card.score)}${p}, rank ${card.rank.toLocaleString("en")} of ${data.total.toLocaleString("en")}`;
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

// The pictures of an image and, where it has one, the map of its score.
const looks = (card) => element("div", { class: "looks" }, picture(card),
  ...(card.map ? [element("img", { src: card.map, alt: `where the score of image ${card.id} comes from`, class: "map" })] : []));

function tile(card, action, pictures = picture) {
  const button = element("button", { type: "button", class: "card" }, pictures(card),
    words(element("b", {}, `#${card.id}`), tag(card), `score ${number(card.score)}`,
      card.p === undefined ? "" : rare(card.p, data.normals[card.method])));
  button.append(...fileName(card.file));
  button.addEventListener("click", action);
  return button;
}

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
  place.replaceChildren(...shown.map((card, index) => tile(card, () => open(index, shown))));
  const all = data.totals[form.method.value]?.[form.group.value], many = (count) => count.toLocaleString("en");
  const which = form.group.value === "misses" ? `nearest to the threshold${data.kinds.length > 2 ? ", kinds in turn" : ""}` : "highest scores";
  const cards = data.cards.filter((card) => card.method === Number(form.method.value)).length;
  form.querySelector("output").textContent = all === undefined || form.kind.value || form.low.value || form.high.value
    ? `${many(shown.length)} of the ${many(cards)} images on this page (${many(data.total)} were scored)`
    : `${many(all)} ${data.groups[form.group.value]}${shown.length < all ? `; ${many(shown.length)} are shown: the ${which}` : ""}`;
}

// The command that explains an image; a comparison has none, since it is of several runs.
const explain = (id, what) => (data.explain ? [element("p", { class: "hint" }, element("code", {}, `${data.explain} ${id}`), ` ${what}.`)] : []);

function open(index, of) {
  [listed, opened] = [of, (index + of.length) % of.length];
  const card = of[opened], focused = document.activeElement?.dataset?.step;
  const button = (text, step) => {
    const made = element("button", { type: "button", class: "plain" }, text);
    made.addEventListener("click", () => (step ? open(opened + step, of) : dialog.close()));
    made.dataset.step = step;
    return made;
  };
  const names = [...(card.wide ? ["image", "reconstruction", "error"] : card.map ? ["image"] : []), ...(card.map ? ["where the score comes from"] : [])];
  dialog.replaceChildren(
    element("div", { class: "bar" }, button("← previous", -1), button("close", 0), button("next →", 1)),
    element("h2", { id: "dialog-title" }, (data.methods.length > 1 ? `${data.methods[card.method]}: ` : "") + label(card)),
    looks(card),
    element("p", { class: "names" }, ...names.map((name) => element("span", {}, name))), ...(card.map ? [] : explain(card.id, "draws where its score comes from")),
    ...inWords(card), ...reasons(card, data.normals[card.method]));
  if (!dialog.open) dialog.showModal();
  dialog.querySelector(`[data-step="${focused ?? 0}"]`)?.focus();  // the button that had the focus was replaced
}
document.addEventListener("keydown", (event) => {
  if (!dialog.open || !listed.length) return;
  if (event.key === "ArrowRight") open(opened + 1, listed);
  if (event.key === "ArrowLeft") open(opened - 1, listed);
});
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => { if (listed === shown) place.children[opened]?.focus(); });
form.addEventListener("change", (event) => {
  if (event.target === form.group) {
    const lowest = form.group.value === "least" || (form.group.value === "misses" && !data.totals[form.method.value]?.misses);
    form.order.value = lowest ? "up" : "down";
  }
  if ([form.group, form.method].includes(event.target)) form.low.value = form.high.value = "";  // of other scores
  draw();
});
form.addEventListener("submit", (event) => event.preventDefault());
draw();

// The images at the head of the page.
const strip = [...document.querySelectorAll(".strip .open")];
const heads = strip.map((button) => data.cards.find((card) => card.id === Number(button.dataset.id)));
strip.forEach((button, index) => button.addEventListener("click", () => open(index, heads)));

// Two methods: the images that one flags and the other does not, under both.
const pair = document.querySelector("#pairs form"), PAIRS = 8;  // shown at first, so that what follows is not far away
if (pair) {
  const compare = () => {
    const methods = [Number(pair.by.value), Number(pair.not.value)], { labelled, of } = data.pairs;
    const rank = (card) => `rank ${card.rank.toLocaleString("en")} of ${data.total.toLocaleString("en")}, ${card.rank > data.pairs.flagged ? "missed" : "found"}`;
    const found = of.find((each) => each.by === methods[0] && each.not === methods[1]) ?? { total: 0, ids: [] };
    const cards = found.ids.flatMap((id) => methods.map((method) =>
      data.cards.find((card) => card.method === method && card.id === id)));
    const both = (index) => element("div", { class: "pair" }, ...methods.map((method, side) =>
      element("div", {}, element("small", {}, `${data.methods[method]}: ${rank(cards[2 * index + side])}`),
        tile(cards[2 * index + side], () => open(2 * index + side, cards), looks))));
    const pairs = document.querySelector("#pairs .cards"), more = document.querySelector("#pairs .more");
    const fill = (count) => {
      pairs.replaceChildren(...found.ids.slice(0, count).map((_, index) => both(index)));
      more.hidden = count >= found.ids.length;
    };
    more.onclick = () => { fill(found.ids.length); pairs.children[PAIRS].querySelector("button").focus(); };
    more.textContent = `Show all ${found.ids.length}`;
    fill(PAIRS);
    const [one, many] = labelled ? ["anomaly", "anomalies"] : ["image", "images"];
    const some = found.ids.length < found.total ? `, the ${found.ids.length} clearest are on this page` : "";
    pair.querySelector("output").textContent = methods[0] === methods[1] ? "choose two different methods"
      : `${found.total.toLocaleString("en")} ${found.total === 1 ? one : many}${some}`;
  };
  pair.addEventListener("change", compare);
  pair.querySelector("button").addEventListener("click", () => {
    [pair.by.value, pair.not.value] = [pair.not.value, pair.by.value];
    compare();
  });
  compare();
}
