// The largest stable step size: a twin of training/divergence.py, with `hessian` of core/theory/relu.py.
//
// H = (2/N) (J^T J + sum_i r_i d^2f_i), where d^2f_i couples v_k with the w_k and b_k of the same unit only:
// d^2f_i/dv_k dw_k = a_ik x_i and d^2f_i/dv_k db_k = a_ik. Gradient descent with momentum mu is stable below
// 2 (1 + mu) / lambda_max(H). For the output layer alone that is (1 + mu) N / sigma_max(Phi)^2.

import { residuals } from "./functions.js";
import { isTrained } from "./models/relu.js";

/** The most points times units for which lambda_max is computed: a few tenths of a second. */
const MOST_FEATURES = 2 ** 18;
const MOST_STEPS = 150;
const TOLERANCE = 1e-12;

/**
 * The largest stable step size of gradient descent with heavy-ball momentum, and its formula; null for a network that is too
 * large. Where hidden units are trained it holds near p only.
 * @param {string[]} trained names of the trained parameters
 * @returns {{limit: number, formula: string}|null}
 */
export function largestStableStep(model, p, x, y, trained, momentum = 0) {
  if (model.feature) return { limit: (1 + momentum) / model.curvature(x), formula: model.words[momentum ? "limitWithMomentum" : "limit"] };
  if (x.length * p.w.length > MOST_FEATURES) return null;
  const { w, b } = isTrained(trained), factor = momentum ? " (1 + momentum)" : "";
  const formula = w || b ? `2${factor}/lambda_max` : `${momentum ? "(1 + momentum) " : ""}N/sigma_max^2 of the hidden features`;
  return { limit: (2 * (1 + momentum)) / sharpness(model, p, x, y, trained), formula };
}

/** lambda_max(H) of a ReLU network; infinite where H is not finite. */
export function sharpness(model, p, x, y, trained) {
  const n = x.length, W = p.w.length, has = isTrained(trained);
  const residual = residuals(model, p, x, y), ones = { ...p, v: new Float64Array(W).fill(1) };
  // (1/N) sum_i r_i a_ik (x_i, 1)
  const cross = model.meanGradient(ones, x, residual, has.v ? trained.filter((name) => name !== "output_bias") : []);
  const multiply = (vector) => {
    const direction = { w: vector.subarray(0, W), b: vector.subarray(W, 2 * W), v: vector.subarray(2 * W, 3 * W), c: vector[3 * W] };
    const g = model.meanGradient(p, x, model.tangentProducts(p, x, direction, trained).along, trained);
    for (let k = 0; k < W; k++) {
      g.w[k] += cross.w[k] * direction.v[k];
      g.b[k] += cross.b[k] * direction.v[k];
      if (has.v) g.v[k] += cross.w[k] * direction.w[k] + cross.b[k] * direction.b[k];
    }
    return Float64Array.of(...g.w, ...g.b, ...g.v, g.c);
  };
  const start = Float64Array.from({ length: 3 * W + 1 }, (_, k) => {
    const isFree = k === 3 * W ? has.c : [has.w, has.b, has.v][Math.floor(k / W)];
    return isFree ? 0.5 + ((0.618 * k) % 1) : 0;
  });
  const largest = n ? 2 * largestEigenvalue(multiply, start) : 0;
  return Number.isFinite(largest) ? largest : Infinity;
}

/**
 * The largest eigenvalue of a symmetric matrix, by Lanczos's method with orthogonalisation against all earlier vectors (Golub
 * and Van Loan, Matrix Computations, chapter 10).
 * @param {(vector: Float64Array) => Float64Array} multiply
 */
function largestEigenvalue(multiply, start) {
  const basis = [], diagonal = [], squares = [0];
  let next = start, size = norm(start), found = 0;
  while (basis.length < MOST_STEPS && size > 0) {
    const vector = next.map((value) => value / size);
    basis.push(vector);
    next = multiply(vector);
    const scale = norm(next);
    diagonal.push(dot(next, vector));
    // twice, since one pass leaves rounding errors of the size of what it removes
    for (let pass = 0; pass < 2; pass++)
      for (const one of basis) {
        const along = dot(next, one);
        for (let i = 0; i < next.length; i++) next[i] -= along * one[i];
      }
    size = norm(next);
    if (!(size > 1e-13 * scale)) size = 0;
    const before = found;
    found = largestOfTridiagonal(diagonal, squares);
    if (!Number.isFinite(found)) return NaN;
    if (basis.length > 3 && Math.abs(found - before) <= TOLERANCE * Math.abs(found)) break;
    squares.push(size * size);
  }
  return found;
}

/** The largest eigenvalue of a tridiagonal matrix, by bisection; squares[i] is that of the number left of diagonal[i]. */
function largestOfTridiagonal(diagonal, squares) {
  const reach = diagonal.map((value, i) => Math.sqrt(squares[i]) + Math.sqrt(squares[i + 1] ?? 0));
  let low = Math.max(...diagonal), high = Math.max(...diagonal.map((value, i) => value + reach[i]));
  for (let middle; (middle = (low + high) / 2) > low && middle < high; ) {
    // all pivots of T - middle are negative where middle is above all eigenvalues
    let pivot = -1;
    for (let i = 0; i < diagonal.length && pivot < 0; i++) pivot = diagonal[i] - middle - squares[i] / pivot;
    if (pivot < 0) high = middle;
    else low = middle;
  }
  return low;
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

const norm = (a) => Math.sqrt(dot(a, a));
