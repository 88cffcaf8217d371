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
let openedFrom = null;  // what was clicked to open the dialog

options(form.method, data.methods.map((name, index) => [index, name]));
options(form.group, [["", "all shown here"], ...Object.entries(data.groups)]);
options(form.kind, [["", "all kinds"], ...data.kinds.map((kind) => [kind, kind])]);
options(form.sort, [["score", "score"], ["id", "ID"], ...data.columns.map((name) => ["all." + name, "p of " + name])]);
// At the head of a report are the most anomalous images: below, its mistakes come first.
form.group.value = document.querySelector(".strip") && data.totals[0]?.misses ? "misses" : "most";
form.kind.parentElement.hidden = data.kinds.length === 0;
form.method.parentElement.hidden = data.methods.length < 2;

const label = (card) => {
  const kind = card.kind === undefined ? "" : `, ${card.kind}`, file = card.file === undefined ? "" : ` (${card.file})`;
  return `${data.methods.length > 1 ? `${data.methods[card.method]}: ` : ""}image ${card.id}${file}${kind}`;
};
const rareness = (card) => (card.p === undefined ? "" : rarity(card.p, data.calibration_counts[card.method]));
const facts = (card) => [`score ${number(card.score)}`, rareness(card), `rank ${ofAll(card.rank, data.total)}`].filter(Boolean).join(", ");
const picture = (card) => {
  const parts = card.wide ? "image, reconstruction and error map of " : "";
  const image = element("img", { src: card.src, alt: `${parts}${label(card)}, ${facts(card)}`, width: card.wide ? 192 : 64, height: 64 });
  if (!card.wide) image.className = "single";
  return image;
};

// The pictures of an image and, where it has one, the map of its score.
const looks = (card) => element("div", { class: "looks" }, picture(card),
  ...(card.map ? [element("img", { src: card.map, alt: `where the score of image ${card.id} comes from: ${card.place}`, class: "map" })] : []));
const captions = (card) => [...(card.wide ? ["image", "reconstruction", "error"] : card.map ? ["image"] : []),
  ...(card.map ? [`where the score comes from: ${card.place}`] : [])].map((text) => element("span", {}, text));

function tile(card, action, pictures = picture) {
  const button = element("button", { type: "button", class: "card" }, pictures(card),
    words(element("b", {}, `#${card.id}`), kindTag(card), chip(card)), words(`score ${number(card.score)}`, rareness(card)));
  if (card.words) button.append(element("span", { class: "reason" }, card.words));
  button.append(...fileName(card.file));
  button.addEventListener("click", () => { openedFrom = button; action(); });
  return button;
}

function valueOf(card) {
  const key = form.sort.value;
  if (key === "score") return card.score;
  if (key === "id") return form.order.value === "up" ? card.id : -card.id;  // in the order of the IDs either way
  return -((card.all || {})[key.slice(4)] ?? 2);
}
function draw() {
  const method = Number(form.method.value), group = form.group.value;
  const isFiltered = Boolean(form.kind.value || form.low.value || form.high.value);
  const cards = data.cards.filter((card) => card.method === method);
  shown = cards.filter((card) => (!group || card.groups.includes(group))
    && (!form.kind.value || card.kind === form.kind.value)
    && (!form.low.value || card.score >= Number(form.low.value))
    && (!form.high.value || card.score <= Number(form.high.value)));
  shown.sort((a, b) => (form.order.value === "up" ? 1 : -1) * (valueOf(a) - valueOf(b)) || a.id - b.id);
  place.replaceChildren(...shown.map((card, index) => tile(card, () => open(index, shown))));
  form.elements.clear.hidden = !isFiltered;
  const all = data.totals[method]?.[group];
  const which = group === "misses" ? `nearest to the threshold${data.kinds.length > 2 ? ", kinds in turn" : ""}` : "highest scores";
  form.querySelector("output").textContent = all === undefined || isFiltered
    ? `${whole(shown.length)} of the ${whole(cards.length)} images on this page (${whole(data.total)} were scored)`
    : `${whole(all)} ${data.groups[group]}${shown.length < all ? `; ${whole(shown.length)} are shown: the ${which}` : ""}`;
}

// The command that explains an image; a comparison has none, since it is of several runs.
const explain = (id, what) => (data.explain ? [element("p", { class: "hint" }, element("code", {}, `${data.explain} ${id}`), ` ${what}.`)] : []);

// An image that is open stands in the address, so that Back closes it and a link leads to it.
const addressOf = (card) => `#image-${card.id}${card.method ? `-${card.method}` : ""}`;
function open(index, cards) {
  [listed, opened] = [cards, (index + cards.length) % cards.length];
  const card = cards[opened];
  if (dialog.open) history.replaceState(history.state, "", addressOf(card));
  else if (location.hash !== addressOf(card)) history.pushState({ image: true }, "", addressOf(card));
  fillDialog(dialog, stepBar(dialog, (by) => open(opened + by, listed)),
    element("h2", { id: "dialog-title" }, label(card), " ", chip(card)), element("p", { class: "facts-line" }, facts(card)),
    looks(card), element("p", { class: "names" }, ...captions(card)),
    ...(card.map ? [] : explain(card.id, "draws where its score comes from")),
    ...inWords(card), ...reasons(card, data.calibration_counts[card.method]));
}
// Open or close what the address says.
function follow() {
  const [, id, method] = location.hash.match(/^#image-(\d+)(?:-(\d+))?$/) ?? [];
  const card = id && data.cards.find((each) => each.id === Number(id) && each.method === Number(method ?? 0));
  if (card) open(Math.max(0, shown.indexOf(card)), shown.includes(card) ? shown : [card]);
  else if (dialog.open) dialog.close();
}
document.addEventListener("keydown", (event) => {
  if (!dialog.open) return;
  if (event.key === "ArrowRight") open(opened + 1, listed);
  if (event.key === "ArrowLeft") open(opened - 1, listed);
});
closeOnBackdrop(dialog);
dialog.addEventListener("close", () => {
  if (location.hash.startsWith("#image-")) {
    if (history.state?.image) history.back();
    else history.replaceState(null, "", location.pathname + location.search);
  }
  (listed === shown ? place.children[opened] : openedFrom)?.focus({ preventScroll: listed !== shown });
});
addEventListener("popstate", follow);
form.addEventListener("change", (event) => {
  if (event.target === form.group) {
    const lowest = form.group.value === "least" || (form.group.value === "misses" && !data.totals[form.method.value]?.misses);
    form.order.value = lowest ? "up" : "down";
  }
  if ([form.group, form.method].includes(event.target)) form.low.value = form.high.value = "";  // of other scores
  draw();
});
form.elements.clear.addEventListener("click", () => {
  form.low.value = form.high.value = form.kind.value = "";
  draw();
  form.group.focus();
});
form.addEventListener("submit", (event) => event.preventDefault());
draw();

// The images at the head of the page.
const strip = [...document.querySelectorAll(".strip .open")];
const heads = strip.map((button) => data.cards.find((card) => card.id === Number(button.dataset.id)));
strip.forEach((button, index) => button.addEventListener("click", () => { openedFrom = button; open(index, heads); }));

// Two methods: the images that one flags and the other does not, under both.
const pairForm = document.querySelector("#pairs form"), FIRST = 8;  // pairs shown at first, so that what follows is not far away
function comparePairs() {
  const methods = [Number(pairForm.found_by.value), Number(pairForm.missed_by.value)], { labelled, pairs, flagged } = data.pairs;
  const pair = pairs.find((each) => each.found_by === methods[0] && each.missed_by === methods[1]) ?? { total: 0, rows: [] };
  // Flagged within the same budget of false alarms, not by p-values, which some methods have not.
  const cardIn = (method, id) => data.cards.find((card) => card.method === method && card.id === id);
  const cards = pair.rows.flatMap((id) => methods.map((method) => cardIn(method, id)))
    .map((card) => ({ ...card, flagged: card.rank <= flagged[card.method] }));
  const headOf = (card) => `${data.methods[card.method]}: rank ${ofAll(card.rank, data.total)}`;
  const sideOf = (index) => element("div", {}, element("small", {}, headOf(cards[index])), tile(cards[index], () => open(index, cards), looks));
  const list = document.querySelector("#pairs .cards"), more = document.querySelector("#pairs .more");
  const fill = (count) => {
    list.replaceChildren(...pair.rows.slice(0, count).map((_, index) => element("div", { class: "pair" }, sideOf(2 * index), sideOf(2 * index + 1))));
    more.hidden = count >= pair.rows.length;
  };
  more.onclick = () => { fill(pair.rows.length); list.children[FIRST].querySelector("button").focus(); };
  more.textContent = `Show all ${pair.rows.length}`;
  fill(FIRST);
  const [one, many] = labelled ? ["anomaly", "anomalies"] : ["image", "images"];
  const some = pair.rows.length < pair.total ? `, the ${pair.rows.length} clearest are on this page` : "";
  pairForm.querySelector("output").textContent = methods[0] === methods[1] ? "choose two different methods"
    : `${whole(pair.total)} ${pair.total === 1 ? one : many}${some}`;
}
if (pairForm) {
  pairForm.addEventListener("change", comparePairs);
  pairForm.querySelector("button").addEventListener("click", () => {
    [pairForm.found_by.value, pairForm.missed_by.value] = [pairForm.missed_by.value, pairForm.found_by.value];
    comparePairs();
  });
  comparePairs();
}
follow();
