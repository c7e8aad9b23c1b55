// The panel "Its slope f′(x)": the derivative as a staircase, below the function.

import { labelWidth, LEFT_MARGIN, xScale } from "../drawing/axes.js";
import { h, setText, setVisible } from "../drawing/dom.js";
import { Plot, spreadLabels } from "../drawing/plot.js";
import { linear, span } from "../drawing/scales.js";
import { DASHES } from "../drawing/theme.js";

export class SlopeView {
  constructor(app) {
    this.app = app;
    this.caption = h("p");
    const canvas = h("canvas", { "aria-label": "The derivative of the learned function" });
    this.element = h("section.card.slope", {}, h("header", {}, h("h2", { text: "Its slope f′(x)" }), this.caption), canvas);
    this.plot = new Plot(canvas);
  }

  draw() {
    const { state, colours } = this.app;
    const now = state.now();
    setVisible(this.element, Boolean(now && state.show.slope));
    const { plot } = this;
    if (this.element.hidden || !now) return;
    setText(this.caption, now.run.model.words.steps ?? "a staircase: each elbow is a step with the height of its unit's slope jump");
    plot.begin(colours);
    if (!plot.visible) return;
    const labelsWidth = labelWidth(plot.width);
    plot.margin = { left: LEFT_MARGIN, right: labelsWidth, top: 6, bottom: 20 };
    const allRuns = state.runs.map((shown) => shown.run);
    const truth = now.run.target && state.show.truth ? targetStaircase(now.run) : null;
    const learned = now.run.model.staircase(now.net, now.run.domain[0], now.run.domain[1]);
    const [low, high] = span([0, ...(truth ? truth.heights : learned.heights)], 0.25);
    plot.scales(xScale(allRuns), linear(low, high));
    plot.axes({ yName: "f′", zero: 0, maxYTicks: 4 });
    const { top, bottom } = plot.area;
    const labels = [];
    plot.clipped(() => {
      if (truth) this.#stairs(truth, { colour: colours.truth, width: 1.6, dash: [6, 4] });
      for (const { run, slot } of state.runs) {
        if (run === now.run) continue;
        this.#stairs(run.model.staircase(run.net(run.snapshotAt(state.update), 0), ...run.domain), { colour: colours.runs[slot], width: 1.3, dash: DASHES[slot] });
      }
      if (now.finite) this.#stairs(learned, { colour: colours.ink, width: 2 });
    });
    if (truth) labels.push({ y: plot.Y(lastOf(truth.heights)), text: "true f′", colour: colours.truth });
    if (now.finite) labels.push({ y: plot.Y(lastOf(learned.heights)), text: "f′", colour: colours.ink, bold: true });
    for (const l of spreadLabels(labels, top + 8, bottom - 2)) plot.rightLabel(l.text, l.y + 4, l);
  }

  #stairs({ edges, heights }, style) {
    const x = [], y = [];
    heights.forEach((height, i) => {
      x.push(edges[i], edges[i + 1]);
      y.push(height, height);
    });
    this.plot.line(x, y, style);
  }
}

const cachedStaircases = new WeakMap();

/** The staircase of the target's derivative, from differences of its values on a dense grid. */
function targetStaircase(run) {
  if (cachedStaircases.has(run)) return cachedStaircases.get(run);
  const x = run.xTest ?? run.x, y = run.xTest ? run.yTest : run.target;
  const edges = [x[0]], heights = [];
  const minWidth = 1e-3 * (run.domain[1] - run.domain[0]) * 0.5;
  let from = 0;
  for (let i = 1; i < x.length; i++) {
    if (x[i] - x[from] < minWidth && i < x.length - 1) continue;
    heights.push((y[i] - y[from]) / (x[i] - x[from]));
    edges.push(x[i]);
    from = i;
  }
  const staircase = { edges, heights };
  cachedStaircases.set(run, staircase);
  return staircase;
}

const lastOf = (a) => a[a.length - 1];
