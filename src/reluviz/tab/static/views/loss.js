// The panel "The loss": the losses on a logarithmic axis, with the time scale of the slider.

import { count } from "../core/count.js";
import { solveOutput } from "../core/least_squares.js";
import { LOSS_BATCH, LOSS_TEST, LOSS_TRAIN, quartileTags } from "../core/tags.js";
import { timeTicks } from "../drawing/axes.js";
import { h, setText, toggle } from "../drawing/dom.js";
import { number, shortenLabel } from "../drawing/format.js";
import { Plot, spreadLabels } from "../drawing/plot.js";
import { addPointerListeners } from "../drawing/pointer.js";
import { logarithmic } from "../drawing/scales.js";
import { DASHES } from "../drawing/theme.js";
import { RunTable } from "./run_table.js";

export class LossView {
  constructor(app) {
    this.app = app;
    this.caption = h("p");
    this.referencesToggle = toggle("references", "The noise floor and the least-squares loss, which need no training", () => app.state.change({ show: { ...app.state.show, references: !app.state.show.references } }));
    const canvas = h("canvas", { "aria-label": "The losses over the updates" });
    this.table = new RunTable(app);
    this.element = h("section.card.loss", {}, h("header", {}, h("h2", { text: "The loss" }), this.caption, h("div.tools", {}, this.referencesToggle.element)), this.table.element, canvas);
    this.plot = new Plot(canvas);
    addPointerListeners(canvas, this);
  }

  /** The lines of the recorded losses. */
  lines() {
    const { state, colours } = this.app;
    const several = state.runs.length > 1;
    const lines = [];
    for (const { run, slot } of state.runs) {
      const inFocus = run === state.run;
      const line = (tag, text, colour, width, dash, alpha = 1) => {
        const series = run.scalars[tag];
        if (series?.update.length) lines.push({ ...series, text, colour, width, dash, alpha, run, tag });
      };
      if (!several) line(LOSS_BATCH, "batch", colours.faint, 1, [], 0.7);
      if (!several) line(LOSS_TEST, "test", colours.truth, 1.8, [6, 4]);
      else if (inFocus) line(LOSS_TEST, "its test", colours.runs[slot], 1.2, [1, 3]);
      line(LOSS_TRAIN, several ? run.label : "train", several ? colours.runs[slot] : colours.ink, several && !inFocus ? 1.5 : 2, several ? DASHES[slot] : []);
    }
    return lines;
  }

  /** Losses that need no training: the noise floor, and least squares with the current hidden features. */
  references(now) {
    const { state, colours } = this.app;
    if (!state.show.references) return [];
    const found = [];
    const { run } = now;
    if (run.noiseFloor !== null) found.push({ value: run.noiseFloor, text: "noise floor", colour: colours.truth });
    if (run.model.hiddenFeatures && now.finite) {
      const { net } = solveOutput(now.weights.trained, run.u, run.t, 0, run.model);
      found.push({ value: run.trainLoss(net), text: "least squares", colour: colours.reference });
    } else if (run.thetaOptimum !== null) found.push({ value: run.trainLoss({ theta: run.thetaOptimum }), text: "at θ*", colour: colours.reference });
    return found;
  }

  draw() {
    const { state, colours } = this.app;
    const { plot } = this;
    const now = state.now();
    plot.begin(colours);
    this.referencesToggle.set(state.show.references);
    this.table.draw();
    this.element.classList.toggle("compared", !this.table.element.hidden);
    if (!plot.visible || !now) return;
    plot.margin = { left: 60, right: 96, top: 8, bottom: 22 };
    const lines = this.lines(), references = this.references(now);
    const bounds = this.#bounds(lines, references.concat(Number.isFinite(now.lossTrain) ? { value: now.lossTrain } : []));
    const time = state.time;
    const timeScale = { low: 0, high: state.last, f: time.f, g: time.g, ticks: (maxCount) => timeTicks(state, maxCount) };
    plot.scales(timeScale, logarithmic(...bounds));
    setText(this.caption, now.run.R > 1 ? `median of ${count(now.run.seeds?.length ?? now.run.R)} replicas, quartiles shaded` : "mean squared error");
    const key = [lines.map((l) => [l.run.name, l.run.historyVersion, l.tag, l.update.length]), bounds, time.key, state.focus, plot.width, plot.height, plot.ratio, colours.paper].join();
    plot.layer("lines", key, () => {
      plot.axes({ xLabel: "updates", yName: "loss", maxYTicks: 4 });
      plot.clipped(() => {
        if (state.runs.length === 1) this.#band(now.run);
        for (const l of lines) this.#thinned(l);
      });
    });
    this.#current(now, lines, references);
  }

  /** The limits of the loss axis. */
  #bounds(lines, more) {
    let [low, high] = this.#reach(lines);
    const include = (v) => {
      if (v > 0 && Number.isFinite(v)) (low = Math.min(low, v)), (high = Math.max(high, v));
    };
    for (const { value } of more) include(value);
    if (!(high > 0)) return [0.1, 1];
    if (high / low < 3) {
      const pad = Math.max(1.01, (high / low) ** 0.15);
      return [low / pad, high * pad];
    }
    // rounded, so that the limits stay fixed while the user drags
    const rounded = (v, round) => 10 ** (round(Math.log10(v) * 4) / 4);
    return [rounded(low * 0.97, Math.floor), rounded(high * 1.03, Math.ceil)];
  }

  /** The smallest and the largest loss, cached. */
  #reach(lines) {
    const key = lines.map(({ run, tag, value }) => [run.name, run.historyVersion, tag, value.length]).join();
    if (this.cachedReach?.key === key) return this.cachedReach.ends;
    let low = Infinity, high = 0;
    for (const { value } of lines) {
      for (let i = 0; i < value.length; i++) {
        const v = value[i];
        if (v > 0 && v < Infinity) (low = Math.min(low, v)), (high = Math.max(high, v));
      }
    }
    this.cachedReach = { key, ends: [low, high] };
    return this.cachedReach.ends;
  }

  /** Draw a line; a long one as one vertical stroke for each column of pixels, which looks the same. */
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

  /** Shade the range between the quartiles of the replicas. */
  #band(run) {
    const [low, high] = quartileTags(LOSS_TRAIN).map((tag) => run.scalars[tag]);
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

  /** The current update: a line, the losses at it, the references and the what-if loss. */
  #current(now, lines, references) {
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
      if (l.tag !== LOSS_BATCH) plot.disc(x, y, 3.2, { fill: l.colour, edge: colours.paper, width: 1.5 });
      labels.push({ y: plot.Y(l.value[l.value.length - 1]), text: l.text, colour: l.colour });
    }
    if (now.whatIf) {
      const y = plot.Y(now.lossTrain);
      plot.segment(x - 7, y, x + 7, y, { colour: colours.ink, width: 3 });
      plot.text("what if", x + (x > (left + right) / 2 ? -10 : 10), y + 4, { align: x > (left + right) / 2 ? "right" : "left", colour: colours.ink, bold: true, halo: true });
    }
    for (const l of spreadLabels(labels.filter((label) => Number.isFinite(label.y)), top + 8, bottom - 6)) plot.rightLabel(shortenLabel(l.text, 15), l.y + 4, { colour: l.colour });
  }

  hover(px, py, event) {
    const { state } = this.app;
    const { left, right } = this.plot.area;
    if (!state.now() || px < left || px > right) {
      this.app.tooltip.hide();
      return "default";
    }
    const update = state.nearest((px - left) / (right - left));
    const lines = this.lines().map((l) => `${l.text}: ${number(l.value[indexAt(l.update, update)])}`);
    this.app.tooltip.show(event, [`update ${count(update)}`, ...lines.reverse()]);
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
    if (!state.updates.length) return;
    state.change({ playing: false });
    state.goTo(state.nearest(Math.max(0, Math.min(1, (px - left) / (right - left)))));
  }
}

/** The index of the last update at or before an update. */
function indexAt(updates, update) {
  let low = 0, high = updates.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (updates[middle] <= update) low = middle;
    else high = middle - 1;
  }
  return low;
}
