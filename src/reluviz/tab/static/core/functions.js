// A model's function and its loss at many points: a twin of core/functions.py.
//
// `model` is a record of registry.js and p its parameters. The loss is L = mean r_i^2 with r_i = f(x_i) - y_i.

/** f at many x. */
export function predict(model, p, x) {
  if (model.predict) return model.predict(p, x);
  const f = new Float64Array(x.length);
  for (let i = 0; i < f.length; i++) f[i] = model.predictAt(p, x[i]);
  return f;
}

/** r_i = f(x_i) - y_i. */
export function residuals(model, p, x, y) {
  const r = predict(model, p, x);
  for (let i = 0; i < r.length; i++) r[i] -= y[i];
  return r;
}

/** mean r_i^2. */
export const meanSquare = (residual) => residual.reduce((sum, r) => sum + r * r, 0) / residual.length;

/** Mean squared error. */
export const loss = (model, p, x, y) => meanSquare(residuals(model, p, x, y));

/** The points through which f is drawn on [low, high], with both ends: f is straight between them, or nearly. */
export function curve(model, p, low, high) {
  if (model.curve) return model.curve(p, low, high);
  const x = [low, ...model.breaks(p, low, high), high];
  return { x, y: x.map((value) => model.predictAt(p, value)) };
}

/** Whether all parameters are finite. A snapshot that has pieces instead of parameters is finite. */
export const allFinite = (p) => Boolean(p.pieces) || Object.values(p).every((part) => (typeof part === "number" ? Number.isFinite(part) : part.every(Number.isFinite)));
