// The records of the models that the page knows, a twin of `MODELS` in reluviz/core/models/__init__.py.

const records = new Map();

/** Make a model known under its name. */
export function register(model) {
  records.set(model.name, model);
  return model;
}

/** The model of a name. @param {string} name */
export function registered(name) {
  if (!records.has(name)) throw new Error(`this page does not know the model ${name}`);
  return records.get(name);
}
