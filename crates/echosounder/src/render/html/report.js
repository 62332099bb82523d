"use strict";
// Tells what a figure shows where the pointer is, or where the arrow keys have gone. The page is whole without it.
for (const plot of document.querySelectorAll(".plot")) {
  const readings = plot.dataset.readings.split(";").map(reading => {
    const space = reading.indexOf(" ");
    return { at: Number(reading.slice(0, space)) / 1000, text: reading.slice(space + 1) };
  });
  const svg = plot.querySelector("svg");
  const title = svg.querySelector("title");
  // The title would cover the figure as a tooltip.
  svg.setAttribute("aria-label", title.textContent);
  svg.removeAttribute("aria-labelledby");
  svg.setAttribute("aria-describedby", svg.querySelector("desc").id);
  title.remove();
  const cross = document.createElement("div");
  cross.className = "cross";
  cross.style.height = plot.dataset.low + "px";
  cross.hidden = true;
  plot.append(cross);
  const readout = document.createElement("p");
  readout.className = "readout";
  readout.textContent = "Point at it, or use the arrow keys.";
  plot.previousElementSibling.append(readout);
  plot.tabIndex = 0;
  let now = 0;
  const show = number => {
    now = Math.max(0, Math.min(readings.length - 1, number));
    const box = svg.getBoundingClientRect();
    cross.style.left = box.left - plot.getBoundingClientRect().left + readings[now].at * box.width + "px";
    cross.hidden = false;
    readout.textContent = readings[now].text;
  };
  plot.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect();
    const at = (event.clientX - box.left) / box.width;
    const off = number => Math.abs(readings[number].at - at);
    show(readings.reduce((best, _, number) => Math.sign(off(best) - off(number)) === 1 ? number : best, 0));
  });
  plot.addEventListener("pointerleave", () => { cross.hidden = true; });
  plot.addEventListener("keydown", event => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) { event.preventDefault(); readout.setAttribute("aria-live", "polite"); show(now + step); }
  });
}
