// What the plots over x share: the limits, so that a point, its vote and an elbow's worldline stand above each other.

import { asinhScale, linear, span } from "./plot.js";

const WIDE = 96, NARROW = 76;
export const LEFT = 54;

/** The room for labels at the right. */
export const labelRoom = (width) => (width > 640 ? WIDE : NARROW);

/** The x axis of all plots over x. @param {import("./run.js").Run[]} runs */
export function xScale(runs) {
  const [low, high] = span(runs.flatMap((run) => run.domain), 0.02);
  return linear(low, high);
}

/** The y axis of the function: set by the data, so that it does not move while the network learns. */
export function yScale(runs) {
  const values = runs.flatMap((run) => [...extent(run.y), ...(run.target ? extent(run.target) : [])]);
  const [low, high] = span(values, 0.08);
  // room for the rail of elbows below the data
  return linear(low - 0.07 * (high - low), high);
}

export function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const v of values) (low = Math.min(low, v)), (high = Math.max(high, v));
  return [low, high];
}

/** Slopes are measured in the data's own: the power of ten nearest to (range of y) / (range of x). */
export function slopeUnit(run) {
  const [low, high] = extent(run.y);
  const steep = (high - low) / (run.domain[1] - run.domain[0]);
  return steep > 0 && Number.isFinite(steep) ? 10 ** Math.round(Math.log10(steep)) : 1;
}

const LEVEL = 0.3, STEEPEST = 50;

/** The scale of slope jumps: linear up to about 0.3 of the data's own slope, logarithmic beyond, up to 50. */
export function jumpScale(run) {
  const unit = slopeUnit(run);
  const scale = asinhScale(LEVEL * unit, STEEPEST / LEVEL);
  return { ...scale, marks: (most) => (most < 5 ? [-10, 0, 10] : [-10, -1, 0, 1, 10]).map((m) => ({ value: m * unit, label: String(m * unit).replace("-", "−") })) };
}

/** Where a slope jump lies on its scale, -1 to 1: what its colour shows. */
export const jumpHeight = (run) => {
  const unit = LEVEL * slopeUnit(run), reach = Math.asinh(STEEPEST / LEVEL);
  return (jump) => Math.asinh(jump / unit) / reach;
};

/** The marks of the scale of time. */
export function timeMarks(state, most, ticks, tick) {
  const last = state.last || 1;
  if (state.scale === "linear") {
    const { values, step } = ticks(0, last, most);
    return values.map((value) => ({ value, label: tick(value, step) }));
  }
  const first = Math.max(1, state.time.first);
  const marks = [{ value: 0, label: "0" }];
  const decades = Math.log10(last / first);
  const every = Math.max(1, Math.ceil(decades / most));
  for (let e = Math.ceil(Math.log10(first) - 1e-9); 10 ** e <= last; e += every) marks.push({ value: 10 ** e, label: tick(10 ** e, 10 ** e) });
  return marks;
}
