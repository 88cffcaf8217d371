"use strict";
// Images of one's own: chosen, dropped or pasted, several at once, each with a card of its own.
const own = byId("own"), drop = byId("drop"), file = byId("file"), progress = byId("progress");
const waiting = [];

async function take(files) {
  const busy = waiting.length > 0;
  waiting.push(...files);
  if (busy) return;  // the loop below takes these too
  for (let count = 1; waiting.length; count += 1) {
    progress.textContent = `Scoring image ${count} of ${count + waiting.length - 1} ...`;
    own.append(await scored(waiting[0]));
    waiting.shift();
  }
  progress.textContent = "";
}

async function scored(picture) {
  const { name } = picture;
  try {
    if (picture.size > LIMITS.largest_bytes)
      throw new Error(`${whole(Math.round(picture.size / 1e6))} MB; at most ${LIMITS.largest_bytes / 1e6} are taken: make the picture smaller`);
    const answer = await ask("/api/score?" + new URLSearchParams({ name, crop: byId("crop").value }), { method: "POST", body: picture });
    const lines = answer.runs.flatMap((run) => [
      words(`${answer.runs.length > 1 ? `${run.run}:` : "score"} ${number(run.score)}`, rarity(run.p, run.calibration_count)),
      words(chip(run)), element("span", { class: "reason" }, run.words)]);
    const button = element("button", { type: "button", class: answer.runs[0].flagged ? "card flagged" : "card" },
      element("img", { src: answer.runs[0].pictures[0][1], alt: name, width: 64, height: 64 }), ...lines,
      element("span", { class: "file" }, name));
    button.addEventListener("click", () => fill(answer, false));
    return element("div", { class: "cell" }, button);
  } catch (error) {
    return element("div", { class: "cell refused" }, element("b", { class: "bad" }, name), element("span", { class: "bad" }, error.message));
  }
}

file.addEventListener("change", () => { take([...file.files]); file.value = ""; });
document.addEventListener("paste", (event) => {
  if (event.target === form.q) return;
  const files = [...event.clipboardData.files];
  if (files.length) take(files); else say("The clipboard holds no image.");
});
for (const name of ["dragenter", "dragover"])
  document.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
document.addEventListener("dragleave", () => drop.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  if (event.dataTransfer.files.length) take([...event.dataTransfer.files]);
});
start();
