// The random numbers of numpy.random.RandomState(seed): the Mersenne Twister (M. Matsumoto and T. Nishimura, Mersenne Twister,
// 1998), and normal numbers by the polar method (G. Marsaglia and T. A. Bray, A Convenient Method for Generating Normal
// Variables, 1964). The normal numbers use the correctly rounded logarithm; NumPy uses that of the C library, which rounds
// about one in 1,500 the other way.

import { log } from "./logarithm.js";

const SIZE = 624, MIDDLE = 397;

export class RandomState {
  /** @param {number} seed a whole number below 2^32 */
  constructor(seed) {
    this.state = new Uint32Array(SIZE);
    this.state[0] = seed;
    for (let i = 1; i < SIZE; i++) {
      const last = this.state[i - 1];
      this.state[i] = Math.imul(1812433253, last ^ (last >>> 30)) + i;
    }
    this.place = SIZE;
    this.spare = null;
  }

  /** The next whole number below 2^32. */
  word() {
    if (this.place === SIZE) this.twist();
    let y = this.state[this.place++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  twist() {
    const { state } = this;
    for (let i = 0; i < SIZE; i++) {
      const y = (state[i] & 0x80000000) | (state[(i + 1) % SIZE] & 0x7fffffff);
      state[i] = state[(i + MIDDLE) % SIZE] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.place = 0;
  }

  /** The next uniform number in [0, 1), with 53 bits. */
  uniform() {
    const high = this.word() >>> 5, low = this.word() >>> 6;
    return (high * 67108864 + low) / 2 ** 53;
  }

  /** The next normal number, of mean 0 and deviation 1. Two at a time are made. */
  normal() {
    if (this.spare !== null) {
      const found = this.spare;
      this.spare = null;
      return found;
    }
    let a, b, square;
    do {
      a = 2 * this.uniform() - 1;
      b = 2 * this.uniform() - 1;
      square = a * a + b * b;
    } while (square >= 1 || square === 0);
    const factor = Math.sqrt((-2 * log(square)) / square);
    this.spare = factor * a;
    return factor * b;
  }
}
