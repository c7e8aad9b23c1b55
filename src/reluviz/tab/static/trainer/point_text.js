// Points from a text that was pasted or dropped, by the rules of the file reader: a twin of data/point_files.py, with its helpers
// columns.py, point_checks.py and text_encoding.py. A text is data: nothing in it is ever executed.

import { general, isMissing, numericColumns, readNumbers, readingsOf, remedy, shown, strip } from "./decimal_marks.js";
import { count, splitTable } from "./text_table.js";

const LONGEST_TEXT = 4e6;
/** The largest size of a coordinate: fourth powers, as in squared gradients, are within floating point. */
const LARGEST = 1e60, SMALLEST = 1 / LARGEST;
/** Up to this many times their range, numbers may be away from 0 without a loss that a run could show. */
const MAX_OFFSET = 1e6;
/** Rows by which it is judged which columns hold numbers. */
const SAMPLE = 2000;

/**
 * The points of a text, sorted by x, lines for the user about how they were read, and the names of their columns.
 * @param {string} text
 * @returns {{x: Float64Array, y: Float64Array, notes: string[], columns: string[]|null}}
 * @throws {Error} if the text has no points that the page can train on; the message says in one sentence what would be right
 */
export function readPoints(text) {
  if (text.length > LONGEST_TEXT) throw new Error(`the page reads at most ${count(LONGEST_TEXT)} characters; this has ${count(text.length)}`);
  const table = splitTable(text.replace(/^\ufeff/, "")), { names, rows } = table;
  const column = (place) => rows.map(({ cells }) => cells[place] ?? "");
  const hasIndex = countsRows(names, rows);
  const numeric = numericColumns(rows.filter((_, i) => i % (1 + Math.floor(rows.length / SAMPLE)) === 0)).filter((place) => place || !hasIndex);
  const { chosen, note } = chooseColumns(table, numeric);
  const cells = chosen.map(column), lines = rows.map(({ line }) => line);
  const commaSeparates = () => table.separator === ","
    && !cells.some((one) => one.some((cell, row) => cell.includes(",") || table.quoted(lines[row], cell)));
  const others = numeric.filter((place) => !chosen.includes(place)).map(column);
  const { found, note: markNote } = readNumbers(cells, lines, others, commaSeparates);
  const [x, y] = sortedPoints(...found);
  checkPoints(x, y);
  const notes = [note && hasIndex ? `${note} beside its index` : note, markNote, ...table.notes, lostDigits("x", x), lostDigits("y", y)];
  return { x, y, notes: notes.filter(Boolean), columns: names && chosen.map((place) => names[place]) };
}

/** The points as CSV, which this reader and Python's read back exactly. */
export function pointsAsCsv(x, y) {
  const plain = (value) => (Object.is(value, -0) ? "-0" : String(value));
  return `x,y\n${Array.from(x, (one, i) => `${plain(one)},${plain(y[i])}\n`).join("")}`;
}

/**
 * The text of a file, and a line for the user if its encoding had to be assumed.
 * @param {Uint8Array} bytes
 * @returns {{text: string, note: string}}
 * @throws {Error} if it is no text
 */
export function decodeBytes(bytes) {
  const startsWith = (...mark) => mark.every((byte, i) => bytes[i] === byte);
  const isMarked = startsWith(0xef, 0xbb, 0xbf) || startsWith(0xff, 0xfe) || startsWith(0xfe, 0xff) || startsWith(0, 0, 0xfe, 0xff);
  const text = startsWith(0xff, 0xfe, 0, 0) || startsWith(0, 0, 0xfe, 0xff) ? utf32(bytes) : decoded(bytes, encodingOf(bytes));
  if (text !== null) return { text, note: "" };
  // digits and separators have the same bytes in all encodings of one byte per character; no text has these bytes
  const isText = !isMarked && bytes.every((byte) => (byte > 31 || (byte > 8 && byte < 14) || byte === 26) && ![0x81, 0x8d, 0x8f, 0x90, 0x9d].includes(byte));
  if (isText) return { text: decoded(bytes, "windows-1252"), note: "not in UTF-8, read as Windows-1252" };
  const isArchive = startsWith(0x50, 0x4b, 3, 4) || startsWith(0xd0, 0xcf, 0x11, 0xe0);
  throw new Error(`the file is ${isArchive ? "a spreadsheet or an archive" : "not text in UTF-8"}; save it as 'CSV UTF-8'`);
}

function decoded(bytes, encoding) {
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** The encoding by its byte-order mark, or by the zeros that every second byte of digits and separators is in UTF-16. */
function encodingOf(bytes) {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return "utf-16le";
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return "utf-16be";
  const sample = bytes.subarray(0, 1000), zeros = [0, 0], length = [Math.ceil(sample.length / 2), Math.floor(sample.length / 2)];
  sample.forEach((byte, i) => (zeros[i % 2] += byte === 0 ? 1 : 0));
  const is16 = (odd) => bytes.length % 2 === 0 && 2 * zeros[odd] > length[odd] && !zeros[1 - odd];
  return is16(1) ? "utf-16le" : is16(0) ? "utf-16be" : "utf-8";
}

/** UTF-32 with a byte-order mark, which TextDecoder lacks; null if it is none. */
function utf32(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length), isLittle = bytes[0] === 0xff, letters = [];
  if (bytes.length % 4) return null;
  for (let at = 4; at < bytes.length; at += 4) {
    const code = view.getUint32(at, isLittle);
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return null;
    letters.push(String.fromCodePoint(code));
  }
  return letters.join("");
}

/** Whether the first column has no name and counts the rows, in any order, as pandas writes it. */
function countsRows(names, rows) {
  if (!names || !["", "Unnamed: 0"].includes(names[0])) return false;
  const cells = new Set(rows.map((row) => row.cells[0] ?? ""));
  return cells.size === rows.length && [0, 1].some((start) => rows.every((_, i) => cells.has(String(i + start))));
}

/**
 * The places of x and y: the columns of these names, or the only two that hold numbers, and a line that says so.
 * @param {number[]} numeric the columns that hold numbers
 */
function chooseColumns(table, numeric) {
  const { names } = table, given = names ? ` in its header, line ${table.headerLine} (${shown(names)})` : "";
  const chosen = ["x", "y"].map((key) => {
    const named = (names ?? []).flatMap((name, place) => (strip(name).toLowerCase() === key ? [place] : []));
    if (named.length > 1) throw new Error(`the text has more than one column ${key}${given}; one is needed`);
    return named[0];
  });
  const missing = ["x", "y"].filter((_, at) => chosen[at] === undefined).map((key) => `no column ${key}`);
  if (!missing.length) return { chosen, note: "" };
  const left = numeric.filter((place) => !chosen.includes(place)), n = numeric.length;
  const kind = `${n} column${n === 1 ? "" : "s"} of numbers`;
  if (left.length !== missing.length || n !== 2) {
    if (n < 2) throw new Error(`the text has ${names ? missing.join(" and ") + given : "no header"}, and ${kind}; two are needed, x and y${hint(table)}`);
    const begin = names ? `${missing.join(" and ")}${given}, and ${kind}` : `no header and ${kind} (${numeric.slice(0, 6).join(", ")})`;
    throw new Error(`the text has ${begin}; a header that names two of them x and y is needed`);
  }
  const filled = chosen.map((place) => place ?? left.shift());
  const title = (place) => (names?.[place] ? shown([names[place]]) : `column ${place}`);
  const note = `x is ${title(filled[0])}, y is ${title(filled[1])}, its only two columns of numbers${names ? "" : " (no header)"}`;
  return { chosen: filled, note };
}

/** For an error message, what a column holds that is nearly one of numbers; nothing if there is none. */
function hint({ names, headerLine, rows }) {
  for (const { line, cells } of names ? [{ line: headerLine, cells: names }, ...rows] : rows) {
    for (const cell of cells) {
      const help = !isMissing(cell) && !readingsOf(cell) && remedy(cell);
      if (help) return ` (line ${line} has ${shown([cell])}; ${help})`;
    }
  }
  return "";
}

/** The points in the order of x; points with the same x keep their order. */
function sortedPoints(x, y) {
  const order = Array.from(x.keys()).sort((i, j) => x[i] - x[j]);
  return [x, y].map((column) => Float64Array.from(order, (i) => column[i]));
}

function checkPoints(x, y) {
  const n = x.length;
  if (n < 2) throw new Error(`the text has ${n} row${n === 1 ? "" : "s"} of data; at least 2 are needed`);
  if (x[0] === x[n - 1]) throw new Error(`every x is ${general(x[0], 6)}; at least two different x are needed`);
  [x, y].forEach((column, at) => {
    const largest = column.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    if (!largest || (largest >= SMALLEST && largest <= LARGEST)) return;
    const beyond = largest > 1 ? `above ${general(LARGEST, 6)}` : `below ${general(SMALLEST, 6)}`;
    throw new Error(`the largest ${"xy"[at]} is ${general(largest, 6)}, ${beyond}; its powers leave floating point; use other units`);
  });
}

/** A line if numbers are so far from 0 that few digits tell them apart. */
function lostDigits(name, values) {
  const spread = Math.max(...values) - Math.min(...values);
  if (!(Math.min(...values.map(Math.abs)) > MAX_OFFSET * spread && spread > 0)) return "";
  const distinct = `${count(new Set(values).size)} of its ${count(values.length)} values are distinct`;
  return `${name} differs by ${general(spread, 3)} at ${general(values[0], 10)}: ${distinct}; subtract an offset first`;
}
