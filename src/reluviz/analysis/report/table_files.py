"""The table of a report as files: CSV and Parquet for programs, Markdown for people."""

import csv
import importlib.util
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from reluviz.analysis.report.groups import Value
from reluviz.analysis.report.table_rows import Row
from reluviz.files import atomic_write

STATISTICS = tuple(field.name for field in fields(Row) if field.name != "settings")
MARKDOWN_DIGITS = 6
"""Significant digits of numbers in Markdown; the other files have full precision."""
NO_PYARROW = (
    "table.parquet is not written, because pyarrow is not installed; install it with: "
    'python -m pip install "reluviz[report]"'
)


def write_tables(rows: Sequence[Row], keys: Sequence[str], folder: Path) -> list[Path]:
    """Write table.md, table.csv and, where pyarrow is installed, table.parquet; return their paths.

    A row describes one metric of one group: its settings, then the fields of `Row`. Infinity is written as inf. CSV
    and Markdown have an empty cell for NaN and for a setting that the group does not have. Parquet has NaN for the
    former and null for the latter. A Parquet column has one type: integers mixed with floats become floats, and any
    other mixture becomes text.

    Args:
        rows: the rows of the table.
        keys: the settings that become columns.
        folder: the folder of the files.

    Raises:
        UserError: if a file cannot be written.
    """
    written = [_write_csv(rows, keys, folder / "table.csv"), _write_markdown(rows, keys, folder / "table.md")]
    parquet = folder / "table.parquet"
    if importlib.util.find_spec("pyarrow") is None:
        # a file of an earlier report would contradict the other files
        parquet.unlink(missing_ok=True)
        return written
    return [*written, _write_parquet(rows, keys, parquet)]


def columns(rows: Sequence[Row], keys: Sequence[str]) -> dict[str, list[Any]]:
    """Return the table as name -> column; a setting with the name of a statistic becomes setting.NAME."""
    settings: dict[str, list[Any]] = {
        f"setting.{key}" if key in STATISTICS else key: [row.settings.get(key) for row in rows] for key in keys
    }
    return settings | {name: [getattr(row, name) for row in rows] for name in STATISTICS}


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, with aligned columns; `rows` are texts, without the header."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in (header, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    text = [f"| {' | '.join(map(str.ljust, row, widths))} |" for row in cells]
    return "\n".join([text[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *text[1:]])


def _write_csv(rows: Sequence[Row], keys: Sequence[str], path: Path) -> Path:
    table = columns(rows, keys)
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(
            zip(*([_blank_if_missing(value) for value in column] for column in table.values()), strict=True)
        )
    return path


def _write_markdown(rows: Sequence[Row], keys: Sequence[str], path: Path) -> Path:
    table = columns(rows, keys)
    cells = list(zip(*([str(_rounded(value)) for value in column] for column in table.values()), strict=True))
    with atomic_write(path) as partial:
        partial.write_text(f"{markdown_table(list(table), cells)}\n", encoding="utf-8")
    return path


def _write_parquet(rows: Sequence[Row], keys: Sequence[str], path: Path) -> Path:
    import pyarrow
    from pyarrow import parquet

    table = columns(rows, keys)
    for name, column in table.items():
        types = {type(value) for value in column if value is not None}
        if types == {int, float}:
            table[name] = [None if value is None else float(value) for value in column]
        elif len(types) > 1:
            table[name] = [None if value is None else str(value) for value in column]
    with atomic_write(path) as partial:
        # pyarrow.array keeps NaN as NaN, and makes None null
        parquet.write_table(pyarrow.table({name: pyarrow.array(column) for name, column in table.items()}), partial)
    return path


def _blank_if_missing(value: Value) -> Value:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def _rounded(value: Value) -> Value:
    return (
        f"{value:.{MARKDOWN_DIGITS}g}"
        if isinstance(value, float) and not math.isnan(value)
        else _blank_if_missing(value)
    )
