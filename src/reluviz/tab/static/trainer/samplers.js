// Which points a minibatch holds: a twin of data/samplers.py. Every draw is a pure function of (seed, update), or of (seed,
// epoch). It does not depend on earlier draws.
//
// Legend of shapes: K updates, B batch, N samples.

import { fillRandom, fillRandomIntegers } from "./philox.js";

export const SAMPLERS = ["with_replacement", "without_replacement", "epoch", "full"];
/** Of the epochs drawn last, the orders of the points; branches that train by turns may each be within an epoch of its own. */
const orders = [];
const MOST_ORDERS = 8;
/** About the most random numbers that Floyd's algorithm draws at a time. */
const MOST_NUMBERS = 4096;
let numbers = new Float64Array(0), sorted = new Int32Array(0), ends = new Int32Array(0);

/** The largest batch size for N samples: no point is in a batch twice where points are not replaced. */
export const largestBatch = (sampler, samples) => (sampler === "with_replacement" ? Infinity : samples);

/**
 * Write the indices of updates start .. stop - 1, [K, B] row by row, into `out`; nothing for "full", whose batches are all
 * samples in order.
 * @param {string} sampler one of SAMPLERS
 * @param {number} batch B, at most largestBatch(sampler, samples)
 * @param {number} seed a whole number below 2^53
 * @param {number} samples N
 * @param {Int32Array} out of length K B
 * @param {typeof fillRandom} fill makes the random numbers; it does not change them
 */
export function drawIndices(sampler, batch, seed, start, stop, samples, out, fill = fillRandom) {
  if (sampler === "with_replacement") fillRandomIntegers(seed, 1, start * batch, samples, out, fill);
  else if (sampler === "epoch") drawEpochs(start * batch, seed, samples, out, fill);
  else if (sampler === "without_replacement" && batch * batch > 8 * samples) drawByOrder(batch, seed, start, samples, out, fill);
  else if (sampler === "without_replacement") drawByFloyd(batch, seed, start, samples, out, fill);
}

/** The B points with the smallest of N random numbers, ascending. */
function drawByOrder(batch, seed, start, samples, out, fill) {
  for (let row = 0; row * batch < out.length; row++) {
    const order = orderOf(uniformNumbers(seed, 2, (start + row) * samples, samples, fill));
    out.set(order.subarray(0, batch), row * batch);
    out.subarray(row * batch, (row + 1) * batch).sort();
  }
}

/** R. Floyd's algorithm (Bentley and Floyd, Programming Pearls: A Sample of Brilliance, 1987). */
function drawByFloyd(batch, seed, start, samples, out, fill) {
  const most = Math.ceil(MOST_NUMBERS / batch) * batch;
  for (let first = 0; first < out.length; first += most) {
    const count = Math.min(most, out.length - first);
    const u = uniformNumbers(seed, 2, start * batch + first, count, fill);
    for (let i = 0; i < count; i++) {
      const j = i % batch, top = samples - batch + j, candidate = Math.floor(u[i] * (top + 1));
      let chosen = candidate;
      for (let k = first + i - j; k < first + i; k++) if (out[k] === candidate) chosen = top;
      out[first + i] = chosen;
    }
  }
}

/** All points in a random order, then in another one, from draw number `first` on. */
function drawEpochs(first, seed, samples, out, fill) {
  for (let done = 0; done < out.length; ) {
    const epoch = Math.floor((first + done) / samples), from = first + done - epoch * samples;
    const count = Math.min(samples - from, out.length - done), order = epochOrder(seed, epoch, samples, fill);
    for (let i = 0; i < count; i++) out[done + i] = order[from + i];
    done += count;
  }
}

function epochOrder(seed, epoch, samples, fill) {
  const known = orders.find((one) => one.epoch === epoch && one.seed === seed && one.order.length === samples);
  if (known) return known.order;
  const order = orderOf(uniformNumbers(seed, 3, epoch * samples, samples, fill)).slice();
  if (orders.unshift({ seed, epoch, order }) > MOST_ORDERS) orders.pop();
  return order;
}

/** Numbers of a stream, in an array that the next call uses again. */
function uniformNumbers(seed, stream, start, count, fill) {
  if (numbers.length < count) numbers = new Float64Array(count);
  const found = numbers.subarray(0, count);
  fill(seed, stream, start, 2 ** -53, found);
  return found;
}

/**
 * The indices that sort uniform random numbers, equal ones by index, in an array that the next call uses again. The numbers
 * are first distributed into as many intervals of [0, 1) as there are numbers; then insertion moves few of them, and not far
 * (D. E. Knuth, The Art of Computer Programming 3, section 5.2.1).
 */
function orderOf(u) {
  const n = u.length;
  if (sorted.length < n) (sorted = new Int32Array(n)), (ends = new Int32Array(n));
  ends.fill(0);
  for (let i = 0; i < n; i++) ends[Math.floor(u[i] * n)]++;
  for (let j = 1; j < n; j++) ends[j] += ends[j - 1];
  for (let i = n - 1; i >= 0; i--) sorted[--ends[Math.floor(u[i] * n)]] = i;
  for (let i = 1; i < n; i++) {
    const one = sorted[i];
    let j = i;
    for (; j > 0 && u[sorted[j - 1]] > u[one]; j--) sorted[j] = sorted[j - 1];
    sorted[j] = one;
  }
  return sorted.subarray(0, n);
}
