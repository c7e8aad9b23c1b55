// Data sets with a known target function: a twin of data/targets.py.

import { RandomState } from "./mersenne_twister.js";
import { sin } from "./sine.js";

const CORNERS = Array.from({ length: 11 }, (_, k) => k / 10);
/** sin(12345 k). */
const HEIGHTS = [
  0, -0.9937716364556811, -0.22148344838437697, 0.9444092717949318, 0.4319654288817627, -0.8481364569329675,
  -0.6209909356390173, 0.709735229935477, 0.7791707431515639, -0.5360802203309418, -0.8986477854155375,
];
const TEST_POINTS = 1000;

/** Name -> target function. */
export const TARGETS = {
  piecewise_linear: (x) => interpolate(x, CORNERS, HEIGHTS),
  sine: (x) => sin(20 * x),
};

/** The linear interpolation of points with ascending abscissae, constant beyond them, as numpy.interp computes it. */
export function interpolate(x, abscissae, values) {
  const last = abscissae.length - 1;
  if (!(x > abscissae[0])) return x <= abscissae[0] ? values[0] : NaN;
  if (x >= abscissae[last]) return values[last];
  let low = 0, high = last;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (abscissae[middle] <= x) low = middle;
    else high = middle;
  }
  return ((values[high] - values[low]) / (abscissae[high] - abscissae[low])) * (x - abscissae[low]) + values[low];
}

/**
 * n noisy samples of a target on [0, 1]: sorted uniform inputs, and noise from the same generator. The test inputs are the
 * training inputs and 1,000 evenly spaced points, without noise.
 * @param {string} name of a target
 * @param {number} n number of training points
 * @param {number} noise standard deviation of the noise
 * @param {number} seed a whole number below 2^32
 */
export function noisySamples(name, n, noise, seed) {
  const generator = new RandomState(seed), target = TARGETS[name];
  const x = Float64Array.from({ length: n }, () => generator.uniform()).sort();
  const y = x.map((value) => target(value) + noise * generator.normal());
  const xTest = Float64Array.from({ length: n + TEST_POINTS }, (_, i) => (i < n ? x[i] : evenlySpaced(i - n))).sort();
  return { name: name.replace("_", " "), x, y, target, xTest, yTest: xTest.map(target), domain: [0, 1] };
}

/** The numbers of numpy.linspace(0, 1, 1000). */
const evenlySpaced = (i) => (i < TEST_POINTS - 1 ? i * (1 / (TEST_POINTS - 1)) : 1);
