// The numbers of the selected unit of a chain, in the inspector: where it changes, and the weights into it, which can be typed.

import { STATUS } from "../core/elbows.js";
import { crossingsOf } from "../core/kinks.js";
import { nameOfUnit, placeOfUnit } from "../core/models/architecture.js";
import { piecesOf, weightsInto } from "../core/models/chain.js";
import { extent } from "../drawing/axes.js";
import { h, setText, setVisible } from "../drawing/dom.js";
import { placeX } from "../drawing/format.js";

const MOST_PLACES = 4, DIGITS = 4;

export class ChainUnit {
  constructor(app) {
    this.app = app;
    this.from = 0;
    const { state } = app;
    const input = (label, edit) => h("input", { type: "number", step: "any", "aria-label": label, onchange: ({ target }) => Number.isFinite(target.valueAsNumber) && edit(target.valueAsNumber) });
    this.places = h("dd");
    this.bias = input("bias", (value) => state.setWeight(state.unit, -1, value));
    this.weight = input("weight", (value) => state.setWeight(state.unit, this.from, value));
    this.select = h("select", { "aria-label": "The unit that the weight comes from", onchange: () => ((this.from = Number(this.select.value)), app.invalidate()) });
    const row = (title, name, ...content) => h("div", { title }, h("dt", {}, ...name), ...content);
    this.of = h("span");
    this.element = h("dl", {},
      row("Where its pre-activation changes its sign, on the data", ["changes at"], this.places),
      row("The bias b", ["bias b"], h("dd", {}, this.bias)),
      row("A weight into the unit", [this.of, this.select], h("dd", {}, this.weight)));
  }

  draw(now, index, title) {
    const { run, weights: { net }, status } = now, { architecture } = run.model, { layer } = placeOfUnit(architecture, index), { bias, weights } = weightsInto(architecture, net, index);
    setText(title, `${nameOfUnit(architecture, index).replace("u", "U")}: ${STATUS[status[index]]}`);
    const pieces = now.finite ? piecesOf(architecture, net, ...extent(run.x)) : null, places = pieces ? crossingsOf(architecture, pieces, index) : [];
    setText(this.places, places.length ? `${places.slice(0, MOST_PLACES).map((x) => placeX(run, x)).join(", ")}${places.length > MOST_PLACES ? ", …" : ""}` : "no place");
    if (this.select.options.length !== weights.length) this.select.replaceChildren(...Array.from(weights, (_, j) => h("option", { value: j, text: `unit ${j}` })));
    this.from = Math.min(this.from, weights.length - 1);
    this.select.value = String(this.from);
    setVisible(this.select, layer > 1);
    setText(this.of, layer > 1 ? "weight from " : "input slope w");
    for (const [field, value] of [[this.bias, bias], [this.weight, weights[this.from]]]) {
      const text = Number.isFinite(value) ? String(Number(value.toPrecision(DIGITS))) : "";
      if (document.activeElement !== field && field.value !== text) field.value = text;
    }
  }
}
