// Creating and updating DOM elements.

import { readable } from "./theme.js";

/**
 * Create an element.
 * @param {string} tag "div.card" or "button"
 * @param {Object<string, any>} [props] attributes; on* are event listeners; `text` is the text content
 * @param {...(Node|string|null)} children
 */
export function h(tag, props = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(props)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "text") element.textContent = value;
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Set an element's text only if it differs, which saves the browser a layout. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set a caption, in which some words have a colour. @param {(string|[string, string])[]} parts texts, or text and colour */
export function setCaption(element, parts, { paper }) {
  const key = JSON.stringify([parts, paper]);
  if (element.caption === key) return;
  element.caption = key;
  element.replaceChildren(
    ...parts.map((part) => {
      if (typeof part === "string") return part;
      const word = h("b", { text: part[0] });
      word.style.color = readable(part[1], paper);
      return word;
    }),
  );
  element.title = element.textContent;
}

/** Show or hide an element. */
export function setVisible(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

/** Set whether a button is pressed only if it differs, which saves the browser a look for changed styles. */
function setPressed(button, pressed) {
  const text = String(Boolean(pressed));
  if (button.getAttribute("aria-pressed") !== text) button.setAttribute("aria-pressed", text);
}

/** A row of buttons with one pressed. @param {[string, string, string][]} options value, label, title */
export function segmented(label, options, onPick) {
  const buttons = options.map(([value, text, title]) =>
    h("button", { type: "button", title, "data-value": value, "aria-pressed": "false", text, onclick: () => onPick(value) }),
  );
  const element = h("div.segmented", { role: "group", "aria-label": label }, ...buttons);
  return {
    element,
    set: (value) => buttons.forEach((b) => setPressed(b, b.dataset.value === value)),
    setOptionVisible: (value, visible) => buttons.forEach((b) => b.dataset.value === value && setVisible(b, visible)),
  };
}

/** A button that is on or off. */
export function toggle(text, title, onClick) {
  const element = h("button.toggle", { type: "button", title, "data-part": text.replaceAll(" ", "_"), "aria-pressed": "false", text, onclick: onClick });
  return { element, set: (on) => setPressed(element, on) };
}
