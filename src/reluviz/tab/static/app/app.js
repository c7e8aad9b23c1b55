// The application: connects the source of runs, the state and the views; loads runs, schedules drawing, and keeps the URL
// in sync with the state.
//
// Sizes of a run: S snapshots, R replicas, P parameters, W hidden units; s is a snapshot, r a replica, k a unit, i a point.
// `now` is what the views show (State.now): one snapshot of the run in focus, with the user's changes ("what if") if any.

import { elbow, slopeJump, STATUS } from "../core/elbows.js";
import { nameOfUnit } from "../core/models/architecture.js";
import { pointGradient, unitMotion } from "../core/votes.js";
import { axesAreHeld, slopeUnit } from "../drawing/axes.js";
import { h, setVisible } from "../drawing/dom.js";
import { number, placeX, placeY, shareInWords, shortenLabel, signed } from "../drawing/format.js";
import { pageZoom } from "../drawing/plot.js";
import { Tooltip } from "../drawing/pointer.js";
import { round125 } from "../drawing/scales.js";
import { palette } from "../drawing/theme.js";
import { ElbowsThroughTimeView } from "../views/elbows_through_time.js";
import { FunctionView } from "../views/function.js";
import { Inspector } from "../views/inspector.js";
import { KinksThroughTimeView } from "../views/kinks_through_time.js";
import { LossView } from "../views/loss.js";
import { ParabolaView } from "../views/parabola.js";
import { PathView } from "../views/path.js";
import { SlopeView } from "../views/slope.js";
import { UnitsView } from "../views/units.js";
import { UnitsByLayerView } from "../views/units_by_layer.js";
import { VotesView } from "../views/votes.js";
import * as address from "./address.js";
import { PointEditor } from "./point_editor.js";
import { report } from "./report.js";
import { RecordedRun } from "./recorded_run.js";
import { RunBar } from "./run_bar.js";
import { RunList } from "./run_list.js";
import { MAX_RUNS, State } from "./state.js";
import { stopButton } from "./stop_button.js";
import { TimeBar } from "./time_bar.js";
import { TrainBar } from "./train_bar.js";
import { Training } from "./training.js";

/** While the page trains, each panel but the first is drawn in one of so many frames. */
const TURNS = 4;
const POLL_MILLISECONDS = 500, MAX_FRAME_TIMES = 1200;
// lengths of the longest arrows: as a fraction of the width of the domain, and in slope units (see axes.js)
const LONGEST_ELBOW_ARROW = 0.08, LONGEST_JUMP_ARROW = 0.8;
const COMMAND = "python -m reluviz train +exp=relu";

export class App {
  constructor(root, source) {
    this.root = root;
    this.source = source;
    this.state = new State();
    this.frameTimes = [];
    /** Further parts of the page, each with draw(now). */
    this.parts = [];
    this.tooltip = new Tooltip();
    // an HTML page embeds its runs; TensorBoard serves them, also while they train
    this.embedded = !source.live;
    this.state.dark = address.hostIsDark(this.embedded);
    this.training = new Training(this);
    this.#build();
    this.state.listeners.push(() => this.invalidate());
  }

  get colours() {
    return palette(this.printing ? false : this.state.dark);
  }

  #build() {
    this.runBar = new RunBar(this);
    this.timeBar = new TimeBar(this);
    this.pointEditor = new PointEditor(this);
    this.trainBar = new TrainBar(this);
    this.parts.push(this.runBar, this.timeBar, this.trainBar);
    this.inspector = new Inspector(this);
    this.functionView = new FunctionView(this);
    this.slopeView = new SlopeView(this);
    this.votes = new VotesView(this);
    this.elbowsThroughTime = new ElbowsThroughTimeView(this);
    this.kinksThroughTime = new KinksThroughTimeView(this);
    this.units = new UnitsView(this);
    this.unitsByLayer = new UnitsByLayerView(this);
    this.loss = new LossView(this);
    this.parabola = new ParabolaView(this);
    this.path = new PathView(this);
    this.views = [this.functionView, this.slopeView, this.votes, this.elbowsThroughTime, this.kinksThroughTime, this.parabola, this.path, this.units, this.unitsByLayer, this.loss];
    this.runList = new RunList(this);
    this.messageLines = h("div.lines", { role: "status" });
    this.stop = stopButton(this);
    this.message = h("div.message", {}, this.messageLines, this.stop);
    if (this.embedded) {
      this.runBar.element.append(h("button.toggle.theme", { type: "button", text: "◐", title: "Light or dark", "aria-label": "Light or dark", onclick: () => this.state.change({ dark: !this.state.dark }) }));
    }
    this.main = h(
      "main",
      {},
      h("div.left", {}, this.functionView.element, this.slopeView.element, this.votes.element, this.elbowsThroughTime.element, this.kinksThroughTime.element, this.path.element),
      h("div.right", {}, this.inspector.element, this.parabola.element, this.units.element, this.unitsByLayer.element, this.loss.element),
    );
    this.root.replaceChildren(this.runBar.element, this.message, this.runList.element, this.main, this.trainBar.element, this.timeBar.element, this.tooltip.element);
  }

  async start() {
    const fromUrl = address.read(this.embedded);
    this.engineMode = ["wasm", "javascript"].includes(fromUrl.engine) ? fromUrl.engine : null;
    await this.#refreshListing();
    const { state } = this;
    const names = (fromUrl.runs ? address.split(fromUrl.runs) : []).filter((name) => this.#isListed(name)).slice(0, MAX_RUNS);
    // the author of a page has chosen its runs; a folder of logs may hold hundreds
    if (!names.length && !fromUrl.branches) names.push(...this.#firstRuns(Boolean(fromUrl.runs)));
    await Promise.all(names.map((name) => this.#addRun(name)));
    await this.openBranches(fromUrl);
    this.applyUrl(fromUrl);
    this.ready = true;
    const observer = new ResizeObserver(() => {
      this.resized = true;
      this.invalidate();
    });
    window.addEventListener("resize", () => {
      this.resized = true;
      this.invalidate();
    });
    for (const view of this.views) observer.observe(view.plot.canvas);
    address.watchDark(this.embedded, () => state.change({ dark: address.hostIsDark(this.embedded) }));
    address.listen(this.embedded, () => this.follow(address.read(this.embedded)));
    window.addEventListener("beforeprint", () => this.#print(true));
    window.addEventListener("afterprint", () => this.#print(false));
    if (!this.embedded) this.#poll();
    this.invalidate();
  }

  /** The runs that are shown where an address names none that there is; after a sweep none, but a list of its runs. */
  #firstRuns(hasNames) {
    const { listing } = this.state;
    if (this.embedded) return listing.slice(0, MAX_RUNS).map((entry) => entry.run);
    return listing.length && (hasNames || !this.runList.show(this.#newest())) ? [this.#newest()] : [];
  }

  #isListed(name) {
    return this.state.listing.some((entry) => entry.run === name);
  }

  /** The run that was written last, which a user who has just trained wants to see. */
  #newest() {
    return this.state.listing.reduce((a, b) => ((b.wall ?? 0) > (a.wall ?? 0) ? b : a)).run;
  }

  /** Read the list of runs, and remember if this fails. */
  async #refreshListing() {
    const { state } = this;
    const previousFailure = this.failure ?? null;
    try {
      const listing = await this.source.runs();
      this.failure = null;
      // this runs twice a second: redraw only if the list has changed
      if (JSON.stringify(listing) !== JSON.stringify(state.listing)) state.change({ listing });
    } catch (error) {
      this.failure = String(error.message ?? error);
    }
    if (this.failure !== previousFailure) this.invalidate();
  }

  async #load(name) {
    const blob = (kind) => this.source.blob(name, kind);
    const [data, params, scalars] = await Promise.all([blob("data"), blob("params"), blob("scalars").catch(() => null)]);
    const kinks = RecordedRun.needsKinks(data, params) ? await blob("kinks").catch(() => null) : null;
    const run = new RecordedRun(name, data, params, scalars, kinks);
    const listed = this.state.listing.find((entry) => entry.run === name);
    run.createdAt = listed?.born;
    run.modifiedAt = listed?.wall;
    run.foundAt = listed?.found ?? null;
    return run;
  }

  /** Select and load a run, unless it is selected already or there are too many. */
  async #addRun(name) {
    const { state } = this;
    if (state.selected.some((selected) => selected.name === name) || state.selected.length >= MAX_RUNS) return;
    const used = new Set(state.selected.map(({ slot }) => slot));
    const slot = [0, 1, 2, 3].find((free) => !used.has(free));
    state.change({ selected: [...state.selected, { name, slot }], focus: state.focus ?? name });
    await this.#fetch(name);
  }

  async #fetch(name) {
    const { state } = this;
    try {
      const run = await this.#load(name);
      if (!state.selected.some((selected) => selected.name === name)) return;
      state.loaded.set(name, run);
      state.failures.delete(name);
    } catch (error) {
      state.failures.set(name, String(error.message ?? error).trim());
    }
    this.#runsChanged();
  }

  /** Update the state after runs were added, removed or extended. */
  #runsChanged() {
    const { state } = this;
    state.collectUpdates();
    state.change({});
  }

  async toggle(name) {
    const { state } = this;
    if (!state.selected.some((selected) => selected.name === name)) return this.#addRun(name);
    if (state.selected.length === 1) return undefined;
    this.training.pause();
    const selected = state.selected.filter((selected) => selected.name !== name);
    state.loaded.delete(name);
    state.failures.delete(name);
    state.change({ selected, focus: state.focus === name ? selected[0].name : state.focus, whatIf: null });
    this.#runsChanged();
    return undefined;
  }

  /** Close all runs, and list those of the sweep of the run in focus. */
  list() {
    const { state } = this;
    this.runList.show(state.focus);
    state.loaded.clear();
    state.failures.clear();
    state.change({ selected: [], focus: null, whatIf: null, unit: null, point: null, playing: false, followingLatest: true });
    this.#runsChanged();
  }

  focus(name) {
    const { state } = this;
    if (state.focus !== name) state.change({ focus: name, whatIf: null, unit: null, point: null, hover: { x: null, unit: null, point: null } });
  }

  // the URL

  applyUrl(fromUrl) {
    const { state } = this;
    const wholeNumber = (text) => (/^\d{1,16}$/.test(text ?? "") ? Number(text) : null);
    const changes = {};
    if (fromUrl.focus && state.loaded.has(fromUrl.focus)) changes.focus = fromUrl.focus;
    if (["linear", "log"].includes(fromUrl.scale)) changes.scale = fromUrl.scale;
    if (["overlay", "side"].includes(fromUrl.mode)) changes.mode = fromUrl.mode;
    if (["share", "residual", "norm", "elbow", "unit"].includes(fromUrl.votes)) changes.measure = fromUrl.votes;
    changes.unit = wholeNumber(fromUrl.unit);
    changes.point = wholeNumber(fromUrl.point);
    changes.replica = wholeNumber(fromUrl.replica) ?? 0;
    if (fromUrl.slope === "1") changes.show = { ...state.show, slope: true };
    const update = wholeNumber(fromUrl.step);
    state.change(changes);
    const run = state.run;
    if (run) {
      if (state.unit !== null && state.unit >= run.W) state.unit = null;
      if (state.point !== null && state.point >= run.x.length) state.point = null;
      if (state.replica >= run.R) state.replica = 0;
    }
    if (update !== null && state.updates.length) state.goTo(state.updates[state.indexOf(update)]);
    if (fromUrl.changes) this.training.openPending(fromUrl.changes);
  }

  get urlValues() {
    const { state } = this;
    const { run } = state, runs = this.recordedNames, { hiddenParents, pendingText } = this.training;
    return {
      runs: runs.length ? address.join(runs) : null,
      parents: hiddenParents.length ? address.join(hiddenParents) : null,
      branches: this.training.text([...runs, ...hiddenParents]),
      changes: pendingText,
      focus: state.selected.length > 1 ? state.focus : null,
      step: state.followingLatest ? null : state.update,
      unit: state.unit,
      point: state.point,
      replica: run && run.R > 1 && state.replica ? state.replica : null,
      scale: state.scale === "linear" ? "linear" : null,
      mode: state.mode === "side" ? "side" : null,
      votes: state.measure === "share" ? null : state.measure,
      slope: state.show.slope ? "1" : null,
      engine: this.engineMode,
    };
  }

  /** The names of the shown runs that the page has not trained itself. */
  get recordedNames() {
    return this.state.selected.map(({ name }) => name).filter((name) => !this.state.loaded.get(name)?.isBranch);
  }

  #saveUrl() {
    clearTimeout(this.urlTimer);
    this.urlTimer = setTimeout(() => {
      if (this.ready && !this.state.playing && !this.state.training && this.state.selected.length) address.write(this.embedded, this.urlValues);
    }, 250);
  }

  /** Show the state of an address or of a file. @returns {Promise<boolean>} whether anything of it is here */
  async follow(values) {
    const { state } = this, names = address.split(values.runs ?? "").filter((name) => this.#isListed(name)).slice(0, MAX_RUNS);
    if (!names.length && !values.branches) return false;
    this.training.pause();
    state.loaded.clear();
    state.change({ selected: [], focus: null, whatIf: null, playing: false, followingLatest: true });
    for (const name of names) await this.#addRun(name);
    await this.openBranches(values);
    this.applyUrl(values);
    return true;
  }

  /** Repeat the branches of an address, which may begin at runs that are not shown. */
  async openBranches({ runs, parents, branches }) {
    const { training, state } = this, shown = address.split(runs ?? ""), others = address.split(parents ?? "");
    training.pending.clear();
    if (!branches) return;
    for (const name of others.slice(0, MAX_RUNS)) {
      if (this.#isListed(name) && !training.parents.has(name)) await this.#load(name).then((run) => training.parents.set(name, run), () => {});
    }
    await training.open(branches, [...shown, ...others]);
    if (!state.selected.length) for (const name of this.#firstRuns(true)) await this.#addRun(name);
  }

  // runs that are still training

  #poll() {
    setTimeout(async () => {
      try {
        if (!document.hidden) await this.#checkForChanges();
      } finally {
        this.#poll();
      }
    }, POLL_MILLISECONDS);
  }

  async #checkForChanges() {
    const { state } = this;
    await this.#refreshListing();
    if (!state.selected.length && state.listing.length && !this.runList.show(this.runList.member ?? this.#newest())) await this.#addRun(this.#newest());
    for (const { name } of state.selected) {
      const listed = state.listing.find((entry) => entry.run === name), run = state.loaded.get(name);
      if (!listed) continue;
      if (!run) await this.#fetch(name);
      else if (listed.wall !== run.modifiedAt || listed.last !== run.update[run.S - 1] || (listed.found ?? null) !== run.foundAt) await this.#extend(run, listed);
    }
  }

  /** Load the later snapshots of a run, or all of it if they do not continue the loaded ones. */
  async #extend(run, listed) {
    try {
      const after = run.finalCount > 0 ? run.update[run.finalCount - 1] : undefined;
      const [later, scalars] = await Promise.all([
        this.source.blob(run.name, "params", after),
        this.source.blob(run.name, "scalars").catch(() => null),
      ]);
      if (listed.born !== run.createdAt || !run.extend(later)) {
        await this.#fetch(run.name);
        return;
      }
      run.modifiedAt = listed.wall;
      run.foundAt = listed.found ?? null;
      run.setScalars(scalars);
      this.#runsChanged();
    } catch (error) {
      this.state.failures.set(run.name, String(error.message ?? error));
    }
  }

  // drawing

  /** Draw everything in the next animation frame. */
  invalidate() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame((time) => {
      this.pending = false;
      this.#drawFrame(time);
    });
  }

  #drawFrame(time) {
    const started = performance.now();
    if (this.state.playing) {
      this.timeBar.advance(this.lastTime ? Math.min(200, time - this.lastTime) : 0);
      this.lastTime = time;
    } else this.lastTime = null;
    const trains = this.training.slice(time);
    this.#draw();
    const spent = performance.now() - started;
    this.frameTimes.push({ spent, played: this.state.playing, trained: trains });
    if (this.frameTimes.length > MAX_FRAME_TIMES) this.frameTimes.shift();
    if (this.state.playing || trains) this.invalidate();
    else if (!this.state.training) this.#saveUrl();
  }

  #draw() {
    const { state } = this;
    // while the page trains, all but the function is drawn in turns, which leaves time for updates
    this.turn = this.training.on && !this.resized && !this.printing ? ((this.turn ?? -1) + 1) % TURNS : null;
    const isTurn = (i) => this.turn === null || this.turn === i % TURNS;
    document.documentElement.classList.toggle("dark", state.dark && !this.printing);
    document.documentElement.classList.toggle("printing", Boolean(this.printing));
    if (isTurn(0)) document.documentElement.style.setProperty("--page-zoom", pageZoom().toFixed(3));
    this.runList.draw();
    const now = state.now();
    // what they show may change their height, and a point would leave the pointer that drags it
    if (!axesAreHeld() && isTurn(0)) for (const part of this.parts) part.draw(now);
    this.#showMessage(now);
    setVisible(this.main, Boolean(now));
    if (!now) {
      this.tooltip.hide();
      return;
    }
    const { hasUnits, feature, architecture } = now.run.model, hasOneParameter = feature !== null;
    setVisible(this.elbowsThroughTime.element, hasUnits);
    for (const view of [this.kinksThroughTime, this.unitsByLayer]) setVisible(view.element, Boolean(architecture));
    setVisible(this.units.element, hasUnits);
    setVisible(this.parabola.element, hasOneParameter);
    setVisible(this.path.element, hasOneParameter);
    this.main.classList.toggle("one-parameter", hasOneParameter);
    this.main.classList.toggle("with-slope", state.show.slope);
    if (isTurn(0)) this.inspector.draw();
    for (const [i, view] of this.views.entries()) {
      // the slope view shows and hides itself in its draw()
      if (view.element.hidden && view !== this.slopeView) continue;
      if (i > 0 && !isTurn(i)) continue;
      // reading sizes forces a layout, so do it only when they may have changed
      if (this.resized || this.printing || (!view.plot.visible && !view.element.hidden)) view.plot.resize();
      view.draw();
    }
    for (const view of this.views) view.followPicture?.();
    this.resized = false;
  }

  /** Show a message instead of the views if there is nothing to draw. */
  #showMessage(now) {
    const { state } = this;
    const failure = state.failures.get(state.focus);
    let lines = null;
    if (this.failure && !state.listing.length) lines = ["TensorBoard does not answer.", this.failure];
    else if (!now && !state.listing.length && this.ready) lines = ["No run of reluviz here yet.", "Start one with this command; it then appears here:", COMMAND];
    else if (!now && failure) lines = [`${state.focus} cannot be shown.`, failure];
    else if (!now && this.runList.element.hidden) lines = [this.training.message || "Reading …"];
    const key = JSON.stringify(lines);
    if (key !== this.messageKey) {
      this.messageKey = key;
      this.messageLines.replaceChildren(...(lines ?? []).map((line, i) => h(line === COMMAND ? "code" : i ? "p" : "h2", { text: line })));
    }
    setVisible(this.message, lines !== null);
    setVisible(this.stop, this.training.isRepeating);
  }

  #print(on) {
    this.printing = on;
    this.resized = true;
    this.#draw();
  }

  // texts and numbers that several views use

  /** Tell screen readers where training is. */
  announce() {
    const now = this.state.now();
    if (now) this.trainBar.live.textContent = `update ${now.update}, train loss ${number(now.lossTrain)}${now.lossTest === null ? "" : `, test loss ${number(now.lossTest)}`}`;
  }

  /** The name of the run in focus as a prefix, if several runs are shown. */
  runPrefix() {
    return this.state.selected.length > 1 ? `${shortenLabel(this.state.labelOf(this.state.focus), 24)}: ` : "";
  }

  /** The lines of a unit's tooltip. */
  describeUnit(k) {
    const now = this.state.now(), { architecture } = now.run.model;
    if (architecture) return [`${nameOfUnit(architecture, k)} (${STATUS[now.status[k]]})`];
    const p = now.net;
    return [
      `unit ${k} (${STATUS[now.status[k]]})`,
      `elbow ${placeX(now.run, elbow(p, k))}, ${p.w[k] > 0 ? "active to the right" : "active to the left"}`,
      `bends f by ${signed(slopeJump(p, k))}`,
    ];
  }

  /** The lines of a point's tooltip. */
  describePoint(i) {
    const { run, votes, residual } = this.state.now();
    const { model } = run;
    const candidate = model.feature ? [`asks for θ = ${number(model.candidate(run.x[i], run.y[i]))} with weight ${number(model.weight(run.x[i]))}`] : [];
    return [`point ${i}: x = ${placeX(run, run.x[i])}, y = ${placeY(run, run.y[i])}`, `f − y = ${signed(residual[i])}`, shareInWords(votes.share[i]), ...candidate];
  }

  /**
   * How one update on a point alone would move every unit.
   * @returns elbow, jump: the motion of each unit for a step size of 1; rate: the step size; factor: how much the arrows
   *   enlarge the motion, so that it is visible; pixelsPerMotion: the length in pixels of the arrow for an elbow's motion of 1
   */
  pointMotion(now, i) {
    const cached = this.cachedMotion;
    if (cached && cached.now === now && cached.i === i) return cached;
    const { run, net, trainedNet } = now, { userDistance, userSlope } = run.scaling;
    const g = pointGradient(run.model, trainedNet, run.u, run.t, i, run.trained);
    const moves = Array.from(net.w, (_, k) => {
      const { elbow, jump } = unitMotion(trainedNet, g, k);
      return { elbow: userDistance(elbow), jump: userSlope(jump) };
    });
    const width = run.domain[1] - run.domain[0];
    let maxElbow = 0, maxJump = 0;
    moves.forEach((move, k) => {
      const beta = elbow(net, k);
      if (beta >= run.domain[0] && beta <= run.domain[1]) (maxElbow = Math.max(maxElbow, Math.abs(move.elbow))), (maxJump = Math.max(maxJump, Math.abs(move.jump)));
    });
    const rate = run.rate;
    // the largest arrows are about LONGEST_ELBOW_ARROW and LONGEST_JUMP_ARROW long, but never shorter than the real motion
    const factors = [(LONGEST_ELBOW_ARROW * width) / (maxElbow * rate), (LONGEST_JUMP_ARROW * slopeUnit(run)) / (maxJump * rate)].filter((v) => Number.isFinite(v) && v > 0);
    const factor = factors.length ? Math.max(1, round125(Math.min(...factors))) : 1;
    const { left, right } = this.functionView.plot.area;
    const pixelsPerMotion = factor * rate * ((right - left) / (this.functionView.plot.xScale.high - this.functionView.plot.xScale.low));
    this.cachedMotion = { now, i, elbow: moves.map((m) => m.elbow), jump: moves.map((m) => m.jump), factor, rate, pixelsPerMotion };
    return this.cachedMotion;
  }
}

/** Let an application show its runs. @param {App} app */
export async function start(app) {
  // what the view shows as plain numbers, for the browser's console and for the tests
  Object.defineProperty(window, "reluvizState", { configurable: true, get: () => report(app) });
  await app.start();
  return app;
}

