// What is looked at: one object. Views read it, controls change it through `change`, nothing else is shared.

import * as math from "./math.js";

export const MOST_RUNS = 4;
export const SPEEDS = [0.25, 0.5, 1, 2, 4];

export class State {
  constructor() {
    this.listing = [];
    /** @type {Map<string, import("./run.js").Run>} */
    this.loaded = new Map();
    /** @type {{name: string, slot: number}[]} slots keep a run's colour while others come and go */
    this.selected = [];
    this.focus = null;
    this.replica = 0;
    this.update = 0;
    this.following = true;
    this.scale = "linear";
    this.playing = false;
    this.speed = 1;
    this.unit = null;
    this.point = null;
    this.hover = { x: null, unit: null, point: null };
    this.show = { truth: true, units: "hidden", slope: false, solved: false, floor: false, trails: true, fan: true };
    this.mode = "overlay";
    this.measure = "share";
    /** @type {null|{run: string, net: math.Net, moved: Set<number>, solved: boolean}} */
    this.whatif = null;
    this.dark = false;
    this.failures = new Map();
    this.listeners = [];
    this.updates = new Float64Array(0);
    this.dirty = 0;
  }

  /** Change something, and tell the views. */
  change(changes) {
    Object.assign(this, changes);
    this.dirty += 1;
    for (const listener of this.listeners) listener();
  }

  get run() {
    return this.loaded.get(this.focus) ?? null;
  }

  /** The runs that are selected and loaded, with their slots; the one in focus last, so that it is drawn on top. */
  get runs() {
    const found = this.selected.filter(({ name }) => this.loaded.has(name)).map(({ name, slot }) => ({ run: this.loaded.get(name), slot }));
    return found.sort((a, b) => (a.run.name === this.focus) - (b.run.name === this.focus));
  }

  slotOf(name) {
    return this.selected.find((one) => one.name === name)?.slot ?? 0;
  }

  /** All updates at which one of the runs has a snapshot: what the slider steps through. */
  collectUpdates() {
    const runs = this.runs.map(({ run }) => run.update);
    if (runs.length === 1) this.updates = runs[0];
    else this.updates = Float64Array.from(new Set(runs.flatMap((one) => Array.from(one)))).sort();
    if (this.updates.length && (this.following || this.update > this.last)) this.update = this.last;
  }

  get last() {
    return this.updates.length ? this.updates[this.updates.length - 1] : 0;
  }

  /** The index in `updates` of the last at or before an update. */
  indexOf(update) {
    let low = 0, high = this.updates.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.updates[middle] <= update) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** The update nearest to where the slider stands, 0 to 1. */
  nearest(t) {
    const update = this.time.g(t);
    const i = this.indexOf(update), next = Math.min(i + 1, this.updates.length - 1);
    const f = this.time.f;
    return Math.abs(f(this.updates[next]) - t) < Math.abs(f(this.updates[i]) - t) ? this.updates[next] : this.updates[i];
  }

  /** The scale of time, on the slider and in every view: linear, or logarithmic with room for update 0. */
  get time() {
    const last = this.last || 1;
    if (this.scale === "linear") return { key: `lin${last}`, f: (u) => u / last, g: (t) => t * last };
    const first = this.updates.length > 1 ? this.updates[this.updates[0] > 0 ? 0 : 1] : 1;
    const whole = Math.log1p(last / first);
    return { key: `log${first},${last}`, first, f: (u) => Math.log1p(u / first) / whole, g: (t) => first * Math.expm1(t * whole) };
  }

  /** Go to an update; following again where it is the last. */
  goto(update) {
    this.change({ update, following: update >= this.last });
  }

  stepBy(count) {
    const i = Math.max(0, Math.min(this.updates.length - 1, this.indexOf(this.update) + count));
    this.change({ playing: false });
    this.goto(this.updates[i]);
  }

  /** What is true now of the run in focus; computed once for all views. */
  now() {
    const run = this.run;
    if (!run || !run.S) return null;
    const s = run.at(this.update), r = Math.min(this.replica, run.R - 1);
    const what = this.whatif && this.whatif.run === run.name ? this.whatif : null;
    const kept = this.kept;
    if (kept && kept.run === run && kept.version === run.version && kept.s === s && kept.r === r && kept.what === what) return kept;
    const runNet = run.net(s, r);
    const net = what ? what.net : runNet;
    const votes = math.votes(net, run.x, run.y, run.trained);
    this.kept = {
      run, version: run.version, s, r, what, net, runNet, votes,
      update: run.update[s],
      finite: math.isFinite_(net),
      lossTrain: votes.loss,
      lossTest: run.xTest ? math.loss(net, run.xTest, run.yTest) : null,
      lossRun: what ? math.loss(runNet, run.x, run.y) : votes.loss,
      status: net.model === "relu" ? Uint8Array.from(net.w, (_, k) => math.status(net, k, run.low, run.high)) : null,
    };
    return this.kept;
  }

  /** The unit or point that is attended to: under the pointer, or selected. */
  get activeUnit() {
    const k = this.hover.unit ?? this.unit;
    return k !== null && this.run && k < this.run.W ? k : null;
  }

  get activePoint() {
    const i = this.hover.point ?? this.point;
    return i !== null && this.run && i < this.run.x.length ? i : null;
  }

  /** Start from the run as it is now, and change the network by hand. */
  edit(change, note = {}) {
    const now = this.now();
    if (!now || !now.finite) return;
    const before = this.whatif?.run === now.run.name ? this.whatif : { run: now.run.name, moved: new Set(), solved: false };
    const net = change(now.net);
    if (!net) return;
    const moved = new Set(before.moved);
    if (note.unit !== undefined) moved.add(note.unit);
    this.change({ playing: false, whatif: { ...before, net, moved, solved: note.solved ?? before.solved } });
  }

  setElbow(k, beta) {
    this.edit((p) => (p.w[k] === 0 ? null : { ...p, b: p.b.with(k, -beta * p.w[k]) }), { unit: k });
  }

  setSlopeJump(k, jump) {
    this.edit((p) => (p.w[k] === 0 ? null : { ...p, v: p.v.with(k, jump / Math.abs(p.w[k])) }), { unit: k });
  }

  /** Change w_k and leave the elbow where it is. */
  setInputSlope(k, w) {
    this.edit((p) => (p.w[k] === 0 ? null : { ...p, w: p.w.with(k, w), b: p.b.with(k, (p.b[k] / p.w[k]) * w) }), { unit: k });
  }

  setOutputWeight(k, v) {
    this.edit((p) => ({ ...p, v: p.v.with(k, v) }), { unit: k });
  }

  setTheta(theta) {
    this.edit((p) => ({ ...p, theta }));
  }

  solveOutput() {
    const { x, y } = this.run;
    this.edit((p) => math.solveOutput(p, x, y).net, { solved: true });
  }

  reset() {
    this.change({ whatif: null });
  }
}
