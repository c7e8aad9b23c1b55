// The models' mathematics: the twin of reluviz/core/{functions,elbows,votes}.py and reluviz/core/theory. Pure functions
// of parameters and data; tests compare them with the Python code.
//
//   constant  f(x) = theta        linear  f(x) = theta x        relu  f(x) = c + sum_k v_k relu(w_k x + b_k)
//   r_i = f(x_i) - y_i,  L = mean r_i^2,  g_i = grad(r_i^2) = 2 r_i df(x_i)/dtheta,  G = mean g_i
//
// Parameters: {model, theta} or {model, w, b, v, c} with w, b, v of length W. `trained` holds the names of the trained
// parameters, as the Python code names them.

/** @typedef {{model: string, theta?: number, w?: Float64Array, b?: Float64Array, v?: Float64Array, c?: number}} Net */

export const DEAD = 0;
export const LINEAR = 1;
export const BENT = 2;
export const STATUS = ["dead", "linear", "bent"];

/** f at one x. @param {Net} p @param {number} x */
export function predictAt(p, x) {
  if (p.model === "constant") return p.theta;
  if (p.model === "linear") return p.theta * x;
  let f = p.c;
  for (let k = 0; k < p.w.length; k++) {
    const h = p.w[k] * x + p.b[k];
    if (h > 0) f += p.v[k] * h;
    else if (h !== h) return NaN;
  }
  return f;
}

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
export const allFinite = (p) =>
  p.model === "relu"
    ? Number.isFinite(p.c) && [p.w, p.b, p.v].every((part) => part.every(Number.isFinite))
    : Number.isFinite(p.theta);

/** beta = -b / w; NaN where w = 0. */
export const elbowOf = (w, b) => (w === 0 ? NaN : -b / w);

/** f'(beta+) - f'(beta-) = v |w|. */
export const slopeJumpOf = (w, v) => v * Math.abs(w);

/** The elbow of unit k. */
export const elbow = (p, k) => elbowOf(p.w[k], p.b[k]);

/** The slope jump of unit k. */
export const slopeJump = (p, k) => slopeJumpOf(p.w[k], p.v[k]);

/** mu_k = w_k v_k, the slope a unit adds on its active side. */
export const activeSlope = (p, k) => p.w[k] * p.v[k];

/** w^2 + b^2 - v^2, conserved under gradient flow. */
export const balance = (p, k) => p.w[k] ** 2 + p.b[k] ** 2 - p.v[k] ** 2;

export const elbows = (p) => Float64Array.from(p.w, (_, k) => elbow(p, k));
export const slopeJumps = (p) => Float64Array.from(p.w, (_, k) => slopeJump(p, k));

/** Status of unit k: dead, linear or bent. As w x + b is monotonic, the smallest and the largest input decide. */
export function status(p, k, low, high) {
  const on = (p.w[k] * low + p.b[k] > 0) + (p.w[k] * high + p.b[k] > 0);
  return on === 2 ? LINEAR : on ? BENT : DEAD;
}

/** The corners of f on [low, high] with both ends: f is linear between them. */
export function corners(p, low, high) {
  const x = [low, high];
  if (p.model === "relu") {
    for (let k = 0; k < p.w.length; k++) {
      const beta = elbow(p, k);
      if (beta > low && beta < high) x.push(beta);
    }
    x.sort((a, b) => a - b);
  }
  return { x, y: x.map((value) => predictAt(p, value)) };
}

/** f' on [low, high]: the edges of its steps, and the heights of the steps (one fewer). */
export function staircase(p, low, high) {
  if (p.model !== "relu") return { edges: [low, high], heights: [p.model === "linear" ? p.theta : 0] };
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
}

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
  const signal = dot(G, G);
  const has = flags(trained);
  let norms = 0, normSquares = 0;
  for (let i = 0; i < n; i++) {
    let square = 0, along = 0;
    if (p.model === "relu") {
      for (let k = 0; k < p.w.length; k++) {
        const h = p.w[k] * x[i] + p.b[k];
        if (!(h > 0)) continue;
        const v = p.v[k];
        if (has.w) (square += v * v * x[i] * x[i]), (along += v * x[i] * G.w[k]);
        if (has.b) (square += v * v), (along += v * G.b[k]);
        if (has.v) (square += h * h), (along += h * G.v[k]);
      }
      if (has.c) (square += 1), (along += G.c);
    } else {
      const j = p.model === "linear" ? x[i] : 1;
      (square = j * j), (along = j * G.theta);
    }
    const g = 2 * residual[i];
    norm[i] = (Math.abs(g) * Math.sqrt(square)) / n;
    share[i] = signal > 0 ? (g * along) / (n * signal) : NaN;
    norms += norm[i];
    normSquares += norm[i] ** 2;
  }
  const gradientNorm = Math.sqrt(signal);
  return { residual, norm, share, gradient: G, gradientNorm, effective: norms ** 2 / normSquares, loss: squares / n };
}

const flags = (trained) => ({
  w: trained.includes("input_slope"),
  b: trained.includes("bias"),
  v: trained.includes("output_weight"),
  c: trained.includes("output_bias"),
});

/** G = (1/N) sum_i 2 r_i df(x_i)/dtheta; 0 for parameters that are not trained. */
export function gradient(p, x, residual, trained) {
  const n = x.length;
  if (p.model !== "relu") {
    let theta = 0;
    for (let i = 0; i < n; i++) theta += 2 * residual[i] * (p.model === "linear" ? x[i] : 1);
    return { theta: theta / n };
  }
  const W = p.w.length, has = flags(trained);
  const w = new Float64Array(W), b = new Float64Array(W), v = new Float64Array(W);
  let c = 0;
  for (let i = 0; i < n; i++) if (has.c) c += (2 * residual[i]) / n;
  for (let k = 0; k < W; k++) {
    let r0 = 0, r1 = 0;
    for (let i = 0; i < n; i++) {
      if (p.w[k] * x[i] + p.b[k] > 0) (r0 += residual[i]), (r1 += residual[i] * x[i]);
    }
    const scale = 2 / n;
    if (has.w) w[k] = scale * p.v[k] * r1;
    if (has.b) b[k] = scale * p.v[k] * r0;
    if (has.v) v[k] = scale * (p.w[k] * r1 + p.b[k] * r0);
  }
  return { w, b, v, c };
}

function dot(a, b) {
  if ("theta" in a) return a.theta * b.theta;
  let sum = a.c * b.c;
  for (let k = 0; k < a.w.length; k++) sum += a.w[k] * b.w[k] + a.b[k] * b.b[k] + a.v[k] * b.v[k];
  return sum;
}

/** How gradient flow along -g moves the elbow and the slope jump of unit k: d beta/dt, d(v |w|)/dt. */
export function unitMotion(p, g, k) {
  const beta = elbow(p, k);
  const jump = -(Math.abs(p.w[k]) * g.v[k] + p.v[k] * Math.sign(p.w[k]) * g.w[k]);
  return { elbow: p.w[k] === 0 ? NaN : (g.b[k] + beta * g.w[k]) / p.w[k], jump };
}

/** How each point moves elbow k under gradient flow; sums to d beta_k/dt. NaN where w_k = 0. */
export function elbowVotes(p, k, x, residual, trained) {
  const has = flags(trained), n = x.length, beta = elbow(p, k);
  const out = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    const active = p.w[k] * x[i] + p.b[k] > 0;
    const g = 2 * residual[i] * p.v[k];
    out[i] = p.w[k] === 0 ? NaN : active ? (g * ((has.b ? 1 : 0) + (has.w ? beta * x[i] : 0))) / (n * p.w[k]) : 0;
  }
  return out;
}

/** g_i / N of one point. */
export function contribution(p, x, y, i, n, trained) {
  const g = gradient(p, [x[i]], [predictAt(p, x[i]) - y[i]], trained);
  if ("theta" in g) return { theta: g.theta / n };
  return { w: g.w.map((a) => a / n), b: g.b.map((a) => a / n), v: g.v.map((a) => a / n), c: g.c / n };
}

/** The parameters after one plain gradient step of size `rate`. */
export function step(p, g, rate) {
  if (p.model !== "relu") return { ...p, theta: p.theta - rate * g.theta };
  const moved = (a, d) => a.map((value, k) => value - rate * d[k]);
  return { ...p, w: moved(p.w, g.w), b: moved(p.b, g.b), v: moved(p.v, g.v), c: p.c - rate * g.c };
}

/** The parameters after one update on a minibatch of point i alone. */
export const updateOnPoint = (p, x, y, i, rate, trained) => step(p, contribution(p, x, y, i, 1, trained), rate);

/** theta* of the one-parameter models: the minimum of the loss. */
export function optimum(model, x, y) {
  let top = 0, bottom = 0;
  for (let i = 0; i < x.length; i++) {
    const j = model === "linear" ? x[i] : 1;
    (top += j * y[i]), (bottom += j * j);
  }
  return top / bottom;
}

/** The theta that a point asks for: y_i for the constant, y_i / x_i for the linear model. */
export const candidate = (model, x, y) => (model === "linear" ? y / x : y);
/** How hard it asks: 1 for the constant, x_i^2 for the linear model. */
export const weight = (model, x) => (model === "linear" ? x * x : 1);

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
