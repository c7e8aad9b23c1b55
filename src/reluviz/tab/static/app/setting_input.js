// The input of a setting of a run that is trained in the page.

import { count } from "../core/count.js";
import { h, setVisible } from "../drawing/dom.js";
import { applies, valueOf } from "../trainer/settings.js";

/**
 * @param {import("../trainer/settings.js").Setting} setting
 * @param {import("./app.js").App} app
 * @param {(value: any, settings: any) => void} onSet called with a value that is one of the setting, and with the settings until now
 * @returns {{element: HTMLElement, draw: (settings: any) => void}}
 */
export function settingInput(setting, app, onSet) {
  const { key, label, help, type, options, least, most, above } = setting;
  const field = type === "choice"
    ? h("select", { "aria-label": label, onchange }, ...options.map(([value, text]) => h("option", { value, text })))
    : h("input", { type: "number", step: type === "whole" ? 1 : "any", "aria-label": label, onchange });
  const element = h("label", { title: help, "data-setting": key }, `${label} `, field);
  // afterwards keys are those of the page again
  field.addEventListener("keydown", (event) => event.key === "Enter" && field.blur());
  function onchange() {
    const { training } = app, { settings } = training, value = valueOf(setting, field.value);
    if (value === null || !settings) {
      training.say(`${label}: ${type === "whole" ? "a whole number" : "a number"} ${above !== undefined ? `above ${above}` : `from ${count(least)} to ${count(most)}`} is needed.`);
      return;
    }
    if (value === settings[key]) return;
    training.say("");
    onSet(value, settings);
  }
  function draw(settings) {
    setVisible(element, applies(key, settings));
    const value = String(settings[key]);
    if (document.activeElement !== field && field.value !== value) field.value = value;
  }
  return { element, draw };
}
