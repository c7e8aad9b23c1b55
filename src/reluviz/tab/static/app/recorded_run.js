// A run as TensorBoard or a page holds it: its data set, the parameters of its snapshots, and its scalars, as bytes. Of a chain
// with many parameters those of some snapshots are left out; its kinks, from which f follows, are those of all snapshots.

import { KinkSeries } from "../core/kink_series.js";
import { modelNamed } from "../core/models.js";
import { Run } from "../core/run.js";
import { decode } from "../core/wire_format.js";

const MAX_POINTS = 2000;

export class RecordedRun extends Run {
  /** @param {string} name @param {ArrayBuffer} data @param {ArrayBuffer} params @param {ArrayBuffer|null} scalars @param {ArrayBuffer|null} kinks */
  constructor(name, data, params, scalars, kinks = null) {
    const { header, arrays } = decode(data);
    super(name, header);
    this.#readData(header, arrays);
    this.#readParams(decode(params));
    if (kinks) this.#readKinks(decode(kinks));
    this.setScalars(scalars);
  }

  #readData(header, arrays) {
    const all = arrays.x.data.length;
    const sample = all > MAX_POINTS && arrays.recorded?.data.length < all ? arrays.recorded.data : null;
    const pick = (name) => {
      const found = arrays[name]?.data;
      return found === undefined ? null : sample ? Float64Array.from(sample, (i) => found[i]) : Float64Array.from(found);
    };
    const whole = (name) => (arrays[name] ? Float64Array.from(arrays[name].data) : null);
    this.setPoints({ x: pick("x"), y: pick("y"), target: pick("target"), xTest: whole("x_test"), yTest: whole("y_test"), domain: header.domain ?? undefined, points: header.points ?? all });
  }

  #readParams({ header, arrays }) {
    this.setLayout(header.fields, arrays.values.shape[1]);
    this.wall = Float64Array.from(arrays.wall.data);
    this.total = header.total ?? arrays.update.data.length;
    this.stride = header.stride ?? 1;
    this.setSnapshots(Float64Array.from(arrays.update.data), arrays.values.data);
  }

  /** Whether the kinks of all snapshots are needed: where parameters of some are left out. @param {ArrayBuffer} params */
  static needsKinks(data, params) {
    return Boolean(modelNamed(decode(data).header.model).architecture) && (decode(params).header.stride ?? 1) > 1;
  }

  /** Show all snapshots with known kinks; the parameters of some of them are known, too. */
  #readKinks({ arrays }) {
    const updates = this.update, series = new KinkSeries(arrays);
    if (updates[updates.length - 1] > series.update[series.update.length - 1]) return;
    this.kinkSeries = series;
    this.rowOf = new Int32Array(series.update.length).fill(-1);
    for (let s = 0, row = 0; s < series.update.length; s++) {
      while (row < updates.length - 1 && updates[row] < series.update[s]) row += 1;
      if (updates[row] === series.update[s]) this.rowOf[s] = row;
    }
    // the first snapshot has parameters
    if (this.rowOf[0] < 0) (this.kinkSeries = null), (this.rowOf = null);
    else {
      this.stride = 1;
      this.setSnapshots(series.update, this.values);
    }
  }

  weightsAt(s) {
    while (this.rowOf && this.rowOf[s] < 0) s -= 1;
    return s;
  }

  trainedNet(s, r) {
    const row = this.rowOf ? this.rowOf[s] : s;
    return row < 0 ? { pieces: this.kinkSeries.pieces(s, r) } : this.parametersIn(row, r);
  }

  kinkNet(s, r) {
    return this.kinkSeries ? this.asShown({ pieces: this.kinkSeries.pieces(s, r) }) : this.net(s, r);
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
    // a long run of a chain is read again, with its kinks
    if (this.kinkSeries) return false;
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
    this.wall = concatenated(this.wall.subarray(0, finalCount), arrays.wall.data);
    this.total = header.total;
    this.setSnapshots(
      concatenated(this.update.subarray(0, finalCount), arrays.update.data),
      concatenated(this.values.subarray(0, finalCount * this.R * this.P), arrays.values.data),
    );
    return true;
  }

  /** Read the scalars and the findings. */
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
}

function concatenated(a, b) {
  const result = new a.constructor(a.length + b.length);
  result.set(a);
  result.set(b, a.length);
  return result;
}
