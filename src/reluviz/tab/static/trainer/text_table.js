// A text as a table of cells: separator, quotes, header, comments, titles, units and remarks. A twin of data/text_table.py and
// data/rows_without_numbers.py, which explain the rules. A row is the array of its cells, with its line in the text as `line`.

import { fail, isMissing, numericColumns, quoted, readingsOf, shown, strip } from "./decimal_marks.js";

const MOST_POINTS = 2000, MOST_COLUMNS = 1000;
/** Each separator, and its name in error messages. */
const SEPARATORS = { ",": "commas", ";": "semicolons", "\t": "tabs", "|": "|", " ": "blanks" }, BLANK = " ", MARKED = [",", ";", "\t", "|"];
/** Lines at the beginning by which separator and header are found; among so many rows at either end are titles and remarks. */
const SAMPLE = 2000, MOST_ROWS = 50;
/** Lines of titles, header and units above rows that all begin with #; and the comments among which a header is searched for. */
const MOST_HEADERS = 5, MOST_COMMENTS = 100;
const EMPTY = "the text is empty; two columns of numbers are needed, or a header with x and y";

/** @throws {Error} if there is no table, if two separators suit, if a row has more columns than the header, or if there are too many */
export function splitTable(text) {
  let lines = text.split(/\r\n|[\n-\r\x1c-\x1e\x85\u2028\u2029]/);
  if (lines.length > 1 && !lines[lines.length - 1]) lines.pop();
  // Excel writes this line before the header
  let separator = /^sep=([^\p{L}\p{N}_'#"])\s*$/u.exec(lines[0])?.[1];
  if (separator) lines[0] = "";
  lines = withoutFrame(withoutCount(lines));
  const comments = commentsIn(lines), isComment = new Set(comments), plain = lines.map((line, at) => (isComment.has(at) ? "" : line));
  if (!plain.some(strip)) fail(EMPTY);
  separator ??= separatorOf(plain.slice(0, SAMPLE), comments.filter((at) => at < SAMPLE).map((at) => lines[at]));
  let [rows, without] = leftOut(splitRows(plain, separator));
  if (!rows.length) fail(EMPTY);
  const wide = rows.find((row) => row.length > MOST_COLUMNS);
  if (wide) fail(`the page reads at most ${count(MOST_COLUMNS)} columns; line ${wide.line} has ${count(wide.length)}`);
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

export function count(number) {
  return number.toLocaleString("en-US");
}

/** Lines for the user about the parts of a text that were not read as rows. */
function notesOf(rows, lines, skipped, without) {
  const notes = [], s = (list) => (list.length > 1 ? "s" : ""), numbers = without.join(", ");
  if (skipped.length) notes.push(`${skipped.length} line${s(skipped)} that begin${s(skipped) ? "" : "s"} with # skipped (line ${skipped[0] + 1})`);
  if (without.length) notes.push(`line${s(without)} ${numbers.length < 60 ? numbers : `${numbers.slice(0, 60)}...`} without numbers left out`);
  const isBlank = (_, at, between) => at > 0 && !strip(between[at - 1]) && !strip(between[at]);
  const blocks = rows.filter(({ line }, i) => !i || lines.slice(rows[i - 1].line, line - 1).some(isBlank)).length;
  if (blocks > 1) notes.push(`${blocks} blocks of rows, with blank lines between them, are read as one`);
  return notes;
}

/** The table that begins with its header, if it has one, and the lines of the rows that are left out: titles, units, remarks. */
function leftOut(table) {
  const begin = Math.max(0, table.slice(0, MOST_ROWS).findIndex((row) => !isWords(row)));
  const body = table.slice(begin, begin + 2 * MOST_ROWS);
  // remarks are no reason to take a column for words
  const numeric = new Set(numericColumns(body.filter((row) => row.filter(Boolean).length > 1)));
  const isRemark = (row) => row.filter(Boolean).length === 1 && numeric.has(row.findIndex(Boolean)) && isWords(row);
  let end = table.length;
  while (end > Math.max(begin + 2, table.length - MOST_ROWS) && isRemark(table[end - 1])) end--;
  const header = headerAmong(table.slice(0, begin), widest(body), numeric);
  const isKept = (_, at) => at < end && (at >= begin || at === (header ?? at));
  return [table.filter(isKept), table.filter((row, at) => !isKept(row, at)).map(({ line }) => line)];
}

/** The number of cells without the empty ones at the end. */
function filledLength(row) {
  let length = row.length;
  while (length && !row[length - 1]) length--;
  return length;
}

function widest(rows) {
  return rows.reduce((most, row) => Math.max(most, filledLength(row)), 0);
}

/** The index of the header among the rows before the first numbers; null if all of them stay. */
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

/** Whether a row holds a word and no number. */
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

/** Whether the first row has numbers for names: all its cells are quoted, and none of the numbers below. */
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

/** The lines without the number of rows that the client of a database prints below them. */
function withoutCount(lines) {
  let last = lines.length - 1;
  while (last && !strip(lines[last])) last--;
  return /^\(?\d+ rows?(?:\)| in set.*)?$/.test(strip(lines[last])) ? lines.slice(0, last) : lines;
}

/** The indices of the comments. */
function commentsIn(lines) {
  const marked = [], others = [];
  lines.forEach((line, at) => {
    const bare = strip(line);
    if (bare) (bare[0] === "#" ? marked : others).push(at);
  });
  const words = others.slice(0, MOST_HEADERS).flatMap((at) => lines[at].split(/(?:[,;|\x1c-\x1f\x85]|(?!\ufeff)\s)+/));
  if (others.length > MOST_HEADERS || words.some(readingsOf)) return marked;
  // only titles, header and units, if any, do not begin with #: the rows' names may begin with it
  const isName = (at) => at > (others[others.length - 1] ?? -1) && strip(strip(lines[at])[1] ?? "");
  return marked.filter(isName).length < (others.length ? 1 : 2) ? marked : marked.filter((at) => !isName(at));
}

/** The separator that gives every row the same number of columns, at least two of them numbers. */
function separatorOf(lines, comments) {
  let tables = [];
  for (const one of [...MARKED, BLANK]) {
    // one that does not occur leaves a single column; blanks between tabs belong to the cells
    if (!lines.some((line) => line.includes(one) || (one === BLANK && line.includes("\t"))) || (one === BLANK && tables.some(([other]) => other === "\t"))) continue;
    const [table] = leftOut(splitRows(lines, one));
    if (suits(table, one)) tables.push([one, table]);
  }
  const all = tables.map(([one]) => one), others = (one) => tables.map(([other]) => other).filter((other) => other !== one);
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

/** Whether a cell that is no number holds another separator, which then separates better. A name may hold blanks. */
function holdsSeparator(table, others) {
  const header = hasHeader(table) ? 1 : 0, marks = others.filter((one) => one !== BLANK);
  return table.some((row, i) => row.some((cell) => (i < header ? marks : others).some((one) => cell.includes(one)) && (i < header || !readingsOf(cell))));
}

/** The cells of a comment. */
function cellsOf(comment, separator) {
  return splitRows([strip(strip(comment).replace(/^#+/, ""))], separator)[0] ?? [];
}

/** Whether a separator gives rows of equal length with at least two columns of numbers. */
function suits(table, separator) {
  if (!table.length) return false;
  const names = hasHeader(table) ? table[0] : null, rows = names ? table.slice(1) : table;
  const filled = rows.map(filledLength), lengths = rows.map((row) => row.length);
  if (!names) {
    if (new Set(filled).size > 1 && new Set(lengths).size > 1) return false;
  } else if (!lacksFirstName(names, rows, separator)) {
    if (Math.max(...filled) > names.length || Math.max(...lengths) < filledLength(names)) return false;
  }
  const isMarked = (cell) => MARKED.includes(cell[0]) || MARKED.includes(cell[cell.length - 1]);
  return !(separator === BLANK && rows.some((row) => row.some(isMarked))) && numericColumns(rows).length >= 2;
}

/** The rows that are not empty. */
function splitRows(lines, separator) {
  const rows = separator === BLANK ? lines.map((line, at) => Object.assign(words(line), { line: at + 1 })) : csvRows(lines, separator);
  return rows.filter((row) => row.some(Boolean));
}

/** The cells between blanks; a no-break space stands within a number. */
function words(line) {
  const found = [], isEnd = (at) => at >= line.length || line[at] === " " || line[at] === "\t";
  for (let at = 0; at < line.length; at++) {
    if (isEnd(at)) continue;
    let end = at;
    if (line[at] === '"') {
      do end = line.indexOf('"', end + 1);
      while (end > 0 && line[end + 1] === '"' && ++end);
    }
    const isQuoted = end > at && isEnd(end + 1);
    if (isQuoted) end++;
    else for (end = at; !isEnd(end); ) end++;
    found.push(isQuoted ? line.slice(at + 1, end - 1) : line.slice(at, end));
    at = end;
  }
  return found;
}

/** As Python's csv.reader(lines, delimiter=separator, skipinitialspace=True), with cells that are stripped. */
function csvRows(lines, separator) {
  const rows = [];
  let row = [], cell = "", inQuotes = false;
  const endRow = (line) => {
    row.line = line;
    rows.push(row);
    row = [];
  };
  lines.forEach((line, at) => {
    let begin = 0;
    while (begin >= 0) {
      if (!inQuotes) {
        while (line[begin] === " ") begin++;
        inQuotes = line[begin] === '"';
        if (inQuotes) begin++;
      }
      while (inQuotes) {
        const end = line.indexOf('"', begin);
        cell += line.slice(begin, end < 0 ? line.length : end);
        // the cell goes on in the next line
        if (end < 0) return;
        begin = end + 1;
        inQuotes = line[begin] === '"';
        if (inQuotes) cell += line[begin++];
      }
      const end = line.indexOf(separator, begin);
      row.push(strip(cell + line.slice(begin, end < 0 ? line.length : end)));
      cell = "";
      begin = end < 0 ? end : end + separator.length;
    }
    endRow(at + 1);
  });
  if (inQuotes) {
    row.push(strip(cell));
    endRow(lines.length);
  }
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
  const found = comments.map(([line, text]) => [line, candidates.map((one) => cellsOf(text, one)).find((cells) => cells.length === width)]);
  const named = found.filter(([, names]) => names), isUsual = ([, names]) => ["x", "y"].every((one) => names.some((name) => name.toLowerCase() === one));
  return named.filter(isUsual).pop() ?? named.pop() ?? [0, null];
}

/** Check that no row has more columns than the header, or without a header, than the first row. */
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
