"""Find titles above the header of a table, a row of units below it, and remarks below the rows."""

from collections.abc import Collection, Sequence

from reluviz.data.decimal_marks import holds_numbers, is_missing, readings_of

Rows = list[tuple[int, list[str]]]
"""(line, cells) of each row."""
MOST_ROWS = 50
"""Among this many rows at either end the others are searched for."""


def left_out(table: Rows, usual: Collection[str]) -> tuple[Rows, list[int]]:
    """Return a table that begins with its header, if it has one, and the lines of the rows that are left out.

    A row is left out only if it holds no number at all. Titles stand above a row of as many names as there are
    columns. Units stand between this row and the first numbers. Remarks stand at the end, alone in their row and in a
    column of numbers. Without a row of names nothing is left out at the beginning: the name of a single column above
    1,5 is no title.

    Args:
        table: all rows that are not empty.
        usual: names of columns by which the header is recognised, as `folded` returns them.
    """
    begin = next((at for at, (_, row) in enumerate(table[:MOST_ROWS]) if not _is_words(row)), 0)
    body = [row for _, row in table[begin : begin + 2 * MOST_ROWS]]
    width = max(map(filled_length, body), default=0)
    # remarks are no reason to take a column for words
    rows = [row for row in body if sum(map(bool, row)) > 1]
    numeric = {place for place in range(width) if holds_numbers(row[place] for row in rows if place < len(row))}
    end = len(table)
    while end > max(begin + 2, len(table) - MOST_ROWS) and _is_remark(table[end - 1][1], numeric):
        end -= 1
    header = _header([row for _, row in table[:begin]], width, numeric, usual)
    kept = [*([table[header]] if header is not None else table[:begin]), *table[begin:end]]
    lines = {line for line, _ in kept}
    return kept, [line for line, _ in table if line not in lines]


def folded(name: str) -> str:
    """Return a name without case and with single blanks, for comparisons."""
    return " ".join(name.split()).casefold()


def filled_length(row: Sequence[str]) -> int:
    """Return the number of cells without the empty ones at the end."""
    length = len(row)
    while length and not row[length - 1]:
        length -= 1
    return length


def _header(rows: Sequence[Sequence[str]], width: int, numeric: set[int], usual: Collection[str]) -> int | None:
    """Return the index of the header among the rows before the first numbers; None if all of them stay.

    The header has a name for each column of the body (`width`). It is the row with most of the usual names. If that
    leaves a choice, it is the last row of names, or the one before it, if the last may hold units.
    """
    possible = [at for at, row in enumerate(rows) if filled_length(row) == width]
    if len(rows) < 2 or not possible:
        return None
    found = {at: len({folded(cell) for cell in rows[at]} & set(usual)) for at in possible}
    best = [at for at in possible if found[at] == max(found.values())]
    header = best[-2] if len(best) > 1 and best[-1] - best[-2] == 1 else best[-1]
    # a row without units is a row in which the numbers are missing
    below = rows[header + 1 :]
    has_units = [any(place < len(row) and not is_missing(row[place]) for place in numeric) for row in below]
    return header if all(has_units) else None


def _is_words(row: Sequence[str]) -> bool:
    """Return whether a row holds a word and no number."""
    return not any(map(readings_of, row)) and not all(map(is_missing, row))


def _is_remark(row: Sequence[str], numeric: set[int]) -> bool:
    """Return whether only one cell of a row is filled, with a word where numbers are expected."""
    places = [place for place, cell in enumerate(row) if cell]
    return len(places) == 1 and places[0] in numeric and _is_words(row)
