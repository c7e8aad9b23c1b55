// A text as a table of cells: separator, quotes, header, comments, titles, units and remarks. A twin of data/text_table.py and
// data/rows_without_numbers.py.

import { isMissing, numericColumns, quoted, readingsOf, shown, strip } from "./decimal_marks.js";

const BLANK = " ";
/** Each separator, and its name in error messages. */
const SEPARATORS = { ",": "commas", ";": "semicolons", "\t": "tabs", "|": "|", [BLANK]: "blanks" };
const MARKED = Object.keys(SEPARATORS).filter((one) => one !== BLANK);
const MOST_POINTS = 2000, MOST_COLUMNS = 1000;
/** Lines at the beginning by which the separator and the header are found. */
const SAMPLE = 2000;
/** Rows at either end among which titles, units and remarks are searched for. */
const MOST_ROWS = 50;
/** Lines of titles, header and units above rows that all begin with #. */
const MOST_HEADERS = 5;
/** Among the last comments before the first row, a header is searched for. */
const MOST_COMMENTS = 100;
/** Characters; the limit of Python's csv module. */
const LONGEST_CELL = 131072;
const LINE_END = /\r\n|[\n-\r\x1c-\x1e\x85\u2028\u2029]/;
const EXCEL = /^sep=([^\p{L}\p{N}_'#"])\s*$/u;
const COUNT = /^\(?\d+ rows?(?:\)| in set.*)?$/;
const EMPTY = "the text is empty; two columns of numbers are needed, or a header with x and y";

class CellTooLong extends Error {}

/**
 * @typedef {{line: number, cells: string[]}} Row
 * @param {string} text
 * @returns {{separator: string, names: string[]|null, headerLine: number, rows: Row[], notes: string[], quoted: function(number, string): boolean}}
 * @throws {Error} if there is no table, if two separators suit, if a row has more columns than the header, or if there are too many
 */
export function splitTable(text) {
  let lines = text.split(LINE_END);
  if (!lines[lines.length - 1]) lines.pop();
  // Excel writes this line before the header
  let separator = EXCEL.exec(lines[0] ?? "")?.[1];
  if (separator) lines[0] = "";
  lines = withoutFrame(withoutCount(lines));
  const comments = commentsOf(lines), plain = lines.map((line, at) => (comments.has(at) ? "" : line));
  if (!plain.some(strip)) throw new Error(EMPTY);
  separator ??= separatorOf(plain.slice(0, SAMPLE), Array.from(comments).filter((at) => at < SAMPLE).map((at) => lines[at]));
  let [rows, without] = leftOut(splitRows(plain, separator));
  if (!rows.length) throw new Error(EMPTY);
  const wide = rows.find(({ cells }) => cells.length > MOST_COLUMNS);
  if (wide) throw new Error(`the page reads at most ${count(MOST_COLUMNS)} columns; line ${wide.line} has ${count(wide.cells.length)}`);
  const isQuoted = (line, cell) => lines[line - 1].includes(`"${cell}"`);
  let headerLine = 0, names = null;
  if (hasHeader(rows.slice(0, SAMPLE)) || isQuotedHeader(rows.slice(0, SAMPLE), isQuoted)) {
    ({ line: headerLine, cells: names } = rows[0]);
    rows = rows.slice(1);
    if (lacksFirstName(names, rows, separator)) names = ["", ...names];
  } else {
    const before = Array.from(comments).filter((at) => at + 1 < rows[0].line).slice(-MOST_COMMENTS);
    const width = rows.reduce((most, { cells }) => Math.max(most, filledLength(cells)), 0);
    [headerLine, names] = commentedNames(before.map((at) => ({ line: at + 1, text: lines[at] })), width, separator);
  }
  checkWidth(names, headerLine, rows, separator);
  if (rows.length > MOST_POINTS) {
    throw new Error(`the page trains on at most ${count(MOST_POINTS)} points; this has ${count(rows.length)}: use data=file with the command line`);
  }
  const width = names ? names.length : filledLength(rows[0].cells);
  const skipped = Array.from(comments).filter((at) => at + 1 > headerLine && looksLikeRow(lines[at], separator, width));
  return {
    separator, names, headerLine, notes: notesOf(rows, lines, skipped, without), quoted: isQuoted,
    rows: rows.map(({ line, cells }) => ({ line, cells: cells.slice(0, width) })),
  };
}

export function count(number) {
  return number.toLocaleString("en-US");
}

/** Lines for the user about the parts of a text that were not read as rows. */
function notesOf(rows, lines, skipped, without) {
  const notes = [], many = (list) => (list.length > 1 ? "s" : ""), numbers = without.join(", ");
  if (skipped.length) {
    notes.push(`${skipped.length} line${many(skipped)} that begin${many(skipped) ? "" : "s"} with # skipped (line ${skipped[0] + 1})`);
  }
  if (without.length) notes.push(`line${many(without)} ${numbers.length < 60 ? numbers : `${numbers.slice(0, 60)}...`} without numbers left out`);
  // two or more blank lines separate blocks in files of gnuplot
  const isBlank = (at) => !strip(lines[at]);
  const blocks = 1 + rows.filter(({ line }, i) => {
    for (let at = rows[i - 1]?.line ?? line; at + 2 < line; at++) if (isBlank(at) && isBlank(at + 1)) return true;
    return false;
  }).length;
  if (blocks > 1) notes.push(`${blocks} blocks of rows, with blank lines between them, are read as one`);
  return notes;
}

/**
 * The table that begins with its header, if it has one, and the lines of the rows that are left out: titles, units, remarks.
 * @param {Row[]} table
 */
function leftOut(table) {
  const begin = Math.max(0, table.slice(0, MOST_ROWS).findIndex(({ cells }) => !isWords(cells)));
  const body = table.slice(begin, begin + 2 * MOST_ROWS);
  const width = body.reduce((most, { cells }) => Math.max(most, filledLength(cells)), 0);
  // remarks are no reason to take a column for words
  const numeric = new Set(numericColumns(body.filter(({ cells }) => cells.filter(Boolean).length > 1)));
  let end = table.length;
  while (end > Math.max(begin + 2, table.length - MOST_ROWS) && isRemark(table[end - 1].cells, numeric)) end--;
  const header = headerAmong(table.slice(0, begin).map(({ cells }) => cells), width, numeric);
  const first = header === null ? 0 : header, kept = table.slice(first, first === header ? first + 1 : begin).concat(table.slice(begin, end));
  const isKept = new Set(kept);
  return [kept, table.filter((row) => !isKept.has(row)).map(({ line }) => line)];
}

/** The number of cells without the empty ones at the end. */
function filledLength(cells) {
  let length = cells.length;
  while (length && !cells[length - 1]) length--;
  return length;
}

/** The index of the header among the rows before the first numbers; null if all of them stay. */
function headerAmong(rows, width, numeric) {
  const possible = rows.map((_, at) => at).filter((at) => filledLength(rows[at]) === width);
  if (rows.length < 2 || !possible.length) return null;
  const usual = (at) => new Set(rows[at].map((cell) => strip(cell).toLowerCase()).filter((name) => name === "x" || name === "y")).size;
  const most = Math.max(...possible.map(usual)), best = possible.filter((at) => usual(at) === most), last = best[best.length - 1];
  const header = best.length > 1 && last - best[best.length - 2] === 1 ? best[best.length - 2] : last;
  // a row without units is a row in which the numbers are missing
  const hasUnits = (row) => row.some((cell, place) => numeric.has(place) && !isMissing(cell));
  return rows.slice(header + 1).every(hasUnits) ? header : null;
}

/** Whether a row holds a word and no number. */
function isWords(cells) {
  return !cells.some(readingsOf) && !cells.every(isMissing);
}

/** Whether only one cell of a row is filled, with a word where numbers are expected. */
function isRemark(cells, numeric) {
  return cells.filter(Boolean).length === 1 && numeric.has(cells.findIndex(Boolean)) && isWords(cells);
}

/** Whether the first row holds names: a word where the rows below have numbers. */
function hasHeader([{ cells: first }, ...below]) {
  const words = first.map((cell) => cell && !isMissing(cell) && !readingsOf(cell));
  const numeric = numericColumns(below);
  if (!numeric.length) return words.some(Boolean);
  // the names of the rows may have no name themselves
  const shift = below.reduce((most, { cells }) => Math.max(most, filledLength(cells)), 0) === first.length + 1 ? 1 : 0;
  if (numeric.some((place) => words[place - shift])) return true;
  // a table without names, saved with the numbers of its rows and columns
  return first.length > 1 && first.every((cell, i) => cell === (i ? String(i - 1) : "")) && below.every(({ cells }) => cells[0]);
}

/** Whether the first row has numbers for names: all its cells are quoted, and none of the numbers below. */
function isQuotedHeader([first, ...below], isQuoted) {
  const numeric = numericColumns(below);
  return numeric.length >= 2
    && first.cells.every((cell) => isQuoted(first.line, cell))
    && !below.some(({ line, cells }) => numeric.some((place) => place < cells.length && isQuoted(line, cells[place])));
}

/** The lines without rules, and without | at both ends if all lines have it. */
function withoutFrame(lines) {
  lines = lines.map((line) => (/^[|:+\- \t]*$/.test(line) && /---|:-|-:/.test(line) ? "" : line));
  const bare = lines.map(strip), written = bare.filter((line) => line && line[0] !== "#");
  const framed = written.length && written.every((line) => line.length > 1 && line[0] === "|" && line.endsWith("|"));
  return framed ? lines.map((line, at) => (bare[at][0] === "|" ? bare[at].slice(1, -1) : line)) : lines;
}

/** The lines without the number of rows that the client of a database prints below them. */
function withoutCount(lines) {
  let last = lines.length - 1;
  while (last > 0 && !strip(lines[last])) last--;
  return last >= 0 && COUNT.test(strip(lines[last])) ? lines.slice(0, last) : lines;
}

/** The indices of the comments, in their order. */
function commentsOf(lines) {
  const marked = [], others = [];
  lines.forEach((line, at) => {
    const bare = strip(line);
    if (bare) (bare[0] === "#" ? marked : others).push(at);
  });
  const words = others.slice(0, MOST_HEADERS).flatMap((at) => lines[at].split(/(?:[,;|\x1c-\x1f\x85]|(?!\ufeff)\s)+/));
  if (others.length > MOST_HEADERS || words.some(readingsOf)) return new Set(marked);
  // only titles, header and units, if any, do not begin with #: the rows' names may begin with it
  const begin = others.length ? others[others.length - 1] : -1;
  const isName = (at) => at > begin && strip(strip(lines[at])[1] ?? "");
  return new Set(marked.filter(isName).length >= (others.length ? 1 : 2) ? marked.filter((at) => !isName(at)) : marked);
}

/** The separator that gives every row the same number of columns, at least two of them numbers. */
function separatorOf(lines, comments) {
  let tables = new Map();
  for (const candidate of Object.keys(SEPARATORS)) {
    // a separator that does not occur leaves one column; blanks between tabs belong to the cells
    if (!lines.some((line) => line.includes(candidate) || (candidate === BLANK && line.includes("\t")))) continue;
    if (candidate === BLANK && tables.has("\t")) continue;
    try {
      const [table] = leftOut(splitRows(lines, candidate));
      if (suits(table, candidate)) tables.set(candidate, table);
    } catch (error) {
      if (!(error instanceof CellTooLong)) throw error;
    }
  }
  const signs = [
    // a quote within a cell began as that of a whole cell
    (_, table) => !table.some(({ cells }) => cells.some((cell) => cell.includes('"'))),
    (one, table) => !holdsSeparator(table, Array.from(tables.keys()).filter((other) => other !== one)),
    (one, table) => comments.some((comment) => cellsOf(comment, one).length === filledLength(table[0].cells)),
  ];
  for (const isBetter of signs) {
    const better = tables.size > 1 ? Array.from(tables).filter((entry) => isBetter(...entry)) : [];
    if (better.length) tables = new Map(better);
  }
  const found = Array.from(tables.keys());
  if (found.length > 1) {
    const [first, second] = found.map((one) => SEPARATORS[one]);
    throw new Error(`${first} or ${second} may separate the columns, and nothing in the text decides; a header line, such as x,y, would decide`);
  }
  if (found.length) return found[0];
  const beginning = lines.filter(strip).slice(0, 10).join("\n");
  const counts = MARKED.map((one) => beginning.split(one).length - 1), most = Math.max(...counts);
  return most ? MARKED[counts.indexOf(most)] : BLANK;
}

/** Whether a cell that is no number holds another separator, which then separates better. A name may hold blanks. */
function holdsSeparator(table, others) {
  const header = hasHeader(table) ? 1 : 0;
  const holds = (rows, marks, isAny) => rows.some(({ cells }) => cells.some((cell) => marks.some((one) => cell.includes(one)) && isAny(cell)));
  return holds(table.slice(header), others, (cell) => !readingsOf(cell))
    || holds(table.slice(0, header), others.filter((one) => one !== BLANK), () => true);
}

/** The cells of a comment; none if it cannot be split. */
function cellsOf(comment, separator) {
  try {
    return splitRows([strip(strip(comment).replace(/^#+/, ""))], separator)[0]?.cells ?? [];
  } catch (error) {
    if (error instanceof CellTooLong) return [];
    throw error;
  }
}

/** Whether a separator gives rows of equal length with at least two columns of numbers. */
function suits(table, separator) {
  if (!table.length) return false;
  const names = hasHeader(table) ? table[0].cells : null, rows = names ? table.slice(1) : table;
  if (!rows.length) return false;
  const filled = rows.map(({ cells }) => filledLength(cells)), lengths = rows.map(({ cells }) => cells.length);
  if (!names) {
    if (new Set(filled).size > 1 && new Set(lengths).size > 1) return false;
  } else if (!lacksFirstName(names, rows, separator)) {
    if (Math.max(...filled) > names.length || Math.max(...lengths) < filledLength(names)) return false;
  }
  const isMarked = (cell) => MARKED.includes(cell[0]) || MARKED.includes(cell[cell.length - 1]);
  if (separator === BLANK && rows.some(({ cells }) => cells.some(isMarked))) return false;
  return numericColumns(rows).length >= 2;
}

/** Line and cells of each row that is not empty. */
function splitRows(lines, separator) {
  const rows = separator === BLANK ? lines.map((line, at) => ({ line: at + 1, cells: words(line) })) : csvRows(lines, separator);
  return rows.filter(({ cells }) => cells.some(Boolean));
}

/** The cells between blanks; a no-break space stands within a number. */
function words(line) {
  const found = [], isEnd = (at) => at >= line.length || line[at] === " " || line[at] === "\t";
  for (let at = 0; at < line.length; at++) {
    if (isEnd(at)) continue;
    let end = at;
    if (line[at] === '"') {
      do end = line.indexOf('"', end + 1);
      while (end >= 0 && line[end + 1] === '"' && ++end);
    }
    if (end > at && isEnd(end + 1)) {
      found.push(line.slice(at + 1, end));
      at = end + 1;
      continue;
    }
    for (end = at; !isEnd(end); ) end++;
    found.push(line.slice(at, end));
    at = end;
  }
  return found;
}

/** As Python's csv.reader(lines, delimiter=separator, skipinitialspace=True), with cells that are stripped. */
function csvRows(lines, separator) {
  const rows = [];
  let cells = [], cell = "", inQuotes = false;
  const add = (part) => {
    cell += part;
    if (cell.length > LONGEST_CELL) throw new CellTooLong();
  };
  const endCell = () => {
    cells.push(strip(cell));
    cell = "";
  };
  const endRow = (line) => {
    rows.push({ line, cells });
    cells = [];
  };
  lines.forEach((line, at) => {
    let begin = 0;
    while (begin >= 0) {
      if (!inQuotes) {
        while (line[begin] === " ") begin++;
        if (line[begin] === '"') {
          inQuotes = true;
          begin++;
        }
      }
      while (inQuotes) {
        const end = line.indexOf('"', begin);
        add(line.slice(begin, end < 0 ? line.length : end));
        // the cell goes on in the next line
        if (end < 0) return;
        begin = end + 1;
        inQuotes = line[begin] === '"';
        if (inQuotes) add(line[begin++]);
      }
      const end = line.indexOf(separator, begin);
      add(line.slice(begin, end < 0 ? line.length : end));
      endCell();
      begin = end < 0 ? end : end + separator.length;
    }
    endRow(at + 1);
  });
  if (inQuotes) {
    endCell();
    endRow(lines.length);
  }
  return rows;
}

/** Whether the header lacks only the name of the rows' names, as R's write.table leaves it out. */
function lacksFirstName(names, rows, separator) {
  // not where the additional cell may come from a comma or a blank within a number
  if (separator === "," || !rows.length || rows.some(({ cells }) => filledLength(cells) !== names.length + 1)) return false;
  const counted = [0, 1].some((start) => rows.every(({ cells }, i) => cells[0] === String(i + start)));
  if (!counted && rows.some(({ cells }) => readingsOf(cells[0]))) return false;
  const isSplit = (at) => rows.every(({ cells }) => /^[+-]?\d{1,3}$/.test(cells[at]) && /^\d{3}(?!\d)/.test(cells[at + 1]));
  return separator !== BLANK || !names.some((_, at) => isSplit(at));
}

/** Line and names of a header in a comment, as NumPy's savetxt writes it; [0, null] if there is none. */
function commentedNames(comments, width, separator) {
  const candidates = Array.from(new Set([separator, ...MARKED])).filter((one) => one !== BLANK).concat(BLANK);
  const found = comments.flatMap(({ line, text }) => {
    const names = candidates.map((one) => cellsOf(text, one)).find((cells) => cells.length === width);
    return names ? [[line, names]] : [];
  });
  const usual = found.filter(([, names]) => ["x", "y"].every((one) => names.some((name) => name.toLowerCase() === one)));
  return (usual.length ? usual : found).pop() ?? [0, null];
}

/** Check that no row has more columns than the header, or without a header, than the first row. */
function checkWidth(names, headerLine, rows, separator) {
  if (!rows.length) return;
  const width = names ? names.length : filledLength(rows[0].cells);
  const long = rows.find(({ cells }) => filledLength(cells) > width);
  if (long) {
    // otherwise 0,5 would be read as two numbers
    const hint = separator === "," ? " (with decimal commas, put semicolons between the columns)" : "";
    throw new Error(`line ${long.line} has ${long.cells.length} columns and ${headerLine ? "the header" : "the first row"} ${width};`
      + ` equal numbers are needed${hint}`);
  }
  if (names && rows.every(({ cells }) => cells.length < filledLength(names))) {
    if (rows[0].cells[0].includes(separator)) throw new Error(`line ${rows[0].line} stands in quotes as a whole; take these quotes away`);
    // otherwise a comma in a name would move the names to the right of it
    throw new Error(`the header has ${filledLength(names)} names (${shown(names)}) and the rows fewer columns; put quotes around names with`
      + ` ${SEPARATORS[separator] ?? quoted(separator)}`);
  }
}

function looksLikeRow(comment, separator, width) {
  const cells = cellsOf(comment, separator);
  return cells.length === width && cells.some(readingsOf);
}
