// A run as TensorBoard or a page holds it: its data set, the parameters of its snapshots, and its scalars, as bytes.

import { Run } from "../core/run.js";
import { decode } from "../core/wire_format.js";

const MAX_POINTS = 2000;

export class RecordedRun extends Run {
  /** @param {string} name @param {ArrayBuffer} data @param {ArrayBuffer} params @param {ArrayBuffer|null} scalars */
  constructor(name, data, params, scalars) {
    const { header, arrays } = decode(data);
    super(name, header);
    this.#readData(header, arrays);
    this.#readParams(decode(params));
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
