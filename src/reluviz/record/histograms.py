"""Histograms of many quantities at once, with the same bins and counts as `numpy.histogram`.

Legend of shapes: M quantities, n values of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BINS = 30
BIN_NUMBERS = np.arange(BINS + 1.0)
BLOCK = 2**13
"""Values counted at a time; more would not fit the fastest cache."""
MAX_SHORT = 2**10
"""Quantities with at most this many values are counted together."""
MAX_COUNTED = 1e150
"""Values beyond this are not counted, because their squares overflow."""


@dataclass(frozen=True)
class Counted:
    """Histograms, each with `BINS` equal bins from the smallest value to the largest.

    Attributes:
        low, high: the smallest and the largest value, [M].
        total, squares: the sum of the values and the sum of their squares, [M].
        count: the number of values, [M].
        counts: the number of values in each bin, [M, BINS].
        edges: the edges of the bins, [M, BINS + 1].
    """

    low: Array
    high: Array
    total: Array
    squares: Array
    count: NDArray[np.int64]
    counts: NDArray[np.int64]
    edges: Array


def count(values: Sequence[Array], divisor: float = 1.0) -> Counted:
    """Return the histograms of the finite values up to `MAX_COUNTED`.

    A quantity without such values has `count` 0; its other attributes are meaningless.

    Args:
        values: the values of each quantity, n > 0.
        divisor: the values are divided by it.
    """
    rows = [each.reshape(-1) for each in values]
    if len(rows[0]) <= MAX_SHORT:
        # for few values, calls take most of the time
        rows = list(np.array(rows)[None])
    low, high = (np.concatenate([np.atleast_1d(end(row, -1)) for row in rows]) for end in (np.min, np.max))
    if ((low > -MAX_COUNTED) & (high < MAX_COUNTED)).all():
        return _count(rows, low, high, divisor)
    parts = []
    for each in values:
        kept = each[np.abs(each) < MAX_COUNTED]
        row = kept if len(kept) else np.zeros(1)
        parts.append(_count([row], np.array([row.min()]), np.array([row.max()]), divisor))
        parts[-1].count[:] = len(kept)
    return Counted(*(np.concatenate([getattr(part, name) for part in parts]) for name in Counted.__annotations__))


def _count(rows: Sequence[Array], low: Array, high: Array, divisor: float) -> Counted:
    """Count the values of rows [n], one for each quantity, or of a single row [M, n]."""
    first, width = ends(low, high, divisor)
    scale = BINS / width
    counts, total, squares = [], [], []
    for m, row in enumerate(rows):
        which = slice(None) if row.ndim > 1 else m
        counts.append(_bins(row, first[which], scale[which]))
        total.append(row.sum(-1))
        # not a matrix product, which would use several threads and wait for them
        squares.append(np.einsum("...n,...n->...", row, row))
    whole = np.full(len(low), rows[0].shape[-1])
    return counted(low, high, np.hstack(total), np.hstack(squares), whole, np.concatenate(counts), divisor)


def counted(
    low: Array,
    high: Array,
    total: Array,
    squares: Array,
    count: NDArray[np.int64],
    counts: NDArray[np.int64],
    divisor: float,
) -> Counted:
    """Return histograms of values / divisor; all other arguments describe the undivided values."""
    first, width = ends(low, high, divisor)
    last = np.where(width > high - low, first + width, high)
    first, last = first / divisor, last / divisor
    # as numpy.linspace makes them
    edges = BIN_NUMBERS * ((last - first) / BINS)[:, None] + first[:, None]
    edges[:, -1] = last
    return Counted(low / divisor, high / divisor, total / divisor, squares / divisor**2, count, counts, edges)


def ends(low: Array, high: Array, divisor: float) -> tuple[Array, Array]:
    """Return the start of the first bin and the width of all bins together.

    If the values are almost equal, the width is 1 after division.
    """
    width = np.where(high - low > 1e-300, high - low, divisor)
    return np.where(width > high - low, low - width / 2, low), width


def _bins(values: Array, first: Array, scale: Array) -> NDArray[np.int64]:
    """Return the counts [M, BINS] of values [n] or [M, n] in bins of width 1 / `scale` that begin at `first`.

    `numpy.histogram` gives the same counts in several times the time: it compares every value with the edges next to
    it.
    """
    counts = np.zeros((np.size(first), BINS + 1), np.int64)
    row = np.arange(len(counts))[:, None] * (BINS + 1)
    for start in range(0, values.shape[-1], BLOCK):
        place = values[..., start : start + BLOCK] - np.expand_dims(first, -1)
        place *= np.expand_dims(scale, -1)
        # a value at an edge belongs to the bin on its right, despite rounding
        place += 1e-12
        bins = place.astype(np.intp)
        if values.ndim > 1:
            bins += row
        counts += np.bincount(bins.reshape(-1), minlength=counts.size).reshape(counts.shape)
    # the largest value belongs to the last bin
    counts[:, -2] += counts[:, -1]
    return counts[:, :-1]
