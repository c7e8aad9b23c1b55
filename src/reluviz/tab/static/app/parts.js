// The parts of the playground that an address can hide, by KEY_hide=true.

import { count } from "../core/count.js";
import { SETTINGS } from "../trainer/settings.js";
import { BURST } from "./training.js";

const part = (key, label, selector = `[data-part=${key}]`) => ({ key, label, selector });

/** Groups of parts: those of the settings, of the training and of the panels. @type {[string, {key: string, label: string, selector: string}[]][]} */
export const PART_GROUPS = [
  ["Settings", [...SETTINGS.map(({ key, label }) => part(key, label, `[data-setting=${key}]`)), part("new_seed", "New seed"), part("restart", "Restart"), part("keep", "Keep"), part("settings", "all of the upper row", ".settings-bar")]],
  ["Training", [part("train_button", "Train", ".train"), part("updates", `1 update, ${count(BURST)} updates`), part("pace", "pace"), part("control", "control"), part("add_unit", "Add unit"), part("split_unit", "Split unit"), part("delete_unit", "Delete unit"), part("undo", "Undo"), part("discard", "Discard"), part("data_panel", "Data", "[data-part=data]"), part("python", "Python"), part("share", "Share"), part("time", "time bar", ".time")]],
  ["Panels", [
    part("tasks", "Tasks"), part("class", "Use it in class", '[data-part="use it in class"]'), part("function", "learned function", ".card.function"), part("truth", "truth"), part("slope", "slope f′", '[data-part="slope_f′"]'), part("least_squares", "least squares"), part("edit_points", "edit points"), part("votes_panel", "votes", ".card.votes"), part("elbows_panel", "elbows through time", ".card.elbows-through-time"),
    part("units", "units", ".card.units"), part("loss", "loss", ".card.loss"), part("references", "references"), part("parabola", "parabola", ".card.parabola"), part("path", "path of θ", ".card.path"), part("inspector", "losses and selection", ".card.inspector"), part("what_if", "What if?", ".what-if"),
  ]],
];

export const PARTS = PART_GROUPS.flatMap(([, parts]) => parts);
