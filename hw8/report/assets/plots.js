"use strict";
// Plots: what lies nearest to the pointer, or where the arrow keys are, is named; a click or Enter leads to its image, or to the images with such scores.
const tip = element("div", { class: "tip", role: "status", hidden: "" }), ring = element("i", { class: "ring", hidden: "" });
const thumbnails = new Map((data.sheet?.ids ?? []).map((id, place) => [id, place]));
const REACH = 24, SIDE = 64;  // pixels: from a point at which it is meant, and of a thumbnail
const percent = (share) => `${100 * share}%`;
const within = (plot) => JSON.parse(plot.querySelector("script").textContent);

function thumbnail(id) {
  const { src, across, lines } = data.sheet, place = thumbnails.get(id), image = element("div", { class: "thumbnail" });
  image.style.backgroundImage = `url(${src})`;
  image.style.backgroundSize = `${across * SIDE}px ${lines * SIDE}px`;
  image.style.backgroundPosition = `${-SIDE * (place % across)}px ${-SIDE * Math.floor(place / across)}px`;
  return image;
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
  plot.classList.toggle("leads", Boolean(point) && point[3] !== null);
  if (!point) return;
  const [x, y, text, goal] = point;
  tip.replaceChildren(...(thumbnails.has(goal) ? [thumbnail(goal)] : []), text);
  for (const mark of [tip, ring]) Object.assign(mark.style, { left: percent(x), top: percent(y) });
  // Above the point, or below one at the top; shifted by the share of its width that keeps it inside of the plot.
  tip.style.transform = `translate(${percent(-x)}, ${y > 0.3 ? "calc(-100% - .8rem)" : ".8rem"})`;
  plot.append(ring, tip);
}

// Of a figure with a view of each method, the goals are that method's.
function lead(plot, [, , text, goal]) {
  const method = Math.max(0, data.methods.indexOf(plot.closest("figure").querySelector("select")?.value));
  if (Array.isArray(goal)) {
    Object.assign(form.low, { value: goal[0] });
    Object.assign(form.high, { value: goal[1] });
    Object.assign(form.method, { value: method });
    form.group.value = form.kind.value = "";
    draw();
    document.getElementById("gallery").scrollIntoView();
  } else if (goal !== null) {
    const card = data.cards.find((each) => each.id === goal && each.method === method);
    if (card) open(0, [card]);
    else {
      const close = element("button", { type: "button", class: "plain" }, "close");
      close.addEventListener("click", () => dialog.close());
      listed = [];
      dialog.replaceChildren(element("div", { class: "bar" }, close), element("h2", { id: "dialog-title" }, text), thumbnail(goal),
        ...explain(goal, "explains its score; it is not among the cards of this page"));
      dialog.showModal();
    }
  }
}

for (const { parentElement: plot } of document.querySelectorAll(".plot > script")) {
  const { points } = within(plot), follow = (event) => show(plot, nearest(plot, points, event));
  let at = -1;  // the point that the arrow keys have come to
  Object.assign(plot, { tabIndex: 0, role: "group", ariaLabel: "Plot: the arrow keys name its points, Enter leads to their images" });
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
  const { threshold, p, groups, start, labelled } = data.thresholds, slider = control.elements.threshold;
  const plot = document.querySelector("#scores .plot"), { box, limits } = within(plot), line = element("i", { class: "line" });
  const of = (part, all) => `${part.toLocaleString("en")} of ${all.toLocaleString("en")}`;
  const sum = (some, count) => some.reduce((total, group) => total + count(group), 0);
  const update = () => {
    const step = Number(slider.value), flagged = (group) => group.flagged[step], count = (group) => group.count;
    const normal = groups.filter((group) => group.normal), others = groups.filter((group) => !group.normal);
    const missed = (group) => group.count - flagged(group), limit = p === null ? "" : `: p ≤ ${number(p[step], 2)}`;
    const rows = [["flagged", `${of(sum(groups, flagged), sum(groups, count))} images`]];
    if (labelled) {
      rows.push(["false alarms", `${of(sum(normal, flagged), sum(normal, count))} normal images`]);
      rows.push(["misses", `${of(sum(others, missed), sum(others, count))} anomalies`]);
      if (others.length > 1) rows.push(...others.map((group) => [`missed ${group.name}`, of(missed(group), group.count)]));
    }
    control.querySelector("output").replaceChildren(element("p", {}, `above ${number(threshold[step])}${limit}`), element("dl", {}, ...rows.flatMap(([name, text]) =>
      [element("dt", {}, name), element("dd", {}, text)])));
    slider.setAttribute("aria-valuetext", `${number(threshold[step])}${limit}`);
    const share = Math.min(1, (threshold[step] - limits[0]) / (limits[1] - limits[0]));
    Object.assign(line.style, { left: percent(box[0] + share * (box[2] - box[0])), top: percent(box[1]), height: percent(box[3] - box[1]) });
  };
  slider.max = threshold.length - 1;
  control.hidden = false;
  control.querySelector("button").addEventListener("click", () => { slider.value = start; update(); });
  slider.addEventListener("input", update);
  slider.value = start;
  plot.append(line);
  update();
}
