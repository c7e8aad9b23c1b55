// The units in which a run has trained, and the user's: a twin of data/scaling.py.
//
//   u = (x - x0) / s_x,   t = (y - y0) / s_y
//
// A run on scaled data has trained on u and t. Points, functions, elbows, slopes and losses are shown in the user's units;
// gradients, votes and step sizes are those of the training.

/**
 * The conversions between the user's units and those of training.
 * @param {number[]|null|undefined} numbers x0, s_x, y0, s_y; none if the run has trained in the user's units
 */
export function scalingOf(numbers) {
  const identity = !numbers;
  const [xOffset, xScale, yOffset, yScale] = numbers ?? [0, 1, 0, 1];
  // exact for the identity, which must not turn -0 into 0
  const unless = (change) => (identity ? (value) => value : change);
  return {
    identity,
    numbers: numbers ?? null,
    xOffset, xScale, yOffset, yScale,
    trainedX: unless((x) => (x - xOffset) / xScale),
    trainedY: unless((y) => (y - yOffset) / yScale),
    userX: unless((u) => xOffset + xScale * u),
    userY: unless((t) => yOffset + yScale * t),
    /** A distance in x, such as the motion of an elbow. */
    userDistance: unless((du) => xScale * du),
    userResidual: unless((residual) => yScale * residual),
    userLoss: unless((loss) => yScale * (yScale * loss)),
    /** A slope of f, such as a slope jump. */
    userSlope: unless((slope) => (yScale / xScale) * slope),
  };
}
