// The panel that leads back to Python: the command line of the run in focus, the shown network as state_dict and as PyTorch code,
// and the points.

import { count } from "../core/count.js";
import { h, segmented, setText, setVisible } from "../drawing/dom.js";
import { popover } from "../drawing/popover.js";
import { copyButton, saveText, textField } from "../drawing/text_files.js";
import { pointsAsCsv } from "../trainer/point_text.js";
import { commandOf, startOf, startOverrides, torchCode } from "../trainer/python_code.js";

/** While the page trains, the text is made anew so often. */
const MILLISECONDS = 500;
const update = (now) => `at update ${count(now.update)}${now.whatIf ? ", with your changes" : ""}`;

/**
 * What the panel can show: a label, a title, and a function that makes of State.now(), and of the reason why
 * the page cannot train the run, if there is one, a text, a note, and the files to save.
 * @type {Object<string, {label: string, title: string, make: (now: any, reason: string|null) => {text: string, note: string, files?: {name: string, text: string}[]}}>}
 */
const KINDS = {
  command: { label: "command", title: "The command line that makes the same run", make: commandText },
  start: { label: "start", title: "Start another run with the shown parameters", make: startText },
  torch: { label: "PyTorch", title: "The shown function in PyTorch", make: torchText },
  points: { label: "points", title: "The training points as CSV", make: pointsText },
};

function commandText({ run, whatIf }, reason) {
  const recorded = "This run was recorded: the settings in its folder make it again.";
  if (reason !== null) return { text: "", note: `${recorded} No branch of it has a command, because the page cannot train it: ${reason}` };
  if (!run.isBranch) return { text: "", note: `${recorded} Train on from here, and this panel shows a command for the branch.` };
  if (whatIf) return { text: "", note: "The changes that are tried out belong to no run yet: train on, and the panel shows its command." };
  const { command, files = [], reason: obstacle } = commandOf(run);
  if (obstacle) return { text: "", note: `No one command repeats this branch: ${obstacle}.` };
  const needs = files.length ? ` Save ${files.map(({ name }) => name).join(", ").replace(/, ([^,]*)$/, " and $1")} where you run it.` : "";
  return { text: command, note: `It makes the same updates; losses agree to rounding.${needs}`, files };
}

function startText({ run, net, finite, update: at, weights }) {
  if (!finite) return { text: "", note: "The parameters are not finite." };
  if (weights.isOther) return { text: "", note: elsewhere(weights) };
  const file = `network-${at}.json`;
  if (!net.w) return { text: `python -m reluviz train +exp=${run.model.name} ${startOverrides(net, file).join(" ")}`, note: "It starts a run at this θ." };
  const { text, overrides } = startOf(run.model, net, file), layers = run.model.architecture ? "Linear, ..., Linear" : "Linear, ReLU, Linear";
  return { text, note: `A state_dict of nn.Sequential(${layers}). A run starts from it with ${overrides.join(" ")}`, files: [{ name: file, text }] };
}

/** Where the parameters that are needed are. */
const elsewhere = (weights) => `The page does not hold the parameters of this snapshot; it holds those of update ${count(weights.update)}.`;

function torchText({ run, net, finite, update: at, weights }) {
  if (!finite) return { text: "", note: "The parameters are not finite." };
  if (weights.isOther) return { text: "", note: elsewhere(weights) };
  const text = torchCode(run.model, net);
  return { text, note: "f as a function of a tensor of inputs, in your units.", files: [{ name: `network-${at}.py`, text }] };
}

function pointsText({ run }) {
  const text = pointsAsCsv(run.x, run.y), some = run.x.length < run.points ? `These are ${count(run.x.length)} of its ${count(run.points)} points. ` : "";
  return { text, note: `${some}Read them with data=file data.path=points.csv`, files: [{ name: "points.csv", text }] };
}

export class PythonPanel {
  constructor(app) {
    this.app = app;
    this.kind = "command";
    this.choice = segmented("What to take to Python", Object.entries(KINDS).map(([kind, { label, title }]) => [kind, label, title]), (kind) => {
      this.kind = kind;
      this.shown = null;
      app.invalidate();
    });
    this.note = h("p.note");
    this.field = textField("Text for Python", 8);
    this.copied = h("span.note", { role: "status" });
    this.copy = copyButton(this.field, (note) => setText(this.copied, note));
    this.saves = h("span.saves");
    this.popover = popover("Python", "Back to Python", [this.choice.element, this.note, this.field, h("div.buttons", {}, this.copy, this.saves, this.copied)], { onOpen: () => app.invalidate() });
    this.element = this.popover.element;
  }

  draw(now) {
    if (this.popover.panel.hidden) return;
    const { training } = this.app, time = performance.now();
    const key = [now.run.name, now.run.version, now.s, now.r];
    const isSame = this.shown && this.shown.whatIf === now.whatIf && this.shown.key.every((value, i) => value === key[i]);
    if (isSame || (this.shown && training.on && time - this.shown.time < MILLISECONDS)) return;
    this.shown = { key, whatIf: now.whatIf, time };
    this.choice.set(this.kind);
    const { text, note, files = [] } = KINDS[this.kind].make(now, training.reason);
    setText(this.note, this.kind === "start" || this.kind === "torch" ? `${KINDS[this.kind].title} ${update(now)}. ${note}` : note);
    if (this.field.value !== text) this.field.value = text;
    setText(this.copied, "");
    for (const element of [this.field, this.copy]) setVisible(element, text !== "");
    this.saves.replaceChildren(...files.map((file) => h("button.action", { type: "button", text: `Save ${file.name}`, onclick: () => saveText(file.name, file.text) })));
  }
}
