// The units in which a run on scaled data trains: a twin of `Scaling.of` in data/scaling.py. Sums are made
// pairwise, as NumPy makes them (N. J. Higham, The Accuracy of Floating Point Summation, 1993), and have the same bits.

/**
 * x0, s_x, y0, s_y with which the points cover [0, 1] and have mean 0 and deviation 1. A scale is 1 where all values are the
 * same.
 * @param {Float64Array} x training inputs [N], sorted
 * @param {Float64Array} y training outputs [N]
 */
export function scalingFor(x, y) {
  const n = x.length, inputs = [x[0], x[n - 1] - x[0] || 1];
  if (y.every((value) => value === y[0])) return [...inputs, y[0], 1];
  // halves, because the sum of two numbers may overflow
  const yOffset = 2 * (pairwiseSum(y.map((value) => value / 2), 0, n) / n);
  const rest = y.map((value) => value - yOffset), mean = pairwiseSum(rest, 0, n) / n;
  const variance = pairwiseSum(rest.map((value) => (value - mean) * (value - mean)), 0, n) / n;
  return [...inputs, yOffset, Math.sqrt(variance) || 1];
}

/**
 * The step size of a model f = theta phi(x) on the user's points, a tenth of the largest stable one: a twin of
 * models/automatic_step.py, to three digits.
 * @param {ArrayLike<number>} phi features of the points [N]
 */
export function stepFor(phi, { sampler, batch, optimizer, momentum }) {
  const n = phi.length, squares = Array.from(phi, (value) => value * value), mean = (values) => values.reduce((a, b) => a + b) / n;
  const m2 = mean(squares), m4 = mean(squares.map((value) => value * value));
  const spread = sampler === "full" ? 0 : (sampler === "without_replacement" ? (n - batch) / Math.max(1, n - 1) : 1) / batch;
  const step = (0.1 * (optimizer === "sgd" ? 1 : 1 - momentum) * m2) / (m2 * m2 + (m4 - m2 * m2) * spread);
  return step > 0 && step < Infinity ? Number(step.toPrecision(3)) : null;
}

/** The sum of n numbers from a[start] on, in the order of numpy.sum: blocks of up to 128, each as eight sums. */
function pairwiseSum(a, start, n) {
  if (n > 128) {
    const half = Math.floor(n / 2), first = half - (half % 8);
    return pairwiseSum(a, start, first) + pairwiseSum(a, start + first, n - first);
  }
  const end = start + n, whole = n < 8 ? start : end - (n % 8);
  let sum = 0;
  if (n >= 8) {
    const r = a.slice(start, start + 8);
    for (let i = start + 8; i < whole; i++) r[(i - start) % 8] += a[i];
    sum = r[0] + r[1] + (r[2] + r[3]) + (r[4] + r[5] + (r[6] + r[7]));
  }
  for (let i = whole; i < end; i++) sum += a[i];
  return sum;
}
