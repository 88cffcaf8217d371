"use strict";
// One image: under each run its score, a heat map over it, and the evidence.
const view = { map: "", opacity: 60, zoom: 1 };  // kept from image to image
const BY_PLACE = "score by place", LINGERED = 300;  // ms on an image after which its map is computed, in half a second

async function openImage(id) {
  const answer = await ask(`/api/image/${id}`);
  if (state.id !== String(id)) return;  // another was opened meanwhile
  fill(answer, ids.includes(id));
  setTimeout(() => loadMaps(id).catch((error) => say(error.message)), LINGERED);
}

async function loadMaps(id) {
  if (state.id !== String(id)) return;  // stepped over
  const { maps } = await ask(`/api/map/${id}`);
  if (state.id !== String(id)) return;
  dialog.querySelectorAll(`[data-map="${BY_PLACE}"]`).forEach((map, run) => { map.src = maps[run]; });
}

function step(by) {
  stepTo(by).catch((error) => say(error.message));
}

async function stepTo(by) {
  const at = state.id ? ids.indexOf(Number(state.id)) : -1;  // of the image asked for last, loaded or not
  if (at < 0) return;
  if (at + by >= ids.length && ids.length < total) await load(false);
  if (at + by >= 0 && at + by < ids.length) change({ id: String(ids[at + by]) });
}

// What can be laid over an image; the map of a test image's score comes later.
const mapsOf = (run) => [[BY_PLACE, run.map], ...run.pictures.filter(([name]) => name === "error")];

// Show what is known of an image; `steps` if it is in the list.
function fill(answer, steps) {
  const focused = document.activeElement?.dataset?.step;
  const button = (text, action) => {
    const made = element("button", { type: "button", class: "plain" }, text);
    made.dataset.step = text;
    made.addEventListener("click", action);
    return made;
  };
  const close = button("close", () => dialog.close());
  const bar = steps ? [button("← previous", () => step(-1)), close, button("next →", () => step(1))] : [close];
  const title = [answer.name, answer.file, answer.kind].filter((text) => text !== undefined).join(", ");
  const maps = [...new Set(answer.runs.flatMap((run) => mapsOf(run).map(([name]) => name)))];
  dialog.classList.toggle("two", answer.runs.length > 1);
  dialog.dataset.id = answer.id ?? "";
  dialog.replaceChildren(element("div", { class: "bar" }, ...bar), element("h2", { id: "dialog-title" }, title), lens(maps),
    element("div", { class: "sides" }, ...answer.runs.map((run) => side(run, answer.runs.length > 1))));
  look();
  if (!dialog.open) dialog.showModal();
  dialog.querySelector(`[data-step="${focused ?? "close"}"]`)?.focus();  // the button that had the focus was replaced
}

// The controls of heat map and zoom.
function lens(maps) {
  const control = (text, made, name) => {
    made.value = view[name];
    made.addEventListener("input", () => { view[name] = made.value; look(); });
    return element("label", {}, `${text} `, made);
  };
  if (!maps.includes(view.map)) view.map = "";
  const choices = [["", "none"], ...maps.map((name) => [name, name])].map(([value, text]) => element("option", { value }, text));
  const form = element("div", { class: "controls" });
  if (maps.length) {
    form.append(control("Heat map", element("select", { name: "map" }, ...choices), "map"),
      control("Opacity", element("input", { type: "range", name: "opacity", min: 0, max: 100, step: 5 }), "opacity"));
  }
  form.append(control("Zoom", element("input", { type: "range", name: "zoom", min: 1, max: 8, step: 0.5 }), "zoom"),
    element("output", {}));
  return form;
}

function look() {
  dialog.querySelector("output").textContent = `${view.zoom} ×`;
  for (const slider of dialog.querySelectorAll("[name=opacity]")) slider.parentElement.hidden = !view.map;
  for (const frame of dialog.querySelectorAll(".frame")) {
    const middle = (start, shown, all) => (start + shown / 2) / all;
    const x = middle(frame.scrollLeft, frame.clientWidth, frame.scrollWidth), y = middle(frame.scrollTop, frame.clientHeight, frame.scrollHeight);
    frame.firstElementChild.style.width = `${100 * view.zoom}%`;
    frame.scrollLeft = x * frame.scrollWidth - frame.clientWidth / 2;  // what was in the middle stays there
    frame.scrollTop = y * frame.scrollHeight - frame.clientHeight / 2;
    for (const map of frame.querySelectorAll(".map")) {
      map.hidden = map.dataset.map !== view.map;
      map.style.opacity = view.opacity / 100;
    }
  }
}

// An image under one run.
function side(run, named) {
  const figure = (source, text) => element("figure", {}, element("img", { src: source, alt: text }), element("figcaption", {}, text));
  const [[, source], ...others] = run.pictures;
  const maps = mapsOf(run).map(([name, address]) => {
    const map = element("img", { ...(address && { src: address }), class: "map", alt: `heat map: ${name}` });
    map.dataset.map = name;
    return map;
  });
  const frame = element("div", { class: "frame", tabindex: 0, role: "group", "aria-label": "The image; arrow keys move it when it is zoomed" },
    element("div", {}, element("img", { src: source, alt: "the image" }), ...maps));
  return element("section", {}, ...(named ? [element("h3", {}, run.run)] : []),
    element("p", { class: "score" }, element("b", {}, `score ${number(run.score)}`), run.flagged ? " – flagged (p ≤ .05)" : ` – not flagged (${rare(run.p, run.normals)})`),
    element("p", { class: "hint" }, `${run.rarity}.`), ...inWords(run), frame,
    ...(others.length ? [element("div", { class: "trio" }, ...others.map(([name, address]) => figure(address, name)))] : []),
    ...reasons(run, run.normals),
    ...(run.nearest.length ? [element("h3", {}, "Nearest training images, by latent"),
      element("div", { class: "trio" }, ...run.nearest.map((address, index) => figure(address, `nearest ${index + 1}`)))]
      : [element("p", { class: "hint" }, run.note)]));
}

document.addEventListener("keydown", (event) => {
  // A slider, a list and a zoomed image have arrow keys of their own.
  if (!dialog.open || event.target.matches("input, select") || (event.target.matches(".frame") && view.zoom > 1)) return;
  if (event.key === "ArrowRight") step(1);
  if (event.key === "ArrowLeft") step(-1);
});
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
// Close the dialog since the address shows no image any more; the event of it comes later, when it may show one again.
let hiding = false;
function hide() {
  hiding = true;
  dialog.close();
}
dialog.addEventListener("close", () => {
  if (hiding) hiding = false;
  else if (state.id && history.state?.image) history.back();
  else change({ id: "" });
  const { id } = dialog.dataset;  // none of an upload
  if (id) place.children[ids.indexOf(Number(id))]?.querySelector("button").focus();
});
