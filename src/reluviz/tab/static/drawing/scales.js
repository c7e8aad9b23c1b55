// Scales of axes. A scale is {low, high, f, g, ticks}: f maps a value to 0..1, g maps back, ticks(maxCount) gives
// [{value, label}] for the axis. A linear scale also has an offset, which its labels leave out; mostly it is 0.

import { formatTick } from "./format.js";

/** Multiples of 1, 2 or 5 times a power of ten, about `maxCount` of them. @returns {{values: number[], step: number}} */
export function roundTicks(low, high, maxCount) {
  const span = high - low;
  if (!(span > 0) || !Number.isFinite(span)) return { values: [], step: 1 };
  const rough = span / Math.max(1, maxCount);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= rough * 0.999);
  const values = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) values.push(i * step);
  return { values, step };
}

/** The largest number 1, 2 or 5 times a power of ten at or below a positive value. */
export function round125(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [5, 2, 1].find((m) => m * power <= value * 1.0001);
}

export const linear = (low, high) => ({
  low, high,
  f: (v) => (v - low) / (high - low),
  g: (t) => low + t * (high - low),
  ticks: (maxCount) => {
    const { values, step } = roundTicks(low, high, maxCount);
    const offset = offsetOf(low, high);
    return values.map((value) => ({ value, label: formatTick(value - offset, step) }));
  },
  offset: offsetOf(low, high),
});

/** More digits than these in a label would not fit, so the labels show the differences from a round number. */
const MAX_LABEL_DIGITS = 5;

/** A round number near the values of an axis, which its labels leave out; 0 if a few digits tell the values apart. */
function offsetOf(low, high) {
  const size = Math.max(Math.abs(low), Math.abs(high)), range = high - low;
  if (!(range > 0) || size / range < 10 ** MAX_LABEL_DIGITS) return 0;
  const step = 10 ** Math.ceil(Math.log10(range));
  return Math.round(low / step) * step;
}

export function logarithmic(low, high) {
  const a = Math.log10(low), b = Math.log10(high);
  return {
    low, high,
    f: (v) => (Math.log10(v) - a) / (b - a),
    g: (t) => 10 ** (a + t * (b - a)),
    ticks: (maxCount) => decades(a, b, maxCount),
  };
}

/** The ticks of a logarithmic axis from 10^a to 10^b. */
function decades(a, b, maxCount) {
  const first = Math.ceil(a - 1e-9), last = Math.floor(b + 1e-9);
  const decadeStep = Math.max(1, Math.ceil((last - first + 1) / maxCount));
  const ticks = [];
  if (b - a < 0.7) {
    const { values, step } = roundTicks(10 ** a, 10 ** b, maxCount);
    return values.filter((value) => value > 0).map((value) => ({ value, label: formatTick(value, step) }));
  }
  const multiples = (b - a) * 3 <= maxCount ? [1, 2, 5] : [1];
  for (let e = first - 1; e <= last; e++) {
    if (multiples.length === 1 && (e - first) % decadeStep) continue;
    for (const m of multiples) {
      const value = m * 10 ** e;
      if (Math.log10(value) >= a - 1e-9 && Math.log10(value) <= b + 1e-9) ticks.push({ value, label: formatTick(value, 10 ** e) });
    }
  }
  return ticks;
}

/** A symmetrical scale with 0 in the middle: linear near 0, logarithmic far from it. */
export function asinhScale(unit, reachInUnits) {
  const reach = Math.asinh(reachInUnits);
  return {
    low: -reachInUnits * unit, high: reachInUnits * unit,
    f: (v) => 0.5 + 0.5 * Math.max(-0.97, Math.min(0.97, Math.asinh(v / unit) / reach)),
    g: (t) => unit * Math.sinh((2 * t - 1) * reach),
    ticks: (maxCount) => {
      const powers = maxCount < 5 ? [10] : [1, 10, 100];
      const values = powers.filter((p) => p <= reachInUnits * 0.5).flatMap((p) => [-p * unit, p * unit]);
      return [0, ...values].map((value) => ({ value, label: formatTick(value, Math.abs(value) || 1) }));
    },
  };
}

/** The limits [low, high] of the finite numbers among some values, with a margin; never empty. */
export function span(values, pad = 0.06) {
  let low = Infinity, high = -Infinity;
  for (const v of values) if (Number.isFinite(v)) (low = Math.min(low, v)), (high = Math.max(high, v));
  if (low > high) return [-1, 1];
  if (low === high) return [low - 0.5 * (Math.abs(low) || 1), high + 0.5 * (Math.abs(high) || 1)];
  return [low - pad * (high - low), high + pad * (high - low)];
}
