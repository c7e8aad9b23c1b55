// The mathematics of all models: a twin of reluviz/core/functions.py and reluviz/core/votes.py. Pure functions of
// parameters and data; tests compare them with the Python code.
//
//   r_i = f(x_i) - y_i,  L = mean r_i^2,  g_i = grad(r_i^2) = 2 r_i df(x_i)/dtheta,  G = mean g_i
//
// Parameters hold their model's record (see models.js) and its numbers. `trained` holds the names of the trained
// parameters, as the Python code names them.

import { elbow, slopeJumpOf } from "./elbows.js";
import { twice } from "./gradient_factor.js";
import { leastSquares } from "./least_squares.js";

/** @typedef {{model: any, theta?: number, w?: Float64Array, b?: Float64Array, v?: Float64Array, c?: number}} Net */

/** f at one x. @param {Net} p @param {number} x */
export const predictAt = (p, x) => p.model.predictAt(p, x);

/** f at many x. @param {Net} p @param {ArrayLike<number>} x */
export function predict(p, x) {
  const f = new Float64Array(x.length);
  for (let i = 0; i < x.length; i++) f[i] = predictAt(p, x[i]);
  return f;
}

/** Mean squared error. @param {Net} p */
export function loss(p, x, y) {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += (predictAt(p, x[i]) - y[i]) ** 2;
  return sum / x.length;
}

/** Whether all parameters are finite. @param {Net} p */
export const allFinite = (p) => p.model.allFinite(p);

/** w^2 + b^2 - v^2, conserved under gradient flow. */
export const balance = (p, k) => p.w[k] ** 2 + p.b[k] ** 2 - p.v[k] ** 2;

/** The corners of f on [low, high] with both ends: f is drawn straight between them. */
export function corners(p, low, high) {
  const x = p.model.corners(p, low, high);
  return { x, y: x.map((value) => predictAt(p, value)) };
}

/** f' on [low, high]: the edges of its steps, and the heights of the steps (one fewer). */
export const staircase = (p, low, high) => p.model.staircase(p, low, high);

/**
 * The votes of all points.
 * @returns {{residual: Float64Array, norm: Float64Array, share: Float64Array, gradient: any, gradientNorm: number,
 *   effective: number, loss: number}} norm |g_i| / N; share <g_i, G> / (N |G|^2), NaN where G = 0
 */
export function votes(p, x, y, trained) {
  const n = x.length;
  const residual = new Float64Array(n), norm = new Float64Array(n), share = new Float64Array(n);
  let squares = 0;
  for (let i = 0; i < n; i++) squares += (residual[i] = predictAt(p, x[i]) - y[i]) ** 2;
  const G = gradient(p, x, residual, trained);
  const signal = p.model.dot(G, G);
  let norms = 0, normSquares = 0;
  for (let i = 0; i < n; i++) {
    const { square, along } = p.model.jacobian(p, x[i], G, trained);
    const g = twice(residual[i]);
    norm[i] = (Math.abs(g) * Math.sqrt(square)) / n;
    share[i] = signal > 0 ? (g * along) / (n * signal) : NaN;
    norms += norm[i];
    normSquares += norm[i] ** 2;
  }
  const gradientNorm = Math.sqrt(signal);
  return { residual, norm, share, gradient: G, gradientNorm, effective: norms ** 2 / normSquares, loss: squares / n };
}

/** G, the mean of the g_i; 0 for parameters that are not trained. */
export const gradient = (p, x, residual, trained) => p.model.gradient(p, x, residual, trained);

/** How gradient flow along -g moves the elbow and the slope jump of unit k: d beta/dt, d(v |w|)/dt. */
export function unitMotion(p, g, k) {
  const beta = elbow(p, k);
  const jump = -(slopeJumpOf(p.w[k], g.v[k]) + p.v[k] * Math.sign(p.w[k]) * g.w[k]);
  return { elbow: p.w[k] === 0 ? NaN : (g.b[k] + beta * g.w[k]) / p.w[k], jump };
}

/** How each point moves elbow k under gradient flow; sums to d beta_k/dt. NaN where w_k = 0. */
export const elbowVotes = (p, k, x, residual, trained) => p.model.elbowVotes(p, k, x, residual, trained);

/** g_i / N of one point. */
export function contribution(p, x, y, i, n, trained) {
  const g = gradient(p, [x[i]], [predictAt(p, x[i]) - y[i]], trained);
  return p.model.combine(g, g, (value) => value / n);
}

/** The parameters after one plain gradient step of size `rate`. */
export const step = (p, g, rate) => ({ ...p, ...p.model.combine(p, g, (value, slope) => value - rate * slope) });

/** The parameters after one update on a minibatch of point i alone. */
export const updateOnPoint = (p, x, y, i, rate, trained) => step(p, contribution(p, x, y, i, 1, trained), rate);

/** The network with c and v solved by least squares (minimum norm) on the hidden features of p. */
export function solveOutput(p, x, y) {
  const n = x.length, W = p.w.length;
  const columns = Array.from({ length: W }, (_, k) => {
    const column = new Float64Array(n);
    for (let i = 0; i < n; i++) column[i] = Math.max(0, p.w[k] * x[i] + p.b[k]);
    return column;
  });
  columns.push(new Float64Array(n).fill(1));
  const { solution, rank } = leastSquares(columns, y);
  return { net: { ...p, v: solution.slice(0, W), c: solution[W] }, rank };
}
