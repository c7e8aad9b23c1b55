// The dominant view: points, true and learned function, the ReLUs, and their elbows on a rail below.

import * as math from "./math.js";
import { count, number, short } from "./format.js";
import { h, say, segmented, show, toggle } from "./dom.js";
import { LEFT, jumpHeight, labelRoom, xScale, yScale } from "./frame.js";
import { Plot, round125, span, spreadLabels, linear } from "./plot.js";
import { DASHES, diverging, faded } from "./theme.js";
import { pointer } from "./pointer.js";

const MOST_UNITS = 200, MOST_FAN = 40, NEAR = 10;

export class FunctionView {
  constructor(app) {
    this.app = app;
    const flip = (key) => () => app.state.change({ show: { ...app.state.show, [key]: !app.state.show[key] } });
    this.toggles = {
      truth: toggle("truth", "The function that the data came from, without noise", flip("truth")),
      slope: toggle("slope f′", "The derivative as a staircase, below", flip("slope")),
      solved: toggle("least squares", "The best that the output layer can do with the elbows of this moment", flip("solved")),
    };
    this.units = segmented(
      "ReLUs",
      [
        ["hidden", "relu(wx+b)", "Each hidden unit as the output layer sees it"],
        ["scaled", "v·relu(wx+b)", "Each unit times its output weight: together with c they add up to f"],
        ["none", "no units", "Only their elbows"],
      ],
      (units) => app.state.change({ show: { ...app.state.show, units } }),
    );
    this.mode = segmented(
      "Compare",
      [
        ["overlay", "overlaid", "All runs in one picture"],
        ["side", "side by side", "A picture for each run"],
      ],
      (mode) => app.state.change({ mode }),
    );
    this.title = h("h2", { text: "The learned function" });
    const canvas = h("canvas", { "aria-label": "The learned function, the points, and the elbows of the units" });
    this.element = h(
      "section.card.function",
      {},
      h("header", {}, this.title, h("div.tools", {}, this.mode.element, this.units.element, ...Object.values(this.toggles).map((t) => t.element))),
      canvas,
    );
    this.plot = new Plot(canvas);
    pointer(canvas, this);
  }

  draw() {
    const { state, colours } = this.app;
    const now = state.now();
    for (const key of ["truth", "slope", "solved"]) this.toggles[key].set(state.show[key]);
    this.units.set(state.show.units);
    this.mode.set(state.mode);
    show(this.units.element, now?.run.model === "relu");
    show(this.toggles.solved.element, now?.run.model === "relu");
    show(this.toggles.truth.element, Boolean(state.runs.some(({ run }) => run.target)));
    show(this.mode.element, state.runs.length > 1);
    const { plot } = this;
    plot.begin(colours);
    this.hits = { elbows: [], points: this.hits?.points ?? [] };
    this.cells = [];
    if (!plot.visible || !now) return;
    const { run } = now, sampled = run.x.length < run.points;
    say(this.title, `The learned function${sampled ? `, with ${count(run.x.length)} of its ${count(run.points)} points` : ""}`);
    const runs = state.runs;
    const beside = state.mode === "side" && runs.length > 1;
    if (beside) this.#sideBySide(runs, now);
    else this.#cell(runs, now, { left: 0, top: 0, width: plot.width, height: plot.height }, "all", false);
  }

  #sideBySide(runs, now) {
    const ordered = [...runs].sort((a, b) => a.slot - b.slot);
    const { plot } = this;
    const columns = 2, rows = Math.ceil(ordered.length / columns);
    ordered.forEach((one, i) => {
      const cell = {
        left: ((i % columns) * plot.width) / columns,
        top: (Math.floor(i / columns) * plot.height) / rows,
        width: plot.width / columns,
        height: plot.height / rows,
      };
      this.#cell([one], one.run.name === now.run.name ? now : this.#other(one.run), cell, String(i), true);
      this.cells.push({ ...cell, name: one.run.name });
    });
  }

  /** What is true now of a run that is not in focus; only what is drawn of it. */
  #other(run) {
    const s = run.at(this.app.state.update);
    const net = run.net(s, 0);
    const status = net.model === "relu" ? Uint8Array.from(net.w, (_, k) => math.status(net, k, run.low, run.high)) : null;
    return { run, s, r: 0, net, runNet: net, what: null, finite: math.isFinite_(net), status, other: true };
  }

  #cell(runs, now, cell, name, beside) {
    const { plot } = this;
    const { state, colours } = this.app;
    const room = beside ? 12 : labelRoom(plot.width);
    plot.margin = {
      left: cell.left + (beside ? 40 : LEFT),
      right: plot.width - cell.left - cell.width + room,
      top: cell.top + (beside ? 24 : 8),
      bottom: plot.height - cell.top - cell.height + 22,
    };
    const everyone = state.runs.map((one) => one.run);
    plot.scales(xScale(everyone), yScale(everyone));
    const key = [now.run.name, now.run.version, everyone.map((r) => r.name), colours.paper, state.show.truth, plot.width, plot.height].join();
    plot.layer(`ground${name}`, key, () => this.#ground(now.run));
    const labels = [];
    if (state.show.truth && now.run.target) labels.push({ y: plot.Y(lastOf(now.run.target)), text: "true f", colour: colours.truth });
    plot.clipped(() => {
      if (now.finite && now.net.model === "relu" && state.show.units !== "none") this.#unitLines(now);
      if (state.show.fan && now.run.R > 1) this.#fan(now);
      for (const { run, slot } of runs) if (run !== now.run) labels.push(this.#otherCurve(run, slot));
      if (now.finite) this.#ownCurves(now, labels, runs.length > 1 || beside);
      else plot.message(`not finite at update ${now.run.update[now.s]}: the run has diverged`);
    });
    if (now.net.model === "relu") this.#rail(now);
    if (!now.other) {
      this.#points(now);
      this.#attention(now);
    }
    if (beside) {
      const slot = state.slotOf(now.run.name);
      plot.text(short(now.run.name, Math.floor(cell.width / 8)), plot.area.left, plot.area.top - 8, { colour: colours.runs[slot], bold: !now.other, size: 12 });
    } else {
      const { top, bottom, right } = plot.area;
      for (const { y, text, colour, bold } of spreadLabels(labels.filter((l) => l && Number.isFinite(l.y)), top + 10, bottom - 8)) {
        plot.text(short(text, room > 80 ? 15 : 10), right + 6, y + 4, { colour, bold });
      }
    }
  }

  #ground(run) {
    const { plot } = this;
    const { colours, state } = this.app;
    plot.axes({ xLabel: "x", zero: true });
    plot.clipped(() => {
      const radius = run.x.length > 600 ? 1.4 : run.x.length > 60 ? 2.3 : 3.2;
      for (let i = 0; i < run.x.length; i++) plot.disc(plot.X(run.x[i]), plot.Y(run.y[i]), radius, { fill: colours.point, alpha: 0.65 });
      if (!state.show.truth) return;
      const dense = run.xTest && run.target ? { x: run.xTest, y: run.yTest } : run.target ? { x: run.x, y: run.target } : null;
      if (dense) plot.line(dense.x, dense.y, { colour: colours.truth, width: 1.8, dash: [6, 4] });
    });
  }

  #unitLines(now) {
    const { plot } = this;
    const { state, colours } = this.app;
    const { low, high } = plot.sx, p = now.net, height = jumpHeight(now.run);
    const scaled = state.show.units === "scaled";
    const batches = new Map();
    const every = Math.max(1, Math.ceil(p.w.length / MOST_UNITS));
    for (let k = 0; k < p.w.length; k += every) {
      if (now.status[k] === math.DEAD) continue;
      const colour = diverging(colours, height(math.slopeJump(p, k)));
      if (!batches.has(colour)) batches.set(colour, []);
      batches.get(colour).push(k);
    }
    const { ctx } = plot;
    for (const [colour, ks] of batches) {
      ctx.beginPath();
      for (const k of ks) trace(plot, p, k, low, high, scaled);
      plot.stroke({ colour, width: 1, alpha: p.w.length > 60 ? 0.22 : 0.5 });
    }
    const k = state.activeUnit;
    if (k !== null && !now.other) {
      ctx.beginPath();
      trace(plot, p, k, low, high, scaled);
      plot.stroke({ colour: diverging(colours, height(math.slopeJump(p, k))), width: 2.6 });
    }
  }

  /** The other replicas, thin. */
  #fan(now) {
    const { plot } = this;
    const { colours, state } = this.app;
    const { run, s } = now, { low, high } = plot.sx;
    const every = Math.max(1, Math.ceil(run.R / MOST_FAN));
    const { ctx } = plot;
    ctx.beginPath();
    for (let r = 0; r < run.R; r += every) {
      if (r === now.r) continue;
      const { x, y } = math.corners(run.net(s, r), low, high);
      for (let i = 0; i < x.length; i++) ctx[i ? "lineTo" : "moveTo"](plot.X(x[i]), clamp(plot.Y(y[i])));
    }
    const colour = colours.runs[state.slotOf(run.name)];
    plot.stroke({ colour, width: 1, alpha: run.R > 12 ? 0.18 : 0.32 });
  }

  #otherCurve(run, slot) {
    const { plot } = this;
    const { colours, state } = this.app;
    const net = run.net(run.at(state.update), 0);
    if (!math.isFinite_(net)) return null;
    const { x, y } = math.corners(net, plot.sx.low, plot.sx.high);
    plot.line(x, y, { colour: colours.runs[slot], width: 1.8, dash: DASHES[slot] });
    return { y: plot.Y(math.at(net, run.domain[1])), text: run.name, colour: colours.runs[slot] };
  }

  #ownCurves(now, labels, several) {
    const { plot } = this;
    const { colours, state } = this.app;
    const { low, high } = plot.sx, end = now.run.domain[1];
    const slot = state.slotOf(now.run.name);
    const colour = several ? colours.runs[slot] : colours.ink;
    if (state.show.solved && now.net.model === "relu" && !now.other) {
      const { net } = math.solveOutput(now.net, now.run.x, now.run.y);
      const { x, y } = math.corners(net, low, high);
      plot.line(x, y, { colour: colours.reference, width: 1.8, dash: [2, 3] });
      labels.push({ y: plot.Y(math.at(net, end)), text: "least squares", colour: colours.reference });
    }
    if (now.what) {
      const { x, y } = math.corners(now.runNet, low, high);
      plot.line(x, y, { colour: colours.faint, width: 1.8 });
      labels.push({ y: plot.Y(math.at(now.runNet, end)), text: "the run", colour: colours.faint });
    }
    const own = math.corners(now.net, low, high);
    this.#obeyed(now);
    plot.line(own.x, own.y, { colour: colours.paper, width: 5, alpha: 0.7 });
    plot.line(own.x, own.y, { colour, width: 2.4, dash: several ? DASHES[slot] : [] });
    if (now.net.w?.length <= 60) {
      for (let i = 1; i < own.x.length - 1; i++) plot.disc(plot.X(own.x[i]), plot.Y(own.y[i]), 3, { fill: colours.paper, edge: colour });
    }
    labels.push({ y: plot.Y(math.at(now.net, end)), text: now.what ? "what if" : several ? now.run.name : "learned f", colour, bold: true });
  }

  /** How the whole function would change if the point that is attended to were obeyed for one update. */
  #obeyed(now) {
    const { plot } = this;
    const { colours, state } = this.app;
    const i = state.activePoint;
    this.obeyed = null;
    if (i === null || now.other) return;
    const { run, net } = now, { low, high } = plot.sx;
    const next = math.obey(net, run.x, run.y, i, run.rate, run.trained);
    if (!math.isFinite_(next)) return;
    const x = [...math.corners(net, low, high).x, ...math.corners(next, low, high).x].sort((a, b) => a - b);
    const change = x.map((one) => math.at(next, one) - math.at(net, one));
    const largest = Math.max(...change.map(Math.abs));
    if (!(largest > 0)) return;
    const goal = 0.2 * (plot.sy.high - plot.sy.low);
    const factor = Math.max(1, round125(goal / largest));
    const { ctx } = plot;
    const colour = net.model && math.at(next, run.x[i]) > math.at(net, run.x[i]) ? colours.plus : colours.minus;
    ctx.beginPath();
    x.forEach((one, j) => ctx[j ? "lineTo" : "moveTo"](plot.X(one), clamp(plot.Y(math.at(net, one) + factor * change[j]))));
    for (let j = x.length - 1; j >= 0; j--) ctx.lineTo(plot.X(x[j]), clamp(plot.Y(math.at(net, x[j]))));
    ctx.closePath();
    ctx.fillStyle = faded(colour, 0.22);
    ctx.fill();
    plot.line(x, x.map((one, j) => math.at(net, one) + factor * change[j]), { colour, width: 1.4, alpha: 0.9 });
    this.obeyed = { point: i, factor, largest };
    const note = `shaded: one update that obeys only this point${factor > 1 ? `, change × ${number(factor)}` : ""}`;
    plot.text(note, plot.area.left + 8, plot.area.top + 14, { colour, size: 12, halo: true });
  }

  /** Elbows below the data: a triangle points to the side on which the unit is active. */
  #rail(now) {
    const { plot } = this;
    const { state, colours } = this.app;
    const { net: p, status } = now, height = jumpHeight(now.run);
    const { left, right, bottom } = plot.area;
    const y = bottom - 10, many = p.w.length > 60;
    let before = 0, beyond = 0;
    const active = now.other ? null : state.activeUnit;
    const order = Array.from(p.w.keys());
    if (active !== null) order.push(order.splice(active, 1)[0]);
    for (const k of order) {
      const beta = math.elbow(p, k);
      if (!Number.isFinite(beta)) continue;
      const x = plot.X(beta);
      if (x < left - 1) before += 1;
      else if (x > right + 1) beyond += 1;
      else {
        const colour = status[k] === math.DEAD ? colours.faint : diverging(colours, height(math.slopeJump(p, k)));
        const chosen = k === active;
        if (chosen) plot.segment(x, plot.Y(math.at(p, beta)), x, y, { colour, width: 1.2, dash: [2, 3] });
        plot.triangle(x, y, Math.sign(p.w[k]), chosen ? 8 : many ? 3.5 : 6, {
          fill: status[k] === math.BENT ? colour : colours.paper, edge: chosen ? colours.ink : colour, width: chosen ? 1.8 : 1.2, alpha: chosen ? 1 : 0.9,
        });
        if (!now.other) this.hits.elbows.push({ k, x, y, onCurve: plot.Y(math.at(p, beta)) });
      }
    }
    if (before) plot.text(`◂ ${before} more`, left + 4, y - 10, { colour: colours.soft, halo: true });
    if (beyond) plot.text(`${beyond} more ▸`, right - 4, y - 10, { align: "right", colour: colours.soft, halo: true });
    if (!now.other) this.#arrows(now, y);
  }

  /** Where the point that is attended to pushes every elbow. */
  #arrows(now, y) {
    const { state } = this.app;
    const i = state.activePoint;
    if (i === null) return;
    const push = this.app.pushes(now, i);
    for (const { k, x } of this.hits.elbows) {
      const dx = push.elbow[k] * push.scaleX;
      if (Math.abs(dx) > 1.5) this.plot.arrow(x, y - 11, Math.sign(dx) * Math.min(60, Math.abs(dx)), 0, { colour: dx > 0 ? this.app.colours.plus : this.app.colours.minus });
    }
  }

  /** Where the points stand, for the pointer; they move only with the axes. */
  #points({ run }) {
    const { plot } = this;
    const key = [run.name, run.version, plot.width, plot.height, plot.sx.low, plot.sx.high, plot.sy.low, plot.sy.high, Object.values(plot.margin)].join();
    if (key === this.pointsKey) return;
    this.pointsKey = key;
    this.hits.points = [];
    for (let i = 0; i < run.x.length; i++) this.hits.points.push(plot.X(run.x[i]), plot.Y(run.y[i]));
  }

  /** The point that is attended to, its residual, and the pointer's own x in all views over x. */
  #attention(now) {
    const { plot } = this;
    const { state, colours } = this.app;
    const i = state.activePoint, { top, bottom } = plot.area;
    if (i !== null && now.finite) {
      const x = plot.X(now.run.x[i]), y = plot.Y(now.run.y[i]), f = plot.Y(math.at(now.net, now.run.x[i]));
      const colour = y < f ? colours.plus : colours.minus;
      plot.clipped(() => plot.segment(x, y, x, f, { colour, width: 2 }));
      plot.disc(x, y, 5, { fill: colour, edge: colours.paper, width: 2 });
    } else if (state.hover.x !== null) {
      const x = plot.X(state.hover.x);
      if (x >= plot.area.left && x <= plot.area.right) plot.segment(x, top, x, bottom, { colour: colours.faint, width: 1 });
    }
  }

  // pointer

  elbowAt(px, py) {
    let best = null, least = NEAR;
    for (const { k, x, y, onCurve } of this.hits?.elbows ?? []) {
      const d = Math.min(Math.hypot(px - x, py - y), Math.hypot(px - x, py - onCurve) + 2);
      if (d < least) (least = d), (best = k);
    }
    return best;
  }

  pointAt(px, py) {
    let best = null, least = NEAR;
    const points = this.hits?.points ?? [];
    for (let i = 0; i < points.length; i += 2) {
      const d = Math.hypot(px - points[i], py - points[i + 1]);
      if (d < least) (least = d), (best = i / 2);
    }
    return best;
  }

  hover(px, py, event) {
    const { state, tip } = this.app;
    const now = state.now();
    if (!now) return "default";
    if (this.cells.length) {
      state.change({ hover: { x: null, unit: null, point: null } });
      return "pointer";
    }
    const unit = this.elbowAt(px, py);
    const point = unit === null ? this.pointAt(px, py) : null;
    const inside = px >= this.plot.area.left && px <= this.plot.area.right;
    const x = inside ? this.plot.fromX(px) : null;
    state.change({ hover: { x, unit, point } });
    if (unit !== null) tip.show(event, [...this.app.unitLines(unit), "drag: what if it stood elsewhere?"]);
    else if (point !== null) tip.show(event, this.app.pointLines(point));
    else if (x !== null) tip.show(event, [`x = ${number(x)}`, `f(x) = ${number(math.at(now.net, x))}`]);
    else tip.hide();
    return unit !== null ? "ew-resize" : point !== null ? "pointer" : "crosshair";
  }

  leave() {
    this.app.tip.hide();
    this.app.state.change({ hover: { x: null, unit: null, point: null } });
  }

  down(px, py) {
    const { state } = this.app;
    const cell = this.cells.find((c) => px >= c.left && px < c.left + c.width && py >= c.top && py < c.top + c.height);
    if (cell) {
      this.app.focus(cell.name);
      return false;
    }
    const unit = this.elbowAt(px, py);
    if (unit !== null) {
      state.change({ unit });
      this.dragged = { unit, moved: false, from: px };
      return true;
    }
    const point = this.pointAt(px, py);
    state.change(point !== null ? { point: state.point === point ? null : point } : { point: null, unit: null });
    return false;
  }

  drag(px) {
    const { dragged, plot } = this;
    if (!dragged || (!dragged.moved && Math.abs(px - dragged.from) < 3)) return;
    dragged.moved = true;
    const { left, right } = plot.area;
    this.app.state.setElbow(dragged.unit, plot.fromX(Math.max(left, Math.min(right, px))));
  }

  up() {
    this.dragged = null;
  }
}

/** The derivative as a staircase, below the function. */
export class SlopeView {
  constructor(app) {
    this.app = app;
    const canvas = h("canvas", { "aria-label": "The derivative of the learned function" });
    this.element = h("section.card.slope", {}, h("header", {}, h("h2", { text: "Its slope f′(x)" }), h("p", { text: "a staircase: each elbow is a step, as high as the unit's slope jump" })), canvas);
    this.plot = new Plot(canvas);
  }

  draw() {
    const { state, colours } = this.app;
    const now = state.now();
    show(this.element, Boolean(now && state.show.slope));
    const { plot } = this;
    if (this.element.hidden || !now) return;
    plot.begin(colours);
    if (!plot.visible) return;
    const room = labelRoom(plot.width);
    plot.margin = { left: LEFT, right: room, top: 6, bottom: 20 };
    const everyone = state.runs.map((one) => one.run);
    const truth = now.run.target && state.show.truth ? slopes(now.run) : null;
    const own = math.staircase(now.net, now.run.domain[0], now.run.domain[1]);
    const [low, high] = span([0, ...(truth ? truth.heights : own.heights)], 0.25);
    plot.scales(xScale(everyone), linear(low, high));
    plot.axes({ zero: true, yMost: 4 });
    const { right, top, bottom } = plot.area;
    const labels = [];
    plot.clipped(() => {
      if (truth) this.#stairs(truth, { colour: colours.truth, width: 1.6, dash: [6, 4] });
      for (const { run, slot } of state.runs) {
        if (run === now.run) continue;
        this.#stairs(math.staircase(run.net(run.at(state.update), 0), ...run.domain), { colour: colours.runs[slot], width: 1.3, dash: DASHES[slot] });
      }
      if (now.finite) this.#stairs(own, { colour: colours.ink, width: 2 });
    });
    if (truth) labels.push({ y: plot.Y(lastOf(truth.heights)), text: "true f′", colour: colours.truth });
    if (now.finite) labels.push({ y: plot.Y(lastOf(own.heights)), text: "f′", colour: colours.ink, bold: true });
    for (const l of spreadLabels(labels, top + 8, bottom - 2)) plot.text(l.text, right + 6, l.y + 4, l);
  }

  #stairs({ edges, heights }, style) {
    const x = [], y = [];
    heights.forEach((height, i) => {
      x.push(edges[i], edges[i + 1]);
      y.push(height, height);
    });
    this.plot.line(x, y, style);
  }
}

const cachedSlopes = new WeakMap();

/** The target's own staircase, from its dense values: neighbouring slopes that agree are one step. */
function slopes(run) {
  if (cachedSlopes.has(run)) return cachedSlopes.get(run);
  const x = run.xTest ?? run.x, y = run.xTest ? run.yTest : run.target;
  const edges = [x[0]], heights = [];
  const tiny = 1e-3 * (run.domain[1] - run.domain[0]) * 0.5;
  let from = 0;
  for (let i = 1; i < x.length; i++) {
    if (x[i] - x[from] < tiny && i < x.length - 1) continue;
    heights.push((y[i] - y[from]) / (x[i] - x[from]));
    edges.push(x[i]);
    from = i;
  }
  const found = { edges, heights };
  cachedSlopes.set(run, found);
  return found;
}

function trace(plot, p, k, low, high, scaled) {
  const factor = scaled ? p.v[k] : 1;
  const value = (x) => factor * Math.max(0, p.w[k] * x + p.b[k]);
  const beta = math.elbow(p, k);
  const x = beta > low && beta < high ? [low, beta, high] : [low, high];
  x.forEach((one, i) => plot.ctx[i ? "lineTo" : "moveTo"](plot.X(one), clamp(plot.Y(value(one)))));
}

const clamp = (v) => Math.max(-1e5, Math.min(1e5, v));
const lastOf = (a) => a[a.length - 1];
