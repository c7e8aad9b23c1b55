// The panel "The learned function": points, true and learned function, the ReLUs, and a row with their elbows below.

import { count } from "../core/count.js";
import { BENT, DEAD, elbow, slopeJump } from "../core/elbows.js";
import { allFinite, curve, predict } from "../core/functions.js";
import { solveOutput } from "../core/least_squares.js";
import { indexOfUnit, nameOfUnit, placeOfUnit } from "../core/models/architecture.js";
import { hidden } from "../core/models/relu.js";
import { updateOnPoint } from "../core/votes.js";
import { axesAreHeld, extent, jumpPosition, labelWidth, LEFT_MARGIN, xScale, yScale } from "../drawing/axes.js";
import { h, segmented, setCaption, setText, setVisible, toggle } from "../drawing/dom.js";
import { fanNote, fanOut, nextInFan, unitNear, writeNumbers } from "../drawing/fan.js";
import { number, placeX, placeY, shortenLabel, signed } from "../drawing/format.js";
import { drawKinks } from "../drawing/kinks.js";
import { Plot, spreadLabels } from "../drawing/plot.js";
import { addPointerListeners } from "../drawing/pointer.js";
import { round125 } from "../drawing/scales.js";
import { bendLegend, DASHES, diverging, faded, kinkLegend, layerStyle } from "../drawing/theme.js";

/** A learned function may leave the axes by this fraction of their height without a note. */
const LEAVING_SLACK = 0.1;
/** With more kinks, their markers are small. */
const MANY_KINKS = 100;
const MAX_UNIT_LINES = 200, MAX_REPLICA_LINES = 40, HIT_RADIUS = 10;
/** Arrows above the elbows take this much room, in pixels. */
const ARROW_ROOM = 13;

export class FunctionView {
  constructor(app) {
    this.app = app;
    const toggleOption = (key) => () => app.state.change({ show: { ...app.state.show, [key]: !app.state.show[key] } });
    this.toggles = {
      truth: toggle("truth", "The function that generated the data, without noise", toggleOption("truth")),
      slope: toggle("slope f′", "The derivative as a staircase, shown below", toggleOption("slope")),
      solved: toggle("least squares", "The nearest-squares fit of the output layer with the current elbows", toggleOption("solved")),
    };
    this.units = segmented(
      "ReLUs",
      [
        ["hidden", "relu(wx+b)", "The activation of each hidden unit"],
        ["scaled", "v·relu(wx+b)", "Each activation times its output weight: their sum plus c is f"],
        ["none", "no units", "Only the elbows of the units"],
      ],
      (units) => app.state.change({ show: { ...app.state.show, units } }),
    );
    this.mode = segmented(
      "Compare",
      [
        ["overlay", "overlaid", "All runs in one plot"],
        ["side", "side by side", "One plot for each run"],
      ],
      (mode) => app.state.change({ mode }),
    );
    this.edits = toggle("edit points", "Move, add and delete points (p)", () => app.pointEditor.toggle());
    this.title = h("h2", { text: "The learned function" });
    this.legend = h("span");
    const canvas = h("canvas", { "aria-label": "The learned function, the points and the elbows of the units" });
    this.element = h(
      "section.card.function",
      {},
      h("header", {}, this.title, h("p.legend", {}, this.legend), h("div.tools", {}, this.mode.element, this.units.element, ...Object.values(this.toggles).map((t) => t.element), this.edits.element)),
      canvas,
    );
    this.plot = new Plot(canvas);
    addPointerListeners(canvas, this);
  }

  draw() {
    const { state, colours } = this.app;
    const now = state.now();
    for (const key of ["truth", "slope", "solved"]) this.toggles[key].set(state.show[key]);
    this.units.set(state.show.units);
    this.mode.set(state.mode);
    setVisible(this.units.element, Boolean(now?.run.model.hasUnits));
    setVisible(this.toggles.solved.element, Boolean(now?.run.model.hiddenFeatures));
    setVisible(this.legend, Boolean(now?.run.model.hiddenFeatures));
    setVisible(this.toggles.truth.element, Boolean(state.runs.some(({ run }) => run.target)));
    if (!axesAreHeld()) setVisible(this.mode.element, state.runs.length > 1);
    const { pointEditor, training } = this.app;
    this.edits.set(state.editsPoints);
    setVisible(this.edits.element, training.reason === null);
    this.element.classList.toggle("edits-points", pointEditor.on);
    const { plot } = this;
    plot.begin(colours);
    this.hits = { elbows: [], fans: [], kinks: [], points: this.hits?.points ?? [] };
    this.cells = [];
    this.leaving = [];
    if (!plot.visible || !now) return;
    const { run } = now, sampled = run.x.length < run.points;
    setText(this.title, `The learned function${sampled ? `, with ${count(run.x.length)} of its ${count(run.points)} points` : ""}`);
    const runs = state.runs;
    if (state.mode === "side" && runs.length > 1) this.#sideBySide(runs, now);
    else this.#cell(runs, now, { left: 0, top: 0, width: plot.width, height: plot.height }, "all", false);
    const { architecture } = run.model;
    if (!architecture) return setCaption(this.legend, bendLegend(colours), colours);
    const counts = architecture.hidden.map((_, l) => this.hits.kinks.filter(({ layer }) => layer === l + 1).length);
    setCaption(this.legend, kinkLegend(colours, counts), colours);
  }

  #sideBySide(runs, now) {
    const ordered = [...runs].sort((a, b) => a.slot - b.slot);
    const { plot } = this;
    const columns = 2, rows = Math.ceil(ordered.length / columns);
    ordered.forEach((shown, i) => {
      const cell = {
        left: ((i % columns) * plot.width) / columns,
        top: (Math.floor(i / columns) * plot.height) / rows,
        width: plot.width / columns,
        height: plot.height / rows,
      };
      this.#cell([shown], shown.run.name === now.run.name ? now : this.#notInFocus(shown.run), cell, String(i), true);
      this.cells.push({ ...cell, name: shown.run.name });
    });
  }

  /** The parts of `state.now()` that are drawn, for a run that is not in focus. */
  #notInFocus(run) {
    const s = run.snapshotAt(this.app.state.update);
    const trainedNet = run.trainedNet(s, 0), net = run.asShown(trainedNet);
    const status = run.model.hasUnits ? run.model.statuses(trainedNet, run) : null;
    return { run, s, r: 0, net, runNet: net, whatIf: null, finite: allFinite(net), status, background: true };
  }

  /** One plot in a part of the canvas: of all runs, or of one run next to the other runs. */
  #cell(runs, now, cell, name, isSideBySide) {
    const { plot } = this;
    const { state, colours } = this.app;
    const labelsWidth = isSideBySide ? 12 : labelWidth(plot.width);
    plot.margin = {
      left: cell.left + (isSideBySide ? 50 : LEFT_MARGIN),
      right: plot.width - cell.left - cell.width + labelsWidth,
      top: cell.top + (isSideBySide ? 24 : 8),
      bottom: plot.height - cell.top - cell.height + 22,
    };
    const allRuns = state.runs.map((shown) => shown.run);
    plot.scales(xScale(allRuns), yScale(allRuns));
    const key = [now.run.name, now.run.pointsVersion, allRuns.map((r) => r.name), colours.paper, state.show.truth, plot.width, plot.height].join();
    plot.layer(`background${name}`, key, () => this.#background(now.run, cell.left));
    const labels = [];
    this.notes = [];
    if (state.show.truth && now.run.target) labels.push({ y: plot.Y(lastOf(now.run.target)), text: "true f", colour: colours.truth });
    plot.clipped(() => {
      if (now.finite && now.run.model.hasUnits && state.show.units !== "none") this.#unitLines(now);
      if (now.finite && now.run.model.unitCurve && state.activeUnit !== null && !now.background) this.#unitOfChain(now, labels);
      if (state.show.otherReplicas && now.run.R > 1) this.#otherReplicas(now);
      for (const { run, slot } of runs) if (run !== now.run) labels.push(this.#otherCurve(run, slot));
      if (now.finite) this.#focusCurves(now, labels, runs.length > 1 || isSideBySide);
      else plot.message(`not finite at update ${count(now.run.update[now.s])}: the run has diverged`);
    });
    if (now.run.model.hasUnits) this.#elbows(now);
    if (now.run.model.architecture && now.finite) this.#kinks(now);
    this.#writeNotes();
    if (!now.background) {
      this.#rememberPoints(now);
      this.#highlight(now);
      const { ghost } = this.app.pointEditor;
      if (ghost) plot.disc(plot.X(ghost.x), plot.Y(ghost.y), 5, { edge: colours.ink, width: 2 });
    }
    if (isSideBySide) {
      const slot = state.slotOf(now.run.name);
      plot.text(shortenLabel(now.run.label, Math.floor(cell.width / 8)), plot.area.left, plot.area.top - 8, { colour: colours.runs[slot], bold: !now.background, size: 12 });
    } else {
      const { top, bottom } = plot.area;
      for (const { y, text, colour, bold } of spreadLabels(labels.filter((l) => l && Number.isFinite(l.y)), top + 10, bottom - 8)) {
        plot.rightLabel(shortenLabel(text, labelsWidth > 80 ? 15 : 11), y + 4, { colour, bold });
      }
    }
  }

  /** Axes, points and the true function. */
  #background(run, edge) {
    const { plot } = this;
    const { colours, state } = this.app;
    plot.axes({ xLabel: "x", yName: "y", edge, zero: run.scaling.userY(0) });
    plot.clipped(() => {
      const radius = run.x.length > 600 ? 1.4 : run.x.length > 60 ? 2.3 : 3.2;
      for (let i = 0; i < run.x.length; i++) plot.disc(plot.X(run.x[i]), plot.Y(run.y[i]), radius, { fill: colours.point, alpha: 0.65 });
      if (!state.show.truth) return;
      const dense = run.xTest && run.target ? { x: run.xTest, y: run.yTest } : run.target ? { x: run.x, y: run.target } : null;
      if (dense) plot.line(dense.x, dense.y, { colour: colours.truth, width: 1.8, dash: [6, 4] });
    });
  }

  /** The activations of the units, batched by colour. */
  #unitLines(now) {
    const { plot } = this;
    const { state, colours } = this.app;
    const { low, high } = plot.xScale, p = now.net, position = jumpPosition(now.run);
    const scaled = state.show.units === "scaled";
    const batches = new Map();
    const every = Math.max(1, Math.ceil(p.w.length / MAX_UNIT_LINES));
    for (let k = 0; k < p.w.length; k += every) {
      if (now.status[k] === DEAD) continue;
      const colour = diverging(colours, position(slopeJump(p, k)));
      if (!batches.has(colour)) batches.set(colour, []);
      batches.get(colour).push(k);
    }
    const { ctx } = plot;
    for (const [colour, ks] of batches) {
      ctx.beginPath();
      for (const k of ks) trace(plot, now.run, p, k, low, high, scaled);
      plot.stroke({ colour, width: 1, alpha: p.w.length > 60 ? 0.22 : 0.5 });
    }
    const k = state.activeUnit;
    if (k !== null && !now.background) {
      ctx.beginPath();
      trace(plot, now.run, p, k, low, high, scaled);
      plot.stroke({ colour: diverging(colours, position(slopeJump(p, k))), width: 2.6 });
    }
  }

  /** The activation of the active unit of a chain, as an output t for scaled data, and where it changes. */
  #unitOfChain({ run, weights: { net } }, labels) {
    const { plot } = this;
    const { state, colours } = this.app, { architecture } = run.model;
    const { low, high } = plot.xScale, { top, bottom } = plot.area, { x, y, crossings } = run.model.unitCurve(net, low, high, state.activeUnit);
    const { colour } = layerStyle(colours, placeOfUnit(architecture, state.activeUnit).layer), heights = y.map(run.scaling.userY);
    for (const place of crossings) plot.segment(plot.X(place), top, plot.X(place), bottom, { colour, width: 1, dash: [2, 4], alpha: 0.8 });
    plot.line(x, heights, { colour, width: 1.8 });
    this.#noteIfLeaving(nameOfUnit(architecture, state.activeUnit), heights, colour, true);
    labels.push({ y: plot.Y(heights[heights.length - 1]), text: `unit ${placeOfUnit(architecture, state.activeUnit).unit}`, colour });
  }

  /** The other replicas as thin lines. */
  #otherReplicas(now) {
    const { plot } = this;
    const { colours, state } = this.app;
    const { run, s } = now, { low, high } = plot.xScale;
    const every = Math.max(1, Math.ceil(run.R / MAX_REPLICA_LINES));
    const { ctx } = plot;
    ctx.beginPath();
    for (let r = 0; r < run.R; r += every) {
      if (r === now.r) continue;
      const { x, y } = curve(run.model, run.net(s, r), low, high);
      for (let i = 0; i < x.length; i++) ctx[i ? "lineTo" : "moveTo"](plot.X(x[i]), clamp(plot.Y(y[i])));
    }
    const colour = colours.runs[state.slotOf(run.name)];
    plot.stroke({ colour, width: 1, alpha: run.R > 12 ? 0.18 : 0.32 });
  }

  /** The learned function of another run. @returns its label */
  #otherCurve(run, slot) {
    const { plot } = this;
    const { colours, state } = this.app;
    const net = run.net(run.snapshotAt(state.update), 0);
    if (!allFinite(net)) return null;
    const { x, y } = curve(run.model, net, plot.xScale.low, plot.xScale.high);
    plot.line(x, y, { colour: colours.runs[slot], width: 1.8, dash: DASHES[slot] });
    this.#noteIfLeaving(run.label, y, colours.runs[slot]);
    return { y: plot.Y(run.model.predictAt(net, run.domain[1])), text: run.label, colour: colours.runs[slot] };
  }

  /** The curves of the run in focus. */
  #focusCurves(now, labels, several) {
    const { plot } = this;
    const { colours, state } = this.app;
    const { model } = now.run, { low, high } = plot.xScale, end = now.run.domain[1];
    const slot = state.slotOf(now.run.name);
    const colour = several ? colours.runs[slot] : colours.ink;
    if (state.show.solved && model.hiddenFeatures && !now.background) {
      const net = now.run.asShown(solveOutput(now.weights.trained, now.run.u, now.run.t, 0, model).net);
      const { x, y } = curve(model, net, low, high);
      plot.line(x, y, { colour: colours.reference, width: 1.8, dash: [2, 3] });
      this.#noteIfLeaving("least squares", y, colours.reference, true);
      labels.push({ y: plot.Y(model.predictAt(net, end)), text: "least squares", colour: colours.reference });
    }
    if (now.whatIf) {
      const { x, y } = curve(model, now.runNet, low, high);
      plot.line(x, y, { colour: colours.faint, width: 1.8 });
      this.#noteIfLeaving("the run", y, colours.faint);
      labels.push({ y: plot.Y(model.predictAt(now.runNet, end)), text: "the run", colour: colours.faint });
    }
    const learned = curve(model, now.net, low, high);
    this.#shadePointUpdate(now);
    plot.line(learned.x, learned.y, { colour: colours.paper, width: 5, alpha: 0.7 });
    plot.line(learned.x, learned.y, { colour, width: 2.4, dash: several ? DASHES[slot] : [] });
    if (model.hasUnits && now.run.W <= 60) {
      for (let i = 1; i < learned.x.length - 1; i++) plot.disc(plot.X(learned.x[i]), plot.Y(learned.y[i]), 3, { fill: colours.paper, edge: colour });
    }
    this.#noteIfLeaving(several ? now.run.label : "f", learned.y, colour, Boolean(now.whatIf));
    labels.push({ y: plot.Y(model.predictAt(now.net, end)), text: now.whatIf ? "what if" : several ? now.run.label : "learned f", colour, bold: true });
  }

  /** Note that a curve with corners at these heights does not fit into the axes; a learned one may end a little beyond them. */
  #noteIfLeaving(name, y, colour, isSolved = false) {
    const { low, high } = this.plot.yScale;
    const [least, most] = extent(y), slack = isSolved ? 0 : LEAVING_SLACK * (high - low);
    if (least >= low - slack && most <= high + slack) return;
    this.leaving.push({ name, low: least, high: most });
    this.notes.push({ text: [`${shortenLabel(name, 30)} leaves the axes:`, `from ${number(least)} to ${number(most)}`], colour });
  }

  /** Write the notes below each other; those that are too wide on two lines. */
  #writeNotes() {
    const { plot } = this;
    const { left, right, top } = plot.area;
    let y = top + (plot.yName.inside ? 28 : 14);
    for (const { text, colour } of this.notes) {
      const whole = text.join(" "), fits = plot.measure(whole, 12) < right - left - 16;
      for (const line of fits ? [whole] : text) {
        plot.text(line, left + 8, y, { colour, size: 12, halo: true });
        y += 15;
      }
    }
  }

  /** Shade how one update on the active point alone would change the function. */
  #shadePointUpdate(now) {
    const { plot } = this;
    const { colours, state } = this.app;
    const i = state.activePoint;
    this.pointUpdate = null;
    if (i === null || now.background || now.weights.isOther) return;
    const { run, net } = now, { model } = run, { low, high } = plot.xScale;
    const next = run.asShown(updateOnPoint(model, now.trainedNet, run.u, run.t, i, run.rate, run.trained));
    if (!allFinite(next)) return;
    const x = [...curve(model, net, low, high).x, ...curve(model, next, low, high).x].sort((a, b) => a - b);
    const before = predict(model, net, x), after = predict(model, next, x);
    const change = x.map((_, j) => after[j] - before[j]);
    const largest = Math.max(...change.map(Math.abs));
    if (!(largest > 0)) return;
    const visible = 0.2 * (plot.yScale.high - plot.yScale.low);
    const factor = Math.max(1, round125(visible / largest));
    const { ctx } = plot;
    const colour = colours.soft;
    ctx.beginPath();
    x.forEach((value, j) => ctx[j ? "lineTo" : "moveTo"](plot.X(value), clamp(plot.Y(before[j] + factor * change[j]))));
    for (let j = x.length - 1; j >= 0; j--) ctx.lineTo(plot.X(x[j]), clamp(plot.Y(before[j])));
    ctx.closePath();
    ctx.fillStyle = faded(colour, 0.25);
    ctx.fill();
    plot.line(x, x.map((_, j) => before[j] + factor * change[j]), { colour, width: 1.4, alpha: 0.9 });
    this.pointUpdate = { point: i, factor, largest };
    this.notes.push({ text: ["shaded: one update on this point alone", ...(factor > 1 ? [`(change × ${number(factor)})`] : [])], colour });
  }

  /** The elbows in a row below the data; a triangle points to the side on which its unit is active. */
  #elbows(now) {
    const { plot } = this;
    const { state, colours } = this.app;
    const { net: p, status } = now, position = jumpPosition(now.run);
    const { left, right, bottom } = plot.area;
    const y = bottom - 10, many = p.w.length > 60;
    let hiddenLeft = 0, hiddenRight = 0;
    const active = now.background ? null : state.activeUnit;
    const places = [];
    for (let k = 0; k < p.w.length; k++) {
      const beta = elbow(p, k), x = plot.X(beta);
      if (x < left - 1) hiddenLeft += 1;
      else if (x > right + 1) hiddenRight += 1;
      else if (Number.isFinite(beta)) places.push({ k, x, y, onCurve: plot.Y(now.run.model.predictAt(p, beta)) });
    }
    const fans = fanOut(places, plot.area.top);
    const order = places.filter(({ k }) => k !== active).concat(places.filter(({ k }) => k === active));
    for (const { k, x, y, onCurve } of order) {
      const colour = status[k] === DEAD ? colours.faint : diverging(colours, position(slopeJump(p, k)));
      const isActive = k === active;
      if (isActive) plot.segment(x, onCurve, x, y, { colour, width: 1.2, dash: [2, 3] });
      plot.triangle(x, y, Math.sign(p.w[k]), isActive ? 8 : many ? 3.5 : 6, {
        fill: status[k] === BENT ? colour : colours.paper, edge: isActive ? colours.ink : colour, width: isActive ? 1.8 : 1.2, alpha: isActive ? 1 : 0.9,
      });
    }
    writeNumbers(plot, fans, !now.background && state.activePoint !== null ? ARROW_ROOM : 0);
    if (!now.background) Object.assign(this.hits, { elbows: places, fans });
    if (hiddenLeft) plot.text(`◂ ${count(hiddenLeft)} more`, left + 4, y - 10, { colour: colours.soft, halo: true });
    if (hiddenRight) plot.text(`${count(hiddenRight)} more ▸`, right - 4, y - 10, { align: "right", colour: colours.soft, halo: true });
    if (!now.background) this.#elbowArrows(now);
  }

  /** The kinks of a chain on the data, each with the marker of its layer. */
  #kinks({ run, net, background }) {
    const { plot } = this;
    const { colours } = this.app;
    const { low, high } = plot.xScale, [first, last] = extent(run.x), { top, bottom } = plot.area;
    const kinks = run.model.kinks(net, low, high).filter(({ x, layer }) => layer && x >= first && x <= last);
    const radius = kinks.length > MANY_KINKS ? 2.4 : 4, active = background ? null : this.app.state.activeUnit;
    const { architecture } = run.model;
    const places = kinks.map((kink) => ({ ...kink, index: indexOfUnit(architecture, kink.layer, kink.unit), place: kink.x, x: plot.X(kink.x), y: plot.Y(kink.value) }));
    drawKinks(plot, colours, places.filter(({ y }) => y >= top && y <= bottom), radius, active);
    if (!background) this.hits.kinks = places;
  }

  /** Arrows that show where the active point pushes each elbow. */
  #elbowArrows(now) {
    const { state } = this.app;
    const i = state.activePoint;
    if (i === null) return;
    const motion = this.app.pointMotion(now, i);
    for (const { k, x, y } of this.hits.elbows) {
      const dx = motion.elbow[k] * motion.pixelsPerMotion;
      if (Math.abs(dx) > 1.5) this.plot.arrow(x, y - 11, Math.sign(dx) * Math.min(60, Math.abs(dx)), 0, { colour: this.app.colours.ink, width: 1.3 });
    }
  }

  /** Remember where the points are drawn, for the pointer; this changes only with the axes. */
  #rememberPoints({ run }) {
    const { plot } = this;
    const key = [run.name, run.pointsVersion, plot.width, plot.height, plot.xScale.low, plot.xScale.high, plot.yScale.low, plot.yScale.high, Object.values(plot.margin)].join();
    if (key === this.pointsKey) return;
    this.pointsKey = key;
    this.hits.points = [];
    for (let i = 0; i < run.x.length; i++) this.hits.points.push(plot.X(run.x[i]), plot.Y(run.y[i]));
  }

  /** Highlight the active point and its residual, or a line at the x under the pointer, shared by all views over x. */
  #highlight(now) {
    const { plot } = this;
    const { state, colours } = this.app;
    const i = state.activePoint, { top, bottom } = plot.area;
    if (i !== null && now.finite) {
      const x = plot.X(now.run.x[i]), y = plot.Y(now.run.y[i]), f = plot.Y(now.run.model.predictAt(now.net, now.run.x[i]));
      plot.clipped(() => plot.segment(x, y, x, f, { colour: colours.ink, width: 2 }));
      plot.disc(x, y, 5, { fill: colours.ink, edge: colours.paper, width: 2 });
    } else if (state.hover.x !== null) {
      const x = plot.X(state.hover.x);
      if (x >= plot.area.left && x <= plot.area.right) plot.segment(x, top, x, bottom, { colour: colours.faint, width: 1 });
    }
  }

  // pointer

  /** The unit whose elbow is near a position, or null. */
  elbowAt(px, py) {
    const distance = ({ x, y, onCurve }) => Math.min(Math.hypot(px - x, py - y), Math.hypot(px - x, py - onCurve) + 2);
    return unitNear(this.hits?.elbows ?? [], distance, HIT_RADIUS, this.app.state.unit);
  }

  /** The kink of a chain near a position, or null. */
  kinkAt(px, py) {
    let best = null, nearest = HIT_RADIUS;
    for (const kink of this.hits?.kinks ?? []) {
      const d = Math.hypot(px - kink.x, py - kink.y);
      if (d < nearest) (nearest = d), (best = kink);
    }
    return best;
  }

  /** The point near a position, or null. */
  pointAt(px, py, radius = HIT_RADIUS) {
    let best = null, nearest = radius;
    const points = this.hits?.points ?? [];
    for (let i = 0; i < points.length; i += 2) {
      const d = Math.hypot(px - points[i], py - points[i + 1]);
      if (d < nearest) (nearest = d), (best = i / 2);
    }
    return best;
  }

  hover(px, py, event) {
    const { state, tooltip } = this.app;
    const now = state.now();
    if (!now) return "default";
    if (this.cells.length) {
      state.hoverOver();
      return "pointer";
    }
    if (this.app.pointEditor.on) return this.app.pointEditor.hover(px, py, event);
    const unit = this.dragged?.unit ?? this.elbowAt(px, py);
    const kink = unit === null ? this.kinkAt(px, py) : null;
    const point = unit === null && kink === null ? this.pointAt(px, py) : null;
    const dragged = this.dragged?.unit ?? kink?.index ?? null;
    const inside = px >= this.plot.area.left && px <= this.plot.area.right;
    const x = inside ? this.plot.fromX(px) : null;
    state.hoverOver({ x, unit: unit ?? dragged, point });
    if (unit !== null) tooltip.show(event, [...this.app.describeUnit(unit), ...fanNote(this.hits.elbows, unit), "drag: what if it were elsewhere?"]);
    else if (kink !== null) tooltip.show(event, [`kink of layer ${kink.layer}, unit ${kink.unit}`, `x = ${placeX(now.run, kink.place)}`, `bends f by ${signed(kink.jump)}`, ...(kink.layer === 1 ? ["drag: what if it were elsewhere?"] : [])]);
    else if (point !== null) tooltip.show(event, this.app.describePoint(point));
    else if (x !== null) tooltip.show(event, [`x = ${placeX(now.run, x)}`, `f(x) = ${placeY(now.run, now.run.model.predictAt(now.net, x))}`]);
    else tooltip.hide();
    return unit !== null || kink?.layer === 1 ? "ew-resize" : kink !== null ? "pointer" : point !== null ? "pointer" : "crosshair";
  }

  leave() {
    this.app.tooltip.hide();
    this.app.state.hoverOver();
  }

  down(px, py, event) {
    const { state, pointEditor } = this.app;
    const cell = this.cells.find((c) => px >= c.left && px < c.left + c.width && py >= c.top && py < c.top + c.height);
    if (cell) {
      this.app.focus(cell.name);
      return false;
    }
    if (pointEditor.on) return pointEditor.down(px, py, event);
    const unit = this.elbowAt(px, py);
    if (unit !== null) {
      this.dragged = { unit, moved: false, from: px, again: unit === state.unit };
      state.change({ unit });
      return true;
    }
    const kink = this.kinkAt(px, py);
    if (kink !== null) {
      this.dragged = { unit: kink.index, moved: false, from: px, isFixed: kink.layer > 1 };
      state.change({ unit: kink.index });
      return true;
    }
    const point = this.pointAt(px, py);
    state.change(point !== null ? { point: state.point === point ? null : point } : { point: null, unit: null });
    return false;
  }

  drag(px, py) {
    const { dragged, plot } = this;
    if (this.app.pointEditor.on) this.app.pointEditor.drag(px, py);
    if (!dragged || dragged.isFixed || (!dragged.moved && Math.abs(px - dragged.from) < 3)) return;
    dragged.moved = true;
    const { left, right } = plot.area;
    this.app.state.setElbow(dragged.unit, plot.fromX(Math.max(left, Math.min(right, px))));
  }

  up() {
    this.app.pointEditor.up();
    const { unit, moved, again } = this.dragged ?? {};
    if (again && !moved) this.app.state.change({ unit: nextInFan(this.hits.elbows, unit) });
    this.dragged = null;
  }
}

/**
 * Add the activation of unit k, or v_k times it, to the current path. For a run on scaled data its height is that of an
 * output t, and its zero is at t = 0.
 */
function trace(plot, { scaling }, p, k, low, high, scaled) {
  const factor = scaled ? p.v[k] : scaling.yScale;
  const value = (x) => scaling.yOffset + factor * hidden(p.w[k], p.b[k], x);
  const beta = elbow(p, k);
  const x = beta > low && beta < high ? [low, beta, high] : [low, high];
  x.forEach((corner, i) => plot.ctx[i ? "lineTo" : "moveTo"](plot.X(corner), clamp(plot.Y(value(corner)))));
}

const clamp = (v) => Math.max(-1e5, Math.min(1e5, v));
const lastOf = (a) => a[a.length - 1];
