// The panel "The elbows through time": the position of each elbow over the updates. x as in the function above; time runs
// downwards.

import { count } from "../core/count.js";
import { BENT, DEAD, elbow, slopeJump } from "../core/elbows.js";
import { isTrained } from "../core/models/relu.js";
import { jumpPosition, labelWidth, LEFT_MARGIN, timeTicks, xScale } from "../drawing/axes.js";
import { h, setCaption } from "../drawing/dom.js";
import { Plot } from "../drawing/plot.js";
import { addPointerListeners } from "../drawing/pointer.js";
import { bendLegend, diverging } from "../drawing/theme.js";

const MAX_LINES = 300, HIT_RADIUS = 8;

export class ElbowsThroughTimeView {
  constructor(app) {
    this.app = app;
    this.caption = h("p");
    const canvas = h("canvas", { "aria-label": "The positions of the elbows over the updates" });
    this.element = h("section.card.elbows-through-time", {}, h("header", {}, h("h2", { text: "The elbows through time" }), this.caption), canvas);
    this.plot = new Plot(canvas);
    addPointerListeners(canvas, this);
  }

  draw() {
    const { state, colours } = this.app;
    const now = state.now();
    const { plot } = this;
    plot.begin(colours);
    if (!plot.visible || !now || !now.run.model.hasUnits) return;
    const { run, r } = now;
    plot.margin = { left: LEFT_MARGIN, right: labelWidth(plot.width), top: 8, bottom: 20 };
    const time = state.time;
    const down = { low: state.last, high: 0, f: (u) => 1 - time.f(u), g: (t) => time.g(1 - t), ticks: (maxCount) => timeTicks(state, maxCount) };
    plot.scales(xScale(state.runs.map((shown) => shown.run)), down);
    const every = Math.ceil(run.W / MAX_LINES);
    const shown = every > 1 ? `every ${every}th of ${count(run.W)} units; ` : "";
    const { w, b } = isTrained(run.trained);
    const note = w || b ? "; time runs downwards; click a line to select its unit" : "; they stay in place, as only the output layer is trained";
    setCaption(this.caption, [this.app.runPrefix() + shown, ...bendLegend(colours), note], colours);
    const key = [run.name, run.historyVersion, r, time.key, plot.width, plot.height, plot.ratio, colours.paper, state.runs.map((shown) => shown.run.name)].join();
    plot.layer("lines", key, () => {
      plot.axes({ yName: "updates" });
      plot.clipped(() => this.#lines(run, r, every));
    });
    this.#current(now);
  }

  /** The paths of the elbows, batched by colour. */
  #lines(run, r, every) {
    const { plot } = this;
    const { colours } = this.app;
    const position = jumpPosition(run), rows = plot.snapshotRows(run.update);
    const batches = new Map();
    const add = (colour, x1, y1, x2, y2) => {
      if (!batches.has(colour)) batches.set(colour, []);
      batches.get(colour).push(x1, y1, x2, y2);
    };
    if (rows.length === 1) rows.push(rows[0]);
    for (let k = 0; k < run.W; k += every) {
      let px = NaN, py = NaN, previous = 0;
      for (const s of rows) {
        const x = plot.X(run.elbow(s, r, k)), y = plot.Y(run.update[s]);
        const orientation = run.orientation(s, r, k);
        // the elbow of a unit passes through infinity when its input slope changes sign
        if (px === px && x === x && orientation === previous) add(diverging(colours, position(run.slopeJump(s, r, k))), clamp(px), py, clamp(x), y);
        (px = x), (py = y), (previous = orientation);
      }
    }
    const many = run.W / every > 60;
    for (const [colour, list] of batches) {
      plot.ctx.beginPath();
      for (let i = 0; i < list.length; i += 4) {
        plot.ctx.moveTo(list[i], list[i + 1]);
        plot.ctx.lineTo(list[i + 2], list[i + 3]);
      }
      plot.stroke({ colour, width: many ? 1 : 1.7, alpha: many ? 0.5 : 0.9 });
    }
  }

  /** The current update: a line and the elbows on it; and the path of the active unit. */
  #current(now) {
    const { plot } = this;
    const { state, colours } = this.app;
    const { run, r, s } = now, { left, right, top, bottom } = plot.area;
    const k = state.activeUnit;
    if (k !== null) this.#activeUnit(run, r, k);
    const y = Math.round(plot.Y(run.update[s])) + 0.5;
    plot.segment(left, y, right, y, { colour: colours.now, width: 1.2 });
    plot.text("now", right + 6, Math.min(bottom, Math.max(top + 8, y + 4)), { colour: colours.ink, bold: true });
    const position = jumpPosition(run), many = run.W > 60;
    plot.clipped(() => {
      for (let j = 0; j < now.net.w.length; j++) {
        const beta = elbow(now.net, j);
        const x = plot.X(beta);
        if (!(x >= left && x <= right)) continue;
        const colour = now.status[j] === DEAD ? colours.faint : diverging(colours, position(slopeJump(now.net, j)));
        plot.triangle(x, y, Math.sign(now.net.w[j]), j === k ? 7 : many ? 2.5 : 4.5, { fill: now.status[j] === BENT ? colour : colours.paper, edge: j === k ? colours.ink : colour });
      }
    });
    if (state.hover.x !== null && state.hover.unit === null) {
      const x = plot.X(state.hover.x);
      if (x >= left && x <= right) plot.segment(x, top, x, bottom, { colour: colours.faint, width: 1 });
    }
  }

  /** The path of the active unit. */
  #activeUnit(run, r, k) {
    const { plot } = this;
    const { colours } = this.app;
    const x = [], u = [];
    let previous = 0;
    for (const s of plot.snapshotRows(run.update)) {
      const orientation = run.orientation(s, r, k);
      if (orientation !== previous) x.push(NaN), u.push(0);
      previous = orientation;
      x.push(run.elbow(s, r, k));
      u.push(run.update[s]);
    }
    plot.clipped(() => {
      plot.line(x, u, { colour: colours.paper, width: 7, alpha: 0.8 });
      plot.line(x, u, { colour: colours.ink, width: 2.8 });
    });
  }

  /** The unit with its elbow near a position, or null. */
  unitAt(px, py) {
    const { state } = this.app;
    const now = state.now();
    if (!now || !now.run.model.hasUnits || !this.plot.fromY) return null;
    const s = now.run.snapshotAt(Math.max(0, this.plot.fromY(py)));
    let best = null, nearest = HIT_RADIUS;
    for (let k = 0; k < now.run.W; k++) {
      const d = Math.abs(this.plot.X(now.run.elbow(s, now.r, k)) - px);
      if (d < nearest) (nearest = d), (best = k);
    }
    return best;
  }

  hover(px, py, event) {
    const unit = this.unitAt(px, py);
    this.app.state.hoverOver({ x: this.plot.fromX?.(px) ?? null, unit, point: null });
    if (unit !== null) this.app.tooltip.show(event, this.app.describeUnit(unit));
    else this.app.tooltip.hide();
    return unit === null ? "ns-resize" : "pointer";
  }

  leave() {
    this.app.tooltip.hide();
    this.app.state.hoverOver();
  }

  down(px, py) {
    const { state } = this.app;
    const unit = this.unitAt(px, py);
    if (unit !== null) {
      state.change({ unit: unit === state.unit ? null : unit });
      return false;
    }
    this.drag(px, py);
    return true;
  }

  drag(px, py) {
    const { top, bottom } = this.plot.area;
    const { state } = this.app;
    state.change({ playing: false });
    state.goTo(state.nearest(Math.max(0, Math.min(1, (py - top) / (bottom - top)))));
  }
}

const clamp = (v) => Math.max(-1e5, Math.min(1e5, v));
