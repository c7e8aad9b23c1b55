// A button that opens a small panel above it.

import { h, setVisible } from "./dom.js";

/**
 * @param {string} text of the button @param {string} title
 * @param {Node[]} content of the panel
 * @param {{onOpen?: () => void}} [options]
 * @returns {{element: HTMLElement, panel: HTMLElement, button: HTMLElement, open: (open: boolean) => void, place: () => void}}
 *   the panel is closed by Escape and by a press elsewhere; place keeps it within the window, if the button has moved
 */
export function popover(text, title, content, { onOpen } = {}) {
  const panel = h("div.popover", { hidden: true, role: "dialog", "aria-label": title }, ...content);
  const button = h("button.action", { type: "button", text, title, "aria-expanded": "false", onclick: () => open(panel.hidden) });
  const element = h("div.popover-holder", { "data-part": text.toLowerCase() }, button, panel);
  function open(wanted) {
    setVisible(panel, wanted);
    button.setAttribute("aria-expanded", String(wanted));
    if (!wanted) return;
    onOpen?.();
    place();
    panel.querySelector("input, select, textarea, button")?.focus();
  }
  function place() {
    if (panel.hidden) return;
    panel.style.transform = "";
    // window.innerWidth grows with what reaches beyond the window of a phone
    const box = panel.getBoundingClientRect(), over = box.right - (document.documentElement.clientWidth - 8);
    if (over > 0) panel.style.transform = `translateX(${-Math.min(over, box.left - 8)}px)`;
  }
  document.addEventListener("pointerdown", (event) => {
    if (!panel.hidden && !element.contains(event.target)) open(false);
  });
  const close = (event) => {
    if (event.key !== "Escape" || panel.hidden) return;
    open(false);
    button.focus();
    event.stopPropagation();
  };
  // a button that was clicked has no focus, see time_bar.js
  window.addEventListener("keydown", close, true);
  return { element, panel, button, open, place };
}
