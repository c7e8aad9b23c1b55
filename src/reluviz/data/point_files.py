"""Read the user's points from CSV or NPZ files. Files are data: nothing in them is ever executed."""

import csv
import math
import re
from pathlib import Path

import numpy as np

from reluviz.data.dataset import Array, Dataset
from reluviz.errors import UserError

SEPARATORS = ",;\t"
COMMENT = "#"


def file(path: str | None = None, test_path: str | None = None) -> Dataset:
    """Return the points of a CSV file with a header, or of an NPZ file, with columns (arrays) x and y.

    Other columns are ignored. In a CSV file, lines that begin with # are ignored too. Its columns may be separated
    by commas, semicolons or tabs; with semicolons or tabs, numbers may have a decimal comma.

    Args:
        path: the training points.
        test_path: the test points; without it there is no test loss.

    Raises:
        UserError: if a file cannot be used; the message names the file, the place in it, and the remedy.
    """
    if not path:
        raise UserError("data.path is missing: give a CSV or NPZ file, as in data=file data.path=points.csv")
    x, y = read_points(path, "data.path")
    x_test, y_test = read_points(test_path, "data.test_path", min_rows=1) if test_path else (None, None)
    return Dataset(Path(path).name, x, y, (float(x[0]), float(x[-1])), x_test, y_test)


def read_points(path: str, key: str, min_rows: int = 2) -> tuple[Array, Array]:
    """Return the columns x and y of a file, sorted by x; `key` names the setting in error messages."""
    where = f"{key}={path}"
    if not Path(path).exists():
        raise UserError(f"{where}: no such file")
    if Path(path).is_dir():
        raise UserError(f"{where}: is a folder; give a CSV or NPZ file")
    try:
        points = _read_npz(path, where) if path.lower().endswith(".npz") else _read_csv(path, where)
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({_one_line(error)})") from error
    x, y = points
    if len(x) < min_rows:
        raise UserError(f"{where}: has {len(x)} row{'s' * (len(x) != 1)} of data; at least {min_rows} are needed")
    if min_rows > 1 and x.min() == x.max():
        raise UserError(f"{where}: every x is {x[0]:g}; at least two different x are needed")
    order = np.argsort(x, kind="stable")
    return x[order], y[order]


def _read_npz(path: str, where: str) -> tuple[Array, Array]:
    try:
        # np.load would leave a file open that it cannot read
        with open(path, "rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise UserError(f"{where}: is a single array; an NPZ file with arrays x and y is needed")
            with archive:
                columns = {name: archive[name] for name in ("x", "y") if name in archive.files}
                found = _shown(archive.files)
    except (UserError, OSError):
        raise
    except Exception as error:
        # a damaged archive may raise any exception of zipfile, its decompressors or NumPy's parser
        raise UserError(
            f"{where}: is damaged, or no NPZ file of number arrays (objects, which can run code, are not read)"
        ) from error
    if missing := sorted({"x", "y"} - columns.keys()):
        raise UserError(f"{where}: has no array {' and no array '.join(missing)} (it has {found})")
    for name, column in columns.items():
        if not isinstance(column, np.ndarray) or column.dtype.kind not in "biuf":
            kind = column.dtype.name if isinstance(column, np.ndarray) else "no array"
            raise UserError(f"{where}: array {name} holds {kind}; numbers are needed")
        if column.ndim != 1:
            raise UserError(f"{where}: array {name} has shape {column.shape}; one dimension is needed")
    x, y = (columns[name].astype(np.float64) for name in ("x", "y"))
    if len(x) != len(y):
        raise UserError(f"{where}: x has {len(x)} values and y has {len(y)}; equal numbers are needed")
    for name, column in (("x", x), ("y", y)):
        if not np.isfinite(column).all():
            place = int(np.flatnonzero(~np.isfinite(column))[0])
            raise UserError(f"{where}: {name}[{place}] is {column[place]}; finite numbers are needed")
    return x, y


def _read_csv(path: str, where: str) -> tuple[Array, Array]:
    try:
        # utf-8-sig: spreadsheets often write a byte-order mark before the first column's name
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: is not text in UTF-8; save it as 'CSV UTF-8', or as NPZ") from error
    columns: tuple[list[float], list[float]] = ([], [])
    try:
        header_index, separator, header = _header(lines, where)
        places = header.index("x"), header.index("y")
        rows = csv.reader(lines[header_index + 1 :], delimiter=separator, skipinitialspace=True)
        for row in rows:
            if not any(field.strip() for field in row) or row[0].startswith(COMMENT):
                continue
            line = f"{where}: line {header_index + 1 + rows.line_num}"
            if any(field.strip() for field in row[len(header) :]):
                # otherwise 0,5 would be read as two numbers
                raise UserError(
                    f"{line} has {len(row)} columns and the header {len(header)}; equal numbers are needed"
                    " (with decimal commas, put semicolons between the columns)"
                )
            for name, column, place in zip("xy", columns, places, strict=True):
                column.append(_number(row, place, separator, f"{line}: {name}"))
    except csv.Error as error:
        raise UserError(f"{where}: is not a CSV file ({_one_line(error)})") from error
    return np.array(columns[0], dtype=np.float64), np.array(columns[1], dtype=np.float64)


def _header(lines: list[str], where: str) -> tuple[int, str, list[str]]:
    """Return the index of the header line, the separator, and the column names in lower case."""
    separator = None
    for at, line in enumerate(lines):
        if found := re.fullmatch(r"sep=(.)\s*", line):
            # Excel writes this line before the header
            separator = found[1]
            continue
        # NumPy's savetxt writes the header as a comment
        text = line.lstrip(COMMENT + " ")
        delimiter = separator or max(SEPARATORS, key=text.count)
        names = [
            name.strip().lower() for name in next(csv.reader([text], delimiter=delimiter, skipinitialspace=True), [])
        ]
        if names.count("x") == names.count("y") == 1:
            return at, delimiter, names
        if text.strip() and not line.startswith(COMMENT):
            wrong = next(name for name in ("x", "y") if names.count(name) != 1)
            count = "more than one column" if wrong in names else "no column"
            raise UserError(
                f"{where}: has {count} {wrong} in its header, line {at + 1} ({_shown(names)}); one x and one y"
                " are needed, with commas, semicolons or tabs between columns"
            )
    raise UserError(f"{where}: is empty; a header line with the columns x and y is needed")


def _number(row: list[str], place: int, separator: str, where: str) -> float:
    if place >= len(row):
        raise UserError(f"{where} is missing")
    text = row[place].strip()
    try:
        value = float(text if separator == "," else text.replace(",", "."))
    except ValueError:
        raise UserError(f"{where} is {_shown([text])}; a plain number such as 1234.5 is needed") from None
    if not math.isfinite(value):
        raise UserError(f"{where} is {text}; a finite number is needed")
    return value


def _shown(names: list[str]) -> str:
    """Return the first names, shortened and without line breaks, for an error message."""
    return ", ".join(repr(name if len(name) <= 30 else f"{name[:30]}...") for name in names[:6]) or "nothing"


def _one_line(error: Exception) -> str:
    strerror = getattr(error, "strerror", None)
    return " ".join(str(strerror or error).split()) or type(error).__name__
