"""Read numbers as people write them: which mark is the decimal mark is decided once, for a whole file.

A *reading* says which mark is decimal (point or comma) and which mark, if any, stands between thousands: the other of
the two, a blank or an apostrophe. "1.5" has readings with a decimal point only. "1,234" has two values: 1.234, or 1234.
"""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from reluviz.data.point_checks import Array, shown
from reluviz.errors import UserError

MARKS = {"point": ".", "comma": ","}
"""Values of data.decimal -> the decimal mark."""
BLANKS, APOSTROPHES = " \u00a0\u2009\u202f", "'\u2019"
MINUS = "\u2212"
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "--", "?"})
"""What stands in a table for a number that is missing, in lower case."""
LONGEST_NUMBER = 400
"""Characters; float64's largest number has 309 digits."""
READINGS = [
    (decimal, thousands)
    for decimal, other in (("point", ","), ("comma", "."))
    for thousands in (other, BLANKS, APOSTROPHES)
]
BITS = {decimal: sum(1 << i for i, one in enumerate(READINGS) if one[0] == decimal) for decimal in MARKS}
"""Decimal mark -> its readings, as bits."""
EVERY_READING = BITS["point"] | BITS["comma"]
_PLAIN = {
    decimal: re.compile(rf"[+-]?(?:1+(?:[{mark}]1*)?|[{mark}]1+)(?:[eE][+-]?1+)?") for decimal, mark in MARKS.items()
}
_GROUPED = [re.compile(rf"[+-]?1{{1,3}}(?:[{between}]111)+(?:[{MARKS[decimal]}]1*)?") for decimal, between in READINGS]
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_DIGITS = str.maketrans("0123456789" + MINUS, "1111111111-")


def readings_of(cell: str) -> int:
    """Return the readings, as bits, in which a cell is a number; 0 if it is none."""
    if len(cell) > LONGEST_NUMBER:
        return 0
    # a number that begins with 0 has no thousands: 0,125 has a decimal comma
    return _readings_of_shape(cell.translate(_DIGITS), cell.lstrip("+-" + MINUS)[:1] != "0")


@functools.lru_cache(maxsize=4096)
def _readings_of_shape(shape: str, may_be_grouped: bool) -> int:
    """Return the readings of a cell whose digits are all replaced by 1."""
    if _NOT_FINITE.fullmatch(shape):
        return EVERY_READING
    found = sum(BITS[decimal] for decimal, pattern in _PLAIN.items() if pattern.fullmatch(shape))
    # a plain whole number has every reading, so that no bit is added twice
    grouped = sum(1 << i for i, pattern in enumerate(_GROUPED) if may_be_grouped and pattern.fullmatch(shape))
    return found | grouped


def is_missing(cell: str) -> bool:
    """Return whether a cell stands for a missing number."""
    return cell.lower() in MISSING


def holds_numbers(cells: Iterable[str]) -> bool:
    """Return whether more than half of the cells that are not missing are numbers, in any reading."""
    given = [readings_of(cell) != 0 for cell in cells if not is_missing(cell)]
    return 2 * sum(given) > len(given)


def read_numbers(
    columns: Mapping[str, Sequence[str]],
    lines: Sequence[int],
    where: str,
    decimal: str | None = None,
    others: Iterable[Sequence[str]] = (),
    comma_separates: bool = False,
) -> tuple[list[Array], str]:
    """Return the numbers of some columns in the only reading that suits all their cells, and a line for the user.

    The line is empty, unless the separator alone has decided the reading.

    Args:
        columns: name -> cells, for each column that is read.
        lines: the line of each row in the file.
        where: the file, for error messages.
        decimal: "point" or "comma", if the user has said so.
        others: the cells of further columns; they decide only if the columns that are read leave a choice.
        comma_separates: whether commas separate columns, and none stands within a cell, so that none is decimal.

    Raises:
        UserError: if a cell is no number, if two cells have no reading in common, or if nothing decides the reading.
    """
    begin = BITS[decimal] if decimal else EVERY_READING
    allowed = begin
    for row, line in enumerate(lines):
        for name, cells in columns.items():
            mask = readings_of(cells[row])
            place = f"{where}: line {line}: {name} is {shown([cells[row]]) if cells[row] else 'missing'}"
            if not mask & begin:
                example = f"with data.decimal={decimal} " if decimal and mask else ""
                number = "1234,5" if decimal == "comma" else "1234.5"
                raise UserError(f"{place}; {example}a plain number such as {number} is needed")
            if not mask & allowed:
                raise UserError(f"{place}{_conflict(columns, lines, row, mask)}; a file needs one decimal mark")
            allowed &= mask
    if _differs(columns, allowed):
        for more in others:
            masks = [readings_of(cell) for cell in more]
            common = functools.reduce(int.__and__, (mask for mask in masks if mask), allowed)
            allowed = common or allowed
    note = ""
    if comma_separates and (row := _differs(columns, allowed)):
        allowed &= BITS["point"]
        cell = next(cells[row - 1] for cells in columns.values() if "." in cells[row - 1])
        note = f"{cell[:30]} has a decimal point, as commas separate columns (data.decimal=comma reads thousands)"
    if row := _differs(columns, allowed):
        name, cell, line = next(
            (name, cells[at], lines[at])
            for at in range(row - 1, len(lines))
            for name, cells in columns.items()
            if _value(cells[at], "point", allowed) != _value(cells[at], "comma", allowed)
        )
        by_comma, by_point = (f"{_value(cell, mark, allowed):.15g}" for mark in ("comma", "point"))
        raise UserError(
            f"{where}: line {line}: {name} is {shown([cell])}, which is {by_comma} or {by_point}, and nothing in the"
            f" file decides; data.decimal=comma reads {by_comma}, data.decimal=point reads {by_point}"
        )
    mark = "point" if allowed & BITS["point"] else "comma"
    found = [np.array([_value(cell, mark, allowed) for cell in cells], dtype=np.float64) for cells in columns.values()]
    for (name, cells), column in zip(columns.items(), found, strict=True):
        if not np.isfinite(column).all():
            at = int(np.flatnonzero(~np.isfinite(column))[0])
            raise UserError(f"{where}: line {lines[at]}: {name} is {cells[at][:30]}; a finite number is needed")
    return found, note


def _differs(columns: Mapping[str, Sequence[str]], allowed: int) -> int:
    """Return 1 + the first row in which a decimal point and a decimal comma give different values; 0 if none does."""
    if not (allowed & BITS["point"] and allowed & BITS["comma"]):
        return 0
    marks = tuple(MARKS.values())
    for row, cells in enumerate(zip(*columns.values(), strict=True)):
        if any(mark in cell for mark in marks for cell in cells):
            return row + 1
    return 0


def _value(cell: str, decimal: str, allowed: int) -> float:
    """Return a cell's number, read with this decimal mark."""
    text = cell.replace(MINUS, "-")
    try:
        # by far the most frequent case; without a mark, every reading gives the same
        if decimal == "point" or "." not in text:
            return float(text.replace(",", ".") if decimal == "comma" else text)
    except ValueError:
        pass
    thousands = {
        mark for i, (one, marks) in enumerate(READINGS) if one == decimal and allowed >> i & 1 for mark in marks
    }
    text = "".join(character for character in text if character not in thousands)
    return float(text.replace(MARKS[decimal], "."))


def _conflict(columns: Mapping[str, Sequence[str]], lines: Sequence[int], last: int, mask: int) -> str:
    """Return, in words, the first cell that has no reading in common with a later one."""
    for row in range(last + 1):
        for name, cells in columns.items():
            if not readings_of(cells[row]) & mask:
                return f", but in line {lines[row]} {name} is {shown([cells[row]])}"
    return ", which fits no reading of the numbers above"
