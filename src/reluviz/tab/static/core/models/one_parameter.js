// Models with one parameter, f(x) = theta phi(x): a twin of reluviz/core/models/one_parameter.py. Parameters: {model, theta}.

import { twice } from "../gradient_factor.js";
import { register } from "../registry.js";

const CURVE_POINTS = 201;

/**
 * Register and return the record of a model.
 * @param {string} name
 * @param {string} formula its equation, as the page shows it
 * @param {(x: number) => number} feature phi
 * @param {{caption: string, weight: string, asked: string}} words about what each point asks for
 * @param {{straight?: boolean, equalWeights?: boolean}} shape whether phi is a straight line, and whether it is a constant
 */
export const oneParameterModel = (name, formula, feature, words, { straight = false, equalWeights = false } = {}) => register({
  name, formula, feature, words, equalWeights,
  hasUnits: false,

  /** The parameters of a snapshot. @param {(name: string) => Float64Array} part */
  read: (part) => ({ theta: part("theta")[0] }),

  width: () => 0,

  predictAt: (p, x) => p.theta * feature(x),

  allFinite: (p) => Number.isFinite(p.theta),

  /** The x between which f is drawn straight, on [low, high] with both ends. */
  corners: (p, low, high) =>
    straight ? [low, high] : Array.from({ length: CURVE_POINTS }, (_, i) => low + ((high - low) * i) / (CURVE_POINTS - 1)),

  /** f' on [low, high]: the edges of its steps, and the heights of the steps (one fewer). */
  staircase(p, low, high) {
    const edges = this.corners(p, low, high);
    if (straight) return { edges, heights: [p.theta * feature(1) - p.theta * feature(0)] };
    const heights = edges.slice(1).map((x, i) => (this.predictAt(p, x) - this.predictAt(p, edges[i])) / (x - edges[i]));
    return { edges, heights };
  },

  /** |J_i|^2 and <J_i, G> at x, J_i = phi(x). */
  jacobian(p, x, G) {
    const j = feature(x);
    return { square: j * j, along: j * G.theta };
  },

  /** G = (1/N) sum_i 2 r_i phi(x_i). */
  gradient(p, x, residual) {
    let theta = 0;
    for (let i = 0; i < x.length; i++) theta += twice(residual[i]) * feature(x[i]);
    return { theta: theta / x.length };
  },

  dot: (a, b) => a.theta * b.theta,

  combine: (p, g, change) => ({ theta: change(p.theta, g.theta) }),

  /** theta* = sum phi y / sum phi^2, the minimum of the loss. */
  optimum(x, y) {
    let top = 0, bottom = 0;
    for (let i = 0; i < x.length; i++) {
      const j = feature(x[i]);
      (top += j * y[i]), (bottom += j * j);
    }
    return top / bottom;
  },

  /** The theta that a point asks for, y / phi. */
  candidate: (x, y) => y / feature(x),

  /** How hard it asks, phi^2. */
  weight: (x) => feature(x) ** 2,
});
