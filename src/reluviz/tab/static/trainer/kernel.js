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
    const all = points >> 3, source = indices ? chosen >> 3 : all, units = hidden >> 3;
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
        for (let s = 0; s < 4; s++) {
          const x = m[at + 2 * s], phi = scaled ? x : 1, f = predict(m, w, padded, x, units + 2 * s);
          const r = s < batch - i ? f + m[c] * phi - m[at + 2 * s + 1] : 0;
          if (s & 1) (odd += r * r), (oddSum += r * scale * phi);
          else (even += r * r), (evenSum += r * scale * phi);
          gatedResiduals[2 * s + 1] = r * scale;
          gatedProducts[2 * s + 1] = r * scale * x;
        }
        addActive(m, w + size, padded, units);
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

/** sum v relu(w x + b), the sum of the even units plus that of the odd ones; hidden values are written from h on. */
function predict(m, w, padded, x, h) {
  const b = w + padded, v = b + padded;
  let even = 0, odd = 0;
  for (let k = 0; k < padded; k += 2, h += 8) {
    const h0 = Math.max(m[w + k] * x + m[b + k], 0), h1 = Math.max(m[w + k + 1] * x + m[b + k + 1], 0);
    m[h] = h0;
    m[h + 1] = h1;
    even += m[v + k] * h0;
    odd += m[v + k + 1] * h1;
  }
  return even + odd;
}

/** Of four samples: 0, then r; 0, then r x. Numbers chosen from a table take less time than branches, which are hard to predict. */
const gatedResiduals = new Float64Array(8), gatedProducts = new Float64Array(8);

/** Add r x and r of the samples on which a unit is active to Sx and S1. */
function addActive(m, sums, padded, h) {
  for (let k = sums; k < sums + padded; h += k & 1 ? 7 : 1, k++) {
    const s0 = (m[h] > 0) | 0, s1 = (m[h + 2] > 0) | 2, s2 = (m[h + 4] > 0) | 4, s3 = (m[h + 6] > 0) | 6;
    m[k] += gatedProducts[s0] + gatedProducts[s1] + (gatedProducts[s2] + gatedProducts[s3]);
    m[k + padded] += gatedResiduals[s0] + gatedResiduals[s1] + (gatedResiduals[s2] + gatedResiduals[s3]);
  }
}
