// Random numbers: a twin of `fill_random` in data/samplers.py, which is NumPy's Philox4x64-10 (Salmon et al., Parallel
// Random Numbers: As Easy as 1, 2, 3, 2011).
//
// A block is four words of 64 bits, computed from the block's number and a key of two words in ten rounds:
//
//   (hi_a, lo_a) = M0 a,   (hi_c, lo_c) = M1 c,   (a, b, c, d) <- (hi_c ^ b ^ k0, lo_c, hi_a ^ d ^ k1, lo_a)
//
// where products have 128 bits, and after every round W0 is added to k0 and W1 to k1. BigInt would be slow. Here a word is
// two numbers of 32 bits, and a multiplier four numbers of 16 bits: their products and the sums of these are exact in float64.

const M0_LOW = 0xe14c6c93, M1_LOW = 0x95121157;
/** M0 and M1, the lowest 16 bits first. */
const A0 = 0x6c93, A1 = 0xe14c, A2 = 0x470e, A3 = 0xd2e7, C0 = 0x1157, C1 = 0x9512, C2 = 0x8263, C3 = 0xca5a;
/** W0 and W1: upper and lower half. */
const INCREMENTS = [0x9e3779b9, 0x7f4a7c15, 0xbb67ae85, 0x84caa73b];
const TWO_32 = 2 ** 32, SHIFT = 2 ** -16;
/** The halves of k0 and k1, for each of ten rounds. */
const keys = new Int32Array(40);
/** The halves of the four words of one block. */
const words = new Uint32Array(8);

/**
 * Write scale m into `out`, where m is the first 53 bits of numbers start, start + 1, ... of a stream.
 * @param {number} seed a whole number below 2^53
 * @param {number} start a whole number up to 2^53
 * @param {Float64Array|Int32Array} out fractions are dropped where it holds integers
 */
export function fillRandom(seed, stream, start, scale, out) {
  setKeys(seed, stream);
  let block = Math.floor(start / 4);
  for (let i = 4 * block - start; i < out.length; i += 4) {
    // NumPy increments the counter before it computes a block
    block++;
    computeBlock(Math.floor(block / TWO_32), block);
    for (let k = Math.max(0, -i); k < 4 && i + k < out.length; k++) out[i + k] = (words[2 * k] * 2097152 + (words[2 * k + 1] >>> 11)) * scale;
  }
}

/** Numbers start .. start + count - 1 of a stream of uniform numbers in [0, 1), with 53 bits each. */
export function uniform(seed, stream, start, count, fill = fillRandom) {
  const numbers = new Float64Array(count);
  fill(seed, stream, start, 2 ** -53, numbers);
  return numbers;
}

/** Write floor(limit u) into `out`, where u are the numbers of `uniform` from `start` on. */
export function fillRandomIntegers(seed, stream, start, limit, out, fill = fillRandom) {
  // limit 2^-53 is exact, so its product with m rounds as limit times u does
  fill(seed, stream, start, limit * 2 ** -53, out);
}

function setKeys(seed, stream) {
  const key = [Math.floor(seed / TWO_32), seed % TWO_32, 0, stream];
  for (let i = 0; i < 40; i += 4) {
    keys.set(key, i);
    for (const high of [0, 2]) {
      const low = key[high + 1] + INCREMENTS[high + 1];
      key[high] = (key[high] + INCREMENTS[high] + Math.floor(low / TWO_32)) % TWO_32;
      key[high + 1] = low % TWO_32;
    }
  }
}

/** Set `words` to the block with a counter of 64 bits. */
function computeBlock(aHigh, aLow) {
  let bHigh = 0, bLow = 0, cHigh = 0, cLow = 0, dHigh = 0, dLow = 0;
  for (let i = 0; i < 40; i += 4) {
    const a = aLow >>> 0, aUp = aHigh >>> 0, c = cLow >>> 0, cUp = cHigh >>> 0;
    // a number j of a product holds its bits from 16 j on, with a carry to the next
    const a1 = a * A1 + Math.floor(a * A0 * SHIFT);
    const a2 = a * A2 + aUp * A0 + Math.floor(a1 * SHIFT);
    const a3 = a * A3 + aUp * A1 + Math.floor(a2 * SHIFT);
    const a4 = aUp * A2 + Math.floor(a3 * SHIFT);
    const a5 = aUp * A3 + Math.floor(a4 * SHIFT);
    const c1 = c * C1 + Math.floor(c * C0 * SHIFT);
    const c2 = c * C2 + cUp * C0 + Math.floor(c1 * SHIFT);
    const c3 = c * C3 + cUp * C1 + Math.floor(c2 * SHIFT);
    const c4 = cUp * C2 + Math.floor(c3 * SHIFT);
    const c5 = cUp * C3 + Math.floor(c4 * SHIFT);
    aHigh = (c5 * SHIFT) ^ bHigh ^ keys[i];
    aLow = (c5 << 16 | c4 & 0xffff) ^ bLow ^ keys[i + 1];
    bHigh = c3 << 16 | c2 & 0xffff;
    bLow = Math.imul(c, M1_LOW);
    cHigh = (a5 * SHIFT) ^ dHigh ^ keys[i + 2];
    cLow = (a5 << 16 | a4 & 0xffff) ^ dLow ^ keys[i + 3];
    dHigh = a3 << 16 | a2 & 0xffff;
    dLow = Math.imul(a, M0_LOW);
  }
  words[0] = aHigh, words[1] = aLow, words[2] = bHigh, words[3] = bLow;
  words[4] = cHigh, words[5] = cLow, words[6] = dHigh, words[7] = dLow;
}
