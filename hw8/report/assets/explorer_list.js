"use strict";
// The images that match, in order, and those that are selected.
const PAGE = 60;
const place = byId("images"), more = byId("more"), selected = new Set();
let ids = [], total = 0, asked = 0, loading = false;

// What is asked of the server: the state but for the image that is open, and with a threshold of the slider's.
function asking(extra = {}) {
  const { id: _, ...filters } = state;
  return query({ ...filters, t: state.t && String(histogram.thresholds[placeOf(state.t)]), ...extra });
}

async function load(fresh) {
  if (loading && !fresh) return;
  const mine = ++asked;
  loading = true;
  try {
    const answer = await ask("/api/list?" + asking({ offset: fresh ? 0 : ids.length, limit: PAGE }));
    if (mine !== asked) return;  // another order was asked for meanwhile
    if (fresh) { ids = []; place.replaceChildren(); }
    ({ total } = answer);
    for (const card of answer.cards) {
      ids.push(card.id);
      place.append(cell(card));
    }
    tell();
    // It tells of changes only: where the end is still in view after a load, it has to look anew.
    end.unobserve(more);
    end.observe(more);
  } finally { if (mine === asked) loading = false; }
}

function cell(card) {
  const { id } = card, rareness = (run, p) => rarity(p, set.runs[run].calibration_count);
  const facts = [`image ${id}`, card.file, card.kind, `${state.by} ${number(card.score)}`, rareness(state.run, card.p),
    verdictOf(card), card.words];
  const text = facts.filter((fact) => fact !== undefined).join(", ");
  const scores = (run, { score, p }, by) => {
    const name = by === "score" ? set.runs[run].name : `${set.runs[run].name} ${by}`;
    return words(`${set.runs.length > 1 ? `${name}: ` : `${by} `}${number(score)}`, rareness(run, p));
  };
  const button = element("button", { type: "button", class: card.flagged ? "card flagged" : "card" },
    element("img", { src: `/image/${id}`, alt: text, width: 64, height: 64, loading: "lazy" }),
    words(element("b", {}, `#${id}`), kindTag(card)), words(chip(card)), element("span", { class: "reason" }, card.words),
    scores(Number(state.run), card, state.by),
    ...(card.other ? [scores(1 - Number(state.run), card.other, "score")] : []),
    ...fileName(card.file));
  button.dataset.id = id;
  button.addEventListener("click", () => change({ id: String(id) }));
  const box = element("input", { type: "checkbox", "aria-label": `Select image ${id}` });
  box.checked = selected.has(id);
  box.dataset.id = id;
  return element("div", { class: "cell" }, button, element("label", { class: "pick" }, box));
}

// How many are shown and selected, and the addresses of their rows.
function tell() {
  more.hidden = ids.length >= total;
  more.textContent = `Show more: ${whole(total - ids.length)} left`;
  byId("unfilter").hidden = total > 0;
  const count = total ? `${whole(ids.length)} of ${whole(total)} shown` : "No image matches";
  byId("shown").textContent = `${count}${selected.size ? `, ${whole(selected.size)} selected` : ""}`;
  byId("pick").hidden = !ids.length;
  byId("clear").hidden = byId("some").hidden = !selected.size;
  byId("every").hidden = !total;
  byId("some").textContent = `CSV of ${whole(selected.size)} selected`;
  byId("every").textContent = `CSV of all ${whole(total)}`;
  byId("some").href = "/api/rows.csv?" + asking({ ids: [...selected].join() });
  byId("every").href = "/api/rows.csv?" + asking();
}

function check() {
  for (const box of place.querySelectorAll("input")) box.checked = selected.has(Number(box.dataset.id));
  tell();
}

place.addEventListener("change", ({ target }) => {
  const id = Number(target.dataset.id);
  if (target.checked) selected.add(id); else selected.delete(id);
  tell();
});
byId("pick").addEventListener("click", () => { ids.forEach((id) => selected.add(id)); check(); });
byId("clear").addEventListener("click", () => { selected.clear(); check(); byId("pick").focus(); });
let typing = 0;
form.q.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => change({ q: form.q.value }), 150);
});
const again = () => load(false).catch((error) => say(error.message));
more.addEventListener("click", again);
byId("unfilter").addEventListener("click", () => { change({ show: "all", kind: "", q: "" }); form.show.focus(); });
const end = new IntersectionObserver((entries) => { if (entries.at(-1).isIntersecting && ids.length && ids.length < total) again(); },
  { rootMargin: "400px" });
