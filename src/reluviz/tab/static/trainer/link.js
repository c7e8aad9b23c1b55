// Branches as text for an address: where each starts, its changes, and how many updates it has made. Numbers survive exactly.
//
//   text      1, then the branches one after another
//   branch    its number, a letter for its start (a capital one for a control), changes, _, the updates since the last change
//   start     f: an initial state, whose settings stand beside it; r run replica update: a snapshot of a run of the address;
//             l place n: like the branch at that place of the text up to its first n changes
//   change    a letter of EDITS, the updates since the change before, and its numbers, whose count comes first where it is free
//
// A count is written 5 bits a character, the lowest first; all characters but its last have a sixth bit. A number is a character
// for sign and exponent, and a count of units of that power of ten; or 64 bits, where that is shorter. Only letters, digits and
// - _ occur, which addresses, mails and chats leave as they are.

import { EDITS } from "./edits.js";

/** More updates than this are not repeated from an address. */
export const MOST_UPDATES = 2e7;
const MOST_EDITS = 2000, MOST_NUMBERS = 4000, VERSION = "1", END = "_";
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/** The first character of a number: from here on, its lowest 4 bits are the highest of 64. */
const WHOLE = 48;
/** Below that it is an exponent of ten, from this one on, with SIGN added for a number below 0. */
const LEAST_EXPONENT = -17, SIGN = 24;

function countText(value) {
  let text = "";
  for (; value > 31; value = Math.floor(value / 32)) text += ALPHABET[32 + (value % 32)];
  return text + ALPHABET[value];
}

/** A number as text, 2 to 11 characters. */
function numberText(value) {
  const [digits, power] = Math.abs(value).toExponential().split("e");
  let exponent = Number(power) - Math.max(0, digits.length - 2), units = Number(digits.replace(".", ""));
  for (; exponent >= SIGN + LEAST_EXPONENT && units < 2 ** 45; exponent--) units *= 10;
  const place = exponent - LEAST_EXPONENT, negative = value < 0 || Object.is(value, -0);
  if (units < 2 ** 45 && place >= 0 && place < SIGN) return ALPHABET[place + (negative ? SIGN : 0)] + countText(units);
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  let bits = view.getBigUint64(0), text = "";
  for (let i = 0; i < 10; i++, bits >>= 6n) text += ALPHABET[Number(bits & 63n)];
  return ALPHABET[WHOLE + Number(bits)] + text;
}

/** Reads a text from its begin on. It throws an Error for what no text of this file has. */
class Reader {
  #at = 0;

  constructor(text) {
    this.text = text;
  }

  get atEnd() {
    return this.#at === this.text.length;
  }

  character() {
    if (this.atEnd) throw new Error("unfinished");
    return this.text[this.#at++];
  }

  #sixBits() {
    const found = ALPHABET.indexOf(this.character());
    if (found < 0) throw new Error("no character of a number");
    return found;
  }

  count(most = Number.MAX_SAFE_INTEGER) {
    let value = 0, scale = 1, bits;
    do {
      bits = this.#sixBits();
      value += (bits % 32) * scale;
      scale *= 32;
      if (value > most || scale > 2 ** 60) throw new Error("too large");
    } while (bits > 31);
    return value;
  }

  number() {
    const first = this.#sixBits();
    if (first < WHOLE) return Number(`${first < SIGN ? "" : "-"}${this.count()}e${(first % SIGN) + LEAST_EXPONENT}`);
    const view = new DataView(new ArrayBuffer(8));
    let bits = 0n;
    for (let i = 0n; i < 10n; i++) bits |= BigInt(this.#sixBits()) << (6n * i);
    view.setBigUint64(0, bits | (BigInt(first - WHOLE) << 60n));
    if (!Number.isFinite(view.getFloat64(0))) throw new Error("not finite");
    return view.getFloat64(0);
  }
}

const editText = ({ at, kind, values }, since) =>
  kind + countText(at - since) + (EDITS[kind].count === null ? countText(values.length) : "") + values.map(numberText).join("");

/** Read changes from an update on, until another letter comes. @returns {string} that letter */
function readEdits(reader, from, edits) {
  let at = edits.length ? edits[edits.length - 1].at : from;
  for (;;) {
    const kind = reader.character();
    if (!Object.hasOwn(EDITS, kind)) return kind;
    if (edits.length >= MOST_EDITS) throw new Error("too many changes");
    at += reader.count(from + MOST_UPDATES - at);
    const count = EDITS[kind].count ?? reader.count(MOST_NUMBERS);
    edits.push({ at, kind, values: Array.from({ length: count }, () => reader.number()) });
  }
}

/** Changes that are not yet those of a branch as text. @param {{kind: string, values: number[]}[]} edits */
export const changesText = (edits) => edits.map(({ kind, values }) => editText({ at: 0, kind, values }, 0)).join("");

/** The inverse of changesText; null for other text. @returns {null|{kind: string, values: number[]}[]} */
export function parseChanges(text) {
  const edits = [];
  try {
    return readEdits(new Reader(`${text}${END}`), 0, edits) === END && edits.every(({ at }) => at === 0) ? edits : null;
  } catch {
    return null;
  }
}

const isSameStart = (a, b) => ["kind", "run", "replica", "update"].every((key) => a[key] === b[key]);
const isSameEdit = (a, b) => a.at === b.at && a.kind === b.kind && a.values.length === b.values.length && a.values.every((value, i) => Object.is(value, b.values[i]));

/** The number of changes that two branches have in common. */
function commonEdits(a, b) {
  if (!isSameStart(a.start, b.start)) return 0;
  const end = a.edits.findIndex((edit, i) => i >= b.edits.length || !isSameEdit(edit, b.edits[i]));
  return end < 0 ? a.edits.length : end;
}

/**
 * Branches as text.
 * @typedef {{kind: "fresh"}|{kind: "run", run: string, replica: number, update: number}} Start
 * @param {{number: number, isControl: boolean, start: Start, from: number, edits: {at: number, kind: string, values: number[]}[], updateCount: number}[]} branches
 *   updateCount is the number of updates made, counted as those of its run
 * @param {string[]} runs the names of the runs of the address, with those of all starts
 */
export function textOf(branches, runs) {
  const one = (branch, place) => {
    const { number, isControl, start, from, edits, updateCount } = branch;
    const common = branches.slice(0, place).map((earlier) => commonEdits(branch, earlier)), shared = Math.max(0, ...common);
    const ofRun = () => `r${[runs.indexOf(start.run), start.replica, start.update].map(countText).join("")}`;
    const [letter, ...rest] = shared ? `l${countText(common.indexOf(shared))}${countText(shared)}` : start.kind === "fresh" ? "f" : ofRun();
    let at = shared ? edits[shared - 1].at : from;
    const changes = edits.slice(shared).map((edit) => {
      const text = editText(edit, at);
      at = edit.at;
      return text;
    });
    return [countText(number), isControl ? letter.toUpperCase() : letter, ...rest, ...changes, END, countText(updateCount - at)].join("");
  };
  return VERSION + branches.map(one).join("");
}

/**
 * The inverse of textOf; null for other text, and for branches with more than MOST_UPDATES updates.
 * @param {string} text @param {string[]} runs @param {number} [most] the number of branches
 * @returns {null|{number: number, isControl: boolean, start: Start, edits: {at: number, kind: string, values: number[]}[], updateCount: number}[]}
 */
export function parse(text, runs, most = 4) {
  const reader = new Reader(text), found = [];
  try {
    if (reader.character() !== VERSION) return null;
    while (!reader.atEnd) {
      if (found.length === most) return null;
      found.push(readBranch(reader, runs, found));
    }
    return found;
  } catch {
    return null;
  }
}

function readBranch(reader, runs, earlier) {
  const number = reader.count(999), letter = reader.character(), edits = [];
  const start = readStart(reader, letter.toLowerCase(), runs, earlier, edits), from = start.update ?? 0;
  if (readEdits(reader, from, edits) !== END) throw new Error("no change");
  const at = edits.length ? edits[edits.length - 1].at : from;
  return { number, isControl: letter < "a", start, edits, updateCount: at + reader.count(from + MOST_UPDATES - at) };
}

function readStart(reader, letter, runs, earlier, edits) {
  if (letter === "f") return { kind: "fresh" };
  if (letter === "r") return { kind: "run", run: runs[reader.count(runs.length - 1)], replica: reader.count(9999), update: reader.count(1e15) };
  if (letter !== "l") throw new Error("no start");
  const { start, edits: shared } = earlier[reader.count(earlier.length - 1)];
  edits.push(...shared.slice(0, reader.count(shared.length)));
  return start;
}
