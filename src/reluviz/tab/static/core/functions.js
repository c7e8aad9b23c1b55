// A model's function and its loss at many points: a twin of core/functions.py.
//
// `model` is a record of registry.js and p its parameters. The loss is L = mean r_i^2 with r_i = f(x_i) - y_i.

/** f at many x. */
export const predict = (model, p, x) => Float64Array.from(x, (value) => model.predictAt(p, value));

/** r_i = f(x_i) - y_i. */
export const residuals = (model, p, x, y) => Float64Array.from(x, (value, i) => model.predictAt(p, value) - y[i]);

/** mean r_i^2. */
export const meanSquare = (residual) => residual.reduce((sum, r) => sum + r * r, 0) / residual.length;

/** Mean squared error. */
export const loss = (model, p, x, y) => meanSquare(residuals(model, p, x, y));

/** The points through which f is drawn on [low, high], with both ends: f is straight between them, or nearly. */
export function curve(model, p, low, high) {
  const x = [low, ...model.breaks(p, low, high), high];
  return { x, y: x.map((value) => model.predictAt(p, value)) };
}

/** Whether all parameters are finite. */
export const allFinite = (p) => Object.values(p).every((part) => (typeof part === "number" ? Number.isFinite(part) : part.every(Number.isFinite)));
