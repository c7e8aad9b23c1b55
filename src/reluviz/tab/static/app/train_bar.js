// The bar with which the page trains: train, pace, the settings that may change meanwhile, undo and discard.

import { h, setText, setVisible, toggle } from "../drawing/dom.js";
import { count } from "../drawing/format.js";
import { REGIMES } from "../trainer/edits.js";
import { SAMPLERS } from "../trainer/samplers.js";
import { SETTINGS } from "../trainer/settings.js";
import { DataPanel } from "./data_panel.js";
import { PythonPanel } from "./python_panel.js";
import { settingInput } from "./setting_input.js";
import { SharePanel } from "./share_panel.js";
import { rounded } from "./state.js";
import { PACES } from "./training.js";

const BURST = 1000;
/** Key of a setting -> the letter of its change, and the numbers of a change to a value. */
const CHANGES = {
  lr: ["l", (value) => [value]],
  batch: ["b", (value) => [value]],
  sampler: ["s", (value) => [SAMPLERS.indexOf(value)]],
  train: ["r", (value) => [REGIMES.indexOf(value)]],
  noise: ["n", (value, settings) => [value, settings.data_seed]],
  data_seed: ["n", (value, settings) => [settings.noise, value]],
};

export class TrainBar {
  constructor(app) {
    this.app = app;
    const { training } = app;
    this.train = h("button.action.primary.train", { type: "button", title: "Train in the page, or pause (t)", onclick: () => training.toggle() });
    const small = (text, title, onclick) => h("button.action", { type: "button", text, title, onclick, "data-part": /update/.test(text) ? "updates" : text.toLowerCase().replace(" ", "_") });
    this.one = small("1 update", "Make one update", () => training.burst(1));
    this.burst = small(`${count(BURST)} updates`, `Make ${BURST} updates`, () => training.burst(BURST));
    this.pace = h("select", { "aria-label": "Updates a second", title: "Updates a second", "data-part": "pace", onchange: () => ((training.pace = this.pace.value === "" ? null : Number(this.pace.value)), app.invalidate()) },
      ...PACES.map((pace) => h("option", { value: pace ?? "", selected: pace === null, text: pace === null ? "as fast as it goes" : `${count(pace)} a second` })));
    this.control = toggle("control", "Beside a branch with changes, train a control branch without them: what would have happened otherwise", () => (training.withControl = !training.withControl, app.invalidate()));
    this.add = small("Add unit", "A unit that does not bend f yet, with its elbow at the selected point, or where f is farthest from a point", () => training.edit("a", [placeOfNew(app.state), 0]));
    this.split = small("Split unit", "The selected unit becomes two of half its slope jump, a little apart", () => training.edit("p", [app.state.unit]));
    this.remove = small("Delete unit", "Remove the selected unit", () => training.edit("d", [app.state.unit]));
    this.undo = small("Undo", "Take back the last change, with the updates since", () => training.undo());
    this.discard = small("Discard", "Remove this branch and its control", () => training.discard());
    this.inputs = new Map(SETTINGS.filter(({ live }) => live).map((setting) => [setting.key, settingInput(setting, app, (value, settings) => this.#set(setting.key, value, settings))]));
    this.panels = [new DataPanel(app), new PythonPanel(app), new SharePanel(app)];
    this.message = h("p.note", { role: "status" });
    this.live = h("p.unseen", { "aria-live": "polite" });
    this.tools = h("div.train-tools", {}, this.train, this.one, this.burst, this.pace, ...[...this.inputs.values()].map(({ element }) => element), this.control.element, this.add, this.split, this.remove, this.undo, this.discard, ...this.panels.map(({ element }) => element));
    this.element = h("section.train-bar", { "aria-label": "Training in the page" }, this.tools, this.message, this.live);
  }

  #set(key, value, settings) {
    const [kind, numbers] = CHANGES[key];
    this.app.training.set(key, value, kind, numbers(value, settings));
  }

  draw(now) {
    const { training, state } = this.app;
    setVisible(this.element, Boolean(now));
    if (!now) return;
    const { reason, branch, settings } = training;
    setVisible(this.tools, reason === null);
    setText(this.message, reason === null ? training.message : `The page cannot train this run: ${reason}`);
    setVisible(this.message, this.message.textContent !== "");
    if (reason !== null) return;
    setText(this.train, training.on ? "❚❚ Pause" : training.growing ? "Train" : "Train on from here");
    this.control.set(training.withControl);
    const growing = training.growing !== null;
    setVisible(this.undo, Boolean(branch?.edits.length));
    setVisible(this.discard, Boolean(branch) && state.selected.length > 1);
    const { hasUnits } = now.run.model;
    setVisible(this.add, hasUnits);
    for (const button of [this.split, this.remove]) setVisible(button, hasUnits && state.unit !== null && state.unit < now.net.w.length);
    this.train.disabled = this.one.disabled = this.burst.disabled = Boolean(training.preparing);
    this.element.classList.toggle("growing", growing);
    for (const panel of this.panels) panel.draw(now);
    for (const input of this.inputs.values()) input.draw(settings);
  }
}

/** The x of the selected point, or of the point farthest from f. */
function placeOfNew(state) {
  const { run, residual } = state.now(), { point } = state;
  const farthest = residual.reduce((best, r, i) => (Math.abs(r) > Math.abs(residual[best]) ? i : best), 0);
  return rounded(run.x[point ?? farthest], run.domain);
}
