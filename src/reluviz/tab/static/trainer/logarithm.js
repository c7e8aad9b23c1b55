// The natural logarithm with the same bits in every browser; those of Math.log differ in the last place.

import { add, divide, multiply, sumOf } from "./double_double.js";

const LN_2 = [0.6931471805599453, 2.3190468138462996e-17];

/**
 * log x, correctly rounded but for about one number in 2^45, where log x is almost halfway between two numbers of float64:
 * with x = 2^e m and s = (m - 1) / (m + 1), log x = e log 2 + 2 (s + s^3/3 + s^5/5 + ...).
 * @param {number} x finite and above 0
 */
export function log(x) {
  let m = x, e = 0;
  for (; m < Math.SQRT1_2; m *= 2) e--;
  for (; m > Math.SQRT2; m /= 2) e++;
  // s^2 is below 0.03, so that the terms from s^45 on are below 2^-110 s
  const s = divide([m - 1, 0], sumOf(m, 1)), square = multiply(s, s);
  let power = s, series = s;
  for (let n = 3; n < 45; n += 2) {
    power = multiply(power, square);
    series = add(series, divide(power, [n, 0]));
  }
  return add(multiply([e, 0], LN_2), [2 * series[0], 2 * series[1]])[0];
}
