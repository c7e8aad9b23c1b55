// A run that the page shows: its points, the parameters of its snapshots, and its losses.
//
// x, y and all that the page shows are in the user's units. u, t and all names with "trained" are in the units of
// training, which are others for a run on scaled data; see scaling.js.

import { elbowOf, slopeJumpOf } from "./elbows.js";
import { loss } from "./functions.js";
import { modelNamed } from "./models.js";
import { scalingOf } from "./scaling.js";

/**
 * Snapshots are numbered by s, replicas by r and units by k. `version` changes with all that a view shows of the run,
 * `pointsVersion` with its points, and `historyVersion` when views must draw its earlier snapshots anew: not in every frame of
 * a run that trains in the page.
 */
export class Run {
  /** @param {string} name @param {{model: string, name?: string, trained?: string[], seeds?: number[], settings?: object, scaling?: number[]}} header */
  constructor(name, header) {
    this.name = name;
    // what drawings call the run
    this.label = name;
    this.model = modelNamed(header.model);
    this.dataName = header.name ?? "";
    this.trained = header.trained ?? [];
    this.seeds = header.seeds ?? [0];
    this.settings = header.settings ?? {};
    this.scaling = scalingOf(header.scaling);
    this.scalars = {};
    this.findings = [];
    this.total = 0;
    this.stride = 1;
    this.version = this.pointsVersion = this.historyVersion = 0;
  }

  /**
   * Set the points.
   * @param {{x: Float64Array, y: Float64Array, target: Float64Array|null, xTest: Float64Array|null, yTest: Float64Array|null,
   *   domain?: number[], points?: number}} given target is the true function at x; points their number, if x is a sample of them
   */
  setPoints({ x, y, target, xTest, yTest, domain, points = x.length }) {
    Object.assign(this, { x, y, target, xTest, yTest, points });
    const { identity, trainedX, trainedY } = this.scaling;
    const changed = (values, change) => (identity || !values ? values : values.map(change));
    [this.u, this.t] = [changed(x, trainedX), changed(y, trainedY)];
    [this.uTest, this.tTest] = [changed(xTest, trainedX), changed(yTest, trainedY)];
    [this.uLow, this.uHigh] = [Math.min(...this.u), Math.max(...this.u)];
    this.yRange = Math.max(...y) - Math.min(...y);
    const low = Math.min(...x), high = Math.max(...x);
    const [left, right] = domain ?? [low, high];
    this.domain = [Math.min(left, low), Math.max(right, high)];
    if (!(this.domain[1] > this.domain[0])) this.domain = [this.domain[0] - 0.5, this.domain[0] + 0.5];
    this.thetaOptimum = this.model.feature ? this.model.optimum(x, y) : null;
    this.noiseFloor = target ? mean(x.length, (i) => (y[i] - target[i]) ** 2) : null;
    this.pointsVersion += 1;
    this.changed();
  }

  /**
   * Set how the parameters of a snapshot are stored: R replicas after each other, each with the fields one after another.
   * @param {[string, number][]} fields name and count
   */
  setLayout(fields, replicas) {
    this.fields = fields;
    this.R = replicas;
    this.P = fields.reduce((sum, [, count]) => sum + count, 0);
    const keys = Object.fromEntries(Object.entries(this.model.parameters).map(([key, { field }]) => [field, key]));
    this.offset = {};
    let start = 0;
    for (const [name, count] of fields) {
      this.offset[keys[name]] = [start, count];
      start += count;
    }
    this.W = this.model.hasUnits ? this.offset.w[1] : this.model.architecture?.units ?? 0;
    const fits = ([key, { size }]) => size === undefined || this.offset[key]?.[1] === size;
    if (!Object.entries(this.model.parameters).every(fits)) throw new Error(`Its parameters are not those of ${this.model.name}.`);
  }

  /** Set the updates of the snapshots, and their parameters [S, R, P]. */
  setSnapshots(update, values) {
    this.update = update;
    this.values = values;
    this.changed();
  }

  /** Note that views must draw the run anew, with its history. */
  changed() {
    this.version += 1;
    this.historyVersion += 1;
  }

  /** The last snapshot at or before s with known parameters: for most runs s itself. */
  weightsAt(s) {
    return s;
  }

  get S() {
    return this.update.length;
  }

  /** The model at snapshot s of replica r, as a function of the user's x: a number or, for a parameter of each unit, an array a key. */
  net(s, r) {
    return this.asShown(this.trainedNet(s, r));
  }

  /** The parameters of the function of the user's x, from those as trained. */
  asShown(p) {
    return this.scaling.identity ? p : this.model.inUserUnits(p, this.scaling);
  }

  /** The inverse of asShown. */
  asTrained(p) {
    return this.scaling.identity ? p : this.model.inTrainedUnits(p, this.scaling);
  }

  /** The parameters at snapshot s of replica r as trained. */
  trainedNet(s, r) {
    return this.parametersIn(s, r);
  }

  /** f at a snapshot, as far as its kinks are needed. */
  kinkNet(s, r) {
    return this.net(s, r);
  }

  /** The parameters in a row of `values`. */
  parametersIn(row, r) {
    const base = (row * this.R + r) * this.P;
    const part = ([key, { perUnit }]) => {
      const [start, count] = this.offset[key];
      return [key, perUnit ? Float64Array.from(this.values.subarray(base + start, base + start + count)) : this.values[base + start]];
    };
    return Object.fromEntries(Object.entries(this.model.parameters).map(part));
  }

  /** One parameter of one snapshot as trained, without building a net. */
  trainedValue(s, r, name, k = 0) {
    return this.values[(s * this.R + r) * this.P + this.offset[name][0] + k];
  }

  elbow(s, r, k) {
    return this.scaling.userX(elbowOf(this.trainedValue(s, r, "w", k), this.trainedValue(s, r, "b", k)));
  }

  slopeJump(s, r, k) {
    return this.scaling.userSlope(slopeJumpOf(this.trainedValue(s, r, "w", k), this.trainedValue(s, r, "v", k)));
  }

  /** The index of the last snapshot at or before an update. */
  snapshotAt(update) {
    let low = 0, high = this.S - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.update[middle] <= update) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Which side of its elbow unit k is active on: 1 for the right, -1 for the left, 0 for none. */
  orientation(s, r, k) {
    return Math.sign(this.trainedValue(s, r, "w", k));
  }

  /** The training loss of parameters as trained. */
  trainLoss(p) {
    return this.scaling.userLoss(loss(this.model, p, this.u, this.t));
  }

  /** The test loss of parameters as trained; null without test points. */
  testLoss(p) {
    return this.uTest ? this.scaling.userLoss(loss(this.model, p, this.uTest, this.tTest)) : null;
  }

  /** What became of a replica: the finding that comes first for it; null while the run is training. */
  finding(r) {
    return this.findings.find(({ replicas }) => replicas.includes(r)) ?? null;
  }

  /** The step size in the settings of the run; 0.1 if there is none. */
  get rate() {
    const given = Number(this.settings["optimizer.lr"] ?? this.settings.step_size);
    return given > 0 ? given : 0.1;
  }
}

function mean(n, of) {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += of(i);
  return sum / n;
}
