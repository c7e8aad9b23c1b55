// The models with one parameter: the loss is a parabola in theta, and every point asks for a theta of its own.

import * as math from "./math.js";
import { number, tick } from "./format.js";
import { h, say } from "./dom.js";
import { timeMarks } from "./frame.js";
import { Plot, linear, span, ticks } from "./plot.js";
import { pointer } from "./pointer.js";

/** The limits of theta: nearly all of the weight lies between them, so that points near x = 0 do not rule the axis. */
export function thetaRange(run, theta) {
  const asked = Array.from(run.x, (x, i) => [math.candidate(run.model, x, run.y[i]), math.weight(run.model, x)]).filter(([t]) => Number.isFinite(t));
  asked.sort((a, b) => a[0] - b[0]);
  const whole = asked.reduce((sum, [, heard]) => sum + heard, 0);
  const at = (share) => {
    let sum = 0;
    return (asked.find(([, heard]) => (sum += heard) > share * whole) ?? asked[asked.length - 1] ?? [0])[0];
  };
  const [low, high] = run.model === "constant" ? [at(0), at(0.9999)] : [at(0.002), at(0.998)];
  const path = [];
  for (let s = 0; s < run.S; s += Math.max(1, Math.floor(run.S / 200))) path.push(run.values[s * run.R]);
  const near = path.filter((t) => Math.abs(t - run.star) < 4 * (high - low));
  return span([low, high, run.star, ...near, ...(Math.abs(theta - run.star) < 6 * (high - low) ? [theta] : [])], 0.07);
}

export class ParabolaView {
  constructor(app) {
    this.app = app;
    this.caption = h("p");
    const canvas = h("canvas", { "aria-label": "The parabola of the loss, and what every point asks for" });
    this.element = h("section.card.parabola", {}, h("header", {}, h("h2", { text: "Who asks for which θ" }), this.caption), canvas);
    this.plot = new Plot(canvas);
    pointer(canvas, this);
  }

  draw() {
    const { state, colours } = this.app;
    const { plot } = this;
    const now = state.now();
    plot.begin(colours);
    if (!plot.visible || !now || now.run.model === "relu") return;
    const { run } = now, theta = now.net.theta;
    say(this.caption, run.model === "constant" ? "each asks for its own y, all are heard alike" : "each asks for y/x, heard with weight x²");
    if (!now.finite) {
      plot.margin = { left: 46, right: 14, top: 8, bottom: 20 };
      plot.message("not finite: the run has diverged");
      return;
    }
    const split = Math.round(plot.height * 0.6);
    const x = linear(...thetaRange(run, theta));
    this.#parabola(now, x, split);
    this.#ballots(now, x, split);
  }

  #parabola(now, x, split) {
    const { plot } = this;
    const { colours } = this.app;
    const { run } = now, theta = now.net.theta, star = run.star;
    const lossAt = (t) => math.loss({ model: run.model, theta: t }, run.x, run.y);
    const least = lossAt(star), curvature = run.model === "linear" ? mean(run.x, (a) => a * a) : 1;
    const parabola = (t) => least + curvature * (t - star) ** 2;
    const ends = [parabola(x.low), parabola(x.high)];
    plot.margin = { left: 46, right: 14, top: 12, bottom: plot.height - split };
    plot.scales(x, linear(Math.max(0, least - 0.12 * (Math.max(...ends) - least)), Math.max(...ends) * 1.02));
    plot.axes({ xTicks: false, yLabel: "loss" });
    const { top, bottom } = plot.area;
    const ts = Array.from({ length: 80 }, (_, i) => x.low + (i / 79) * (x.high - x.low));
    plot.segment(plot.X(star), top, plot.X(star), plot.height - 22, { colour: colours.truth, width: 1.4, dash: [5, 4] });
    plot.line(ts, ts.map(parabola), { colour: colours.ink, width: 1.8 });
    const px = plot.X(theta), py = plot.Y(parabola(theta));
    plot.clipped(() => {
      for (let r = 0; r < run.R; r++) {
        const other = run.values[(now.s * run.R + r) * run.P];
        if (r !== now.r && run.R > 1) plot.disc(plot.X(other), plot.Y(parabola(other)), 3, { edge: colours.faint, alpha: 0.8 });
      }
    });
    if (now.what) plot.disc(plot.X(now.runNet.theta), plot.Y(parabola(now.runNet.theta)), 5, { edge: colours.faint, width: 2 });
    this.handle = { x: px, y: py };
    this.#pull(now, parabola, curvature, px, py);
    plot.disc(px, py, 7, { fill: colours.ink, edge: colours.paper, width: 2 });
    const close = Math.abs(px - plot.X(star)) < 60;
    plot.text("θ*", plot.X(star) + (px > plot.X(star) && close ? -7 : 7), top + 12, { align: px > plot.X(star) && close ? "right" : "left", colour: colours.truth, bold: true, size: 13, halo: true });
    plot.text(`θ = ${number(theta)}`, Math.max(plot.area.left + 40, Math.min(plot.area.right - 40, px)), Math.max(top + 12, py - 14), { align: "center", colour: colours.ink, bold: true, size: 12, halo: true });
  }

  /** The next full step, as an arrow along the axis. */
  #pull(now, parabola, curvature, px, py) {
    const { plot } = this;
    const next = now.net.theta - now.run.rate * now.votes.gradient.theta;
    const dx = plot.X(next) - px;
    if (Math.abs(dx) > 12) plot.arrow(px, py, Math.sign(dx) * Math.min(Math.abs(dx), plot.width), 0, { colour: dx > 0 ? this.app.colours.plus : this.app.colours.minus, width: 2 });
  }

  #ballots(now, x, split) {
    const { plot } = this;
    const { colours, state } = this.app;
    const { run } = now;
    let heaviest = 0;
    for (const one of run.x) heaviest = Math.max(heaviest, math.weight(run.model, one));
    plot.margin = { left: 46, right: 14, top: split + 14, bottom: 34 };
    plot.scales(x, linear(0, heaviest * 1.3));
    plot.axes({ yTicks: run.model === "linear", yMost: 2 });
    const { left, right, bottom, top } = plot.area;
    plot.text(run.model === "linear" ? "weight x²" : "weight 1 each", left + 5, top + 10, { halo: true });
    plot.text(run.model === "linear" ? "θ asked for: y / x" : "θ asked for: y", (left + right) / 2, bottom + 29, { align: "center" });
    this.hits = [];
    let before = 0, beyond = 0;
    const theta = plot.X(now.net.theta);
    const { ctx } = plot;
    for (const side of [1, -1]) {
      ctx.beginPath();
      for (let i = 0; i < run.x.length; i++) {
        const px = plot.X(math.candidate(run.model, run.x[i], run.y[i]));
        if (px < left || px > right || !Number.isFinite(px)) {
          if (side > 0) px < left ? (before += 1) : (beyond += 1);
          continue;
        }
        if ((px > theta ? 1 : -1) !== side) continue;
        const py = plot.Y(math.weight(run.model, run.x[i]));
        ctx.moveTo(px, bottom);
        ctx.lineTo(px, py);
        this.hits.push({ i, x: px, y: py });
      }
      plot.stroke({ colour: side > 0 ? colours.plus : colours.minus, width: 1.2, alpha: 0.6 });
    }
    for (const { x: px, y, i } of this.hits) plot.disc(px, y, 2.2, { fill: px > theta ? colours.plus : colours.minus, alpha: i === state.activePoint ? 1 : 0.8 });
    plot.segment(theta, top, theta, bottom, { colour: colours.ink, width: 1.6 });
    if (before) plot.text(`◂ ${before} more`, left + 5, top + 25, { halo: true });
    if (beyond) plot.text(`${beyond} more ▸`, right - 4, top + 25, { align: "right", halo: true });
    const hit = this.hits.find(({ i }) => i === state.activePoint);
    if (hit) {
      const colour = hit.x > theta ? colours.plus : colours.minus;
      plot.segment(hit.x, bottom, hit.x, hit.y, { colour, width: 3 });
      plot.disc(hit.x, hit.y, 5, { fill: colour, edge: colours.paper, width: 2 });
      plot.arrow(theta, hit.y, (hit.x - theta) * 0.96, 0, { colour });
    }
  }

  near(px, py) {
    let best = null, least = 9;
    for (const { i, x, y } of this.hits ?? []) {
      const d = py > y ? Math.abs(px - x) : Math.hypot(px - x, py - y);
      if (d < least) (least = d), (best = i);
    }
    return best;
  }

  onHandle(px, py) {
    return this.handle && Math.hypot(px - this.handle.x, py - this.handle.y) < 14;
  }

  hover(px, py, event) {
    const handle = this.onHandle(px, py), point = handle ? null : this.near(px, py);
    this.app.state.change({ hover: { x: null, unit: null, point } });
    if (handle) this.app.tip.show(event, ["drag: what if θ were …"]);
    else if (point !== null) this.app.tip.show(event, this.app.pointLines(point));
    else this.app.tip.hide();
    return handle ? "ew-resize" : point !== null ? "pointer" : "default";
  }

  leave() {
    this.app.tip.hide();
    this.app.state.change({ hover: { x: null, unit: null, point: null } });
  }

  down(px, py) {
    if (this.onHandle(px, py)) return true;
    const point = this.near(px, py);
    this.app.state.change({ point: point === this.app.state.point ? null : point });
    return false;
  }

  drag(px) {
    const { left, right } = this.plot.area;
    this.app.state.setTheta(this.plot.fromX(Math.max(left, Math.min(right, px))));
  }
}

/** theta against updates. */
export class PathView {
  constructor(app) {
    this.app = app;
    const canvas = h("canvas", { "aria-label": "theta over the updates" });
    this.element = h("section.card.path", {}, h("header", {}, h("h2", { text: "The path of θ" }), h("p", { text: "dashed: θ*, where the votes cancel" })), canvas);
    this.plot = new Plot(canvas);
    pointer(canvas, this);
  }

  draw() {
    const { state, colours } = this.app;
    const { plot } = this;
    const now = state.now();
    plot.begin(colours);
    if (!plot.visible || !now || now.run.model === "relu") return;
    const { run } = now;
    plot.margin = { left: 54, right: 78, top: 8, bottom: 22 };
    const values = [run.star];
    const stride = Math.max(1, Math.floor(run.S / 1500));
    for (let s = 0; s < run.S; s += stride) for (let r = 0; r < run.R; r++) values.push(run.values[(s * run.R + r) * run.P]);
    const time = state.time;
    plot.scales({ low: 0, high: state.last, f: time.f, g: time.g, marks: (most) => timeMarks(state, most, ticks, tick) }, linear(...span(values, 0.1)));
    const key = [run.name, run.version, now.r, time.key, plot.width, plot.height, plot.ratio, colours.paper].join();
    plot.layer("path", key, () => {
      plot.axes({ xLabel: "updates" });
      plot.clipped(() => {
        for (let r = 0; r < run.R; r++) {
          const u = [], t = [];
          for (let s = 0; s < run.S; s += stride) u.push(run.update[s]), t.push(run.values[(s * run.R + r) * run.P]);
          plot.line(u, t, { colour: colours.ink, width: r === now.r ? 2 : 1, alpha: r === now.r ? 1 : 0.3 });
        }
      });
    });
    const { left, right, top, bottom } = plot.area;
    const star = plot.Y(run.star);
    plot.segment(left, star, right, star, { colour: colours.truth, width: 1.6, dash: [6, 4] });
    plot.text(`θ* = ${number(run.star)}`, right + 6, star + 4, { colour: colours.truth });
    const x = plot.X(now.update);
    plot.segment(Math.round(x) + 0.5, top, Math.round(x) + 0.5, bottom, { colour: colours.now, width: 1.2 });
    if (now.finite) plot.disc(x, plot.Y(now.runNet.theta), 5, { fill: colours.ink, edge: colours.paper, width: 2 });
  }

  hover(px, py, event) {
    const { state } = this.app;
    const now = state.now();
    const { left, right } = this.plot.area;
    if (!now || px < left || px > right) return this.app.tip.hide(), "default";
    const update = state.nearest((px - left) / (right - left));
    this.app.tip.show(event, [`update ${update}`, `θ = ${number(now.run.net(now.run.at(update), now.r).theta)}`]);
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
    state.change({ playing: false });
    state.goto(state.nearest(Math.max(0, Math.min(1, (px - left) / (right - left)))));
  }
}

const mean = (values, of) => values.reduce((sum, v) => sum + of(v), 0) / values.length;
