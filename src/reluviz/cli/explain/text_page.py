"""Formats numbers, equations and tables for a terminal of 80 columns, with colour or without."""

import io
import math
import re
import textwrap
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 79
"""One less than 80: some terminals break a line that fills their width."""

MAX_DECIMALS, MAX_DIGITS = 6, 8
"""Of a number in a table; with more, eight columns would not fit into WIDTH."""

NO_BREAK = "\u00a0"
Value = float | None


def number(value: Value, digits: int = 4) -> str:
    """Return a number with this many significant digits. Its minus sign is ASCII, so that it can be copied."""
    return "none" if value is None else f"{value:.{digits}g}"


def vote_count(effective: float) -> str:
    """Return a number of effective votes as text."""
    return f"{effective:,.0f}" if effective >= 100 else f"{effective:.3g}"


def percent(value: Value) -> str:
    """Return a fraction as a percentage."""
    return "none" if value is None else f"{100 * value:.3g} %"


def column(values: Sequence[Value], digits: int = 3) -> list[str]:
    """Return numbers with the same number of decimals, so that a column of them is aligned at the decimal point.

    The median gets `digits` significant digits. If the largest number would then be too long, all numbers are written
    with powers of ten.
    """
    known = sorted(abs(value) for value in values if value)
    if not known:
        return ["none" if value is None else "0" for value in values]
    middle = known[len(known) // 2]
    decimals = max(0, digits - 1 - math.floor(math.log10(middle)))
    if decimals > MAX_DECIMALS or decimals + len(f"{known[-1]:.0f}") > MAX_DIGITS:
        # one digit less if an exponent has two digits, so that the width stays the same
        long = any(value and abs(math.floor(math.log10(abs(value)))) >= 10 for value in values)
        return ["none" if value is None else _with_power(value, digits - long) for value in values]
    texts = ["none" if value is None else f"{value:.{decimals}f}" for value in values]
    return [text.removeprefix("-") if text.strip("-0.") == "" else text for text in texts]


def _with_power(value: float, digits: int) -> str:
    """Return a number as 1.23e5 and not as 1.23e+05, because the table is as wide as the terminal."""
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}e{int(power)}" if value else "0"


class TextPage:
    """A text to which headings, equations, paragraphs and tables are added.

    Args:
        colour: whether headings are bold.
    """

    def __init__(self, colour: bool) -> None:
        self.console = Console(
            file=io.StringIO(), width=WIDTH, force_terminal=colour, highlight=False, markup=False, emoji=False
        )

    def heading(self, text: str) -> None:
        """Add the heading of a section."""
        self.console.print()
        self.console.print(Text(text, "bold"))

    def equations(self, rows: Iterable[tuple[str, str]]) -> None:
        """Add a line for each formula, with its value for these data in a second column."""
        rows = list(rows)
        width = max(len(formula) for formula, value in rows if value)
        for formula, value in rows:
            self.console.print(Text(f"  {formula:{width}}   {value}".rstrip()), no_wrap=True, overflow="ignore")

    def paragraph(self, text: str) -> None:
        """Add sentences, without a line break within "x = 1" and "5 %"."""
        whole = re.sub(r" ?[=<%] ?", lambda found: found[0].replace(" ", NO_BREAK, 1 + ("%" not in found[0])), text)
        filled = textwrap.fill(whole, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
        self.console.print(Text(filled.replace(NO_BREAK, " ")))

    def table(self, columns: Sequence[tuple[str, Sequence[str]]], totals: int = 0, left: Sequence[str] = ()) -> None:
        """Add a table.

        Args:
            columns: heading (one line or two) and cells of each column.
            totals: the number of last rows that a rule separates from the rest.
            left: headings of the columns that are aligned at the left; the others are aligned at the right.
        """
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, padding=(0, 1))
        for heading, _ in columns:
            table.add_column(heading, justify="left" if heading in left else "right", no_wrap=True)
        rows = list(zip(*(cells for _, cells in columns), strict=True))
        for i, row in enumerate(rows):
            if totals and i == len(rows) - totals:
                table.add_section()
            table.add_row(*map(Text, row))
        self.console.print(table)

    def finish(self) -> str:
        """Return the whole text."""
        assert isinstance(self.console.file, io.StringIO)
        lines = [line.rstrip() for line in self.console.file.getvalue().strip("\n").split("\n")]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))
