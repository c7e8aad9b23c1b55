// The one-hidden-layer ReLU network f(x) = c + sum_k v_k relu(w_k x + b_k): a twin of core/models/relu.py.
//
//   df/dw_k = v_k a_ik x_i,  df/db_k = v_k a_ik,  df/dv_k = relu(w_k x_i + b_k),  df/dc = 1
//
// The gates a_ik are decided as the run decides them (isActive in elbows.js); f itself is computed in double precision.

import { breaks, isActive, staircase } from "../elbows.js";

const PARAMETERS = {
  w: { field: "input_slope", perUnit: true },
  b: { field: "bias", perUnit: true },
  v: { field: "output_weight", perUnit: true },
  c: { field: "output_bias", perUnit: false },
};

/** relu(w_k x + b_k). */
export const hidden = (p, k, x) => Math.max(0, p.w[k] * x + p.b[k]);

/** df/db_k = v_k a_k(x); df/dw_k is x times this. */
export const biasTangent = (p, k, x) => (isActive(p.w[k], p.b[k], x) ? p.v[k] : 0);

/** Which of w, b, v, c are trained, from the names of the trained parameters. */
export const isTrained = (trained) => Object.fromEntries(Object.entries(PARAMETERS).map(([key, { field }]) => [key, trained.includes(field)]));

function predictAt(p, x) {
  let f = p.c;
  for (let k = 0; k < p.w.length; k++) f += p.v[k] * hidden(p, k, x);
  return f;
}

function meanGradient(p, x, twice, trained) {
  const n = x.length, W = p.w.length, has = isTrained(trained);
  const w = new Float64Array(W), b = new Float64Array(W), v = new Float64Array(W);
  let c = 0;
  for (let i = 0; i < n; i++) if (has.c) c += twice[i] / n;
  for (let k = 0; k < W; k++) {
    let alongW = 0, alongB = 0, alongV = 0;
    for (let i = 0; i < n; i++) {
      const g = twice[i] * biasTangent(p, k, x[i]);
      alongW += g * x[i];
      alongB += g;
      alongV += twice[i] * hidden(p, k, x[i]);
    }
    if (has.w) w[k] = alongW / n;
    if (has.b) b[k] = alongB / n;
    if (has.v) v[k] = alongV / n;
  }
  return { w, b, v, c };
}

function tangentProducts(p, x, G, trained) {
  const has = isTrained(trained);
  const squares = new Float64Array(x.length).fill(has.c ? 1 : 0), along = new Float64Array(x.length).fill(G.c);
  for (let i = 0; i < x.length; i++) {
    for (let k = 0; k < p.w.length; k++) {
      const bias = biasTangent(p, k, x[i]), slope = bias * x[i], weight = hidden(p, k, x[i]);
      squares[i] += (has.w ? slope * slope : 0) + (has.b ? bias * bias : 0) + (has.v ? weight * weight : 0);
      along[i] += slope * G.w[k] + bias * G.b[k] + weight * G.v[k];
    }
  }
  return { squares, along };
}

export const RELU = {
  name: "relu",
  hasUnits: true,
  feature: null,
  parameters: PARAMETERS,
  predictAt,
  meanGradient,
  tangentProducts,
  breaks,
  staircase,
  words: {
    title: "ReLU network",
    hint: "Triangles are elbows and point to the side on which their unit is active; hollow ones do not bend f on the data. Click a triangle to follow its unit, or a point to see what it asks for.",
    whatIf: "Drag an elbow: where would you put the elbows? Or solve the output weights.",
  },
};
