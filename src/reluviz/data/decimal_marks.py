"""Read numbers as people write them: which mark is the decimal mark is decided once, for a whole file.

A *reading* says which mark is decimal (point or comma) and which mark, if any, stands between thousands: the other of
the two, a blank or an apostrophe. "1.5" has readings with a decimal point only. "1,234" has two values: 1.234, or 1234.
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

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
    decimal: re.compile(rf"[+-]?(?:1+(?:[{mark}]1*)?|[{mark}]1+)(?:[eE][+-]?1+|[dD][+-]1+)?")
    for decimal, mark in MARKS.items()
}
_GROUPED = [re.compile(rf"[+-]?1{{1,3}}(?:[{between}]111)+(?:[{MARKS[decimal]}]1*)?") for decimal, between in READINGS]
# without ASCII, a dotless i is taken for an i
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE | re.ASCII)
EITHER = "either"
"""A value of data.decimal: every point and every comma is a decimal mark, as version 0.2.0 read files."""
_DATE = re.compile(r"\d{1,4}([-./])\d{1,2}\1\d{1,4}(?!\d).*|\d{1,2}:\d\d(?!\d).*")
_NEGATIVE = re.compile(r"\([\d.,]+\)")
"""As in accounts."""
_BRACKET = re.compile(r"[\[{(].*\d.*|.*\d\s*[\]})]+")
"""Of a list as in JSON or Python."""
_WITH_UNIT = re.compile(
    r"([$€£¥₹]|[^\W\d_]{1,3})?\s*([+-]?[\d.,]+)\s*([$€£¥₹]|[%‰°]?(?:[^\W\d_]{1,9}(?:/[^\W\d_]{1,9})?)?)"
)
"""A currency, a number, and a currency or a unit."""
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


def remedy(cell: str) -> str:
    """Return what to do about a cell that is no number; nothing if there is no hint."""
    if is_missing(cell):
        return "leave out rows in which a number is missing"
    if len(cell) > LONGEST_NUMBER:
        return ""
    if _DATE.fullmatch(cell):
        return "give dates and times as numbers, such as years or hours"
    if _NEGATIVE.fullmatch(cell):
        return "give negative numbers with -"
    if _BRACKET.fullmatch(cell):
        return "give rows such as 1.5,2 without brackets"
    if (found := _WITH_UNIT.fullmatch(cell)) and readings_of(found[2]) and (found[1] or found[3]):
        return f"leave out {' and '.join(repr(sign) for sign in (found[1], found[3]) if sign)}"
    return ""


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
    comma_separates: Callable[[], bool] = lambda: False,
) -> tuple[list[Array], str]:
    """Return the numbers of some columns in the only reading that suits all their cells, and a line for the user.

    The line is empty, unless the separator alone has decided the reading.

    Args:
        columns: name -> cells, for each column that is read.
        lines: the line of each row in the file.
        where: the file, for error messages.
        decimal: "point", "comma" or "either", if the user has said so.
        others: the cells of further columns; they decide only if the columns that are read leave a choice.
        comma_separates: returns whether commas separate columns and none stands within a cell, so none is decimal.

    Raises:
        UserError: if a cell is no number, if two cells have no reading in common, or if nothing decides the reading.
    """
    if decimal == EITHER:
        columns = {name: [cell.replace(",", ".") for cell in cells] for name, cells in columns.items()}
        decimal = "point"
    allowed = _common_readings(columns, lines, where, decimal)
    note = ""
    if (place := _undecided(columns, allowed)) is not None:
        for cells in others:
            common = functools.reduce(int.__and__, filter(None, map(readings_of, cells)), allowed)
            allowed = common or allowed
        if _undecided(columns, allowed) is not None:
            name, row = place
            cell = columns[name][row]
            if not comma_separates():
                comma, point = (f"{_value(cell, mark, allowed):.15g}" for mark in ("comma", "point"))
                raise UserError(
                    f"{where}: line {lines[row]}: {name} is {shown([cell])}, which is {comma} or {point}, and"
                    f" nothing in the file decides; data.decimal=comma reads {comma}, data.decimal=point reads {point}"
                )
            allowed &= BITS["point"]
            note = f"{cell} has a decimal point, as commas separate columns (data.decimal=comma reads thousands)"
    found = [_values(cells, allowed) for cells in columns.values()]
    for (name, cells), column in zip(columns.items(), found, strict=True):
        if not np.isfinite(column).all():
            at = int(np.flatnonzero(~np.isfinite(column))[0])
            raise UserError(f"{where}: line {lines[at]}: {name} is {cells[at][:30]}; a finite number is needed")
    return found, note


def _common_readings(
    columns: Mapping[str, Sequence[str]], lines: Sequence[int], where: str, decimal: str | None
) -> int:
    """Return the readings that all cells have in common, as bits; see `read_numbers`."""
    begin = allowed = BITS[decimal] if decimal else EVERY_READING
    for row, cells in enumerate(zip(*columns.values(), strict=True)):
        for name, cell in zip(columns, cells, strict=True):
            mask = readings_of(cell)
            if mask & allowed:
                allowed &= mask
                continue
            place = f"{where}: line {lines[row]}: {name} is {shown([cell]) if cell else 'missing'}"
            if mask & begin:
                earlier = _conflict(columns, lines, row, mask)
                raise UserError(f"{place}{earlier}; a file needs one decimal mark, and one mark between thousands")
            example = f"with data.decimal={decimal} " if decimal and mask else ""
            number = "1234,5" if decimal == "comma" else "1234.5"
            more = f" ({remedy(cell)})" if remedy(cell) and not example else ""
            raise UserError(f"{place}; {example}a plain number such as {number} is needed{more}")
    return allowed


def _undecided(columns: Mapping[str, Sequence[str]], allowed: int) -> tuple[str, int] | None:
    """Return column and row of the first cell that has one value with a decimal point and another with a comma."""
    if not (allowed & BITS["point"] and allowed & BITS["comma"]):
        return None
    for row, cells in enumerate(zip(*columns.values(), strict=True)):
        for name, cell in zip(columns, cells, strict=True):
            # a cell that decides, such as 1.5, has left only one of the marks
            if "." in cell or "," in cell:
                return name, row
    return None


def _values(cells: Sequence[str], allowed: int) -> Array:
    """Return the numbers of a column."""
    if allowed & BITS["point"]:
        try:
            return np.array(list(map(float, cells)), dtype=np.float64)
        except ValueError:
            # it has marks between thousands
            pass
    plain = _plain_digits("point" if allowed & BITS["point"] else "comma", allowed)
    return np.array([float(cell.translate(plain)) for cell in cells], dtype=np.float64)


def _value(cell: str, decimal: str, allowed: int) -> float:
    """Return a cell's number, read with this decimal mark."""
    return float(cell.translate(_plain_digits(decimal, allowed)))


def _plain_digits(decimal: str, allowed: int) -> dict[int, str | None]:
    """Return the translation of a cell to a number as Python reads it."""
    thousands = [marks for i, (one, marks) in enumerate(READINGS) if one == decimal and allowed >> i & 1]
    without: dict[int, str | None] = {ord(mark): None for mark in "".join(thousands)}
    # Fortran writes 1.5D+03
    return without | {ord(MARKS[decimal]): ".", ord(MINUS): "-", ord("D"): "e", ord("d"): "e"}


def _conflict(columns: Mapping[str, Sequence[str]], lines: Sequence[int], last: int, mask: int) -> str:
    """Return, in words, the first cell that has no reading in common with a later one."""
    for row in range(last + 1):
        for name, cells in columns.items():
            if not readings_of(cells[row]) & mask:
                return f", but in line {lines[row]} {name} is {shown([cells[row]])}"
    return ", which fits no reading of the numbers above"
