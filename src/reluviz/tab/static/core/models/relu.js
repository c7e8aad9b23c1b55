// The one-hidden-layer ReLU network f(x) = c + sum_k v_k relu(w_k x + b_k): a twin of core/models/relu.py.
//
//   df/dw_k = v_k a_ik x_i,  df/db_k = v_k a_ik,  df/dv_k = relu(w_k x_i + b_k),  df/dc = 1
//
// The gates a_ik are decided as the run decides them (isActive in elbows.js); f itself is computed in double precision.

import { breaks, isActive, staircase, unitStatuses } from "../elbows.js";
import { register } from "../registry.js";

const PARAMETERS = {
  w: { field: "input_slope", perUnit: true },
  b: { field: "bias", perUnit: true },
  v: { field: "output_weight", perUnit: true },
  c: { field: "output_bias", perUnit: false },
};

/** relu(w x + b) of one unit. */
export const hidden = (w, b, x) => Math.max(0, w * x + b);

/** Which of w, b, v, c are trained, from the names of the trained parameters. */
export const isTrained = (trained) => Object.fromEntries(Object.entries(PARAMETERS).map(([key, { field }]) => [key, trained.includes(field)]));

function predictAt(p, x) {
  const { w, b, v } = p;
  let f = p.c;
  for (let k = 0; k < w.length; k++) f += v[k] * hidden(w[k], b[k], x);
  return f;
}

function meanGradient(p, x, twice, trained) {
  const n = x.length, W = p.w.length, has = isTrained(trained);
  const w = new Float64Array(W), b = new Float64Array(W), v = new Float64Array(W);
  let c = 0;
  for (let i = 0; i < n; i++) if (has.c) c += twice[i] / n;
  for (let k = 0; k < W; k++) {
    const slope = p.w[k], bias = p.b[k];
    let ofSlope = 0, ofBias = 0, ofWeight = 0;
    for (let i = 0; i < n; i++) {
      if (isActive(slope, bias, x[i])) (ofSlope += twice[i] * x[i]), (ofBias += twice[i]);
      ofWeight += twice[i] * hidden(slope, bias, x[i]);
    }
    if (has.w) w[k] = (p.v[k] * ofSlope) / n;
    if (has.b) b[k] = (p.v[k] * ofBias) / n;
    if (has.v) v[k] = ofWeight / n;
  }
  return { w, b, v, c };
}

function tangentProducts(p, x, G, trained) {
  const n = x.length, has = isTrained(trained);
  const squares = new Float64Array(n).fill(has.c ? 1 : 0), along = new Float64Array(n).fill(G.c);
  for (let k = 0; k < p.w.length; k++) {
    const slope = p.w[k], bias = p.b[k], v = p.v[k];
    // |df/dw|^2 + |df/db|^2 of an active point is ofX x^2 + ofOne
    const ofX = has.w ? v * v : 0, ofOne = has.b ? v * v : 0, ofHidden = has.v ? 1 : 0;
    const alongX = v * G.w[k], alongOne = v * G.b[k], alongHidden = G.v[k];
    for (let i = 0; i < squares.length; i++) {
      const at = x[i], h = hidden(slope, bias, at);
      squares[i] += ofHidden * h * h;
      along[i] += alongHidden * h;
      if (isActive(slope, bias, at)) (squares[i] += ofX * at * at + ofOne), (along[i] += alongX * at + alongOne);
    }
  }
  return { squares, along };
}

/** w_x = w_u / s_x, b_x = b_u - w_u x0 / s_x, v_x = s_y v_u, c_x = y0 + s_y c_u; other layers of a chain stay as they are. */
export function inUserUnits(p, { xOffset, xScale, yOffset, yScale }) {
  const w = p.w.map((value) => value / xScale);
  return { ...p, w, b: p.b.map((value, k) => value - w[k] * xOffset), v: p.v.map((value) => yScale * value), c: yOffset + yScale * p.c };
}

/** The inverse of inUserUnits. */
export function inTrainedUnits(p, { xOffset, xScale, yOffset, yScale }) {
  const w = p.w.map((value) => value * xScale);
  return { ...p, w, b: p.b.map((value, k) => value + p.w[k] * xOffset), v: p.v.map((value) => value / yScale), c: (p.c - yOffset) / yScale };
}

export const RELU = register({
  name: "relu",
  stepSize: 0.02,
  hasUnits: true,
  feature: null,
  parameters: PARAMETERS,
  predictAt,
  meanGradient,
  tangentProducts,
  breaks,
  staircase,
  statuses: (p, { uLow, uHigh }) => unitStatuses(p, uLow, uHigh),
  activeUnits: (p, x) => [[p.w.reduce((n, w, k) => n + isActive(w, p.b[k], x), 0), p.w.length]],
  hiddenFeatures: (p, x) => Array.from(p.w, (w, k) => Float64Array.from(x, (value) => hidden(w, p.b[k], value))),
  inUserUnits,
  inTrainedUnits,
  words: {
    title: "ReLU network",
    hint: "Triangles are elbows and point to the side on which their unit is active; hollow ones do not bend f on the data. Click a triangle to follow its unit, or a point to see what it asks for.",
    whatIf: "Drag an elbow: where would you put the elbows? Or solve the output weights.",
  },
});
