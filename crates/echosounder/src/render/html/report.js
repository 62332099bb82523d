"use strict";
// Adds to each figure a readout that follows the pointer or the arrow keys, and a switch between linear and logarithmic
// scales. The page is complete without this script.

function parseReadings(text) {
  return text.split(";").map(reading => {
    const space = reading.indexOf(" ");
    return { at: Number(reading.slice(0, space)) / 1000, text: reading.slice(space + 1) };
  });
}

// Tooltips of the title would cover the figure.
function replaceTitle(svg) {
  const title = svg.querySelector("title");
  svg.setAttribute("aria-label", title.textContent);
  svg.removeAttribute("aria-labelledby");
  svg.setAttribute("aria-describedby", svg.querySelector("desc").id);
  title.remove();
}

function addSwitch(figure, caption, changed) {
  if (figure.querySelectorAll("g.linear, g.log").length !== 2) { return; }
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Logarithmic scale";
  const update = () => { button.setAttribute("aria-pressed", String(figure.dataset.scale === "log")); };
  button.addEventListener("click", () => {
    figure.dataset.scale = figure.dataset.scale === "log" ? "linear" : "log";
    update();
    changed();
  });
  update();
  caption.querySelector(".scale")?.remove();
  caption.append(button);
}

for (const figure of document.querySelectorAll("figure")) {
  const plot = figure.querySelector(".plot");
  const caption = figure.querySelector("figcaption");
  const svg = plot.querySelector("svg");
  replaceTitle(svg);
  // A scale without readings of its own has those of the other one.
  const readings = {};
  for (const scale of ["linear", "log"]) {
    const layer = figure.querySelector(`g.${scale}[data-readings]`) ?? figure.querySelector("g[data-readings]");
    readings[scale] = parseReadings(layer.dataset.readings);
  }
  const cross = document.createElement("div");
  cross.className = "cross";
  cross.style.height = plot.dataset.low + "px";
  cross.hidden = true;
  plot.append(cross);
  const readout = document.createElement("p");
  readout.className = "readout";
  readout.textContent = "Point at the figure, or use the arrow keys.";
  let current = 0;
  addSwitch(figure, caption, () => { current = 0; cross.hidden = true; });
  caption.append(readout);
  plot.tabIndex = 0;
  const show = number => {
    const all = readings[figure.dataset.scale];
    current = Math.max(0, Math.min(all.length - 1, number));
    const box = svg.getBoundingClientRect();
    cross.style.left = box.left - plot.getBoundingClientRect().left + all[current].at * box.width + "px";
    cross.hidden = false;
    readout.textContent = all[current].text;
  };
  plot.addEventListener("pointermove", event => {
    const all = readings[figure.dataset.scale];
    const box = svg.getBoundingClientRect();
    const at = (event.clientX - box.left) / box.width;
    const distance = number => Math.abs(all[number].at - at);
    show(all.reduce((best, _, number) => Math.sign(distance(best) - distance(number)) === 1 ? number : best, 0));
  });
  plot.addEventListener("pointerleave", () => { cross.hidden = true; });
  plot.addEventListener("keydown", event => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) { event.preventDefault(); readout.setAttribute("aria-live", "polite"); show(current + step); }
  });
}
