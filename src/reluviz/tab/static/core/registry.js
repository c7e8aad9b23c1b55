// What a model is, and the models that have been registered: a twin of core/models/model.py and of `MODELS` in
// core/models/__init__.py.

/**
 * What a model is, as far as the page asks. Parameters p have one number or, for a parameter of each unit, one array a key.
 *
 * @typedef {object} Model
 * @property {string} name as runs record it
 * @property {number} stepSize with which the page trains it if the user gives none
 * @property {boolean} hasUnits whether it is a ReLU network, whose units have elbows: then p is {w, b, v, c}
 * @property {null|((x: number) => number)} feature phi of a model f(x) = theta phi(x), which also has the functions that
 *   models/one_parameter.js adds: then p is {theta}
 * @property {Object<string, {field: string, perUnit: boolean}>} parameters key -> its name in the record
 * @property {(p: any, x: number) => number} predictAt f(x)
 * @property {Function} meanGradient (p, x, twice, trained) -> (1/N) sum_i twice_i J_i, with J_i = df(x_i)/dtheta
 * @property {Function} tangentProducts (p, x, G, trained) -> {squares: |J_i|^2 of the trained parameters, along: <J_i, G>}
 * @property {(p: any, low: number, high: number) => ArrayLike<number>} breaks between low and high, where a line that
 *   follows f needs a corner
 * @property {(p: any, low: number, high: number) => {edges: number[], heights: number[]}} staircase f' as steps
 * @property {import("./models/architecture.js").Architecture} [architecture] the layers of a chain, which has kinks; other models
 *   have none
 * @property {(p: any, x: ArrayLike<number>) => Float64Array} [predict] f at many x, if this is faster than one by one
 * @property {(p: any, low: number, high: number) => {x: number[], y: number[]}} [curve] corners of f, if they are faster together
 * @property {(p: any, run: any) => Uint8Array} [statuses] of all hidden units on the points of a run
 * @property {(p: any, x: number) => [number, number][]} [activeUnits] for each layer how many units are active, and of how many
 * @property {(p: any, low: number, high: number) => import("./kinks.js").Kink[]} [kinks] of a chain
 * @property {(p: any, x: ArrayLike<number>) => Float64Array[]} [hiddenFeatures] the activations of the last hidden layer, a column
 *   for each unit; f is linear in them, with the parameters v and c
 * @property {Function} [unitProducts] (p, x, twice, trained, index) -> {along, signal} of the weights into a unit of a chain
 * @property {Function} [unitCurve] (p, low, high, index) -> {x, y, crossings} corners of the activation of a unit of a chain, and
 *   where it changes
 * @property {Function} [withWeight] (p, index, input, value) -> the chain with another weight
 * @property {null|((p: any, scaling: any) => any)} inUserUnits the parameters of the same function of the user's x, from
 *   those as trained; null for a model that trains in the user's units. inTrainedUnits is its inverse. See scaling.js
 * @property {Object<string, string>} words title; steps, what the steps of the slope are, where they are not elbows; hint and whatIf for the inspector; asks, candidate and weight for the
 *   panel "Which theta each point asks for"; limit and limitWithMomentum, formulas of the largest stable step size
 */

/** @type {Map<string, Model>} */
const models = new Map();
/** Functions that make a model from its name, or return null. @type {((name: string) => Model|null)[]} */
const families = [];

/** Add a model, and return it. @param {Model} model */
export function register(model) {
  models.set(model.name, model);
  return model;
}

/** Add models whose names say what they are. They are not listed. */
export const registerFamily = (modelOf) => families.push(modelOf);

/** All models that have been registered by name. @returns {Model[]} */
export const allModels = () => [...models.values()];

/** The model with a name. It throws an error with one plain sentence if there is none. @returns {Model} */
export function registered(name) {
  const model = models.get(name) ?? families.reduce((found, modelOf) => found ?? modelOf(String(name)), null);
  if (!model) throw new Error(`This page cannot show the model "${name}"; it knows ${[...models.keys()].sort().join(", ")}.`);
  return model;
}
