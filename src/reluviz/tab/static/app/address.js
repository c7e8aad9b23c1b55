// The address holds the state of the view after the #: in TensorBoard that is the address of the outer window, on an
// HTML page the page's own address.

const PREFIX = "p.reluviz.";

/** The window with the address that people copy. */
function addressWindow(embedded) {
  if (embedded) return { view: window, tab: null };
  try {
    // throws if another site shows TensorBoard in a frame
    return window.parent !== window && window.parent.location.hash !== undefined ? { view: window.parent, tab: "reluviz" } : { view: window, tab: null };
  } catch {
    return { view: window, tab: null };
  }
}

/** The values in the address. @returns {Object<string, string>} */
export function read(embedded) {
  const { view, tab } = addressWindow(embedded);
  const found = {};
  for (const part of view.location.hash.replace(/^#/, "").split("&")) {
    const [key, value] = [part.slice(0, part.indexOf("=")), part.slice(part.indexOf("=") + 1)];
    const name = tab === null ? key : key.startsWith(PREFIX) ? key.slice(PREFIX.length) : "";
    if (!name) continue;
    try {
      found[name] = decodeURIComponent(value);
    } catch {
      // ignore a damaged part of an address
    }
  }
  return found;
}

/** Replace the values in the address. */
export function write(embedded, values) {
  const { view, tab } = addressWindow(embedded);
  const parts = partsOf(values, tab === null ? "" : PREFIX);
  if (tab !== null && !view.location.hash.startsWith(`#${tab}`)) return; // another tab is open
  const hash = `#${[...(tab === null ? [] : [tab]), ...parts].join("&")}`;
  if (view.location.hash === hash) return;
  try {
    view.history.replaceState(view.history.state, "", hash);
  } catch {
    // browsers may forbid this on a page from a file; the view works without it
  }
}

/** The parts of an address that hold values. @param {Object<string, any>} values null, undefined and "" are left out */
export const partsOf = (values, prefix = "") => Object.entries(values)
  .filter(([, value]) => value !== null && value !== undefined && value !== "")
  .map(([key, value]) => `${prefix}${key}=${encodeURIComponent(value)}`);

/** Lists of names as one value. */
export const join = (names) => names.map(encodeURIComponent).join(",");
export const split = (text) => text.split(",").filter(Boolean).map(decodeURIComponent);

/** Call a function when the user edits the address or follows a link. */
export function listen(embedded, callback) {
  addressWindow(embedded).view.addEventListener("hashchange", callback);
}

/** Whether TensorBoard is dark; on an HTML page, whether the user's system is. */
export function hostIsDark(embedded) {
  try {
    if (!embedded && window.parent !== window) return window.parent.document.body.classList.contains("dark-mode");
  } catch {
    return false;
  }
  return window.matchMedia?.("(prefers-color-scheme: dark)").matches ?? false;
}

/** Call a function when that changes. */
export function watchDark(embedded, callback) {
  try {
    if (!embedded && window.parent !== window) {
      new MutationObserver(callback).observe(window.parent.document.body, { attributes: true, attributeFilter: ["class"] });
      return;
    }
  } catch {
    return;
  }
  window.matchMedia?.("(prefers-color-scheme: dark)").addEventListener("change", callback);
}
