// The panel that shares the state of the page: as a link and, for a state that is too long for one, as a file.

import { count } from "../core/count.js";
import { h, setText, setVisible } from "../drawing/dom.js";
import { popover } from "../drawing/popover.js";
import { copyButton, openButton, saveText, textField } from "../drawing/text_files.js";
import * as address from "./address.js";

/** Longer addresses are cut by some mail programs, chats and servers. */
const LONGEST_LINK = 3000;
/** The name of a dropped file that holds a state. */
const STATE_FILE = /\.reluviz/i, FILE_NAME = "state.reluviz.txt", LARGEST_FILE = 1e6;

export class SharePanel {
  constructor(app) {
    this.app = app;
    this.note = h("p.note");
    this.field = textField("Link", 4);
    this.field.wrap = "soft";
    this.message = h("span.note", { role: "status" });
    this.copy = copyButton(this.field, (note) => this.#say(note));
    this.save = h("button.action", { type: "button", text: "Save this state", title: "As a small text file", onclick: () => saveText(FILE_NAME, address.fileText(app.urlValues)) });
    const open = openButton("Open a state …", "From a file; or drop it on the page", ".txt", (text) => this.open(text));
    this.popover = popover("Share", "Share what is shown", [this.note, this.field, h("div.buttons", {}, this.copy, this.save, open, this.message)], { onOpen: () => app.invalidate() });
    this.element = this.popover.element;
    this.#receiveDrops();
  }

  #say(note) {
    setText(this.message, note);
  }

  #receiveDrops() {
    // before other listeners: a file of points is theirs
    window.addEventListener("dragover", (event) => event.dataTransfer?.types.includes("Files") && event.preventDefault(), true);
    window.addEventListener("drop", (event) => {
      const file = [...(event.dataTransfer?.files ?? [])].find(({ name }) => STATE_FILE.test(name));
      if (!file) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      if (file.size > LARGEST_FILE) this.#refuse();
      else file.text().then((text) => this.open(text));
    }, true);
  }

  #refuse() {
    this.app.training.say("This file holds no state that the page saved.");
    this.#say("This file holds no state that the page saved.");
  }

  /** Show the state in the text of a file. */
  async open(text) {
    const values = text.length > LARGEST_FILE ? null : address.readFile(text);
    if (!values) return this.#refuse();
    this.#say("");
    return (await this.app.follow(values)) ? undefined : this.app.training.say("The runs of this state are not here.");
  }

  draw() {
    const { app } = this;
    if (this.popover.panel.hidden || app.state.playing || app.training.on) return;
    const link = address.link(app.embedded, app.urlValues), isTooLong = link !== null && link.length > LONGEST_LINK;
    if (this.shown === link) return;
    this.shown = link;
    const length = link === null ? "" : `${count(link.length)} characters`;
    setText(this.note, link === null ? "A page within another one has no link of its own: save the state as a file." : isTooLong ? `The link has ${length}, too many for mails and chats: save the state as a file.` : `This link shows others what you see (${length}).`);
    this.field.value = link ?? "";
    for (const element of [this.field, this.copy]) setVisible(element, link !== null && !isTooLong);
    this.#say("");
  }
}
