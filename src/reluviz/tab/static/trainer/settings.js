// The settings of a run that is trained in the page: their names, types and keys; those of a recorded run; and the command
// that trains the same run.

import { count } from "../core/count.js";
import { modelNamed, modelTitles } from "../core/models.js";

/** The page trains on up to so many points. */
export const MOST_POINTS = 2000;
const LARGEST_SEED = 2 ** 53 - 1;
/** The largest seed of the command line. */
export const LARGEST_TYPED_SEED = 2 ** 32 - 1;
const isNetwork = ({ model }) => modelNamed(model).hasUnits;
const isDrawn = ({ data }) => data !== "own";
const takesBatches = ({ sampler }) => sampler !== "full";
const hasMomentum = ({ optimizer }) => optimizer === "momentum" || optimizer === "nesterov";

/**
 * One row for each setting. `key` names it in the address and in the settings' object. `initial` is its value if none is given,
 * or a function of the settings before it. `live` settings may change while a run trains; another one begins a new run.
 * `applies` says whether the setting means anything beside the settings before it; `override` is its key on the command line.
 *
 * @typedef {{key: string, label: string, help: string, type: "choice"|"whole"|"number", options?: [string, string][], least?: number,
 *   most?: number, above?: number, initial: any, live?: boolean, applies?: (settings: any) => boolean, override?: string}} Setting
 * @type {Setting[]}
 */
export const SETTINGS = [
  { key: "model", label: "model", help: "Which function is trained", type: "choice", options: modelTitles(), initial: "relu" },
  { key: "width", label: "units", help: "The number of hidden units W", type: "whole", least: 1, most: 1000, initial: 20, applies: isNetwork, override: "model.width" },
  { key: "elbows", label: "elbows at the start", help: "Where the elbows lie before the first update", type: "choice", options: [["uniform", "random on the data"], ["even", "evenly spaced"], ["at_data", "at data points"], ["torch", "torch's default"]], initial: "uniform", applies: isNetwork, override: "model.elbows" },
  { key: "data", label: "data", help: "Which points are fitted", type: "choice", options: [["piecewise_linear", "piecewise linear"], ["sine", "sine"], ["own", "your points"]], initial: "piecewise_linear", override: "data" },
  { key: "n", label: "points", help: "The number of training points N", type: "whole", least: 2, most: MOST_POINTS, initial: 200, applies: isDrawn, override: "data.n" },
  { key: "noise", label: "noise", help: "The standard deviation σ of the noise on y", type: "number", least: 0, most: 1e6, initial: 0.1, live: true, applies: isDrawn, override: "data.noise" },
  { key: "data_seed", label: "data seed", help: "The seed of the points and their noise", type: "whole", least: 0, most: LARGEST_TYPED_SEED, initial: 1, live: true, applies: isDrawn, override: "data.seed" },
  { key: "seed", label: "seed", help: "The seed of the initial weights and the minibatches", type: "whole", least: 0, most: LARGEST_TYPED_SEED, initial: 0, override: "seed" },
  { key: "train", label: "trained", help: "Which layers move", type: "choice", options: [["all", "all layers"], ["output", "output layer only"], ["hidden", "hidden layer only"]], initial: "all", live: true, applies: isNetwork, override: "model.train" },
  { key: "optimizer", label: "optimiser", help: "How a gradient becomes a step", type: "choice", options: [["sgd", "SGD"], ["momentum", "momentum"], ["nesterov", "Nesterov"], ["adam", "Adam"]], initial: "sgd", override: "optimizer" },
  { key: "lr", label: "step size", help: "The step size η", type: "number", above: 0, most: 1e9, initial: ({ model, optimizer }) => (optimizer === "adam" ? 0.001 : modelNamed(model).stepSize), live: true, override: "optimizer.lr" },
  { key: "momentum", label: "momentum", help: "The part of the last step that is made again", type: "number", least: 0, most: 1, initial: 0.9, applies: hasMomentum, override: "optimizer.momentum" },
  { key: "sampler", label: "batches", help: "Which points an update uses", type: "choice", options: [["with_replacement", "random points"], ["without_replacement", "different points"], ["epoch", "shuffled epochs"], ["full", "all points"]], initial: (settings) => (isNetwork(settings) ? "with_replacement" : "full"), live: true, override: "sampler" },
  { key: "batch", label: "batch size", help: "The number of points B of an update", type: "whole", least: 1, most: MOST_POINTS, initial: 40, live: true, applies: takesBatches, override: "sampler.batch_size" },
];

const BY_KEY = new Map(SETTINGS.map((setting) => [setting.key, setting]));

/** A value as one of a setting: null if it is none. @param {string|number} given */
export function valueOf({ type, options, least = -Infinity, most = Infinity, above = -Infinity }, given) {
  if (type === "choice") return options.some(([value]) => value === given) ? given : null;
  const text = String(given).trim(), value = Number(text);
  if (text === "" || !Number.isFinite(value) || (type === "whole" && !Number.isInteger(value))) return null;
  return value >= least && value <= most && value > above ? value : null;
}

/** All settings, from some of them; a value that is none of its setting is replaced by the initial one. */
export function completed(given = {}) {
  const settings = {};
  for (const setting of SETTINGS) {
    const { key, initial } = setting;
    settings[key] = (given[key] === undefined ? null : valueOf(setting, given[key])) ?? (typeof initial === "function" ? initial(settings) : initial);
  }
  // a batch without replacement holds a point at most once
  if (settings.data !== "own" && ["without_replacement", "epoch"].includes(settings.sampler)) settings.batch = Math.min(settings.batch, settings.n);
  return settings;
}

/**
 * The settings that differ from those that `base` gives, so that completed({...base, ...differing(settings, base)}) gives them back.
 * Settings that mean nothing beside the others are left out.
 */
export function differing(settings, base = {}) {
  const given = {};
  for (const { key } of SETTINGS) if (applies(key, settings) && completed({ ...base, ...given })[key] !== settings[key]) given[key] = settings[key];
  return given;
}

/** A setting as its control shows it, "step size 0.1". The words of its name stay together, so that drawings can leave the name out. */
export function inWords(key, value) {
  const { label, options = [] } = BY_KEY.get(key), [, text] = options.find(([option]) => option === value) ?? [];
  return `${label.replaceAll(" ", "\u00a0")} ${text ?? value}`;
}

/** Whether a setting means anything beside the others. */
export const applies = (key, settings) => BY_KEY.get(key).applies?.(settings) ?? true;

const SAMPLER_CLASSES = { WithReplacement: "with_replacement", WithoutReplacement: "without_replacement", Epoch: "epoch", Full: "full" };
const LARGEST_OPTIONS = ["optimizer.dampening", "optimizer.amsgrad", "optimizer.maximize"];

/**
 * The settings of a recorded run, or why the page cannot train it, as the end of "The page cannot train this run: ".
 * @param {import("../core/run.js").Run} run
 * @returns {{settings: any}|{reason: string}}
 */
export function settingsOf(run) {
  const given = run.settings, optimizer = String(given.optimizer ?? "").split(".").pop();
  const number = (key, otherwise) => (given[key] === undefined ? otherwise : Number(given[key]));
  const betas = String(given["optimizer.betas"] ?? "[0.9, 0.999]").replace(/\s/g, "");
  if (run.model.architecture) return { reason: `it has ${run.model.architecture.words}, and the page trains one layer of ReLUs.` };
  if (run.R > 1) return { reason: `it has ${run.R} replicas, and the page trains one at a time.` };
  if (run.points > run.x.length || run.points > MOST_POINTS) return { reason: `it has ${count(run.points)} points, and the page trains on at most ${count(MOST_POINTS)}.` };
  if (!(run.seeds[0] >= 0 && run.seeds[0] <= LARGEST_SEED)) return { reason: "its seed is too large for a page." };
  if (given["model.train"] === "ridge" || given.train === "ridge") return { reason: "its output layer is solved, not trained." };
  if (given.scheduler !== undefined && given.scheduler !== null) return { reason: "its step size follows a schedule." };
  if (!["SGD", "Adam"].includes(optimizer)) return { reason: optimizer ? `the page has no optimiser ${optimizer}.` : "its optimiser is not recorded." };
  if (number("optimizer.weight_decay", 0) !== 0) return { reason: "it has weight decay." };
  const other = LARGEST_OPTIONS.find((key) => given[key] !== undefined && given[key] !== null && !["0", "false"].includes(String(given[key]).toLowerCase()) && Number(given[key]) !== 0);
  if (other || betas !== "[0.9,0.999]" || number("optimizer.eps", 1e-8) !== 1e-8) return { reason: `the page has no ${other ?? "other settings of Adam"}.` };
  const sampler = SAMPLER_CLASSES[String(given.sampler ?? "").split(".").pop()];
  if (!sampler) return { reason: "how it draws its minibatches is not recorded." };
  const momentum = number("optimizer.momentum", 0), nesterov = String(given["optimizer.nesterov"] ?? "").toLowerCase() === "true";
  const fields = Object.values(run.model.parameters).map(({ field }) => field), isOn = (field) => run.trained.includes(field);
  const train = fields.every(isOn) ? "all" : isOn("output_weight") ? "output" : "hidden";
  const settings = completed({
    model: run.model.name, width: run.W || undefined, data: String(given.data ?? "own"), n: given["data.n"], noise: given["data.noise"], data_seed: given["data.seed"], seed: run.seeds[0],
    elbows: given["model.elbows"], train, optimizer: optimizer === "Adam" ? "adam" : momentum ? (nesterov ? "nesterov" : "momentum") : "sgd",
    lr: given["optimizer.lr"] ?? given.step_size, momentum: momentum || undefined, sampler, batch: given["sampler.batch_size"],
  });
  settings.seed = run.seeds[0];
  // other data sets are points without a rule that draws them anew
  if (given.data !== settings.data) settings.data = "own";
  return { settings };
}

/**
 * The command line that trains with these settings in float64, as the page does. It names those that `python -m reluviz train`
 * has otherwise. Own points are in points.csv.
 * @param {any} settings of SETTINGS
 * @param {number} updates
 * @param {string[]} [further] overrides
 */
export function command(settings, updates, further = []) {
  const standard = completed({ model: settings.model }), parts = [`+exp=${settings.model}`, `updates=${updates}`, "trainer.precision=64-true"];
  for (const { key, override } of SETTINGS) {
    if (!override || !applies(key, settings)) continue;
    if (key === "data" && settings.data === "own") parts.push("data=file", "data.path=points.csv");
    else if (settings[key] !== standard[key] || key === "lr") parts.push(`${override}=${settings[key]}`);
  }
  return `python -m reluviz train ${[...parts, ...further].join(" ")}`;
}
