// The state of the view: one object that views read and controls change through `change`. It is all that they share.

import { unitStatuses, withElbow, withInputSlope, withSlopeJump } from "../core/elbows.js";
import { allFinite } from "../core/functions.js";
import { solveOutput } from "../core/least_squares.js";
import { votes as votesOf } from "../core/votes.js";
import { runNames } from "./run_names.js";

export const MAX_RUNS = 4;
export const SPEEDS = [0.25, 0.5, 1, 2, 4];

export class State {
  constructor() {
    this.listing = [];
    /** @type {Map<string, import("../core/run.js").Run>} */
    this.loaded = new Map();
    /** @type {{name: string, slot: number}[]} the slot fixes a run's colour while other runs are added and removed */
    this.selected = [];
    this.focus = null;
    this.replica = 0;
    this.update = 0;
    this.followingLatest = true;
    this.scale = "log";
    this.playing = false;
    this.speed = 1;
    this.unit = null;
    this.point = null;
    this.hover = { x: null, unit: null, point: null };
    this.show = { truth: true, units: "hidden", slope: false, solved: false, references: false, otherReplicas: true };
    this.mode = "overlay";
    this.measure = "share";
    /** @type {null|{run: string, net: any, moved: Set<number>, solved: boolean, lambda: number}} */
    this.whatIf = null;
    this.dark = false;
    this.failures = new Map();
    this.listeners = [];
    this.updates = new Float64Array(0);
  }

  /** Change properties and notify the listeners. */
  change(changes) {
    Object.assign(this, changes);
    for (const listener of this.listeners) listener();
  }

  /** Remember what is under the pointer: an x, a unit or a point. */
  hoverOver({ x = null, unit = null, point = null } = {}) {
    const { hover } = this;
    // views also call this after each drawing: a change that is none would have them drawn for ever
    if (!Object.is(hover.x, x) || hover.unit !== unit || hover.point !== point) this.change({ hover: { x, unit, point } });
  }

  get run() {
    return this.loaded.get(this.focus) ?? null;
  }

  /** The selected runs that are loaded, with their slots; the run in focus is last, so that it is drawn on top. */
  get runs() {
    const found = this.selected.filter(({ name }) => this.loaded.has(name)).map(({ name, slot }) => ({ run: this.loaded.get(name), slot }));
    return found.sort((a, b) => (a.run.name === this.focus) - (b.run.name === this.focus));
  }

  /** Label the selected runs by what differs between them; one that is not in the list keeps its label. */
  nameRuns() {
    const entries = this.selected.map(({ name }) => this.listing.find((entry) => entry.run === name)).filter(Boolean);
    runNames(entries).forEach((label, i) => {
      const run = this.loaded.get(entries[i].run);
      if (run) run.label = label;
    });
  }

  labelOf(name) {
    return this.loaded.get(name)?.label ?? name;
  }

  slotOf(name) {
    return this.selected.find((selected) => selected.name === name)?.slot ?? 0;
  }

  /** Collect the updates at which any of the runs has a snapshot: the steps of the slider. */
  collectUpdates() {
    const runs = this.runs.map(({ run }) => run.update);
    if (runs.length === 1) this.updates = runs[0];
    else this.updates = Float64Array.from(new Set(runs.flatMap((updates) => Array.from(updates)))).sort();
    this.nameRuns();
    if (this.updates.length && (this.followingLatest || this.update > this.last)) this.update = this.last;
  }

  get last() {
    return this.updates.length ? this.updates[this.updates.length - 1] : 0;
  }

  /** The index in `updates` of the last one at or before an update. */
  indexOf(update) {
    let low = 0, high = this.updates.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.updates[middle] <= update) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** The update nearest to a position t of the slider, 0 to 1. */
  nearest(t) {
    const update = this.time.g(t);
    const i = this.indexOf(update), next = Math.min(i + 1, this.updates.length - 1);
    const f = this.time.f;
    return Math.abs(f(this.updates[next]) - t) < Math.abs(f(this.updates[i]) - t) ? this.updates[next] : this.updates[i];
  }

  /** The time scale of the slider and of every view: linear, or logarithmic with update 0 included. f maps to 0..1, g back. */
  get time() {
    const last = this.last || 1;
    if (this.scale === "linear") return { key: `lin${last}`, f: (u) => u / last, g: (t) => t * last };
    const first = this.updates.length > 1 ? this.updates[this.updates[0] > 0 ? 0 : 1] : 1;
    const length = Math.log1p(last / first);
    return { key: `log${first},${last}`, first, f: (u) => Math.log1p(u / first) / length, g: (t) => first * Math.expm1(t * length) };
  }

  /** Go to an update; at the last one, follow the run from then on. */
  goTo(update) {
    this.change({ update, followingLatest: update >= this.last });
  }

  stepBy(count) {
    if (!this.updates.length) return;
    const i = Math.max(0, Math.min(this.updates.length - 1, this.indexOf(this.update) + count));
    this.change({ playing: false });
    this.goTo(this.updates[i]);
  }

  /**
   * The run in focus at the current update, with losses and votes; computed once for all views. `net`, residuals and losses
   * are in the user's units; `trainedNet`, the same parameters, and the votes are as trained.
   */
  now() {
    const run = this.run;
    if (!run || !run.S) return null;
    const s = run.snapshotAt(this.update), r = Math.min(this.replica, run.R - 1);
    const whatIf = this.whatIf && this.whatIf.run === run.name ? this.whatIf : null;
    const cached = this.cached;
    if (cached && cached.run === run && cached.version === run.version && cached.s === s && cached.r === r && cached.whatIf === whatIf) return cached;
    const runTrained = run.trainedNet(s, r), runNet = run.asShown(runTrained);
    const net = whatIf ? whatIf.net : runNet, trainedNet = whatIf ? run.asTrained(net) : runTrained;
    const votes = votesOf(run.model, trainedNet, run.u, run.t, run.trained);
    const residual = run.scaling.identity ? votes.residual : votes.residual.map(run.scaling.userResidual);
    const lossTrain = run.scaling.userLoss(votes.loss);
    this.cached = {
      run, version: run.version, s, r, whatIf, net, trainedNet, runNet, votes, residual,
      update: run.update[s],
      finite: allFinite(net),
      lossTrain,
      lossTest: run.testLoss(trainedNet),
      lossRun: whatIf ? run.trainLoss(runTrained) : lossTrain,
      lossTestRun: whatIf ? run.testLoss(runTrained) : null,
      status: run.model.hasUnits ? unitStatuses(trainedNet, run.uLow, run.uHigh) : null,
    };
    return this.cached;
  }

  /** The active unit or point: the one under the pointer, else the selected one. */
  get activeUnit() {
    const k = this.hover.unit ?? this.unit;
    return k !== null && this.run && k < this.run.W ? k : null;
  }

  get activePoint() {
    const i = this.hover.point ?? this.point;
    return i !== null && this.run && i < this.run.x.length ? i : null;
  }

  /** Change the network by hand, starting from the run at the current update. */
  edit(change, note = {}) {
    const now = this.now();
    if (!now || !now.finite) return;
    const previous = this.whatIf?.run === now.run.name ? this.whatIf : { run: now.run.name, moved: new Set(), solved: false, lambda: 0 };
    const net = change(now.net);
    if (!net) return;
    const moved = new Set(previous.moved);
    if (note.unit !== undefined) moved.add(note.unit);
    this.change({ playing: false, whatIf: { ...previous, net, moved, solved: note.solved ?? previous.solved, lambda: note.lambda ?? previous.lambda } });
  }

  setElbow(k, beta) {
    this.edit((p) => withElbow(p, k, beta), { unit: k });
  }

  setSlopeJump(k, jump) {
    this.edit((p) => withSlopeJump(p, k, jump), { unit: k });
  }

  /** Change w_k and keep the elbow. */
  setInputSlope(k, w) {
    this.edit((p) => withInputSlope(p, k, w), { unit: k });
  }

  setOutputWeight(k, v) {
    this.edit((p) => ({ ...p, v: p.v.with(k, v) }), { unit: k });
  }

  setTheta(theta) {
    this.edit((p) => ({ ...p, theta }));
  }

  /** Solve the output layer by least squares, or by ridge regression with a penalty lambda in the units of training. */
  solveOutput(lambda = 0) {
    const { run } = this;
    this.edit((p) => run.asShown(solveOutput(run.asTrained(p), run.u, run.t, lambda).net), { solved: true, lambda });
  }

  reset() {
    this.change({ whatIf: null });
  }
}
