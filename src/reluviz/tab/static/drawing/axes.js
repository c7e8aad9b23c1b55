// Limits, margins and marks that several plots share. All plots over x have the same x axis, so that a point, its vote
// and the elbows near it are drawn in one column.

import { tick } from "./format.js";
import { asinhScale, linear, span, ticks } from "./scales.js";

export const LEFT_MARGIN = 54;

/** The width of the labels at the right of a plot. */
export const labelWidth = (width) => (width > 640 ? 96 : 76);

/** The scale of all plots over x. @param {import("../app/run.js").Run[]} runs */
export function xScale(runs) {
  const [low, high] = span(runs.flatMap((run) => run.domain), 0.02);
  return linear(low, high);
}

/** The y axis of the function. It follows from the data, so that it does not move while the network learns. */
export function yScale(runs) {
  const values = runs.flatMap((run) => [...extent(run.y), ...(run.target ? extent(run.target) : [])]);
  const [low, high] = span(values, 0.08);
  // room for the row of elbows below the data
  return linear(low - 0.07 * (high - low), high);
}

/** The smallest and the largest value. */
export function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const v of values) (low = Math.min(low, v)), (high = Math.max(high, v));
  return [low, high];
}

/** The unit in which slopes are measured: the power of ten nearest to (range of y) / (range of x). */
export function slopeUnit(run) {
  const [low, high] = extent(run.y);
  const slope = (high - low) / (run.domain[1] - run.domain[0]);
  return slope > 0 && Number.isFinite(slope) ? 10 ** Math.round(Math.log10(slope)) : 1;
}

const LINEAR_LIMIT = 0.3, MAX_JUMP = 50;

/** The scale of slope jumps: linear up to about 0.3 slope units, logarithmic from there to 50. */
export function jumpScale(run) {
  const unit = slopeUnit(run);
  const scale = asinhScale(LINEAR_LIMIT * unit, MAX_JUMP / LINEAR_LIMIT);
  return { ...scale, marks: (maxCount) => (maxCount < 5 ? [-10, 0, 10] : [-10, -1, 0, 1, 10]).map((m) => ({ value: m * unit, label: String(m * unit).replace("-", "−") })) };
}

/** A function that returns where a slope jump lies on its scale, -1 to 1; colours show this number. */
export const jumpPosition = (run) => {
  const unit = LINEAR_LIMIT * slopeUnit(run), reach = Math.asinh(MAX_JUMP / LINEAR_LIMIT);
  return (jump) => Math.asinh(jump / unit) / reach;
};

/** The marks of the time axis. */
export function timeMarks(state, maxCount) {
  const last = state.last || 1;
  if (state.scale === "linear") {
    const { values, step } = ticks(0, last, maxCount);
    return values.map((value) => ({ value, label: tick(value, step) }));
  }
  const first = Math.max(1, state.time.first);
  const marks = [{ value: 0, label: "0" }];
  const decades = Math.log10(last / first);
  const every = Math.max(1, Math.ceil(decades / maxCount));
  for (let e = Math.ceil(Math.log10(first) - 1e-9); 10 ** e <= last; e += every) marks.push({ value: 10 ** e, label: tick(10 ** e, 10 ** e) });
  return marks;
}
