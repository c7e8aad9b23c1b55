// The panel "Data": built-in data sets, and the user's own points from a text or a file. A text is only ever data.

import { count } from "../core/count.js";
import { h, setText, setVisible } from "../drawing/dom.js";
import { number } from "../drawing/format.js";
import { popover } from "../drawing/popover.js";
import { DATA_SETS } from "../trainer/edits.js";
import { decodeBytes, LONGEST_TEXT, readPoints } from "../trainer/point_text.js";
import { MOST_POINTS, SETTINGS, valueOf } from "../trainer/settings.js";

/** A larger file has more characters than the page reads, in any encoding. */
const LARGEST_FILE = 4e6;

export class DataPanel {
  constructor(app) {
    this.app = app;
    const button = (text, title, onclick) => h("button.action", { type: "button", text, title, onclick });
    this.fields = new Map(["data", "n", "noise", "data_seed"].map((key) => [key, field(SETTINGS.find((setting) => setting.key === key))]));
    this.anew = button("Draw anew", "Other points with other noise: the next data seed", () => this.#drawAnew());
    this.text = h("textarea", { rows: 5, cols: 34, spellcheck: "false", placeholder: "x,y\n0.1,0.52\n0.4,-0.3", "aria-label": "Your points as CSV", onpaste: (event) => this.#paste(event) });
    this.file = h("input", { type: "file", hidden: true, accept: ".csv,.tsv,.txt,text/*", onchange: () => this.#open(this.file.files) });
    this.begin = h("input", { type: "checkbox", checked: true });
    this.beginBox = h("label", { title: "Otherwise the network goes on with these points from what it has learned so far" }, this.begin, " begin at update 0");
    this.size = h("p.note");
    this.note = h("p.note", { role: "status" });
    const popup = popover("Data", "Other points", [
      this.size,
      h("div.row-of-fields", {}, ...[...this.fields.values()].map(({ element }) => element)),
      h("div.row-of-fields", {}, button("Use these data", "Train on this built-in data set", () => this.#useBuiltIn()), this.anew),
      h("label.own", {}, "Your points: paste two columns, x and y", this.text),
      h("div.row-of-fields", {}, button("Use these points", "Train on the points of this text", () => this.#useText()), button("Open a file …", "Or drop a file on the page", () => this.file.click()), this.file),
      this.beginBox,
      this.note,
    ], { onOpen: () => this.#fill() });
    this.element = popup.element;
    this.popup = popup;
    this.target = h("div.drop-target", { hidden: true, text: "Drop a CSV file: the network then trains on its points" });
    this.#acceptDrops();
  }

  draw({ run }) {
    if (this.app.training.reason !== null) return;
    const { settings } = this.app.training, isDrawn = DATA_SETS.includes(settings.data);
    const name = isDrawn ? settings.data.replace("_", " ") : run.isBranch ? "your points" : run.dataName;
    setText(this.size, `${count(run.x.length)} points (${name})${run.xTest ? "" : ", no test points"}. The page trains on at most ${count(MOST_POINTS)}.`);
    this.anew.disabled = !isDrawn;
    setVisible(this.beginBox, this.#canBegin());
    this.popup.place();
  }

  /** Show the settings of the present data. */
  #fill() {
    const { settings } = this.app.training;
    for (const [key, { field }] of this.fields) if (key !== "data" || DATA_SETS.includes(settings.data)) field.value = settings[key];
  }

  #say(message) {
    setText(this.note, message);
  }

  // built-in data

  #useBuiltIn() {
    const values = [];
    for (const { setting, field } of this.fields.values()) {
      const value = valueOf(setting, field.value);
      if (value === null) return this.#say(`${setting.label}: a ${setting.type === "whole" ? "whole number" : "number"} from ${count(setting.least)} to ${count(setting.most)} is needed.`);
      values.push(value);
    }
    const [data, n, noise, seed] = values;
    return this.#use("g", [DATA_SETS.indexOf(data), n, noise, seed], `${count(n)} points, ${data.replace("_", " ")}`);
  }

  async #drawAnew() {
    const { noise, data_seed: seed } = this.app.training.settings, next = (seed + 1) % 2 ** 32;
    if (!(await this.app.training.edit("n", [noise, next]))) return;
    this.#fill();
    this.#say(`Drawn with data seed ${next}.`);
  }

  // the user's points

  /** Refuse a text that the page would not read, as browsers are slow to show it. */
  #paste(event) {
    const text = event.clipboardData?.getData("text") ?? "";
    if (text.length <= LONGEST_TEXT) return;
    event.preventDefault();
    void this.#usePoints(() => readPoints(text), []);
  }

  #useText() {
    return this.#usePoints(() => readPoints(this.text.value), []);
  }

  async #open(files) {
    const [file] = files;
    if (!file) return;
    this.popup.open(true);
    this.#say(`Reading ${file.name} …`);
    const notes = files.length > 1 ? [`the first of ${files.length} files, ${file.name}`] : [file.name];
    try {
      if (file.size > LARGEST_FILE) throw new Error(`the page reads files up to ${count(LARGEST_FILE / 1e6)} MB; this has ${count(Math.ceil(file.size / 1e6))}`);
      const { text, note } = decodeBytes(new Uint8Array(await file.arrayBuffer()));
      await this.#usePoints(() => readPoints(text), [...notes, note]);
    } catch (error) {
      this.#refuse(error);
    } finally {
      // the same file may be opened again
      this.file.value = "";
    }
  }

  async #usePoints(read, notes) {
    try {
      const { x, y, notes: more } = read();
      await this.#use("w", interleaved(x, y), [`${count(x.length)} points`, ...notes, ...more].filter(Boolean).join("; "));
    } catch (error) {
      this.#refuse(error);
    }
  }

  #refuse(error) {
    const { message } = error;
    this.#say(`${message[0].toUpperCase()}${message.slice(1)}. Nothing was changed.`);
    this.app.invalidate();
  }

  // changes

  /** Whether a branch on other points can begin at update 0 rather than at the shown one. */
  #canBegin() {
    return this.app.state.update > 0 && this.#origin() !== null;
  }

  /** The run in focus, or for a branch that begins later the run that it continues, if it has an update 0. */
  #origin() {
    const { run, loaded } = this.app.state, found = run.isBranch && run.from > 0 ? loaded.get(run.start.run) : run;
    return found?.update[0] === 0 ? found : null;
  }

  /** Train on a data set, on a new branch from update 0 unless the user wants to go on from what is shown. */
  async #use(kind, values, words) {
    const { state, training } = this.app, { focus, update, followingLatest, whatIf } = state;
    training.pause();
    training.say("");
    if (this.#canBegin() && this.begin.checked) state.change({ focus: this.#origin().name, unit: null, update: 0, followingLatest: false, whatIf: null });
    // without a control branch: losses on other points cannot be compared
    const done = await training.edit(kind, values, { replace: true });
    if (done) state.change({ point: null, hover: { x: null, unit: null, point: null } });
    else state.change({ focus, update, followingLatest, whatIf });
    this.#say(done ? `${words}.${this.#stepAdvice()}` : `${training.message || "The page cannot train on these points."} Nothing was changed.`);
    if (done) this.#fill();
  }

  /** A sentence if full-batch descent on the parabola of a model with one parameter would diverge. */
  #stepAdvice() {
    const { run } = this.app.state, limit = run.model.feature ? 1 / run.model.curvature(run.x) : Infinity;
    return run.rate < limit ? "" : ` The step size ${number(run.rate)} is too large for them: descent on all points diverges from ${number(limit)} on.`;
  }

  /** Let the user drop a file anywhere on the page. */
  #acceptDrops() {
    const hasFile = (event) => Boolean(event.dataTransfer?.types.includes("Files"));
    const show = (shown) => setVisible(this.target, shown);
    window.addEventListener("dragover", (event) => {
      if (!hasFile(event)) return;
      // otherwise the browser leaves the page and shows the file
      event.preventDefault();
      if (!this.target.isConnected) document.body.append(this.target);
      if (this.app.training.reason === null && this.app.state.run) show(true);
      else event.dataTransfer.dropEffect = "none";
    });
    window.addEventListener("dragleave", (event) => event.relatedTarget === null && show(false));
    window.addEventListener("drop", (event) => {
      if (!hasFile(event)) return;
      event.preventDefault();
      show(false);
      if (this.app.training.reason === null && this.app.state.run) void this.#open(event.dataTransfer.files);
    });
  }
}

/** An input for a setting of the built-in data. */
function field(setting) {
  const { label, help, type, options } = setting;
  const input = type === "choice"
    ? h("select", { "aria-label": label }, ...options.filter(([value]) => DATA_SETS.includes(value)).map(([value, text]) => h("option", { value, text })))
    : h("input", { type: "number", step: type === "whole" ? 1 : "any", "aria-label": label });
  return { setting, field: input, element: h("label", { title: help }, `${label} `, input) };
}

const interleaved = (x, y) => Array.from({ length: 2 * x.length }, (_, j) => (j % 2 ? y : x)[j >> 1]);
