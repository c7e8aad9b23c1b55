// The output layer by least squares and by ridge regression: a twin of `least_squares` and `ridge` in core/theory/relu.py.

import { RELU } from "./models/relu.js";

/**
 * The network with c and v solved on the hidden features of p: by least squares (minimum norm), or if lambda > 0 by ridge
 * regression, which minimises sum r_i^2 + lambda |v|^2. The features are the last hidden layer of `model`.
 */
export function solveOutput(p, x, y, lambda = 0, model = RELU) {
  const n = x.length, W = p.v.length, columns = model.hiddenFeatures(p, x);
  if (lambda > 0) return ridge(p, columns, y, lambda);
  columns.push(new Float64Array(n).fill(1));
  const { solution, rank } = leastSquares(columns, y);
  return { net: { ...p, v: solution.slice(0, W), c: solution[W] }, rank };
}

/**
 * Ridge regression as the least-squares problem |[H; sqrt(lambda) I] v - [y; 0]|^2 with centred H and y, which leaves c free:
 * c = mean y - v . mean H (Golub and Van Loan, section 6.1).
 */
function ridge(p, columns, y, lambda) {
  const n = y.length, W = columns.length;
  const means = columns.map(mean), level = mean(y);
  const stacked = columns.map((column, k) => {
    const rows = new Float64Array(n + W);
    for (let i = 0; i < n; i++) rows[i] = column[i] - means[k];
    rows[n + k] = Math.sqrt(lambda);
    return rows;
  });
  const { solution: v, rank } = leastSquares(stacked, Float64Array.from({ length: n + W }, (_, i) => (i < n ? y[i] - level : 0)));
  return { net: { ...p, v, c: level - v.reduce((sum, value, k) => sum + value * means[k], 0) }, rank };
}

const mean = (a) => a.reduce((sum, value) => sum + value, 0) / a.length;

/**
 * The shortest minimiser of |A s - y|^2, by QR with column pivoting, then QR of the transposed remainder
 * (a complete orthogonal decomposition; Golub and Van Loan, Matrix Computations, section 5.5).
 * @param {Float64Array[]} columns of A; overwritten
 */
export function leastSquares(columns, y) {
  const m = columns.length, n = y.length;
  const order = columns.map((_, j) => j);
  const target = Float64Array.from(y);
  const remainders = columns.map((column) => squaredTail(column, 0));
  const steps = Math.min(m, n);
  const largest = Math.sqrt(Math.max(...remainders));
  // as in Python, singular values up to max(N, F) eps sigma_max count as 0
  const tolerance = Math.max(n, m) * 2.220446049250313e-16 * largest;
  let rank = 0;
  for (; rank < steps; rank++) {
    let best = rank;
    for (let j = rank; j < m; j++) {
      // computed anew: running differences would lose small remainders
      remainders[j] = squaredTail(columns[j], rank);
      if (remainders[j] > remainders[best]) best = j;
    }
    if (!(Math.sqrt(remainders[best]) > tolerance)) break;
    swap(columns, rank, best);
    swap(order, rank, best);
    const reflector = reflect(columns[rank], rank);
    for (let j = rank + 1; j < m; j++) apply(reflector, columns[j], rank);
    apply(reflector, target, rank);
  }
  const solution = new Float64Array(m);
  if (rank === 0) return { solution, rank };
  const upper = (i, j) => columns[j][i];
  const z = rank === m ? backSubstitute(upper, target, rank) : minimumNorm(upper, target, rank, m);
  for (let j = 0; j < m; j++) solution[order[j]] = z[j];
  return { solution, rank };
}

/** The shortest z with T z = t, T [rank, m] of full rank: T^T = Q R, z = Q R^-T t. */
function minimumNorm(upper, t, rank, m) {
  const rows = Array.from({ length: rank }, (_, i) => Float64Array.from({ length: m }, (_, j) => (j >= i ? upper(i, j) : 0)));
  const reflectors = rows.map((row, i) => {
    const reflector = reflect(row, i);
    for (let l = i + 1; l < rank; l++) apply(reflector, rows[l], i);
    return reflector;
  });
  const z = new Float64Array(m);
  for (let i = 0; i < rank; i++) {
    let sum = t[i];
    for (let j = 0; j < i; j++) sum -= rows[i][j] * z[j];
    z[i] = sum / rows[i][i];
  }
  for (let i = rank - 1; i >= 0; i--) apply(reflectors[i], z, i);
  return z;
}

/** z with T z = t, T upper triangular. */
function backSubstitute(upper, t, rank) {
  const z = new Float64Array(rank);
  for (let i = rank - 1; i >= 0; i--) {
    let sum = t[i];
    for (let j = i + 1; j < rank; j++) sum -= upper(i, j) * z[j];
    z[i] = sum / upper(i, i);
  }
  return z;
}

/** The sum of squares of a[start:]. */
function squaredTail(a, start) {
  let sum = 0;
  for (let i = start; i < a.length; i++) sum += a[i] * a[i];
  return sum;
}

function swap(a, i, j) {
  [a[i], a[j]] = [a[j], a[i]];
}

/** Reflect a[start:] onto its first axis, and return the Householder vector of the reflection. */
function reflect(a, start) {
  const length = Math.sqrt(squaredTail(a, start));
  const u = a.slice(start);
  const image = a[start] > 0 ? -length : length;
  u[0] -= image;
  a.fill(0, start);
  a[start] = image;
  return { u, square: squaredTail(u, 0) };
}

/** Apply a reflection to a[start:]. */
function apply({ u, square }, a, start) {
  if (!(square > 0)) return;
  let sum = 0;
  for (let i = 0; i < u.length; i++) sum += u[i] * a[start + i];
  sum *= 2 / square;
  for (let i = 0; i < u.length; i++) a[start + i] -= sum * u[i];
}
