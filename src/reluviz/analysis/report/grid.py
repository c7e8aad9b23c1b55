"""The table of a page: a row for each metric of each group."""

import math
from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import Protocol

from reluviz.analysis.report.groups import Groups, Value

MOST_ROWS = 2000
NUMBERS = {
    "n": "n",
    "diverged": "diverged",
    "median": "median",
    "q25": "q25",
    "q75": "q75",
    "low": "95 % from",
    "high": "to",
}
"""Fields of a row, and the heads of their columns."""
NOTE = (
    "n: replicas, each with its own seed; diverged: how many of them did; q25 and q75: quartiles; 95 %: bootstrap "
    "interval of the median. A replica that diverged counts as infinite."
)


class Row(Protocol):
    """What a row of the table says of a metric of a group."""

    @property
    def settings(self) -> Mapping[str, Value]: ...  # noqa: D102
    @property
    def metric(self) -> str: ...  # noqa: D102
    @property
    def n(self) -> int: ...  # noqa: D102
    @property
    def diverged(self) -> int: ...  # noqa: D102
    @property
    def median(self) -> float: ...  # noqa: D102
    @property
    def q25(self) -> float: ...  # noqa: D102
    @property
    def q75(self) -> float: ...  # noqa: D102
    @property
    def low(self) -> float: ...  # noqa: D102
    @property
    def high(self) -> float: ...  # noqa: D102


def table(study: Groups, rows: Sequence[Row]) -> str:
    """Return the table as HTML, which a script may sort; nothing where there are no rows."""
    if not rows:
        return ""
    sized = {key for key in study.keys if all(_number(row.settings.get(key)) for row in rows)}
    heads = [_head(_breakable(key), key in sized) for key in study.keys]
    heads.append(_head("metric", False))
    heads += [_head(title, True) for title in NUMBERS.values()]
    body = "\n".join(f"<tr>{''.join(_cells(study.keys, sized, row))}</tr>" for row in rows[:MOST_ROWS])
    more = f"The first {MOST_ROWS:,} of {len(rows):,} rows; the table's other files have all. "
    return (
        "<div class='wide' role='region' aria-labelledby='h-table' tabindex='0'><table class='sortable'>"
        "<caption>Metrics at the end of training, a row for each group</caption>"
        f"<thead><tr>{''.join(heads)}</tr></thead>\n<tbody>{body}</tbody></table></div>"
        f"<p class='soft note'>{more * (len(rows) > MOST_ROWS)}{NOTE}</p>"
    )


def _head(words: str, number: bool) -> str:
    return f"<th scope='col' class='{'number' if number else 'name'}'>{words}</th>"


def _breakable(key: str) -> str:
    """Return a key that may be broken at its points and underscores."""
    return escape(key).replace(".", ".<wbr>").replace("_", "_<wbr>")


def _number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cells(keys: Sequence[str], sized: Collection[str], row: Row) -> list[str]:
    cells = []
    for key in keys:
        value = row.settings.get(key)
        words = escape("none" if value is None else str(value))
        number = f" class='number' data-value='{words}'" if key in sized else ""
        cells.append(f"<td title='{words}'{number}>{words}</td>")
    cells.append(f"<td>{escape(row.metric)}</td>")
    for name in NUMBERS:
        value = getattr(row, name)
        bad = " bad" if name == "diverged" and value else ""
        cells.append(f"<td class='number{bad}' data-value='{_sorted(value)}'>{digits(value)}</td>")
    return cells


def _sorted(value: float) -> str:
    """Return a number as JavaScript reads it."""
    return (
        repr(float(value)) if math.isfinite(value) else "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    )


def digits(value: float) -> str:
    """Return a number with four digits, a whole one with all, infinity and the unknown as signs."""
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "–" if math.isnan(value) else f"{'−' * (value < 0)}∞"
    return f"{value:.4g}".replace("-", "−")
