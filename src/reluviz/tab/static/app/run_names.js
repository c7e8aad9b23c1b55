// Short names of runs: by what differs between them, such as "width 10, lr 0.02", rather than by their folders.

import { shorten } from "../drawing/format.js";

/** Settings that say nothing of their own: the name of a configuration, and one that stands twice in a record. */
const LEFT_OUT = ["name", "step_size"];
/** Settings whose value alone is clear. */
const KINDS = ["model", "data", "optimizer", "sampler", "snapshots", "scheduler"];
const MAX_VALUE_LENGTH = 20, MAX_FOLDER_LENGTH = 22;

/**
 * A name for each run. Runs that differ in nothing but their folder are named by their folder.
 * @param {{run: string, model?: string, data?: string, seeds?: number[], settings?: object}[]} entries of the list of runs
 * @returns {string[]}
 */
export function runNames(entries) {
  if (entries.length < 2) return entries.map(({ run }) => run);
  const settings = entries.map(settingsOf);
  const keys = [...new Set(settings.flatMap(Object.keys))].filter((key) => new Set(settings.map((one) => textOf(one[key]))).size > 1);
  const names = settings.map((one) => keys.map((key) => part(key, keys, one[key])).join(", "));
  return names.map((name, i) => {
    if (!name) return shorten(entries[i].run, MAX_FOLDER_LENGTH);
    return names.indexOf(name) === names.lastIndexOf(name) ? name : `${name} · ${shorten(lastPart(entries[i].run, "/"), MAX_FOLDER_LENGTH)}`;
  });
}

/** The settings of a run, with what older records hold elsewhere. */
function settingsOf({ model, data, seeds, settings }) {
  const found = { model, data, seed: seeds?.length > 1 ? undefined : seeds?.[0], ...settings, ...(model ? { model } : {}) };
  if (found["optimizer.lr"] === undefined) found["optimizer.lr"] = found.step_size;
  for (const key of LEFT_OUT) delete found[key];
  return found;
}

/** "width 10": the last part of a setting's key, if no other key ends in it, and its value. */
function part(key, keys, value) {
  const last = lastPart(key, ".");
  const name = keys.filter((other) => lastPart(other, ".") === last).length > 1 ? key : last;
  if (value === undefined || value === null) return `no ${name}`;
  return KINDS.includes(key) ? shorten(textOf(value), MAX_VALUE_LENGTH) : `${name} ${shorten(textOf(value), MAX_VALUE_LENGTH)}`;
}

const lastPart = (text, mark) => text.slice(text.lastIndexOf(mark) + 1);

const textOf = (value) => (typeof value === "string" ? value : JSON.stringify(value) ?? "");
