// The card with the text of a task: the question, what to do, and what to look at.

import { h, setText, setVisible } from "../drawing/dom.js";
import { TASKS } from "./tasks.js";

export class TaskCard {
  constructor(app) {
    this.app = app;
    this.question = h("h3");
    this.steps = h("ol");
    this.look = h("p");
    const close = h("button.close", { type: "button", text: "×", title: "Close the task", "aria-label": "Close the task", onclick: () => app.setTask(null) });
    this.element = h("section.card.task", { "aria-label": "Task" }, h("div.title", {}, this.question, close), this.steps, this.look);
  }

  draw() {
    const { task } = this.app;
    setVisible(this.element, task !== null);
    this.app.main.classList.toggle("with-task", task !== null);
    if (task === this.shown) return;
    this.shown = task;
    this.app.resized = true;
    if (task === null) return;
    const { question, steps, look } = TASKS[task];
    setText(this.question, question);
    this.steps.replaceChildren(...steps.map((text) => h("li", { text })));
    setText(this.look, look);
  }
}
