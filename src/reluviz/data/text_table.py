"""Split the text of a file into a table of cells: separator, quotes, header and comment lines."""

import csv
import functools
import re
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

from reluviz.data.decimal_marks import holds_numbers, is_missing, readings_of
from reluviz.data.point_checks import shown
from reluviz.data.rows_without_numbers import Rows, filled_length, left_out
from reluviz.errors import UserError

COMMENT = "#"
BLANK = " "
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "|", BLANK: "blanks"}
"""Each separator, and its name in error messages."""
SAMPLE = 2_000
"""Lines at the beginning of a file by which its separator and its header are found."""
_EXCEL = re.compile(r"sep=([^\w'#\"])\s*")
_RULE = frozenset("|:+- \t")
"""Characters of the line below the header of a printed table."""
_RULE_PARTS = ("---", ":-", "-:")
"""One of them stands in that line."""
_COUNT = re.compile(r"\(?\d+ rows?(?:\)| in set.*)?")
"""The last line of a table that the client of a database prints."""
NO_NAMES = ("", "Unnamed: 0")
"""Names of a column of row numbers: none, or the one that pandas gives to it."""
USUAL = ("x", "y")
"""Names by which a header is recognised."""
MOST_HEADERS = 5
"""Lines of titles, header and units above rows that all begin with #."""
MOST_COMMENTS = 100
"""Among the last comments before the first row, a header is searched for."""
_WORDS = re.compile(r'"((?:[^"]|"")*)"(?=[ \t]|$)|([^ \t]+)')
"""A cell between blanks; a no-break space stands within a number."""
_MARKED = tuple(mark for mark in SEPARATORS if mark != BLANK)


@dataclass(frozen=True)
class Table:
    """The cells of a file.

    Attributes:
        separator: what stands between the columns.
        names: the columns' names; None without a header.
        header_line: the line of the header; 0 without one.
        rows: the cells of each row; short rows lack cells at their end.
        lines: the line of each row in the file.
        skipped: lines that begin with # but otherwise look like rows.
        left_out: lines of titles, units and remarks; see `rows_without_numbers.left_out`.
        blocks: the number of groups of rows that two or more blank lines separate, as in files of gnuplot.
        quoted: whether the cell of a row stands in quotes.
    """

    separator: str
    names: list[str] | None
    header_line: int
    rows: list[list[str]]
    lines: list[int]
    skipped: list[int]
    left_out: list[int]
    blocks: int
    quoted: Callable[[int, str], bool]

    @property
    def width(self) -> int:
        """The number of columns."""
        return max((len(row) for row in [self.names or [], *self.rows]), default=0)

    def column(self, place: int) -> list[str]:
        """Return the cells of a column; empty ones where rows lack them."""
        return [row[place] if place < len(row) else "" for row in self.rows]

    def numeric_columns(self) -> list[int]:
        """Return the numbers of the columns that hold numbers, judged from an even sample of the rows.

        An index is left out.
        """
        found = _numeric_columns(self.rows[:: 1 + len(self.rows) // SAMPLE], self.width)
        return [place for place in found if place or not self.has_index]

    @functools.cached_property
    def has_index(self) -> bool:
        """Whether the first column has no name and counts the rows, in any order, as pandas writes it."""
        if self.names is None or self.names[0] not in NO_NAMES:
            return False
        cells, counts = set(self.column(0)), range(len(self.rows) + 1)
        return cells in (set(map(str, counts[:-1])), set(map(str, counts[1:])))


def split(text: str, where: str, usual: Collection[str] = USUAL) -> Table:
    """Return the table in a text.

    Separators are commas, semicolons, tabs, | or blanks, whichever gives every row the same number of columns, at least
    two of them numbers. The header is the first row if it has a word where a column has numbers, or else a comment
    before it with as many names. Lines that begin with # are comments, unless all rows do.

    Args:
        text: the text.
        where: the file, for error messages.
        usual: names of columns by which a header is recognised; see `rows_without_numbers.left_out`.

    Raises:
        UserError: if there is no table, if two separators suit, or if a row has more columns than the header.
    """
    lines = text.splitlines()
    separator = None
    if lines and (found := _EXCEL.fullmatch(lines[0])):
        # Excel writes this line before the header
        separator, lines[0] = found[1], ""
    lines = _without_frame(_without_count(lines))
    comments = _comments(lines)
    plain = ["" if at in comments else line for at, line in enumerate(lines)]
    if not any(line.strip() for line in plain):
        raise UserError(f"{where}: is empty; two columns of numbers are needed, or a header with x and y")
    try:
        separator = separator or _separator(plain[:SAMPLE], [lines[at] for at in comments if at < SAMPLE], where)
        table, without_numbers = left_out(_rows(plain, separator), usual)
    except csv.Error as error:
        raise UserError(f"{where}: is not a CSV file ({' '.join(str(error).split())})") from error
    header_line, names = 0, None
    if not table:
        raise UserError(f"{where}: is empty; two columns of numbers are needed, or a header with x and y")
    if has_header(table[:SAMPLE]) or _is_quoted_header(table[:SAMPLE], lines):
        (header_line, names), table = table[0], table[1:]
        if _lacks_first_name(names, table, separator):
            names = ["", *names]
    else:
        width = max(filled_length(row) for _, row in table)
        before = [at for at in sorted(comments) if at + 1 < table[0][0]]
        header_line, names = _commented_names([(at + 1, lines[at]) for at in before[-MOST_COMMENTS:]], width, separator)
    _check_width(names, header_line, table, separator, where)
    width = len(names) if names is not None else filled_length(table[0][1])
    return Table(
        separator,
        names,
        header_line,
        [row[:width] for _, row in table],
        [line for line, _ in table],
        [at + 1 for at in sorted(comments) if at + 1 > header_line and _looks_like_row(lines[at], separator, width)],
        without_numbers,
        1 + sum(_blank_lines(lines[above : below - 1]) for (above, _), (below, _) in pairwise(table)),
        lambda line, cell: f'"{cell}"' in lines[line - 1],
    )


def has_header(table: Rows) -> bool:
    """Return whether the first row holds names: a word where the rows below have numbers."""
    (_, first), below = table[0], [row for _, row in table[1:]]
    words = [bool(cell) and not is_missing(cell) and not readings_of(cell) for cell in first]
    if not below:
        return any(words)
    width = max(map(filled_length, below))
    # the names of the rows may have no name themselves
    shift = 1 if width == len(first) + 1 else 0
    numeric = _numeric_columns(below, width)
    if not numeric:
        return any(words)
    if any(words[place - shift] for place in numeric if 0 <= place - shift < len(first)):
        return True
    # a table without names, saved with the numbers of its rows and columns
    counted = len(first) > 1 and first[0] == "" and first[1:] == [str(i) for i in range(len(first) - 1)]
    return counted and all(row[0] for row in below)


def _is_quoted_header(table: Rows, lines: Sequence[str]) -> bool:
    """Return whether the first row has numbers for names: all its cells are quoted, and none of the numbers below."""

    def quoted(line: int, cell: str) -> bool:
        return f'"{cell}"' in lines[line - 1]

    (first_line, first), below = table[0], table[1:]
    numeric = _numeric_columns([row for _, row in below], max((len(row) for _, row in below), default=0))
    return (
        len(numeric) >= 2
        and all(quoted(first_line, cell) for cell in first)
        and not any(quoted(line, row[place]) for line, row in below for place in numeric if place < len(row))
    )


def _blank_lines(lines: Sequence[str]) -> bool:
    """Return whether two blank lines follow each other."""
    return len(lines) > 1 and any(not (one.strip() or other.strip()) for one, other in pairwise(lines))


def _numeric_columns(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    return [place for place in range(width) if holds_numbers(row[place] for row in rows if place < len(row))]


def _without_frame(lines: list[str]) -> list[str]:
    """Return the lines without rules, and without | at both ends if all lines have it."""
    lines = ["" if _RULE.issuperset(line) and any(part in line for part in _RULE_PARTS) else line for line in lines]
    written = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith(COMMENT)]
    if written and all(len(line) > 1 and line[0] == line[-1] == "|" for line in written):
        lines = [line.strip()[1:-1] if line.strip()[:1] == "|" else line for line in lines]
    return lines


def _without_count(lines: list[str]) -> list[str]:
    """Return the lines without the number of rows that the client of a database prints below them."""
    last = next((at for at in reversed(range(len(lines))) if lines[at].strip()), 0)
    return lines[:last] if lines and _COUNT.fullmatch(lines[last].strip()) else lines


def _comments(lines: list[str]) -> set[int]:
    """Return the indices of the comments."""
    marked = [at for at, line in enumerate(lines) if line.lstrip().startswith(COMMENT)]
    others = [at for at, line in enumerate(lines) if line.strip() and not line.lstrip().startswith(COMMENT)]
    words = (word for at in others[:MOST_HEADERS] for word in re.split(r"[,;|\s]+", lines[at].strip()))
    if len(others) > MOST_HEADERS or any(map(readings_of, words)):
        return set(marked)
    # only titles, header and units, if any, do not begin with #: the rows' names may begin with it
    begin = others[-1] if others else -1
    names = [at for at in marked if at > begin and re.match(r"\s*#\S", lines[at])]
    return set(marked) - set(names) if len(names) >= (1 if others else 2) else set(marked)


def _separator(lines: list[str], comments: list[str], where: str) -> str:
    """Return the separator of a table.

    Args:
        lines: the first lines of the file, with empty ones for comments.
        comments: among the first lines.
        where: the file, for error messages.

    Raises:
        UserError: if two of them suit.
    """
    tables: dict[str, Rows] = {}
    for candidate in SEPARATORS:
        # blanks between tabs belong to the cells
        if candidate == BLANK and "\t" in tables:
            continue
        with suppress(csv.Error):
            table, _ = left_out(_rows(lines, candidate), USUAL)
            if _suits(table, candidate):
                tables[candidate] = table
    signs: list[Callable[[str, Rows], bool]] = [
        # a quote within a cell began as that of a whole cell
        lambda _, table: not any('"' in cell for _, row in table for cell in row),
        lambda one, table: not _holds_separator(table, set(tables) - {one}),
        lambda one, table: _separates(comments, one, filled_length(table[0][1])),
    ]
    for is_better in signs:
        if len(tables) > 1:
            tables = {one: table for one, table in tables.items() if is_better(one, table)} or tables
    if len(tables) > 1:
        first, second = (SEPARATORS[one] for one in list(tables)[:2])
        raise UserError(
            f"{where}: {first} or {second} may separate its columns, and nothing in the file decides; a header line,"
            " such as x,y, would decide"
        )
    if tables:
        return next(iter(tables))
    beginning = "\n".join([line for line in lines if line.strip()][:10])
    most = max(_MARKED, key=beginning.count)
    return most if beginning.count(most) else BLANK


def _holds_separator(table: Rows, others: set[str]) -> bool:
    """Return whether a cell that is no number holds another separator, which then separates better.

    A name may hold blanks.
    """
    header = has_header(table)
    names = [cell for _, row in table[:header] for cell in row]
    cells = [cell for _, row in table[header:] for cell in row if not readings_of(cell)]
    return any(other in cell for cell in cells for other in others) or any(
        other in name for name in names for other in others - {BLANK}
    )


def _separates(comments: list[str], separator: str, width: int) -> bool:
    """Return whether a separator splits a comment into as many names as there are columns."""
    return any(len(_cells(comment, separator)) == width for comment in comments)


def _cells(comment: str, separator: str) -> list[str]:
    """Return the cells of a comment; none if it cannot be split."""
    with suppress(csv.Error):
        for _, row in _rows([comment.lstrip().lstrip(COMMENT).strip()], separator):
            return row
    return []


def _suits(table: Rows, separator: str) -> bool:
    """Return whether a separator gives rows of equal length with at least two columns of numbers."""
    if not table:
        return False
    header = has_header(table)
    names, rows = (table[0][1] if header else None), table[header:]
    if not rows:
        return False
    widths = {filled_length(row) for _, row in rows}
    if names is None:
        if len(widths) > 1 and len({len(row) for _, row in rows}) > 1:
            return False
    elif _lacks_first_name(names, rows, separator):
        pass
    elif max(widths) > len(names) or max(len(row) for _, row in rows) < filled_length(names):
        return False
    if separator == BLANK and any(cell[0] in _MARKED or cell[-1] in _MARKED for _, row in rows for cell in row if cell):
        return False
    return len(_numeric_columns([row for _, row in rows], max(widths))) >= 2


def _rows(lines: list[str], separator: str) -> Rows:
    """Return the line number and the cells of each row that is not empty."""
    if separator == BLANK:
        found = [(at + 1, ["".join(word) for word in _WORDS.findall(line)]) for at, line in enumerate(lines)]
    else:
        reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
        found = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    return [(line, row) for line, row in found if any(row)]


def _lacks_first_name(names: list[str], table: Rows, separator: str) -> bool:
    """Return whether the header lacks only the name of the rows' names, as R's write.table leaves it out.

    Not where the additional cell may come from a comma or a blank within a number.
    """
    rows = [row for _, row in table]
    if separator == "," or not rows or any(filled_length(row) != len(names) + 1 for row in rows):
        return False
    counted = [row[0] for row in rows] in ([str(i + start) for i in range(len(rows))] for start in (0, 1))
    if not counted and any(readings_of(row[0]) for row in rows):
        return False
    return separator != BLANK or not any(
        all(re.fullmatch(r"[+-]?\d{1,3}", row[at]) and re.match(r"\d{3}(?!\d)", row[at + 1]) for row in rows)
        for at in range(len(names))
    )


def _commented_names(comments: list[tuple[int, str]], width: int, separator: str) -> tuple[int, list[str] | None]:
    """Return line and names of a header in a comment, as NumPy's savetxt writes it; (0, None) if there is none."""
    found = []
    for line, text in comments:
        for candidate in sorted(
            dict.fromkeys([separator, *SEPARATORS]), key=lambda one: (one == BLANK, one != separator)
        ):
            names = _cells(text, candidate)
            if len(names) == width:
                found.append((line, names))
                break
    usual = [one for one in found if {"x", "y"} <= {name.lower() for name in one[1]}]
    return (usual or found)[-1] if found else (0, None)


def _check_width(names: list[str] | None, header_line: int, table: Rows, separator: str, where: str) -> None:
    """Check that no row has more columns than the header, or without a header, than the first row."""
    if not table:
        return
    width = len(names) if names is not None else filled_length(table[0][1])
    first = "the header" if header_line else "the first row"
    for line, row in table:
        if filled_length(row) > width:
            # otherwise 0,5 would be read as two numbers
            hint = " (with decimal commas, put semicolons between the columns)" if separator == "," else ""
            raise UserError(
                f"{where}: line {line} has {len(row)} columns and {first} {width}; equal numbers are needed{hint}"
            )
    if names is not None and max(len(row) for _, row in table) < filled_length(names):
        if separator in table[0][1][0]:
            raise UserError(f"{where}: line {table[0][0]} stands in quotes as a whole; take these quotes away")
        # otherwise a comma in a name would move the names to the right of it
        raise UserError(
            f"{where}: the header has {filled_length(names)} names ({shown(names)}) and the rows fewer columns; put"
            f" quotes around names with {SEPARATORS[separator] if separator in SEPARATORS else repr(separator)}"
        )


def _looks_like_row(comment: str, separator: str, width: int) -> bool:
    cells = _cells(comment, separator)
    return len(cells) == width and any(map(readings_of, cells))
