// The bar with which the page trains: train, pace, the settings that may change meanwhile, undo and discard.

import { count } from "../core/count.js";
import { h, setText, setVisible, toggle } from "../drawing/dom.js";
import { REGIMES } from "../trainer/edits.js";
import { SAMPLERS } from "../trainer/samplers.js";
import { SETTINGS } from "../trainer/settings.js";
import { DataPanel } from "./data_panel.js";
import { PythonPanel } from "./python_panel.js";
import { settingInput } from "./setting_input.js";
import { SharePanel } from "./share_panel.js";
import { rounded } from "./state.js";
import { stopButton } from "./stop_button.js";
import { BURST, PACES } from "./training.js";

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
    this.burst = small(`${count(BURST)} updates`, `Make ${count(BURST)} updates`, () => training.burst(BURST));
    this.pace = h("select", { "aria-label": "Updates a second", title: "Updates a second", "data-part": "pace", onchange: () => ((training.pace = this.pace.value === "" ? null : Number(this.pace.value)), app.invalidate()) },
      ...PACES.map((pace) => h("option", { value: pace ?? "", selected: pace === null, text: pace === null ? "as fast as it goes" : `${count(pace)} a second` })));
    this.control = toggle("control", "Beside a branch with changes, train a control branch without them: what would have happened otherwise", () => (training.withControl = !training.withControl, app.invalidate()));
    this.add = small("Add unit", "A unit that does not bend f yet, with its elbow at the selected point, or where f is farthest from a point", () => training.edit("a", [placeOfNew(app.state), 0]));
    this.split = small("Split unit", "The selected unit becomes two of half its slope jump, a little apart", () => training.edit("p", [app.state.unit]));
    this.remove = small("Delete unit", "Remove the selected unit", () => training.edit("d", [app.state.unit]));
    this.undo = small("Undo", "Take back the last change, with the updates since", () => training.undo());
    this.discard = small("Discard", "Remove this branch and its control", () => training.discard());
    this.inputs = new Map(SETTINGS.filter(({ live }) => live).map((setting) => [setting.key, settingInput(setting, app, (value, settings) => this.#set(setting.key, value, settings))]));
    const data = new DataPanel(app);
    // these also work where the page cannot train
    const others = [new PythonPanel(app), new SharePanel(app)];
    this.panels = [data, ...others];
    this.message = h("p.note", { role: "status" });
    this.stop = stopButton(app);
    this.live = h("p.unseen", { "aria-live": "polite" });
    const inputs = [...this.inputs.values()].map(({ element }) => element), stepSize = this.inputs.get("lr").element;
    this.trainers = h("span.trainers", {}, this.train, this.one, this.burst, this.pace, ...inputs, this.control.element, this.add, this.split, this.remove, this.undo, this.discard, data.element);
    this.more = h("button.action.more", { type: "button", "aria-expanded": "false", onclick: () => this.#unfold(!this.isUnfolded) });
    this.tools = h("div.train-tools", {}, this.trainers, ...others.map(({ element }) => element), this.more);
    // on a phone the others are folded away
    for (const element of [this.train, this.one, stepSize, this.undo, this.more]) element.classList.add("essential");
    this.folded = [...this.trainers.children, ...this.tools.children].filter((element) => element !== this.trainers && !element.matches(".essential"));
    this.#unfold(false);
    this.element = h("section.train-bar", { "aria-label": "Training in the page" }, this.tools, this.message, this.stop, this.live);
  }

  #set(key, value, settings) {
    const [kind, numbers] = CHANGES[key];
    this.app.training.set(key, value, kind, numbers(value, settings));
  }

  /** Show all controls on a phone, or only the essential ones. */
  #unfold(unfolded) {
    this.isUnfolded = unfolded;
    this.more.setAttribute("aria-expanded", String(unfolded));
    setText(this.more, unfolded ? "less" : "more");
    this.more.title = unfolded ? "Fold the other controls away" : "Show all controls";
    this.app.invalidate();
  }

  draw(now) {
    const { training, state } = this.app;
    setVisible(this.element, Boolean(now));
    if (!now) return;
    const { reason, branch, settings } = training;
    setVisible(this.trainers, reason === null);
    setText(this.message, reason === null ? training.message : `The page cannot train this run: ${reason}`);
    setVisible(this.message, this.message.textContent !== "");
    setVisible(this.stop, training.isRepeating);
    for (const panel of this.panels) panel.draw(now);
    setVisible(this.more, reason === null && this.folded.some((element) => !element.hidden && !element.matches(".taken-away")));
    this.element.classList.toggle("unfolded", this.isUnfolded || reason !== null);
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
    for (const input of this.inputs.values()) input.draw(settings);
  }
}

/** The x of the selected point, or of the point farthest from f. */
function placeOfNew(state) {
  const { run, residual } = state.now(), { point } = state;
  const farthest = residual.reduce((best, r, i) => (Math.abs(r) > Math.abs(residual[best]) ? i : best), 0);
  return rounded(run.x[point ?? farthest], run.domain);
}
