// In words and numbers: this moment, the selected unit, the selected point, and what if.

import * as math from "./math.js";
import { count, number, percent, shortPercent, signed } from "./format.js";
import { h, say, show } from "./dom.js";

export class Inspector {
  constructor(app) {
    this.app = app;
    const { state } = app;
    this.moment = facts(["train loss", "test loss", "units", "effective votes"]);
    this.unit = facts(["elbow", "slope jump v|w|", "input slope w", "output weight v", "w² + b² − v²"], {
      elbow: (v) => state.setElbow(state.unit, v),
      "slope jump v|w|": (v) => state.setSlopeJump(state.unit, v),
      "input slope w": (v) => state.setInputSlope(state.unit, v),
      "output weight v": (v) => state.setOutputWeight(state.unit, v),
    });
    this.point = facts(["x, y", "f − y", "share of step", "heard by", "asks for"]);
    this.unitTitle = h("h3");
    this.pointTitle = h("h3");
    this.unitBox = h("div.box", {}, closing(this.unitTitle, () => state.change({ unit: null })), this.unit.element);
    this.pointBox = h("div.box", {}, closing(this.pointTitle, () => state.change({ point: null })), this.point.element);
    this.hint = h("p.hint");
    this.solve = h("button.action", { type: "button", text: "Solve output weights", title: "Least squares for v and c, with the elbows where they are", onclick: () => state.solveOutput() });
    this.reset = h("button.action.primary", { type: "button", text: "Reset", title: "Back to the run (Esc)", onclick: () => state.reset() });
    this.whatText = h("p");
    this.what = h("div.box.what", {}, h("h3", { text: "What if?" }), this.whatText, h("div.row", {}, this.solve, this.reset));
    this.element = h("section.card.inspector", {}, this.moment.element, h("div.boxes", {}, this.unitBox, this.pointBox, this.hint, this.what));
  }

  draw() {
    const { state } = this.app;
    const now = state.now();
    show(this.element, Boolean(now));
    if (!now) return;
    this.#moment(now);
    this.#unit(now);
    this.#point(now);
    this.#what(now);
  }

  #moment(now) {
    const { run, votes, status } = now;
    const tally = [0, 0, 0];
    for (const code of status ?? []) tally[code] += 1;
    this.moment.set({
      "train loss": number(votes.loss),
      "test loss": now.lossTest === null ? null : number(now.lossTest),
      units: status ? ["bent", "linear", "dead"].map((name) => [tally[math.STATUS.indexOf(name)], name]).filter(([n]) => n).map(([n, name]) => `${n} ${name}`).join(", ") : null,
      "effective votes": Number.isFinite(votes.effective) ? `${number(votes.effective)} of ${count(run.x.length)}` : "–",
    });
  }

  #unit(now) {
    const k = this.app.state.unit;
    const shown = k !== null && now.net.model === "relu" && k < now.net.w.length;
    show(this.unitBox, shown);
    if (!shown) return;
    const p = now.net;
    const facing = p.w[k] > 0 ? "active to the right" : p.w[k] < 0 ? "active to the left" : "w = 0: no elbow";
    say(this.unitTitle, `Unit ${k}: ${math.STATUS[now.status[k]]}, ${facing}`);
    this.unit.set({
      elbow: math.elbow(p, k), "slope jump v|w|": math.slopeJump(p, k), "input slope w": p.w[k], "output weight v": p.v[k],
      "w² + b² − v²": number(math.balance(p, k)),
    });
  }

  #point(now) {
    const i = this.app.state.point;
    const { run, votes, net } = now;
    const shown = i !== null && i < run.x.length;
    show(this.pointBox, shown);
    if (!shown) return;
    say(this.pointTitle, `Point ${i + 1} of ${count(run.x.length)}`);
    const up = votes.residual[i] < 0;
    const silent = net.model === "relu" ? net.w.reduce((n, w, k) => n + !(w * run.x[i] + net.b[k] > 0), 0) : 0;
    this.point.set({
      "x, y": `${number(run.x[i])}, ${number(run.y[i])}`,
      "f − y": `${signed(votes.residual[i])}, wants f ${up ? "up" : "down"}`,
      "share of step": `${percent(votes.share[i])} (even: ${shortPercent(1 / run.x.length)})`,
      "heard by": net.model === "relu" ? `${net.w.length - silent} of ${net.w.length} units` : null,
      "asks for":
        net.model === "relu"
          ? null
          : `θ = ${number(math.candidate(net.model, run.x[i], run.y[i]))}, weight ${number(math.weight(net.model, run.x[i]))}`,
    });
  }

  #what(now) {
    const { state } = this.app;
    show(this.solve, now.run.model === "relu");
    show(this.reset, Boolean(now.what));
    this.what.classList.toggle("on", Boolean(now.what));
    show(this.hint, state.unit === null && state.point === null);
    say(this.hint, now.run.model === "relu" ? "Triangles are elbows: they point to where their unit is active; hollow ones do not bend f on the data. Click one to follow its unit, or a point to see what it asks for." : "Click a point to see what it asks for.");
    if (!now.what) {
      say(this.whatText, now.run.model === "relu" ? "Drag an elbow: where would you place them? Or let the output weights be solved." : "Drag the dot on the parabola: which θ would you choose?");
      return;
    }
    const parts = [];
    if (now.what.moved.size) parts.push(`${now.what.moved.size} unit${now.what.moved.size > 1 ? "s" : ""} changed`);
    if (now.what.solved) parts.push("output solved");
    say(this.whatText, `${parts.join(", ") || "changed by hand"}: train loss ${number(now.lossRun)} → ${number(now.lossTrain)}`);
  }
}

function closing(title, close) {
  return h("div.title", {}, title, h("button.close", { type: "button", text: "×", title: "Deselect (Esc)", "aria-label": "Deselect", onclick: close }));
}

const MEANINGS = {
  "train loss": "Mean squared error over all training points",
  "test loss": "Mean squared error over the test points, which have no noise",
  units: "bent: some training points are on either side of the elbow; linear: on at every point; dead: off at every point",
  "effective votes": "(Σ|cᵢ|)² / Σ|cᵢ|²: how many equally loud points would make the same vote",
  elbow: "Where the unit switches: −b/w",
  "slope jump v|w|": "How much the unit bends f at its elbow",
  "input slope w": "Slope before the output weight; the elbow stays where it is",
  "output weight v": "What the unit is multiplied with",
  "w² + b² − v²": "Balance: gradient flow conserves it when all layers are trained",
  "share of step": "The part of the gradient that comes from this point; even: if all votes were alike",
};

/** A list of names and values; those with an action can be edited. */
function facts(names, edits = {}) {
  const values = new Map(), rows = new Map();
  const element = h("dl");
  for (const name of names) {
    const edit = edits[name];
    const value = edit
      ? h("input", { type: "number", step: "any", "aria-label": name, onchange: (event) => Number.isFinite(event.target.valueAsNumber) && edit(event.target.valueAsNumber) })
      : h("span");
    const row = h("div", { title: MEANINGS[name] }, h("dt", { text: name }), h("dd", {}, value));
    values.set(name, value);
    rows.set(name, row);
    element.append(row);
  }
  const set = (found) => {
    for (const [name, value] of values) {
      const given = found[name];
      show(rows.get(name), given !== null && given !== undefined);
      if (value.tagName !== "INPUT") say(value, given ?? "");
      else if (document.activeElement !== value) {
        const text = Number.isFinite(given) ? String(Number(given.toPrecision(4))) : "";
        if (value.value !== text) value.value = text;
        value.disabled = !Number.isFinite(given);
      }
    }
  };
  return { element, set };
}
