// The slider, play, speed and keys.

import { count } from "./format.js";
import { h, say, segmented, show } from "./dom.js";
import { SPEEDS } from "./state.js";

const FINE = 10000;
/** A whole run takes this long at speed 1. */
const SECONDS = 14;

export class TimeBar {
  constructor(app) {
    this.app = app;
    const { state } = app;
    this.play = h("button.play", { type: "button", title: "Play or pause (space)", "aria-label": "Play", onclick: () => this.toggle() });
    const small = (text, title, act) => h("button.small", { type: "button", text, title, "aria-label": title, onclick: act });
    this.slider = h("input.slider", { type: "range", min: 0, max: FINE, step: 1, value: 0, "aria-label": "Update", title: "Arrows: one snapshot; with shift ten; home and end" });
    this.slider.addEventListener("input", () => {
      state.change({ playing: false });
      state.goto(state.nearest(Number(this.slider.value) / FINE));
    });
    this.where = h("output.where");
    this.of = h("span.of");
    this.scale = segmented("Scale of time", [["linear", "linear", "Equal steps of updates"], ["log", "log", "Early updates get as much room as late ones"]], (scale) => state.change({ scale }));
    this.speed = h("button.small.speed", { type: "button", title: "Speed", onclick: () => state.change({ speed: SPEEDS[(SPEEDS.indexOf(state.speed) + 1) % SPEEDS.length] }) });
    this.live = h("button.small.live", { type: "button", text: "● follow", title: "Stay at the newest snapshot while the run trains", onclick: () => state.goto(state.last) });
    this.element = h(
      "footer.time",
      {},
      small("«", "First snapshot (home)", () => this.#jump(-Infinity)),
      small("‹", "One snapshot back (←)", () => state.stepBy(-1)),
      this.play,
      small("›", "One snapshot on (→)", () => state.stepBy(1)),
      small("»", "Last snapshot (end)", () => this.#jump(Infinity)),
      this.slider,
      h("div.reading", {}, this.where, this.of),
      this.scale.element,
      this.speed,
      this.live,
    );
    window.addEventListener("keydown", (event) => this.key(event));
    // a button that was clicked would take the space bar, and a frame that was not clicked gets no keys
    window.addEventListener("pointerup", () => document.activeElement instanceof HTMLButtonElement && document.activeElement.blur());
    window.addEventListener("pointerdown", () => window.focus());
    // in a notebook the reader's own cell keeps the keys
    if (app.source.live) window.focus();
  }

  #jump(count_) {
    this.app.state.stepBy(count_ < 0 ? -this.app.state.updates.length : this.app.state.updates.length);
  }

  toggle() {
    const { state } = this.app;
    if (state.updates.length < 2) return;
    if (!state.playing && state.update >= state.last) state.goto(state.updates[0]);
    this.place = null;
    state.change({ playing: !state.playing });
  }

  key(event) {
    const { state } = this.app;
    const typing = event.target instanceof Element && event.target.matches("input:not([type=range]), textarea, select");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const far = event.shiftKey ? 10 : 1;
    const acts = {
      " ": () => this.toggle(),
      ArrowLeft: () => state.stepBy(-far),
      ArrowRight: () => state.stepBy(far),
      Home: () => this.#jump(-Infinity),
      End: () => this.#jump(Infinity),
      Escape: () => (state.whatif ? state.reset() : state.change({ unit: null, point: null })),
    };
    const act = acts[event.key];
    if (!act || (event.key === " " && event.target instanceof Element && event.target.matches("button:not(.play)"))) return;
    event.preventDefault();
    act();
  }

  /** Move on while playing: by the time that has passed, to a snapshot that exists. @returns {boolean} still playing */
  advance(elapsed) {
    const { state } = this.app;
    const { f, g } = state.time;
    this.place = (this.place ?? f(state.update)) + (elapsed / 1000 / SECONDS) * state.speed;
    const next = state.indexOf(g(Math.min(1, this.place)) + 1e-9);
    const update = this.place >= 1 ? state.last : state.updates[next];
    if (update !== state.update) state.goto(update);
    if (this.place >= 1) {
      this.place = null;
      state.change({ playing: false });
    }
    return state.playing;
  }

  draw() {
    const { state } = this.app;
    const ready = state.updates.length > 0;
    show(this.element, ready);
    if (!ready) return;
    say(this.play, state.playing ? "❚❚" : "▶");
    this.play.setAttribute("aria-label", state.playing ? "Pause" : "Play");
    const t = state.last > 0 ? state.time.f(state.update) : 0;
    const value = String(Math.round(t * FINE));
    if (this.slider.value !== value) this.slider.value = value;
    this.slider.style.setProperty("--done", `${(t * 100).toFixed(2)}%`);
    this.slider.disabled = state.updates.length < 2;
    say(this.where, `update ${count(state.update)}`);
    const run = state.run;
    const thin = run && run.stride > 1 ? `, every ${run.stride}th shown` : "";
    say(this.of, state.updates.length === 1 ? "the only snapshot" : `${count(state.indexOf(state.update) + 1)} of ${count(state.updates.length)} snapshots${thin}`);
    this.scale.set(state.scale);
    say(this.speed, `${state.speed}×`.replace("0.25", "¼").replace("0.5", "½"));
    show(this.live, this.app.source.live);
    this.live.classList.toggle("on", state.following);
  }
}
