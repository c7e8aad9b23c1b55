// Making and updating elements.

/**
 * @param {string} tag "div.card" or "button"
 * @param {Object<string, any>} [props] attributes; on* are listeners; text and title as they are
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

/** Change a text only where it differs: the browser lays out less. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function show(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

/** A row of which one is chosen. @param {[string, string, string][]} options value, label, title */
export function segmented(label, options, pick) {
  const buttons = options.map(([value, text, title]) =>
    h("button", { type: "button", title, "data-value": value, "aria-pressed": "false", text, onclick: () => pick(value) }),
  );
  const element = h("div.segmented", { role: "group", "aria-label": label }, ...buttons);
  return {
    element,
    set: (value) => buttons.forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.value === value))),
    enable: (value, on) => buttons.forEach((b) => b.dataset.value === value && show(b, on)),
  };
}

/** A switch that is on or off. */
export function toggle(text, title, flip) {
  const element = h("button.toggle", { type: "button", title, "aria-pressed": "false", text, onclick: flip });
  return { element, set: (on) => element.setAttribute("aria-pressed", String(Boolean(on))) };
}
