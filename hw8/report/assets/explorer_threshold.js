"use strict";
// The histogram of a score, and the threshold above which images are flagged.
const BINS = 60, WIDTH = 240, HEIGHT = 70;  // of the plot, as its viewBox says
const plot = document.querySelector("#histogram svg"), slider = byId("threshold");
let histogram = null;

async function loadHistogram() {
  const { run, by } = state, isLate = () => run !== state.run || by !== state.by;  // another score was chosen meanwhile
  slider.disabled = true;
  let answer;
  try { answer = await ask("/api/histogram?" + query({ run, by })); } finally { if (!isLate()) slider.disabled = false; }
  if (isLate()) return;
  histogram = answer;
  const { thresholds, groups } = histogram, width = (thresholds.length - 1) / BINS;
  const counts = groups.map(({ above, total }) => Array.from({ length: BINS }, (_, bin) =>
    (bin ? above[bin * width] : total) - (bin < BINS - 1 ? above[(bin + 1) * width] : 0)));
  const highest = Math.max(...counts[0].map((_, bin) => counts.reduce((sum, group) => sum + group[bin], 0)), 1);
  const bars = [];
  for (let bin = 0; bin < BINS; bin += 1) {
    let top = HEIGHT;
    counts.forEach((group, place) => {
      const height = HEIGHT * group[bin] / highest;
      top -= height;
      bars.push(shape("rect", { x: bin * WIDTH / BINS, y: top, width: 0.9 * WIDTH / BINS, height, class: kindOf(groups[place]) }));
    });
  }
  plot.replaceChildren(...bars, shape("line", { y1: 0, y2: HEIGHT }));
  slider.max = thresholds.length - 1;
  const [low, text, high] = document.querySelectorAll("#histogram .ends span");
  low.textContent = number(thresholds[0]);
  high.textContent = `≥ ${number(thresholds.at(-1))}`;
  text.replaceChildren(`${state.by} of `, ...groups.flatMap((group) => [element("i", { class: kindOf(group) }), ` ${group.name} `]));
}

const kindOf = (group) => (group.normal || histogram.groups.length === 1 ? "normal" : "anomalous");
const shape = (name, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

// The place of the threshold in the address, or of p = 0.05; the last one where nothing can be flagged.
function placeOf(t) {
  const { thresholds, default: usual } = histogram;
  if (t === "") return usual ?? thresholds.length - 1;
  const distances = thresholds.map((value) => Math.abs(value - Number(t)));
  return distances.indexOf(Math.min(...distances));
}

function drawThreshold() {
  slider.value = placeOf(state.t);
  describe();
  byId("reset").hidden = state.t === "";
  byId("reset").textContent = histogram.default === null ? "Flag none" : "Back to p = 0.05";
}

function describe() {
  const place = Number(slider.value), { value, rows: [[, flagged], ...mistakes] } = describeThreshold(histogram, place);
  const line = plot.querySelector("line"), x = place / (histogram.thresholds.length - 1) * WIDTH;
  line.setAttribute("x1", x);
  line.setAttribute("x2", x);
  byId("counts").textContent = [`Flagged ${value}: ${flagged}.`, ...mistakes.map(([name, text]) => `${name}: ${text}.`)].join(" ");
  slider.setAttribute("aria-valuetext", value.replace("above ", ""));
}

slider.addEventListener("input", describe);
slider.addEventListener("change", () => {
  const place = Number(slider.value);
  change({ t: place === placeOf("") ? "" : String(histogram.thresholds[place]) });
});
byId("reset").addEventListener("click", () => { change({ t: "" }); slider.focus(); });
