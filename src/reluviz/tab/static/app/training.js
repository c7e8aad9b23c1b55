// Training in the page: makes branches from what is shown, and trains the branch in focus, with its control branch, in short
// pieces between two frames.

import { count } from "../core/count.js";
import { largestStableStep } from "../core/sharpness.js";
import { number } from "../drawing/format.js";
import { Branch } from "../trainer/branch.js";
import { EDITS } from "../trainer/edits.js";
import { changesText, MOST_UPDATES, parse, parseChanges, textOf } from "../trainer/link.js";
import { TARGETS } from "../trainer/data_sets.js";
import { loadEngine } from "../trainer/session.js";
import { settingsOf } from "../trainer/settings.js";
import { MAX_RUNS } from "./state.js";
import { watchVisibility } from "./visibility.js";

/** Milliseconds of updates after which the browser may begin a frame. */
const PIECE = 2;
/** Updates take the time that drawing leaves; where that is less than drawing takes, as long as this at most before each drawing. */
const LONGEST_SLICE = 16;
/** Milliseconds after which updates end if no frame has begun: the browser begins none while the page is hidden. */
const LONGEST_FRAME = 100;
/** Longest slice while nothing is drawn, as when a link is repeated. */
const LONG_SLICE = 40;
/** A repetition that takes longer than so many milliseconds says where it is, and can be stopped. */
const REPEATED_UNSEEN = 300;
/** The history of a growing run is drawn anew in every so manyth frame. */
const FRAMES_A_HISTORY = 20;
const HIDDEN_CHECK_MILLISECONDS = 250;
/** Moments of a recorded run are found by repeating it, up to this many updates. */
const MOST_REPEATED = 5e6;
/** How far, relative to the largest parameter, a repeated run may be from the recorded one for its moments to be used. */
const MOST_DRIFT = 0.01;
/** The letters of changes of one unit, whose number comes first. */
const UNIT_CHANGES = "ejivc";
/** The updates of a burst. */
export const BURST = 1000;
/** Updates a second; null for as many as fit. */
export const PACES = [1, 10, 100, 1000, 10000, null];

export class Training {
  constructor(app) {
    this.app = app;
    this.on = false;
    this.pace = null;
    this.withControl = true;
    /** Settings that were changed on a run which cannot change: they begin the next branch. */
    this.pending = new Map();
    this.message = "";
    /** Whether a branch is being repeated while nothing is shown of it, and whether the user has stopped that. */
    this.isRepeating = this.repeatIsStopped = false;
    this.controls = new Map();
    /** Recorded runs at which branches have begun. They are needed after they have left the view, too. */
    this.parents = new Map();
    this.speed = 20;
    this.frames = 0;
    this.frameBegun = -Infinity;
    /** Milliseconds of updates since then. */
    this.spent = 0;
    // messages, unlike timers, are not delayed
    this.pieces = new MessageChannel();
    this.pieces.port1.onmessage = () => ((this.pieceWaits = false), this.#piece());
    this.isVisible = watchVisibility(app.root);
    this.holding = false;
    window.addEventListener("pointerdown", (event) => (this.holding = event.target instanceof HTMLCanvasElement), true);
    for (const type of ["pointerup", "pointercancel"]) window.addEventListener(type, () => (this.holding = false), true);
  }

  get state() {
    return this.app.state;
  }

  /** The branch in focus, or null. */
  get branch() {
    const { run } = this.state;
    return run?.isBranch ? run : null;
  }

  /** The branch in focus if its last snapshot is shown: training goes on with it; from anywhere else it begins another one. */
  get growing() {
    const { branch, state } = this;
    return branch && state.update >= branch.updateCount ? branch : null;
  }

  /** The settings with which training would go on; null where the page cannot train. */
  get settings() {
    const { run } = this.state;
    if (!run) return null;
    const settings = run.isBranch ? run.chosen : this.#read(run).settings;
    return settings ? Object.assign({ ...settings }, ...[...this.pending.values()].map(({ changes }) => changes)) : null;
  }

  /** Why the page cannot train the run in focus; null if it can. */
  get reason() {
    const { run } = this.state;
    return !run || run.isBranch ? null : (this.#read(run).reason ?? null);
  }

  #read(run) {
    if (this.lastRead?.run !== run || this.lastRead.version !== run.pointsVersion) this.lastRead = { run, version: run.pointsVersion, found: settingsOf(run) };
    return this.lastRead.found;
  }

  async engine() {
    this.loading ??= loadEngine(this.app.engineMode ?? "auto");
    this.loaded = await this.loading;
    return this.loaded;
  }

  // branches

  /** All branches, each before its control. */
  get branches() {
    return this.state.selected.map(({ name }) => this.state.loaded.get(name)).filter((run) => run?.isBranch);
  }

  #freeNumber() {
    const used = new Set(this.branches.map(({ number }) => number));
    let number = 1;
    while (used.has(number)) number += 1;
    return number;
  }

  get hasRoom() {
    return this.state.selected.length < MAX_RUNS;
  }

  /** Show a branch beside the other runs. */
  show(branch, number, isControl) {
    const { state } = this;
    Object.assign(branch, { number, isControl });
    const used = new Set(state.selected.map(({ slot }) => slot));
    const slot = [0, 1, 2, 3].find((free) => !used.has(free));
    state.loaded.set(branch.name, branch);
    state.change({ selected: [...state.selected, { name: branch.name, slot }], focus: state.focus ?? branch.name });
  }

  /** A new branch, not shown yet. @param {any} start {kind: "run", run, replica, update} or {kind: "fresh"} */
  async #begin(start, name) {
    const engine = await this.engine();
    if (start.kind === "fresh") return this.app.freshBranch(engine, name, start);
    const run = this.state.loaded.get(start.run) ?? this.parents.get(start.run);
    if (!run) throw new Error(`The run ${start.run} is needed, and is not here.`);
    const { settings, reason } = this.#read(run);
    if (reason) throw new Error(`The page cannot train this run: ${reason}`);
    const s = run.snapshotAt(start.update);
    if (run.update[s] !== start.update || start.replica >= run.R) throw new Error(`The run ${run.name} has no snapshot at update ${count(start.update)}.`);
    this.parents.set(run.name, run);
    const given = {
      name, start, settings, dataName: run.dataName, parameters: run.trainedNet(s, start.replica), update: run.update[s],
      points: { x: run.x, y: run.y, target: this.#targetOf(run), xTest: run.xTest, yTest: run.yTest, domain: run.domain },
      scaling: run.scaling.numbers,
    };
    if (settings.optimizer !== "sgd" && given.update > 0) given.moments = await this.#momentsAt(engine, run, given);
    return new Branch(engine, given);
  }

  /** The true function of a run's data, if the page has it. */
  #targetOf(run) {
    const target = TARGETS[run.dataName.replace(" ", "_")];
    return target && run.target?.every((value, i) => Math.abs(value - target(run.x[i])) < 1e-9) ? target : null;
  }

  /** The moments of a recorded run's optimiser at a snapshot, by repeating the run from its first one; null where this fails. */
  async #momentsAt(engine, run, given) {
    if (run.update[0] !== 0 || given.update > MOST_REPEATED) {
      this.say("The moments of its optimiser are not recorded: they begin at 0.");
      return null;
    }
    const repeated = new Branch(engine, { ...given, name: "repeated", parameters: run.trainedNet(0, 0), update: 0 });
    if (!(await this.#trainTo(repeated, given.update, "Repeating the run for the moments of its optimiser"))) {
      if (this.repeatIsStopped) this.say("Stopped: the moments of its optimiser begin at 0.");
      return null;
    }
    const flat = (p) => Object.values(p).flatMap((part) => (typeof part === "number" ? [part] : Array.from(part)));
    const [there, here] = [flat(repeated.trainedNet(repeated.S - 1, 0)), flat(given.parameters)];
    const largest = Math.max(...here.map(Math.abs)), drift = Math.max(...here.map((value, i) => Math.abs(value - there[i])));
    if (drift <= MOST_DRIFT * largest) return repeated.moments();
    this.say("The run cannot be repeated closely enough for the moments of its optimiser: they begin at 0.");
    return null;
  }

  /** Train a branch up to an update while nothing is shown of it. @returns {Promise<boolean>} whether it got there */
  async #trainTo(branch, update, words, begun = performance.now()) {
    while (branch.updateCount < update && !branch.stopped && !this.repeatIsStopped) {
      const until = performance.now() + LONG_SLICE;
      while (performance.now() < until && branch.updateCount < update && !branch.stopped) branch.train(Math.min(2000, update - branch.updateCount));
      this.isRepeating = performance.now() - begun > REPEATED_UNSEEN;
      if (this.isRepeating) this.say(`${words}: update ${count(branch.updateCount)} of ${count(update)}`);
      await new Promise((resolve) => setTimeout(resolve));
    }
    return branch.updateCount >= update && !branch.stopped;
  }

  /** End the repetition in progress. A branch of a link stays as far as it has come. */
  stopRepeating() {
    this.repeatIsStopped = true;
  }

  /** A branch that is in the state of a link, or as far on the way to it as the user has let it come. */
  async #repeat({ start, edits, updateCount }, name) {
    const branch = await this.#begin(start, name), begun = performance.now();
    let rested = begun;
    for (const { at, kind, values } of edits) {
      await this.#trainTo(branch, at, "Repeating", begun);
      if (this.repeatIsStopped) break;
      branch.edit(kind, values);
      // an address may hold thousands of changes
      if (performance.now() - rested < LONG_SLICE) continue;
      await new Promise((resolve) => setTimeout(resolve));
      rested = performance.now();
    }
    await this.#trainTo(branch, updateCount, "Repeating", begun);
    branch.refreshHistory();
    if (this.repeatIsStopped) this.say(`Stopped at update ${count(branch.updateCount)} of ${count(updateCount)}.`);
    return branch;
  }

  /**
   * The branch with which training goes on from what is shown: the one in focus at its end, or a new one. What the user has
   * changed becomes its first changes. Null where there is none.
   */
  async ready() {
    if (this.preparing || this.reason || !this.state.now()) return null;
    this.preparing = true;
    this.repeatIsStopped = false;
    try {
      const branch = this.growing ?? (await this.#fork());
      // it is not in the state from which the user wanted to go on
      if (this.repeatIsStopped) return null;
      if (branch) this.#applyChanges(branch);
      return branch;
    } catch (error) {
      this.say(String(error.message ?? error));
      return null;
    } finally {
      this.preparing = this.isRepeating = false;
      this.app.invalidate();
    }
  }

  async #fork() {
    const { state, branch } = this;
    if (!this.hasRoom) {
      this.say(`Up to ${MAX_RUNS} runs are shown at once: remove one first.`);
      return null;
    }
    const { run, s, r } = state.now(), number = this.#freeNumber(), name = `branch ${number}`, { whatIf } = state;
    const update = run.update[s];
    const made = branch
      ? await this.#repeat({ start: branch.start, edits: branch.edits.filter(({ at }) => at <= update), updateCount: update }, name)
      : await this.#begin({ kind: "run", run: run.name, replica: r, update }, name);
    this.show(made, number, false);
    state.collectUpdates();
    const { updateCount } = made, changes = whatIf && updateCount === update ? { ...whatIf, run: name } : null;
    state.change({ focus: name, update: updateCount, followingLatest: updateCount >= state.last, unit: state.unit, whatIf: changes });
    return made;
  }

  /** Make the user's pending changes those of a branch. */
  #applyChanges(branch) {
    const { state } = this;
    const edits = [...(state.whatIf?.run === branch.name ? state.whatIf.edits : []), ...this.pending.values()];
    if (!edits.length) return;
    this.#addControl(branch);
    for (const { kind, values } of edits) branch.edit(kind, values);
    this.pending.clear();
    this.state.whatIf = null;
    this.#changed(branch);
  }

  /** Before its first change since it has no control, give a branch one: it goes on without the change. */
  #addControl(branch) {
    if (!this.withControl || branch.isControl || this.controlOf(branch) || !this.hasRoom) return;
    const control = branch.clone(`control ${branch.number}`);
    this.show(control, branch.number, true);
    this.controls.set(branch.name, control.name);
  }

  controlOf(branch) {
    return this.state.loaded.get(this.controls.get(branch.name)) ?? null;
  }

  #changed(branch) {
    const { state } = this;
    state.collectUpdates();
    state.change({ update: branch.updateCount, followingLatest: branch.updateCount >= state.last });
  }

  // what the user does

  /** Change the branch in focus, or a new one: points, units, or settings. @returns {Promise<boolean>} whether anything changed */
  async edit(kind, values, how = {}) {
    if (EDITS[kind].isDataSet && this.app.loadData && this.state.update === 0) return this.app.loadData(kind, values);
    const branch = await this.ready();
    if (!branch) return false;
    if (!how.replace) this.#addControl(branch);
    const done = branch.edit(kind, values, how);
    if (done) this.#changed(branch);
    return done;
  }

  /** Set a setting that may change while a run trains. */
  set(key, value, kind, values) {
    if (this.app.changeAtStart?.(key, value)) return;
    if (this.growing && !this.state.whatIf) void this.edit(kind, values);
    else this.pending.set(kind, { changes: kind === "n" ? { noise: values[0], data_seed: values[1] } : { [key]: value }, kind, values });
    this.app.invalidate();
  }

  async toggle() {
    if (this.on) return this.pause();
    this.say("");
    const branch = await this.ready();
    if (!branch) return undefined;
    if (branch.stopped) {
      this.#sayStopped(branch);
      return undefined;
    }
    this.#go(Infinity);
    return undefined;
  }

  /** Make some updates, as fast as they go. */
  async burst(count) {
    this.say("");
    const branch = await this.ready();
    if (!branch || branch.stopped) return branch && this.#sayStopped(branch);
    if (count > 1) return this.#go(branch.updateCount + count);
    for (const one of this.#together(branch)) one.train(1), one.refreshHistory();
    this.#changed(branch);
    if (branch.stopped) this.#sayStopped(branch);
    return undefined;
  }

  #go(until) {
    this.state.change({ playing: false });
    Object.assign(this, { on: true, until, allowance: 1, lastTime: null });
    this.state.training = true;
    this.app.invalidate();
  }

  pause() {
    if (!this.on) return;
    this.on = this.state.training = false;
    for (const branch of this.branches) branch.refreshHistory();
    this.state.collectUpdates();
    this.app.announce();
    this.app.invalidate();
  }

  undo() {
    this.pause();
    const { branch } = this;
    if (!branch) return;
    const control = this.controlOf(branch);
    if (!branch.undo()) return this.discard();
    if (control && control.edits.length >= branch.edits.length) this.#remove(control.name);
    this.say("");
    this.#changed(branch);
  }

  /** Remove the branch in focus with its control. */
  discard() {
    this.pause();
    const { branch, state } = this;
    if (!branch || state.selected.length < 2) return;
    const control = this.controlOf(branch), parent = branch.start.run;
    const next = state.selected.find(({ name }) => name === parent) ?? state.selected.find(({ name }) => name !== branch.name && name !== control?.name);
    if (!next) return;
    if (control) this.#remove(control.name);
    this.#remove(branch.name);
    this.app.focus(next.name);
    this.say("");
    state.collectUpdates();
    state.change({ update: Math.min(branch.from, state.last) });
  }

  #remove(name) {
    const { state } = this;
    state.loaded.delete(name);
    for (const [of, control] of this.controls) if (control === name) this.controls.delete(of);
    state.change({ selected: state.selected.filter((selected) => selected.name !== name), whatIf: null });
  }

  say(message) {
    this.message = message;
    this.app.invalidate();
  }

  #sayStopped(branch) {
    this.say(`Diverged at update ${count(branch.stopped.update)}: ${stepAdvice(branch)}`);
  }

  // the loop

  /** The branches that train together: those of them that are behind catch up first. */
  #together(branch) {
    const control = this.controlOf(branch);
    return control && !control.stopped ? [branch, control] : [branch];
  }

  /** Make the updates of one frame. @returns {boolean} whether another frame is wanted */
  slice(time) {
    if (!this.on) return false;
    const { state, growing: branch } = this;
    // the user looks at something else
    if (!branch) return this.pause(), false;
    if (!this.isVisible()) {
      setTimeout(() => this.app.invalidate(), HIDDEN_CHECK_MILLISECONDS);
      this.lastTime = null;
      return false;
    }
    if (this.holding) return true;
    if (state.whatIf) this.#applyChanges(branch);
    const seconds = this.lastTime === null ? 0 : Math.min(1100, time - this.lastTime) / 1000;
    // a machine that is too slow for a pace does not catch up for long when it has become faster
    this.allowance = Math.min(this.allowance + this.pace * seconds, 2 * this.pace);
    this.lastTime = time;
    const begun = performance.now(), drawing = begun - this.frameBegun - this.spent, missing = drawing - this.spent;
    Object.assign(this, { frameBegun: begun, spent: 0 });
    if (missing > 0) this.#work(branch, Math.min(missing, LONGEST_SLICE));
    this.#goOn();
    if (this.frames++ % FRAMES_A_HISTORY === 0) for (const one of this.#together(branch)) one.refreshHistory();
    state.collectUpdates();
    Object.assign(state, { update: branch.updateCount, followingLatest: branch.updateCount >= state.last });
    if (branch.stopped) this.#sayStopped(branch);
    if (branch.stopped || branch.updateCount >= this.until) this.pause();
    return this.on;
  }

  /** Make updates until the next frame begins, in pieces. */
  #piece() {
    const { growing: branch, state } = this;
    const mayGoOn = this.on && branch && !branch.stopped && !this.holding && !state.whatIf && this.isVisible();
    if (!mayGoOn || this.#wanted(branch) < 1 || performance.now() - this.frameBegun > LONGEST_FRAME) return;
    this.#work(branch, PIECE);
    this.#goOn();
  }

  /** Make the next piece when the browser has done what waits already, such as drawing. */
  #goOn() {
    if (!this.pieceWaits) this.pieces.port2.postMessage(null);
    this.pieceWaits = true;
  }

  /** The number of updates that pace and end allow now. */
  #wanted(branch) {
    return Math.min(this.pace === null ? Infinity : Math.floor(this.allowance), this.until - branch.updateCount);
  }

  /** Make updates for about so many milliseconds. */
  #work(branch, milliseconds) {
    const begun = performance.now();
    const made = this.#spend(this.#together(branch), this.#wanted(branch), milliseconds);
    if (this.pace !== null) this.allowance -= made;
    this.spent += performance.now() - begun;
    // the branch grows only where its last snapshot is shown
    this.state.update = branch.updateCount;
  }

  /** Make up to `wanted` updates of the first branch, the others with it, in about so many milliseconds. @returns {number} how many */
  #spend(branches, wanted, milliseconds) {
    const [first] = branches, begin = first.updateCount, end = performance.now() + milliseconds;
    let now = performance.now();
    while (first.updateCount - begin < wanted && now < end && !first.stopped) {
      const behind = branches.reduce((a, b) => (!b.stopped && b.updateCount < a.updateCount ? b : a));
      const chunk = Math.max(1, Math.min(Math.ceil(this.speed), behind === first ? begin + wanted - behind.updateCount : first.updateCount - behind.updateCount));
      behind.train(chunk);
      const later = performance.now();
      // updates a millisecond, smoothed; clocks may be coarse
      this.speed = later - now > 0.2 ? 0.8 * this.speed + (0.2 * chunk) / (later - now) : this.speed * (chunk >= this.speed ? 1.1 : 1);
      now = later;
    }
    // the shown update is the same for all
    for (const branch of branches) if (branch !== first && branch.updateCount < first.updateCount && !branch.stopped && first.updateCount - branch.updateCount < 4 * this.speed) branch.train(first.updateCount - branch.updateCount);
    return first.updateCount - begin;
  }

  // addresses

  /** The branches as text for the address; null without any. @param {string[]} runs the names of the recorded runs in the address */
  text(runs) {
    return this.branches.length ? textOf(this.branches, runs) : null;
  }

  /** The names of recorded runs that branches begin at and that are not shown themselves. */
  get hiddenParents() {
    const names = this.branches.map(({ start }) => start.run).filter((name) => name !== undefined && !this.state.loaded.has(name));
    return [...new Set(names)];
  }

  /** The changes that have not become those of a branch yet, as text for the address; null without any. */
  get pendingText() {
    const { state } = this, edits = [...(state.whatIf?.run === state.focus ? state.whatIf.edits : []), ...this.pending.values()];
    return edits.length ? changesText(edits) : null;
  }

  /** Make the changes of pendingText. */
  openPending(text) {
    const { state } = this;
    for (const { kind, values } of parseChanges(text) ?? []) {
      if (EDITS[kind].net) state.edit(kind, values, { unit: UNIT_CHANGES.includes(kind) ? values[0] : undefined, solved: kind === "o" || undefined });
      const changes = state.run && (kind === "n" ? { noise: values[0], data_seed: values[1] } : EDITS[kind].settings?.(values, state.run));
      if (changes) this.pending.set(kind, { changes, kind, values });
    }
  }

  /** Repeat the branches of an address. @param {string[]} runs the names of its recorded runs */
  async open(text, runs) {
    const found = parse(text, runs, MAX_RUNS);
    if (!found) {
      this.say(`The branches of this address cannot be repeated; a branch has up to ${count(MOST_UPDATES)} updates.`);
      return;
    }
    this.repeatIsStopped = false;
    for (const { number, isControl, ...past } of found) {
      if (this.repeatIsStopped) break;
      const name = `${isControl ? "control" : "branch"} ${number}`;
      if (!this.hasRoom || this.state.loaded.has(name)) continue;
      try {
        this.preparing = true;
        const branch = await this.#repeat(past, name);
        this.show(branch, number, isControl);
        if (isControl) this.controls.set(`branch ${number}`, name);
        if (!this.repeatIsStopped) this.say("");
      } catch (error) {
        this.say(String(error.message ?? error));
      } finally {
        this.preparing = this.isRepeating = false;
      }
    }
    this.state.collectUpdates();
    this.state.change({});
  }
}

/** Why a branch has diverged: its step size and the largest stable one, where theory knows it; as training/divergence.py says it. */
function stepAdvice(branch) {
  const { model, chosen, trained, u, t } = branch, { lr, optimizer, momentum } = chosen, isPlain = optimizer === "sgd" || optimizer === "momentum";
  const found = isPlain ? largestStableStep(model, branch.trainedNet(0, 0), u, t, trained, optimizer === "momentum" ? momentum : 0) : null;
  if (!found) return `try a smaller step size than ${lr}.`;
  const limit = `${found.formula} = ${number(found.limit)}`;
  return lr < found.limit ? `the step size ${lr} is below the limit of full batches, ${limit}; try a smaller one.` : `the step size ${lr} is beyond the largest stable one, ${limit}.`;
}
