// The architecture of a chain of several layers, which its name gives: a twin of core/models/architecture.py.
//
//   h_0 = x,  z_l = W_l h_(l-1) + b_l,  h_l = phi(z_l) for l = 1..L,  f(x) = v . h_L + c
//   phi(z) = z where z > 0, s z elsewhere
//
// W_l is an array of rows, one a unit. The first and the last layer have the names of a network with one hidden layer.

const NAME = /^mlp((?:-[1-9]\d*)+)(?:-(abs)|-(leaky)(-?\d[\d.e+-]*))?$/;
const WORDS = { relu: () => "ReLUs", leaky: (slope) => `leaky ReLUs of slope ${slope}`, abs: () => "units |z|" };

/**
 * @typedef {object} Architecture
 * @property {string} name in records
 * @property {number[]} hidden the widths W_1, ..., W_L
 * @property {"relu"|"leaky"|"abs"} activation
 * @property {number} units the number of hidden units of all layers
 * @property {number[]} starts how many units lie in the layers below each
 * @property {Object<string, {field: string, perUnit: boolean, size: number}>} parameters key -> its name in the record and its size
 * @property {{weight: string, bias: string}[]} keys of the parameters of the hidden layers and of the output layer
 * @property {(z: number) => number} activate phi(z)
 * @property {(z: number) => number} gate phi'(z); at z = 0 what torch takes: 0 for relu and abs, s for leaky
 * @property {number} negativeSlope s
 * @property {string} words the hidden layers in words: "20 + 20 ReLUs"
 */

/** The architecture of a chain with this name; null for another name. @returns {Architecture|null} */
export function architectureOf(name) {
  const found = NAME.exec(name);
  if (!found) return null;
  const hidden = found[1].split("-").slice(1).map(Number), activation = found[2] ?? found[3] ?? "relu";
  const s = { relu: 0, leaky: Number(found[4]), abs: -1 }[activation];
  if (Number.isNaN(s)) return null;
  const parameters = {}, keys = [];
  hidden.forEach((width, l) => {
    const [weight, bias] = l ? [`weight_${l + 1}`, `bias_${l + 1}`] : ["w", "b"];
    keys.push({ weight, bias });
    parameters[weight] = { field: l ? weight : "input_slope", perUnit: true, size: width * (l ? hidden[l - 1] : 1) };
    parameters[bias] = { field: bias === "b" ? "bias" : bias, perUnit: true, size: width };
  });
  keys.push({ weight: "v", bias: "c" });
  parameters.v = { field: "output_weight", perUnit: true, size: hidden[hidden.length - 1] };
  parameters.c = { field: "output_bias", perUnit: false, size: 1 };
  const below = s === 0 ? () => 0 : (z) => s * z, atZero = activation === "leaky" ? s : 0;
  return {
    name,
    hidden,
    activation,
    negativeSlope: s,
    starts: hidden.map((_, l) => hidden.slice(0, l).reduce((sum, width) => sum + width, 0)),
    units: hidden.reduce((sum, width) => sum + width, 0),
    parameters,
    keys,
    activate: (z) => (z > 0 ? z : below(z)),
    gate: (z) => (z > 0 ? 1 : z < 0 ? s : atZero),
    words: `${hidden.join(" + ")} ${WORDS[activation](s)}`,
  };
}

/** The layer, from 1, and the place in it, from 0, of a unit that is counted through all layers. */
export function placeOfUnit({ hidden }, index) {
  let layer = 0;
  for (; layer < hidden.length - 1 && index >= hidden[layer]; layer++) index -= hidden[layer];
  return { layer: layer + 1, unit: index };
}

/** A unit in words. */
export function nameOfUnit(architecture, index) {
  const { layer, unit } = placeOfUnit(architecture, index);
  return `unit ${unit} of layer ${layer}`;
}

/** The inverse of placeOfUnit. */
export const indexOfUnit = ({ starts }, layer, unit) => starts[layer - 1] + unit;

/** The rows of W_l as columns: what each input adds to all units lies side by side. */
export function transposed(weight, rows, columns) {
  const found = new Float64Array(rows * columns);
  for (let k = 0; k < rows; k++) for (let j = 0; j < columns; j++) found[j * rows + k] = weight[k * columns + j];
  return found;
}

/**
 * W h + b of many h. An input that is 0 costs nothing: behind ReLUs half of them are.
 * @param {Float64Array} columns W as `transposed` gives it @param {ArrayLike<number>|null} bias none for slopes
 * @param {Float64Array} h [count, inputs] @returns {Float64Array} [count, units]
 */
export function affine(columns, bias, h, count, inputs, units) {
  const z = new Float64Array(count * units), used = new Int32Array(inputs);
  for (let i = 0; i < count; i++) {
    const at = i * units, from = i * inputs;
    if (bias) for (let k = 0; k < units; k++) z[at + k] = bias[k];
    let n = 0;
    for (let j = 0; j < inputs; j++) if (h[from + j] !== 0) used[n++] = j;
    let c = 0;
    // four inputs at a time, because reading and writing z costs more than the products
    for (; c + 3 < n; c += 4) {
      const h0 = h[from + used[c]], h1 = h[from + used[c + 1]], h2 = h[from + used[c + 2]], h3 = h[from + used[c + 3]];
      const c0 = used[c] * units, c1 = used[c + 1] * units, c2 = used[c + 2] * units, c3 = used[c + 3] * units;
      for (let k = 0; k < units; k++) z[at + k] += columns[c0 + k] * h0 + columns[c1 + k] * h1 + columns[c2 + k] * h2 + columns[c3 + k] * h3;
    }
    for (; c < n; c++) {
      const value = h[from + used[c]], of = used[c] * units;
      for (let k = 0; k < units; k++) z[at + k] += columns[of + k] * value;
    }
  }
  return z;
}
