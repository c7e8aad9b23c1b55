// The kernel in JavaScript, for browsers without WebAssembly: a twin of kernel.wat, which says what is computed. Sums have
// the same order, so that both give the same bits.

import { fillRandom } from "./philox.js";

/** Moments below this are set to 0: those of dead units would decay until they are subnormal numbers, which are slow. */
const NEGLIGIBLE = 1e-37, NEGLIGIBLE_SQUARE = 1e-300;
/** Where four residuals are kept, as numbers of 8 bytes. */
const RESIDUALS = 10;

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
        const at = source + 2 * i, left = batch - i;
        for (let s = 0; s < 4; s++) {
          const x = m[at + 2 * s];
          let f0 = 0, f1 = 0;
          for (let k = w, h = units + 2 * s; k < b; k += 2, h += 8) {
            const h0 = Math.max(m[k] * x + m[k + padded], 0), h1 = Math.max(m[k + 1] * x + m[k + 1 + padded], 0);
            m[h] = h0;
            m[h + 1] = h1;
            f0 += m[k + 2 * padded] * h0;
            f1 += m[k + 1 + 2 * padded] * h1;
          }
          m[RESIDUALS + s] = s < left ? f0 + f1 + m[c] * (scaled ? x : 1) - m[at + 2 * s + 1] : 0;
        }
        let r0 = m[RESIDUALS], r1 = m[RESIDUALS + 1], r2 = m[RESIDUALS + 2], r3 = m[RESIDUALS + 3];
        even = even + r0 * r0 + r2 * r2;
        odd = odd + r1 * r1 + r3 * r3;
        r0 *= scale, r1 *= scale, r2 *= scale, r3 *= scale;
        const x0 = r0 * m[at], x1 = r1 * m[at + 2], x2 = r2 * m[at + 4], x3 = r3 * m[at + 6];
        evenSum = evenSum + (scaled ? x0 : r0) + (scaled ? x2 : r2);
        oddSum = oddSum + (scaled ? x1 : r1) + (scaled ? x3 : r3);
        for (let k = w + size, h = units; k < b + size; h += k & 1 ? 7 : 1, k++) {
          const on0 = m[h] > 0, on1 = m[h + 2] > 0, on2 = m[h + 4] > 0, on3 = m[h + 6] > 0;
          m[k] += (on0 ? x0 : 0) + (on1 ? x1 : 0) + ((on2 ? x2 : 0) + (on3 ? x3 : 0));
          m[k + padded] += (on0 ? r0 : 0) + (on1 ? r1 : 0) + ((on2 ? r2 : 0) + (on3 ? r3 : 0));
        }
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
