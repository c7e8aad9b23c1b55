// The address holds the state of the view after the #: in TensorBoard that is the address of the outer window, on an
// HTML page the page's own address.

const PREFIX = "p.reluviz.", FILE_HEAD = "reluviz state 1";

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

/** The values in text, without those that are damaged. @returns {Object<string, string>} */
function valuesIn(parts, prefix) {
  const found = {};
  for (const part of parts) {
    const [, key, value] = /^([^=]+)=(.*)$/s.exec(part) ?? [];
    if (!key?.startsWith(prefix) || key === prefix) continue;
    const decoded = decode(value);
    if (decoded !== null) found[key.slice(prefix.length)] = decoded;
  }
  return found;
}

/** The inverse of encodeURIComponent; null for what it never returns. */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

const partsOf = (values, prefix) =>
  Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "").map(([key, value]) => `${prefix}${key}=${encodeURIComponent(value)}`);

/** The values in the address. @returns {Object<string, string>} */
export function read(embedded) {
  const { view, tab } = addressWindow(embedded);
  return valuesIn(view.location.hash.replace(/^#/, "").split("&"), tab === null ? "" : PREFIX);
}

/** The part of the address after its page. */
const hashOf = (tab, values) => `#${(tab === null ? partsOf(values, "") : [tab, ...partsOf(values, PREFIX)]).join("&")}`;

/** The address of a page in the state of the values; null where it has none, as in a notebook. */
export function link(embedded, values) {
  const { view, tab } = addressWindow(embedded), { href, hash } = view.location;
  return href.startsWith("about:") ? null : href.slice(0, href.length - hash.length).replace(/#$/, "") + hashOf(tab, values);
}

/** The values as the text of a file. */
export const fileText = (values) => `${FILE_HEAD}\n${partsOf(values, "").join("\n")}\n`;

/** The inverse of fileText; null for another text. */
export function readFile(text) {
  const [head, ...parts] = text.split(/\r?\n/);
  return head === FILE_HEAD ? valuesIn(parts, "") : null;
}

/** Replace the values in the address. */
export function write(embedded, values) {
  const { view, tab } = addressWindow(embedded);
  if (tab !== null && !view.location.hash.startsWith(`#${tab}`)) return; // another tab is open
  const hash = hashOf(tab, values);
  if (view.location.hash === hash) return;
  try {
    view.history.replaceState(view.history.state, "", hash);
  } catch {
    // browsers may forbid this on a page from a file; the view works without it
  }
}

/** Lists of names as one value. */
export const join = (names) => names.map(encodeURIComponent).join(",");
export const split = (text) => text.split(",").map(decode).filter(Boolean);

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
