// Elbows, slopes and status of hidden units: a twin of reluviz/core/elbows.py, and of the gates in core/models/relu.py.

export const DEAD = 0;
export const LINEAR = 1;
export const BENT = 2;
export const STATUS = ["dead", "linear", "bent"];

/** beta = -b / w; NaN where w = 0. */
export const elbowOf = (w, b) => (w === 0 ? NaN : -b / w);

/** f'(beta+) - f'(beta-) = v |w|. */
export const slopeJumpOf = (w, v) => v * Math.abs(w);

/**
 * Whether input x is on the active side of a unit: w x + b > 0. An input at the elbow is not.
 * The page has parameters in float32, so that numbers are rounded to it, and product and sum are rounded each, as training
 * does; parameters changed by hand are rounded too.
 */
export const isActive = (w, b, x) => Math.fround(Math.fround(Math.fround(w) * Math.fround(x)) + Math.fround(b)) > 0;

/** The elbow of unit k. */
export const elbow = (p, k) => elbowOf(p.w[k], p.b[k]);

/** The slope jump of unit k. */
export const slopeJump = (p, k) => slopeJumpOf(p.w[k], p.v[k]);

/** mu_k = w_k v_k, the slope a unit adds on its active side. */
export const activeSlope = (p, k) => p.w[k] * p.v[k];

export const elbows = (p) => Float64Array.from(p.w, (_, k) => elbow(p, k));
export const slopeJumps = (p) => Float64Array.from(p.w, (_, k) => slopeJump(p, k));

/** Status of unit k: dead, linear or bent. As w x + b is monotonic, the smallest and the largest input decide. */
export function status(p, k, low, high) {
  const on = isActive(p.w[k], p.b[k], low) + isActive(p.w[k], p.b[k], high);
  return on === 2 ? LINEAR : on ? BENT : DEAD;
}
