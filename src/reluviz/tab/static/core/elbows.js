// Where a ReLU network bends, and by how much: a twin of core/elbows.py, with `is_active` of core/models/relu.py.
//
// w, b, v are the numbers of one unit; p = {w, b, v, c} is a network of W units, and k one of them. beta is an elbow.

export const DEAD = 0;
export const LINEAR = 1;
export const BENT = 2;
export const STATUS = ["dead", "linear", "bent"];

/**
 * 1[w x + b > 0], whether an input is on the active side of a unit; an input at the elbow itself is not.
 *
 * The run has decided this in its own precision, float32 unless it trained in 64 bits. The page holds the parameters as
 * float32, so it rounds x, the product and the sum to float32 each. In double precision each of them is exact, or so
 * close that rounding it again gives the float32 result.
 */
export const isActive = (w, b, x) => Math.fround(Math.fround(Math.fround(w) * Math.fround(x)) + Math.fround(b)) > 0;

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

export const elbows = (p) => Float64Array.from(p.w, (_, k) => elbow(p, k));
export const slopeJumps = (p) => Float64Array.from(p.w, (_, k) => slopeJump(p, k));

/** Status of unit k: dead, linear or bent. As w x + b is monotonic, the smallest and the largest input decide. */
export function unitStatus(p, k, low, high) {
  const on = isActive(p.w[k], p.b[k], low) + isActive(p.w[k], p.b[k], high);
  return on === 2 ? LINEAR : on ? BENT : DEAD;
}

/** Whether unit k has been deleted in the page: then all its parameters are 0. */
export const isDeleted = (p, k) => p.w[k] === 0 && p.b[k] === 0 && p.v[k] === 0;

/** The status of each unit. */
export const unitStatuses = (p, low, high) => Uint8Array.from(p.w, (_, k) => unitStatus(p, k, low, high));

/** The elbows between low and high, sorted: f is linear between them. */
export const breaks = (p, low, high) => elbows(p).filter((beta) => beta > low && beta < high).sort();

/** f' on [low, high]: the edges of its steps, and the heights of the steps (one fewer). */
export function staircase(p, low, high) {
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

/** The network with the elbow of unit k at beta; null where w_k = 0. */
export const withElbow = (p, k, beta) => (p.w[k] === 0 ? null : { ...p, b: p.b.with(k, -beta * p.w[k]) });

/** The network with the slope jump of unit k changed through its output weight; null where w_k = 0. */
export const withSlopeJump = (p, k, jump) => (p.w[k] === 0 ? null : { ...p, v: p.v.with(k, jump / Math.abs(p.w[k])) });

/** The network with another input slope of unit k, its elbow kept; null where w_k = 0. */
export const withInputSlope = (p, k, w) => (p.w[k] === 0 ? null : { ...p, w: p.w.with(k, w), b: p.b.with(k, -elbow(p, k) * w) });
