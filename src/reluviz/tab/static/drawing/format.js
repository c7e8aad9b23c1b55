// Numbers and names as text; whole numbers are in core/count.js.

import { count } from "../core/count.js";

const MINUS = "−";

/** A number with three significant digits and a true minus sign. Years have no space between their digits, larger numbers have. */
export function number(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : `${MINUS}∞`;
  if (value === 0) return "0";
  const size = Math.abs(value);
  let text;
  if (size >= 1e5 || size < 1e-3) {
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
    const power = [...String(Number(exponent))].map((c) => SUPERSCRIPTS[c]).join("");
    text = `${mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa}·10${power}`;
  } else text = String(Number(value.toPrecision(digits))).replace(/^-?\d{5}/, count);
  return text.replace("-", MINUS);
}

/** A place among values of this range, such as an elbow, with the digits that tell places 1/1000 of the range apart. */
const place = (value, range) => number(value, placeDigits(value, range));

/** A value of x as text, with enough digits to find it among the points. @param {import("../core/run.js").Run} run */
export const placeX = (run, x) => place(x, run.domain[1] - run.domain[0]);

/** A value of y as text. */
export const placeY = (run, y) => place(y, run.yRange);

/** The significant digits that tell places 1/1000 of the range apart; at least 3. */
export function placeDigits(value, range) {
  if (!(range > 0) || !Number.isFinite(value) || value === 0) return 3;
  return Math.max(3, Math.min(15, Math.floor(Math.log10(Math.abs(value))) - Math.floor(Math.log10(range)) + 3));
}

const SUPERSCRIPTS = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

/** A number with its sign. */
export const signed = (value, digits = 3) => (value > 0 ? "+" : "") + number(value, digits);

/** A percentage with about three digits. */
export function percent(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value * 100);
  if (size >= 1e4) return shortPercent(value);
  const text = size >= 99.95 ? count(value * 100) : size >= 9.995 ? (value * 100).toFixed(1) : (value * 100).toFixed(2);
  return `${text.replace("-", MINUS)} %`;
}

/** A percentage for an axis, with as few digits as possible. */
export function shortPercent(value) {
  const rounded = Number((value * 100).toPrecision(3));
  return `${Math.abs(rounded) >= 1e4 ? formatTick(rounded, 1) : number(rounded)} %`;
}

/** The significant digits that tell ticks of this size and step apart. */
const tickDigits = (size, step) => Math.min(15, Math.floor(Math.log10(size)) - Math.floor(Math.log10(step) + 1e-9) + 1);

/** The label of a tick of an axis, with the digits that the step between ticks needs. */
export function formatTick(value, step) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e13) return number(value, 2);
  if (size >= 1e4) {
    for (const [unit, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
      if (size >= unit) return (Number((value / unit).toPrecision(Math.max(4, tickDigits(size, step)))) + letter).replace("-", MINUS);
    }
  }
  if (size < 1e-3) return number(value, 2).replace(/^(−?)1·/, "$1");
  const digits = Math.max(0, Math.min(6, -Math.floor(Math.log10(step) + 1e-9)));
  return value.toFixed(digits).replace("-", MINUS);
}

/** A label such as "width 10, lr 0.02" of limited length: if necessary its values alone, "10, 0.02". */
export function shortenLabel(label, maxLength) {
  const values = label.split(", ").map((part) => (part.startsWith("no ") ? part : part.slice(part.indexOf(" ") + 1))).join(", ");
  return shorten(label.length > maxLength && /, /.test(label) ? values : label, maxLength);
}

/** A share of the step, "10 % of the step"; beyond 100 % as a multiple, "−3.2 times the step". */
export const shareInWords = (share) => (Math.abs(share) > 1 ? `${number(share, 2)} times the step` : `${percent(share)} of the step`);

const PARTS = [[0.1, "a tenth"], [0.2, "a fifth"], [0.25, "a quarter"], [1 / 3, "a third"], [0.4, "two fifths"], [0.5, "half"], [0.6, "three fifths"], [2 / 3, "two thirds"], [0.75, "three quarters"], [0.8, "four fifths"], [0.9, "nine tenths"]];

/** A ratio from 0 to 1 in words: the nearest of some fractions. */
export function ratioInWords(ratio) {
  if (ratio < 0.05) return "hardly any";
  if (ratio >= 0.95) return "nearly all";
  return PARTS.reduce((best, part) => (Math.abs(part[0] - ratio) < Math.abs(best[0] - ratio) ? part : best))[1];
}

/** A name of limited length; a longer one loses its middle. */
export function shorten(name, maxLength = 28) {
  if (name.length <= maxLength) return name;
  const tail = Math.floor((maxLength - 1) * 0.6);
  return `${name.slice(0, maxLength - 1 - tail)}…${name.slice(-tail)}`;
}
