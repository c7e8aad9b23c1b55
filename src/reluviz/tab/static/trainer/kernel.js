// The kernel in JavaScript, for browsers without WebAssembly: a twin of kernel.wat, which says what is computed. Sums have
// the same order, so that both give the same bits.

import { fillRandom } from "./philox.js";

/** Moments below this are set to 0: those of dead units would decay until they are subnormal numbers, which are slow. */
const NEGLIGIBLE = 1e-37, NEGLIGIBLE_SQUARE = 1e-300;

/** A kernel and its memory. Addresses are in bytes. */
export class JavaScriptKernel {
  #numbers;
  #integers;

  /** Return memory of at least so many bytes. Its content may be lost. @returns {ArrayBuffer} */
  reserve(bytes) {
    const buffer = new ArrayBuffer(bytes);
    this.#numbers = new Float64Array(buffer, 0, bytes >> 3);
    this.#integers = new Int32Array(buffer, 0, bytes >> 2);
    return buffer;
  }

  /** `fillRandom` of philox.js. */
  fill(seed, stream, start, scale, out) {
    fillRandom(seed, stream, start, scale, out);
  }

  /** The function `run` of kernel.wat. */
  run(updates, indices, batch, points, chosen, rows, hidden, width, scaled, method, first, last, rate, beta1, beta2, eps) {
    const m = this.#numbers, n = this.#integers;
    const padded = (width + 1) & ~1, size = 3 * padded + 2, scale = 2 / batch;
    const w = rows >> 3, b = w + padded, v = b + padded, c = v + padded, from = w + (first >> 3), to = w + (last >> 3);
    const all = points >> 3, source = indices ? chosen >> 3 : all, gates = hidden >> 2;
    let next = indices >> 2, even = 0, odd = 0;
    for (; updates > 0; updates--) {
      if (indices)
        for (let i = 0, at = source; i < batch; i++, at += 2) {
          const point = all + 2 * n[next++];
          m[at] = m[point];
          m[at + 1] = m[point + 1];
        }
      let evenSum = 0, oddSum = 0;
      even = odd = 0;
      // the gradient's row holds Sx and S1 first
      m.fill(0, w + size, v + size);
      for (let i = 0; i < batch; i += 4) {
        const at = source + 2 * i;
        predict(m, n, w, padded, at, gates);
        for (let s = 0; s < 4; s++) {
          const x = m[at + 2 * s], phi = scaled ? x : 1, r = s < batch - i ? outputs[s] + m[c] * phi - m[at + 2 * s + 1] : 0;
          if (s & 1) (odd += r * r), (oddSum += r * scale * phi);
          else (even += r * r), (evenSum += r * scale * phi);
          residuals[s] = r * scale;
          products[s] = r * scale * x;
        }
        if (width) addActive(m, n, w + size, padded, gates);
      }
      for (let k = w; k < b; k++) {
        const ofSlope = m[k + size], ofBias = m[k + padded + size], weight = m[k + 2 * padded];
        m[k + size] = weight * ofSlope;
        m[k + padded + size] = weight * ofBias;
        m[k + 2 * padded + size] = m[k] * ofSlope + m[k + padded] * ofBias;
      }
      m[c + size] = evenSum + oddSum;
      if (method === 0) for (let k = from; k < to; k++) m[k] -= rate * m[k + size];
      else if (method === 3) this.#adam(from, to, size, rate, beta1, beta2, eps);
      else
        for (let k = from; k < to; k++) {
          const moment = flush(beta1 * m[k + 2 * size] + m[k + size]);
          m[k + 2 * size] = moment;
          m[k] -= rate * (method === 1 ? moment : m[k + size] + beta1 * moment);
        }
      // 0 / 0 or an infinite step would have made NaN of the padding
      if (width & 1) m[b - 1] = m[v - 1] = m[c - 1] = 0;
    }
    return (even + odd) / batch;
  }

  #adam(from, to, size, rate, beta1, beta2, eps) {
    const m = this.#numbers, b1t = flush(m[0] * beta1), b2t = flush(m[1] * beta2);
    const step = rate / (1 - b1t), root = 1 / Math.sqrt(1 - b2t), ofGradient = 1 - beta1, ofSquare = 1 - beta2;
    m[0] = b1t;
    m[1] = b2t;
    for (let k = from; k < to; k++) {
      const g = m[k + size], before = m[k + 2 * size];
      const moment = flush(before + ofGradient * (g - before));
      const square = beta2 * m[k + 3 * size] + ofSquare * g * g, kept = square < NEGLIGIBLE_SQUARE ? 0 : square;
      m[k + 2 * size] = moment;
      m[k + 3 * size] = kept;
      m[k] -= (step * moment) / (Math.sqrt(kept) * root + eps);
    }
  }
}

const flush = (moment) => (Math.abs(moment) < NEGLIGIBLE ? 0 : moment);

/** Of four samples: f without c phi, r, and r x. */
const outputs = new Float64Array(4), residuals = new Float64Array(4), products = new Float64Array(4);
/** Of the sixteen sets of four samples: the sums of r and of r x. Bit s of a set's number says whether it holds sample s. */
const residualSums = new Float64Array(16), productSums = new Float64Array(16);
/** A number, then 0. Numbers chosen from a table take less time than branches, which are hard to predict. */
const choice = new Float64Array(2);

/** relu(z), which keeps NaN. */
function relu(z) {
  choice[0] = z;
  return choice[(z < 0) | 0];
}

/**
 * Set `outputs` to sum v relu(w x + b) of four samples, the sum of the even units plus that of the odd ones, and write the
 * set of the samples on which each unit is active.
 */
function predict(m, n, w, padded, at, gates) {
  const x0 = m[at], x1 = m[at + 2], x2 = m[at + 4], x3 = m[at + 6], end = w + padded;
  let even0 = 0, even1 = 0, even2 = 0, even3 = 0, odd0 = 0, odd1 = 0, odd2 = 0, odd3 = 0;
  for (let k = w; k < end; k++, gates++) {
    let slope = m[k], bias = m[k + padded], weight = m[k + 2 * padded];
    let z0 = slope * x0 + bias, z1 = slope * x1 + bias, z2 = slope * x2 + bias, z3 = slope * x3 + bias;
    n[gates] = (z0 > 0) | ((z1 > 0) << 1) | ((z2 > 0) << 2) | ((z3 > 0) << 3);
    even0 += weight * relu(z0);
    even1 += weight * relu(z1);
    even2 += weight * relu(z2);
    even3 += weight * relu(z3);
    k++, gates++;
    (slope = m[k]), (bias = m[k + padded]), (weight = m[k + 2 * padded]);
    (z0 = slope * x0 + bias), (z1 = slope * x1 + bias), (z2 = slope * x2 + bias), (z3 = slope * x3 + bias);
    n[gates] = (z0 > 0) | ((z1 > 0) << 1) | ((z2 > 0) << 2) | ((z3 > 0) << 3);
    odd0 += weight * relu(z0);
    odd1 += weight * relu(z1);
    odd2 += weight * relu(z2);
    odd3 += weight * relu(z3);
  }
  outputs[0] = even0 + odd0;
  outputs[1] = even1 + odd1;
  outputs[2] = even2 + odd2;
  outputs[3] = even3 + odd3;
}

/** Add r x and r of the samples on which a unit is active to Sx and S1. */
function addActive(m, n, sums, padded, gates) {
  sumSets(products, productSums);
  sumSets(residuals, residualSums);
  for (let k = sums; k < sums + padded; k++, gates++) {
    const set = n[gates];
    m[k] += productSums[set];
    m[k + padded] += residualSums[set];
  }
}

/** Sums over the sixteen sets of four numbers. A number that a set lacks counts as 0, with the bits that a sum with 0 has. */
function sumSets(numbers, out) {
  const first = numbers[0] + 0, second = 0 + numbers[1], both = numbers[0] + numbers[1];
  const third = numbers[2] + 0, fourth = 0 + numbers[3], others = numbers[2] + numbers[3];
  (out[0] = 0), (out[1] = first), (out[2] = second), (out[3] = both);
  (out[4] = third), (out[5] = first + third), (out[6] = second + third), (out[7] = both + third);
  (out[8] = fourth), (out[9] = first + fourth), (out[10] = second + fourth), (out[11] = both + fourth);
  (out[12] = others), (out[13] = first + others), (out[14] = second + others), (out[15] = both + others);
}
