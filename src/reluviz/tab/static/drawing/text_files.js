// Texts that leave the page or come into it: files, and the clipboard.

import { h } from "./dom.js";

const KEPT_MILLISECONDS = 60000;

/** Have the browser save a text as a file. */
export function saveText(name, text) {
  // a type that the browser knows might change the ending of the name
  const url = URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), KEPT_MILLISECONDS);
}

/** A button that copies the text of a field. Where the clipboard is forbidden, the text is selected. @param {(note: string) => void} say */
export function copyButton(field, say) {
  const copy = async () => {
    field.select();
    const done = await Promise.resolve().then(() => navigator.clipboard.writeText(field.value)).then(() => true, () => document.execCommand("copy"));
    say(done ? "Copied." : "The browser forbids to copy it here: the text is selected, press Ctrl+C or ⌘C.");
  };
  return h("button.action", { type: "button", text: "Copy", onclick: copy });
}

/** A button with which the user picks a file; its text is given to `onText`. */
export function openButton(label, title, accept, onText) {
  const input = h("input", { type: "file", accept, hidden: true, onchange: async () => {
    const [file] = input.files;
    input.value = "";
    if (file) onText(await file.text());
  } });
  return h("span", {}, h("button.action", { type: "button", text: label, title, onclick: () => input.click() }), input);
}

/** A field for text that is only read. */
export const textField = (label, rows) => h("textarea.text-field", { "aria-label": label, rows, readonly: true, spellcheck: "false", wrap: "off", onfocus: (event) => event.target.select() });
