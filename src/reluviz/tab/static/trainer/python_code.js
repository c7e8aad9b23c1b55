// What leads from the page back to Python: the command line that makes the same run, with its files; a network as the state_dict
// that model.init_from reads, and as PyTorch code.

import { count } from "../core/count.js";
import { noisySamples, TARGETS } from "./data_sets.js";
import { EDITS } from "./edits.js";
import { initialState } from "./initial_state.js";
import { pointsAsCsv } from "./point_text.js";
import { scalingFor } from "./scaling_choice.js";
import { command, LARGEST_TYPED_SEED } from "./settings.js";

/** Updates of the command for a branch that has made none. */
const FIRST_UPDATES = 1000;

const isSame = (a, b) => a.length === b.length && a.every((value, i) => Object.is(value, b[i]));
// JSON and Python read -0 as the whole number 0, and digits without an exponent as one that may be too large for torch
const numeral = (value) => (Object.is(value, -0) ? "-0.0" : Math.abs(value) >= 1e15 ? value.toExponential() : String(value));
const list = (values) => `[${Array.from(values, numeral).join(", ")}]`;

/** The network without the units that are 0 in all parameters, such as deleted ones; one stays if all are. */
function withoutZeros(net) {
  const units = Array.from(net.w.keys()).filter((k) => net.w[k] !== 0 || net.b[k] !== 0 || net.v[k] !== 0);
  const kept = (values) => (units.length ? units : [0]).map((k) => values[k]);
  return { w: kept(net.w), b: kept(net.b), v: kept(net.v), c: net.c };
}

/** A network {w, b, v, c} in the user's units as JSON: the state_dict of nn.Sequential(Linear(1, W), ReLU(), Linear(W, 1)). */
export function networkJson(net) {
  const { w, b, v, c } = withoutZeros(net);
  const lines = { "0.weight": `[${w.map((one) => list([one])).join(", ")}]`, "0.bias": list(b), "2.weight": `[${list(v)}]`, "2.bias": list([c]) };
  return `{\n${Object.entries(lines).map(([key, value]) => `"${key}": ${value}`).join(",\n")}\n}\n`;
}

/** The layers of a chain, the first to the last: keys of nn.Sequential in pairs. Activations have no parameters. */
function chainJson({ hidden, keys }, net) {
  const lines = keys.flatMap(({ weight, bias }, l) => {
    const inputs = l ? hidden[l - 1] : 1, values = Array.from(net[weight]), units = hidden[l] ?? 1;
    const rows = Array.from({ length: units }, (_, k) => list(values.slice(k * inputs, (k + 1) * inputs)));
    return [`"${2 * l}.weight": [${rows.join(", ")}]`, `"${2 * l}.bias": ${list(l < hidden.length ? net[bias] : [net[bias]])}`];
  });
  return `{\n${lines.join(",\n")}\n}\n`;
}

/** The file with a network and the overrides with which another run starts from it. @param {any} model of the registry */
export function startOf({ architecture }, net, file) {
  if (!architecture) return { text: networkJson(net), overrides: startOverrides(net, file) };
  const { hidden, activation, negativeSlope } = architecture, isLeaky = activation === "leaky";
  const further = [...(activation === "relu" ? [] : [`model.activation=${activation}`]), ...(isLeaky ? [`model.slope=${negativeSlope}`] : [])];
  return { text: chainJson(architecture, net), overrides: ["model=mlp", `model.hidden=[${hidden}]`, ...further, `model.init_from=${file}`] };
}

/** The overrides with which another run starts as this model; a network is in `file`. */
export const startOverrides = (net, file) => (net.w ? [`model.init_from=${file}`, `model.width=${withoutZeros(net).w.length}`] : [`model.start=${numeral(net.theta)}`]);

/** PyTorch code of f. @param {any} model of the registry @param {any} net in the user's units */
export function torchCode(model, net) {
  if (!net.w) return `import torch\n\ntheta = ${numeral(net.theta)}\n\n\ndef f(x: torch.Tensor) -> torch.Tensor:\n    return ${model.python}\n`;
  const { architecture } = model;
  const sizes = [1, ...(architecture?.hidden ?? [withoutZeros(net).w.length]), 1];
  const activation = { relu: "nn.ReLU()", leaky: `nn.LeakyReLU(${architecture?.negativeSlope})`, abs: "Abs()" }[architecture?.activation ?? "relu"];
  const modules = sizes.slice(1).map((size, l) => `nn.Linear(${sizes[l]}, ${size})`).join(`, ${activation}, `);
  const state = architecture ? chainJson(architecture, net) : networkJson(net);
  const ofAbs = activation === "Abs()" ? ["", "class Abs(nn.Module):", "    def forward(self, z: torch.Tensor) -> torch.Tensor:", "        return z.abs()", "", ""] : [];
  // a template literal of several lines would lose its indentation in a page of one file
  return [
    "import torch",
    "from torch import nn",
    "",
    ...ofAbs,
    `network = nn.Sequential(${modules}).double()`,
    `state = ${state}network.load_state_dict({name: torch.tensor(values, dtype=torch.float64) for name, values in state.items()})`,
    "",
    "",
    "def f(x: torch.Tensor) -> torch.Tensor:",
    "    return network(x.double().reshape(-1, 1))[:, 0]",
    "",
  ].join("\n");
}

/**
 * The command line that makes the same run as a branch, and the files that it needs; or why there is none.
 * @param {import("./branch.js").Branch} branch
 * @returns {{command: string, files: {name: string, text: string}[]}|{reason: string}}
 */
export function commandOf(branch) {
  const later = branch.edits.find(({ at }) => at > 0);
  if (branch.from > 0) return { reason: `it begins at update ${count(branch.from)} of ${branch.start.run}, and a command begins at update 0` };
  if (later) return { reason: `it was changed after update ${count(later.at)} (${EDITS[later.kind].words})` };
  if (branch.chosen.seed > LARGEST_TYPED_SEED) return { reason: `its seed is above ${count(LARGEST_TYPED_SEED)}, the largest of the command line` };
  const settings = { ...branch.chosen, batch: Math.min(branch.chosen.batch, branch.x.length) }, further = [], files = [];
  if (!hasDrawnPoints(branch)) {
    const { numbers, identity } = branch.scaling, isScalable = branch.model.inUserUnits !== null;
    if (!identity && !isSame(numbers, scalingFor(branch.x, branch.y))) return { reason: "it trains in units that were chosen for other points" };
    settings.data = "own";
    files.push({ name: "points.csv", text: pointsAsCsv(branch.x, branch.y) });
    if (branch.xTest) further.push("data.test_path=test_points.csv"), files.push({ name: "test_points.csv", text: pointsAsCsv(branch.xTest, branch.yTest) });
    if (identity && isScalable) further.push("data.scale=none");
  }
  const trained = branch.trainedNet(0, 0);
  if (!startsAlike(branch, trained, settings)) {
    const net = branch.asShown(trained), [first, ...others] = startOverrides(net, "start.json");
    further.push(first);
    settings.elbows = "uniform";
    if (others.length) settings.width = withoutZeros(net).w.length, files.push({ name: "start.json", text: networkJson(net) });
  }
  return { command: command(settings, branch.updateCount || FIRST_UPDATES, further), files };
}

/** Whether the points of a branch are those that its settings draw. */
function hasDrawnPoints({ chosen: { data, n, noise, data_seed: seed }, x, y }) {
  if (!Object.hasOwn(TARGETS, data) || n !== x.length) return false;
  const drawn = noisySamples(data, n, noise, seed);
  return isSame(drawn.x, x) && isSame(drawn.y, y);
}

/** Whether Python starts a run with these settings at the same parameters. */
function startsAlike({ x, u, scaling }, trained, { data, width, elbows, seed }) {
  if (!trained.w) return trained.theta === 0;
  if (width !== trained.w.length) return false;
  const domain = data === "own" ? [x[0], x[x.length - 1]] : [0, 1];
  const start = initialState({ width, elbows, seed, domain: domain.map(scaling.trainedX), x: u });
  return start.c === trained.c && ["w", "b", "v"].every((key) => isSame(start[key], trained[key]));
}
