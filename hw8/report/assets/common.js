"use strict";
const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};
const whole = (count) => count.toLocaleString("en");
const number = (value, digits = 3) => (Math.abs(value) >= 999.5 ? whole(Math.round(value)) : Number(value.toPrecision(digits)).toString());
const percent = (share) => `${number(100 * share)}%`;
const ofAll = (part, all) => `${whole(part)} of ${whole(all)}`;

// Where `signed`, bars of negative values point to the left.
function bars(title, entries, width, mild, text, signed = false) {
  const rows = entries.flatMap(([name, value]) => {
    const bar = element("i", { class: `${mild(value) ? "mild" : ""} ${value < 0 ? "below" : ""}` });
    bar.style.width = `${Math.min(100, width(value))}%`;
    return [element("span", {}, name), element("div", {}, bar), element("span", {}, text(value, name))];
  });
  return [element("h3", {}, title), element("div", { class: signed ? "bars signed" : "bars" }, ...rows)];
}

// A p-value from so many calibration images, in words where it is the smallest there can be.
const rarity = (p, calibrationCount) => (calibrationCount && Math.round(p * (calibrationCount + 1)) <= 1
  ? `rarer than all ${whole(calibrationCount)} normals` : `p = ${number(p, 2)}`);

// What sets an image apart, in words.
const inWords = (explained) => (explained.words ? [element("p", { class: "reason" }, `Compared with normal images: ${explained.words}.`)] : []);

// What is known of an image: how unusual each piece of evidence is, and what deviates most.
function reasons(explained, calibrationCount) {
  const parts = Object.entries(explained.parts || {}).sort((a, b) => a[1] - b[1]);
  const shares = Object.entries(explained.shares || {}).sort((a, b) => b[1] - a[1]);
  const negative = shares.some(([, share]) => share < -0.005);
  const deviations = Object.entries(explained.deviations || {}), added = explained.added || {};
  const what = Object.keys(added).length ? "Single measurements that add most, with their shares" : "Largest deviations";
  return [
    ...(parts.length ? bars("How unusual is the evidence (p-value)", parts, (p) => -Math.log10(p) * 33, (p) => p > 0.05,
      (p) => rarity(p, calibrationCount).replace(/^p = /, "")) : []),
    ...(shares.length ? bars("What the score is made of: shares of the squared distance", shares, (share) => Math.abs(share) * (negative ? 50 : 100),
      (share) => share < 0.1, (share) => `${Math.round(100 * share)}%`, negative) : []),
    ...(deviations.length ? bars(`${what}; in units of the normals' spread (usual: -2 to 2)`, deviations, (z) => Math.abs(z) * 6,
      (z) => Math.abs(z) < 2, (z, name) => (z > 0 ? "+" : "") + z.toFixed(1) + (name in added ? ` (${Math.round(100 * added[name])}%)` : ""), true) : []),
    ...(Object.keys(added).length ? [element("p", { class: "hint" },
      `All others together add ${Math.round(100 * (1 - Object.values(added).reduce((sum, share) => sum + share, 0)))}%.`)] : []),
  ];
}

const options = (select, pairs) => select.replaceChildren(...pairs.map(([value, text]) => element("option", { value }, text)));

// The name of a picture's file with the folder it is in: more would fill the line; the whole of it as one points at it.
const fileName = (file) => (file === undefined ? [] : [element("span", { class: "file", title: file }, file.split("/").slice(-2).join("/"))]);

// Words below a card's picture, each in a place of its own.
const words = (...texts) => element("span", {}, ...texts.filter((text) => text !== "").map((text) =>
  (typeof text === "string" ? element("small", {}, text) : text)));

const kindTag = ({ kind, anomalous }) => (kind === undefined ? "" : element("b", { class: anomalous ? "tag bad" : "tag normal" }, kind));

// Whether an image is flagged and, where its label is known, whether that is right.
function verdictOf({ flagged, anomalous }) {
  if (flagged) return anomalous === undefined ? "flagged" : anomalous ? "found" : "false alarm";
  return anomalous ? "missed" : "not flagged";
}
function chip(card) {
  if (card.flagged === undefined) return "";  // without p-values
  const verdict = verdictOf(card);
  return element("strong", { class: `chip${{ flagged: " notice", "false alarm": " wrong", missed: " wrong", "not flagged": " quiet" }[verdict] ?? ""}` }, verdict);
}

const fillDialog = (dialog, bar, ...content) => {
  const focused = document.activeElement?.dataset?.step;
  dialog.replaceChildren(element("div", { class: "bar" }, ...bar), ...content);
  if (!dialog.open) dialog.showModal();
  dialog.querySelector(`[data-step="${focused ?? "close"}"]`)?.focus();  // the button that had the focus was replaced
  dialog.scrollTop = 0;
};
function stepButton(text, action) {
  const button = element("button", { type: "button", class: "plain" }, text);
  button.dataset.step = text;
  button.addEventListener("click", action);
  return button;
}
const stepBar = (dialog, step) => [stepButton("← previous", () => step(-1)), stepButton("close", () => dialog.close()), stepButton("next →", () => step(1))];
const closeOnBackdrop = (dialog) => dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

// What a threshold means: its value, and what is flagged above it.
function describeThreshold({ thresholds, p, groups }, place) {
  const count = (some, of) => some.reduce((sum, group) => sum + of(group), 0);
  const flagged = (group) => group.above[place], missed = (group) => group.total - flagged(group);
  const line = (name, some, of, what) => {
    const part = count(some, of), all = count(some, (group) => group.total);
    return [name, `${ofAll(part, all)}${what}${all ? ` (${percent(part / all)})` : ""}`];
  };
  const normal = groups.filter((group) => group.normal), others = groups.filter((group) => !group.normal);
  const rows = [line("Flagged", groups, flagged, " images")];
  if (normal.length) {
    rows.push(line("False alarms", normal, flagged, " normal images"), line("Misses", others, missed, " anomalies"));
    if (others.length > 1) rows.push(...others.map((group) => line(`Missed ${group.name}`, [group], missed, "")));
  }
  return { value: `above ${number(thresholds[place])}${p ? `, p ≤ ${number(p[place], 2)}` : ""}`, rows };
}
