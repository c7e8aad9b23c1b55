// The row of the playground with the settings that begin a run anew, and with tasks and links.

import { h, setText, setVisible } from "../drawing/dom.js";
import { SETTINGS } from "../trainer/settings.js";
import { settingInput } from "./setting_input.js";
import { TASKS } from "./tasks.js";

export class SettingsBar {
  constructor(app, classPanel) {
    this.app = app;
    this.classPanel = classPanel;
    this.inputs = SETTINGS.filter(({ live }) => !live).map((setting) => settingInput(setting, app, (value) => app.beginWith(setting.key, value)));
    const button = (text, title, part, onclick) => h("button.action", { type: "button", text, title, "data-part": part, onclick });
    this.keep = button("Keep", "Keep this run beside the next one, to compare them", "keep", () => this.#keep());
    this.task = h("select", { "aria-label": "Task", title: "A question to answer with this page", "data-part": "tasks", onchange: () => app.setTask(this.task.value || null) },
      h("option", { value: "", text: "Tasks …" }), ...Object.entries(TASKS).map(([name, { title }]) => h("option", { value: name, text: title })));
    const tools = h("div.train-tools", {},
      ...this.inputs.map(({ element }) => element),
      button("New seed", "Begin anew with the next seed: other initial weights and minibatches", "new_seed", () => app.restart({ seed: app.training.settings.seed + 1 })),
      button("Restart", "Begin anew at update 0 with these settings", "restart", () => app.restart()),
      this.keep);
    this.classTools = h("div.train-tools.bar-tools", {}, this.task, classPanel.popover.element);
    // on a phone the row is closed
    this.element = h("details.settings-bar", { "aria-label": "Settings", open: window.innerWidth > 640 }, h("summary", { text: "Settings" }), tools);
  }

  #keep() {
    const { app } = this, { branch } = app.training;
    if (!app.kept.delete(branch.name)) app.kept.add(branch.name);
    app.invalidate();
  }

  draw(now) {
    const { app } = this, { training } = app;
    setVisible(this.element, Boolean(now));
    if (!now) return;
    for (const input of this.inputs) input.draw(training.settings);
    setVisible(app.runBar.chips, app.state.selected.length > 1);
    const kept = app.kept.has(training.branch.name);
    setText(this.keep, kept ? "Kept ✓" : "Keep");
    this.keep.setAttribute("aria-pressed", String(kept));
    this.task.value = app.task ?? "";
    this.classPanel.draw();
  }
}
