// One run: its data set, the parameters of its snapshots, and its scalars.
//
// x, y and all that the page shows are in the user's units. u, t and all names with "trained" are in the units of
// training, which are others for a run on scaled data; see core/scaling.js.

import { elbowOf, slopeJumpOf } from "../core/elbows.js";
import { loss } from "../core/functions.js";
import { modelNamed } from "../core/models.js";
import { scalingOf } from "../core/scaling.js";
import { decode } from "../core/wire_format.js";
import { place } from "../drawing/format.js";

const MAX_POINTS = 2000;

export class Run {
  /** @param {string} name @param {ArrayBuffer} data @param {ArrayBuffer} params @param {ArrayBuffer|null} scalars */
  constructor(name, data, params, scalars) {
    this.name = name;
    this.#readData(decode(data));
    this.#readParams(decode(params));
    this.setScalars(scalars);
  }

  #readData({ header, arrays }) {
    this.model = modelNamed(header.model);
    this.dataName = header.name ?? "";
    this.trained = header.trained ?? [];
    this.seeds = header.seeds ?? [0];
    this.settings = header.settings ?? {};
    const all = arrays.x.data.length;
    const sample = all > MAX_POINTS && arrays.recorded?.data.length < all ? arrays.recorded.data : null;
    const pick = (name) => {
      const found = arrays[name]?.data;
      return found === undefined ? null : sample ? Float64Array.from(sample, (i) => found[i]) : Float64Array.from(found);
    };
    this.x = pick("x");
    this.y = pick("y");
    this.target = pick("target");
    this.points = header.points ?? all;
    this.xTest = arrays.x_test ? Float64Array.from(arrays.x_test.data) : null;
    this.yTest = arrays.y_test ? Float64Array.from(arrays.y_test.data) : null;
    this.scaling = scalingOf(header.scaling);
    const { identity, trainedX, trainedY } = this.scaling;
    const changed = (values, change) => (identity || !values ? values : values.map(change));
    [this.u, this.t] = [changed(this.x, trainedX), changed(this.y, trainedY)];
    [this.uTest, this.tTest] = [changed(this.xTest, trainedX), changed(this.yTest, trainedY)];
    [this.uLow, this.uHigh] = [Math.min(...this.u), Math.max(...this.u)];
    this.yRange = Math.max(...this.y) - Math.min(...this.y);
    const low = Math.min(...this.x), high = Math.max(...this.x);
    const domain = header.domain ?? [low, high];
    this.domain = [Math.min(domain[0], low), Math.max(domain[1], high)];
    if (!(this.domain[1] > this.domain[0])) this.domain = [this.domain[0] - 0.5, this.domain[0] + 0.5];
    this.thetaOptimum = this.model.feature ? this.model.optimum(this.x, this.y) : null;
    this.noiseFloor = this.target ? mean(this.x.length, (i) => (this.y[i] - this.target[i]) ** 2) : null;
  }

  #readParams({ header, arrays }) {
    this.fields = header.fields;
    const shape = arrays.values.shape;
    [this.R, this.P] = [shape[1], shape[2]];
    this.update = Float64Array.from(arrays.update.data);
    this.wall = Float64Array.from(arrays.wall.data);
    this.values = arrays.values.data;
    this.total = header.total ?? this.update.length;
    this.stride = header.stride ?? 1;
    const keys = Object.fromEntries(Object.entries(this.model.parameters).map(([key, { field }]) => [field, key]));
    this.offset = {};
    let start = 0;
    for (const [name, count] of this.fields) {
      this.offset[keys[name]] = [start, count];
      start += count;
    }
    this.W = this.model.hasUnits ? this.offset.w[1] : 0;
    this.version = (this.version ?? 0) + 1;
  }

  get S() {
    return this.update.length;
  }

  /** The number of snapshots that are final: the last snapshot of a thinned run may be dropped later. */
  get finalCount() {
    const extra = this.stride > 1 && (this.total - 1) % this.stride !== 0;
    return extra ? this.S - 1 : this.S;
  }

  /**
   * Append later snapshots.
   * @returns {boolean} false if they do not continue these snapshots: then the run must be read again
   */
  extend(buffer) {
    const { header, arrays } = decode(buffer);
    const finalCount = this.finalCount;
    const fits =
      header.before === finalCount &&
      (header.stride ?? 1) === this.stride &&
      JSON.stringify(header.fields) === JSON.stringify(this.fields) &&
      (finalCount === 0 || header.wall_before === this.wall[finalCount - 1]) &&
      arrays.values.shape[1] === this.R;
    if (!fits) return false;
    if (arrays.update.data.length === 0) return true;
    this.update = concatenated(this.update.subarray(0, finalCount), arrays.update.data);
    this.wall = concatenated(this.wall.subarray(0, finalCount), arrays.wall.data);
    this.values = concatenated(this.values.subarray(0, finalCount * this.R * this.P), arrays.values.data);
    this.total = header.total;
    this.version += 1;
    return true;
  }

  setScalars(buffer) {
    this.scalars = {};
    this.findings = [];
    if (!buffer) return;
    const { header, arrays } = decode(buffer);
    this.findings = header.findings ?? [];
    header.tags.forEach((tag, i) => {
      this.scalars[tag] = { update: arrays[`u${i}`].data, value: arrays[`v${i}`].data };
    });
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
    const base = (s * this.R + r) * this.P;
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

  /** A value of x as text, with enough digits to find it among the points. */
  placeX(x) {
    return place(x, this.domain[1] - this.domain[0]);
  }

  /** A value of y as text. */
  placeY(y) {
    return place(y, this.yRange);
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

function concatenated(a, b) {
  const result = new a.constructor(a.length + b.length);
  result.set(a);
  result.set(b, a.length);
  return result;
}

function mean(n, of) {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += of(i);
  return sum / n;
}
