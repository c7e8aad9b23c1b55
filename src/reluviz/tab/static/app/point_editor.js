// Editing the points in the panel of the function: drag, add and delete them with mouse, touch or keys. The changes
// are those of the branch in focus, or of a new one. A drag is one change; arrow keys that follow each other are one, too.

import { count } from "../core/count.js";
import { extent, holdAxes } from "../drawing/axes.js";
import { number, placeX, placeY } from "../drawing/format.js";
import { MOST_POINTS } from "../trainer/settings.js";

/** Pixels around a point within which it is hit. */
const RADIUS = { mouse: 10, touch: 24 };
/** A pointer that moves by less than this does not drag. */
const STILL = { mouse: 3, touch: 8 };
const DOUBLE_CLICK_MILLISECONDS = 400;
/** An arrow key moves a point by this part of the axes. */
const KEY_STEP = 0.01;
/** Dragged coordinates are rounded to at most this part of the axes, for the length of addresses. */
const ROUNDING = 1 / 2000;
const HINT = window.matchMedia?.("(pointer: coarse)").matches
  ? "Drag a point to move it, tap to add one, tap twice to delete one."
  : "Drag a point, click to add one, double click to delete one. Keys: page up and down select a point, arrows move it, Delete deletes it, + adds one.";

export class PointEditor {
  constructor(app) {
    this.app = app;
    /**
     * The drag in progress, or the last one by keys. `place` is where the point should be, `done` where it is.
     * @type {null|{kind: "x"|"y", from: import("../core/run.js").Run, index: number, branch: any, edit: any, place: any, done: any}}
     */
    this.gesture = null;
    // before the time bar gets the arrow keys
    window.addEventListener("keydown", (event) => this.key(event), true);
  }

  get on() {
    const { editsPoints, mode, runs } = this.app.state;
    return editsPoints && this.app.training.reason === null && (mode !== "side" || runs.length < 2);
  }

  /** Switch the mode on or off. */
  toggle() {
    const { state, training } = this.app, on = !state.editsPoints;
    state.change({ editsPoints: on });
    if (on || training.message === HINT) training.say(on ? HINT : "");
    // a drag should not wait for it
    if (on) void training.engine();
  }

  /** Where the point of a drag will be as soon as the page is ready. */
  get ghost() {
    const { gesture } = this;
    return gesture && !gesture.failed && gesture.place !== gesture.done ? gesture.place : null;
  }

  get #plot() {
    return this.app.functionView.plot;
  }

  // pointer

  #pointAt(px, py, event) {
    return this.app.functionView.pointAt(px, py, RADIUS[event.pointerType] ?? RADIUS.mouse);
  }

  hover(px, py, event) {
    const { state, tooltip } = this.app, { left, right, top, bottom } = this.#plot.area;
    const point = this.#pointAt(px, py, event), inside = px >= left && px <= right && py >= top && py <= bottom;
    if (this.dragging) return "grabbing";
    state.hoverOver({ x: inside ? this.#plot.fromX(px) : null, point });
    if (point !== null) tooltip.show(event, [...this.app.describePoint(point), "drag to move it, double click to delete it"]);
    else if (inside) tooltip.show(event, [`click: a point at ${this.#words(this.#placeAt(px, py))}`]);
    else tooltip.hide();
    return point !== null ? "move" : inside ? "copy" : "default";
  }

  /** @returns {boolean} whether a drag begins */
  down(px, py, event) {
    const { state } = this.app, { left, right, top, bottom } = this.#plot.area, { run } = state;
    // arrow keys then move the point, and not the slider
    document.activeElement?.blur?.();
    if (state.playing) state.change({ playing: false });
    const index = this.#pointAt(px, py, event), { clicked } = this;
    this.dragging = false;
    this.clicked = index === null ? null : { time: event.timeStamp, px, py };
    this.gesture = null;
    if (index !== null && clicked && event.timeStamp - clicked.time < DOUBLE_CLICK_MILLISECONDS && Math.hypot(px - clicked.px, py - clicked.py) < RADIUS.touch) {
      this.clicked = null;
      void this.remove(index);
      return false;
    }
    if (index !== null) {
      state.change({ point: index });
      const offset = { x: this.#plot.X(run.x[index]) - px, y: this.#plot.Y(run.y[index]) - py };
      this.gesture = { kind: "x", from: run, index, offset, start: { px, py }, still: STILL[event.pointerType] ?? STILL.mouse };
      this.dragging = true;
      return true;
    }
    if (px < left || px > right || py < top || py > bottom) {
      state.change({ point: null });
      return false;
    }
    if (this.#isFull()) return false;
    this.gesture = { kind: "y", from: run, offset: { x: 0, y: 0 }, still: 0 };
    holdAxes(state.runs.map((shown) => shown.run));
    this.#moveTo(this.#placeAt(px, py));
    this.dragging = true;
    return true;
  }

  drag(px, py) {
    const { gesture } = this;
    if (!gesture) return;
    if (gesture.still) {
      if (Math.hypot(px - gesture.start.px, py - gesture.start.py) < gesture.still) return;
      gesture.still = 0;
      this.clicked = null;
      this.app.tooltip.hide();
      holdAxes(this.app.state.runs.map(({ run }) => run));
    }
    const { left, right, top, bottom } = this.#plot.area, between = (value, low, high) => Math.max(low, Math.min(high, value));
    this.#moveTo(this.#placeAt(between(px + gesture.offset.x, left, right), between(py + gesture.offset.y, top, bottom)));
  }

  up() {
    this.dragging = false;
    holdAxes(null);
    this.app.invalidate();
  }

  #placeAt(px, py) {
    const { xScale, yScale } = this.#plot;
    return { x: rounded(this.#plot.fromX(px), xScale), y: rounded(this.#plot.fromY(py), yScale) };
  }

  #words({ x, y }) {
    const { run } = this.app.state;
    return `x = ${placeX(run, x)}, y = ${placeY(run, y)}`;
  }

  // keys

  key(event) {
    const { state, training } = this.app, { target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || (target instanceof Element && target.matches("input, select, textarea, .popover *"))) return;
    const { point } = state, steps = KEY_STEP * (event.shiftKey ? 10 : 1);
    const selected = { ArrowLeft: [-steps, 0], ArrowRight: [steps, 0], ArrowUp: [0, steps], ArrowDown: [0, -steps] };
    const actions = {
      p: () => training.reason === null && this.toggle(),
      ...(this.on && { PageUp: () => this.#select(-1), PageDown: () => this.#select(1), "+": () => this.#addInTheMiddle(), Insert: () => this.#addInTheMiddle() }),
      ...(this.on && point !== null && { Delete: () => this.remove(point), Backspace: () => this.remove(point) }),
    };
    const action = this.on && point !== null && selected[event.key] ? () => this.#nudge(...selected[event.key]) : actions[event.key];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    void action();
  }

  #select(direction) {
    const { state } = this.app, { run, point } = state, last = run.x.length - 1;
    const next = point === null ? (direction > 0 ? 0 : last) : Math.max(0, Math.min(last, point + direction));
    state.change({ point: next });
    this.#announce(`point ${next} of 0 to ${last}: ${this.#words({ x: run.x[next], y: run.y[next] })}`);
  }

  /** Move the selected point by parts of the axes. */
  #nudge(dx, dy) {
    const { xScale, yScale } = this.#plot, { state } = this.app, { run, point } = state;
    const { gesture } = this, goesOn = gesture?.byKeys && !gesture.failed && (gesture.busy || (this.#isLast(gesture) && gesture.now === point));
    if (!goesOn) this.gesture = { kind: "x", from: run, index: point, byKeys: true, place: { x: run.x[point], y: run.y[point] } };
    const { x, y } = this.gesture.place;
    this.#moveTo({ x: rounded(x + dx * (xScale.high - xScale.low), xScale), y: rounded(y + dy * (yScale.high - yScale.low), yScale) });
  }

  #addInTheMiddle() {
    if (this.#isFull()) return;
    const { xScale, yScale } = this.#plot;
    this.gesture = { kind: "y", from: this.app.state.run, byKeys: true };
    this.#moveTo({ x: rounded((xScale.low + xScale.high) / 2, xScale), y: rounded((yScale.low + yScale.high) / 2, yScale) });
  }

  // changes

  /** Have the point of the present drag moved: at once, or when the page is ready. */
  async #moveTo(place) {
    const { gesture } = this;
    if (gesture.failed || (gesture.edit && place.x === gesture.place.x && place.y === gesture.place.y)) return;
    gesture.place = place;
    this.app.invalidate();
    if (gesture.busy) return;
    gesture.busy = true;
    while (gesture.done !== gesture.place && !gesture.failed) {
      const wanted = gesture.place;
      gesture.failed = !(await this.#change(gesture, wanted));
      gesture.done = wanted;
    }
    gesture.busy = false;
    if (!gesture.failed) this.#announce(`point at ${this.#words(gesture.place)}`);
    this.app.invalidate();
  }

  /** Make the change of a drag, which replaces its earlier ones. @returns {Promise<boolean>} whether it was possible */
  async #change(gesture, { x, y }) {
    const { training, state } = this.app, { kind, from } = gesture;
    if (!this.#isLast(gesture)) {
      const branch = await training.ready();
      if (!branch) return false;
      const index = kind === "x" ? this.#indexIn(branch, from, gesture.index) : null;
      if (index === -1) return false;
      Object.assign(gesture, { branch, index, before: branch.x, edit: null });
    }
    const { branch, index, before } = gesture, others = kind === "x" ? before.filter((_, j) => j !== index) : before;
    if (!this.#areApart([...others, x])) return false;
    if (!(await training.edit(kind, kind === "x" ? [index, x, y] : [x, y], { replace: Boolean(gesture.edit) }))) return false;
    gesture.edit = branch.edits[branch.edits.length - 1];
    // where the points are sorted to
    gesture.now = before.reduce((sum, other, j) => sum + (j !== index && (other < x || (other === x && (kind === "y" || j < index))) ? 1 : 0), 0);
    state.change({ point: gesture.now, hover: { x: null, unit: null, point: null } });
    return true;
  }

  /** Whether the change of a drag is the last one of the branch in focus, which has not been trained since. */
  #isLast({ branch, edit }) {
    return Boolean(edit) && branch === this.app.training.growing && branch.edits[branch.edits.length - 1] === edit && edit.at === branch.updateCount;
  }

  /** Delete a point. */
  async remove(point) {
    const { training, state } = this.app, from = state.run, branch = await training.ready();
    const index = branch ? this.#indexIn(branch, from, point) : -1;
    if (index === -1 || !this.#areApart(branch.x.filter((_, j) => j !== index))) return;
    if (!(await training.edit("z", [index]))) return;
    state.change({ point: null, hover: { x: null, unit: null, point: null } });
    this.#announce(`point deleted, ${count(branch.x.length)} points left`);
  }

  /** The index in a branch of the point with this index in the run that was shown; -1 if the branch does not have it. */
  #indexIn(branch, run, index) {
    const isSame = (i) => branch.x[i] === run.x[index] && branch.y[i] === run.y[index];
    if (isSame(index)) return index;
    const found = branch.x.findIndex((_, i) => isSame(i));
    if (found < 0) this.app.training.say("This point was not there at the shown update.");
    return found;
  }

  #areApart(x) {
    const [low, high] = extent(x), found = low < high;
    if (!found) this.app.training.say("At least two points with different x are needed.");
    return found;
  }

  #isFull() {
    const full = this.app.state.run.x.length >= MOST_POINTS;
    if (full) this.app.training.say(`The page trains on at most ${count(MOST_POINTS)} points: delete one first.`);
    return full;
  }

  #announce(words) {
    const now = this.app.state.now();
    this.app.trainBar.live.textContent = `${words}; train loss ${number(now.lossTrain)}`;
  }
}

/** A coordinate on a decimal grid that is finer than the eye. */
function rounded(value, { low, high }) {
  const power = Math.floor(Math.log10((high - low) * ROUNDING));
  return power < 0 ? Number(value.toFixed(Math.min(100, -power))) : Math.round(value / 10 ** power) * 10 ** power;
}
