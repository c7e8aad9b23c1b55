// The panel "The path of θ": theta against updates.

import { count } from "../core/count.js";
import { axesAreHeld, timeTicks } from "../drawing/axes.js";
import { h } from "../drawing/dom.js";
import { number } from "../drawing/format.js";
import { Plot } from "../drawing/plot.js";
import { addPointerListeners } from "../drawing/pointer.js";
import { linear, span } from "../drawing/scales.js";

export class PathView {
  constructor(app) {
    this.app = app;
    const canvas = h("canvas", { "aria-label": "theta over the updates" });
    this.element = h("section.card.path", {}, h("header", {}, h("h2", { text: "The path of θ" }), h("p", { text: "dashed: θ*, where the votes cancel" })), canvas);
    this.plot = new Plot(canvas);
    addPointerListeners(canvas, this);
  }

  draw() {
    const { state, colours } = this.app;
    const { plot } = this;
    const now = state.now();
    plot.begin(colours);
    if (!plot.visible || !now || !now.run.model.feature) return;
    const { run } = now;
    plot.margin = { left: 62, right: 78, top: 8, bottom: 22 };
    const values = [run.thetaOptimum, ...((axesAreHeld() && this.range) || [])];
    const stride = Math.max(1, Math.floor(run.S / 1500));
    for (let s = 0; s < run.S; s += stride) for (let r = 0; r < run.R; r++) values.push(run.trainedValue(s, r, "theta"));
    this.range = span(values, axesAreHeld() ? 0 : 0.1);
    const time = state.time;
    plot.scales({ low: 0, high: state.last, f: time.f, g: time.g, ticks: (maxCount) => timeTicks(state, maxCount) }, linear(...this.range));
    const key = [run.name, run.historyVersion, now.r, time.key, plot.width, plot.height, plot.ratio, colours.paper].join();
    plot.layer("path", key, () => {
      plot.axes({ xLabel: "updates", yName: "θ" });
      plot.clipped(() => {
        for (let r = 0; r < run.R; r++) {
          const u = [], t = [];
          for (let s = 0; s < run.S; s += stride) u.push(run.update[s]), t.push(run.trainedValue(s, r, "theta"));
          plot.line(u, t, { colour: colours.ink, width: r === now.r ? 2 : 1, alpha: r === now.r ? 1 : 0.3 });
        }
      });
    });
    const { left, right, top, bottom } = plot.area;
    const optimum = plot.Y(run.thetaOptimum);
    plot.segment(left, optimum, right, optimum, { colour: colours.truth, width: 1.6, dash: [6, 4] });
    plot.rightLabel(`θ* = ${number(run.thetaOptimum)}`, optimum + 4, { colour: colours.truth });
    const x = plot.X(now.update);
    plot.segment(Math.round(x) + 0.5, top, Math.round(x) + 0.5, bottom, { colour: colours.now, width: 1.2 });
    if (now.finite) plot.disc(x, plot.Y(now.runNet.theta), 5, { fill: colours.ink, edge: colours.paper, width: 2 });
  }

  hover(px, py, event) {
    const { state } = this.app;
    const now = state.now();
    const { left, right } = this.plot.area;
    if (!now || px < left || px > right) return this.app.tooltip.hide(), "default";
    const update = state.nearest((px - left) / (right - left));
    this.app.tooltip.show(event, [`update ${count(update)}`, `θ = ${number(now.run.net(now.run.snapshotAt(update), now.r).theta)}`]);
    return "ew-resize";
  }

  leave() {
    this.app.tooltip.hide();
  }

  down(px) {
    this.drag(px);
    return true;
  }

  drag(px) {
    const { left, right } = this.plot.area;
    const { state } = this.app;
    state.change({ playing: false });
    state.goTo(state.nearest(Math.max(0, Math.min(1, (px - left) / (right - left)))));
  }
}
