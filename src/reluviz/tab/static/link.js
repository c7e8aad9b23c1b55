// The address holds what is looked at: in TensorBoard that of the window around the tab, else the page's own.

const PREFIX = "p.reluviz.";

/** The window whose address people copy. */
function frame(embedded) {
  if (embedded) return { view: window, tab: null };
  try {
    // throws where TensorBoard itself is framed by another site
    return window.parent !== window && window.parent.location.hash !== undefined ? { view: window.parent, tab: "reluviz" } : { view: window, tab: null };
  } catch {
    return { view: window, tab: null };
  }
}

/** @returns {Object<string, string>} */
export function read(embedded) {
  const { view, tab } = frame(embedded);
  const found = {};
  for (const part of view.location.hash.replace(/^#/, "").split("&")) {
    const [key, value] = [part.slice(0, part.indexOf("=")), part.slice(part.indexOf("=") + 1)];
    const name = tab === null ? key : key.startsWith(PREFIX) ? key.slice(PREFIX.length) : "";
    if (!name) continue;
    try {
      found[name] = decodeURIComponent(value);
    } catch {
      // a damaged address is no reason to show nothing
    }
  }
  return found;
}

export function write(embedded, values) {
  const { view, tab } = frame(embedded);
  const parts = Object.entries(values)
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([key, value]) => `${tab === null ? "" : PREFIX}${key}=${encodeURIComponent(value)}`);
  if (tab !== null && !view.location.hash.startsWith(`#${tab}`)) return; // another tab is looked at
  const hash = `#${[...(tab === null ? [] : [tab]), ...parts].join("&")}`;
  if (view.location.hash === hash) return;
  try {
    view.history.replaceState(view.history.state, "", hash);
  } catch {
    // a page from a file may not be allowed to; the view works without
  }
}

/** Lists of names in one value. */
export const join = (names) => names.map(encodeURIComponent).join(",");
export const split = (text) => text.split(",").filter(Boolean).map(decodeURIComponent);

/** Call when the reader edits the address or follows a link. */
export function listen(embedded, act) {
  frame(embedded).view.addEventListener("hashchange", act);
}

/** Dark as TensorBoard is; as the reader's system where there is no TensorBoard. */
export function hostIsDark(embedded) {
  try {
    if (!embedded && window.parent !== window) return window.parent.document.body.classList.contains("dark-mode");
  } catch {
    return false;
  }
  return window.matchMedia?.("(prefers-color-scheme: dark)").matches ?? false;
}

export function watchDark(embedded, act) {
  try {
    if (!embedded && window.parent !== window) {
      new MutationObserver(act).observe(window.parent.document.body, { attributes: true, attributeFilter: ["class"] });
      return;
    }
  } catch {
    return;
  }
  window.matchMedia?.("(prefers-color-scheme: dark)").addEventListener("change", act);
}
