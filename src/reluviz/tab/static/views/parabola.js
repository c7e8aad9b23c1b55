// The panel "Which θ each point asks for", for the models with one parameter: the loss is a parabola in theta; below it, the
// candidate of each point with its weight. The candidate of a point is the theta that fits this point exactly. theta*, which
// minimises the loss, is the weighted mean of the candidates. A point with weight 0 asks for no theta.

import { count } from "../core/count.js";
import { loss } from "../core/functions.js";
import { axesAreHeld } from "../drawing/axes.js";
import { h, setCaption } from "../drawing/dom.js";
import { number } from "../drawing/format.js";
import { Plot } from "../drawing/plot.js";
import { addPointerListeners } from "../drawing/pointer.js";
import { linear, span } from "../drawing/scales.js";

// candidates with less than this share of the weight on either side are outside the axis, unless all weights are equal
const OUTSIDE_SHARE = 0.002;
// recorded thetas and the shown one extend the axis if their distance to theta* is below this multiple of the candidates' range
const MAX_RECORDED_DISTANCE = 4, MAX_SHOWN_DISTANCE = 6;

/** The limits of theta. They contain nearly all of the weight, so that points near x = 0 do not stretch the axis. */
export function thetaRange(run, theta) {
  const candidates = Array.from(run.x, (x, i) => [run.model.candidate(x, run.y[i]), run.model.weight(x)]).filter(([t]) => Number.isFinite(t));
  candidates.sort((a, b) => a[0] - b[0]);
  const totalWeight = candidates.reduce((sum, [, weight]) => sum + weight, 0);
  const quantile = (share) => {
    let sum = 0;
    return (candidates.find(([, weight]) => (sum += weight) > share * totalWeight) ?? candidates[candidates.length - 1] ?? [0])[0];
  };
  // equal weights leave no candidate out; 0.9999 finds the largest one, as no partial sum exceeds the total
  const [low, high] = equalWeights(run) ? [quantile(0), quantile(0.9999)] : [quantile(OUTSIDE_SHARE), quantile(1 - OUTSIDE_SHARE)];
  const recorded = [];
  for (let s = 0; s < run.S; s += Math.max(1, Math.floor(run.S / 200))) recorded.push(run.trainedValue(s, 0, "theta"));
  const near = recorded.filter((t) => Math.abs(t - run.thetaOptimum) < MAX_RECORDED_DISTANCE * (high - low));
  return span([low, high, run.thetaOptimum, ...near, ...(Math.abs(theta - run.thetaOptimum) < MAX_SHOWN_DISTANCE * (high - low) ? [theta] : [])], 0.07);
}

export class ParabolaView {
  constructor(app) {
    this.app = app;
    this.caption = h("p");
    const canvas = h("canvas", { "aria-label": "The parabola of the loss, and the theta that each point asks for" });
    this.element = h("section.card.parabola", {}, h("header", {}, h("h2", { text: "Which θ each point asks for" }), this.caption), canvas);
    this.plot = new Plot(canvas);
    addPointerListeners(canvas, this);
  }

  draw() {
    const { state, colours } = this.app;
    const { plot } = this;
    const now = state.now();
    plot.begin(colours);
    if (!plot.visible || !now || !now.run.model.feature) return;
    // the pointer must not find what an earlier call has drawn
    this.handle = null;
    this.hits = [];
    const { run } = now, theta = now.net.theta;
    setCaption(this.caption, [`${run.model.words.asks}; `, ["larger θ", colours.plus], " or ", ["smaller θ", colours.minus]], colours);
    if (!now.finite) {
      plot.margin = { left: 60, right: 14, top: 8, bottom: 20 };
      plot.message("not finite: the run has diverged");
      return;
    }
    const split = Math.round(plot.height * 0.6);
    this.range = axesAreHeld() ? span([...(this.range ?? []), run.thetaOptimum], 0) : thetaRange(run, theta);
    const thetaScale = linear(...this.range);
    this.#parabola(now, thetaScale, split);
    this.#candidates(now, thetaScale, split);
  }

  /** The loss as a function of theta, with theta (in `now.net` the shown one, in `now.runNet` the recorded one) and theta*. */
  #parabola(now, thetaScale, split) {
    const { plot } = this;
    const { colours } = this.app;
    const { run } = now, theta = now.net.theta, optimum = run.thetaOptimum;
    const minimum = loss(run.model, { theta: optimum }, run.x, run.y), curvature = run.model.curvature(run.x);
    const parabola = (t) => minimum + curvature * (t - optimum) ** 2;
    const ends = [parabola(thetaScale.low), parabola(thetaScale.high)];
    plot.margin = { left: 60, right: 14, top: 12, bottom: plot.height - split };
    plot.scales(thetaScale, linear(Math.max(0, minimum - 0.12 * (Math.max(...ends) - minimum)), Math.max(...ends) * 1.02));
    plot.axes({ xTicks: false, yName: "loss" });
    const { top } = plot.area;
    const ts = Array.from({ length: 80 }, (_, i) => thetaScale.low + (i / 79) * (thetaScale.high - thetaScale.low));
    plot.segment(plot.X(optimum), top, plot.X(optimum), plot.height - 22, { colour: colours.truth, width: 1.4, dash: [5, 4] });
    plot.line(ts, ts.map(parabola), { colour: colours.ink, width: 1.8 });
    const px = plot.X(theta), py = plot.Y(parabola(theta));
    plot.clipped(() => {
      for (let r = 0; r < run.R; r++) {
        const otherTheta = run.trainedValue(now.s, r, "theta");
        if (r !== now.r && run.R > 1) plot.disc(plot.X(otherTheta), plot.Y(parabola(otherTheta)), 3, { edge: colours.faint, alpha: 0.8 });
      }
    });
    if (now.whatIf) plot.disc(plot.X(now.runNet.theta), plot.Y(parabola(now.runNet.theta)), 5, { edge: colours.faint, width: 2 });
    this.handle = { x: px, y: py };
    this.#nextStep(now, px, py);
    plot.disc(px, py, 7, { fill: colours.ink, edge: colours.paper, width: 2 });
    const close = Math.abs(px - plot.X(optimum)) < 60;
    plot.text("θ*", plot.X(optimum) + (px > plot.X(optimum) && close ? -7 : 7), top + 12, { align: px > plot.X(optimum) && close ? "right" : "left", colour: colours.truth, bold: true, size: 13, halo: true });
    plot.text(`θ = ${number(theta)}`, Math.max(plot.area.left + 40, Math.min(plot.area.right - 40, px)), Math.max(top + 12, py - 14), { align: "center", colour: colours.ink, bold: true, size: 12, halo: true });
  }

  /** The next full-batch step as an arrow along the axis, from the position of theta. */
  #nextStep(now, px, py) {
    const { plot } = this;
    const next = now.net.theta - now.run.rate * now.votes.gradient.theta;
    const dx = plot.X(next) - px;
    if (Math.abs(dx) > 12) plot.arrow(px, py, Math.sign(dx) * Math.min(Math.abs(dx), plot.width), 0, { colour: dx > 0 ? this.app.colours.plus : this.app.colours.minus, width: 2 });
  }

  /** A stem for each point at its candidate; the height of the stem is the weight. */
  #candidates(now, thetaScale, split) {
    const { plot } = this;
    const { colours, state } = this.app;
    const { run } = now;
    let maxWeight = 0;
    for (const x of run.x) maxWeight = Math.max(maxWeight, run.model.weight(x));
    plot.margin = { left: 60, right: 14, top: split + 14, bottom: 34 };
    plot.scales(thetaScale, linear(0, maxWeight * 1.3));
    plot.axes({ yTicks: !equalWeights(run), maxYTicks: 2 });
    const { left, right, bottom, top } = plot.area;
    plot.text(run.model.words.weight, left + 5, top + 10, { halo: true });
    plot.text(run.model.words.candidate, (left + right) / 2, bottom + 29, { align: "center" });
    let hiddenLeft = 0, hiddenRight = 0;
    const thetaPixel = plot.X(now.net.theta);
    const { ctx } = plot;
    for (const side of [1, -1]) {
      ctx.beginPath();
      for (let i = 0; i < run.x.length; i++) {
        const px = plot.X(run.model.candidate(run.x[i], run.y[i]));
        if (Number.isNaN(px)) continue;
        if (px < left || px > right || !Number.isFinite(px)) {
          if (side > 0) px < left ? (hiddenLeft += 1) : (hiddenRight += 1);
          continue;
        }
        if ((px > thetaPixel ? 1 : -1) !== side) continue;
        const py = plot.Y(run.model.weight(run.x[i]));
        ctx.moveTo(px, bottom);
        ctx.lineTo(px, py);
        this.hits.push({ i, x: px, y: py });
      }
      plot.stroke({ colour: side > 0 ? colours.plus : colours.minus, width: 1.2, alpha: 0.6 });
    }
    for (const { x: px, y, i } of this.hits) plot.disc(px, y, 2.2, { fill: px > thetaPixel ? colours.plus : colours.minus, alpha: i === state.activePoint ? 1 : 0.8 });
    plot.segment(thetaPixel, top, thetaPixel, bottom, { colour: colours.ink, width: 1.6 });
    if (hiddenLeft) plot.text(`◂ ${count(hiddenLeft)} more`, left + 5, top + 25, { halo: true });
    if (hiddenRight) plot.text(`${count(hiddenRight)} more ▸`, right - 4, top + 25, { align: "right", halo: true });
    const hit = this.hits.find(({ i }) => i === state.activePoint);
    if (hit) {
      const colour = hit.x > thetaPixel ? colours.plus : colours.minus;
      plot.segment(hit.x, bottom, hit.x, hit.y, { colour, width: 3 });
      plot.disc(hit.x, hit.y, 5, { fill: colour, edge: colours.paper, width: 2 });
      plot.arrow(thetaPixel, hit.y, (hit.x - thetaPixel) * 0.96, 0, { colour });
    }
  }

  /** The point with the stem near a position, or null. */
  pointAt(px, py) {
    let best = null, nearest = 9;
    for (const { i, x, y } of this.hits ?? []) {
      const d = py > y ? Math.abs(px - x) : Math.hypot(px - x, py - y);
      if (d < nearest) (nearest = d), (best = i);
    }
    return best;
  }

  /** Whether a position is on the dot that can be dragged. */
  onHandle(px, py) {
    return this.handle && Math.hypot(px - this.handle.x, py - this.handle.y) < 14;
  }

  /** Show what is under the pointer. @returns {string} the shape of the pointer, for CSS */
  hover(px, py, event) {
    const handle = this.onHandle(px, py), point = handle ? null : this.pointAt(px, py);
    this.app.state.hoverOver({ x: null, unit: null, point });
    if (handle) this.app.tooltip.show(event, [`θ = ${number(this.app.state.now().net.theta)}`, "drag: what if θ were …"]);
    else if (point !== null) this.app.tooltip.show(event, this.app.describePoint(point));
    else this.app.tooltip.hide();
    return handle ? "ew-resize" : point !== null ? "pointer" : "default";
  }

  leave() {
    this.app.tooltip.hide();
    this.app.state.hoverOver();
  }

  /** Select the point under the pointer. @returns {boolean} whether a drag begins instead */
  down(px, py) {
    if (this.onHandle(px, py)) return true;
    const point = this.pointAt(px, py);
    this.app.state.change({ point: point === this.app.state.point ? null : point });
    return false;
  }

  drag(px) {
    const { left, right } = this.plot.area;
    this.app.state.setTheta(this.plot.fromX(Math.max(left, Math.min(right, px))));
  }
}

const equalWeights = ({ x, model }) => x.every((value) => model.weight(value) === model.weight(x[0]));
