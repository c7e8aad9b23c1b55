// The kernel in JavaScript, for browsers without WebAssembly: a twin of kernel.wat, which says what is computed. Sums have
// the same order, so that both give the same bits.

import { fillRandom } from "./philox.js";

/** Moments below this are set to 0: those of dead units would decay until they are subnormal numbers, which are slow. */
const NEGLIGIBLE = 1e-37;
const NEGLIGIBLE_SQUARE = 1e-300;

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
    const data = points >> 3, source = indices ? chosen >> 3 : data, hiddenAt = hidden >> 3, slopeSums = w + size, biasSums = b + size;
    let next = indices >> 2, even = 0, odd = 0;
    for (; updates > 0; updates--) {
      if (indices)
        for (let i = 0, at = source; i < batch; i++, at += 2) {
          const point = data + 2 * n[next++];
          m[at] = m[point];
          m[at + 1] = m[point + 1];
        }
      let evenSum = 0, oddSum = 0;
      even = odd = 0;
      for (let k = slopeSums; k < v + size; k++) m[k] = 0;
      for (let i = 0; i < batch; i += 4) {
        const at = source + 2 * i, left = batch - i;
        for (let s = 0; s < 8; s += 2) {
          const x = m[at + s];
          let f0 = 0, f1 = 0;
          for (let k = 0, h = hiddenAt + s; k < padded; k += 2, h += 8) {
            const h0 = Math.max(m[w + k] * x + m[b + k], 0), h1 = Math.max(m[w + k + 1] * x + m[b + k + 1], 0);
            m[h] = h0;
            m[h + 1] = h1;
            f0 += m[v + k] * h0;
            f1 += m[v + k + 1] * h1;
          }
          // the residual, in place of y
        }
      }
    }
    return (even + odd) / batch;
  }
}
