// "Use it in class": a list of what students see, a task, and the link that shows this.

import { h, setText } from "../drawing/dom.js";
import { popover } from "../drawing/popover.js";
import { copyButton, textField } from "../drawing/text_files.js";
import { PART_GROUPS } from "./parts.js";
import { TASKS } from "./tasks.js";

export class ClassPanel {
  constructor(app) {
    this.app = app;
    const redraw = () => this.#fill();
    this.boxes = new Map();
    const box = (key, label, checked) => {
      const input = h("input", { type: "checkbox", checked, onchange: redraw });
      this.boxes.set(key, input);
      return h("label", {}, input, ` ${label}`);
    };
    const groups = PART_GROUPS.map(([title, parts]) => h("fieldset", {}, h("legend", { text: title }), ...parts.map(({ key, label }) => box(key, label, true))));
    this.task = h("select", { "aria-label": "Task of the link", onchange: redraw }, h("option", { value: "", text: "no task" }), ...Object.entries(TASKS).map(([name, { title }]) => h("option", { value: name, text: title })));
    this.link = textField("Link for students", 3);
    this.link.wrap = "soft";
    const copied = h("span", { role: "status" });
    this.popover = popover("Use it in class", "A link for students", [
      h("p", { text: "Tick what students see. The link opens this page with the settings of now." }),
      h("div.groups", {}, ...groups),
      h("p", {}, "Task: ", this.task, " ", box("training", "with the training so far", false)),
      this.link,
      h("p", {}, copyButton(this.link, (note) => setText(copied, note)), " ", copied),
    ], { onOpen: () => this.#open() });
    this.popover.panel.classList.add("below");
  }

  #open() {
    const { app } = this;
    for (const [key, input] of this.boxes) if (key !== "training") input.checked = !app.hidden.has(key);
    this.task.value = app.task ?? "";
    this.#fill();
  }

  #fill() {
    const hidden = [...this.boxes].filter(([key, input]) => key !== "training" && !input.checked).map(([key]) => key);
    this.link.value = this.app.classLink(hidden, this.task.value || null, this.boxes.get("training").checked);
  }

  draw() {
    if (!this.popover.panel.hidden && !this.popover.panel.contains(document.activeElement)) this.#fill();
  }
}
