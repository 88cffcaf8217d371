"use strict";
// Plots: what lies nearest to the pointer, or where the arrow keys are, is named; a click or Enter leads to its image, or to the images with such scores.
const tip = element("div", { class: "tip", role: "status", hidden: "" }), ring = element("i", { class: "ring", hidden: "" });
const REACH = 24;  // pixels from a point at which it is meant
const cssLength = (share) => `${100 * share}%`;
const within = (plot) => JSON.parse(plot.querySelector("script").textContent);
const methodOf = (plot) => Math.max(0, data.methods.indexOf(plot.closest("figure").querySelector("select")?.value));
// Of a figure with a view of each method, the goals are that method's.
const cardOf = (plot, goal) => data.cards.find((card) => card.id === goal && card.method === methodOf(plot));

// The image of a dot that has no card, cut out of the sheet of thumbnails.
const sheet = data.thumbnails;
if (sheet) document.head.append(element("style", {}, `.thumbnail { background-image: url(${sheet.src}); width: ${sheet.side}px; height: ${sheet.side}px; }`));
function thumbnail(id) {
  const place = sheet ? sheet.ids.indexOf(id) : -1, at = (index) => `-${sheet.side * index}px`;
  return place < 0 ? [] : [element("i", { class: "thumbnail", style: `background-position: ${at(place % sheet.columns)} ${at(Math.floor(place / sheet.columns))}` })];
}

function nearest(plot, points, event) {
  const { left, top, width, height } = plot.getBoundingClientRect();
  const bins = Array.isArray(points[0][3]);  // of a histogram the bin is meant, at whatever height
  const distance = ([x, y]) => Math.hypot(x * width - event.clientX + left, bins ? 0 : y * height - event.clientY + top);
  const point = points.reduce((a, b) => (distance(b) < distance(a) ? b : a));
  return distance(point) < REACH ? point : null;
}

function show(plot, point) {
  tip.hidden = ring.hidden = !point;
  const [x, y, text, goal] = point ?? [];
  const card = Number.isInteger(goal) ? cardOf(plot, goal) : undefined;
  plot.classList.toggle("leads", Boolean(card) || Array.isArray(goal));
  if (!point) return;
  tip.replaceChildren(...(card ? [picture(card)] : thumbnail(goal)), text);
  for (const mark of [tip, ring]) Object.assign(mark.style, { left: cssLength(x), top: cssLength(y) });
  // Above the point, or below one at the top; shifted by the share of its width that keeps it inside of the plot.
  tip.style.transform = `translate(${cssLength(-x)}, ${y > 0.3 ? "calc(-100% - .8rem)" : ".8rem"})`;
  plot.append(ring, tip);
}

// The limits of a bar, as short as they can be without leaving out what it holds.
function rounded([low, high]) {
  const unit = 10 ** Math.floor(Math.log10((high - low) / 10));
  return [Math.floor(low / unit) * unit, Math.ceil(high / unit) * unit].map((limit) => Number(limit.toPrecision(12)));
}
function lead(plot, [, , , goal]) {
  if (Array.isArray(goal)) {
    [form.low.value, form.high.value] = rounded(goal);
    form.method.value = methodOf(plot);
    form.group.value = form.kind.value = "";
    draw();
    document.getElementById("gallery").scrollIntoView();
  } else if (cardOf(plot, goal)) {
    openedFrom = plot;
    open(0, [cardOf(plot, goal)]);
  }
}

for (const { parentElement: plot } of document.querySelectorAll(".plot > script")) {
  const { points } = within(plot), follow = (event) => show(plot, nearest(plot, points, event));
  const leads = points.some(([, , , goal]) => goal !== null);
  let at = -1;  // the point that the arrow keys have come to
  Object.assign(plot, { tabIndex: 0, role: "group", ariaLabel: `${plot.querySelector("svg").getAttribute("aria-label")} The arrow keys name its points${leads ? ", Enter leads to their images" : ""}.` });
  plot.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by && event.key !== "Enter") return;
    event.preventDefault();
    if (!by) {
      if (points[at]) lead(plot, points[at]);
      return;
    }
    at = at < 0 && by < 0 ? points.length - 1 : (at + by + points.length) % points.length;
    show(plot, points[at]);
  });
  plot.addEventListener("blur", () => show(plot, null));
  let touches = false, tapped = null;  // a finger does not hover: the first tap on a bar names it, the second leads on
  plot.addEventListener("pointermove", follow);
  plot.addEventListener("pointerdown", (event) => { touches = event.pointerType === "touch"; follow(event); });
  plot.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") show(plot, null); });
  plot.addEventListener("click", (event) => {
    const point = nearest(plot, points, event), first = touches && Array.isArray(point?.[3]) && point !== tapped;
    tapped = point;
    if (point && !first) lead(plot, point);
  });
  document.addEventListener("pointerdown", (event) => {
    if (plot.contains(event.target)) return;
    tapped = null;
    if (plot.contains(tip)) show(plot, null);
  });
}

// The threshold of the histogram: a line, and what would be flagged beyond it.
const control = document.querySelector("form.threshold");
if (control) {
  const { thresholds, default: usual } = data.thresholds, slider = control.elements.threshold, start = usual ?? thresholds.length - 1;
  const plot = document.querySelector("#scores .plot"), { box, limits } = within(plot), line = element("i", { class: "line" });
  const update = () => {
    const place = Number(slider.value), { value, rows } = describeThreshold(data.thresholds, place);
    control.querySelector("output").replaceChildren(element("p", {}, value), element("dl", {}, ...rows.flatMap(([name, text]) =>
      [element("dt", {}, name), element("dd", {}, text)])));
    slider.setAttribute("aria-valuetext", value.replace("above ", ""));
    const share = Math.min(1, (thresholds[place] - limits[0]) / (limits[1] - limits[0]));
    Object.assign(line.style, { left: cssLength(box[0] + share * (box[2] - box[0])), top: cssLength(box[1]), height: cssLength(box[3] - box[1]) });
  };
  slider.max = thresholds.length - 1;
  control.hidden = false;
  control.querySelector("button").addEventListener("click", () => { slider.value = start; update(); });
  slider.addEventListener("input", update);
  slider.value = start;
  plot.append(line);
  update();
}
