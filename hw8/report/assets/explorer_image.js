"use strict";
// One image: under each run its pictures, the verdict, and the evidence.
const LINGERED = 300;  // ms on an image after which its map is computed, in half a second
let zoom = 1, middle = [0.5, 0.5];  // kept from image to image

// The pictures and the verdict of an image, by the score and the threshold that are chosen.
async function openImage(id) {
  const answer = await ask(`/api/image/${id}?${asking()}`);
  if (state.id !== String(id)) return;  // another was opened meanwhile
  fill(answer, ids.includes(id));
  setTimeout(() => loadMaps(id).catch((error) => say(error.message)), LINGERED);
}

async function loadMaps(id) {
  if (state.id !== String(id)) return;  // stepped over
  const { maps } = await ask(`/api/map/${id}`);
  if (state.id !== String(id)) return;
  dialog.querySelectorAll(".place").forEach((figure, run) => showMap(figure, maps[run]));
}

function showMap(figure, { map, place: text }) {
  figure.querySelector("img").src = map;
  figure.querySelector("figcaption").textContent = `${FROM}: ${text}`;
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

// Show what is known of an image; `steps` if it is in the list.
function fill(answer, steps) {
  const title = [answer.name, answer.file, answer.kind].filter((text) => text !== undefined).join(", ");
  dialog.classList.toggle("two", answer.runs.length > 1);
  dialog.dataset.id = answer.id ?? "";
  fillDialog(dialog, steps ? stepBar(dialog, step) : [stepButton("close", () => dialog.close())],
    element("div", { class: "heading" }, element("h2", { id: "dialog-title" }, title), zoomControl()),
    element("div", { class: "sides" }, ...answer.runs.map((run) => side(run, answer))));
  look();
}

function zoomControl() {
  const slider = element("input", { type: "range", name: "zoom", min: 1, max: 8, step: 0.5 });
  slider.value = zoom;
  slider.addEventListener("input", () => { zoom = Number(slider.value); look(); });
  return element("p", { class: "controls zoom" }, element("label", {}, "Zoom ", slider), element("output", {}));
}

// All pictures show the same part, around the middle, at the zoom that is chosen.
const wanted = (frame) => [middle[0] * frame.scrollWidth - frame.clientWidth / 2, middle[1] * frame.scrollHeight - frame.clientHeight / 2];
function look() {
  dialog.querySelector("output").textContent = `${zoom} ×`;
  for (const frame of dialog.querySelectorAll(".frame")) {
    frame.firstElementChild.style.width = `${100 * zoom}%`;
    [frame.scrollLeft, frame.scrollTop] = wanted(frame);
  }
}
function follow({ target: frame }) {
  const [left, top] = wanted(frame);
  if (Math.hypot(frame.scrollLeft - left, frame.scrollTop - top) < 2) return;  // moved by `look`, which rounds
  middle = [(frame.scrollLeft + frame.clientWidth / 2) / frame.scrollWidth, (frame.scrollTop + frame.clientHeight / 2) / frame.scrollHeight];
  for (const other of dialog.querySelectorAll(".frame")) if (other !== frame) [other.scrollLeft, other.scrollTop] = wanted(other);
}

const FROM = "where the score comes from";
const pictureOf = (source, text) => element("figure", {}, element("img", { src: source, alt: text }), element("figcaption", {}, text));
function framed(source, text, first) {
  const image = element("img", { ...(source && { src: source }), alt: text });
  const frame = element("div", { class: "frame", ...(first && { tabindex: 0, role: "group", "aria-label": "The image; arrow keys move it when it is zoomed" }) }, image);
  frame.addEventListener("scroll", follow);
  return element("figure", {}, frame, element("figcaption", {}, text));
}

// What the chosen score and threshold say of an image; of an upload, and of the run beside, its own score and p ≤ 0.05.
function verdict(run, answer) {
  const by = run.by ?? "score", rank = run.rank === undefined ? "" : `, rank ${ofAll(run.rank, answer.total)}`;
  const limit = run.above === undefined ? "p ≤ 0.05" : run.above === null ? "nothing, with so few normals"
    : `${by} above ${number(run.above)}${run.usual ? " (p ≤ 0.05)" : ""}`;
  return [element("p", { class: "score" }, chip({ flagged: run.flagged, anomalous: answer.anomalous }), " ",
    element("b", {}, `${by} ${number(run.score)}`), `, ${rarity(run.p, run.calibration_count)}${rank}`),
  element("p", { class: "hint" }, `Flagged means ${limit}.${by === "score" ? "" : " The evidence is that of the run's own score."}`)];
}

// An image under one run.
function side(run, answer) {
  const figures = run.pictures.map(([name, source], index) => framed(source, name, index === 0)), place = framed(run.map, FROM);
  place.classList.add("place");
  if (run.place) showMap(place, run);
  const nearest = run.nearest.length ? [element("h3", {}, "Nearest training images, by latent"),
    element("div", { class: "trio" }, ...run.nearest.map((address, index) => pictureOf(address, `nearest ${index + 1}`)))]
    : [element("p", { class: "hint" }, run.note)];
  return element("section", {}, ...(answer.runs.length > 1 ? [element("h3", {}, run.run)] : []),
    element("div", {}, ...verdict(run, answer), ...inWords(run), element("div", { class: "row" }, ...figures, place), ...nearest),
    element("div", {}, ...reasons(run, run.calibration_count)));
}

document.addEventListener("keydown", (event) => {
  // A slider, a list and a zoomed image have arrow keys of their own.
  if (!dialog.open || event.target.matches("input, select") || (event.target.matches(".frame") && zoom > 1)) return;
  if (event.key === "ArrowRight") step(1);
  if (event.key === "ArrowLeft") step(-1);
});
closeOnBackdrop(dialog);
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
