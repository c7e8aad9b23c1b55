// The time bar: slider, play, speed and keys.

import { count } from "../core/count.js";
import { h, segmented, setText, setVisible } from "../drawing/dom.js";
import { SPEEDS } from "./state.js";

const SLIDER_STEPS = 10000;
/** Playing a whole run takes this long at speed 1. */
const PLAY_SECONDS = 14;

export class TimeBar {
  constructor(app) {
    this.app = app;
    const { state } = app;
    this.play = h("button.play", { type: "button", title: "Play or pause (space)", "aria-label": "Play", onclick: () => this.toggle() });
    const small = (text, title, onClick) => h("button.small", { type: "button", text, title, "aria-label": title, onclick: onClick });
    this.slider = h("input.slider", { type: "range", min: 0, max: SLIDER_STEPS, step: 1, value: 0, "aria-label": "Update", title: "Arrow keys: one snapshot, with shift ten; home and end" });
    this.slider.addEventListener("input", () => {
      state.change({ playing: false });
      state.goTo(state.nearest(Number(this.slider.value) / SLIDER_STEPS));
    });
    this.updateText = h("output.where");
    this.snapshotText = h("span.of");
    this.scale = segmented("Scale of time", [["linear", "linear", "Each update gets the same space"], ["log", "log", "Each tenfold number of updates gets the same space"]], (scale) => state.change({ scale }));
    this.speed = h("button.small.speed", { type: "button", title: "Speed", onclick: () => state.change({ speed: SPEEDS[(SPEEDS.indexOf(state.speed) + 1) % SPEEDS.length] }) });
    this.live = h("button.small.live", { type: "button", text: "● follow", title: "Show the newest snapshot while the run trains", onclick: () => state.goTo(state.last) });
    this.element = h(
      "footer.time",
      {},
      small("«", "First snapshot (home)", () => this.#toEnd(-1)),
      small("‹", "One snapshot back (←)", () => state.stepBy(-1)),
      this.play,
      small("›", "One snapshot forward (→)", () => state.stepBy(1)),
      small("»", "Last snapshot (end)", () => this.#toEnd(1)),
      this.slider,
      h("div.reading", {}, this.updateText, this.snapshotText),
      this.scale.element,
      this.speed,
      this.live,
    );
    window.addEventListener("keydown", (event) => this.key(event));
    // a button that was clicked would get the space bar, and a frame gets keys only after a click
    window.addEventListener("pointerup", () => document.activeElement instanceof HTMLButtonElement && document.activeElement.blur());
    window.addEventListener("pointerdown", () => window.focus());
    // in a notebook the keys belong to the user's cell
    if (app.source.live) window.focus();
  }

  /** Go to the first snapshot (-1) or the last (1). */
  #toEnd(direction) {
    this.app.state.stepBy(direction * this.app.state.updates.length);
  }

  toggle() {
    const { state, training } = this.app;
    // there is nothing to play beyond the end of a branch: it trains
    if (training.on || training.growing) return void training.toggle();
    if (state.updates.length < 2) return;
    if (!state.playing && state.update >= state.last) state.goTo(state.updates[0]);
    this.position = null;
    state.change({ playing: !state.playing });
  }

  key(event) {
    const { state } = this.app;
    const typing = event.target instanceof Element && event.target.matches("input:not([type=range]), textarea, select");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 10 : 1;
    const actions = {
      " ": () => this.toggle(),
      ArrowLeft: () => state.stepBy(-step),
      ArrowRight: () => state.stepBy(step),
      Home: () => this.#toEnd(-1),
      End: () => this.#toEnd(1),
      t: () => this.app.training.toggle(),
      Escape: () => (state.whatIf ? state.reset() : state.change({ unit: null, point: null })),
    };
    const action = actions[event.key];
    if (!action || (event.key === " " && event.target instanceof Element && event.target.matches("button:not(.play)"))) return;
    event.preventDefault();
    action();
  }

  /** Advance by the time that has passed, to an existing snapshot. @returns {boolean} whether it still plays */
  advance(elapsed) {
    const { state } = this.app;
    const { f, g } = state.time;
    this.position = (this.position ?? f(state.update)) + (elapsed / 1000 / PLAY_SECONDS) * state.speed;
    const next = state.indexOf(g(Math.min(1, this.position)) + 1e-9);
    const update = this.position >= 1 ? state.last : state.updates[next];
    if (update !== state.update) state.goTo(update);
    if (this.position >= 1) {
      this.position = null;
      state.change({ playing: false });
    }
    return state.playing;
  }

  draw() {
    const { state } = this.app;
    const ready = state.updates.length > 0;
    setVisible(this.element, ready);
    if (!ready) return;
    setText(this.play, state.playing ? "❚❚" : "▶");
    this.play.setAttribute("aria-label", state.playing ? "Pause" : "Play");
    const t = state.last > 0 ? state.time.f(state.update) : 0;
    const value = String(Math.round(t * SLIDER_STEPS));
    if (this.slider.value !== value) this.slider.value = value;
    this.slider.style.setProperty("--done", `${(t * 100).toFixed(2)}%`);
    this.slider.disabled = state.updates.length < 2;
    setText(this.updateText, `update ${count(state.update)}`);
    const run = state.run;
    const thinned = run && run.stride > 1 && !run.isBranch ? `, every ${run.stride}th shown` : "";
    setText(this.snapshotText, state.updates.length === 1 ? "the only snapshot" : `${count(state.indexOf(state.update) + 1)} of ${count(state.updates.length)} snapshots${thinned}`);
    this.scale.set(state.scale);
    setText(this.speed, `${state.speed}×`.replace("0.25", "¼").replace("0.5", "½"));
    setVisible(this.live, this.app.source.live);
    this.live.classList.toggle("on", state.followingLatest);
  }
}
