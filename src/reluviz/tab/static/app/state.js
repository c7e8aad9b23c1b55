// The state of the view: one object that views read and controls change through `change`. It is all that they share.

import { allFinite, meanSquare, residuals } from "../core/functions.js";
import { votes as votesOf } from "../core/votes.js";
import { EDITS } from "../trainer/edits.js";
import { runNames } from "./run_names.js";

export const MAX_RUNS = 4;
/** How far the time axis reaches beyond the last update while the page trains. */
const TIME_MARGIN = 1.15;
/** The letters of changes that a chain can have. */
const CHAIN_EDITS = "eco";
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
    /** Whether the pointer moves, adds and deletes points in the panel of the function. */
    this.editsPoints = false;
    /**
     * The parameters that the user tries out, and the changes that lead to them; `before` are those before the last change.
     * @type {null|{run: string, net: any, before: any, edits: {kind: string, values: number[]}[], moved: Set<number>, solved: boolean, lambda: number}}
     */
    this.whatIf = null;
    this.dark = false;
    this.failures = new Map();
    this.listeners = [];
    this.updates = new Float64Array(0);
    /** Whether the page trains. Then the time axis reaches beyond the last update, so that it does not move in every frame. */
    this.training = false;
    this.timeEnd = 0;
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
    if (!this.training) this.timeEnd = this.last;
    else if (this.last > this.timeEnd) this.timeEnd = this.last * TIME_MARGIN;
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
    const last = this.timeEnd || 1;
    if (this.scale === "linear") return { key: `lin${last}`, last, f: (u) => u / last, g: (t) => t * last };
    const first = this.updates.length > 1 ? this.updates[this.updates[0] > 0 ? 0 : 1] : 1;
    const length = Math.log1p(last / first);
    return { key: `log${first},${last}`, first, last, f: (u) => Math.log1p(u / first) / length, g: (t) => first * Math.expm1(t * length) };
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
    // where the parameters of this snapshot are left out, votes and units are those of the last one before it
    const s0 = whatIf ? s : run.weightsAt(s), isOther = s0 !== s;
    const isKnown = isOther && cached?.run === run && cached.version === run.version && cached.r === r && !cached.whatIf && cached.weights.update === run.update[s0];
    const weights = isKnown ? { ...cached.weights, isOther } : this.#weights(run, s0, isOther, isOther ? run.trainedNet(s0, r) : trainedNet, net);
    const { votes } = weights;
    // worked out when a view asks for them: in most frames of a run that trains in the page none does
    const trainedResidual = lazy(() => (isOther ? residuals(run.model, trainedNet, run.u, run.t) : votes().residual));
    const residual = lazy(() => (run.scaling.identity ? trainedResidual() : trainedResidual().map(run.scaling.userResidual)));
    const lossTest = lazy(() => run.testLoss(trainedNet)), lossRun = lazy(() => run.trainLoss(runTrained)), lossTestRun = lazy(() => run.testLoss(runTrained));
    this.cached = {
      run, version: run.version, s, r, whatIf, net, trainedNet, runNet, weights,
      update: run.update[s],
      finite: allFinite(net),
      status: weights.status,
      get votes() { return votes(); },
      get residual() { return residual(); },
      get lossTrain() { return run.scaling.userLoss(isOther ? meanSquare(trainedResidual()) : votes().loss); },
      get lossTest() { return lossTest(); },
      get lossRun() { return whatIf ? lossRun() : this.lossTrain; },
      get lossTestRun() { return whatIf ? lossTestRun() : null; },
    };
    return this.cached;
  }

  /** The parameters of a snapshot, with what views need of them. */
  #weights(run, s, isOther, trained, net) {
    return {
      update: run.update[s], isOther, trained,
      net: isOther ? run.asShown(trained) : net,
      status: run.model.statuses?.(trained, run) ?? null,
      votes: lazy(() => votesOf(run.model, trained, run.u, run.t, run.trained)),
    };
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

  /**
   * Change the parameters by hand, starting from the run at the current update.
   * @param {string} kind a letter of EDITS with `net` @param {number[]} values
   */
  edit(kind, values, note = {}) {
    let now = this.now();
    if (now?.weights.isOther) {
      this.goTo(now.weights.update);
      now = this.now();
    }
    if (!now || !now.finite || !values.every(Number.isFinite)) return;
    // the other changes are of networks with one layer
    if (now.run.model.architecture && !CHAIN_EDITS.includes(kind)) return;
    const given = this.whatIf?.run === now.run.name ? this.whatIf : { run: now.run.name, before: now.net, edits: [], moved: new Set(), solved: false, lambda: 0 };
    const last = given.edits[given.edits.length - 1];
    // a drag is one change; units that are deleted, split or added one after another are several
    const again = last && last.kind === kind && !"dpa".includes(kind) && (values.length === 1 || last.values[0] === values[0]) && (kind !== "c" || last.values[1] === values[1]);
    const before = again ? given.before : now.net;
    const net = EDITS[kind].net(before, values, now.run);
    if (!net) return;
    const edits = [...(again ? given.edits.slice(0, -1) : given.edits), { kind, values }];
    const moved = new Set(given.moved);
    if (note.unit !== undefined) moved.add(note.unit);
    this.change({ playing: false, whatIf: { ...given, net, before, edits, moved, solved: note.solved ?? given.solved, lambda: note.lambda ?? given.lambda } });
  }

  setElbow(k, beta) {
    this.edit("e", [k, rounded(beta, this.run.domain)], { unit: k });
  }

  setSlopeJump(k, jump) {
    this.edit("j", [k, Number(jump.toPrecision(6))], { unit: k });
  }

  /** Change w_k and keep the elbow. */
  setInputSlope(k, w) {
    this.edit("i", [k, w], { unit: k });
  }

  setOutputWeight(k, v) {
    this.edit("v", [k, v], { unit: k });
  }

  /** Change a weight into a unit of a chain, or its bias for input -1. */
  setWeight(index, input, value) {
    this.edit("c", [index, input, Number(value.toPrecision(6))], { unit: index });
  }

  setTheta(theta) {
    this.edit("t", [Number(theta.toPrecision(6))]);
  }

  /** Solve the output layer by least squares, or by ridge regression with a penalty lambda in the units of training. */
  solveOutput(lambda = 0) {
    this.edit("o", [lambda], { solved: true, lambda });
  }

  reset() {
    this.change({ whatIf: null });
  }
}

/** A function that computes its value when it is first called. */
function lazy(compute) {
  let value, isKnown = false;
  return () => (isKnown ? value : ((isKnown = true), (value = compute())));
}

/** A place with so many digits that another one is a millionth of the domain away: short in an address, exact to the eye. */
export function rounded(place, [low, high]) {
  const size = Math.max(Math.abs(low), Math.abs(high)), digits = 6 + Math.max(0, Math.ceil(Math.log10(size / (high - low))));
  return Number(place.toPrecision(Math.min(17, digits)));
}
