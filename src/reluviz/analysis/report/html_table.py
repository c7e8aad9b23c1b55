"""The table of the HTML page: one row for each metric of each group."""

import math
from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import Protocol

from reluviz.analysis.report.groups import Groups, Value

MAX_ROWS = 2000
NUMBER_COLUMNS = {
    "n": "n",
    "diverged": "diverged",
    "median": "median",
    "q25": "q25",
    "q75": "q75",
    "low": "95 % from",
    "high": "to",
}
"""Field of a row -> heading of its column."""
NOTE = (
    "n: replicas, each with its own seed; diverged: how many of them did; q25 and q75: quartiles; 95 %: bootstrap "
    "interval of the median. A replica that diverged counts as infinite."
)


class Row(Protocol):
    """One metric of one group; `table_rows.Row` has these fields."""

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


def html_table(groups: Groups, rows: Sequence[Row]) -> str:
    """Return the table as HTML that report.js can sort; an empty string without rows."""
    if not rows:
        return ""
    numeric = {key for key in groups.keys if all(_is_number(row.settings.get(key)) for row in rows)}
    headers = [_header_cell(_breakable(key), key in numeric) for key in groups.keys]
    headers.append(_header_cell("metric", False))
    headers += [_header_cell(title, True) for title in NUMBER_COLUMNS.values()]
    body = "\n".join(f"<tr>{''.join(_cells(groups.keys, numeric, row))}</tr>" for row in rows[:MAX_ROWS])
    more = f"The first {MAX_ROWS:,} of {len(rows):,} rows; the table's other files have all. "
    return (
        "<div class='wide' role='region' aria-labelledby='h-table' tabindex='0'><table class='sortable'>"
        "<caption>Metrics at the end of training, a row for each group</caption>"
        f"<thead><tr>{''.join(headers)}</tr></thead>\n<tbody>{body}</tbody></table></div>"
        f"<p class='soft note'>{more * (len(rows) > MAX_ROWS)}{NOTE}</p>"
    )


def _header_cell(text: str, numeric: bool) -> str:
    return f"<th scope='col' class='{'number' if numeric else 'name'}'>{text}</th>"


def _breakable(key: str) -> str:
    """Return a key, escaped, that a browser may break after its dots and underscores."""
    return escape(key).replace(".", ".<wbr>").replace("_", "_<wbr>")


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cells(keys: Sequence[str], numeric: Collection[str], row: Row) -> list[str]:
    cells = []
    for key in keys:
        value = row.settings.get(key)
        text = escape("none" if value is None else str(value))
        attributes = f" class='number' data-value='{text}'" if key in numeric else ""
        cells.append(f"<td title='{text}'{attributes}>{text}</td>")
    cells.append(f"<td>{escape(row.metric)}</td>")
    for name in NUMBER_COLUMNS:
        value = getattr(row, name)
        bad = " bad" if name == "diverged" and value else ""
        cells.append(f"<td class='number{bad}' data-value='{_javascript_number(value)}'>{format_number(value)}</td>")
    return cells


def _javascript_number(value: float) -> str:
    """Return a number that JavaScript can parse."""
    return (
        repr(float(value)) if math.isfinite(value) else "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    )


def format_number(value: float) -> str:
    """Return a float with four digits, an integer with all digits, infinity as ∞ and NaN as –."""
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "–" if math.isnan(value) else f"{'−' * (value < 0)}∞"
    return f"{value:.4g}".replace("-", "−")
