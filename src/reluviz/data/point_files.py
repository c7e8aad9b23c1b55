"""Read the user's points from CSV or NPZ files. Files are data: nothing in them is ever executed."""

import functools
import math
import os
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from reluviz.data import columns, decimal_marks, rows_without_numbers, text_encoding, text_table
from reluviz.data.dataset import Array, Dataset
from reluviz.data.decimal_marks import is_missing, readings_of
from reluviz.data.point_checks import check_enough, checked_pair, shown, sorted_points
from reluviz.data.ranges import check_value
from reluviz.errors import UserError
from reluviz.files import typed_path

MAX_UNPACKED_BYTES, MAX_RATIO = 2**28, 100
"""An array of an NPZ file that is larger than the one must not be more than so many times its compressed size."""
MAX_OFFSET = 1e6
"""Up to this many times their range, numbers may be away from 0 without a loss that a run could show."""


def file(
    path: str | None = None,
    test_path: str | None = None,
    x: str | int | None = None,
    y: str | int | None = None,
    decimal: str | None = None,
    scale: str = "auto",
) -> Dataset:
    """Return the points of a text file (CSV), or of an NPZ file.

    Columns may be separated by commas, semicolons, tabs, | or blanks, with a header or without. Lines that begin with
    # are ignored. Whether numbers have a decimal point or a decimal comma is decided once, for the file.

    Args:
        path: the training points.
        test_path: the test points; without it there is no test loss.
        x: the column (or array) of the inputs, by name or by number from 0; None for the one named x, or for the first
            of two if no others hold numbers.
        y: the column of the outputs, in the same way.
        decimal: "point" or "comma", for a file in which nothing decides it; "either" if every point and every comma is
            a decimal mark, as version 0.2.0 read files.
        scale: "auto" to train in units in which step sizes like the course's suit the points; "none" to train in the
            units of the file. See `Dataset`.

    Raises:
        UserError: if a file cannot be used; the message names the file, the place in it, and the remedy.
    """
    if not path:
        raise UserError("data.path is missing: give a CSV or NPZ file, as in data=file data.path=points.csv")
    choices = {key: check_value(f"data.{key}", value) for key, value in (("x", x), ("y", y), ("decimal", decimal))}
    scale = check_value("data.scale", scale)
    inputs, outputs, note = read_points(path, "data.path", **choices)
    x_test, y_test, test_note = None, None, ""
    if test_path:
        x_test, y_test, test_note = read_points(test_path, "data.test_path", min_rows=1, **choices)
    notes = [f"{Path(name).name}: {line}" for name, line in ((path, note), (str(test_path), test_note)) if line]
    ends = float(inputs[0]), float(inputs[-1])
    notes += lost_digits(inputs, outputs)
    return Dataset(Path(path).name, inputs, outputs, ends, x_test, y_test, notes=tuple(notes), scale=scale)


def points(points: Any = None, scale: str = "auto") -> Dataset:
    """Return a data set of a handful of points, such as [[0, 1], [1, 3]], or of an array [N, 2].

    Args:
        points: the pairs of x and y.
        scale: see `file`.

    Raises:
        UserError: if they are no pairs of finite numbers, or fewer than two different x.
    """
    if points is None:
        raise UserError("data.points is missing: give pairs of x and y, as in data=points data.points=[[0,1],[1,3]]")
    with suppress(ValueError, TypeError, RuntimeError):
        # where this fails, the check below says what is needed
        points = np.asarray(points).tolist()
    pairs = check_value("data.points", points)
    x, y = checked_pair([x for x, _ in pairs], [y for _, y in pairs], "data.points")
    check_enough(x, "data.points")
    notes = tuple(lost_digits(x, y))
    return Dataset("points", x, y, (float(x.min()), float(x.max())), notes=notes, scale=scale)


def lost_digits(x: Array, y: Array) -> list[str]:
    """Return a line for x and for y if its numbers are so far from 0 that few digits tell them apart."""
    found = []
    for name, values in (("x", x), ("y", y)):
        spread = float(values.max() - values.min())
        if float(np.abs(values).min()) > MAX_OFFSET * spread > 0:
            distinct = f"{len(np.unique(values)):,} of its {len(values):,} values are distinct"
            found.append(f"{name} differs by {spread:.3g} at {values[0]:.10g}: {distinct}; subtract an offset first")
    return found


def read_points(
    path: str,
    key: str,
    min_rows: int = 2,
    x: str | int | None = None,
    y: str | int | None = None,
    decimal: str | None = None,
) -> tuple[Array, Array, str]:
    """Return the columns x and y of a file, sorted by x, and a line that says how they were chosen, if it is needed.

    Args:
        path: the file; ~ stands for the home folder.
        key: the setting that names the file, for error messages.
        min_rows: the least number of points.
        x: see `file`.
        y: see `file`.
        decimal: see `file`.
    """
    where, place = f"{key}={path}", typed_path(path)
    if not os.path.exists(place):
        raise UserError(f"{where}: no such file")
    if place.is_dir():
        raise UserError(f"{where}: is a folder; give a CSV or NPZ file")
    if place.is_char_device() or place.is_block_device():
        raise UserError(f"{where}: is a device; give a CSV or NPZ file")
    try:
        if path.lower().endswith(".npz"):
            inputs, outputs, note = _read_npz(place, where, (x, y))
        else:
            inputs, outputs, note = _read_csv(place, where, (x, y), decimal)
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({_one_line(error)})") from error
    check_enough(inputs, where, min_rows)
    return *sorted_points(inputs, outputs), note


def _read_npz(path: Path, where: str, wanted: tuple[columns.Wanted, columns.Wanted]) -> tuple[Array, Array, str]:
    try:
        # np.load would leave a file open that it cannot read
        with open(path, "rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise UserError(f"{where}: is a single array; an NPZ file with arrays x and y is needed")
            with archive:
                names = archive.files
                chosen = columns.choose(names, len(names), lambda: list(range(len(names))), wanted, where, "", "array")
                for name, place in zip("xy", chosen[:2], strict=True):
                    _check_header(archive.zip, names[place], f"{where}: array {name}")
                x, y = (archive[names[place]] for place in chosen[:2])
    except (UserError, OSError):
        raise
    except Exception as error:
        # a damaged archive may raise any exception of zipfile, its decompressors or NumPy's parser
        raise UserError(
            f"{where}: is damaged, or no NPZ file of number arrays (objects, which can run code, are not read)"
        ) from error
    return *checked_pair(x, y, where), chosen[2]


def _check_header(archive: zipfile.ZipFile, name: str, where: str) -> None:
    """Check an array of an archive by its header, before it is unpacked.

    Args:
        archive: the open archive.
        name: the array's name.
        where: what to call the array in messages.

    Raises:
        UserError: if it holds no column of numbers, or unpacks to far more than it takes in the file.
        ValueError: if its header does not fit its size.
    """
    member = archive.getinfo(name if name in archive.namelist() else f"{name}.npy")
    magic = np.lib.format.MAGIC_PREFIX
    with archive.open(member) as stream:
        if stream.read(len(magic)) != magic:
            raise UserError(f"{where} holds no array; numbers are needed")
        stream.seek(0)
        first = np.lib.format.read_magic(stream) == (1, 0)
        # 3.0 differs from 2.0 in the encoding of names, which columns of numbers lack
        read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    if dtype.kind in "biuf" and not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        raise UserError(f"{where} has shape {shape}; one dimension is needed")
    size = math.prod(shape) * dtype.itemsize
    if dtype.kind != "O" and size > member.file_size:
        raise ValueError("the header promises more than the file holds")
    if size > MAX_UNPACKED_BYTES and size > MAX_RATIO * member.compress_size:
        packed = f"{member.compress_size / 1e6:,.1f} MB"
        raise UserError(f"{where} would unpack from {packed} to {size / 1e6:,.0f} MB; save it with numpy.savez")


def _read_csv(
    path: Path, where: str, wanted: tuple[columns.Wanted, columns.Wanted], decimal: str | None
) -> tuple[Array, Array, str]:
    text, encoding_note = text_encoding.decode(path.read_bytes(), where)
    usual = {rows_without_numbers.folded(str(name)) for name in wanted if name is not None}
    table = text_table.split(text, where, {*text_table.USUAL, *usual})
    header = f" in its header, line {table.header_line}"
    hint = functools.partial(_hint, table)
    x, y, note = columns.choose(table.names, table.width, table.numeric_columns, wanted, where, header, hint=hint)
    note += " beside its index" if note and table.has_index else ""
    cells = {"x": table.column(x), "y": table.column(y)}

    def comma_separates() -> bool:
        rows = (pair for column in cells.values() for pair in zip(table.lines, column, strict=True))
        return table.separator == "," and not any("," in cell or table.quoted(line, cell) for line, cell in rows)

    others = (table.column(place) for place in table.numeric_columns() if place not in (x, y))
    found, mark_note = decimal_marks.read_numbers(cells, table.lines, where, decimal, others, comma_separates)
    notes = [encoding_note, note, mark_note, *_table_notes(table)]
    return found[0], found[1], "; ".join(filter(None, notes))


def _table_notes(table: text_table.Table) -> list[str]:
    """Return lines for the user about the parts of a file that were not read as rows."""
    notes = []
    if table.skipped:
        count, first = len(table.skipped), table.skipped[0]
        notes.append(f"{count} line{'s' * (count > 1)} that begin{'s' * (count == 1)} with # skipped (line {first})")
    if table.left_out:
        plural, lines = "s" * (len(table.left_out) > 1), ", ".join(map(str, table.left_out))
        notes.append(f"line{plural} {lines if len(lines) < 60 else lines[:60] + '...'} without numbers left out")
    if table.blocks > 1:
        notes.append(f"{table.blocks} blocks of rows, with blank lines between them, are read as one")
    return notes


def _hint(table: text_table.Table) -> str:
    """Return, for an error message, what a column holds that is nearly one of numbers; nothing if there is none."""
    rows = [*([(table.header_line, table.names)] if table.names else []), *zip(table.lines, table.rows, strict=True)]
    for line, row in rows:
        for cell in row:
            if not is_missing(cell) and not readings_of(cell) and (remedy := decimal_marks.remedy(cell)):
                return f" (line {line} has {shown([cell])}; {remedy})"
    return ""


def _one_line(error: Exception) -> str:
    strerror = getattr(error, "strerror", None)
    return " ".join(str(strerror or error).split()) or type(error).__name__
