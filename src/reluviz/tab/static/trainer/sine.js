// The sine with the same bits in every browser; those of Math.sin differ in the last place.

import { add, divide, multiply, productOf } from "./double_double.js";

/** pi/2 is the sum of these. */
const HALF_PI = [1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33];

/**
 * sin x, correctly rounded but for about one number in 2^45: by the Taylor series of the sine or the cosine about the nearest
 * multiple of pi/2.
 * @param {number} x of size below 2^26
 */
export function sin(x) {
  const quarter = Math.round(x / HALF_PI[0]);
  const r = HALF_PI.reduce((rest, part) => add(rest, productOf(-quarter, part)), [x, 0]), square = multiply(r, r);
  const isCosine = quarter % 2 !== 0;
  let term = isCosine ? [1, 0] : r, series = term;
  // |r| is at most pi/4, so that the terms from r^28 / 28! on are below 2^-107
  for (let n = isCosine ? 1 : 2; n < 28; n += 2) {
    term = divide(multiply(term, square), [-n * (n + 1), 0]);
    series = add(series, term);
  }
  return ((quarter % 4) + 4) % 4 < 2 ? series[0] : -series[0];
}
