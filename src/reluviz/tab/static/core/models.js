// The registry of the models that the page knows: a twin of reluviz/core/models/__init__.py.

import { CONSTANT } from "./models/constant.js";
import { LINEAR_MODEL } from "./models/linear.js";
import { RELU } from "./models/relu.js";

export const MODELS = Object.fromEntries([
  CONSTANT,
  LINEAR_MODEL,
  RELU,
].map((model) => [model.name, model]));

/** The model of a name. @param {string} name */
export function modelOf(name) {
  if (!Object.hasOwn(MODELS, name)) throw new Error(`this page does not know the model ${name}`);
  return MODELS[name];
}
