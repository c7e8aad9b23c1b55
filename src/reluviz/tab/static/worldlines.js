// Where every elbow has been: position across, time downwards, below the function and on its x axis.

import * as math from "./math.js";
import { count, tick } from "./format.js";
import { h, say } from "./dom.js";
import { LEFT, jumpHeight, labelRoom, timeMarks, xScale } from "./frame.js";
import { Plot, ticks } from "./plot.js";
import { pointer } from "./pointer.js";
import { diverging } from "./theme.js";

const MOST_LINES = 300, NEAR = 8;

export class WorldlinesView {
  constructor(app) {
    this.app = app;
    this.caption = h("p");
    const canvas = h("canvas", { "aria-label": "The elbows' positions over the updates" });
    this.element = h("section.card.worldlines", {}, h("header", {}, h("h2", { text: "The elbows through time" }), this.caption), canvas);
    this.plot = new Plot(canvas);
    pointer(canvas, this);
  }

  draw() {
    const { state, colours } = this.app;
    const now = state.now();
    const { plot } = this;
    plot.begin(colours);
    if (!plot.visible || !now || now.run.model !== "relu") return;
    const { run, r } = now;
    plot.margin = { left: LEFT, right: labelRoom(plot.width), top: 8, bottom: 20 };
    const time = state.time;
    const down = { low: state.last, high: 0, f: (u) => 1 - time.f(u), g: (t) => time.g(1 - t), marks: (most) => timeMarks(state, most, ticks, tick) };
    plot.scales(xScale(state.runs.map((one) => one.run)), down);
    const every = Math.ceil(run.W / MOST_LINES);
    const shown = every > 1 ? `every ${every}th of ${count(run.W)} units; ` : "";
    const moving = run.trained.includes("bias") || run.trained.includes("input_slope");
    say(this.caption, this.app.whose() + shown + (moving ? "time runs downwards; orange bends f up, blue down; click a line to select its unit" : "only the output layer is trained: the elbows stay where they are, their bends grow"));
    const key = [run.name, run.version, r, time.key, plot.width, plot.height, plot.ratio, colours.paper, state.runs.map((one) => one.run.name)].join();
    plot.layer("lines", key, () => {
      plot.axes({});
      plot.text("updates", plot.area.left + 5, plot.area.bottom - 6, { halo: true });
      plot.clipped(() => this.#lines(run, r, every));
    });
    this.#present(now);
  }

  /** Snapshots to draw: one for each row of pixels. */
  rows(run) {
    const { top, bottom } = this.plot.area;
    const found = [];
    let last = -Infinity;
    for (let s = 0; s < run.S; s++) {
      const y = this.plot.Y(run.update[s]);
      if (y - last < 0.9 && s < run.S - 1 && s > 0) continue;
      found.push(s);
      last = y;
    }
    return bottom > top ? found : [];
  }

  #lines(run, r, every) {
    const { plot } = this;
    const { colours } = this.app;
    const height = jumpHeight(run), rows = this.rows(run);
    const batches = new Map();
    const add = (colour, x1, y1, x2, y2) => {
      if (!batches.has(colour)) batches.set(colour, []);
      batches.get(colour).push(x1, y1, x2, y2);
    };
    if (rows.length === 1) rows.push(rows[0]);
    for (let k = 0; k < run.W; k += every) {
      let px = NaN, py = NaN, side = 0;
      for (const s of rows) {
        const x = plot.X(run.elbow(s, r, k)), y = plot.Y(run.update[s]);
        const facing = Math.sign(run.value(s, r, "w", k));
        // an elbow whose unit turns round passes through infinity
        if (px === px && x === x && facing === side) add(diverging(colours, height(run.slopeJump(s, r, k))), clamp(px), py, clamp(x), y);
        (px = x), (py = y), (side = facing);
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

  #present(now) {
    const { plot } = this;
    const { state, colours } = this.app;
    const { run, r, s } = now, { left, right, top, bottom } = plot.area;
    const k = state.activeUnit;
    if (k !== null) this.#chosen(run, r, k);
    const y = Math.round(plot.Y(run.update[s])) + 0.5;
    plot.segment(left, y, right, y, { colour: colours.now, width: 1.2 });
    plot.text("now", right + 6, Math.min(bottom, Math.max(top + 8, y + 4)), { colour: colours.ink, bold: true });
    const height = jumpHeight(run), many = run.W > 60;
    plot.clipped(() => {
      for (let j = 0; j < now.net.w.length; j++) {
        const beta = math.elbow(now.net, j);
        const x = plot.X(beta);
        if (!(x >= left && x <= right)) continue;
        const colour = now.status[j] === math.DEAD ? colours.faint : diverging(colours, height(math.slopeJump(now.net, j)));
        plot.triangle(x, y, Math.sign(now.net.w[j]), j === k ? 7 : many ? 2.5 : 4.5, { fill: now.status[j] === math.BENT ? colour : colours.paper, edge: j === k ? colours.ink : colour });
      }
    });
    if (state.hover.x !== null && state.hover.unit === null) {
      const x = plot.X(state.hover.x);
      if (x >= left && x <= right) plot.segment(x, top, x, bottom, { colour: colours.faint, width: 1 });
    }
  }

  #chosen(run, r, k) {
    const { plot } = this;
    const { colours } = this.app;
    const x = [], u = [];
    let side = 0;
    for (const s of this.rows(run)) {
      const facing = Math.sign(run.value(s, r, "w", k));
      if (facing !== side) x.push(NaN), u.push(0);
      side = facing;
      x.push(run.elbow(s, r, k));
      u.push(run.update[s]);
    }
    plot.clipped(() => {
      plot.line(x, u, { colour: colours.paper, width: 7, alpha: 0.8 });
      plot.line(x, u, { colour: colours.ink, width: 2.8 });
    });
  }

  unitAt(px, py) {
    const { state } = this.app;
    const now = state.now();
    if (!now || now.run.model !== "relu" || !this.plot.fromY) return null;
    const s = now.run.at(Math.max(0, this.plot.fromY(py)));
    let best = null, least = NEAR;
    for (let k = 0; k < now.run.W; k++) {
      const d = Math.abs(this.plot.X(now.run.elbow(s, now.r, k)) - px);
      if (d < least) (least = d), (best = k);
    }
    return best;
  }

  hover(px, py, event) {
    const unit = this.unitAt(px, py);
    this.app.state.change({ hover: { x: this.plot.fromX?.(px) ?? null, unit, point: null } });
    if (unit !== null) this.app.tip.show(event, this.app.unitLines(unit));
    else this.app.tip.hide();
    return unit === null ? "ns-resize" : "pointer";
  }

  leave() {
    this.app.tip.hide();
    this.app.state.change({ hover: { x: null, unit: null, point: null } });
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
    state.goto(state.nearest(Math.max(0, Math.min(1, (py - top) / (bottom - top)))));
  }
}

const clamp = (v) => Math.max(-1e5, Math.min(1e5, v));
