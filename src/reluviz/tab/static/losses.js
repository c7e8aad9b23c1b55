// The losses on a logarithmic axis, on the slider's own scale of time.

import * as math from "./math.js";
import { count, number, tick } from "./format.js";
import { h, say, toggle } from "./dom.js";
import { timeMarks } from "./frame.js";
import { Plot, logarithmic, spreadLabels, ticks } from "./plot.js";
import { pointer } from "./pointer.js";
import { DASHES } from "./theme.js";

export class LossesView {
  constructor(app) {
    this.app = app;
    this.caption = h("p");
    this.floor = toggle("references", "The noise floor and least squares, which need no training", () => app.state.change({ show: { ...app.state.show, floor: !app.state.show.floor } }));
    const canvas = h("canvas", { "aria-label": "The losses over the updates" });
    this.element = h("section.card.losses", {}, h("header", {}, h("h2", { text: "The loss" }), this.caption, h("div.tools", {}, this.floor.element)), canvas);
    this.plot = new Plot(canvas);
    pointer(canvas, this);
  }

  /** The lines: recorded scalars, or what follows from the snapshots where TensorBoard has kept none. */
  lines() {
    const { state, colours } = this.app;
    const several = state.runs.length > 1;
    const found = [];
    for (const { run, slot } of state.runs) {
      const own = run === state.run;
      const line = (tag, text, colour, width, dash, alpha = 1) => {
        const series = run.scalars[tag];
        if (series?.update.length) found.push({ ...series, text, colour, width, dash, alpha, run, tag });
      };
      if (!several) line("loss/batch", "batch", colours.faint, 1, [], 0.7);
      if (!several) line("loss/test", "test", colours.truth, 1.8, [6, 4]);
      else if (own) line("loss/test", "its test", colours.runs[slot], 1.2, [1, 3]);
      line("loss/train", several ? run.name : "train", several ? colours.runs[slot] : colours.ink, several && !own ? 1.5 : 2, several ? DASHES[slot] : []);
    }
    return found;
  }

  /** What needs no training, at the features of this moment. */
  references(now) {
    const { state, colours } = this.app;
    if (!state.show.floor) return [];
    const found = [];
    const { run } = now;
    if (run.floor !== null) found.push({ value: run.floor, text: "noise floor", colour: colours.truth });
    if (run.model === "relu" && now.finite) {
      const { net } = math.solveOutput(now.net, run.x, run.y);
      found.push({ value: math.loss(net, run.x, run.y), text: "least squares", colour: colours.reference });
    } else if (run.star !== null) found.push({ value: math.loss({ model: run.model, theta: run.star }, run.x, run.y), text: "at θ*", colour: colours.reference });
    return found;
  }

  draw() {
    const { state, colours } = this.app;
    const { plot } = this;
    const now = state.now();
    plot.begin(colours);
    this.floor.set(state.show.floor);
    if (!plot.visible || !now) return;
    plot.margin = { left: 46, right: 90, top: 8, bottom: 22 };
    const lines = this.lines(), references = this.references(now);
    const bounds = this.#bounds(lines, references.concat(Number.isFinite(now.lossTrain) ? { value: now.lossTrain } : []));
    const time = state.time;
    const across = { low: 0, high: state.last, f: time.f, g: time.g, marks: (most) => timeMarks(state, most, ticks, tick) };
    plot.scales(across, logarithmic(...bounds));
    const replicas = now.run.R > 1 ? `median of ${count(now.run.seeds?.length ?? now.run.R)} replicas, quartiles shaded; ` : "";
    say(this.caption, `${replicas}mean squared error`);
    const key = [lines.map((l) => [l.run.name, l.run.version, l.tag, l.update.length]), bounds, time.key, state.focus, plot.width, plot.height, plot.ratio, colours.paper].join();
    plot.layer("lines", key, () => {
      plot.axes({ xLabel: "updates", yMost: 4 });
      plot.clipped(() => {
        if (state.runs.length === 1) this.#band(now.run);
        for (const l of lines) this.#thinned(l);
      });
    });
    this.#present(now, lines, references);
  }

  #bounds(lines, more) {
    let [low, high] = this.#reach(lines);
    const see = (v) => {
      if (v > 0 && Number.isFinite(v)) (low = Math.min(low, v)), (high = Math.max(high, v));
    };
    for (const { value } of more) see(value);
    if (!(high > 0)) return [0.1, 1];
    if (high / low < 3) {
      const pad = Math.max(1.01, (high / low) ** 0.15);
      return [low / pad, high * pad];
    }
    // steady limits while something is dragged
    const grid = (v, side) => 10 ** (side(Math.log10(v) * 4) / 4);
    return [grid(low * 0.97, Math.floor), grid(high * 1.03, Math.ceil)];
  }

  /** The smallest and the largest loss; looked for once. */
  #reach(lines) {
    const key = lines.map(({ run, version, tag, value }) => [run.name, version, tag, value.length]).join();
    if (this.reach?.key === key) return this.reach.ends;
    let low = Infinity, high = 0;
    for (const { value } of lines) {
      for (let i = 0; i < value.length; i++) {
        const v = value[i];
        if (v > 0 && v < Infinity) (low = Math.min(low, v)), (high = Math.max(high, v));
      }
    }
    this.reach = { key, ends: [low, high] };
    return this.reach.ends;
  }

  /** One vertical stroke for each column of pixels: a curve of 20 000 points looks the same. */
  #thinned({ update, value, colour, width, dash, alpha }) {
    const { plot } = this;
    if (update.length < 3000) {
      plot.line(update, value, { colour, width, dash, alpha });
      return;
    }
    const x = [], y = [];
    let column = null, low, high, lastValue;
    for (let i = 0; i < update.length; i++) {
      const c = Math.round(plot.X(update[i]));
      if (c !== column) {
        if (column !== null) x.push(update[i - 1], update[i - 1], update[i - 1]), y.push(low, high, lastValue);
        (column = c), (low = high = value[i]);
      }
      (low = Math.min(low, value[i])), (high = Math.max(high, value[i])), (lastValue = value[i]);
    }
    x.push(update[update.length - 1]), y.push(lastValue);
    plot.line(x, y, { colour, width: Math.min(width, 1.4), alpha });
  }

  #band(run) {
    const low = run.scalars["loss/train/q25"], high = run.scalars["loss/train/q75"];
    if (!low || !high || low.update.length !== high.update.length) return;
    const { plot } = this, { ctx } = plot;
    ctx.beginPath();
    low.update.forEach((u, i) => ctx[i ? "lineTo" : "moveTo"](plot.X(u), plot.Y(Math.max(1e-300, low.value[i]))));
    for (let i = high.update.length - 1; i >= 0; i--) ctx.lineTo(plot.X(high.update[i]), plot.Y(high.value[i]));
    ctx.closePath();
    ctx.globalAlpha = 0.14;
    ctx.fillStyle = this.app.colours.ink;
    ctx.fill();
    ctx.globalAlpha = 1;
  }

  #present(now, lines, references) {
    const { plot } = this;
    const { state, colours } = this.app;
    const { left, right, top, bottom } = plot.area;
    const x = plot.X(state.update);
    const labels = [];
    for (const { value, text, colour } of references) {
      if (!(value > 0)) continue;
      const y = plot.Y(value);
      plot.segment(left, y, right, y, { colour, width: 1.3, dash: [3, 3] });
      labels.push({ y, text, colour });
    }
    plot.segment(Math.round(x) + 0.5, top, Math.round(x) + 0.5, bottom, { colour: colours.now, width: 1.2 });
    for (const l of lines) {
      const i = indexAt(l.update, state.update);
      const y = plot.Y(l.value[i]);
      if (!Number.isFinite(y)) continue;
      if (l.tag !== "loss/batch") plot.disc(x, y, 3.2, { fill: l.colour, edge: colours.paper, width: 1.5 });
      labels.push({ y: plot.Y(l.value[l.value.length - 1]), text: l.text, colour: l.colour });
    }
    if (now.what) {
      const y = plot.Y(now.lossTrain);
      plot.segment(x - 7, y, x + 7, y, { colour: colours.ink, width: 3 });
      plot.text("what if", x + (x > (left + right) / 2 ? -10 : 10), y + 4, { align: x > (left + right) / 2 ? "right" : "left", colour: colours.ink, bold: true, halo: true });
    }
    for (const l of spreadLabels(labels.filter((one) => Number.isFinite(one.y)), top + 8, bottom - 6)) plot.text(l.text.length > 14 ? `${l.text.slice(0, 13)}…` : l.text, right + 6, l.y + 4, { colour: l.colour });
  }

  hover(px, py, event) {
    const { state } = this.app;
    const { left, right } = this.plot.area;
    if (!state.now() || px < left || px > right) {
      this.app.tip.hide();
      return "default";
    }
    const update = state.nearest((px - left) / (right - left));
    const lines = this.lines().map((l) => `${l.text}: ${number(l.value[indexAt(l.update, update)])}`);
    this.app.tip.show(event, [`update ${update}`, ...lines.reverse()]);
    return "ew-resize";
  }

  leave() {
    this.app.tip.hide();
  }

  down(px) {
    this.drag(px);
    return true;
  }

  drag(px) {
    const { left, right } = this.plot.area;
    const { state } = this.app;
    if (!state.updates.length) return;
    state.change({ playing: false });
    state.goto(state.nearest(Math.max(0, Math.min(1, (px - left) / (right - left)))));
  }
}

function indexAt(updates, update) {
  let low = 0, high = updates.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (updates[middle] <= update) low = middle;
    else high = middle - 1;
  }
  return low;
}
