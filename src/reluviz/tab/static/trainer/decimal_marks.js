// Numbers as people write them: which mark is the decimal mark is decided once, for a whole text. A twin of data/decimal_marks.py.
// A cell's readings are bits: three with a decimal point, three with a decimal comma; each has other marks between thousands.

const POINT = 7, COMMA = 56, EVERY = POINT | COMMA;
const BLANKS = " \u00a0\u2009\u202f", APOSTROPHES = "'\u2019", MINUS = "\u2212", SIGN = `[+\\-${MINUS}]?`;
const THOUSANDS = [",", BLANKS, APOSTROPHES, ".", BLANKS, APOSTROPHES];
// characters; the largest number of float64 has 309 digits
const LONGEST_NUMBER = 400;
const MISSING = new Set(["", "na", "n/a", "nan", "null", "none", "-", "--", "?"]);
const PLAIN = new RegExp(`^${SIGN}(?:\\d+(?:([.,])\\d*)?|([.,])\\d+)(?:[eE]${SIGN}\\d+|[dD][+\\-${MINUS}]\\d+)?$`);
// a number that begins with 0 has no thousands: 0,125 has a decimal comma
const GROUPED = THOUSANDS.map((between, i) => new RegExp(`^${SIGN}[1-9]\\d{0,2}(?:[${between}]\\d{3})+(?:[${i < 3 ? "." : ","}]\\d*)?$`));
const NOT_FINITE = new RegExp(`^${SIGN}(?:nan|inf|infinity)$`, "i");
const DATE = /^(?:\d{1,4}([-./])\d{1,2}\1\d{1,4}(?!\d).*|\d{1,2}:\d\d(?!\d).*)$/;
const LETTER = "[\\p{L}\\p{Nl}\\p{No}]", UNIT = `[%‰°]?(?:${LETTER}{1,9}(?:/${LETTER}{1,9})?)?`;
const WITH_UNIT = new RegExp(`^([$€£¥₹]|${LETTER}{1,3})?[^\\S\ufeff]*([+-]?[\\d.,]+)[^\\S\ufeff]*([$€£¥₹]|${UNIT})$`, "u");
const SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

/** As Python's str.strip; trim removes other characters. */
export function strip(text) {
  let begin = 0, end = text.length;
  while (begin < end && SPACE.test(text[begin])) begin++;
  while (begin < end && SPACE.test(text[end - 1])) end--;
  return text.slice(begin, end);
}

/** The first names, shortened, for an error message. */
export function shown(names) {
  const short = (letters, name) => (letters.length > 30 ? `${letters.slice(0, 30).join("")}...` : name);
  return names.slice(0, 6).map((name) => quoted(short([...name.slice(0, 62)], name))).join(", ");
}

/** As Python's repr. */
export function quoted(text) {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escape = (one) => {
    const hex = one.codePointAt(0).toString(16), [kind, size] = hex.length < 3 ? ["x", 2] : hex.length < 5 ? ["u", 4] : ["U", 8];
    return { "\\": "\\\\", "\t": "\\t", "'": mark === "'" ? "\\'" : "'" }[one] ?? `\\${kind}${hex.padStart(size, "0")}`;
  };
  return mark + text.replace(/(?! )[\\'\p{C}\p{Z}]/gu, escape) + mark;
}

/** A number as Python's format "g" with so many digits writes it. */
export function general(value, digits) {
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  if (exponent >= -4 && exponent < digits) return (Object.is(value, -0) ? "-" : "") + +value.toPrecision(digits);
  return `${+mantissa}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
}

/** The readings, as bits, in which a cell is a number; 0 if it is none. */
export function readingsOf(cell) {
  if (cell.length > LONGEST_NUMBER) return 0;
  const plain = PLAIN.exec(cell), mark = plain && (plain[1] ?? plain[2]);
  let found = plain ? (mark === "." ? POINT : mark ? COMMA : EVERY) : 0;
  // most cells have no mark before three digits
  if (/\D\d{3}/.test(cell)) GROUPED.forEach((one, i) => (found |= one.test(cell) << i));
  return found || (NOT_FINITE.test(cell) ? EVERY : 0);
}

export function isMissing(cell) {
  return cell.length < 5 && MISSING.has(cell.toLowerCase());
}

/** What to do about a cell that is no number. */
export function remedy(cell) {
  if (isMissing(cell)) return "leave out rows in which a number is missing";
  if (cell.length > LONGEST_NUMBER) return "";
  if (DATE.test(cell)) return "give dates and times as numbers, such as years or hours";
  if (/^\([\d.,]+\)$/.test(cell)) return "give negative numbers with -";
  if (/^(?:[[{(].*\d.*|.*\d[^\S\ufeff]*[\]})]+)$/.test(cell)) return "give rows such as 1.5,2 without brackets";
  const [, before, number, after] = WITH_UNIT.exec(cell) ?? [], signs = [before, after].filter(Boolean);
  return signs.length && readingsOf(number) ? `leave out ${signs.map(quoted).join(" and ")}` : "";
}

/** The columns in which more than half of the cells that are not missing are numbers, in any reading. */
export function numericColumns(rows) {
  // in one pass: rows may differ much in length
  const balance = [];
  for (const row of rows) {
    row.forEach((cell, place) => {
      if (!isMissing(cell)) balance[place] = (balance[place] ?? 0) + (readingsOf(cell) ? 1 : -1);
    });
  }
  return Array.from(balance.keys()).filter((place) => balance[place] > 0);
}

/** The numbers of x and y in the only reading that suits all their cells. Further columns decide if x and y leave a choice. */
export function readNumbers(columns, lines, others, commaSeparates) {
  const cells = lines.flatMap((line, row) => columns.map((column, at) => ({ cell: column[row], line, name: "xy"[at] })));
  const place = ({ line, name, cell }) => `line ${line}: ${name} is ${cell ? shown([cell]) : "missing"}`;
  let allowed = EVERY, note = "";
  cells.forEach((one, i) => {
    const mask = readingsOf(one.cell), hint = remedy(one.cell);
    allowed &= mask || fail(`${place(one)}; a plain number such as 1234.5 is needed${hint && ` (${hint})`}`);
    if (allowed) return;
    const other = cells.find(({ cell }, j) => j <= (i | 1) && !(readingsOf(cell) & mask));
    const conflict = other ? `but in ${place(other).replace(":", "")}` : "which fits no reading of the numbers above";
    fail(`${place(one)}, ${conflict}; a text needs one decimal mark, and one mark between thousands`);
  });
  const first = cells.find(({ cell }) => /[.,]/.test(cell)), isUndecided = () => first && allowed & POINT && allowed & COMMA;
  for (const column of isUndecided() ? others : []) {
    allowed = column.map(readingsOf).filter(Boolean).reduce((a, b) => a & b, allowed) || allowed;
  }
  if (isUndecided()) {
    if (!commaSeparates()) {
      const [comma, point] = [COMMA, POINT].map((bits) => general(numberIn(first.cell, allowed & bits), 15));
      fail(`${place(first)}, which is ${comma} or ${point}, and nothing in the text decides; one number such as 0,5 or 0.5 would decide`);
    }
    allowed &= POINT;
    note = `${first.cell} has a decimal point, as commas separate columns`;
  }
  const found = columns.map((column, at) => Float64Array.from(column, (cell, row) => {
    const value = numberIn(cell, allowed);
    return Number.isFinite(value) ? value : fail(`line ${lines[row]}: ${"xy"[at]} is ${cell.slice(0, 30)}; a finite number is needed`);
  }));
  return { found, note };
}

export function fail(message) {
  throw new Error(message);
}

/** A cell's number; with a decimal point if the allowed readings have one. */
function numberIn(cell, allowed) {
  const bits = allowed & POINT || allowed, decimal = bits & POINT ? "." : ",";
  const thousands = THOUSANDS.filter((_, i) => (bits >> i) & 1).join("");
  // Fortran writes 1.5D+03
  const plain = (one) => (thousands.includes(one) ? "" : one === decimal ? "." : one === MINUS ? "-" : one.replace(/d/i, "e"));
  return Number(Array.from(cell, plain).join(""));
}
