// Which runs are shown: chips in their colours, a list with a filter, and the replica in focus.

import { h, say, show } from "./dom.js";
import { count, short } from "./format.js";
import { MOST_RUNS } from "./state.js";

const MOST_LISTED = 200;

export class RunBar {
  constructor(app) {
    this.app = app;
    this.chips = h("div.chips");
    this.add = h("button.add", { type: "button", "aria-haspopup": "listbox", onclick: () => this.open(this.list.hidden) });
    this.filter = h("input", { type: "search", placeholder: "filter: name or setting, e.g. width=20", "aria-label": "Filter runs", oninput: () => this.#fill() });
    this.items = h("div.items", { role: "listbox", "aria-multiselectable": "true" });
    this.note = h("p.note");
    this.list = h("div.picker", { hidden: true }, this.filter, this.items, this.note);
    this.replica = h("select", { "aria-label": "Replica in focus", onchange: () => app.state.change({ replica: Number(this.replica.value), whatif: null }) });
    this.replicaBox = h("label.replica", {}, "replica ", this.replica);
    this.model = h("span.model");
    this.element = h("header.bar", {}, this.model, this.chips, h("div.adder", {}, this.add, this.list), this.replicaBox);
    document.addEventListener("pointerdown", (event) => {
      if (!this.list.hidden && !this.list.parentElement.contains(event.target)) this.open(false);
    });
    this.list.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.open(false);
      event.stopPropagation();
    });
  }

  open(open) {
    show(this.list, open);
    if (open) {
      this.#fill();
      this.filter.focus();
    }
  }

  /** Those whose name or settings hold every word. */
  matching() {
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    return this.app.state.listing.filter((one) => {
      const settings = Object.entries(one.settings ?? {}).map(([key, value]) => `${key}=${value}`);
      const text = `${one.run} ${one.model} ${settings.join(" ")}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
  }

  #fill() {
    const { state } = this.app;
    const found = this.matching();
    const chosen = new Set(state.selected.map(({ name }) => name));
    this.items.replaceChildren(
      ...found.slice(0, MOST_LISTED).map((one) => {
        const on = chosen.has(one.run);
        const detail = [one.model, one.seeds?.length > 1 ? `${one.seeds.length} replicas` : null, `${count(one.last ?? 0)} updates`].filter(Boolean).join(" · ");
        const dot = h("i.dot");
        if (on) dot.style.background = this.app.colours.runs[state.slotOf(one.run)];
        return h(
          "button.item",
          { type: "button", role: "option", "aria-selected": String(on), disabled: !on && chosen.size >= MOST_RUNS, title: one.run, onclick: () => this.app.toggle(one.run).then(() => this.#fill()) },
          dot,
          h("span.name", { text: short(one.run, 44) }),
          h("span.detail", { text: detail }),
        );
      }),
    );
    const more = found.length > MOST_LISTED ? `the first ${MOST_LISTED} of ${count(found.length)}; ` : "";
    say(this.note, `${more}up to ${MOST_RUNS} runs at once`);
  }

  draw() {
    const { state } = this.app;
    const key = JSON.stringify([state.selected, state.focus, state.dark, this.app.printing, [...state.failures.keys()], [...state.loaded.keys()]]);
    if (key !== this.key) this.#chips();
    this.key = key;
    say(this.add, state.selected.length > 1 ? "+" : state.listing.length > 1 ? `compare with … (${count(state.listing.length)} runs)` : "");
    this.add.title = "Add or remove runs";
    show(this.add, state.listing.length > 1);
    const now = state.run;
    say(this.model, now ? { constant: "y = θ", linear: "y = θ x", relu: `ReLU network, ${count(now.W)} unit${now.W === 1 ? "" : "s"}` }[now.model] ?? now.model : "");
    show(this.replicaBox, Boolean(now && now.R > 1));
    if (now && now.R > 1) {
      const kept = `${now.name} ${now.R}`;
      if (this.kept !== kept) {
        this.replica.replaceChildren(...Array.from({ length: now.R }, (_, r) => h("option", { value: r, text: `${r + 1} (seed ${now.seeds[r] ?? r})` })));
        const all = now.seeds?.length ?? now.R;
        this.replicaBox.title = all > now.R ? `The first ${now.R} of ${count(all)} replicas; losses are those of all` : "";
        this.kept = kept;
      }
      this.replica.value = String(Math.min(state.replica, now.R - 1));
    }
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
          { title: failure ? `${name}: ${failure}` : several ? `${name}: click to look into it` : name },
          h("button.pick", { type: "button", "aria-pressed": String(name === state.focus), onclick: () => this.app.focus(name) }, dot, h("span", { text: short(name, several ? 22 : 44) })),
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
