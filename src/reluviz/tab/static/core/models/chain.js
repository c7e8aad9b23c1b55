// Chains of any depth: a twin of core/models/mlp.py, with `chain_status` of core/kinks.py.
//
//   delta_L = v phi'(z_L),  delta_(l-1) = (W_l^T delta_l) phi'(z_(l-1))
//   df/dW_l = delta_l h_(l-1)^T,  df/db_l = delta_l,  df/dv = h_L,  df/dc = 1
//
// A snapshot without parameters has p = {pieces}: f and its kinks, and nothing else.
//
// Norms and inner products of gradients need no matrix of all of them. Gates of the first layer are decided as the run
// decides them (isActive in elbows.js), those of the others in double precision.

import { BENT, DEAD, isActive, LINEAR } from "../elbows.js";
import { chainPieces, crossingsOf, kinksOf, piecesInUserUnits, piecesOn, valuesOn } from "../kinks.js";
import { registerFamily } from "../registry.js";
import { affine, architectureOf, placeOfUnit, transposed } from "./architecture.js";
import { inTrainedUnits, inUserUnits } from "./relu.js";

/** At more places than these, f is evaluated from its pieces. */
const MANY_PLACES = 1000;

/** Results for parameters, which do not change, while they are the last ones: views need them several times in a frame. */
function remembered(compute) {
  const known = new WeakMap();
  return (architecture, p, ...given) => {
    const found = known.get(p);
    if (found && found.given.every((value, i) => value === given[i])) return found.result;
    const result = compute(architecture, p, ...given);
    known.set(p, { given, result });
    return result;
  };
}

/**
 * The activations h_0, ..., h_L and the gates phi'(z_1), ..., phi'(z_L) at some inputs, each [N, W_l], flat.
 * @returns {{h: Float64Array[], gates: Float64Array[]}}
 */
function forward(architecture, p, x) {
  const h = [Float64Array.from(x)], gates = [], n = x.length, { activation, negativeSlope, activate, gate: gateOf } = architecture;
  architecture.hidden.forEach((units, l) => {
    const { weight, bias } = architecture.keys[l], inputs = l ? architecture.hidden[l - 1] : 1;
    const z = affine(transposed(p[weight], units, inputs), p[bias], h[l], n, inputs, units), gate = new Float64Array(z.length);
    for (let i = 0; i < z.length; i++) {
      gate[i] = gateOf(z[i]);
      z[i] = activate(z[i]);
    }
    if (l === 0 && activation !== "abs") for (let i = 0; i < n; i++) for (let k = 0; k < units; k++) gate[i * units + k] = isActive(p.w[k], p.b[k], x[i]) ? 1 : negativeSlope;
    gates.push(gate);
    h.push(z);
  });
  return { h, gates };
}

/** `forward` with delta_1, ..., delta_L at the same inputs, each [N, W_l], flat. */
function backward(architecture, p, x) {
  const { hidden, keys } = architecture, n = x.length, { h, gates } = atPoints(architecture, p, x), L = hidden.length, delta = Array(L);
  const last = hidden[L - 1], { v } = p, outermost = gates[L - 1].slice();
  for (let i = 0; i < n; i++) for (let k = 0; k < last; k++) outermost[i * last + k] *= v[k];
  delta[L - 1] = outermost;
  for (let l = L - 1; l > 0; l--) {
    // the rows of W_l are what each delta adds to all inputs
    const found = affine(p[keys[l].weight], null, delta[l], n, hidden[l], hidden[l - 1]), gate = gates[l - 1];
    for (let i = 0; i < found.length; i++) found[i] *= gate[i];
    delta[l - 1] = found;
  }
  return { h, delta };
}

const atPoints = remembered(forward), backwardAt = remembered(backward);

/** The pieces of f on [low, high]. */
export const piecesOf = remembered(chainPieces);

function predict(architecture, p, x) {
  if (p.pieces) return valuesOn(p.pieces, x);
  if (x.length > MANY_PLACES) {
    const [low, high] = x.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]);
    const pieces = low < high ? chainPieces(architecture, p, low, high) : null;
    if (pieces && !pieces.capped) return valuesOn(pieces, x);
  }
  const { h } = (x.length > 1 ? atPoints : forward)(architecture, p, x);
  return affine(p.v, [p.c], h[h.length - 1], x.length, p.v.length, 1);
}

/** Whether the weight and the bias of each layer are trained. */
const trainedOf = ({ keys, parameters }, trained) => keys.map((names) => [names.weight, names.bias].map((key) => trained.includes(parameters[key].field)));

function meanGradient(architecture, p, x, twice, trained) {
  const { hidden, keys, parameters } = architecture, n = x.length, L = hidden.length, { h, delta } = (n > 1 ? backwardAt : backward)(architecture, p, x);
  const isTrained = trainedOf(architecture, trained);
  const found = Object.fromEntries(Object.entries(parameters).map(([key, { perUnit, size }]) => [key, perUnit ? new Float64Array(size) : 0]));
  hidden.forEach((units, l) => {
    const [hasWeight, hasBias] = isTrained[l], ofUnits = new Float64Array(units * n), ofLayer = delta[l];
    for (let i = 0; i < n; i++) for (let k = 0; k < units; k++) ofUnits[k * n + i] = (twice[i] * ofLayer[i * units + k]) / n;
    if (hasWeight) found[keys[l].weight] = affine(h[l], null, ofUnits, units, n, l ? hidden[l - 1] : 1);
    if (hasBias) found[keys[l].bias] = affine(new Float64Array(n).fill(1), null, ofUnits, units, n, 1);
  });
  const [hasWeight, hasBias] = isTrained[L], factors = Float64Array.from(twice, (value) => value / n);
  if (hasWeight) found.v = affine(h[L], null, factors, 1, n, hidden[L - 1]);
  if (hasBias) found.c = factors.reduce((sum, value) => sum + value, 0);
  return found;
}

/** The sums of squares of n rows. */
function squaresOf(values, n) {
  const width = values.length / n, found = new Float64Array(n);
  for (let i = 0; i < n; i++) for (let k = i * width; k < (i + 1) * width; k++) found[i] += values[k] * values[k];
  return found;
}

function tangentProducts(architecture, p, x, G, trained) {
  const { hidden, keys } = architecture, n = x.length, L = hidden.length, { h, delta } = (n > 1 ? backwardAt : backward)(architecture, p, x);
  const isTrained = trainedOf(architecture, trained), squares = new Float64Array(n), along = new Float64Array(n).fill(G.c), layers = [];
  // df/df = 1
  [...delta, new Float64Array(n).fill(1)].forEach((ofUnits, l) => {
    const [hasWeight, hasBias] = isTrained[l];
    if (!hasWeight && !hasBias) return;
    const outer = squaresOf(ofUnits, n), inner = hasWeight ? squaresOf(h[l], n) : null;
    const part = outer.map((square, i) => square * ((inner ? inner[i] : 0) + Number(hasBias)));
    layers.push({ layer: l < L ? l + 1 : "output", squares: part });
    for (let i = 0; i < n; i++) squares[i] += part[i];
  });
  hidden.forEach((units, l) => {
    // delta . (G_W h + G_b), with G_W^T delta first
    const inputs = l ? hidden[l - 1] : 1, backwards = affine(G[keys[l].weight], null, delta[l], n, units, inputs), ofBias = affine(G[keys[l].bias], null, delta[l], n, units, 1);
    for (let i = 0; i < n; i++) {
      along[i] += ofBias[i];
      for (let j = i * inputs; j < (i + 1) * inputs; j++) along[i] += backwards[j] * h[l][j];
    }
  });
  const output = affine(G.v, null, h[L], n, hidden[L - 1], 1);
  return { squares, along: along.map((value, i) => value + output[i]), layers };
}

/**
 * The votes on the weights into one unit, counted through all layers, and on its bias, as far as they are trained. With G their mean
 * gradient and J_i their part of df(x_i)/dtheta, `along` is <J_i, G> and `signal` |G|^2.
 */
function unitProducts(architecture, p, x, twice, trained, index) {
  const { hidden } = architecture, { layer, unit } = placeOfUnit(architecture, index), n = x.length, l = layer - 1, inputs = l ? hidden[l - 1] : 1;
  const { h, delta } = backwardAt(architecture, p, x), [hasWeight, hasBias] = trainedOf(architecture, trained)[l];
  const ofUnit = Float64Array.from(x, (_, i) => delta[l][i * hidden[l] + unit]), factors = ofUnit.map((value, i) => (twice[i] * value) / n);
  const weight = hasWeight ? affine(h[l], null, factors, 1, n, inputs) : new Float64Array(inputs), bias = hasBias ? factors.reduce((sum, value) => sum + value, 0) : 0;
  const inner = affine(weight, [bias], h[l], n, inputs, 1);
  return { along: inner.map((value, i) => value * ofUnit[i]), signal: weight.reduce((sum, value) => sum + value * value, bias * bias) };
}

/** The chain with another weight into a unit: from the unit `input` of the layer below, or its bias for input -1. null where there is none. */
function withWeight(architecture, p, index, input, value) {
  const { hidden, keys } = architecture;
  if (!(Number.isInteger(index) && index >= 0 && index < architecture.units)) return null;
  const { layer, unit } = placeOfUnit(architecture, index), inputs = layer > 1 ? hidden[layer - 2] : 1;
  if (!(Number.isInteger(input) && input >= -1 && input < inputs)) return null;
  const { weight, bias } = keys[layer - 1], [key, at] = input < 0 ? [bias, unit] : [weight, unit * inputs + input];
  return { ...p, [key]: p[key].with(at, value) };
}

/** The bias of a unit and the weights into it, from the first unit of the layer below to the last. */
export function weightsInto(architecture, p, index) {
  const { layer, unit } = placeOfUnit(architecture, index), inputs = layer > 1 ? architecture.hidden[layer - 2] : 1, { weight, bias } = architecture.keys[layer - 1];
  return { bias: p[bias][unit], weights: p[weight].subarray(unit * inputs, (unit + 1) * inputs) };
}

/**
 * The status of the units of all layers at the inputs. dead: z <= 0 everywhere where phi is constant there, so that the unit does
 * not learn; linear: all inputs on one side of z = 0; bent: otherwise.
 */
function statuses(architecture, p, x) {
  const { gates } = atPoints(architecture, p, x), inactive = architecture.negativeSlope === 0 ? DEAD : LINEAR, found = [];
  const low = x.reduce((a, b) => Math.min(a, b), Infinity), high = x.reduce((a, b) => Math.max(a, b), -Infinity);
  architecture.hidden.forEach((units, l) => {
    for (let k = 0; k < units; k++) {
      // z of the first layer is monotonic, so that the smallest and the largest input decide
      let on = 0, of = x.length;
      if (l === 0) (on = isActive(p.w[k], p.b[k], low) + isActive(p.w[k], p.b[k], high)), (of = 2);
      else for (let i = 0; i < of; i++) on += gates[l][i * units + k] === 1;
      found.push(on === of ? LINEAR : on ? BENT : inactive);
    }
  });
  return Uint8Array.from(found);
}

/** How many units of each layer are on the side z > 0 at an input, and of how many. */
function activeUnits(architecture, p, x) {
  const { gates } = forward(architecture, p, [x]);
  return gates.map((gate) => [gate.reduce((sum, value) => sum + (value === 1), 0), gate.length]);
}

/** The activations of the last hidden layer, on which the output layer is linear: a column for each unit. */
function hiddenFeatures(architecture, p, x) {
  const { h } = atPoints(architecture, p, x), last = h[h.length - 1], width = p.v.length;
  return Array.from(p.v, (_, k) => Float64Array.from(x, (_, i) => last[i * width + k]));
}

/** The chain that ends at a unit, counted through all layers, whose f is the unit's activation h. */
function chainOfUnit(architecture, name, p, index) {
  const { layer, unit } = placeOfUnit(architecture, index), { keys, hidden } = architecture;
  const below = architectureOf(`mlp-${[...hidden.slice(0, layer - 1), 1].join("-")}${/(-[a-z].*)?$/.exec(name)[0]}`), net = { v: Float64Array.of(1), c: 0 };
  below.hidden.forEach((_, l) => {
    const { weight, bias } = keys[l], inputs = l ? hidden[l - 1] : 1, isLast = l === layer - 1;
    net[weight] = isLast ? p[weight].slice(unit * inputs, (unit + 1) * inputs) : p[weight];
    net[bias] = isLast ? p[bias].slice(unit, unit + 1) : p[bias];
  });
  return { architecture: below, net };
}

/** The record of a chain with this name; null for a name that is none. @returns {import("../registry.js").Model|null} */
function chainNamed(name) {
  const architecture = architectureOf(name);
  if (!architecture) return null;
  const of = (compute) => (...given) => compute(architecture, ...given);
  const corners = (p, low, high) => {
    const pieces = p.pieces ? piecesOn(p.pieces, low, high) : piecesOf(architecture, p, low, high);
    return pieces && { pieces, kinks: kinksOf(pieces) };
  };
  return {
    name,
    stepSize: 0.02,
    hasUnits: false,
    feature: null,
    architecture,
    parameters: architecture.parameters,
    predictAt: (p, x) => predict(architecture, p, [x])[0],
    predict: of(predict),
    meanGradient: of(meanGradient),
    tangentProducts: of(tangentProducts),
    breaks: (p, low, high) => corners(p, low, high)?.kinks.map(({ x }) => x) ?? [],
    curve(p, low, high) {
      const found = corners(p, low, high);
      if (!found) return { x: [low, high], y: [NaN, NaN] };
      const { ends, value } = found.pieces, last = ends.length - 1;
      return { x: [low, ...found.kinks.map(({ x }) => x), high], y: [value[0], ...found.kinks.map((kink) => kink.value), value[last]] };
    },
    staircase(p, low, high) {
      const found = corners(p, low, high);
      if (!found) return { edges: [low, high], heights: [NaN] };
      return { edges: [low, ...found.kinks.map(({ x }) => x), high], heights: [found.pieces.slope[0], ...found.kinks.map(({ after }) => after)] };
    },
    unitProducts: of(unitProducts),
    withWeight: of(withWeight),
    unitCurve(p, low, high, index) {
      const { architecture: below, net } = chainOfUnit(architecture, name, p, index), found = chainNamed(below.name).curve(net, low, high);
      const { pieces } = corners(p, low, high) ?? {};
      return { ...found, crossings: pieces ? crossingsOf(architecture, pieces, index) : [] };
    },
    statuses: (p, { u }) => statuses(architecture, p, u),
    activeUnits: of(activeUnits),
    hiddenFeatures: of(hiddenFeatures),
    kinks: (p, low, high) => corners(p, low, high)?.kinks ?? [],
    inUserUnits: (p, scaling) => (p.pieces ? { pieces: piecesInUserUnits(p.pieces, scaling) } : inUserUnits(p, scaling)),
    inTrainedUnits,
    words: {
      title: architecture.words,
      hint: "Markers are the kinks of f: colour and shape name the layer of the unit that changes there. Click one to select its unit, or a point to see what it asks for.",
      whatIf: "Drag a kink of layer 1, or type a weight of the selected unit. Or solve the output weights.",
      steps: "a staircase: each kink of f is a step",
    },
  };
}

registerFamily(chainNamed);
