"""The user's own points, from CSV or NPZ. Files are data: nothing in them is ever executed."""

import csv
import math
import zipfile
from pathlib import Path

import numpy as np

from reluviz.data.dataset import Array, Dataset
from reluviz.errors import UserError


def file(path: str | None = None, test_path: str | None = None) -> Dataset:
    """Return the points of a CSV file with a header, or of an NPZ file, with columns (arrays) x and y.

    Other columns are left alone. A CSV may be separated by commas, semicolons or tabs; with semicolons or
    tabs a decimal comma is understood.

    Args:
        path: the training points.
        test_path: the test points; without it there is no test loss.

    Raises:
        UserError: in one line that names the file, the place in it, and what would be right.
    """
    if not path:
        raise UserError("data.path is missing: give a CSV or NPZ file, as in data=file data.path=points.csv")
    x, y = read_points(path, "data.path")
    x_test, y_test = read_points(test_path, "data.test_path", least=1) if test_path else (None, None)
    return Dataset(Path(path).name, x, y, (float(x[0]), float(x[-1])), x_test, y_test)


def read_points(path: str, key: str, least: int = 2) -> tuple[Array, Array]:
    """Return the columns x and y of a file, sorted by x; `key` names the setting in error messages."""
    where = f"{key}={path}"
    if not Path(path).exists():
        raise UserError(f"{where}: no such file")
    if Path(path).is_dir():
        raise UserError(f"{where}: is a folder; give a CSV or NPZ file")
    try:
        points = _read_npz(path, where) if path.lower().endswith(".npz") else _read_csv(path, where)
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{where}: cannot be read ({_one_line(error)})") from error
    x, y = points
    if len(x) < least:
        raise UserError(f"{where}: has {len(x)} row{'s' * (len(x) != 1)} of data; at least {least} are needed")
    if least > 1 and x.min() == x.max():
        raise UserError(f"{where}: every x is {x[0]:g}; at least two different x are needed")
    order = np.argsort(x, kind="stable")
    return x[order], y[order]


def _read_npz(path: str, where: str) -> tuple[Array, Array]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not hasattr(archive, "files"):
                raise UserError(f"{where}: is a single array; an NPZ file with arrays x and y is needed")
            columns = {name: archive[name] for name in ("x", "y") if name in archive.files}
            found = ", ".join(archive.files) or "nothing"
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{where}: cannot be read without running code in it or is damaged") from error
    if missing := {"x", "y"} - columns.keys():
        raise UserError(f"{where}: has no array {' and no array '.join(sorted(missing))} (it has {found})")
    for name, column in columns.items():
        if column.dtype.kind not in "biuf":
            raise UserError(f"{where}: array {name} holds {column.dtype}; numbers are needed")
        if column.ndim != 1:
            raise UserError(f"{where}: array {name} has shape {column.shape}; one dimension is needed")
    x, y = (columns[name].astype(np.float64) for name in ("x", "y"))
    if len(x) != len(y):
        raise UserError(f"{where}: x has {len(x)} values and y has {len(y)}; as many are needed")
    for name, column in (("x", x), ("y", y)):
        if not np.isfinite(column).all():
            place = int(np.flatnonzero(~np.isfinite(column))[0])
            raise UserError(f"{where}: {name}[{place}] is {column[place]}; finite numbers are needed")
    return x, y


def _read_csv(path: str, where: str) -> tuple[Array, Array]:
    try:
        # utf-8-sig: spreadsheets like to write a byte-order mark before the first column's name
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: is not a text file in UTF-8; a CSV or NPZ file is needed") from error
    lines = text.splitlines()
    header_at = next((i for i, line in enumerate(lines) if line.strip()), None)
    if header_at is None:
        raise UserError(f"{where}: is empty; a header line with the columns x and y is needed")
    separator = max(",;\t", key=lines[header_at].count)
    try:
        rows = csv.reader(lines[header_at:], delimiter=separator, skipinitialspace=True)
        header = [name.strip().lower() for name in next(rows)]
        for name in ("x", "y"):
            if header.count(name) != 1:
                shown = ", ".join(repr(field) for field in header[:6])
                much = "more than one column" if name in header else "no column"
                raise UserError(f"{where}: has {much} {name!r} in its header line ({shown})")
        places = header.index("x"), header.index("y")
        columns: tuple[list[float], list[float]] = ([], [])
        for row in rows:
            if not any(field.strip() for field in row):
                continue
            line = header_at + rows.line_num
            for name, column, place in zip("xy", columns, places, strict=True):
                column.append(_number(row, place, separator, f"{where}: line {line}: {name}"))
    except csv.Error as error:
        raise UserError(f"{where}: is not a CSV file ({_one_line(error)})") from error
    return np.array(columns[0], dtype=np.float64), np.array(columns[1], dtype=np.float64)


def _number(row: list[str], place: int, separator: str, where: str) -> float:
    if place >= len(row):
        raise UserError(f"{where} is missing")
    text = row[place].strip()
    try:
        value = float(text if separator == "," else text.replace(",", "."))
    except ValueError:
        raise UserError(f"{where} is {text!r}; a number is needed") from None
    if not math.isfinite(value):
        raise UserError(f"{where} is {text}; a finite number is needed")
    return value


def _one_line(error: Exception) -> str:
    strerror = getattr(error, "strerror", None)
    return " ".join(str(strerror or error).split()) or type(error).__name__
