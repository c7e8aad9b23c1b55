// A branch as text for an address: where it starts, its changes, and how many updates it has made. Numbers survive exactly.
//
//   start     f: an initial state, whose settings stand beside it; r3.0.150000: run 3 of the address, replica 0, update 150000
//   changes   ~, the updates since the change before, a letter of EDITS, and its numbers with _ between them
//   end       ~, the updates since the last change, and a dot
//
// Only letters, digits and - . _ ~ * occur, which addresses leave as they are.

import { EDITS } from "./edits.js";

/** More updates than this are not repeated from an address. */
export const MOST_UPDATES = 2e7;
const MOST_EDITS = 400, MOST_NUMBERS = 4000;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.";

/** A number as text: its shortest decimal form, or * and its 64 bits if that is shorter. */
function numberText(value) {
  const text = Object.is(value, -0) ? "-0" : String(value).replace("+", "");
  if (text.length <= 12) return text;
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  let bits = view.getUint32(0), low = view.getUint32(4), found = "";
  for (let i = 0; i < 11; i++) {
    // the lowest 6 of the 64 bits
    found += ALPHABET[low & 63];
    low = ((low >>> 6) | ((bits & 63) << 26)) >>> 0;
    bits >>>= 6;
  }
  return `*${found}`;
}

/** The inverse of numberText; NaN for other text. */
function numberOf(text) {
  if (!text.startsWith("*")) return /^-?\d+(\.\d+)?(e-?\d+)?$/.test(text) ? Number(text) : NaN;
  if (text.length !== 12) return NaN;
  let high = 0, low = 0;
  for (let i = 11; i >= 1; i--) {
    const six = ALPHABET.indexOf(text[i]);
    if (six < 0) return NaN;
    high = ((high << 6) | (low >>> 26)) >>> 0;
    low = ((low << 6) | six) >>> 0;
  }
  const view = new DataView(new ArrayBuffer(8));
  view.setUint32(0, high);
  view.setUint32(4, low);
  return view.getFloat64(0);
}

/**
 * A branch as text.
 * @param {{start: {kind: "fresh"}|{kind: "run", run: string, replica: number, update: number}, from: number, edits: {at: number, kind: string, values: number[]}[]}} branch
 * @param {number} end the updates made, counted as those of its run
 * @param {string[]} runs the names of the runs of the address
 */
export function textOf({ start, from, edits }, end, runs) {
  const parts = [start.kind === "fresh" ? "f" : `r${runs.indexOf(start.run)}.${start.replica}.${start.update}`];
  let at = from;
  for (const edit of edits) {
    parts.push(`${edit.at - at || ""}${edit.kind}${edit.values.map(numberText).join("_")}`);
    at = edit.at;
  }
  return [...parts, `${end - at || ""}.`].join("~");
}

/**
 * The inverse of textOf; null for text that is no branch.
 * @returns {null|{start: any, edits: {at: number, kind: string, values: number[]}[], end: number}}
 */
export function parse(text, runs) {
  const [first, ...rest] = text.split("~");
  const found = /^r(\d{1,2})\.(\d{1,4})\.(\d{1,15})$/.exec(first);
  if (!rest.length || rest.length > MOST_EDITS || (first !== "f" && !(found && runs[Number(found[1])] !== undefined))) return null;
  const start = found ? { kind: "run", run: runs[Number(found[1])], replica: Number(found[2]), update: Number(found[3]) } : { kind: "fresh" };
  const edits = [], from = found ? start.update : 0;
  let at = from;
  for (const [i, part] of rest.entries()) {
    const [, since, kind, list] = /^(\d{0,15})([a-z.])(.*)$/s.exec(part) ?? [];
    if (kind === undefined) return null;
    at += Number(since);
    if (at - from > MOST_UPDATES) return null;
    if (i === rest.length - 1) return kind === "." && list === "" ? { start, edits, end: at } : null;
    const values = list === "" ? [] : list.split("_").map(numberOf);
    if (!Object.hasOwn(EDITS, kind) || values.length > MOST_NUMBERS || !values.every(Number.isFinite)) return null;
    if (EDITS[kind].count !== null && EDITS[kind].count !== values.length) return null;
    edits.push({ at, kind, values });
  }
  return null;
}
