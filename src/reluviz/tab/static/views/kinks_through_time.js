// The panel "The kinks through time" of a chain: the kinks of f over the updates, in the colours of the layers of their units.
// x as in the function above; time runs downwards.

import { count } from "../core/count.js";
import { alignPlaces, followKinks, layerOf, placesByUnit, placesOfUnit, unitOf } from "../core/kink_paths.js";
import { indexOfUnit, placeOfUnit } from "../core/models/architecture.js";
import { extent, labelWidth, LEFT_MARGIN, timeTicks, xScale } from "../drawing/axes.js";
import { h, setCaption } from "../drawing/dom.js";
import { placeX } from "../drawing/format.js";
import { drawKinks } from "../drawing/kinks.js";
import { Plot } from "../drawing/plot.js";
import { addPointerListeners } from "../drawing/pointer.js";
import { layerStyle } from "../drawing/theme.js";

const HIT_RADIUS = 8, MANY_KINKS = 60;
/** A kink that seems to move by more than this fraction of the domain between two rows of pixels is another one. */
const LONGEST_STEP = 0.15;
/** Beyond so many births and deaths, their markers would hide the lines. */
const MOST_EVENTS = 150;
/** Kinks of earlier snapshots are computed between frames, in slices of so many milliseconds, and shown so often. */
const SLICE = 7, PROGRESS = 300;

export class KinksThroughTimeView {
  constructor(app) {
    this.app = app;
    this.caption = h("p");
    const canvas = h("canvas", { "aria-label": "The positions of the kinks over the updates" });
    this.element = h("section.card.kinks-through-time", {}, h("header", {}, h("h2", { text: "The kinks through time" }), this.caption), canvas);
    this.plot = new Plot(canvas);
    /** @type {WeakMap<import("../core/run.js").Run, Map<string, Map<number, number[]>>>} the kinks of runs that are known */
    this.known = new WeakMap();
    addPointerListeners(canvas, this);
  }

  draw() {
    const { state, colours } = this.app;
    const now = state.now();
    const { plot } = this;
    plot.begin(colours);
    if (!plot.visible || !now?.run.model.architecture) return;
    const { run, r } = now;
    plot.margin = { left: LEFT_MARGIN, right: labelWidth(plot.width), top: 8, bottom: 20 };
    const time = state.time;
    const down = { low: state.last, high: 0, f: (u) => 1 - time.f(u), g: (t) => time.g(1 - t), ticks: (maxCount) => timeTicks(state, maxCount) };
    plot.scales(xScale(state.runs.map((shown) => shown.run)), down);
    this.rows = plot.snapshotRows(run.update);
    const missing = this.rows.filter((s) => !this.#kinksAt(run, s, r));
    if (missing.length) this.#compute(run, r, missing);
    if (!missing.length || !(performance.now() - this.drawnAt < PROGRESS)) (this.version = missing.length), (this.drawnAt = performance.now());
    const key = [run.name, run.historyVersion, this.version, r, time.key, plot.width, plot.height, plot.ratio, colours.paper, state.runs.map((shown) => shown.run.name)].join();
    plot.layer("lines", key, () => {
      plot.axes({ yName: "updates" });
      plot.clipped(() => this.#lines(run, r));
    });
    this.#caption(run, missing.length);
    this.drawn = { ...this.events, missing: missing.length };
    this.#current(now);
  }

  #caption(run, missing) {
    const { colours } = this.app, layers = run.model.architecture.hidden.slice(0, colours.layers.length);
    const names = layers.map((_, l) => {
      const { colour, text } = layerStyle(colours, l + 1);
      return [`${text} layer ${l + 1}`, colour];
    });
    const events = this.events.shown ? "; ○ appears, × disappears" : `; ${count(this.events.births)} appear, ${count(this.events.deaths)} disappear`;
    const end = missing ? "; being computed …" : `${events}; time runs downwards`;
    setCaption(this.caption, [`${this.app.runPrefix()}where f bends: `, ...names.flatMap((name, l) => (l ? [", ", name] : [name])), end], colours);
  }

  /** The places of the kinks at a snapshot by unit, if they are known. */
  #kinksAt(run, s, r) {
    return this.known.get(run)?.get(`${r} ${run.update[s]}`);
  }

  /** Compute the kinks of some snapshots between the next frames. */
  #compute(run, r, missing) {
    const isSame = this.work?.run === run && this.work.r === r;
    this.work = { run, r, missing };
    if (isSame) return;
    const slice = () => {
      const { work } = this;
      if (work?.run !== run || work.r !== r || this.app.state.run !== run) {
        if (work?.run === run && work.r === r) this.work = null;
        return;
      }
      for (const begun = performance.now(); work.missing.length && performance.now() - begun < SLICE; ) this.#remember(run, work.missing.pop(), r);
      if (!work.missing.length) this.work = null;
      if (!work.missing.length || performance.now() - this.drawnAt > PROGRESS) this.app.invalidate();
      if (work.missing.length) setTimeout(slice);
    };
    setTimeout(slice);
  }

  #remember(run, s, r) {
    if (!this.known.has(run)) this.known.set(run, new Map());
    this.known.get(run).set(`${r} ${run.update[s]}`, placesByUnit(run.model.kinks(run.kinkNet(s, r), ...extent(run.x)).filter(({ layer }) => layer)));
  }

  /** The paths of the kinks, batched by layer, with a ring where one appears and a cross where one disappears. */
  #lines(run, r) {
    const { plot } = this, { colours } = this.app;
    const limit = LONGEST_STEP * (run.domain[1] - run.domain[0]);
    const batches = new Map(), events = [];
    let before = null, above = 0, most = 0;
    for (const s of this.rows) {
      const after = this.#kinksAt(run, s, r), y = plot.Y(run.update[s]);
      if (after && before) {
        followKinks(before, after, limit, {
          move: (key, from, to) => {
            const layer = layerOf(key);
            if (!batches.has(layer)) batches.set(layer, []);
            batches.get(layer).push(plot.X(from), above, plot.X(to), y);
          },
          birth: (key, to) => events.push({ layer: layerOf(key), x: plot.X(to), y, isBirth: true }),
          death: (key, from) => events.push({ layer: layerOf(key), x: plot.X(from), y: above, isBirth: false }),
        });
      }
      if (after) most = Math.max(most, [...after.values()].reduce((sum, places) => sum + places.length, 0));
      (before = after ?? null), (above = y);
    }
    const many = most > MANY_KINKS;
    for (const [layer, list] of [...batches].sort(([a], [b]) => a - b)) {
      plot.ctx.beginPath();
      for (let i = 0; i < list.length; i += 4) {
        plot.ctx.moveTo(list[i], list[i + 1]);
        plot.ctx.lineTo(list[i + 2], list[i + 3]);
      }
      plot.stroke({ colour: layerStyle(colours, layer).colour, width: many ? 1 : 1.7, alpha: many ? 0.6 : 0.9 });
    }
    const births = events.filter(({ isBirth }) => isBirth).length;
    this.events = { births, deaths: events.length - births, shown: events.length <= MOST_EVENTS };
    if (!this.events.shown) return;
    for (const { layer, x, y, isBirth } of events) {
      const { colour } = layerStyle(colours, layer);
      if (isBirth) plot.disc(x, y, 2.6, { fill: colours.paper, edge: colour });
      else for (const side of [-1, 1]) plot.segment(x - 2.5, y - 2.5 * side, x + 2.5, y + 2.5 * side, { colour, width: 1.2 });
    }
  }

  /** The current update: a line and the kinks on it. */
  #current(now) {
    const { plot } = this;
    const { state, colours } = this.app;
    const { run, s } = now, { left, right, top, bottom } = plot.area;
    const y = Math.round(plot.Y(run.update[s])) + 0.5;
    plot.segment(left, y, right, y, { colour: colours.now, width: 1.2 });
    plot.text("now", right + 6, Math.min(bottom, Math.max(top + 8, y + 4)), { colour: colours.ink, bold: true });
    const kinks = this.app.functionView.hits?.kinks ?? [];
    plot.clipped(() => {
      if (state.activeUnit !== null) this.#activeUnit(now, state.activeUnit);
      drawKinks(plot, colours, kinks.map((kink) => ({ ...kink, x: plot.X(kink.place), y })), kinks.length > MANY_KINKS ? 2.2 : 3.6, state.activeUnit);
    });
    if (state.hover.x === null) return;
    const x = plot.X(state.hover.x);
    if (x >= left && x <= right) plot.segment(x, top, x, bottom, { colour: colours.faint, width: 1 });
  }

  /** The paths of the kinks of the active unit. */
  #activeUnit({ run, r }, index) {
    const { plot } = this, { colours } = this.app, limit = LONGEST_STEP * (run.domain[1] - run.domain[0]), { ctx } = plot;
    const { layer, unit } = placeOfUnit(run.model.architecture, index), segments = [];
    let before = null, above = 0;
    for (const s of this.rows) {
      const known = this.#kinksAt(run, s, r), y = plot.Y(run.update[s]), places = known && placesOfUnit(known, layer, unit);
      if (before && places) for (const [i, j] of alignPlaces(before, places, limit)) if (i !== null && j !== null) segments.push([plot.X(before[i]), above, plot.X(places[j]), y]);
      (before = places ?? null), (above = y);
    }
    for (const style of [{ colour: colours.paper, width: 7, alpha: 0.8 }, { colour: colours.ink, width: 2.8 }]) {
      ctx.beginPath();
      for (const [x1, y1, x2, y2] of segments) ctx.moveTo(x1, y1), ctx.lineTo(x2, y2);
      plot.stroke(style);
    }
  }

  /** The kink near a position, or null. */
  kinkAt(px, py) {
    const now = this.app.state.now();
    if (!now?.run.model.architecture || !this.plot.fromY) return null;
    const s = now.run.snapshotAt(Math.max(0, this.plot.fromY(py)));
    const { architecture } = now.run.model;
    let best = null, nearest = HIT_RADIUS;
    for (const [key, places] of this.#kinksAt(now.run, s, now.r) ?? []) {
      for (const x of places) {
        const d = Math.abs(this.plot.X(x) - px);
        if (d < nearest) (nearest = d), (best = { x, index: indexOfUnit(architecture, layerOf(key), unitOf(key)) });
      }
    }
    return best;
  }

  hover(px, py, event) {
    const kink = this.kinkAt(px, py), { state, tooltip } = this.app;
    state.hoverOver({ x: this.plot.fromX?.(px) ?? null, unit: kink?.index ?? null });
    if (kink) tooltip.show(event, [...this.app.describeUnit(kink.index), `x = ${placeX(state.run, kink.x)}`]);
    else tooltip.hide();
    return kink ? "pointer" : "ns-resize";
  }

  leave() {
    this.app.tooltip.hide();
    this.app.state.hoverOver();
  }

  down(px, py) {
    const kink = this.kinkAt(px, py), { state } = this.app;
    if (kink) {
      state.change({ unit: kink.index === state.unit ? null : kink.index });
      return false;
    }
    this.drag(px, py);
    return true;
  }

  drag(px, py) {
    const { top, bottom } = this.plot.area, { state } = this.app;
    state.change({ playing: false });
    state.goTo(state.nearest(Math.max(0, Math.min(1, (py - top) / (bottom - top)))));
  }
}
