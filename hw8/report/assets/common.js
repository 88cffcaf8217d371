"use strict";
const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};
const number = (value, digits = 3) => (Math.abs(value) >= 999.5 ? Math.round(value).toLocaleString("en") : Number(value.toPrecision(digits)).toString());

// Where `signed`, bars of negative values point to the left.
function bars(title, entries, width, mild, text, signed = false) {
  const rows = entries.flatMap(([name, value]) => {
    const bar = element("i", { class: `${mild(value) ? "mild" : ""} ${value < 0 ? "below" : ""}` });
    bar.style.width = `${Math.min(100, width(value))}%`;
    return [element("span", {}, name), element("div", {}, bar), element("span", {}, text(value, name))];
  });
  return [element("h3", {}, title), element("div", { class: signed ? "bars signed" : "bars" }, ...rows)];
}

// A p-value from so many normal images, in words where it is the smallest there can be.
const rare = (p, normals) => (normals && Math.round(p * (normals + 1)) <= 1
  ? `none of ${normals.toLocaleString("en")} normals` : `p ${number(p, 2)}`);

// What sets an image apart, in words.
const inWords = (explained) => (explained.words ? [element("p", {}, `Compared with normal images: ${explained.words}.`)] : []);

// What is known of an image: how unusual each piece of evidence is, and what deviates most.
function reasons(explained, normals) {
  const parts = Object.entries(explained.parts || {}).sort((a, b) => a[1] - b[1]);
  const shares = Object.entries(explained.shares || {}).sort((a, b) => b[1] - a[1]);
  const negative = shares.some(([, share]) => share < -0.005);
  const deviations = Object.entries(explained.deviations || {}), added = explained.added || {};
  const what = Object.keys(added).length ? "Single measurements that add most, with their shares" : "Largest deviations";
  return [
    ...(parts.length ? bars("How unusual is the evidence (p-value)", parts, (p) => -Math.log10(p) * 33, (p) => p > 0.05,
      (p) => rare(p, normals).replace(/^p /, "")) : []),
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
