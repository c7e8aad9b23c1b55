// A run that is trained in the page: it grows from a start, which is a snapshot of another run or an initial state, by updates
// and by the user's changes. Start, settings, changes and the number of updates determine every bit of it.

import { LOSS_BATCH, LOSS_TEST, LOSS_TRAIN } from "../core/tags.js";
import { isDeleted } from "../core/elbows.js";
import { Run } from "../core/run.js";
import { scalingOf } from "../core/scaling.js";
import { TARGETS } from "./data_sets.js";
import { EDITS } from "./edits.js";
import { scalingFor } from "./scaling_choice.js";
import { Session } from "./session.js";

/** When it has more snapshots at multiples of the stride than this, the stride doubles. */
const MOST_MULTIPLES = 256;
/** Besides the multiples, updates are kept whose number is below this times a power of two: the early ones lie close together. */
const DENSE = 16;
/** A loss beyond this multiple of the larger of initial loss and variance of y is a divergence, as in Python. */
const DIVERGENCE_FACTOR = 1e6;

export class Branch extends Run {
  #session;
  #capacity = 0;
  #updates = new Float64Array(0);
  #store = new Float64Array(0);
  #losses = { [LOSS_TRAIN]: [], [LOSS_TEST]: [], [LOSS_BATCH]: [] };
  #count = 0;
  /** Whether the last snapshot is one of those that are kept; otherwise the next one replaces it. */
  #lastIsKept = true;
  #editedAt = new Set();
  /** The loss of the last minibatch before its update. */
  #batchLoss = NaN;

  /**
   * @param {any} engine of session.js
   * @param {{name: string, label?: string, start: any, settings: any, points: any, scaling?: number[], parameters: any, update?: number, moments?: any, initial?: null|((u: Float64Array) => any)}} given
   *   start says where it begins, for an address; settings are those of settings.js; points as for Run.setPoints, with `target` a
   *   function or null; parameters, as trained, and moments are those before its first update; initial makes of training inputs
   *   (in the units of training) the parameters of another start on them, null if its start does not depend on its points
   */
  constructor(engine, { name, label, start, settings, points, scaling = null, parameters, update = 0, moments = null, initial = null, dataName }) {
    const model = settings.model;
    super(name, { model, name: dataName ?? settings.data.replace("_", " "), seeds: [settings.seed], scaling });
    this.isBranch = true;
    this.engine = engine;
    this.label = label ?? name;
    this.start = start;
    this.from = update;
    this.chosen = { ...settings };
    this.edits = [];
    this.stopped = null;
    this.stride = 1;
    this.targetOf = points.target;
    this.initial = initial;
    this.setPoints({ ...points, target: this.#targets(points.x) });
    this.trained = this.#trainedFields();
    const { train, optimizer, lr: stepSize, momentum, sampler, batch, seed } = settings;
    this.#session = new Session(engine, { model, parameters, u: this.u, t: this.t, train, optimizer, stepSize, momentum, sampler, batch: Math.min(batch, this.x.length), seed, update });
    if (moments) this.#session.restore({ ...this.#session.state(), ...moments });
    this.#layOut(parameters);
    this.#record();
    this.#measureLimit();
    this.refreshHistory();
  }

  /** A branch with the same past, which then goes its own way. */
  clone(name) {
    const { x, y, xTest, yTest, domain, targetOf: target } = this;
    const copy = new Branch(this.engine, {
      name, start: this.start, settings: this.chosen, points: { x, y, target, xTest, yTest, domain }, scaling: this.scaling.numbers,
      parameters: this.#session.parameters(), update: this.from, initial: this.initial, dataName: this.dataName,
    });
    copy.#session.restore(this.#session.state());
    copy.edits = [...this.edits];
    copy.#editedAt = new Set(this.#editedAt);
    [copy.#capacity, copy.#count, copy.#lastIsKept, copy.#batchLoss] = [this.#capacity, this.#count, this.#lastIsKept, this.#batchLoss];
    [copy.#updates, copy.#store] = [this.#updates.slice(), this.#store.slice()];
    for (const [tag, values] of Object.entries(this.#losses)) copy.#losses[tag] = [...values];
    Object.assign(copy, { stride: this.stride, stopped: this.stopped, limit: this.limit });
    copy.#show();
    copy.refreshHistory();
    return copy;
  }

  /** The number of updates made, counted from the update 0 of the run that it continues. */
  get updateCount() {
    return this.#session.update;
  }

  /** The moments of its optimiser, for a branch of a recorded run, whose moments are not recorded. */
  moments() {
    const { moments, powers } = this.#session.state();
    return { moments, powers };
  }

  get rate() {
    return this.chosen.lr;
  }

  #targets(x) {
    return this.targetOf ? x.map(this.targetOf) : null;
  }

  #trainedFields() {
    const fields = Object.values(this.model.parameters).map(({ field }) => field);
    const { train } = this.chosen;
    return fields.filter((field) => train === "all" || !this.model.hasUnits || field.startsWith("output") === (train === "output"));
  }

  /** Store snapshots of as many units as the parameters have; a unit that an earlier snapshot lacks is all zeros there. */
  #layOut(parameters) {
    const old = { P: this.P, offset: this.offset, values: this.#store, R: 1 };
    const W = parameters.w?.length ?? 0;
    this.setLayout(Object.values(this.model.parameters).map(({ field, perUnit }) => [field, perUnit ? W : 1]), 1);
    if (old.P === undefined || old.P === this.P) return;
    this.#store = new Float64Array(this.#capacity * this.P);
    for (let s = 0; s < this.#count; s++) {
      for (const [key, [start, count]] of Object.entries(old.offset)) {
        const from = s * old.P + start;
        this.#store.set(old.values.subarray(from, from + Math.min(count, this.offset[key][1])), s * this.P + this.offset[key][0]);
      }
    }
  }

  /** Whether the snapshot after an update is kept. */
  #keeps(update) {
    const made = update - this.from;
    if (made % this.stride === 0 || this.#editedAt.has(update)) return true;
    let odd = made;
    while (odd % 2 === 0) odd /= 2;
    return odd < DENSE;
  }

  /** The next update after `update` whose snapshot is kept. */
  #nextStop(update) {
    const made = update - this.from;
    const multiple = (Math.floor(made / this.stride) + 1) * this.stride;
    let step = 1;
    while (made >= step * DENSE) step *= 2;
    return this.from + Math.min(multiple, (Math.floor(made / step) + 1) * step);
  }

  /** Store the present parameters as the last snapshot. */
  #record() {
    const update = this.updateCount;
    if (this.#count && (!this.#lastIsKept || this.#updates[this.#count - 1] === update)) this.#count -= 1;
    if (this.#count === this.#capacity) {
      this.#capacity = Math.max(64, 2 * this.#capacity);
      this.#updates = enlarged(this.#updates, this.#capacity);
      this.#store = enlarged(this.#store, this.#capacity * this.P);
    }
    const s = this.#count++;
    this.#updates[s] = update;
    this.#session.write(this.#store, s * this.P);
    this.#losses[LOSS_TRAIN][s] = this.#losses[LOSS_TEST][s] = NaN;
    this.#losses[LOSS_BATCH][s] = this.#batchLoss;
    this.#lastIsKept = this.#keeps(update);
    if (this.#lastIsKept && this.#count > MOST_MULTIPLES && (update - this.from) / this.stride > MOST_MULTIPLES) this.#thin();
    this.#show();
  }

  /** Double the stride, and keep only the snapshots that this leaves. */
  #thin() {
    this.stride *= 2;
    let kept = 0;
    for (let s = 0; s < this.#count; s++) {
      if (!this.#keeps(this.#updates[s]) && s < this.#count - 1) continue;
      this.#updates[kept] = this.#updates[s];
      this.#store.copyWithin(kept * this.P, s * this.P, (s + 1) * this.P);
      for (const values of Object.values(this.#losses)) values[kept] = values[s];
      kept += 1;
    }
    this.#count = kept;
    this.#lastIsKept = this.#keeps(this.#updates[kept - 1]);
  }

  /** Let views see the stored snapshots. */
  #show() {
    this.update = this.#updates.subarray(0, this.#count);
    this.values = this.#store.subarray(0, this.#count * this.P);
    this.total = this.#count;
    this.version += 1;
  }

  #measureLimit() {
    const mean = this.t.reduce((sum, t) => sum + t, 0) / this.t.length;
    const variance = this.t.reduce((sum, t) => sum + (t - mean) ** 2, 0) / this.t.length;
    this.limit = DIVERGENCE_FACTOR * Math.max(this.scaling.userLoss(variance), this.trainLoss(this.trainedNet(0, 0)));
  }

  /** Make updates. @returns {boolean} whether it may go on: false if it has diverged */
  train(count) {
    const end = this.updateCount + count;
    while (this.updateCount < end && !this.stopped) {
      const loss = this.#session.run(Math.min(end, this.#nextStop(this.updateCount)) - this.updateCount);
      this.#batchLoss = this.scaling.userLoss(loss);
      this.#record();
      if (!(this.#batchLoss <= this.limit)) this.stopped = { update: this.updateCount };
    }
    if (this.stopped) this.refreshHistory();
    return !this.stopped;
  }

  /** Compute the losses of the snapshots that have none yet, and have the history drawn anew. */
  refreshHistory() {
    const { [LOSS_TRAIN]: train, [LOSS_TEST]: test } = this.#losses;
    for (let s = 0; s < this.#count; s++) {
      if (!Number.isNaN(train[s])) continue;
      const p = this.trainedNet(s, 0);
      // a loss that is not finite stays so
      train[s] = noNaN(this.trainLoss(p));
      test[s] = this.uTest ? noNaN(this.testLoss(p)) : NaN;
    }
    this.scalars = {};
    for (const [tag, values] of Object.entries(this.#losses)) {
      // the start has made no update, so it has no minibatch
      const first = tag === LOSS_BATCH ? 1 : 0;
      if (tag === LOSS_TEST && !this.uTest) continue;
      this.scalars[tag] = { update: this.#updates.slice(first, this.#count), value: Float64Array.from(values.slice(first, this.#count)) };
    }
    this.version += 1;
    this.historyVersion += 1;
  }

  /**
   * Make a change after the updates made so far.
   * @param {string} kind a letter of EDITS
   * @param {number[]} values
   * @param {{replace?: boolean}} [how] replace: take the last change back first, if it is of the same kind and update: a drag is one change
   * @returns {boolean} whether there was anything to change
   */
  edit(kind, values, { replace = false } = {}) {
    const last = this.edits[this.edits.length - 1];
    if (replace && last && last.kind === kind && last.at === this.updateCount) this.#goBackTo(last);
    const before = this.#copy();
    if (!this.#apply(kind, values)) return false;
    this.edits.push({ at: this.updateCount, kind, values, before });
    this.#editedAt.add(this.updateCount);
    this.stopped = null;
    this.#record();
    this.refreshHistory();
    return true;
  }

  #apply(kind, values) {
    const edit = EDITS[kind];
    if (!edit || (edit.count !== null && values.length !== edit.count) || !values.every(Number.isFinite)) return false;
    if (edit.net) {
      const net = edit.net(this.asShown(this.#session.parameters()), values, this);
      if (!net) return false;
      this.#setParameters(this.asTrained(net));
    } else if (edit.settings) {
      const changed = edit.settings(values, this);
      if (!changed) return false;
      this.#choose(changed);
    } else {
      const found = edit.points(values, this);
      if (!found) return false;
      // losses of earlier snapshots are those on the points of their time
      this.refreshHistory();
      if (found.target !== undefined) this.targetOf = found.target;
      const beginsAnew = this.#isAtItsStart();
      if (beginsAnew || (edit.isDataSet && this.updateCount === 0)) this.#chooseScaling(found);
      this.#usePoints({ ...found, domain: edit.isDataSet ? found.domain : this.domain });
      this.#choose(found.settings ?? {});
      if (beginsAnew) {
        this.#setParameters(this.initial(this.u));
        this.#record();
      }
      this.#measureLimit();
    }
    return true;
  }

  /** Whether its parameters are still those of its start: then they follow its points, as they do where Python begins a run. */
  #isAtItsStart() {
    return this.initial !== null && this.updateCount === 0 && this.edits.every(({ kind }) => !EDITS[kind].net);
  }

  /**
   * Scale points as Python does: the user's own points for a network, built-in data never. The parameters as trained stay.
   * Once the network has been trained, its units stay.
   */
  #chooseScaling({ x, y, settings = this.chosen }) {
    this.scaling = scalingOf(settings.data === "own" && this.model.inUserUnits ? scalingFor(x, y) : null);
  }

  /** Set parameters, also of more units. Moments stay; those of a new unit and of a deleted one, which is all zeros, are 0. */
  #setParameters(parameters) {
    const state = this.#session.state(), W = this.W, wider = parameters.w?.length ?? 0;
    const moved = (row) => {
      if (!W) return row;
      const isGone = (k) => k >= W || isDeleted(parameters, k);
      const part = (j) => Float64Array.from({ length: wider }, (_, k) => (isGone(k) ? 0 : row[j * W + k]));
      return Float64Array.of(...part(0), ...part(1), ...part(2), row[3 * W]);
    };
    this.#layOut(parameters);
    this.#session.restore({ ...state, parameters, moments: state.moments.map(moved) });
  }

  /** Use other points; `test` are the test points, null for none, undefined for those that there are. */
  #usePoints({ x, y, test, domain }) {
    const [xTest, yTest] = test === undefined ? [this.xTest, this.yTest] : (test ?? [null, null]);
    this.setPoints({ x, y, target: this.#targets(x), xTest, yTest, domain });
    this.#session.change({ u: this.u, t: this.t, batch: Math.min(this.chosen.batch, x.length) });
  }

  #choose(changed) {
    Object.assign(this.chosen, changed);
    this.trained = this.#trainedFields();
    const { lr: stepSize, batch, sampler, train } = this.chosen;
    this.#session.change({ stepSize, batch: Math.min(batch, this.x.length), sampler, train });
    this.version += 1;
  }

  /** All that a change may change. */
  #copy() {
    const { x, y, xTest, yTest, targetOf, domain, scaling, stopped, limit } = this;
    return { batchLoss: this.#batchLoss, session: this.#session.state(), chosen: { ...this.chosen }, points: { x, y, xTest, yTest, targetOf, domain }, scaling, stopped, limit, P: this.P };
  }

  /** Go back to the state before a change, which must be one of `edits`. */
  #goBackTo(edit) {
    const { batchLoss, session, chosen, points, scaling, stopped, limit } = edit.before;
    this.#batchLoss = batchLoss;
    this.edits = this.edits.slice(0, this.edits.indexOf(edit));
    this.#editedAt = new Set(this.edits.map(({ at }) => at));
    while (this.#count > 1 && this.#updates[this.#count - 1] > edit.at) this.#count -= 1;
    if (points.x !== this.x || points.y !== this.y) {
      Object.assign(this, { targetOf: points.targetOf, scaling });
      this.setPoints({ ...points, target: this.#targets(points.x) });
    }
    this.#session.restore(session);
    this.#session.change({ u: this.u, t: this.t, batch: Math.min(chosen.batch, this.x.length) });
    Object.assign(this, { stopped, limit });
    this.#layOut(this.#session.parameters());
    this.#choose(chosen);
    this.#lastIsKept = true;
    this.#record();
    this.refreshHistory();
  }

  /** Take the last change back, with all updates since; without one go back to the start. @returns {boolean} whether there was anything to take back */
  undo() {
    const edit = this.edits[this.edits.length - 1];
    if (edit) this.#goBackTo(edit);
    return Boolean(edit);
  }
}

const noNaN = (value) => (Number.isNaN(value) ? Infinity : value);

function enlarged(values, length) {
  const result = new Float64Array(length);
  result.set(values);
  return result;
}
