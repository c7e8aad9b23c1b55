"""Choose the columns x and y of a table, by name, by number, or because there is no other choice."""

from collections.abc import Callable, Sequence

from reluviz.data.point_checks import shown
from reluviz.data.rows_without_numbers import folded
from reluviz.errors import UserError

Wanted = str | int | None


def choose(
    names: Sequence[str] | None,
    width: int,
    numeric: Callable[[], list[int]],
    wanted: tuple[Wanted, Wanted],
    where: str,
    place: str,
    noun: str = "column",
    hint: Callable[[], str] = str,
) -> tuple[int, int, str]:
    """Return the numbers of the columns x and y, and a line that says which they are if the user need not know.

    Args:
        names: the columns' names; None if there are none.
        width: the number of columns.
        numeric: returns the numbers of the columns that hold numbers.
        wanted: data.x and data.y: a name, a number from 0, or None: the column named x (or y), or if exactly two
            columns hold numbers, the first (or second) of them.
        where: the file, for error messages.
        place: where the names stand, for error messages.
        noun: what a column is called, for error messages.
        hint: returns what may be wrong with the other columns, for an error message about too few numbers.

    Raises:
        UserError: if there is no such column, or more than one.
    """
    found: list[int | None] = [None, None]
    for at, (key, name) in enumerate(zip("xy", wanted, strict=True)):
        if name is not None:
            found[at] = _named(names or [], width, name, f"{where}: data.{key}={name}")
        elif named := _matches(names or [], key):
            if len(named) > 1:
                raise UserError(
                    f"{where}: has more than one {noun} {key}{place} ({shown(list(names or []))}); data.{key}= chooses"
                    f" one by its number, {_either(named)}"
                )
            found[at] = named[0]
    line = ""
    if None in found:
        numbers = numeric()
        left = [one for one in numbers if one not in found]
        if len(left) != found.count(None) or len(numbers) != 2:
            missing = [f"no {noun} {key}" for key, one in zip("xy", found, strict=True) if one is None]
            kind = f"{len(numbers)} {noun}{'s' * (len(numbers) != 1)} of numbers"
            if len(numbers) < 2:
                has = " and ".join(missing) + f"{place} ({shown(list(names))})" if names is not None else "no header"
                raise UserError(f"{where}: has {has}, and {kind}; two are needed, x and y{hint()}")
            if names is None:
                raise UserError(
                    f"{where}: has no header and {kind} ({', '.join(map(str, numbers[:6]))}); data.x= and data.y= "
                    "choose two by their numbers, counted from 0"
                )
            raise UserError(
                f"{where}: has {' and '.join(missing)}{place} ({shown(list(names))}), and {kind}; data.x= and"
                " data.y= choose two, by name or by number from 0"
            )
        found = [left.pop(0) if one is None else one for one in found]
        kind = f"its only two {noun}s of numbers"
        no_names = "" if names else " (no header)"
        line = f"x is {_title(names, found[0])}, y is {_title(names, found[1])}, {kind}{no_names}"
    x, y = found
    assert x is not None
    assert y is not None
    if x == y:
        raise UserError(f"{where}: x and y are the same column, {_title(names, x)}; data.x= and data.y= choose two")
    return x, y, line


def _named(names: Sequence[str], width: int, wanted: str | int, where: str) -> int:
    """Return the number of the column that a name or number stands for; a name that is this number goes first."""
    matches = [place for place, name in enumerate(names) if name == str(wanted)] or _matches(names, str(wanted))
    if len(matches) > 1:
        raise UserError(f"{where}: is the name of {len(matches)} columns; give the number of one, {_either(matches)}")
    if matches:
        return matches[0]
    if str(wanted).isascii() and str(wanted).isdigit() and len(str(wanted)) < 10 and int(wanted) < width:
        return int(wanted)
    known = f"there are {shown(list(names))}{', ...' * (len(names) > 6)}, or " if names else "it has no names, but "
    raise UserError(f"{where}: there is no such column; {known}by number 0 to {width - 1}")


def _matches(names: Sequence[str], wanted: str) -> list[int]:
    """Return the columns of this name, in any case and with any blanks."""
    return [place for place, name in enumerate(names) if folded(name) == folded(wanted)]


def _either(places: Sequence[int]) -> str:
    return " or ".join(map(str, places))


def _title(names: Sequence[str] | None, place: int | None) -> str:
    return f"column {place}" if names is None or place is None or not names[place] else shown([names[place]])
