// A page without recorded runs, which trains models from their initial states. The address holds the settings, the user's
// points, what is hidden, and the task.

import { scalingOf } from "../core/scaling.js";
import { modelNamed } from "../core/models.js";
import { Branch } from "../trainer/branch.js";
import { noisySamples, TARGETS } from "../trainer/data_sets.js";
import { EDITS } from "../trainer/edits.js";
import { initialState } from "../trainer/initial_state.js";
import { changesText, parseChanges } from "../trainer/link.js";
import { scalingFor, stepFor } from "../trainer/scaling_choice.js";
import { applies, completed, differing, inWords, SETTINGS } from "../trainer/settings.js";
import * as address from "./address.js";
import { App, start } from "./app.js";
import { ClassPanel } from "./class_panel.js";
import { PARTS } from "./parts.js";
import { SettingsBar } from "./settings_bar.js";
import { MAX_RUNS, SPEEDS } from "./state.js";
import { TaskCard } from "./task_card.js";
import { TASKS } from "./tasks.js";
import { PACES } from "./training.js";

/** So many of the shown points become the user's own, to be moved, if there are no others. */
const FIRST_OWN_POINTS = 10;
const RELUS = ["hidden", "scaled", "none"];
const NO_RUNS = { live: false, runs: async () => [] };
const KEYS = SETTINGS.map(({ key }) => key);

/** Show the playground in an element. */
export function startPage(root) {
  const app = new Playground(root);
  // for the browser's console and for the tests
  window.reluvizPlayground = { parts: PARTS, tasks: TASKS, values: () => app.urlValues, followed: () => app.following, loadPoints: (points) => app.loadData("w", points) };
  return start(app);
}

class Playground extends App {
  constructor(root) {
    super(root, NO_RUNS);
    /** Number of a branch -> its start, as an address gives it. */
    this.starts = new Map();
    /** Names of the branches that stay when another one begins. */
    this.kept = new Set();
    /** Keys of PARTS. */
    this.hidden = new Set();
    this.task = null;
    this.classPanel = new ClassPanel(this);
    this.settingsBar = new SettingsBar(this, this.classPanel);
    this.taskCard = new TaskCard(this);
    this.parts.push(this.settingsBar, this.taskCard);
    root.classList.add("playground");
    this.message.before(this.settingsBar.element);
    this.runBar.element.querySelector(".theme").before(this.settingsBar.classTools);
    this.main.prepend(this.taskCard.element);
    this.#leaveListsByMouse();
  }

  /** A list that was chosen from with the mouse would get the space bar. */
  #leaveListsByMouse() {
    let byMouse = false;
    this.root.addEventListener("pointerdown", () => (byMouse = true), true);
    this.root.addEventListener("keydown", () => (byMouse = false), true);
    this.root.addEventListener("change", ({ target }) => byMouse && target instanceof HTMLSelectElement && target.blur());
  }

  // starts

  /** Begin anew at update 0, and keep only the branches that the user wants to keep. */
  async begin(given, { points = this.points, edits = [], kept = this.kept } = {}) {
    const { training, state } = this, start = startOf(given, points);
    training.pause();
    const engine = await training.engine();
    const names = training.branches.map(({ name }) => name).filter((name) => !kept.has(name));
    if (state.selected.length - names.length >= MAX_RUNS) return training.say(`Up to ${MAX_RUNS} runs are shown at once: remove one first.`);
    for (const name of names) state.loaded.delete(name), training.controls.delete(name);
    state.selected = state.selected.filter(({ name }) => !names.includes(name));
    this.kept = new Set([...kept].filter((name) => state.loaded.has(name)));
    const used = training.branches.map((branch) => branch.number);
    const number = [1, 2, 3, 4, 5].find((free) => !used.includes(free));
    const branch = this.freshBranch(engine, `branch ${number}`, start);
    for (const { kind, values } of edits) branch.edit(kind, values);
    training.pending.clear();
    training.say("");
    training.show(branch, number, false);
    this.#nameByDifference();
    Object.assign(state, { focus: branch.name, whatIf: null, update: 0, followingLatest: !this.kept.size, playing: false });
    if (state.unit >= branch.W) state.unit = null;
    if (state.point >= branch.x.length) state.point = null;
    state.collectUpdates();
    state.change({});
    return undefined;
  }

  /** The branch with the settings that run shows and another value. */
  beginWith(key, value) {
    const { settings, branch } = this.training, given = differing(settings);
    // step sizes of other models, and of Adam, are not comparable
    if (key === "model" || key === "data" || (key === "optimizer" && [value, settings.optimizer].includes("adam"))) delete given.lr;
    const toOwn = key === "data" && value === "own";
    return this.begin({ ...given, [key]: value }, { points: toOwn ? fewPoints(branch) : this.points, edits: key === "data" ? [] : this.pointEdits });
  }

  /** Begin anew with the settings that are shown; moved points stay. */
  restart(changes = {}) {
    return this.begin({ ...differing(this.training.settings), ...changes }, { edits: this.pointEdits });
  }

  /** Begin anew with other data. @param {string} kind of EDITS @param {number[]} values @returns {Promise<boolean>} whether it did */
  async loadData(kind, values) {
    const { training } = this, given = differing(training.settings), found = EDITS[kind].points(values);
    if (!found) return false;
    if (modelNamed(training.settings.model).feature) delete given.lr;
    await this.begin({ ...given, ...found.settings }, { points: kind === "w" ? values : null });
    return true;
  }

  /** Whether a live setting is changed before anything else: then it belongs to the start. */
  changeAtStart(key, value) {
    const { growing } = this.training;
    if (!growing || growing.updateCount > 0 || this.state.whatIf || growing.edits.length !== this.pointEdits.length) return false;
    void this.beginWith(key, value);
    return true;
  }

  /** The user's points that the branch in focus has loaded last; null for built-in data. */
  get points() {
    const { branch } = this.training, last = branch?.edits.findLast(({ kind }) => EDITS[kind].isDataSet);
    return last ? (last.kind === "w" ? last.values : null) : (branch?.start.points ?? null);
  }

  /** The changes of the points of the branch in focus since they were drawn or loaded. */
  get pointEdits() {
    const { edits } = this.training.branch, last = edits.findLastIndex(({ kind }) => kind === "n" || EDITS[kind].isDataSet);
    return edits.slice(last + 1).filter(({ kind }) => EDITS[kind].points);
  }

  /** The branch of a start; a start that an address names by the branch's number is looked up. */
  freshBranch(engine, name, given) {
    const start = given.settings ? given : (this.starts.get(numberOf(name)) ?? this.starts.get(null));
    const { settings, points } = start, { model, data, width, elbows, seed } = settings;
    const own = data === "own" ? EDITS.w.points(points) : null, drawn = own ? null : noisySamples(data, settings.n, settings.noise, settings.data_seed);
    const { x, y, xTest = null, yTest = null, domain } = own ?? drawn, isNetwork = modelNamed(model).hasUnits;
    const scaling = own && isNetwork ? scalingFor(x, y) : null;
    const initial = isNetwork ? (u) => initialState({ width, elbows, seed, domain: [0, 1], x: u }) : null;
    const parameters = initial ? initial(scaling ? x.map(scalingOf(scaling).trainedX) : x) : { theta: 0 };
    return new Branch(engine, { name, start, settings, points: { x, y, target: TARGETS[data] ?? null, xTest, yTest, domain }, scaling, parameters, initial, dataName: own ? "your points" : drawn.name });
  }

  /** Name branches that are compared by the settings that differ. */
  #nameByDifference() {
    const { branches } = this.training, keys = KEYS.filter((key) => new Set(branches.map(({ start }) => start.settings[key])).size > 1);
    for (const branch of branches) {
      const { settings } = branch.start, words = keys.filter((key) => applies(key, settings)).map((key) => inWords(key, settings[key]));
      branch.label = (branch.isControl ? [branch.name, ...words] : words).join(", ") || branch.name;
    }
  }

  // the address

  async openBranches(fromUrl) {
    const { training, state } = this;
    training.pending.clear();
    this.task = Object.hasOwn(TASKS, fromUrl.task) ? fromUrl.task : null;
    this.#readStarts(fromUrl);
    this.#hide(PARTS.map(({ key }) => key).filter((key) => fromUrl[`${key}_hide`] === "true"));
    if (fromUrl.branches) await training.open(fromUrl.branches, []);
    const { message } = training, { settings, points } = this.starts.get(null);
    if (!training.branches.length) {
      await this.begin(differing(settings), { points, kept: new Set() });
      training.say(message);
    }
    if (!state.loaded.has(state.focus)) state.focus = training.branches[0].name;
    this.kept = new Set(training.branches.map(({ name }) => name).filter((name) => fromUrl.kept?.split(".").includes(String(numberOf(name)))));
    this.#nameByDifference();
    state.collectUpdates();
  }

  /** The starts in an address: key=value for all branches, 2.key=value for branch 2. */
  #readStarts(fromUrl) {
    const task = this.task && !fromUrl.branches ? TASKS[this.task] : null, base = task?.settings ?? {};
    const pick = (prefix) => Object.fromEntries(KEYS.filter((key) => Object.hasOwn(fromUrl, prefix + key)).map((key) => [key, fromUrl[prefix + key]]));
    const pointsOf = (text) => {
      const [edit] = (text && parseChanges(text)) || [];
      return edit?.kind === "w" && EDITS.w.points(edit.values) ? edit.values : null;
    };
    const points = pointsOf(fromUrl.points), given = { ...base, ...pick("") };
    this.starts = new Map([[null, startOf(given, points)]]);
    const whole = { ...this.starts.get(null).settings };
    for (const number of new Set(Object.keys(fromUrl).map((key) => /^(\d{1,3})\.\w+$/.exec(key)?.[1]).filter(Boolean).slice(0, 100))) {
      this.starts.set(Number(number), startOf({ ...whole, ...pick(`${number}.`) }, pointsOf(fromUrl[`${number}.points`]) ?? points));
    }
  }

  applyUrl(given) {
    const { state, training } = this, fromUrl = { ...(this.task && !given.branches ? TASKS[this.task].view : {}), ...given };
    state.scale = "linear";
    super.applyUrl({ scale: "log", ...fromUrl });
    const pace = Number(fromUrl.pace), speed = Number(fromUrl.speed);
    training.pace = PACES.includes(pace) ? pace : null;
    this.trainBar.pace.value = training.pace ?? "";
    training.withControl = fromUrl.control !== "off";
    if (SPEEDS.includes(speed)) state.speed = speed;
    const units = RELUS.includes(fromUrl.relus) ? fromUrl.relus : "hidden";
    state.change({ show: { ...state.show, units, truth: fromUrl.truth !== "off", solved: fromUrl.least_squares === "on" }, ...(fromUrl.theme && { dark: fromUrl.theme === "dark" }) });
  }

  /** One after the other: repeating the branches of an address takes a while. */
  follow(fromUrl) {
    this.following = (this.following ?? Promise.resolve()).then(() => this.#follow(fromUrl)).then(() => true);
    return this.following;
  }

  async #follow(fromUrl) {
    const { state, training } = this;
    training.pause();
    state.loaded.clear();
    training.controls.clear();
    state.change({ selected: [], focus: null, whatIf: null, update: 0, followingLatest: true });
    await this.openBranches(fromUrl);
    this.applyUrl(fromUrl);
  }

  get urlValues() {
    const { branches } = this.training;
    const [first, ...others] = [...new Map(branches.map((branch) => [branch.number, branch.start])).entries()].sort(([a], [b]) => a - b);
    if (!first) return super.urlValues;
    const values = { ...this.fixedValues(), ...this.startValues(first[1], {}, "") };
    for (const [number, start] of others) Object.assign(values, this.startValues(start, first[1].settings, `${number}.`, first[1].points));
    values.kept = [...this.kept].map(numberOf).join(".");
    return { ...values, ...super.urlValues };
  }

  /** The values of a start that differ from those of another one. */
  startValues({ settings, points }, base, prefix, known = null) {
    const values = Object.entries(prefix ? Object.fromEntries(KEYS.filter((key) => settings[key] !== base[key]).map((key) => [key, settings[key]])) : differing(settings, base));
    return Object.fromEntries([...values.map(([key, value]) => [prefix + key, value]), [`${prefix}points`, points && points !== known ? pointsText(points) : null]]);
  }

  /** The values that are no settings of a run. */
  fixedValues(hidden = this.hidden, task = this.task) {
    const { state, training } = this, { show } = state;
    return {
      task, ...Object.fromEntries([...hidden].map((key) => [`${key}_hide`, "true"])), pace: training.pace, control: training.withControl ? null : "off",
      relus: show.units === "hidden" ? null : show.units, truth: show.truth ? null : "off", least_squares: show.solved ? "on" : null, speed: state.speed === 1 ? null : state.speed,
    };
  }

  /** A link for students: the start with its settings, or with the training so far. */
  classLink(hidden, task, withTraining) {
    const { branch } = this.training, { branches, changes, step, kept, focus, ...view } = this.urlValues;
    for (const key of Object.keys(view)) if (/_hide$|^\d|^task$/.test(key) || KEYS.includes(key)) delete view[key];
    const fixed = this.fixedValues(hidden, task);
    const values = withTraining
      ? { ...this.urlValues, ...Object.fromEntries(PARTS.map(({ key }) => [`${key}_hide`, null])), ...fixed }
      : { ...view, ...fixed, ...this.startValues(branch.start, task ? TASKS[task].settings : {}, "") };
    return address.link(true, values) ?? "";
  }

  #hide(keys) {
    this.hidden = new Set(keys);
    for (const { key, selector } of PARTS) for (const element of this.root.querySelectorAll(selector)) element.classList.toggle("taken-away", this.hidden.has(key));
    this.resized = true;
  }

  // tasks

  /** Show a task, with settings that make the page start right; none for null. */
  async setTask(name) {
    this.task = name;
    if (name !== null) {
      await this.begin({ ...TASKS[name].settings }, { points: null, kept: new Set() });
      this.applyUrl({});
    }
    this.invalidate();
  }
}

const numberOf = (name) => Number(name.split(" ")[1]);
const pointsText = (points) => changesText([{ kind: "w", values: points }]);

/** A start with some settings. @param {number[]|null|undefined} points the user's points as numbers x, y, x, y ... */
function startOf(given, points) {
  const settings = completed(given), { n, noise, data_seed: seed } = settings, { feature } = modelNamed(settings.model);
  if (settings.data !== "own") return { kind: "fresh", settings, points: null };
  const own = points ?? fewPoints(noisySamples("piecewise_linear", n, noise, seed));
  settings.batch = Math.min(settings.batch, own.length / 2);
  // points of a model with one parameter are not scaled: unless it is given, the step size depends on them
  if (given.lr === undefined && feature && settings.optimizer !== "adam") settings.lr = stepFor(own.filter((_, j) => j % 2 === 0).map(feature), settings) ?? settings.lr;
  return { kind: "fresh", settings, points: own };
}

/** A few of a run's points as numbers x, y, x, y ..., with few digits. */
function fewPoints({ x, y }) {
  const count = Math.min(FIRST_OWN_POINTS, x.length);
  return Array.from({ length: count }, (_, j) => Math.round((j * (x.length - 1)) / Math.max(1, count - 1))).flatMap((i) => [Number(x[i].toPrecision(4)), Number(y[i].toPrecision(4))]);
}
