// The changes that a user makes to a run which trains in the page. A change is an update number, one letter and numbers, so that
// a run can be repeated from its start and its changes, and an address can hold them.
//
// Each change is computed only with + - * / and square roots, which are the same in every browser.

import { isDeleted, withElbow, withInputSlope, withSlopeJump } from "../core/elbows.js";
import { solveOutput } from "../core/least_squares.js";
import { noisySamples, TARGETS } from "./data_sets.js";
import { SAMPLERS } from "./samplers.js";
import { MOST_POINTS } from "./settings.js";

export const REGIMES = ["all", "output", "hidden"];
/** The built-in data sets, by their numbers in a change. */
export const DATA_SETS = Object.keys(TARGETS);
/** The largest size of a coordinate, as in point_text.js. */
const LARGEST = 1e60;
/** A unit that is split becomes two whose elbows are this fraction of the domain apart. */
const SPLIT_DISTANCE = 0.01;

/**
 * Letter -> how many numbers a change has (null: any number), whether it changes parameters, settings or points, and what it
 * makes of them. Parameters and points are in the user's units, `run` is the Branch. null means that there is nothing to change.
 * `isDataSet`: the points before it and their domain no longer matter.
 */
export const EDITS = {
  e: { words: "elbow moved", count: 2, net: (p, [k, beta]) => isUnit(p, k) && withElbow(p, k, beta) },
  j: { words: "slope jump changed", count: 2, net: (p, [k, jump]) => isUnit(p, k) && withSlopeJump(p, k, jump) },
  i: { words: "input slope changed", count: 2, net: (p, [k, w]) => isUnit(p, k) && withInputSlope(p, k, w) },
  v: { words: "output weight changed", count: 2, net: (p, [k, v]) => isUnit(p, k) && { ...p, v: p.v.with(k, v) } },
  t: { words: "θ changed", count: 1, net: (p, [theta]) => p.theta !== undefined && { theta } },
  o: { words: "output weights solved", count: 1, net: (p, [lambda], run) => p.w && run.asShown(solveOutput(run.asTrained(p), run.u, run.t, lambda, run.model).net) },
  c: { words: "weight changed", count: 3, net: (p, [index, input, value], run) => run.model.withWeight?.(p, index, input, value) },
  a: { words: "unit added", count: 2, net: (p, [beta, jump], run) => p.w && withUnit(p, beta, jump, run) },
  d: { words: "unit deleted", count: 1, net: (p, [k]) => isUnit(p, k) && { w: p.w.with(k, 0), b: p.b.with(k, 0), v: p.v.with(k, 0), c: p.c } },
  p: { words: "unit split", count: 1, net: (p, [k], run) => isUnit(p, k) && splitUnit(p, k, run) },
  l: { words: "step size changed", count: 1, settings: ([lr]) => lr > 0 && { lr } },
  b: { words: "batch size changed", count: 1, settings: ([batch], run) => Number.isInteger(batch) && batch >= 1 && batch <= run.x.length && { batch } },
  s: { words: "batches changed", count: 1, settings: ([which]) => SAMPLERS[which] && { sampler: SAMPLERS[which] } },
  r: { words: "trained layers changed", count: 1, settings: ([which]) => REGIMES[which] && { train: REGIMES[which] } },
  n: { words: "noise drawn anew", count: 2, points: ([noise, seed], run) => redrawn(run, noise, seed) },
  x: { words: "point moved", count: 3, points: ([i, x, y], run) => isPoint(run, i) && pointsOf(run.x.with(i, x), run.y.with(i, y)) },
  y: { words: "point added", count: 2, points: ([x, y], run) => pointsOf([...run.x, x], [...run.y, y]) },
  z: { words: "point deleted", count: 1, points: ([i], run) => isPoint(run, i) && pointsOf(without(run.x, i), without(run.y, i)) },
  w: { words: "points replaced", count: null, isDataSet: true, points: replaced },
  g: { words: "data set changed", count: 4, isDataSet: true, points: ([which, n, noise, seed]) => drawn(DATA_SETS[which], n, noise, seed) },
};

const isUnit = (p, k) => p.w && Number.isInteger(k) && k >= 0 && k < p.w.length && !isDeleted(p, k);
const isPoint = (run, i) => Number.isInteger(i) && i >= 0 && i < run.x.length;
const without = (values, i) => values.filter((_, j) => j !== i);

/**
 * Points in the order of x, as Python sorts them: points with the same x keep their order. null for too many points, and where
 * all have the same x.
 */
function pointsOf(x, y) {
  const order = Array.from(x, (_, i) => i).sort((i, j) => x[i] - x[j] || i - j), n = order.length;
  if (n < 2 || n > MOST_POINTS || x[order[0]] === x[order[n - 1]] || ![...x, ...y].every((value) => Math.abs(value) <= LARGEST)) return null;
  return { x: Float64Array.from(order, (i) => x[i]), y: Float64Array.from(order, (i) => y[i]) };
}

/** The user's points, from x, y, x, y, ... */
function replaced(numbers) {
  const every = (odd) => numbers.filter((_, j) => j % 2 === odd), found = numbers.length % 2 ? null : pointsOf(every(0), every(1));
  return found && { ...found, target: null, test: null, domain: null, settings: { data: "own" } };
}

/** The points of a built-in data set with other noise. */
const redrawn = ({ chosen }, noise, seed) => drawn(chosen.data, chosen.n, noise, seed);

/** The points of a built-in data set; null without it. */
function drawn(data, n, noise, seed) {
  const isWhole = (value, least, most) => Number.isInteger(value) && value >= least && value <= most;
  if (!DATA_SETS.includes(data) || !isWhole(n, 2, MOST_POINTS) || !(noise >= 0 && noise <= LARGEST) || !isWhole(seed, 0, 2 ** 32 - 1)) return null;
  const { x, y, xTest, yTest, target, domain } = noisySamples(data, n, noise, seed);
  return { x, y, target, test: [xTest, yTest], domain, settings: { data, n, noise, data_seed: seed } };
}

const extended = (values, value) => Float64Array.of(...values, value);

/** The network with one more unit, active on the right of its elbow. */
function withUnit(p, beta, jump, run) {
  const w = 1 / (run.domain[1] - run.domain[0]);
  return { w: extended(p.w, w), b: extended(p.b, -beta * w), v: extended(p.v, jump / w), c: p.c };
}

/** The network with unit k as two of half its output weight, a little apart. */
function splitUnit(p, k, run) {
  const half = (SPLIT_DISTANCE / 2) * (run.domain[1] - run.domain[0]) * p.w[k], v = p.v[k] / 2;
  return { w: extended(p.w, p.w[k]), b: extended(p.b.with(k, p.b[k] + half), p.b[k] - half), v: extended(p.v.with(k, v), v), c: p.c };
}
