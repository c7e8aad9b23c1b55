// Numbers as people write them: which mark is the decimal mark is decided once, for a whole text. A twin of data/decimal_marks.py.
//
// A reading says which mark is decimal (point or comma) and which mark, if any, stands between thousands: the other of the two, a
// blank or an apostrophe. The readings of a cell are bits: three with a decimal point, then three with a decimal comma.

const POINT = 7, COMMA = 56, EVERY = POINT | COMMA;
const BLANKS = " \u00a0\u2009\u202f", APOSTROPHES = "'\u2019", MINUS = "\u2212", SIGN = `[+\\-${MINUS}]?`;
const THOUSANDS = [",", BLANKS, APOSTROPHES, ".", BLANKS, APOSTROPHES];
/** Characters; float64's largest number has 309 digits. */
const LONGEST_NUMBER = 400;
const MISSING = new Set(["", "na", "n/a", "nan", "null", "none", "-", "--", "?"]);
const PLAIN = new RegExp(`^${SIGN}(?:\\d+(?:([.,])\\d*)?|([.,])\\d+)(?:[eE]${SIGN}\\d+|[dD][+\\-${MINUS}]\\d+)?$`);
/** A number that begins with 0 has no thousands: 0,125 has a decimal comma. */
const BEGINS_GROUPED = new RegExp(`^${SIGN}[1-9]\\d{0,2}[.,${BLANKS}${APOSTROPHES}]\\d{3}`);
const GROUPED = THOUSANDS.map((between, i) => new RegExp(`^${SIGN}\\d{1,3}(?:[${between}]\\d{3})+(?:[${i < 3 ? "." : ","}]\\d*)?$`));
const NOT_FINITE = new RegExp(`^${SIGN}(?:nan|inf|infinity)$`, "i");
const DATE = /^(?:\d{1,4}([-./])\d{1,2}\1\d{1,4}(?!\d).*|\d{1,2}:\d\d(?!\d).*)$/;
const NEGATIVE = /^\([\d.,]+\)$/;
const BRACKET = /^(?:[[{(].*\d.*|.*\d\s*[\]})]+)$/;
const WITH_UNIT = /^([$€£¥₹]|[\p{L}\p{Nl}\p{No}]{1,3})?\s*([+-]?[\d.,]+)\s*([$€£¥₹]|[%‰°]?(?:[\p{L}\p{Nl}\p{No}]{1,9}(?:\/[\p{L}\p{Nl}\p{No}]{1,9})?)?)$/u;
/** What Python's str.strip removes, which is not what trim removes. */
const SPACES = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000";

export function strip(text) {
  let begin = 0, end = text.length;
  while (begin < end && SPACES.includes(text[begin])) begin++;
  while (begin < end && SPACES.includes(text[end - 1])) end--;
  return text.slice(begin, end);
}

/** The first names, shortened and as Python's repr writes them, for an error message. */
export function shown(names) {
  return names.slice(0, 6).map((name) => {
    const letters = [...name.slice(0, 62)];
    return quoted(letters.length > 30 ? `${letters.slice(0, 30).join("")}...` : name);
  }).join(", ") || "nothing";
}

export function quoted(text) {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replace(/(?! )[\\\p{C}\p{Z}]/gu, (one) => {
    const code = one.codePointAt(0), letter = { "\\": "\\", "\t": "t", "\n": "n", "\r": "r" }[one];
    const size = code < 256 ? ["x", 2] : code < 65536 ? ["u", 4] : ["U", 8];
    return `\\${letter ?? size[0] + code.toString(16).padStart(size[1], "0")}`;
  });
  return mark + (mark === "'" ? escaped.replaceAll("'", "\\'") : escaped) + mark;
}

/** A number as Python's format "g" with so many digits writes it. */
export function general(value, digits) {
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  if (exponent >= -4 && exponent < digits) return String(+value.toPrecision(digits));
  return `${+mantissa}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
}

/** The readings, as bits, in which a cell is a number; 0 if it is none. */
export function readingsOf(cell) {
  if (cell.length > LONGEST_NUMBER) return 0;
  const plain = PLAIN.exec(cell), mark = plain && (plain[1] ?? plain[2]);
  let found = plain ? (mark === "." ? POINT : mark ? COMMA : EVERY) : 0;
  if (BEGINS_GROUPED.test(cell)) GROUPED.forEach((one, i) => (found |= one.test(cell) << i));
  return found || (NOT_FINITE.test(cell) ? EVERY : 0);
}

export function isMissing(cell) {
  return cell.length < 5 && MISSING.has(cell.toLowerCase());
}

/** What to do about a cell that is no number; nothing if there is no hint. */
export function remedy(cell) {
  if (isMissing(cell)) return "leave out rows in which a number is missing";
  if (cell.length > LONGEST_NUMBER) return "";
  if (DATE.test(cell)) return "give dates and times as numbers, such as years or hours";
  if (NEGATIVE.test(cell)) return "give negative numbers with -";
  if (BRACKET.test(cell)) return "give rows such as 1.5,2 without brackets";
  const [, before, number, after] = WITH_UNIT.exec(cell) ?? [], signs = [before, after].filter(Boolean);
  return signs.length && readingsOf(number) ? `leave out ${signs.map(quoted).join(" and ")}` : "";
}

/** The places of the columns in which more than half of the cells that are not missing are numbers, in any reading. */
export function numericColumns(rows) {
  // in one pass: rows may differ much in length
  const balance = [];
  for (const { cells } of rows) {
    cells.forEach((cell, place) => {
      if (!isMissing(cell)) balance[place] = (balance[place] ?? 0) + (readingsOf(cell) ? 1 : -1);
    });
  }
  return Array.from(balance.keys()).filter((place) => balance[place] > 0);
}

/**
 * The numbers of x and y in the only reading that suits all their cells.
 * @param {string[][]} columns the cells of x and of y
 * @param {number[]} lines the line of each row
 * @param {string[][]} others further columns, which decide only if x and y leave a choice
 * @param {() => boolean} commaSeparates whether commas separate columns and none stands within a cell, so none is decimal
 * @returns {{found: Float64Array[], note: string}} the note is empty, unless the separator alone has decided the reading
 */
export function readNumbers(columns, lines, others, commaSeparates) {
  let allowed = commonReadings(columns, lines), note = "";
  const place = undecided(columns, allowed);
  if (place) {
    for (const cells of others) {
      const common = cells.map(readingsOf).filter(Boolean).reduce((a, b) => a & b, allowed);
      allowed = common || allowed;
    }
    if (undecided(columns, allowed)) {
      const [at, row] = place, cell = columns[at][row];
      if (!commaSeparates()) {
        const [comma, point] = [COMMA, POINT].map((bits) => general(numberIn(cell, allowed & bits), 15));
        throw new Error(`line ${lines[row]}: ${"xy"[at]} is ${shown([cell])}, which is ${comma} or ${point}, and nothing in the text`
          + " decides; one number such as 0,5 or 0.5 would decide");
      }
      allowed &= POINT;
      note = `${cell} has a decimal point, as commas separate columns`;
    }
  }
  const found = columns.map((cells, at) => Float64Array.from(cells, (cell, row) => {
    const value = numberIn(cell, allowed);
    return Number.isFinite(value) ? value : NaN;
  }));
  found.forEach((column, at) => {
    const row = column.findIndex(Number.isNaN);
    if (row >= 0) throw new Error(`line ${lines[row]}: ${"xy"[at]} is ${columns[at][row].slice(0, 30)}; a finite number is needed`);
  });
  return { found, note };
}

/** The readings that all cells have in common. */
function commonReadings(columns, lines) {
  let allowed = EVERY;
  lines.forEach((line, row) => columns.forEach((cells, at) => {
    const cell = cells[row], mask = readingsOf(cell);
    if (mask & allowed) {
      allowed &= mask;
      return;
    }
    const place = `line ${line}: ${"xy"[at]} is ${cell ? shown([cell]) : "missing"}`;
    if (mask) throw new Error(`${place}${conflict(columns, lines, row, mask)}; a text needs one decimal mark, and one mark between thousands`);
    const hint = remedy(cell);
    throw new Error(`${place}; a plain number such as 1234.5 is needed${hint && ` (${hint})`}`);
  }));
  return allowed;
}

/** Column and row of the first cell that has one value with a decimal point and another with a comma. */
function undecided(columns, allowed) {
  if (!(allowed & POINT && allowed & COMMA)) return null;
  for (let row = 0; row < columns[0].length; row++) {
    const at = columns.findIndex((cells) => /[.,]/.test(cells[row]));
    if (at >= 0) return [at, row];
  }
  return null;
}

/** A cell's number; with a decimal point if the allowed readings have one. */
function numberIn(cell, allowed) {
  const decimal = allowed & POINT ? "." : ",", bits = allowed & (allowed & POINT ? POINT : COMMA);
  const thousands = THOUSANDS.filter((_, i) => (bits >> i) & 1).join("");
  let plain = "";
  for (const one of cell) {
    // Fortran writes 1.5D+03
    if (!thousands.includes(one)) plain += one === decimal ? "." : one === MINUS ? "-" : /d/i.test(one) ? "e" : one;
  }
  return Number(plain);
}

/** In words, the first cell that has no reading in common with a later one. */
function conflict(columns, lines, last, mask) {
  for (let row = 0; row <= last; row++) {
    const at = columns.findIndex((cells) => !(readingsOf(cells[row]) & mask));
    if (at >= 0) return `, but in line ${lines[row]} ${"xy"[at]} is ${shown([columns[at][row]])}`;
  }
  return ", which fits no reading of the numbers above";
}
