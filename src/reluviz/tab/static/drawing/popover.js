// A button that opens a small panel above it.

import { h, setVisible } from "./dom.js";

/**
 * @param {string} text of the button @param {string} title
 * @param {Node[]} content of the panel
 * @param {{onOpen?: () => void}} [options]
 * @returns {{element: HTMLElement, panel: HTMLElement, button: HTMLElement, open: (open: boolean) => void}} the panel is closed by Escape and by a press elsewhere
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
    // keep it within the window
    panel.style.transform = "";
    const box = panel.getBoundingClientRect(), over = box.right - (window.innerWidth - 8);
    if (over > 0) panel.style.transform = `translateX(${-Math.min(over, box.left - 8)}px)`;
    panel.querySelector("input, select, textarea, button")?.focus();
  }
  document.addEventListener("pointerdown", (event) => {
    if (!panel.hidden && !element.contains(event.target)) open(false);
  });
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || panel.hidden) return;
    open(false);
    button.focus();
    event.stopPropagation();
  });
  return { element, panel, button, open };
}
