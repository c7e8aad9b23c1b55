// The votes of the points: a twin of core/votes.py.
//
//   r_i = f(x_i) - y_i,  J_i = df(x_i)/dtheta,  g_i = grad(r_i^2) = 2 r_i J_i,  G = mean g_i
//
// `model` is a record of registry.js, p its parameters, `trained` the names of the trained parameters. Gradients have the
// keys of p, and 0 for a parameter that is not trained.

import { elbow, isActive, slopeJumpOf } from "./elbows.js";
import { meanSquare, residuals } from "./functions.js";
import { isTrained } from "./models/relu.js";

/** 2 r_i, the factor of J_i in g_i. */
const twiceOf = (residual) => residual.map((r) => 2 * r);

/**
 * The votes of all points.
 * @returns {{residual: Float64Array, twice: Float64Array, norm: Float64Array, share: Float64Array, gradient: any,
 *   gradientNorm: number, effective: number, loss: number, layers: {layer: number|string, effective: number}[]}} twice 2 r_i;
 *   norm |g_i| / N; share <g_i, G> / (N |G|^2), NaN where G = 0; effective (sum |g_i|)^2 / sum |g_i|^2, of all parameters
 *   and, for a chain, of each trained layer
 */
export function votes(model, p, x, y, trained) {
  const n = x.length;
  const residual = residuals(model, p, x, y), twice = twiceOf(residual);
  const gradient = model.meanGradient(p, x, twice, trained);
  const { squares, along, layers = [] } = model.tangentProducts(p, x, gradient, trained);
  const signal = dot(gradient, gradient);
  const normOf = (ofTangent) => ofTangent.map((square, i) => (Math.abs(twice[i]) * Math.sqrt(square)) / n);
  const norm = normOf(squares);
  const share = sharesOf(twice, along, signal);
  return { residual, twice, norm, share, gradient, gradientNorm: Math.sqrt(signal), effective: effectiveVotes(norm), layers: layers.map((one) => ({ layer: one.layer, effective: effectiveVotes(normOf(one.squares)) })), loss: meanSquare(residual) };
}

function sharesOf(twice, along, signal) {
  const n = twice.length;
  return along.map((product, i) => (twice[i] * product) / (n * signal));
}

/** The shares of the points in the gradient of the weights into one unit of a chain; NaN where that is 0. */
export function unitShares(model, p, x, twice, trained, index) {
  const { along, signal } = model.unitProducts(p, x, twice, trained, index);
  return sharesOf(twice, along, signal);
}

function effectiveVotes(norm) {
  let norms = 0, normSquares = 0;
  for (const each of norm) (norms += each), (normSquares += each * each);
  return norms ** 2 / normSquares;
}

/** <a, b> over all parameters. */
function dot(a, b) {
  let sum = 0;
  for (const [name, part] of Object.entries(a)) {
    if (typeof part === "number") sum += part * b[name];
    else for (let k = 0; k < part.length; k++) sum += part[k] * b[name][k];
  }
  return sum;
}

/** g_i of one point. */
export const pointGradient = (model, p, x, y, i, trained) => model.meanGradient(p, [x[i]], twiceOf(residuals(model, p, [x[i]], [y[i]])), trained);

/** The parameters after one update of plain gradient descent on point i alone. */
export function updateOnPoint(model, p, x, y, i, rate, trained) {
  const g = pointGradient(model, p, x, y, i, trained);
  const moved = (part, change) => (typeof part === "number" ? part - rate * change : part.map((value, k) => value - rate * change[k]));
  return Object.fromEntries(Object.entries(p).map(([name, part]) => [name, moved(part, g[name])]));
}

/** (g_b + beta g_w) / w, d beta/dt under gradient flow; NaN where w = 0, as beta is. */
const elbowMotion = (w, beta, slopeGradient, biasGradient) => (biasGradient + beta * slopeGradient) / w;

/** How gradient flow along -g moves the elbow and the slope jump of unit k: d beta/dt, d(v |w|)/dt. */
export const unitMotion = (p, g, k) => ({
  elbow: elbowMotion(p.w[k], elbow(p, k), g.w[k], g.b[k]),
  jump: -(slopeJumpOf(p.w[k], g.v[k]) + p.v[k] * Math.sign(p.w[k]) * g.w[k]),
});

/** How each point moves elbow k under gradient flow; sums to d beta_k/dt. NaN where w_k = 0. */
export function elbowVotes(p, k, x, twice, trained) {
  const has = isTrained(trained), beta = elbow(p, k), n = x.length;
  return Float64Array.from(x, (value, i) => {
    const g = isActive(p.w[k], p.b[k], value) ? twice[i] * p.v[k] : 0;
    return elbowMotion(p.w[k], beta, has.w ? g * value : 0, has.b ? g : 0) / n;
  });
}

/** w^2 + b^2 - v^2, conserved under gradient flow. */
export const balance = (p, k) => p.w[k] ** 2 + p.b[k] ** 2 - p.v[k] ** 2;
