// Points from a text that was pasted or dropped, by the rules of the file reader: a twin of data/point_files.py, with its helpers
// columns.py, point_checks.py and text_encoding.py. A text is data: nothing in it is ever executed.

import { count } from "../core/count.js";
import { fail, general, isMissing, numericColumns, readNumbers, readingsOf, remedy, shown } from "./decimal_marks.js";
import { isNamed, splitTable } from "./text_table.js";

export const LONGEST_TEXT = 1e6;
// fourth powers of coordinates, as in squared gradients, are within floating point
const LARGEST = 1e60;

/**
 * The points of a text, sorted by x, lines for the user about how they were read, and the names of their columns.
 * @returns {{x: Float64Array, y: Float64Array, notes: string[], columns: string[]|null}}
 * @throws {Error} if the page cannot train on them; the message says in one sentence what would be right
 */
export function readPoints(text) {
  if (text.length > LONGEST_TEXT) fail(`the page reads at most ${count(LONGEST_TEXT)} characters; this has ${count(text.length)}`);
  const table = splitTable(text.replace(/^\ufeff/, "")), { names, rows, isQuoted } = table, hasIndex = countsRows(names, rows);
  const numeric = numericColumns(rows.length < 2000 ? rows : rows.filter((_, i) => i % 2 === 0)).filter((place) => place || !hasIndex);
  const [chosen, note] = chooseColumns(table, numeric), cellsIn = (place) => rows.map((row) => row[place] ?? "");
  const isComma = (row) => chosen.some((place) => row[place]?.includes(",") || isQuoted(row, place));
  const commaSeparates = () => table.separator === "," && !rows.some(isComma);
  const others = numeric.filter((place) => !chosen.includes(place)).map(cellsIn);
  const numbers = readNumbers(chosen.map(cellsIn), rows.map(({ line }) => line), others, commaSeparates);
  // points with the same x keep their order
  const order = Array.from(rows.keys()).sort((i, j) => numbers.found[0][i] - numbers.found[0][j]);
  const [x, y] = numbers.found.map((column) => Float64Array.from(order, (i) => column[i]));
  checkPoints(x, y);
  const notes = [note && hasIndex ? `${note} beside its index` : note, numbers.note, ...table.notes, lostDigits("x", x), lostDigits("y", y)];
  return { x, y, notes: notes.filter(Boolean), columns: names && chosen.map((place) => names[place]) };
}

/** The points as CSV, which this reader and Python's read back exactly. */
export function pointsAsCsv(x, y) {
  const plain = (value) => (Object.is(value, -0) ? "-0" : value);
  return `x,y\n${Array.from(x, (one, i) => `${plain(one)},${plain(y[i])}\n`).join("")}`;
}

/**
 * The text of a file's bytes, and a line for the user if its encoding had to be assumed.
 * @returns {{text: string, note: string}}
 * @throws {Error} if it is no text
 */
export function decodeBytes(bytes) {
  const begin = Array.from(bytes.subarray(0, 4), (byte) => byte.toString(16).padStart(2, "0")).join("");
  // TextDecoder lacks UTF-32
  const text = begin === "fffe0000" ? null : decoded(bytes, encodingOf(bytes, begin));
  if (text !== null) return { text, note: "" };
  // digits and separators have the same bytes in all encodings of one byte per character; no text has the bytes that are excluded
  const isText = (byte) => (byte > 31 || (byte > 8 && byte < 14) || byte === 26) && ![0x81, 0x8d, 0x8f, 0x90, 0x9d].includes(byte);
  if (!/^(?:efbbbf|fffe|feff)/.test(begin) && bytes.every(isText)) {
    return { text: decoded(bytes, "windows-1252"), note: "not in UTF-8, read as Windows-1252" };
  }
  const isArchive = begin === "504b0304" || begin === "d0cf11e0";
  return fail(`the file is ${isArchive ? "a spreadsheet or an archive" : "not text in UTF-8"}; save it as 'CSV UTF-8'`);
}

function decoded(bytes, encoding) {
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** The encoding, by its byte-order mark, or by the zeros in UTF-16. */
function encodingOf(bytes, begin) {
  if (begin.startsWith("fffe")) return "utf-16le";
  if (begin.startsWith("feff")) return "utf-16be";
  const sample = bytes.subarray(0, 1000), zeros = [0, 1].map((odd) => sample.filter((byte, i) => i % 2 === odd && byte === 0).length);
  const is16 = (odd) => bytes.length % 2 === 0 && 4 * zeros[odd] > sample.length && !zeros[1 - odd];
  return is16(1) ? "utf-16le" : is16(0) ? "utf-16be" : "utf-8";
}

/** Whether the first column is an index, as pandas writes it. */
function countsRows(names, rows) {
  if (!names || !["", "Unnamed: 0"].includes(names[0])) return false;
  const cells = new Set(rows.map((row) => row[0]));
  return cells.size === rows.length && [0, 1].some((start) => rows.every((_, i) => cells.has(String(i + start))));
}

/** The columns named x and y, or the only two that hold numbers, and a line that says so. */
function chooseColumns(table, numeric) {
  const { names, headerLine } = table, given = names ? ` in its header, line ${headerLine} (${shown(names)})` : "", keys = ["x", "y"];
  const chosen = keys.map((key) => {
    const [first, second] = Array.from(names?.keys() ?? []).filter((place) => isNamed(names[place], key));
    return second === undefined ? first : fail(`the text has more than one column ${key}${given}; one is needed`);
  });
  const missing = keys.filter((_, at) => chosen[at] === undefined).map((key) => `no column ${key}`).join(" and ");
  if (!missing) return [chosen, ""];
  const left = numeric.filter((place) => !chosen.includes(place)), n = numeric.length, kind = `${n} column${n === 1 ? "" : "s"} of numbers`;
  if (n < 2) fail(`the text has ${names ? missing + given : "no header"}, and ${kind}; two are needed, x and y${hintIn(table)}`);
  if (n > 2 || left.length !== chosen.filter((place) => place === undefined).length) {
    const begin = names ? `${missing}${given}, and ${kind}` : `no header and ${kind} (${numeric.slice(0, 6).join(", ")})`;
    fail(`the text has ${begin}; a header that names two of them x and y is needed`);
  }
  const filled = chosen.map((place) => place ?? left.shift());
  const [x, y] = filled.map((place) => (names?.[place] ? shown([names[place]]) : `column ${place}`));
  return [filled, `x is ${x}, y is ${y}, its only two columns of numbers${names ? "" : " (no header)"}`];
}

/** For an error message, the first cell that is nearly a number. */
function hintIn({ names, headerLine, rows }) {
  for (const row of names ? [Object.assign([...names], { line: headerLine }), ...rows] : rows) {
    const cell = row.find((one) => !isMissing(one) && !readingsOf(one) && remedy(one));
    if (cell) return ` (line ${row.line} has ${shown([cell])}; ${remedy(cell)})`;
  }
  return "";
}

function checkPoints(x, y) {
  const n = x.length;
  if (n < 2) fail(`the text has ${n} row${n === 1 ? "" : "s"} of data; at least 2 are needed`);
  if (x[0] === x[n - 1]) fail(`every x is ${general(x[0], 6)}; at least two different x are needed`);
  [x, y].forEach((column, at) => {
    const largest = Math.max(...column.map(Math.abs));
    if (!largest || (largest >= 1 / LARGEST && largest <= LARGEST)) return;
    const limit = largest > 1 ? `above ${general(LARGEST, 6)}` : `below ${general(1 / LARGEST, 6)}`;
    fail(`the largest ${"xy"[at]} is ${general(largest, 6)}, ${limit}; its powers leave floating point; use other units`);
  });
}

/** A line if numbers are so far from 0 that few digits tell them apart. */
function lostDigits(name, values) {
  const spread = Math.max(...values) - Math.min(...values);
  if (!(spread > 0 && Math.min(...values.map(Math.abs)) > 1e6 * spread)) return "";
  const distinct = `${count(new Set(values).size)} of its ${count(values.length)} values are distinct`;
  return `${name} differs by ${general(spread, 3)} at ${general(values[0], 10)}: ${distinct}; subtract an offset first`;
}
