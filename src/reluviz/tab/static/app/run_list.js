// The list of the runs of a sweep, which is shown before any of them is opened.

import { count } from "../core/count.js";
import { LOSS_TEST, LOSS_TRAIN } from "../core/tags.js";
import { decode } from "../core/wire_format.js";
import { h, setText, setVisible } from "../drawing/dom.js";
import { number } from "../drawing/format.js";
import { runNames } from "./run_names.js";
import { MAX_RUNS } from "./state.js";

/** The folder of a run that is not part of a sweep is named by its time. */
const TIME = /(^|\/)\d{4}-\d\d-\d\d[_T]\d\d-\d\d-\d\d[^/]*$/;

const folderOf = (name) => name.slice(0, name.lastIndexOf("/") + 1);

/** The runs of the sweep that a run belongs to; none for a single run. */
export function sweepOf(listing, name) {
  const folder = folderOf(name);
  const found = TIME.test(name) ? [] : listing.filter(({ run }) => folderOf(run) === folder && !TIME.test(run));
  return found.length > 1 ? found : [];
}

export class RunList {
  constructor(app) {
    this.app = app;
    this.member = null;
    this.chosen = new Set();
    this.rows = new Map();
    /** What is known of the ends of the runs, and the state of each run in which this was read. */
    this.ends = new Map();
    this.title = h("h2");
    this.open = h("button.action.primary", { type: "button", onclick: () => this.#open([...this.chosen]) });
    this.body = h("tbody");
    const head = h("tr", {}, ...["", "run", "updates", "train loss", "test loss", "what became of it"].map((text) => h("th", { scope: "col", text })));
    this.element = h(
      "section.card.run-list",
      { "aria-label": "The runs of the sweep", hidden: true },
      h("header", {}, this.title, h("p", { text: `open a run, or tick up to ${MAX_RUNS} and compare them` }), h("div.tools", {}, this.open)),
      h("div.scroll", {}, h("table", {}, h("thead", {}, head), this.body)),
    );
  }

  get entries() {
    return this.member === null || this.app.state.selected.length ? [] : sweepOf(this.app.state.listing, this.member);
  }

  /** Show the list of a run's sweep. @returns {boolean} false if the run is not part of one */
  show(name) {
    this.member = name;
    return this.entries.length > 0;
  }

  async #open(names) {
    this.chosen.clear();
    for (const name of names) await this.app.toggle(name);
  }

  draw() {
    const { entries } = this;
    setVisible(this.element, entries.length > 0);
    if (!entries.length) return;
    const key = entries.map(({ run }) => run).join("\n");
    if (key !== this.key) this.#fill(entries);
    this.key = key;
    setText(this.title, `${count(entries.length)} runs of one sweep`);
    for (const entry of entries) {
      const { choice, updates, train, test, finding } = this.rows.get(entry.run), end = this.ends.get(entry.run);
      choice.checked = this.chosen.has(entry.run);
      choice.disabled = !choice.checked && this.chosen.size >= MAX_RUNS;
      setText(updates, count(entry.last ?? 0));
      setText(train, end?.train === undefined ? "" : number(end.train));
      setText(test, end?.test === undefined ? "" : number(end.test));
      setText(finding, end?.finding ?? "");
    }
    setText(this.open, this.chosen.size > 1 ? `Compare ${this.chosen.size} runs` : "Open");
    this.open.disabled = !this.chosen.size;
    this.#read();
  }

  #fill(entries) {
    const labels = runNames(entries);
    this.rows = new Map(
      entries.map(({ run }, i) => {
        const choice = h("input", { type: "checkbox", "aria-label": `Compare ${labels[i]}`, onchange: () => this.#choose(run, choice.checked) });
        const name = h("button.name", { type: "button", text: labels[i], title: run, onclick: () => this.#open([run]) });
        const [updates, train, test, finding] = Array.from({ length: 4 }, () => h("td"));
        const row = h("tr", {}, h("td", {}, choice), h("th", { scope: "row" }, name), updates, train, test, finding);
        return [run, { row, name, choice, updates, train, test, finding }];
      }),
    );
    this.body.replaceChildren(...Array.from(this.rows.values(), ({ row }) => row));
  }

  #choose(run, on) {
    this.chosen[on ? "add" : "delete"](run);
    this.app.invalidate();
  }

  /** Read the ends of the runs one after another, so that the server has time for other requests. */
  async #read() {
    if (this.reading) return;
    this.reading = true;
    const stateOf = ({ last, wall, found }) => [last, wall, found].join();
    try {
      for (let entry; (entry = this.entries.find((one) => this.ends.get(one.run)?.state !== stateOf(one))); ) {
        this.ends.set(entry.run, { state: stateOf(entry), ...(await this.#end(entry.run)) });
        this.app.invalidate();
      }
    } finally {
      this.reading = false;
    }
  }

  /** The last losses of a run, and what became of it. */
  async #end(name) {
    try {
      const { header, arrays } = decode(await this.app.source.blob(name, "scalars"));
      const last = (tag) => arrays[`v${header.tags.indexOf(tag)}`]?.data.at(-1);
      return { train: last(LOSS_TRAIN), test: last(LOSS_TEST), finding: header.findings?.[0]?.text };
    } catch {
      return {};
    }
  }
}
