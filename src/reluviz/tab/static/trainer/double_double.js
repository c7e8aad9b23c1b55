// Arithmetic on pairs [a, b] that stand for the sum a + b of two numbers of float64, with about 104 bits, where |b| is at most
// half a unit in the last place of a (T. J. Dekker, A Floating-Point Technique for Extending the Available Precision, 1971).

/** The first 26 bits of a number, rounded; products of two such numbers are exact. */
export function upperPart(a) {
  const scaled = 134217729 * a;
  return scaled - (scaled - a);
}

/** The pair of two numbers' sum, exact (D. E. Knuth, The Art of Computer Programming 2, section 4.2.2). */
export function sumOf(a, b) {
  const sum = a + b, added = sum - a;
  return [sum, a - (sum - added) + (b - added)];
}

/** The pair of two numbers' product, exact. */
export function productOf(a, b) {
  const product = a * b, aUpper = upperPart(a), bUpper = upperPart(b), aLower = a - aUpper, bLower = b - bUpper;
  return [product, aUpper * bUpper - product + aUpper * bLower + aLower * bUpper + aLower * bLower];
}

/** [a, b] as a pair, for |a| >= |b|. */
function pair(a, b) {
  const sum = a + b;
  return [sum, b - (sum - a)];
}

export function add(x, y) {
  const [sum, error] = sumOf(x[0], y[0]);
  return pair(sum, error + (x[1] + y[1]));
}

export function multiply(x, y) {
  const [product, error] = productOf(x[0], y[0]);
  return pair(product, error + (x[0] * y[1] + x[1] * y[0]));
}

export function divide(x, y) {
  const first = x[0] / y[0], [product, error] = productOf(first, y[0]);
  return pair(first, (x[0] - product - error + x[1] - first * y[1]) / y[0]);
}
