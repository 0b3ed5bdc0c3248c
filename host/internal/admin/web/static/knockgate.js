// What the pages do beyond HTML: charts, and rows that come live.
"use strict";

function draw(box) {
  const data = JSON.parse(box.dataset.chart);
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue("--kg-" + name).trim();
  const line = (name, dash) => ({ label: name, stroke: colour(name), width: 2, dash });
  const axis = { stroke: colour("axis"), grid: { stroke: colour("grid"), width: 1 } };
  box.replaceChildren();
  new uPlot({
    width: box.clientWidth, height: 220, legend: { live: false }, cursor: { show: false },
    scales: { y: { range: (_, min, max) => [0, Math.max(max, 1)] } }, axes: [axis, axis],
    series: [{}, line("allow"), line("deny", [8, 4]), line("incompatible", [2, 3]), line("faults", [12, 4, 2, 4])],
  }, [data.at, data.allow, data.deny, data.incompatible, data.faults].map((column) => column ?? []), box);
}

function drawAll() {
  document.querySelectorAll("[data-chart]").forEach(draw);
}

function live(rows) {
  const pause = document.getElementById("pause");
  const text = document.getElementById("live-text");
  const most = 200;
  let held = [], seen = 0;
  const source = new EventSource(rows.dataset.stream);
  const show = (html) => {
    rows.insertAdjacentHTML("afterbegin", html);
    document.getElementById("none")?.remove();
    while (rows.children.length > most) rows.lastElementChild.remove();
  };
  source.onmessage = (event) => {
    seen++;
    if (pause.getAttribute("aria-pressed") !== "true") return show(event.data);
    held = held.concat(event.data).slice(-most);
    text.textContent = held.length + " new, not shown yet.";
  };
  setInterval(() => {
    if (seen && pause.getAttribute("aria-pressed") !== "true") text.textContent = seen + " new.";
    seen = 0;
  }, 10000);
  source.onerror = () => { text.textContent = "Not live now."; };
  source.onopen = () => { text.textContent = "New decisions come by themselves."; };
  pause.onclick = () => {
    const on = pause.getAttribute("aria-pressed") !== "true";
    pause.setAttribute("aria-pressed", String(on));
    if (!on) held.splice(0).forEach(show);
    text.textContent = on ? "Paused." : "New decisions come by themselves.";
  };
  document.getElementById("live-bar").hidden = false;
}

const rows = document.querySelector("[data-stream]");
if (rows) live(rows);
drawAll();
addEventListener("resize", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
document.body.addEventListener("htmx:afterSettle", drawAll);
// What somebody reads is not replaced.
document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target.id === "live" && (event.target.querySelector("details[open]") || event.target.contains(document.activeElement))) event.preventDefault();
});
