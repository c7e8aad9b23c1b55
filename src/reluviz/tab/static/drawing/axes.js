// Scales, ticks and margins that several plots share. All plots over x have the same x axis, so that a point, its vote
// (its contribution to the gradient) and the elbows near it are drawn in one column.

import { count } from "../core/count.js";
import { formatTick } from "./format.js";
import { asinhScale, linear, roundTicks, span } from "./scales.js";

export const LEFT_MARGIN = 62;
/** Empty margins at both ends of the x axis and of the y axis, as fractions of the values' range. */
const X_PADDING = 0.02, Y_PADDING = 0.08;
/** Room for the row of elbows below the data, as a fraction of the y range above it. */
const ELBOW_ROW = 0.07;

/** The width of the labels at the right of a plot of this width, in CSS pixels. */
export const labelWidth = (width) => (width > 640 ? 96 : 76);

/** The axes of the plots over x while they must not move. */
let held = null;

/** Keep the axes as they are for these runs while a point is dragged; null lets them follow the points again. */
export const holdAxes = (runs) => (held = runs && { x: xScale(runs), y: yScale(runs) });
export const axesAreHeld = () => held !== null;

/** The scale of all plots over x. @param {import("../core/run.js").Run[]} runs the one in focus is the last */
export function xScale(runs) {
  if (held) return held.x;
  const [low, high] = span(comparable(runs.map((run) => run.domain)).flat(), X_PADDING);
  return linear(low, high);
}

/**
 * The y scale of the plots of the function. It depends only on the data and the target, so that it does not move while
 * the network learns.
 * @param {import("../core/run.js").Run[]} runs the one in focus is the last
 */
export function yScale(runs) {
  if (held) return held.y;
  const [low, high] = span(comparable(runs.map((run) => extent([...run.y, ...(run.target ?? [])]))).flat(), Y_PADDING);
  return linear(low - ELBOW_ROW * (high - low), high);
}

/** Those of some ranges that are not far from the last one: runs on other data do not squeeze the points of the run in focus. */
function comparable(ranges) {
  const [low, high] = ranges[ranges.length - 1] ?? [], width = high - low;
  return ranges.filter((range, i) => i === ranges.length - 1 || (range[0] >= low - width && range[1] <= high + width));
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

/** In slope units: where the scale of slope jumps becomes logarithmic, and where it ends. */
const LINEAR_LIMIT = 0.3, MAX_JUMP = 50;

/**
 * The scale of slope jumps v|w|: how much a unit changes the slope of f at its elbow. It is nearly linear up to
 * LINEAR_LIMIT slope units and nearly logarithmic from there to MAX_JUMP.
 */
export function jumpScale(run) {
  const unit = slopeUnit(run);
  const scale = asinhScale(LINEAR_LIMIT * unit, MAX_JUMP / LINEAR_LIMIT);
  const ticks = (maxCount) => (maxCount < 5 ? [-10, 0, 10] : [-10, -1, 0, 1, 10]).map((m) => ({ value: m * unit, label: jumpLabel(m * unit) }));
  return { ...scale, ticks };
}

const jumpLabel = (jump) => (Math.abs(jump) < 1e4 && (!jump || Math.abs(jump) >= 1e-3) ? String(jump).replace("-", "−") : formatTick(jump, Math.abs(jump)));

/**
 * A function that maps a slope jump to its position on the scale of slope jumps: 0 for no jump, ±1 at ±MAX_JUMP slope
 * units, beyond ±1 for larger jumps. The colour of an elbow shows this position.
 */
export const jumpPosition = (run) => {
  const linearLimit = LINEAR_LIMIT * slopeUnit(run), maxAsinh = Math.asinh(MAX_JUMP / LINEAR_LIMIT);
  return (jump) => Math.asinh(jump / linearLimit) / maxAsinh;
};

/** The label of an update on an axis, written as elsewhere on the page where it is short. */
const updateLabel = (update, step) => (update >= 1e3 && update < 1e4 ? count(update) : formatTick(update, step));

/**
 * The ticks of the time axis, about `maxCount` of them.
 * @param {import("../app/state.js").State} state `scale` is "linear" or "log", `time.last` the end of the axis, and
 *   `time.first` the update at which the logarithmic time scale begins to be logarithmic
 * @returns {{value: number, label: string}[]}
 */
export function timeTicks(state, maxCount) {
  const { last } = state.time;
  if (state.scale === "linear") {
    const { values, step } = roundTicks(0, last, maxCount);
    return values.map((value) => ({ value, label: updateLabel(value, step) }));
  }
  const first = Math.max(1, state.time.first);
  const ticks = [{ value: 0, label: "0" }];
  const decades = Math.log10(last / first);
  const decadeStep = Math.max(1, Math.ceil(decades / maxCount));
  for (let e = Math.ceil(Math.log10(first) - 1e-9); 10 ** e <= last; e += decadeStep) ticks.push({ value: 10 ** e, label: updateLabel(10 ** e, 10 ** e) });
  return ticks;
}
