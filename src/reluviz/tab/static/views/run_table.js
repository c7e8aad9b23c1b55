// The table of the losses of compared runs: at the current update, and at their ends.

import { LOSS_TEST, LOSS_TRAIN } from "../core/tags.js";
import { h, setVisible } from "../drawing/dom.js";
import { number, shortenLabel } from "../drawing/format.js";

/** While the page trains, only every so many frames change the numbers. */
const TRAINING_STEP = 8;

export class RunTable {
  constructor(app) {
    this.app = app;
    this.element = h("table.runs", { hidden: true });
    this.rows = [];
    this.calls = 0;
  }

  draw() {
    const { state, colours } = this.app;
    const runs = [...state.runs].sort((a, b) => a.slot - b.slot);
    setVisible(this.element, runs.length > 1);
    if (this.element.hidden) return;
    this.calls += 1;
    if (state.training && this.calls % TRAINING_STEP) return;
    this.rows = runs.map(({ run, slot }) => {
      const s = run.snapshotAt(state.update), last = run.S - 1;
      return { run, slot, now: s === last ? null : lossesAt(run, s), final: lossesAt(run, last) };
    });
    const key = JSON.stringify([colours.paper, state.focus, this.rows.map(({ run, slot, now, final }) => [run.label, run.R, slot, now, final])]);
    if (key === this.key) return;
    this.key = key;
    const midway = this.rows.some(({ now }) => now);
    const numbers = (losses) => losses.map((loss) => h("td", { text: loss === null ? "–" : number(loss) }));
    const heads = (when) => [h("th", { scope: "col", text: `${when} train` }), h("th", { scope: "col", text: "test" })];
    this.element.replaceChildren(
      h("thead", {}, h("tr", {}, h("th", { scope: "col", text: "loss of" }), ...(midway ? heads("now:") : []), ...heads("final:"))),
      h("tbody", {}, ...this.rows.map(({ run, slot, now, final }) => {
        const dot = h("i.dot");
        dot.style.background = colours.runs[slot];
        const title = run.R > 1 ? `${run.name}: medians of its replicas` : run.name;
        return h("tr", { "aria-current": run.name === state.focus ? "true" : null }, h("th", { scope: "row", title }, dot, shortenLabel(run.label, midway ? 24 : 32)), ...(midway ? numbers(now ?? final) : []), ...numbers(final));
      })),
    );
  }
}

/** The losses of a run at a snapshot, [train, test]: as recorded, of several replicas the medians; else of the first replica. */
function lossesAt(run, s) {
  const update = run.update[s];
  const recorded = (tag, computed) => {
    const series = run.scalars[tag];
    const i = series ? series.update.lastIndexOf(update) : -1;
    return i < 0 ? computed() : series.value[i];
  };
  const net = () => run.trainedNet(s, 0);
  return [recorded(LOSS_TRAIN, () => run.trainLoss(net())), recorded(LOSS_TEST, () => run.testLoss(net()))];
}
