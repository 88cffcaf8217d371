"use strict";
// What is shown stands in the address, so that Back, Forward and links work.
const LIMITS = JSON.parse(document.getElementById("data").textContent);
const DEFAULTS = { run: "0", by: "score", order: "down", show: "all", kind: "", q: "", t: "", id: "" };
const LABELS = { run: "run", by: "score", show: "filter", kind: "kind", order: "order" };
const form = document.querySelector("#gallery form"), dialog = document.querySelector("dialog");
const byId = (id) => document.getElementById(id);
const say = (text) => { byId("message").textContent = text; };
let set = null;  // what the server says of the test set once it is scored
let state = DEFAULTS, last = "";

async function ask(address, settings) {
  let answer, content;
  try {
    answer = await fetch(address, settings);
    content = await answer.json();
  } catch {
    throw new Error("The explorer does not answer. Is it still running? Its terminal says more.");
  }
  if (!answer.ok || content.error) throw new Error(content.error);
  return content;
}

// The state as a query, without what is as it is by default.
function query(values) {
  return new URLSearchParams(Object.entries(values).filter(([name, value]) => value !== DEFAULTS[name]));
}

function fromAddress() {
  const given = new URLSearchParams(location.search), names = Object.keys(DEFAULTS);
  const read = Object.fromEntries(names.map((name) => [name, given.get(name) ?? DEFAULTS[name]]));
  const known = (name, values) => {
    if (values.includes(read[name])) return;
    // The scores by each piece of evidence come later; the address keeps the name until then.
    if (set.complete || name !== "by") say(`There is no ${LABELS[name]} ${read[name]}.`);
    read[name] = DEFAULTS[name];
  };
  known("run", set.runs.map((_, index) => String(index)));
  known("by", set.runs[read.run].columns);
  known("show", set.runs[read.run].show.map(([name]) => name));
  known("kind", ["", ...set.kinds]);
  known("order", ["up", "down"]);
  if (!Number.isFinite(Number(read.t))) read.t = "";
  if (read.id && !(/^\d+$/.test(read.id) && Number(read.id) < set.total)) {
    say(`There is no image ${read.id}; there are 0 to ${set.total - 1}.`);
    read.id = "";
  }
  return read;
}

// Change what is shown. A slider that is dragged, a word that is typed and steps through images leave one entry each.
function change(changes) {
  const names = Object.keys(changes).filter((name) => changes[name] !== state[name]);
  if (!names.length) return;
  say("");
  const before = state, key = names.join();
  const same = (key === "id" && before.id && changes.id) || (key === last && (key === "q" || key === "t"));
  state = { ...state, ...changes };
  last = key;
  // The entry of an image that was opened from the list is marked: closing the image goes back from it.
  if (same) history.replaceState(history.state, "", `?${query(state)}`);
  else history.pushState({ image: Boolean(changes.id) }, "", `?${query(state)}`);
  show(before);
}

// Bring the page to the state; what did not change stays.
async function show(before) {
  const differs = (...names) => names.some((name) => state[name] !== before[name]);
  fillForm();
  try {
    if (differs("run", "by")) await loadHistogram();
    drawThreshold();
    if (differs("run", "by", "order", "show", "kind", "q", "t")) await load(true);
    if (state.id && differs("id", "run", "by", "t")) await openImage(Number(state.id));
    else if (!state.id && dialog.open) hide();
  } catch (error) {
    if (differs("id")) {  // the image could not be opened: the address is not to name it
      state = { ...state, id: "" };
      history.replaceState(null, "", `?${query(state)}`);
    }
    if (dialog.open) hide();  // the message stands on the page behind it
    say(error.message);
  }
}

function fillScores() {
  options(form.by, set.runs[state.run].columns.map((name) => [name, name]));
  if (!set.complete) form.by.append(element("option", { disabled: "" }, "(its evidence is being scored)"));
  form.by.value = state.by;
}

function fillForm() {
  options(form.run, set.runs.map((run, index) => [String(index), run.name]));
  fillScores();
  options(form.show, set.runs[state.run].show);
  options(form.kind, [["", "all kinds"], ...set.kinds.map((kind) => [kind, kind])]);
  form.run.parentElement.hidden = set.runs.length === 1;
  form.kind.parentElement.hidden = set.kinds.length === 0;
  form.q.placeholder = set.files ? "ID or file name" : "ID";
  for (const name of ["run", "show", "kind", "order", "q"])
    if (form[name].value !== state[name]) form[name].value = state[name];
}

// A line for each run: preset, ROC-AUC where labels are known, and the share that is flagged.
function fillHead() {
  const bold = (text) => element("b", {}, text);
  byId("runs").replaceChildren(...set.runs.map((run) => element("li", {}, bold(run.name),
    ...(run.preset && run.preset !== run.name ? [`, preset ${run.preset}`] : []), ": ",
    ...(run.auc ? ["macro ROC-AUC ", bold(run.auc[0].toFixed(3)), ` (95% interval ${run.auc[1].toFixed(3)} to ${run.auc[2].toFixed(3)}), `] : []),
    bold(percent(run.flagged)), ` of ${whole(set.total)} images flagged (p ≤ 0.05)`)));
  for (const cards of [byId("images"), byId("own")]) cards.classList.toggle("two", set.runs.length > 1);
  byId("transductive").hidden = !set.runs.some((run) => run.transductive);
  const lines = set.runs.flatMap((run) => run.warnings.map((line) => `${set.runs.length > 1 ? `${run.name}: ` : ""}${line}`));
  byId("warnings").replaceChildren(...lines.map((line) => element("li", {}, `Warning: ${line}`)));
  byId("warnings").hidden = !lines.length;
}

const pause = () => new Promise((resolve) => { setTimeout(resolve, 250); });

async function start() {
  const waiting = byId("waiting"), bar = waiting.querySelector("progress");
  try {
    for (;;) {
      const answer = await ask("/api/state");
      if (answer.ready) { set = answer; break; }
      bar.max = answer.total;
      bar.value = answer.read;
      waiting.querySelector("span").textContent = answer.learning ? "Learning from the unlabelled images; this takes a minute or two"
        : `Scoring the images: ${whole(answer.read)} of ${whole(answer.total)}`;
      if (answer.learning) bar.removeAttribute("value");
      await pause();
    }
  } catch (error) { say(error.message); return; }
  waiting.hidden = true;
  for (const part of document.querySelectorAll(".ready")) part.hidden = false;
  fillHead();
  state = fromAddress();
  await show({});
  if (!set.complete) complete();
}

// The scores by each piece of evidence come later: then the form offers them, and a link that orders by one is followed.
async function complete() {
  try {
    while (!set.complete) {
      await pause();
      set = await ask("/api/state");
    }
  } catch (error) { say(error.message); return; }
  const before = state, wanted = fromAddress();
  if (wanted.by === before.by) { fillScores(); return; }
  state = wanted;
  await show(before);
}

form.addEventListener("change", (event) => {
  const { name, value } = event.target;
  // A threshold belongs to one score.
  change(name === "run" ? { run: value, by: "score", t: "" } : name === "by" ? { by: value, t: "" } : { [name]: value });
});
form.addEventListener("submit", (event) => event.preventDefault());
addEventListener("popstate", () => {
  if (!set) return;
  const before = state;
  say("");
  state = fromAddress();
  last = "";
  show(before);
});
