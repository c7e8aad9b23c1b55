// Units as dots: where they bend, and how much; with the way they have come.

import * as math from "./math.js";
import { h, say } from "./dom.js";
import { number } from "./format.js";
import { jumpHeight, jumpScale } from "./frame.js";
import { Plot, linear, span } from "./plot.js";
import { pointer } from "./pointer.js";
import { diverging } from "./theme.js";

const MOST_STEPS = 160, MOST_TRAILS = 80, NEAR = 11;

export class ParametersView {
  constructor(app) {
    this.app = app;
    this.caption = h("p");
    const canvas = h("canvas", { "aria-label": "The units by elbow and slope jump" });
    this.element = h("section.card.parameters", {}, h("header", {}, h("h2", { text: "The units" }), this.caption), canvas);
    this.plot = new Plot(canvas);
    pointer(canvas, this);
  }

  draw() {
    const { state, colours } = this.app;
    const { plot } = this;
    const now = state.now();
    plot.begin(colours);
    this.hits = [];
    if (!plot.visible || !now || now.run.model !== "relu") return;
    const { run } = now;
    plot.margin = { left: 40, right: 14, top: 8, bottom: 34 };
    const [low, high] = span(run.domain, 0.16);
    plot.scales(linear(low, high), jumpScale(run));
    plot.layer("axes", [plot.width, plot.height, plot.ratio, colours.paper, run.name].join(), () => {
      plot.axes({ zero: true });
      const { left, right, bottom } = plot.area;
      plot.text("elbow", (left + right) / 2, bottom + 29, { align: "center" });
    });
    say(this.caption, this.app.whose() + (state.activePoint === null ? "slope jump against elbow; tails: where they were" : this.#arrowNote(now)));
    const key = [run.name, run.version, now.r, plot.width, plot.height, plot.ratio, colours.paper].join();
    const stride = Math.max(1, Math.ceil(run.S / MOST_STEPS));
    plot.growing("trails", key, now.s - (now.s % stride), (from) => plot.clipped(() => this.#trails(now, from ?? 0)));
    if (state.activeUnit !== null) plot.clipped(() => this.#trail(now, state.activeUnit));
    this.#dots(now);
    if (state.activePoint !== null) this.#arrows(now);
  }

  #arrowNote(now) {
    const push = this.app.pushes(now, this.app.state.activePoint);
    return `arrows: what the point asks of each unit, one update × ${number(push.factor)}`;
  }

  /** The ways of all units from snapshot `from` to now: only what is new is drawn. */
  #trails({ run, r, s }, from) {
    const { plot } = this;
    const { colours } = this.app;
    const stride = Math.max(1, Math.ceil(run.S / MOST_STEPS));
    const every = Math.max(1, Math.ceil(run.W / MOST_TRAILS));
    const height = jumpHeight(run);
    const stops = [];
    for (let j = Math.floor(from / stride) * stride; j <= s; j += stride) stops.push(j);
    if (stops.length < 2) return;
    for (let k = 0; k < run.W; k += every) {
      plot.ctx.beginPath();
      let side = 0;
      for (const j of stops) side = this.#to(run, j, r, k, side);
      plot.stroke({ colour: diverging(colours, height(run.slopeJump(s, r, k))), width: 1, alpha: 0.45 });
    }
  }

  /** The way of one unit, which is attended to. */
  #trail({ run, r, s }, k) {
    const { plot } = this;
    const stride = Math.max(1, Math.ceil(s / MOST_STEPS));
    plot.ctx.beginPath();
    let side = 0;
    for (let j = 0; j <= s; j += stride) side = this.#to(run, j, r, k, side);
    if (s % stride) this.#to(run, s, r, k, side);
    plot.stroke({ colour: this.app.colours.ink, width: 1.8, alpha: 0.9 });
  }

  #to(run, s, r, k, side) {
    const { plot } = this;
    const x = plot.X(run.elbow(s, r, k)), y = plot.Y(run.slopeJump(s, r, k));
    const facing = Math.sign(run.value(s, r, "w", k));
    if (!Number.isFinite(x) || Math.abs(x) > 1e5) return 0;
    if (facing === side) plot.ctx.lineTo(x, y);
    else plot.ctx.moveTo(x, y);
    return facing;
  }

  #dots(now) {
    const { plot } = this;
    const { state, colours } = this.app;
    const { net: p, status } = now;
    const height = jumpHeight(now.run), { left, right } = plot.area, many = p.w.length > 60;
    for (let k = 0; k < p.w.length; k++) {
      const beta = math.elbow(p, k), jump = math.slopeJump(p, k);
      if (!Number.isFinite(beta)) continue;
      // elbows far outside wait at the border, smaller
      const x = Math.max(left, Math.min(right, plot.X(beta))), y = plot.Y(jump);
      const outside = x !== plot.X(beta), chosen = k === state.activeUnit;
      const colour = status[k] === math.DEAD ? colours.faint : diverging(colours, height(jump));
      plot.triangle(x, y, Math.sign(p.w[k]), chosen ? 8 : outside ? 3 : many ? 3 : 5.5, { fill: status[k] === math.BENT ? colour : colours.paper, edge: chosen ? colours.ink : colour, width: chosen ? 2 : 1.3, alpha: outside ? 0.6 : 1 });
      this.hits.push({ k, x, y });
    }
  }

  #arrows(now) {
    const push = this.app.pushes(now, this.app.state.activePoint);
    const { plot } = this;
    const { left, right } = plot.area;
    for (const { k, x, y } of this.hits) {
      if (x <= left || x >= right) continue;
      const jump = math.slopeJump(now.net, k);
      const dx = push.elbow[k] * push.factor * push.rate * ((right - left) / (plot.sx.high - plot.sx.low));
      const dy = plot.Y(jump + push.jump[k] * push.factor * push.rate) - y;
      const length = Math.hypot(dx, dy), most = 70;
      if (length > 2) plot.arrow(x, y, (dx / length) * Math.min(most, length), (dy / length) * Math.min(most, length), { colour: this.app.colours.ink, width: 1.3 });
    }
  }

  unitAt(px, py) {
    let best = null, least = NEAR;
    for (const { k, x, y } of this.hits ?? []) {
      const d = Math.hypot(px - x, py - y);
      if (d < least) (least = d), (best = k);
    }
    return best;
  }

  hover(px, py, event) {
    const unit = this.unitAt(px, py);
    this.app.state.change({ hover: { x: null, unit, point: null } });
    if (unit !== null) this.app.tip.show(event, [...this.app.unitLines(unit), "drag: what if it bent elsewhere, or more?"]);
    else this.app.tip.hide();
    return unit === null ? "default" : "grab";
  }

  leave() {
    this.app.tip.hide();
    this.app.state.change({ hover: { x: null, unit: null, point: null } });
  }

  down(px, py) {
    const unit = this.unitAt(px, py);
    this.app.state.change({ unit });
    this.dragged = unit === null ? null : { unit, x: px, y: py, axis: null };
    return unit !== null;
  }

  /** Along one axis only, the one on which the drag begins: a change of two things at once explains neither. */
  drag(px, py) {
    const { dragged, plot } = this;
    if (!dragged) return;
    const [dx, dy] = [Math.abs(px - dragged.x), Math.abs(py - dragged.y)];
    if (!dragged.axis && Math.max(dx, dy) < 4) return;
    dragged.axis ??= dx > dy ? "elbow" : "jump";
    const { left, right, top, bottom } = plot.area;
    if (dragged.axis === "elbow") this.app.state.setElbow(dragged.unit, plot.fromX(Math.max(left, Math.min(right, px))));
    else this.app.state.setSlopeJump(dragged.unit, plot.fromY(Math.max(top, Math.min(bottom, py))));
  }

  up() {
    this.dragged = null;
  }
}
