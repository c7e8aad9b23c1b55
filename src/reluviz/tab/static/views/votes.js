// The panel "The votes of the points": a stem for the vote of each point, and the sum of all votes at the right.

import { count } from "../core/count.js";
import { elbowVotes, unitShares } from "../core/votes.js";
import { labelWidth, LEFT_MARGIN, xScale } from "../drawing/axes.js";
import { h, segmented, setCaption } from "../drawing/dom.js";
import { number, percent, ratioInWords, shortPercent } from "../drawing/format.js";
import { Plot } from "../drawing/plot.js";
import { addPointerListeners } from "../drawing/pointer.js";
import { linear } from "../drawing/scales.js";

const MEASURES = {
  share: {
    label: "share",
    title: "The part of the gradient that comes from each point: ⟨gᵢ, G⟩ / (N |G|²). Shares sum to 100 %",
    axis: "share",
    caption: ({ plus, minus }, ratio) =>
      ratio === null ? [["for", plus], " the step or ", ["against", minus], " it; the sum is 100 %"] : ["votes ", ["against", minus], ` cancel ${ratioInWords(ratio)} of those `, ["for", plus]],
    format: percent,
  },
  unit: {
    label: "on this unit",
    title: "The part of the gradient of the weights into the selected unit that comes from each point. Shares sum to 100 %",
    axis: "share",
    caption: ({ plus, minus }) => ["on the weights into the selected unit: ", ["for", plus], " their step or ", ["against", minus], " it"],
    format: percent,
  },
  residual: {
    label: "asks of f",
    title: "How far each point asks the function to move: y − f(x)",
    axis: "y − f",
    caption: ({ plus, minus }) => ["f should ", ["rise", plus], " or ", ["fall", minus], " here; the length is the size of the residual"],
    format: (v) => number(v),
  },
  norm: {
    label: "norm",
    title: "The norm of each point's vote |cᵢ| = |gᵢ| / N, without its direction",
    axis: "norm",
    caption: () => ["how hard each point pulls on all parameters together, without the direction"],
    format: (v) => number(v),
  },
  elbow: {
    label: "on this elbow",
    title: "Where each point pushes the elbow of the selected unit",
    axis: "push",
    caption: ({ plus, minus }) => ["pushes the elbow of the selected unit to the ", ["right", plus], " or to the ", ["left", minus], "; 0 where the unit is inactive"],
    format: (v) => number(v),
  },
};

/** If the votes for a step exceed this multiple of the step, the step is only rounding error. */
const MAX_TOTAL_SHARE = 1e6;

/** Messages for votes that are all 0. */
const EMPTY_MESSAGES = { residual: "all residuals are 0", norm: "all votes are 0" };

/** If the votes for a step exceed this multiple of it, the caption says in words how many the others cancel. */
const WORDS_FROM_SHARE = 1.5;

const HIT_RADIUS = 8;

export class VotesView {
  constructor(app) {
    this.app = app;
    this.measureButtons = segmented("Measure of the votes", Object.entries(MEASURES).map(([key, { label, title }]) => [key, label, title]), (measure) => app.state.change({ measure }));
    this.caption = h("p");
    const canvas = h("canvas", { "aria-label": "The vote of every point" });
    this.element = h("section.card.votes", {}, h("header", {}, h("h2", { text: "The votes of the points" }), this.caption, h("div.tools", {}, this.measureButtons.element)), canvas);
    this.plot = new Plot(canvas);
    addPointerListeners(canvas, this);
  }

  /** The votes in the selected measure. */
  values(now) {
    const { state } = this.app;
    const { votes, trainedNet, run, residual } = now;
    if (this.measure === "residual") return residual.map((r) => -r);
    if (this.measure === "norm") return votes.norm;
    if (this.measure === "unit") return unitShares(run.model, now.weights.trained, run.u, votes.twice, run.trained, state.activeUnit);
    if (this.measure === "elbow") return elbowVotes(trainedNet, state.activeUnit, run.u, votes.twice, run.trained).map(run.scaling.userDistance);
    return votes.share;
  }

  get measure() {
    const { state } = this.app;
    const { hasUnits, architecture } = state.run?.model ?? {}, needed = { elbow: hasUnits, unit: architecture };
    return state.measure in needed && (state.activeUnit === null || !needed[state.measure]) ? "share" : state.measure;
  }

  /** The colour of positive values; norms have no sign. */
  get #positive() {
    const { colours } = this.app;
    return this.measure === "norm" ? colours.soft : colours.plus;
  }

  draw() {
    const { state, colours } = this.app;
    const { plot } = this;
    const now = state.now();
    plot.begin(colours);
    this.drawn = null;
    if (!plot.visible || !now) return;
    this.measureButtons.set(this.measure);
    this.measureButtons.setOptionVisible("unit", Boolean(now.run.model.architecture) && state.activeUnit !== null);
    this.measureButtons.setOptionVisible("elbow", now.run.model.hasUnits && state.activeUnit !== null);
    const measure = MEASURES[this.measure];
    const asTrained = this.measure === "norm" && !now.run.scaling.identity ? "; in the units of training" : "";
    plot.margin = { left: LEFT_MARGIN, right: labelWidth(plot.width), top: 6, bottom: 20 };
    const x = xScale(state.runs.map((shown) => shown.run));
    const values = this.values(now);
    let largest = 0, plus = 0, minus = 0;
    for (const v of values) {
      if (Math.abs(v) > largest) largest = Math.abs(v);
      if (v > 0) plus += v;
      else if (v < 0) minus += v;
    }
    const inWords = this.measure === "share" && plus > WORDS_FROM_SHARE && plus <= MAX_TOTAL_SHARE;
    setCaption(this.caption, [this.app.runPrefix(), now.weights.isOther && this.measure !== "residual" ? `of update ${count(now.weights.update)}: ` : "", ...measure.caption(colours, inWords ? -minus / plus : null), asTrained], colours);
    if (!now.finite || !(largest > 0) || !Number.isFinite(largest)) {
      plot.scales(x, linear(-1, 1));
      plot.message(now.finite ? (EMPTY_MESSAGES[this.measure] ?? "no votes: the gradient is 0") : "not finite");
      return;
    }
    if (measure.axis === "share" && plus > MAX_TOTAL_SHARE) {
      plot.scales(x, linear(-1, 1));
      plot.message("the votes cancel: the step is 0 up to rounding");
      return;
    }
    const reach = roundUp(largest);
    plot.scales(x, this.measure === "norm" ? linear(-0.04 * reach, reach * 1.04) : linear(-reach * 1.04, reach * 1.04));
    this.#axis(reach, measure);
    plot.clipped(() => this.#stems(now.run, values));
    this.#sum(plus, minus, measure);
    this.#highlight(now, values);
    this.drawn = { measure: this.measure, sum: plus + minus, plus, minus, caption: this.caption.textContent };
  }

  /** Draw the ticks of the vertical axis. */
  #axis(reach, measure) {
    const { plot } = this;
    const { colours } = this.app;
    const { left, right } = plot.area;
    const numbers = (this.measure === "norm" ? [0, reach] : [-reach, 0, reach]).map((v) => {
      const y = Math.round(plot.Y(v)) + 0.5;
      plot.segment(left, y, right, y, { colour: v ? colours.grid : colours.zero, width: 1 });
      const label = v ? (measure.format === percent ? shortPercent(v) : measure.format(v)) : "0";
      return { y, label: label.length > 6 ? label.replace(" ", "") : label };
    });
    plot.yAxis(numbers, measure.axis);
  }

  #stems(run, values) {
    const { plot } = this;
    const { colours } = this.app;
    const { ctx } = plot;
    const zero = plot.Y(0), dots = run.x.length <= 400;
    for (const [colour, sign] of [[this.#positive, 1], [colours.minus, -1]]) {
      ctx.beginPath();
      for (let i = 0; i < values.length; i++) {
        if (!(values[i] * sign > 0)) continue;
        const x = plot.X(run.x[i]);
        ctx.moveTo(x, zero);
        ctx.lineTo(x, plot.Y(values[i]));
      }
      plot.stroke({ colour, width: dots ? 1.3 : 1, alpha: dots ? 0.75 : 0.6 });
      if (!dots) continue;
      ctx.beginPath();
      for (let i = 0; i < values.length; i++) {
        if (!(values[i] * sign > 0)) continue;
        const x = plot.X(run.x[i]), y = plot.Y(values[i]);
        ctx.moveTo(x + 2, y);
        ctx.arc(x, y, 2, 0, 2 * Math.PI);
      }
      ctx.fillStyle = colour;
      ctx.fill();
    }
  }

  /** The sum of the votes: bars for the positive and the negative votes, and a line for the difference. */
  #sum(plus, minus, measure) {
    const { plot } = this;
    const { colours } = this.app;
    const { right, top, bottom } = plot.area;
    const largest = Math.max(plus, -minus), single = this.measure === "norm";
    const zero = single ? bottom : (top + bottom) / 2;
    const tall = (single ? bottom - top : (bottom - top) / 2) - 2;
    const bar = (value, colour) => {
      const height = (Math.abs(value) / largest) * tall;
      plot.ctx.fillStyle = colour;
      plot.ctx.globalAlpha = 0.85;
      plot.ctx.fillRect(right + 8, value > 0 ? zero - height : zero, 9, height);
      plot.ctx.globalAlpha = 1;
    };
    bar(plus, this.#positive);
    if (!single) bar(minus, colours.minus);
    const x = right + 22;
    if (single) {
      plot.rightLabel(`Σ ${measure.format(plus)}`, bottom - 2, { colour: colours.soft }, x);
      return;
    }
    plot.rightLabel(measure.format(plus), top + 10, { colour: colours.plus }, x);
    plot.rightLabel(measure.format(minus), bottom - 2, { colour: colours.minus }, x);
    const net = plus + minus;
    const y = zero - (net / largest) * tall;
    plot.segment(right + 5, y, right + 20, y, { colour: colours.ink, width: 2 });
    if (bottom - top > 50) plot.rightLabel(`Σ ${measure.format(net)}`, Math.max(top + 25, Math.min(bottom - 16, zero + 4)), { colour: colours.ink, bold: true }, x);
  }

  /** Highlight the active point, or a line at the x under the pointer. */
  #highlight(now, values) {
    const { plot } = this;
    const { state, colours } = this.app;
    const { top, bottom } = plot.area;
    const i = state.activePoint;
    if (i !== null) {
      const x = plot.X(now.run.x[i]), v = values[i];
      plot.segment(x, plot.Y(0), x, plot.Y(v), { colour: v > 0 ? this.#positive : colours.minus, width: 3 });
      plot.disc(x, plot.Y(v), 4.5, { fill: v > 0 ? this.#positive : v < 0 ? colours.minus : colours.faint, edge: colours.paper, width: 2 });
    } else if (state.hover.x !== null) {
      const x = plot.X(state.hover.x);
      if (x >= plot.area.left && x <= plot.area.right) plot.segment(x, top, x, bottom, { colour: colours.faint, width: 1 });
    }
  }

  /** The point with the stem nearest in x, or null. */
  nearestPoint(px) {
    const run = this.app.state.run;
    if (!run || !this.plot.X) return null;
    let best = null, nearest = HIT_RADIUS;
    for (let i = 0; i < run.x.length; i++) {
      const d = Math.abs(this.plot.X(run.x[i]) - px);
      if (d < nearest) (nearest = d), (best = i);
    }
    return best;
  }

  hover(px, py, event) {
    const point = this.nearestPoint(px);
    this.app.state.hoverOver({ x: this.plot.fromX?.(px) ?? null, unit: null, point });
    if (point === null) this.app.tooltip.hide();
    else this.app.tooltip.show(event, this.app.describePoint(point));
    return point === null ? "default" : "pointer";
  }

  leave() {
    this.app.tooltip.hide();
    this.app.state.hoverOver();
  }

  down(px) {
    const point = this.nearestPoint(px);
    this.app.state.change({ point: point === this.app.state.point ? null : point });
    return false;
  }
}

/** The smallest round number at or above a positive value. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 1.5, 2, 3, 4, 5, 6, 8].find((m) => m * power >= value * 0.9999) ?? 10);
}
