// The inspector: the current update, the selected unit, the selected point and the what-if network, in words and numbers.

import { count } from "../core/count.js";
import { elbow, isDeleted, slopeJump, STATUS } from "../core/elbows.js";
import { balance } from "../core/votes.js";
import { h, setText, setVisible } from "../drawing/dom.js";
import { number, placeDigits, placeX, placeY, shareInWords, shortPercent, signed } from "../drawing/format.js";
import { ChainUnit } from "./chain_unit.js";

/** The penalties of the ridge slider: 0, then 1, 2 and 5 times powers of ten. */
const PENALTIES = [0, ...Array.from({ length: 12 }, (_, e) => [1, 2, 5].map((m) => Number(`${m}e${e - 9}`))).flat(), 1000];
/** Up to this many units, the output weights are solved while the ridge slider moves; for more, when it is released. */
const MAX_LIVE_UNITS = 200;

export class Inspector {
  constructor(app) {
    this.app = app;
    const { state } = app;
    this.current = valueList(["train loss", "test loss", "units", "effective votes", "effective votes by layer"]);
    this.unit = valueList(["elbow", "slope jump v|w|", "input slope w", "output weight v", "w² + b² − v²"], {
      elbow: (v) => state.setElbow(state.unit, v),
      "slope jump v|w|": (v) => state.setSlopeJump(state.unit, v),
      "input slope w": (v) => state.setInputSlope(state.unit, v),
      "output weight v": (v) => state.setOutputWeight(state.unit, v),
    });
    this.chainUnit = new ChainUnit(app);
    this.point = valueList(["x, y", "f − y", "share", "active units", "asks for"]);
    this.unitTitle = h("h3");
    this.pointTitle = h("h3");
    this.unitBox = h("div.box", {}, titleWithClose(this.unitTitle, () => state.change({ unit: null })), this.unit.element, this.chainUnit.element);
    this.pointBox = h("div.box", {}, titleWithClose(this.pointTitle, () => state.change({ point: null })), this.point.element);
    this.hint = h("p.hint");
    this.solve = h("button.action", { type: "button", text: "Solve output weights", title: "Least squares for v and c with the current elbows; with λ > 0 ridge regression", onclick: () => state.solveOutput(this.lambda) });
    this.ridge = h("input.ridge", { type: "range", min: 0, max: PENALTIES.length - 1, step: 1, value: 0, "aria-label": "Ridge penalty λ" });
    this.ridge.addEventListener("input", () => state.run.W <= MAX_LIVE_UNITS ? state.solveOutput(this.lambda) : this.draw());
    this.ridge.addEventListener("change", () => state.solveOutput(this.lambda));
    // its arrow keys change the penalty, not the time
    this.ridge.addEventListener("keydown", (event) => /^(Arrow|Home|End|Page)/.test(event.key) && event.stopPropagation());
    this.ridgeText = h("output");
    this.ridgeBox = h("label.ridge", { title: "Ridge regression minimises Σ r² + λ |v|², in the units of training: as train=ridge does. λ = 0 is least squares" }, "ridge λ", this.ridge, this.ridgeText);
    this.reset = h("button.action.primary", { type: "button", text: "Reset", title: "Back to the run (Esc)", onclick: () => state.reset() });
    this.whatIfText = h("p");
    this.whatIf = h("div.box.what-if", {}, h("h3", { text: "What if?" }), this.whatIfText, h("div.row", {}, this.ridgeBox, this.solve, this.reset));
    this.element = h("section.card.inspector", {}, this.current.element, h("div.boxes", {}, this.unitBox, this.pointBox, this.hint, this.whatIf));
  }

  /** The penalty that the slider shows. */
  get lambda() {
    return PENALTIES[Number(this.ridge.value)];
  }

  draw() {
    const { state } = this.app;
    const now = state.now();
    setVisible(this.element, Boolean(now));
    if (!now) return;
    this.#current(now);
    this.#unit(now);
    this.#point(now);
    this.#whatIf(now);
  }

  #current(now) {
    const { run, votes, status } = now;
    const counts = [0, 0, 0];
    status?.forEach((code, k) => (run.model.hasUnits && isDeleted(now.net, k)) || (counts[code] += 1));
    this.current.set({
      "train loss": number(now.lossTrain),
      "test loss": now.lossTest === null ? null : number(now.lossTest),
      units: status ? ["bent", "linear", "dead"].map((name) => [counts[STATUS.indexOf(name)], name]).filter(([n]) => n).map(([n, name]) => `${n} ${name}`).join(", ") : null,
      "effective votes": Number.isFinite(votes.effective) ? `${number(votes.effective)} of ${count(run.x.length)}` : "–",
      "effective votes by layer": votes.layers.length ? votes.layers.map(({ layer, effective }) => `${layer}: ${number(effective)}`).join(", ") : null,
    });
  }

  #unit(now) {
    const k = this.app.state.unit, { hasUnits, architecture } = now.run.model;
    const shown = k !== null && (hasUnits || Boolean(architecture)) && k < (hasUnits ? now.net.w.length : architecture.units);
    setVisible(this.unitBox, shown);
    setVisible(this.unit.element, hasUnits);
    setVisible(this.chainUnit.element, !hasUnits);
    if (!shown) return;
    if (architecture) return this.chainUnit.draw(now, k, this.unitTitle);
    const p = now.net;
    const orientation = p.w[k] > 0 ? "active to the right" : p.w[k] < 0 ? "active to the left" : "w = 0: no elbow";
    setText(this.unitTitle, `Unit ${k}: ${STATUS[now.status[k]]}, ${orientation}`);
    const values = {
      elbow: elbow(p, k), "slope jump v|w|": slopeJump(p, k), "input slope w": p.w[k], "output weight v": p.v[k],
      "w² + b² − v²": number(balance(now.trainedNet, k)),
    };
    const [low, high] = now.run.domain;
    this.unit.set(values, { elbow: 1 + placeDigits(values.elbow, high - low) });
  }

  #point(now) {
    const i = this.app.state.point;
    const { run, votes, residual, trainedNet } = now;
    const shown = i !== null && i < run.x.length;
    setVisible(this.pointBox, shown);
    if (!shown) return;
    setText(this.pointTitle, `Point ${i} (of 0 to ${count(run.x.length - 1)})`);
    const up = residual[i] < 0;
    this.point.set({
      "x, y": `${placeX(run, run.x[i])}, ${placeY(run, run.y[i])}`,
      "f − y": `${signed(residual[i])}, f should ${up ? "rise" : "fall"}`,
      share: `${shareInWords(votes.share[i]).replace(" of the step", "")} (1/N: ${shortPercent(1 / run.x.length)})`,
      "active units": run.model.activeUnits?.(now.weights.trained, run.u[i]).map(([n, of]) => `${n} of ${of}`).join(", ") ?? null,
      "asks for": run.model.feature ? `θ = ${number(run.model.candidate(run.x[i], run.y[i]))}, weight ${number(run.model.weight(run.x[i]))}` : null,
    });
  }

  #whatIf(now) {
    const { state } = this.app;
    for (const element of [this.solve, this.ridgeBox]) setVisible(element, Boolean(now.run.model.hiddenFeatures));
    if (now.whatIf?.solved && document.activeElement !== this.ridge) this.ridge.value = PENALTIES.findLastIndex((lambda) => lambda <= now.whatIf.lambda);
    setText(this.ridgeText, number(this.lambda));
    this.ridge.setAttribute("aria-valuetext", `λ = ${number(this.lambda)}`);
    setVisible(this.reset, Boolean(now.whatIf));
    this.whatIf.classList.toggle("on", Boolean(now.whatIf));
    setVisible(this.hint, state.unit === null && state.point === null && state.selected.length < 2);
    setText(this.hint, now.run.model.words.hint);
    if (!now.whatIf) {
      setText(this.whatIfText, now.run.model.words.whatIf);
      return;
    }
    const parts = [];
    if (now.whatIf.moved.size) parts.push(`${now.whatIf.moved.size} unit${now.whatIf.moved.size > 1 ? "s" : ""} changed`);
    if (now.whatIf.solved) parts.push(`output solved${now.whatIf.lambda > 0 ? ` with λ = ${number(now.whatIf.lambda)}` : ""}`);
    const test = now.lossTest === null ? "" : `, test loss ${number(now.lossTestRun)} → ${number(now.lossTest)}`;
    setText(this.whatIfText, `${parts.join(", ") || "changed by hand"}: train loss ${number(now.lossRun)} → ${number(now.lossTrain)}${test}`);
  }
}

function titleWithClose(title, onClose) {
  return h("div.title", {}, title, h("button.close", { type: "button", text: "×", title: "Deselect (Esc)", "aria-label": "Deselect", onclick: onClose }));
}

const EXPLANATIONS = {
  "train loss": "Mean squared error over all training points",
  "test loss": "Mean squared error over the test points, which have no noise",
  units: "bent: training points lie on both sides of the elbow; linear: active at every point; dead: inactive at every point",
  "effective votes": "(Σ|cᵢ|)² / Σ|cᵢ|²: between 1, where one vote dominates, and N, where all votes have the same norm",
  "effective votes by layer": "The effective votes on the parameters of each layer alone",
  elbow: "Where the unit becomes active or inactive: −b/w",
  "slope jump v|w|": "How much the unit bends f at its elbow",
  "input slope w": "Slope before the output weight; editing it keeps the elbow",
  "output weight v": "The factor of the unit in f",
  "w² + b² − v²": "Balance, of the parameters as trained: gradient flow conserves it when all layers are trained",
  share: "The part of the gradient that comes from this point; if all votes were equal it would be 1/N",
};

/** A list of names and values. Values with a function in `edits` are inputs. */
function valueList(names, edits = {}) {
  const values = new Map(), rows = new Map();
  const element = h("dl");
  for (const name of names) {
    const edit = edits[name];
    const value = edit
      ? h("input", { type: "number", step: "any", "aria-label": name, onchange: (event) => Number.isFinite(event.target.valueAsNumber) && edit(event.target.valueAsNumber) })
      : h("span");
    const row = h("div", { title: EXPLANATIONS[name] }, h("dt", { text: name }), h("dd", {}, value));
    values.set(name, value);
    rows.set(name, row);
    element.append(row);
  }
  const set = (found, digits = {}) => {
    for (const [name, value] of values) {
      const given = found[name];
      setVisible(rows.get(name), given !== null && given !== undefined);
      if (value.tagName !== "INPUT") setText(value, given ?? "");
      else if (document.activeElement !== value) {
        const text = Number.isFinite(given) ? String(Number(given.toPrecision(digits[name] ?? 4))) : "";
        if (value.value !== text) value.value = text;
        value.disabled = !Number.isFinite(given);
      }
    }
  };
  return { element, set };
}
