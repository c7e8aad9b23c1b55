// Puts source, state and views together: what is loaded, when to draw, and what the address holds.

import * as math from "./math.js";
import * as link from "./link.js";
import { Run } from "./run.js";
import { MOST_RUNS, State } from "./state.js";
import { palette } from "./theme.js";
import { h, show } from "./dom.js";
import { number, percent, short, signed } from "./format.js";
import { largeness, round125 } from "./plot.js";
import { slopeUnit } from "./frame.js";
import { Tip } from "./pointer.js";
import { FunctionView, SlopeView } from "./function.js";
import { VotesView } from "./votes.js";
import { WorldlinesView } from "./worldlines.js";
import { ParametersView } from "./parameters.js";
import { LossesView } from "./losses.js";
import { ParabolaView, PathView } from "./parabola.js";
import { Inspector } from "./inspector.js";
import { TimeBar } from "./time.js";
import { RunBar } from "./compare.js";

const POLL = 500, KEPT_FRAMES = 1200;
const COMMAND = "python -m reluviz train +exp=relu";

export class App {
  constructor(root, source) {
    this.root = root;
    this.source = source;
    this.state = new State();
    this.frames = [];
    this.tip = new Tip();
    this.state.dark = link.hostIsDark(!source.live);
    this.#build();
    this.state.listeners.push(() => this.invalidate());
  }

  get colours() {
    return palette(this.printing ? false : this.state.dark);
  }

  #build() {
    this.bar = new RunBar(this);
    this.time = new TimeBar(this);
    this.inspector = new Inspector(this);
    this.functionView = new FunctionView(this);
    this.slope = new SlopeView(this);
    this.votes = new VotesView(this);
    this.worldlines = new WorldlinesView(this);
    this.parameters = new ParametersView(this);
    this.losses = new LossesView(this);
    this.parabola = new ParabolaView(this);
    this.path = new PathView(this);
    this.views = [this.functionView, this.slope, this.votes, this.worldlines, this.parabola, this.path, this.parameters, this.losses];
    this.message = h("div.message", { role: "status" });
    if (!this.source.live) {
      this.bar.element.append(h("button.toggle.theme", { type: "button", text: "◐", title: "Light or dark", "aria-label": "Light or dark", onclick: () => this.state.change({ dark: !this.state.dark }) }));
    }
    this.main = h(
      "main",
      {},
      h("div.left", {}, this.functionView.element, this.slope.element, this.votes.element, this.worldlines.element, this.path.element),
      h("div.right", {}, this.inspector.element, this.parabola.element, this.parameters.element, this.losses.element),
    );
    this.root.replaceChildren(this.bar.element, this.message, this.main, this.time.element, this.tip.element);
  }

  async start() {
    const wanted = link.read(!this.source.live);
    await this.#list();
    const { state } = this;
    const names = (wanted.runs ? link.split(wanted.runs) : []).filter((name) => this.#listed(name)).slice(0, MOST_RUNS);
    // a page holds what its author has chosen; a folder of logs may hold hundreds
    if (!names.length && state.listing.length) names.push(...(this.source.live ? [this.#newest()] : state.listing.slice(0, MOST_RUNS).map((one) => one.run)));
    await Promise.all(names.map((name) => this.#select(name)));
    this.#restore(wanted);
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
    link.watchDark(!this.source.live, () => state.change({ dark: link.hostIsDark(!this.source.live) }));
    link.listen(!this.source.live, () => this.#follow());
    window.addEventListener("beforeprint", () => this.#print(true));
    window.addEventListener("afterprint", () => this.#print(false));
    if (this.source.live) this.#poll();
    this.invalidate();
  }

  #listed(name) {
    return this.state.listing.some((one) => one.run === name);
  }

  /** The run that was written last: what a reader who has just trained wants to see. */
  #newest() {
    return this.state.listing.reduce((a, b) => ((b.wall ?? 0) > (a.wall ?? 0) ? b : a)).run;
  }

  async #list() {
    const { state } = this;
    const before = this.failure ?? null;
    try {
      const listing = await this.source.runs();
      this.failure = null;
      // asked for twice a second: drawn again only where something is new
      if (JSON.stringify(listing) !== JSON.stringify(state.listing)) state.change({ listing });
    } catch (error) {
      this.failure = String(error.message ?? error);
    }
    if (this.failure !== before) this.invalidate();
  }

  async #load(name) {
    const blob = (kind) => this.source.blob(name, kind);
    const [data, params, scalars] = await Promise.all([blob("data"), blob("params"), blob("scalars").catch(() => null)]);
    const run = new Run(name, data, params, scalars);
    run.born = this.state.listing.find((one) => one.run === name)?.born;
    run.seen = this.state.listing.find((one) => one.run === name)?.wall;
    return run;
  }

  async #select(name) {
    const { state } = this;
    if (state.selected.some((one) => one.name === name) || state.selected.length >= MOST_RUNS) return;
    const used = new Set(state.selected.map(({ slot }) => slot));
    const slot = [0, 1, 2, 3].find((one) => !used.has(one));
    state.change({ selected: [...state.selected, { name, slot }], focus: state.focus ?? name });
    await this.#fetch(name);
  }

  async #fetch(name) {
    const { state } = this;
    try {
      const run = await this.#load(name);
      if (!state.selected.some((one) => one.name === name)) return;
      state.loaded.set(name, run);
      state.failures.delete(name);
    } catch (error) {
      state.failures.set(name, String(error.message ?? error).trim());
    }
    this.#took();
  }

  /** After runs have come, gone or grown. */
  #took() {
    const { state } = this;
    const first = state.updates.length === 0;
    state.collectUpdates();
    if (first && state.updates.length > 2) state.scale = crowdedEarly(state.updates) ? "log" : "linear";
    state.change({});
  }

  async toggle(name) {
    const { state } = this;
    if (!state.selected.some((one) => one.name === name)) return this.#select(name);
    if (state.selected.length === 1) return undefined;
    const selected = state.selected.filter((one) => one.name !== name);
    state.loaded.delete(name);
    state.failures.delete(name);
    state.change({ selected, focus: state.focus === name ? selected[0].name : state.focus, whatif: null });
    this.#took();
    return undefined;
  }

  focus(name) {
    const { state } = this;
    if (state.focus !== name) state.change({ focus: name, whatif: null, unit: null, point: null, hover: { x: null, unit: null, point: null } });
  }

  // the address

  #restore(wanted) {
    const { state } = this;
    const whole = (text) => (/^\d{1,16}$/.test(text ?? "") ? Number(text) : null);
    const changes = {};
    if (wanted.focus && state.loaded.has(wanted.focus)) changes.focus = wanted.focus;
    if (["linear", "log"].includes(wanted.scale)) changes.scale = wanted.scale;
    if (["overlay", "side"].includes(wanted.mode)) changes.mode = wanted.mode;
    if (["share", "residual", "norm", "elbow"].includes(wanted.votes)) changes.measure = wanted.votes;
    changes.unit = whole(wanted.unit);
    changes.point = whole(wanted.point);
    changes.replica = whole(wanted.replica) ?? 0;
    if (wanted.slope === "1") changes.show = { ...state.show, slope: true };
    const update = whole(wanted.step);
    state.change(changes);
    const run = state.run;
    if (run) {
      if (state.unit !== null && state.unit >= run.W) state.unit = null;
      if (state.point !== null && state.point >= run.x.length) state.point = null;
      if (state.replica >= run.R) state.replica = 0;
    }
    if (update !== null && state.updates.length) state.goto(state.updates[state.indexOf(update)]);
  }

  get address() {
    const { state } = this;
    const known = state.run;
    return {
      runs: link.join(state.selected.map(({ name }) => name)),
      focus: state.selected.length > 1 ? state.focus : null,
      step: state.following ? null : state.update,
      unit: state.unit,
      point: state.point,
      replica: known && known.R > 1 && state.replica ? state.replica : null,
      scale: state.scale === "log" ? "log" : null,
      mode: state.mode === "side" ? "side" : null,
      votes: state.measure === "share" ? null : state.measure,
      slope: state.show.slope ? "1" : null,
    };
  }

  #keepAddress() {
    clearTimeout(this.addressTimer);
    this.addressTimer = setTimeout(() => {
      if (this.ready && !this.state.playing && this.state.selected.length) link.write(!this.source.live, this.address);
    }, 250);
  }

  async #follow() {
    const wanted = link.read(!this.source.live);
    if (!wanted.runs) return;
    const names = link.split(wanted.runs).filter((name) => this.#listed(name)).slice(0, MOST_RUNS);
    if (!names.length) return;
    for (const { name } of [...this.state.selected]) if (!names.includes(name) && this.state.selected.length > 1) await this.toggle(name);
    for (const name of names) await this.#select(name);
    for (const { name } of [...this.state.selected]) if (!names.includes(name)) await this.toggle(name);
    this.#restore(wanted);
  }

  // runs that are still training

  #poll() {
    setTimeout(async () => {
      try {
        if (!document.hidden) await this.#look();
      } finally {
        this.#poll();
      }
    }, POLL);
  }

  async #look() {
    const { state } = this;
    await this.#list();
    if (!state.selected.length && state.listing.length) await this.#select(this.#newest());
    for (const { name } of state.selected) {
      const told = state.listing.find((one) => one.run === name), run = state.loaded.get(name);
      if (!told) continue;
      if (!run) await this.#fetch(name);
      else if (told.wall !== run.seen || told.last !== run.update[run.S - 1]) await this.#grow(run, told);
    }
  }

  async #grow(run, told) {
    try {
      const kept = run.grid;
      const after = kept > 0 ? run.update[kept - 1] : undefined;
      const [later, scalars] = await Promise.all([
        this.source.blob(run.name, "params", after),
        this.source.blob(run.name, "scalars").catch(() => null),
      ]);
      if (told.born !== run.born || !run.extend(later)) {
        await this.#fetch(run.name);
        return;
      }
      run.seen = told.wall;
      run.setScalars(scalars);
      this.#took();
    } catch (error) {
      this.state.failures.set(run.name, String(error.message ?? error));
    }
  }

  // drawing

  invalidate() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame((time) => {
      this.pending = false;
      this.#frame(time);
    });
  }

  #frame(time) {
    const started = performance.now();
    if (this.state.playing) {
      this.time.advance(this.lastTime ? Math.min(200, time - this.lastTime) : 0);
      this.lastTime = time;
    } else this.lastTime = null;
    this.#draw();
    const spent = performance.now() - started;
    this.frames.push({ spent, played: this.state.playing });
    if (this.frames.length > KEPT_FRAMES) this.frames.shift();
    if (this.state.playing) this.invalidate();
    else this.#keepAddress();
  }

  #draw() {
    const { state } = this;
    document.documentElement.classList.toggle("dark", state.dark && !this.printing);
    document.documentElement.classList.toggle("printing", Boolean(this.printing));
    document.documentElement.style.setProperty("--large", largeness().toFixed(3));
    this.bar.draw();
    this.time.draw();
    const now = state.now();
    this.#say(now);
    show(this.main, Boolean(now));
    if (!now) return;
    const net = now.run.model === "relu";
    show(this.worldlines.element, net);
    show(this.parameters.element, net);
    show(this.parabola.element, !net);
    show(this.path.element, !net);
    this.main.classList.toggle("one-parameter", !net);
    this.main.classList.toggle("with-slope", state.show.slope);
    this.inspector.draw();
    for (const view of this.views) {
      if (view.element.hidden && view !== this.slope) continue;
      // asking for sizes makes the browser lay out, so only when they may have changed
      if (this.resized || this.printing || (!view.plot.visible && !view.element.hidden)) view.plot.resize();
      view.draw();
    }
    this.resized = false;
  }

  /** What to do where there is nothing to see. */
  #say(now) {
    const { state } = this;
    const failure = state.failures.get(state.focus);
    let lines = null;
    if (this.failure && !state.listing.length) lines = ["TensorBoard does not answer.", this.failure];
    else if (!state.listing.length && this.ready) lines = ["No run of reluviz here yet.", "Make one, and it appears by itself:", COMMAND];
    else if (!now && failure) lines = [`${state.focus} cannot be shown.`, failure];
    else if (!now) lines = ["Reading …"];
    const key = JSON.stringify(lines);
    if (key !== this.said) {
      this.said = key;
      this.message.replaceChildren(...(lines ?? []).map((line, i) => h(line === COMMAND ? "code" : i ? "p" : "h2", { text: line })));
    }
    show(this.message, lines !== null);
  }

  #print(on) {
    this.printing = on;
    this.resized = true;
    this.#draw();
  }

  // words that several views use

  /** Whose units and votes these are, where several runs are shown. */
  whose() {
    return this.state.selected.length > 1 ? `${short(this.state.focus, 24)}: ` : "";
  }

  unitLines(k) {
    const now = this.state.now();
    const p = now.net;
    return [
      `unit ${k} (${math.STATUS[now.status[k]]})`,
      `elbow ${number(math.elbow(p, k))}, ${p.w[k] > 0 ? "active to the right" : "active to the left"}`,
      `bends f by ${signed(math.slopeJump(p, k))}`,
    ];
  }

  pointLines(i) {
    const { run, votes, net } = this.state.now();
    const asks = net.model === "relu" ? [] : [`asks for θ = ${number(math.candidate(net.model, run.x[i], run.y[i]))} with weight ${number(math.weight(net.model, run.x[i]))}`];
    return [`x = ${number(run.x[i])}, y = ${number(run.y[i])}`, `f − y = ${signed(votes.residual[i])}`, `${percent(votes.share[i])} of the step`, ...asks];
  }

  /** How a point alone would move every unit in one update, and the factor at which that can be seen. */
  pushes(now, i) {
    const kept = this.keptPushes;
    if (kept && kept.now === now && kept.i === i) return kept;
    const { run, net } = now;
    const g = math.contribution(net, run.x, run.y, i, 1, run.trained);
    const moves = Array.from(net.w, (_, k) => math.unitMotion(net, g, k));
    const width = run.domain[1] - run.domain[0];
    let elbow = 0, jump = 0;
    moves.forEach((move, k) => {
      const beta = math.elbow(net, k);
      if (beta >= run.domain[0] && beta <= run.domain[1]) (elbow = Math.max(elbow, Math.abs(move.elbow))), (jump = Math.max(jump, Math.abs(move.jump)));
    });
    const rate = run.rate;
    const goals = [(0.08 * width) / (elbow * rate), (0.8 * slopeUnit(run)) / (jump * rate)].filter((v) => Number.isFinite(v) && v > 0);
    const factor = goals.length ? Math.max(1, round125(Math.min(...goals))) : 1;
    const { left, right } = this.functionView.plot.area;
    const scaleX = factor * rate * ((right - left) / (this.functionView.plot.sx.high - this.functionView.plot.sx.low));
    this.keptPushes = { now, i, elbow: moves.map((m) => m.elbow), jump: moves.map((m) => m.jump), factor, rate, scaleX };
    return this.keptPushes;
  }

  /** For tests and for the curious: what is shown, as numbers. */
  report() {
    const { state } = this;
    const now = state.now();
    const played = this.frames.filter((f) => f.played).map((f) => f.spent).sort((a, b) => a - b);
    const spot = (view, x, y) => {
      const at = view.plot.canvas.getBoundingClientRect();
      return { x: at.left + x * view.plot.zoom, y: at.top + y * view.plot.zoom };
    };
    return {
      ready: Boolean(this.ready && now),
      runs: state.listing.map((one) => one.run),
      selected: state.selected.map(({ name }) => name),
      failures: Object.fromEntries(state.failures),
      focus: state.focus,
      replica: state.replica,
      model: now?.run.model ?? null,
      update: state.update,
      snapshots: now ? Array.from(now.run.update) : [],
      total: now?.run.total ?? 0,
      stride: now?.run.stride ?? 1,
      following: state.following,
      playing: state.playing,
      scale: state.scale,
      unit: state.unit,
      point: state.point,
      dark: state.dark,
      measure: state.measure,
      mode: state.mode,
      whatif: Boolean(now?.what),
      message: this.message.hidden ? null : this.message.textContent,
      net: now ? plain(now.net) : null,
      elbows: now && now.net.model === "relu" ? Array.from(math.elbows(now.net)) : null,
      slopeJumps: now && now.net.model === "relu" ? Array.from(math.slopeJumps(now.net)) : null,
      status: now?.status ? Array.from(now.status, (code) => math.STATUS[code]) : null,
      residual: now ? Array.from(now.votes.residual) : null,
      share: now ? Array.from(now.votes.share) : null,
      lossTrain: now?.lossTrain ?? null,
      lossTest: now?.lossTest ?? null,
      votesDrawn: this.votes.drawn ?? null,
      obeyed: this.functionView.obeyed ?? null,
      frames: { count: played.length, median: quantile(played, 0.5), p95: quantile(played, 0.95) },
      places: {
        elbows: (this.functionView.hits?.elbows ?? []).map(({ k, x, y }) => ({ k, ...spot(this.functionView, x, y) })),
        points: Array.from({ length: (this.functionView.hits?.points.length ?? 0) / 2 }, (_, i) => ({ i, ...spot(this.functionView, this.functionView.hits.points[2 * i], this.functionView.hits.points[2 * i + 1]) })),
        units: (this.parameters.hits ?? []).map(({ k, x, y }) => ({ k, ...spot(this.parameters, x, y) })),
        theta: this.parabola.handle ? spot(this.parabola, this.parabola.handle.x, this.parabola.handle.y) : null,
      },
    };
  }
}

const quantile = (sorted, q) => (sorted.length ? sorted[Math.floor(q * (sorted.length - 1))] : null);

const plain = (net) => Object.fromEntries(Object.entries(net).map(([key, value]) => [key, value instanceof Float64Array ? Array.from(value) : value]));

/** Whether most snapshots are early: on a linear axis they could not be told apart. */
function crowdedEarly(updates) {
  const last = updates[updates.length - 1];
  let early = 0;
  for (const u of updates) early += u <= 0.1 * last;
  return early > 0.5 * updates.length;
}

/** Put the view into an element. */
export async function start(root, source) {
  const app = new App(root, source);
  Object.defineProperty(window, "reluvizState", { configurable: true, get: () => app.report() });
  await app.start();
  return app;
}

