// The one-hidden-layer ReLU network f(x) = c + sum_k v_k relu(w_k x + b_k): a twin of reluviz/core/models/relu.py.
// Parameters: {model, w, b, v, c} with w, b, v of length W.

import { activeSlope, elbow, isActive, slopeJump } from "../elbows.js";
import { twice } from "../gradient_factor.js";
import { register } from "../registry.js";

const flags = (trained) => ({
  w: trained.includes("input_slope"),
  b: trained.includes("bias"),
  v: trained.includes("output_weight"),
  c: trained.includes("output_bias"),
});

export const RELU = register({
  name: "relu",
  hasUnits: true,
  feature: null,

  /** The parameters of a snapshot. @param {(name: string) => Float64Array} part */
  read: (part) => ({ w: part("input_slope"), b: part("bias"), v: part("output_weight"), c: part("output_bias")[0] }),

  width: (count) => count("input_slope"),

  predictAt(p, x) {
    let f = p.c;
    for (let k = 0; k < p.w.length; k++) {
      const h = p.w[k] * x + p.b[k];
      if (h > 0) f += p.v[k] * h;
      else if (h !== h) return NaN;
    }
    return f;
  },

  allFinite: (p) => Number.isFinite(p.c) && [p.w, p.b, p.v].every((part) => part.every(Number.isFinite)),

  /** The x between which f is straight, on [low, high] with both ends. */
  corners(p, low, high) {
    const x = [low, high];
    for (let k = 0; k < p.w.length; k++) {
      const beta = elbow(p, k);
      if (beta > low && beta < high) x.push(beta);
    }
    return x.sort((a, b) => a - b);
  },

  /** f' on [low, high]: the edges of its steps, and the heights of the steps (one fewer). */
  staircase(p, low, high) {
    const bends = [];
    let slope = 0;
    for (let k = 0; k < p.w.length; k++) {
      const beta = elbow(p, k);
      // the unit is active just to the right of `low`
      if (p.w[k] > 0 ? beta <= low : p.w[k] < 0 && beta > low) slope += activeSlope(p, k);
      if (beta > low && beta < high) bends.push([beta, slopeJump(p, k)]);
    }
    bends.sort((a, b) => a[0] - b[0]);
    const edges = [low], heights = [slope];
    for (const [beta, jump] of bends) {
      edges.push(beta);
      heights.push((slope += jump));
    }
    edges.push(high);
    return { edges, heights };
  },

  /** |J_i|^2 and <J_i, G> at x, J_i the derivative of f by the trained parameters. */
  jacobian(p, x, G, trained) {
    const has = flags(trained);
    let square = 0, along = 0;
    for (let k = 0; k < p.w.length; k++) {
      const v = p.v[k], hidden = Math.max(p.w[k] * x + p.b[k], 0);
      if (has.v) (square += hidden * hidden), (along += hidden * G.v[k]);
      if (!isActive(p.w[k], p.b[k], x)) continue;
      if (has.w) (square += v * v * x * x), (along += v * x * G.w[k]);
      if (has.b) (square += v * v), (along += v * G.b[k]);
    }
    if (has.c) (square += 1), (along += G.c);
    return { square, along };
  },

  /** G = (1/N) sum_i 2 r_i df(x_i)/dtheta; 0 for parameters that are not trained. */
  gradient(p, x, residual, trained) {
    const n = x.length, W = p.w.length, has = flags(trained);
    const w = new Float64Array(W), b = new Float64Array(W), v = new Float64Array(W);
    let c = 0;
    for (let i = 0; i < n; i++) if (has.c) c += twice(residual[i]) / n;
    for (let k = 0; k < W; k++) {
      let r0 = 0, r1 = 0;
      for (let i = 0; i < n; i++) {
        if (isActive(p.w[k], p.b[k], x[i])) (r0 += residual[i]), (r1 += residual[i] * x[i]);
      }
      const scale = 2 / n;
      if (has.w) w[k] = scale * p.v[k] * r1;
      if (has.b) b[k] = scale * p.v[k] * r0;
      if (has.v) v[k] = scale * (p.w[k] * r1 + p.b[k] * r0);
    }
    return { w, b, v, c };
  },

  dot(a, b) {
    let sum = a.c * b.c;
    for (let k = 0; k < a.w.length; k++) sum += a.w[k] * b.w[k] + a.b[k] * b.b[k] + a.v[k] * b.v[k];
    return sum;
  },

  /** The gradient with every component changed by a function of it and of that of `p`. */
  combine(p, g, change) {
    const each = (a, d) => a.map((value, k) => change(value, d[k]));
    return { w: each(p.w, g.w), b: each(p.b, g.b), v: each(p.v, g.v), c: change(p.c, g.c) };
  },

  /** How each point moves elbow k under gradient flow; sums to d beta_k/dt. NaN where w_k = 0. */
  elbowVotes(p, k, x, residual, trained) {
    const has = flags(trained), n = x.length, beta = elbow(p, k);
    const out = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      const g = twice(residual[i]) * p.v[k];
      const active = isActive(p.w[k], p.b[k], x[i]);
      out[i] = p.w[k] === 0 ? NaN : active ? (g * ((has.b ? 1 : 0) + (has.w ? beta * x[i] : 0))) / (n * p.w[k]) : 0;
    }
    return out;
  },
});
