"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const form = document.querySelector("#gallery form"), place = document.querySelector("#gallery .cards");
const dialog = document.querySelector("dialog"), message = document.getElementById("message");
const more = document.getElementById("more"), drop = document.getElementById("drop"), file = document.getElementById("file");
const PAGE = 60;
let ids = [], total = 0, opened = -1, asked = 0, loading = false;

const options = (select, pairs) => select.replaceChildren(...pairs.map(([value, text]) => element("option", { value }, text)));
options(form.by, data.columns.map((name) => [name, name]));
options(form.kind, [["", "all kinds"], ...data.kinds.map((kind) => [kind, kind])]);
form.kind.parentElement.hidden = data.kinds.length === 0;
document.getElementById("transductive").hidden = !data.transductive;

async function ask(address, settings) {
  let answer, found;
  try {
    answer = await fetch(address, settings);
    found = await answer.json();
  } catch {
    throw new Error("The explorer does not answer; is it still running?");
  }
  if (!answer.ok || found.error) throw new Error(found.error);
  return found;
}
const say = (text) => { message.textContent = text; };

async function load(fresh) {
  if (loading && !fresh) return;
  const mine = ++asked;
  loading = true;
  const offset = fresh ? 0 : ids.length;
  const query = new URLSearchParams({ by: form.by.value, order: form.order.value, kind: form.kind.value, offset, limit: PAGE });
  try {
    const found = await ask("/api/list?" + query);
    if (mine !== asked) return;  // another order was asked for meanwhile
    if (fresh) { ids = []; place.replaceChildren(); }
    total = found.total;
    say("");
    for (const card of found.cards) {
      const index = ids.push(card.id) - 1;
      const kind = card.kind === undefined ? "" : element("b", { class: card.anomalous ? "tag bad" : "tag normal" }, card.kind);
      const text = `image ${card.id}${card.kind === undefined ? "" : ", " + card.kind}, ${form.by.value} ${number(card.score)}, p ${number(card.p, 2)}`;
      const button = element("button", { type: "button", class: "card" },
        element("img", { src: `/image/${card.id}`, alt: text, width: 64, height: 64, loading: "lazy" }),
        words(element("b", {}, `#${card.id}`), kind, number(card.score), `p ${number(card.p, 2)}`));
      button.addEventListener("click", () => open(index));
      place.append(button);
    }
    more.hidden = ids.length >= total;
    form.querySelector("output").textContent = `${ids.length} of ${total.toLocaleString("en")} shown`;
  } catch (error) { say(error.message); }
  if (mine === asked) loading = false;
}

function show(found, step) {
  const focused = document.activeElement?.dataset?.step;
  const button = (text, action) => {
    const made = element("button", { type: "button", class: "plain" }, text);
    made.dataset.step = text;
    made.addEventListener("click", action);
    return made;
  };
  const figure = (source, text) => element("figure", {}, element("img", { src: source, alt: text }), element("figcaption", {}, text));
  const close = button("close", () => dialog.close());
  const kind = found.kind ? `, ${found.kind}` : "";
  const bar = step ? [button("← before", () => open(opened - 1)), close, button("next →", () => open(opened + 1))] : [close];
  dialog.replaceChildren(element("div", { class: "bar" }, ...bar),
    element("h2", { id: "dialog-title" }, `${found.name}${kind}: score ${number(found.score)}, p ${number(found.p, 2)}`),
    element("p", { class: "hint" }, `${found.rarity}.`),
    element("div", { class: "trio" }, ...found.pictures.map(([name, source]) => figure(source, name))),
    ...reasons(found),
    ...(found.nearest.length ? [element("h3", {}, "Nearest training images, by latent"),
      element("div", { class: "trio" }, ...found.nearest.map((source, index) => figure(source, `nearest ${index + 1}`)))]
      : [element("p", { class: "hint" }, data.note)]));
  if (!dialog.open) dialog.showModal();
  dialog.querySelector(`[data-step="${focused ?? "close"}"]`)?.focus();  // the button that had the focus was replaced
}

async function open(index) {
  if (index < 0 || index >= ids.length) return;
  opened = index;
  try {
    const found = await ask(`/api/image/${ids[index]}`);
    say("");
    if (opened === index) show(found, true);
  } catch (error) {
    dialog.close();  // the message stands on the page behind it
    say(error.message);
  }
}

async function score(content) {
  say("Scoring ...");
  try {
    const found = await ask("/api/score", { method: "POST", body: content });
    say("");
    opened = -1;
    show(found, false);
  } catch (error) { say(error.message); }
}

file.addEventListener("change", () => { if (file.files.length) score(file.files[0]); file.value = ""; });
document.addEventListener("paste", (event) => {
  const found = [...event.clipboardData.files][0];
  if (found) score(found); else say("The clipboard holds no image.");
});
for (const name of ["dragenter", "dragover"])
  document.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
document.addEventListener("dragleave", () => drop.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  if (event.dataTransfer.files.length) score(event.dataTransfer.files[0]);
});
document.addEventListener("keydown", (event) => {
  if (!dialog.open) return;
  if (opened >= 0 && event.key === "ArrowRight") open(opened + 1);
  if (opened >= 0 && event.key === "ArrowLeft") open(opened - 1);
});
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => { if (opened >= 0) place.children[opened]?.focus(); });
form.addEventListener("change", () => load(true));
form.addEventListener("submit", (event) => event.preventDefault());
more.addEventListener("click", () => load(false));
new IntersectionObserver((entries) => { if (entries[0].isIntersecting && ids.length && ids.length < total) load(false); },
  { rootMargin: "400px" }).observe(more);
load(true);
