// The bar of runs: the shown runs in their colours, a list of all runs with a filter, and the replica in focus.

import { count } from "../core/count.js";
import { h, setText, setVisible } from "../drawing/dom.js";
import { number, shorten } from "../drawing/format.js";
import { sweepOf } from "./run_list.js";
import { MAX_RUNS } from "./state.js";

const MAX_LISTED = 200;

export class RunBar {
  constructor(app) {
    this.app = app;
    this.chips = h("div.chips");
    this.add = h("button.add", { type: "button", "aria-haspopup": "listbox", onclick: () => this.open(this.list.hidden) });
    this.filter = h("input", { type: "search", placeholder: "filter: name or setting, e.g. width=20", "aria-label": "Filter runs", oninput: () => this.#fill() });
    this.items = h("div.items", { role: "listbox", "aria-multiselectable": "true" });
    this.note = h("p.note");
    this.all = h("button.all", { type: "button", text: "all runs", title: "The list of the runs of this sweep", onclick: () => app.list() });
    this.list = h("div.picker", { hidden: true }, this.filter, this.items, this.note);
    this.replica = h("select", { "aria-label": "Replica in focus", onchange: () => app.state.change({ replica: Number(this.replica.value), whatIf: null }) });
    this.replicaBox = h("label.replica", {}, "replica ", this.replica);
    this.model = h("span.model");
    this.finding = h("p.finding");
    this.element = h("header.bar", {}, this.model, this.chips, h("div.adder", {}, this.add, this.list), this.all, this.replicaBox, this.finding);
    document.addEventListener("pointerdown", (event) => {
      if (!this.list.hidden && !this.list.parentElement.contains(event.target)) this.open(false);
    });
    this.list.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.open(false);
      event.stopPropagation();
    });
  }

  open(open) {
    setVisible(this.list, open);
    if (open) {
      this.#fill();
      this.filter.focus();
    }
  }

  /** The runs with every word of the filter in their name, model or settings. */
  matching() {
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    return this.app.state.listing.filter((entry) => {
      const settings = Object.entries(entry.settings ?? {}).map(([key, value]) => `${key}=${value}`);
      const text = `${entry.run} ${entry.model} ${settings.join(" ")}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
  }

  #fill() {
    const { state } = this.app;
    const matching = this.matching();
    const selected = new Set(state.selected.map(({ name }) => name));
    this.items.replaceChildren(
      ...matching.slice(0, MAX_LISTED).map((entry) => {
        const on = selected.has(entry.run);
        const detail = [entry.model, entry.seeds?.length > 1 ? `${entry.seeds.length} replicas` : null, `${count(entry.last ?? 0)} updates`].filter(Boolean).join(" · ");
        const dot = h("i.dot");
        if (on) dot.style.background = this.app.colours.runs[state.slotOf(entry.run)];
        return h(
          "button.item",
          { type: "button", role: "option", "aria-selected": String(on), disabled: !on && selected.size >= MAX_RUNS, title: entry.run, onclick: () => this.app.toggle(entry.run).then(() => this.#fill()) },
          dot,
          h("span.name", { text: shorten(entry.run, 44) }),
          h("span.detail", { text: detail }),
        );
      }),
    );
    const more = matching.length > MAX_LISTED ? `the first ${MAX_LISTED} of ${count(matching.length)}; ` : "";
    setText(this.note, `${more}up to ${MAX_RUNS} runs at once`);
  }

  draw() {
    const { state } = this.app;
    const key = JSON.stringify([state.selected, state.focus, state.dark, this.app.printing, [...state.failures.keys()], state.selected.map(({ name }) => [state.loaded.has(name), state.labelOf(name)])]);
    setVisible(this.element, this.app.embedded || state.selected.length > 0);
    if (key !== this.key) this.#chips();
    this.key = key;
    setText(this.add, state.selected.length > 1 ? "+" : state.listing.length > 1 ? `compare with … (${count(state.listing.length)} runs)` : "");
    this.add.title = "Add or remove runs";
    setVisible(this.add, state.listing.length > 1 && state.selected.length > 0);
    setVisible(this.all, !this.app.embedded && state.focus !== null && sweepOf(state.listing, state.focus).length > 0 && state.runs.every(({ run }) => !run.isBranch));
    const { run } = state;
    const units = run?.model.hasUnits ? `, ${count(run.W)} unit${run.W === 1 ? "" : "s"}` : "";
    const scaled = run && !run.scaling.identity;
    setText(this.model, run ? run.model.words.title + units + (scaled ? ", scaled data" : "") : "");
    this.model.title = scaled ? scalingNote(run.scaling) : "";
    this.#finding(run);
    setVisible(this.replicaBox, Boolean(run && run.R > 1));
    if (run && run.R > 1) {
      const replicaKey = `${run.name} ${run.R}`;
      if (this.replicaKey !== replicaKey) {
        this.replica.replaceChildren(...Array.from({ length: run.R }, (_, r) => h("option", { value: r, text: `${r} (seed ${run.seeds[r] ?? r})` })));
        const all = run.seeds?.length ?? run.R;
        this.replicaBox.title = all > run.R ? `The first ${run.R} of ${count(all)} replicas; the losses are those of all replicas` : "";
        this.replicaKey = replicaKey;
      }
      this.replica.value = String(Math.min(state.replica, run.R - 1));
    }
  }

  /** Show what became of the replica in focus. */
  #finding(run) {
    const found = run?.finding(Math.min(this.app.state.replica, run.R - 1)) ?? null;
    setVisible(this.finding, found !== null);
    if (found === null) return;
    const line = ({ text, advice }) => [text, advice].filter(Boolean).join("; ");
    setText(this.finding, `${found.total > 1 ? `${count(found.replicas.length)} of ${count(found.total)} replicas: ` : ""}${line(found)}`);
    this.finding.title = run.findings.map(line).join("\n");
  }

  #chips() {
    const { state } = this.app;
    const colours = this.app.colours;
    this.chips.replaceChildren(
      ...state.selected.map(({ name, slot }) => {
        const several = state.selected.length > 1;
        const dot = h("i.dot");
        dot.style.background = colours.runs[slot];
        const failure = state.failures.get(name);
        const chip = h(
          "div.chip",
          { title: failure ? `${name}: ${failure}` : several ? `${name}: click to focus on it` : name },
          h("button.pick", { type: "button", "aria-pressed": String(name === state.focus), onclick: () => this.app.focus(name) }, dot, h("span", { text: several ? shorten(state.labelOf(name), 34) : shorten(name, 44) })),
        );
        if (failure) chip.classList.add("failed");
        else if (!state.loaded.has(name)) chip.classList.add("loading");
        if (name === state.focus && several) chip.classList.add("focus");
        if (several) chip.append(h("button.close", { type: "button", text: "×", title: `Remove ${name}`, "aria-label": `Remove ${name}`, onclick: () => this.app.toggle(name) }));
        return chip;
      }),
    );
  }
}

/** What a run on scaled data has trained on. */
const scalingNote = ({ xOffset, xScale, yOffset, yScale }) =>
  `Trained on u = (x − ${number(xOffset)}) / ${number(xScale)} and t = (y − ${number(yOffset)}) / ${number(yScale)}: votes and step sizes are in these units, everything else is in yours`;
