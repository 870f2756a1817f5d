// Losses under a pointer: each picture of curves is drawn anew, so that a step's numbers can be read off.
"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("tuning-data").textContent);
  const places = document.querySelectorAll("#tuning-curves .picture");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const LINES = ["--first", "--second", "--third", "--fourth"];
  const DASHES = [[], [6, 3], [2, 3], [9, 3, 2, 3]];

  function draw(curves, place) {
    const steps = [...new Set(curves.flatMap((curve) => curve.points.map(([step]) => step)))].sort((a, b) => a - b);
    const known = curves.map((curve) => new Map(curve.points));
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") }, font: "12px system-ui, sans-serif" };
    const wide = Math.min(560, document.documentElement.clientWidth - 32);
    const box = el("div", { class: "hovered" });
    new uPlot(
      {
        width: wide,
        height: 240,
        scales: { x: { time: false } },
        axes: [{ ...axis, label: "optimizer step", labelFont: axis.font }, { ...axis, label: "loss on answers", labelFont: axis.font }],
        series: [
          { label: "step" },
          ...curves.map((curve, n) => ({ label: curve.name, stroke: colour(LINES[n]), dash: DASHES[n], width: 2, spanGaps: true, points: { show: false } })),
        ],
      },
      [steps, ...known.map((points) => steps.map((step) => points.get(step) ?? null))],
      box,
    );
    return box;
  }

  charts.forEach((curves, number) => {
    if (!places[number]) return;
    const box = draw(curves, places[number]);
    places[number].after(box);
    places[number].classList.add("still"); // shown on paper, where nothing hovers
  });
})();
