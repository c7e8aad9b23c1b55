// Models with one parameter, f(x) = theta phi(x): a twin of core/models/one_parameter.py.
//
// The loss is a parabola in theta, with its minimum at theta* = sum phi y / sum phi^2 and the curvature mean phi^2. A point
// asks for the theta that fits it exactly, y / phi; theta* is the mean of these candidates with the weights phi^2.

/** Pieces of the line that follows a curved f. */
const PIECES = 240;

/**
 * @param {{name: string, stepSize: number, feature: (x: number) => number, straight?: boolean, python: string, words: Object<string, string>}} given feature
 *   is phi, straight says whether it is a straight line, python is f(x) as Python has it; words: title, asks, candidate,
 *   weight, limit
 * @returns {import("../registry.js").Model}
 */
export function oneParameterModel({ name, stepSize, feature, straight = false, python, words }) {
  const predictAt = (p, x) => p.theta * feature(x);
  const weight = (x) => feature(x) * feature(x);
  const totalWeight = (x) => x.reduce((sum, value) => sum + weight(value), 0);
  const breaks = (_, low, high) => (straight ? [] : Array.from({ length: PIECES - 1 }, (_, j) => low + ((j + 1) / PIECES) * (high - low)));
  return {
    name,
    stepSize,
    hasUnits: false,
    feature,
    python,
    parameters: { theta: { field: "theta", perUnit: false } },
    inUserUnits: null,
    inTrainedUnits: null,
    predictAt,
    meanGradient: (_, x, twice) => ({ theta: x.reduce((sum, value, i) => sum + twice[i] * feature(value), 0) / x.length }),
    tangentProducts: (_, x, G) => ({ squares: Float64Array.from(x, weight), along: Float64Array.from(x, (value) => feature(value) * G.theta) }),
    breaks,
    staircase(p, low, high) {
      const edges = [low, ...breaks(p, low, high), high];
      const heights = edges.slice(1).map((edge, j) => (predictAt(p, edge) - predictAt(p, edges[j])) / (edge - edges[j]));
      return { edges, heights };
    },
    /** theta*: the minimum of the loss. */
    optimum: (x, y) => x.reduce((sum, value, i) => sum + feature(value) * y[i], 0) / totalWeight(x),
    /** The coefficient of (theta - theta*)^2 in the loss. */
    curvature: (x) => totalWeight(x) / x.length,
    /** The theta that a point asks for; NaN where phi = 0, as then theta does not change f. */
    candidate: (x, y) => (feature(x) === 0 ? NaN : y / feature(x)),
    /** How hard it asks. */
    weight,
    words: {
      hint: "Click a point to see which θ it asks for.",
      whatIf: "Drag the dot on the parabola: which θ would you choose?",
      limit: "1/mean(phi^2)",
      limitWithMomentum: "(1 + momentum)/mean(phi^2)",
      ...words,
    },
  };
}
