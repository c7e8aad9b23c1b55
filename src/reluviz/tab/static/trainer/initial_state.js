// Initial states of a ReLU network: a twin of core/initial_state.py. The numbers are those that torch draws. With words m_i of
// 32 bits from the Mersenne Twister, tensor.uniform_(-a, a) is (m_i mod 2^24) 2^-24 2a - a, rounded to float32 once.
//
// Legend of shapes: N samples, W hidden units.

import { sumOf, upperPart } from "./double_double.js";
import { RandomState } from "./mersenne_twister.js";
import { uniform } from "./philox.js";

/** The values of the setting `model.elbows`. */
export const ELBOW_PLACEMENTS = ["uniform", "even", "at_data", "given", "torch"];

/**
 * The network of a run before its first update.
 * @param {object} settings
 * @param {number} settings.width W
 * @param {string} settings.elbows one of ELBOW_PLACEMENTS
 * @param {number} settings.seed a whole number below 2^53
 * @param {number[]} settings.domain the interval on which the elbows are placed, in the units of training
 * @param {ArrayLike<number>} [settings.positions] the elbows for "given", in the units of training
 * @param {ArrayLike<number>} [settings.x] training inputs [N], for "at_data"
 * @param {string} [settings.precision] of elbows at the data, "float32" or "float64"; all other numbers are those of float32
 * @returns {{w: Float64Array, b: Float64Array, v: Float64Array, c: number}}
 */
export function initialState({ width, elbows, seed, domain, positions, x, precision = "float64" }) {
  const { w, b, v, c } = torchDefaultState(seed, width);
  const beta = placedElbows(elbows, width, seed, domain, positions, x);
  const rounded = elbows === "at_data" && precision === "float64" ? (value) => value : Math.fround;
  return { w, b: beta ? w.map((slope, k) => rounded(-beta[k] * slope)) : b, v, c };
}

/** torch's default initial state of nn.Sequential(Linear(1, W), ReLU(), Linear(W, 1)) under a seed. */
function torchDefaultState(seed, width) {
  const generator = new RandomState(seed % 2 ** 32);
  // Python computes the bound of a weight in another way; in float32 it is the same for all W up to 200,000
  const layer = (inputs, count) => symmetricUniform(generator, 1 / Math.sqrt(inputs), count);
  // in the order in which torch draws them
  return { w: layer(1, width), b: layer(1, width), v: layer(width, width), c: layer(width, 1)[0] };
}

/** The next numbers of `tensor.uniform_(-bound, bound)`, for a float32 tensor. */
function symmetricUniform(generator, bound, count) {
  const a = Math.fround(bound);
  return Float64Array.from({ length: count }, () => Math.fround((generator.word() & 0xffffff) * 2 ** -24 * (2 * a) - a));
}

/** The elbows beta [W]; null for torch's own. */
function placedElbows(elbows, width, seed, [low, high], positions, x) {
  if (elbows === "uniform") return uniform(seed, 4, 0, width).sort().map((u) => low + (high - low) * u);
  if (elbows === "even") return evenlySpaced(low, high, width);
  if (elbows === "given") return positions;
  if (elbows !== "at_data") return null;
  const sorted = Float64Array.from(x).sort();
  return evenlySpaced(0, x.length - 1, width).map((rank) => sorted[roundHalfToEven(rank)]);
}

/** `count` numbers evenly spaced between low and high, without the ends, counted from the nearer end. */
function evenlySpaced(low, high, count) {
  const step = (high - low) / (count + 1), middle = Math.floor((count + 2) / 2);
  return Float64Array.from({ length: count }, (_, i) => (i + 1 < middle ? multiplyAdd(step, i + 1, low) : multiplyAdd(-step, count - i, high)));
}

/** a n + c for whole numbers n below 2^26, rounded once. */
function multiplyAdd(a, n, c) {
  const large = upperPart(a), [found, error] = sumOf(c, large * n);
  return found + (error + (a - large) * n);
}

/** For numbers from 0 to 2^51. */
const roundHalfToEven = (value) => value + 2 ** 52 - 2 ** 52;
