"""The table of a report as files: CSV and Parquet for programs, Markdown for people."""

import csv as csv_files
import importlib.util
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from reluviz.analysis.report.groups import Value
from reluviz.analysis.report.output_folder import replaced
from reluviz.analysis.report.table_rows import Row

STATISTICS = tuple(field.name for field in fields(Row) if field.name != "settings")
DIGITS = 6
"""Of numbers in Markdown; the other files have all."""
GET_PYARROW = 'table.parquet is left out, for want of pyarrow: python -m pip install "reluviz[report]"'


def write(rows: Sequence[Row], keys: Sequence[str], folder: Path) -> list[Path]:
    """Write table.md, table.csv and, where pyarrow is installed, table.parquet; return those that were written.

    A row is that of one metric of one group: its settings, then the fields of `Row`. Infinity is written inf; NaN is
    an empty cell in CSV and Markdown, as is a setting that the group does not have, and NaN or null in Parquet.

    Raises:
        UserError: if one cannot be written.
    """
    found = [_csv(rows, keys, folder / "table.csv"), _markdown(rows, keys, folder / "table.md")]
    parquet = folder / "table.parquet"
    if importlib.util.find_spec("pyarrow") is None:
        # one of an earlier report would tell something else than the other files
        parquet.unlink(missing_ok=True)
        return found
    return [*found, _parquet(rows, keys, parquet)]


def columns(rows: Sequence[Row], keys: Sequence[str]) -> dict[str, list[Any]]:
    """Return the table by columns; a setting with the name of a statistic is called setting.NAME."""
    found: dict[str, list[Any]] = {
        f"setting.{key}" if key in STATISTICS else key: [row.settings.get(key) for row in rows] for key in keys
    }
    return found | {name: [getattr(row, name) for row in rows] for name in STATISTICS}


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, as wide as its widest cells."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in (header, *lines)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    text = [f"| {' | '.join(map(str.ljust, line, widths))} |" for line in cells]
    return "\n".join([text[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *text[1:]])


def _csv(rows: Sequence[Row], keys: Sequence[str], path: Path) -> Path:
    table = columns(rows, keys)
    with replaced(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv_files.writer(file, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(zip(*([_cell(one) for one in column] for column in table.values()), strict=True))
    return path


def _markdown(rows: Sequence[Row], keys: Sequence[str], path: Path) -> Path:
    table = columns(rows, keys)
    lines = list(zip(*([str(_rounded(one)) for one in column] for column in table.values()), strict=True))
    with replaced(path) as beside:
        beside.write_text(f"{markdown(list(table), lines)}\n", encoding="utf-8")
    return path


def _parquet(rows: Sequence[Row], keys: Sequence[str], path: Path) -> Path:
    import pyarrow
    from pyarrow import parquet

    table = columns(rows, keys)
    for name, column in table.items():
        kinds = {type(one) for one in column if one is not None}
        if kinds == {int, float}:
            table[name] = [None if one is None else float(one) for one in column]
        elif len(kinds) > 1:
            table[name] = [None if one is None else str(one) for one in column]
    with replaced(path) as beside:
        # arrays of Arrow's own making take NaN for NaN, and None for null
        parquet.write_table(pyarrow.table({name: pyarrow.array(column) for name, column in table.items()}), beside)
    return path


def _cell(value: Value) -> Value:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def _rounded(value: Value) -> Value:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) and not math.isnan(value) else _cell(value)
