// A text as a table of cells: a twin of data/text_table.py and data/rows_without_numbers.py, which explain the rules.
// A row is the array of its cells, with its line in the text as `line`.

import { count } from "../core/count.js";
import { fail, isMissing, numericColumns, quoted, readingsOf, shown, strip } from "./decimal_marks.js";

const MOST_POINTS = 2000, LONGEST_LINE = 20000;
const SEPARATORS = { ",": "commas", ";": "semicolons", "\t": "tabs", "|": "|", " ": "blanks" }, BLANK = " ", MARKED = [",", ";", "\t", "|"];
const SAMPLE = 2000, MOST_ROWS = 50, MOST_HEADERS = 5, MOST_COMMENTS = 100;
const EMPTY = "the text is empty; two columns of numbers are needed, or a header with x and y";

export function splitTable(text) {
  let lines = text.split(/\r\n|[\n-\r\x1c-\x1e\x85\u2028\u2029]/);
  if (lines.length > 1 && !lines.at(-1)) lines.pop();
  const long = lines.findIndex((line) => line.length > LONGEST_LINE);
  if (long >= 0) fail(`the page reads lines of at most ${count(LONGEST_LINE)} characters; line ${long + 1} has ${count(lines[long].length)}`);
  // Excel writes this line before the header
  let separator = /^sep=([^\p{L}\p{N}_'#"])[^\S\ufeff]*$/u.exec(lines[0])?.[1];
  if (separator) lines[0] = "";
  lines = withoutFrame(withoutCount(lines));
  const comments = commentsIn(lines), isComment = new Set(comments), plain = lines.map((line, at) => (isComment.has(at) ? "" : line));
  if (!plain.some(strip)) fail(EMPTY);
  separator ??= separatorOf(plain.slice(0, SAMPLE), comments.filter((at) => at < SAMPLE).map((at) => lines[at]));
  let [rows, without] = leftOut(splitRows(plain, separator));
  if (!rows.length) fail(EMPTY);
  const isQuoted = (row, place) => place < row.length && lines[row.line - 1].includes(`"${row[place]}"`);
  let headerLine = 0, names = null;
  if (hasHeader(rows.slice(0, SAMPLE)) || isQuotedHeader(rows.slice(0, SAMPLE), isQuoted)) {
    names = rows[0];
    headerLine = names.line;
    rows = rows.slice(1);
    if (lacksFirstName(names, rows, separator)) names = ["", ...names];
  } else {
    const before = comments.filter((at) => at + 1 < rows[0].line).slice(-MOST_COMMENTS);
    [headerLine, names] = commentedNames(before.map((at) => [at + 1, lines[at]]), widest(rows), separator);
  }
  const width = names?.length ?? filledLength(rows[0]);
  checkWidth(names, width, headerLine, rows, separator);
  if (rows.length > MOST_POINTS) {
    fail(`the page trains on at most ${count(MOST_POINTS)} points; this has ${count(rows.length)}: use data=file with the command line`);
  }
  const looksLikeRow = (cells) => cells.length === width && cells.some(readingsOf);
  const skipped = comments.filter((at) => at >= headerLine && looksLikeRow(cellsOf(lines[at], separator)));
  return { separator, names, headerLine, rows, isQuoted, notes: notesOf(rows, lines, skipped, without) };
}

/** What the user should know about parts of the text that were not read as rows. */
function notesOf(rows, lines, skipped, without) {
  const notes = [], s = (list) => (list.length > 1 ? "s" : ""), numbers = without.join(", ");
  if (skipped.length) notes.push(`${skipped.length} line${s(skipped)} that begin${s(skipped) ? "" : "s"} with # skipped (line ${skipped[0] + 1})`);
  if (without.length) notes.push(`line${s(without)} ${numbers.length < 60 ? numbers : `${numbers.slice(0, 60)}...`} without numbers left out`);
  const isBlank = (_, at, between) => at > 0 && !strip(between[at - 1]) && !strip(between[at]);
  const blocks = rows.filter(({ line }, i) => !i || lines.slice(rows[i - 1].line, line - 1).some(isBlank)).length;
  if (blocks > 1) notes.push(`${blocks} blocks of rows, with blank lines between them, are read as one`);
  return notes;
}

/** The table without titles, units and remarks, and the lines of these. */
function leftOut(table) {
  const begin = Math.max(0, table.slice(0, MOST_ROWS).findIndex((row) => !isWords(row)));
  const body = table.slice(begin, begin + 2 * MOST_ROWS);
  // remarks are no reason to take a column for words
  const numeric = new Set(numericColumns(body.filter((row) => !isAlone(row))));
  const isRemark = (row) => isAlone(row) && numeric.has(row.findIndex((cell) => cell)) && isWords(row);
  let end = table.length;
  while (end > Math.max(begin + 2, table.length - MOST_ROWS) && isRemark(table[end - 1])) end--;
  const header = headerAmong(table.slice(0, begin), widest(body), numeric);
  const isKept = (_, at) => at < end && (at >= begin || at === (header ?? at));
  return [table.filter(isKept), table.filter((row, at) => !isKept(row, at)).map(({ line }) => line)];
}

function isAlone(row) {
  return row.findIndex((cell) => cell) === filledLength(row) - 1;
}

/** The number of cells without the empty ones at the end. */
function filledLength(row) {
  return row.findLastIndex((cell) => cell) + 1;
}

function widest(rows) {
  return rows.reduce((most, row) => Math.max(most, filledLength(row)), 0);
}

/** The index of the header among the rows before the first numbers; null if all stay. */
function headerAmong(rows, width, numeric) {
  const possible = Array.from(rows.keys()).filter((at) => filledLength(rows[at]) === width);
  if (rows.length < 2 || !possible.length) return null;
  const usual = (at) => ["x", "y"].filter((name) => rows[at].some((cell) => isNamed(cell, name))).length;
  const most = Math.max(...possible.map(usual)), [last, before] = possible.filter((at) => usual(at) === most).reverse();
  const header = last - before === 1 ? before : last;
  // a row without units is a row in which the numbers are missing
  return rows.slice(header + 1).every((row) => row.some((cell, place) => numeric.has(place) && !isMissing(cell))) ? header : null;
}

export function isNamed(cell, name) {
  return strip(cell).toLowerCase() === name;
}

function isWords(row) {
  return !row.some(readingsOf) && !row.every(isMissing);
}

/** Whether the first row holds names: a word where the rows below have numbers. */
function hasHeader([first, ...below]) {
  const isWord = (cell) => cell && !isMissing(cell) && !readingsOf(cell), numeric = numericColumns(below);
  if (!numeric.length) return first.some(isWord);
  // the names of the rows may have no name themselves
  const shift = widest(below) === first.length + 1 ? 1 : 0;
  if (numeric.some((place) => isWord(first[place - shift] ?? ""))) return true;
  // a table without names, saved with the numbers of its rows and columns
  return first.length > 1 && first.every((cell, i) => cell === (i ? String(i - 1) : "")) && below.every((row) => row[0]);
}

/** Whether the first row has numbers for names. */
function isQuotedHeader([first, ...below], isQuoted) {
  const numeric = numericColumns(below);
  return numeric.length > 1 && first.every((_, i) => isQuoted(first, i)) && !below.some((row) => numeric.some((i) => isQuoted(row, i)));
}

/** The lines without rules, and without | at both ends if all lines have it. */
function withoutFrame(lines) {
  lines = lines.map((line) => (/^[|:+\- \t]*$/.test(line) && /---|:-|-:/.test(line) ? "" : line));
  const bare = lines.map(strip), isFrame = (line) => line.length > 1 && line[0] === "|" && line.endsWith("|");
  const isFramed = bare.some(isFrame) && bare.every((line) => !line || line[0] === "#" || isFrame(line));
  return isFramed ? lines.map((line, at) => (isFrame(bare[at]) ? bare[at].slice(1, -1) : line)) : lines;
}

/** The lines without the number of rows below a table of a database. */
function withoutCount(lines) {
  const last = lines.findLastIndex(strip);
  return /^\(?\d+ rows?(?:\)| in set.*)?$/.test(strip(lines[last] ?? "")) ? lines.slice(0, last) : lines;
}

/** The indices of the comments. */
function commentsIn(lines) {
  const bare = lines.map(strip), written = Array.from(lines.keys()).filter((at) => bare[at]);
  const marked = written.filter((at) => bare[at][0] === "#"), others = written.filter((at) => bare[at][0] !== "#");
  const words = others.slice(0, MOST_HEADERS).flatMap((at) => lines[at].split(/(?:[,;|\x1c-\x1f\x85]|[^\S\ufeff])+/));
  if (others.length > MOST_HEADERS || words.some(readingsOf)) return marked;
  // only titles, header and units, if any, do not begin with #: the rows' names may begin with it
  const isName = (at) => at > (others.at(-1) ?? -1) && strip(bare[at][1] ?? "");
  return marked.filter(isName).length < (others.length ? 1 : 2) ? marked : marked.filter((at) => !isName(at));
}

function separatorOf(lines, comments) {
  let tables = [];
  for (const one of [...MARKED, BLANK]) {
    // one that does not occur leaves a single column; blanks between tabs belong to the cells
    if (one === BLANK ? tables.some(([other]) => other === "\t") : !lines.some((line) => line.includes(one))) continue;
    const [table] = leftOut(splitRows(lines, one));
    if (suits(table, one)) tables.push([one, table]);
  }
  const others = (one) => tables.map(([other]) => other).filter((other) => other !== one);
  const signs = [
    // a quote within a cell began as that of a whole cell
    ([, table]) => !table.some((row) => row.some((cell) => cell.includes('"'))),
    ([one, table]) => !holdsSeparator(table, others(one)),
    ([one, table]) => comments.some((comment) => cellsOf(comment, one).length === filledLength(table[0])),
  ];
  for (const isBetter of signs) {
    const better = tables.length > 1 ? tables.filter(isBetter) : [];
    if (better.length) tables = better;
  }
  if (tables.length > 1) {
    const [first, second] = tables.map(([one]) => SEPARATORS[one]);
    fail(`${first} or ${second} may separate the columns, and nothing in the text decides; a header line, such as x,y, would decide`);
  }
  if (tables.length) return tables[0][0];
  const beginning = lines.filter(strip).slice(0, 10).join("\n"), counts = MARKED.map((one) => beginning.split(one).length - 1);
  const most = Math.max(...counts);
  return most ? MARKED[counts.indexOf(most)] : BLANK;
}

/** Whether a name or a word holds another separator, which then separates better. A name may hold blanks. */
function holdsSeparator(table, others) {
  const header = hasHeader(table) ? 1 : 0, holds = (cell, marks) => marks.some((one) => cell.includes(one));
  const names = table.slice(0, header).flat(), isWord = (cell) => holds(cell, others) && !readingsOf(cell);
  return table.slice(header).some((row) => row.some(isWord)) || names.some((name) => holds(name, others.filter((one) => one !== BLANK)));
}

function cellsOf(comment, separator) {
  return splitRows([strip(strip(comment).replace(/^#+/, ""))], separator)[0] ?? [];
}

function suits(table, separator) {
  if (!table.length) return false;
  const names = hasHeader(table) ? table[0] : null, rows = names ? table.slice(1) : table;
  const filled = rows.map(filledLength), lengths = rows.map((row) => row.length);
  if (!names) {
    if (new Set(filled).size > 1 && new Set(lengths).size > 1) return false;
  } else if (!lacksFirstName(names, rows, separator)) {
    if (Math.max(...filled) > names.length || Math.max(...lengths) < filledLength(names)) return false;
  }
  const isMarked = (cell) => MARKED.includes(cell[0]) || MARKED.includes(cell.at(-1));
  return !(separator === BLANK && rows.some((row) => row.some(isMarked))) && numericColumns(rows).length >= 2;
}

/** The rows that are not empty; a no-break space stands within a number. */
function splitRows(lines, separator) {
  const words = (line) => Array.from(line.matchAll(/"((?:[^"]|"")*)"(?=[ \t]|$)|[^ \t]+/g), ([word, inner]) => inner ?? word);
  const rows = separator === BLANK ? lines.map((line, at) => Object.assign(words(line), { line: at + 1 })) : csvRows(lines, separator);
  return rows.filter((row) => row.some((cell) => cell));
}

/** As Python's csv.reader(lines, delimiter=separator, skipinitialspace=True), with cells that are stripped. */
function csvRows(lines, separator) {
  const rows = [];
  let row = [], cell = "", begins = true, inQuotes = false;
  const endCell = () => {
    row.push(strip(cell));
    cell = "";
    begins = true;
  };
  const endRow = (line) => {
    endCell();
    rows.push(Object.assign(row, { line }));
    row = [];
  };
  lines.forEach((line, at) => {
    for (let i = 0; i < line.length; i++) {
      const one = line[i];
      if (inQuotes && one === '"' && line[i + 1] !== '"') inQuotes = false;
      else if (inQuotes) {
        cell += one;
        if (one === '"') i++;
      } else if (line.startsWith(separator, i)) {
        endCell();
        i += separator.length - 1;
      } else if (begins && one === '"') {
        inQuotes = true;
        begins = false;
      } else if (!begins || one !== " ") {
        cell += one;
        begins = false;
      }
    }
    if (!inQuotes) endRow(at + 1);
  });
  if (inQuotes) endRow(lines.length);
  return rows;
}

/** Whether the header lacks only the name of the rows' names, as R's write.table leaves it out. */
function lacksFirstName(names, rows, separator) {
  // not where the additional cell may come from a comma or a blank within a number
  if (separator === "," || !rows.length || rows.some((row) => filledLength(row) !== names.length + 1)) return false;
  const isCounted = [0, 1].some((start) => rows.every((row, i) => row[0] === String(i + start)));
  if (!isCounted && rows.some((row) => readingsOf(row[0]))) return false;
  const isSplit = (_, at) => rows.every((row) => /^[+-]?\d{1,3}$/.test(row[at]) && /^\d{3}(?!\d)/.test(row[at + 1]));
  return separator !== BLANK || !names.some(isSplit);
}

/** Line and names of a header in a comment, as NumPy's savetxt writes it; [0, null] if there is none. */
function commentedNames(comments, width, separator) {
  const candidates = [...new Set([separator, ...MARKED])].filter((one) => one !== BLANK).concat(BLANK);
  const namesIn = (text) => candidates.map((one) => cellsOf(text, one)).find((cells) => cells.length === width);
  const found = comments.map(([line, text]) => [line, namesIn(text)]).filter(([, names]) => names);
  const isUsual = ([, names]) => ["x", "y"].every((one) => names.some((name) => name.toLowerCase() === one));
  return found.findLast(isUsual) ?? found.at(-1) ?? [0, null];
}

function checkWidth(names, width, headerLine, rows, separator) {
  const long = rows.find((row) => filledLength(row) > width);
  if (long) {
    // otherwise 0,5 would be read as two numbers
    const hint = separator === "," ? " (with decimal commas, put semicolons between the columns)" : "";
    fail(`line ${long.line} has ${long.length} columns and ${headerLine ? "the header" : "the first row"} ${width}; equal numbers are needed${hint}`);
  }
  if (!names || !rows.length || rows.some((row) => row.length >= filledLength(names))) return;
  if (rows[0][0].includes(separator)) fail(`line ${rows[0].line} stands in quotes as a whole; take these quotes away`);
  // otherwise a comma in a name would move the names to the right of it
  const marks = SEPARATORS[separator] ?? quoted(separator);
  fail(`the header has ${filledLength(names)} names (${shown(names)}) and the rows fewer columns; put quotes around names with ${marks}`);
}
