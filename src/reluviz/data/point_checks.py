"""The checks of points that are the same for files, for lists on the command line and for arrays in Python."""

from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reluviz.data.ranges import LARGEST
from reluviz.errors import UserError

Array = NDArray[np.float64]
SMALLEST = 1 / LARGEST
"""The smallest one of a column's largest absolute value, unless all are 0."""


def checked_column(values: Any, name: str, where: str) -> Array:
    """Return a column of finite numbers as float64 [N].

    Args:
        values: an array, a column of a table, or a list; of shape [N] or [N, 1].
        name: its name, for error messages.
        where: what it belongs to, for error messages.

    Raises:
        UserError: if it holds something else; the message names the place.
    """
    try:
        # a tensor with a gradient has values too
        column = np.asanyarray(values.detach().cpu() if callable(getattr(values, "detach", None)) else values)
    except (ValueError, TypeError, RuntimeError) as error:
        # lists of lists of different lengths, tensors of types that NumPy lacks
        raise UserError(f"{where}: {name} is no column of numbers ({' '.join(str(error).split())[:120]})") from error
    # NumPy would take what lies below the mask
    if isinstance(column, np.ma.MaskedArray) and (masked := np.flatnonzero(np.ma.getmaskarray(column))).size:
        raise UserError(f"{where}: {name}[{masked[0]}] is masked; finite numbers are needed")
    column = np.asarray(column)
    if column.dtype.kind == "O":
        # columns of tables hold numbers as objects if a value is missing
        for place, value in enumerate(column.ravel()):
            if not isinstance(value, Real | Decimal):
                raise UserError(f"{where}: {name}[{place}] is {shown([str(value)])}; finite numbers are needed")
        try:
            column = column.astype(np.float64)
        except OverflowError as error:
            raise UserError(f"{where}: {name} holds a number beyond float64; finite numbers are needed") from error
    if column.dtype.kind not in "biuf":
        raise UserError(f"{where}: array {name} holds {column.dtype.name}; numbers are needed")
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1:
        raise UserError(f"{where}: array {name} has shape {column.shape}; one dimension is needed")
    column = column.astype(np.float64, copy=False)
    if not np.isfinite(column).all():
        place = int(np.flatnonzero(~np.isfinite(column))[0])
        raise UserError(f"{where}: {name}[{place}] is {column[place]}; finite numbers are needed")
    largest = float(np.abs(column).max(initial=0))
    if largest and not SMALLEST <= largest <= LARGEST:
        size = f"is {largest:g}, above {LARGEST:g}" if largest > 1 else f"is {largest:g}, below {SMALLEST:g}"
        raise UserError(f"{where}: the largest {name} {size}; its powers leave floating point; use other units")
    return column


def checked_pair(x: Any, y: Any, where: str, names: tuple[str, str] = ("x", "y")) -> tuple[Array, Array]:
    """Return two columns of equal length; see `checked_column`."""
    inputs, outputs = checked_column(x, names[0], where), checked_column(y, names[1], where)
    if len(inputs) != len(outputs):
        raise UserError(
            f"{where}: {names[0]} has {len(inputs)} values and {names[1]} has {len(outputs)}; equal numbers are needed"
        )
    return inputs, outputs


def sorted_points(x: Array, y: Array) -> tuple[Array, Array]:
    """Return the points in the order of x; points with the same x keep their order."""
    if (x[:-1] <= x[1:]).all():
        return x, y
    order = np.argsort(x, kind="stable")
    return x[order], y[order]


def check_enough(x: Array, where: str, min_rows: int = 2) -> None:
    """Check that there are enough points, and if there must be two, that they have two different x.

    Raises:
        UserError: if not.
    """
    if len(x) < min_rows:
        raise UserError(f"{where}: has {len(x)} row{'s' * (len(x) != 1)} of data; at least {min_rows} are needed")
    if min_rows > 1 and x.min() == x.max():
        raise UserError(f"{where}: every x is {x[0]:g}; at least two different x are needed")


def shown(names: list[str]) -> str:
    """Return the first names, shortened and without line breaks, for an error message."""
    return ", ".join(repr(name if len(name) <= 30 else f"{name[:30]}...") for name in names[:6]) or "nothing"
