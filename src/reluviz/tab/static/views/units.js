// The panel "The units": each unit at its elbow and slope jump, with a trail through its earlier positions.

import { BENT, DEAD, elbow, slopeJump } from "../core/elbows.js";
import { jumpPosition, jumpScale } from "../drawing/axes.js";
import { h, setCaption } from "../drawing/dom.js";
import { number } from "../drawing/format.js";
import { fanNote, fanOut, nextInFan, unitNear, writeNumbers } from "../drawing/fan.js";
import { Plot } from "../drawing/plot.js";
import { addPointerListeners } from "../drawing/pointer.js";
import { linear, span } from "../drawing/scales.js";
import { bendLegend, diverging } from "../drawing/theme.js";

const MAX_TRAIL_STEPS = 160, MAX_TRAILS = 80, HIT_RADIUS = 11, ARROW_ROOM = 8;

export class UnitsView {
  constructor(app) {
    this.app = app;
    this.caption = h("p");
    const canvas = h("canvas", { "aria-label": "The units by elbow and slope jump" });
    this.element = h("section.card.units", {}, h("header", {}, h("h2", { text: "The units" }), this.caption), canvas);
    this.plot = new Plot(canvas);
    addPointerListeners(canvas, this);
  }

  draw() {
    const { state, colours } = this.app;
    const { plot } = this;
    const now = state.now();
    plot.begin(colours);
    this.hits = [];
    this.fans = [];
    if (!plot.visible || !now || !now.run.model.hasUnits) return;
    const { run } = now;
    plot.margin = { left: 56, right: 14, top: 8, bottom: 34 };
    const [low, high] = span(run.domain, 0.16);
    plot.scales(linear(low, high), jumpScale(run));
    plot.layer("axes", [plot.width, plot.height, plot.ratio, colours.paper, run.name].join(), () => {
      plot.axes({ zero: 0, yName: "slope jump" });
      const { left, right, bottom } = plot.area;
      plot.text("elbow", (left + right) / 2, bottom + 29, { align: "center" });
    });
    const arrows = state.activePoint === null ? "" : `arrows: one update on the point × ${number(this.app.pointMotion(now, state.activePoint).factor)}; `;
    setCaption(this.caption, [this.app.runPrefix(), arrows, ...bendLegend(colours), arrows ? "" : "; trails: the past"], colours);
    const key = [run.name, run.historyVersion, now.r, plot.width, plot.height, plot.ratio, colours.paper].join();
    const stride = Math.max(1, Math.ceil(run.S / MAX_TRAIL_STEPS));
    plot.incrementalLayer("trails", key, now.s - (now.s % stride), (from) => plot.clipped(() => this.#trails(now, from ?? 0)));
    if (state.activeUnit !== null) plot.clipped(() => this.#trail(now, state.activeUnit));
    this.#dots(now);
    if (state.activePoint !== null) this.#arrows(now);
  }

  /** Draw the trails of all units from snapshot `from` to now; the earlier part is already in the layer. */
  #trails({ run, r, s }, from) {
    const { plot } = this;
    const { colours } = this.app;
    const stride = Math.max(1, Math.ceil(run.S / MAX_TRAIL_STEPS));
    const every = Math.max(1, Math.ceil(run.W / MAX_TRAILS));
    const position = jumpPosition(run);
    const snapshots = [];
    for (let j = Math.floor(from / stride) * stride; j <= s; j += stride) snapshots.push(j);
    if (snapshots.length < 2) return;
    for (let k = 0; k < run.W; k += every) {
      plot.ctx.beginPath();
      let orientation = 0;
      for (const j of snapshots) orientation = this.#trailTo(run, j, r, k, orientation);
      plot.stroke({ colour: diverging(colours, position(run.slopeJump(s, r, k))), width: 1, alpha: 0.45 });
    }
  }

  /** Draw the trail of the active unit. */
  #trail({ run, r, s }, k) {
    const { plot } = this;
    const stride = Math.max(1, Math.ceil(s / MAX_TRAIL_STEPS));
    plot.ctx.beginPath();
    let orientation = 0;
    for (let j = 0; j <= s; j += stride) orientation = this.#trailTo(run, j, r, k, orientation);
    if (s % stride) this.#trailTo(run, s, r, k, orientation);
    plot.stroke({ colour: this.app.colours.ink, width: 1.8, alpha: 0.9 });
  }

  /** Continue a trail, or begin a new one if the orientation has changed. @returns the new orientation, 0 for none */
  #trailTo(run, s, r, k, previous) {
    const { plot } = this;
    const x = plot.X(run.elbow(s, r, k)), y = plot.Y(run.slopeJump(s, r, k));
    const orientation = run.orientation(s, r, k);
    if (!Number.isFinite(x) || Math.abs(x) > 1e5) return 0;
    if (orientation === previous) plot.ctx.lineTo(x, y);
    else plot.ctx.moveTo(x, y);
    return orientation;
  }

  #dots(now) {
    const { plot } = this;
    const { state, colours } = this.app;
    const { net: p, status } = now;
    const position = jumpPosition(now.run), { left, right, top } = plot.area, many = p.w.length > 60;
    for (let k = 0; k < p.w.length; k++) {
      const beta = elbow(p, k), jump = slopeJump(p, k);
      if (!Number.isFinite(beta)) continue;
      // elbows outside the axes are drawn smaller, at the border
      this.hits.push({ k, x: Math.max(left, Math.min(right, plot.X(beta))), y: plot.Y(jump) });
    }
    this.fans = fanOut(this.hits, top);
    for (const { k, x, y } of this.hits) {
      const outside = x === left || x === right, isActive = k === state.activeUnit;
      const colour = status[k] === DEAD ? colours.faint : diverging(colours, position(slopeJump(p, k)));
      plot.triangle(x, y, Math.sign(p.w[k]), isActive ? 8 : outside ? 3 : many ? 3 : 5.5, { fill: status[k] === BENT ? colour : colours.paper, edge: isActive ? colours.ink : colour, width: isActive ? 2 : 1.3, alpha: outside ? 0.6 : 1 });
    }
    writeNumbers(plot, this.fans, state.activePoint === null ? 0 : ARROW_ROOM);
  }

  #arrows(now) {
    const motion = this.app.pointMotion(now, this.app.state.activePoint);
    const { plot } = this;
    const { left, right } = plot.area;
    for (const { k, x, y } of this.hits) {
      if (x <= left || x >= right) continue;
      const jump = slopeJump(now.net, k);
      const dx = motion.elbow[k] * motion.factor * motion.rate * ((right - left) / (plot.xScale.high - plot.xScale.low));
      const dy = plot.Y(jump + motion.jump[k] * motion.factor * motion.rate) - plot.Y(jump);
      const length = Math.hypot(dx, dy), maxLength = 70;
      if (length > 2) plot.arrow(x, y, (dx / length) * Math.min(maxLength, length), (dy / length) * Math.min(maxLength, length), { colour: this.app.colours.ink, width: 1.3 });
    }
  }

  /** The unit near a position, or null. */
  unitAt(px, py) {
    return unitNear(this.hits ?? [], ({ x, y }) => Math.hypot(px - x, py - y), HIT_RADIUS, this.app.state.unit);
  }

  hover(px, py, event) {
    const unit = this.dragged?.unit ?? this.unitAt(px, py);
    this.app.state.hoverOver({ x: null, unit, point: null });
    if (unit !== null) this.app.tooltip.show(event, [...this.app.describeUnit(unit), ...fanNote(this.hits, unit), "drag: what if its elbow were elsewhere, or its slope jump different?"]);
    else this.app.tooltip.hide();
    return unit === null ? "default" : "grab";
  }

  leave() {
    this.app.tooltip.hide();
    this.app.state.hoverOver();
  }

  down(px, py, event) {
    const unit = this.unitAt(px, py);
    const now = this.app.state.now();
    // from the unit's own place and in coordinates of the window: the panel moves when the inspector shows the unit
    this.dragged = unit === null ? null : { unit, event, beta: elbow(now.net, unit), jump: slopeJump(now.net, unit), axis: null, again: unit === this.app.state.unit };
    this.app.state.change({ unit });
    return unit !== null;
  }

  /** Drag along one axis only, the one on which the drag begins, so that the effect of one change is visible. */
  drag(px, py, event) {
    const { dragged, plot } = this;
    if (!dragged) return;
    const [dx, dy] = [event.clientX - dragged.event.clientX, event.clientY - dragged.event.clientY].map((d) => d / plot.zoom);
    if (!dragged.axis && Math.max(Math.abs(dx), Math.abs(dy)) < 4) return;
    dragged.axis ??= Math.abs(dx) > Math.abs(dy) ? "elbow" : "jump";
    const { left, right, top, bottom } = plot.area;
    if (dragged.axis === "elbow") this.app.state.setElbow(dragged.unit, plot.fromX(Math.max(left, Math.min(right, plot.X(dragged.beta) + dx))));
    else this.app.state.setSlopeJump(dragged.unit, plot.fromY(Math.max(top, Math.min(bottom, plot.Y(dragged.jump) + dy))));
  }

  up() {
    const { unit, axis, again } = this.dragged ?? {};
    if (again && !axis) this.app.state.change({ unit: nextInFan(this.hits, unit) });
    this.dragged = null;
  }
}
