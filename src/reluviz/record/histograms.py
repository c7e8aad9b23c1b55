"""Histograms of many quantities at a time, as `numpy.histogram` counts them.

Legend of shapes: M quantities, n values of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BINS = 30
STEPS = np.arange(BINS + 1.0)
BLOCK = 2**13
"""Values counted at a time: more would leave the fastest memory."""
SHORT = 2**10
"""Values of a quantity up to which many quantities are counted at once."""
LIMIT = 1e150
"""Values beyond it, whose squares are no numbers, are not counted."""


@dataclass(frozen=True)
class Counted:
    """Histograms, each with `BINS` equal bins from the least value to the largest.

    Attributes:
        low, high: the least value and the largest, [M].
        total, squares: the sum of the values and of their squares, [M].
        count: how many there are, [M].
        counts: how many are in each bin, [M, BINS].
        edges: between the bins, and at both ends, [M, BINS + 1].
    """

    low: Array
    high: Array
    total: Array
    squares: Array
    count: NDArray[np.int64]
    counts: NDArray[np.int64]
    edges: Array


def count(values: Sequence[Array], divisor: float = 1.0) -> Counted:
    """Count values; those that are not finite, or beyond `LIMIT`, are left out.

    A quantity none of whose values is counted has `count` 0, and nothing else that means anything.

    Args:
        values: the values of each quantity, n > 0.
        divisor: what they are to be divided by.
    """
    rows = [each.reshape(-1) for each in values]
    if len(rows[0]) <= SHORT:
        # of few values most of the time is that of calling
        rows = list(np.array(rows)[None])
    low, high = (np.concatenate([np.atleast_1d(end(row, -1)) for row in rows]) for end in (np.min, np.max))
    if ((low > -LIMIT) & (high < LIMIT)).all():
        return _count(rows, low, high, divisor)
    parts = []
    for each in values:
        kept = each[np.abs(each) < LIMIT]
        row = kept if len(kept) else np.zeros(1)
        parts.append(_count([row], np.array([row.min()]), np.array([row.max()]), divisor))
        parts[-1].count[:] = len(kept)
    return Counted(*(np.concatenate([getattr(part, name) for part in parts]) for name in Counted.__annotations__))


def _count(rows: Sequence[Array], low: Array, high: Array, divisor: float) -> Counted:
    """Count; rows are [n], or one of [M, n]."""
    first, width = ends(low, high, divisor)
    scale = BINS / width
    counts, total, squares = [], [], []
    for m, row in enumerate(rows):
        own = slice(None) if row.ndim > 1 else m
        counts.append(_bins(row, first[own], scale[own]))
        total.append(row.sum(-1))
        # not a product of matrices, which threads that wait for each other would share
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
    """Return histograms of quotients, of which the rest is that of the numbers that are to be divided."""
    first, width = ends(low, high, divisor)
    last = np.where(width > high - low, first + width, high)
    first, last = first / divisor, last / divisor
    # as numpy.linspace makes them
    edges = STEPS * ((last - first) / BINS)[:, None] + first[:, None]
    edges[:, -1] = last
    return Counted(low / divisor, high / divisor, total / divisor, squares / divisor**2, count, counts, edges)


def ends(low: Array, high: Array, divisor: float) -> tuple[Array, Array]:
    """Return where the first bin begins, and how wide all are together: 1, once divided, of values almost alike."""
    width = np.where(high - low > 1e-300, high - low, divisor)
    return np.where(width > high - low, low - width / 2, low), width


def _bins(values: Array, first: Array, scale: Array) -> NDArray[np.int64]:
    """Return the counts [M, BINS] of values [n] or [M, n] from `first` on, `scale` bins to 1.

    `numpy.histogram` finds the same in several times the time: it asks of every value on which side of the edges
    beside it it lies.
    """
    counts = np.zeros((np.size(first), BINS + 1), np.int64)
    row = np.arange(len(counts))[:, None] * (BINS + 1)
    for start in range(0, values.shape[-1], BLOCK):
        place = values[..., start : start + BLOCK] - np.expand_dims(first, -1)
        place *= np.expand_dims(scale, -1)
        # what lies at an edge is right of it, however it was rounded
        place += 1e-12
        bins = place.astype(np.intp)
        if values.ndim > 1:
            bins += row
        counts += np.bincount(bins.reshape(-1), minlength=counts.size).reshape(counts.shape)
    # the largest value belongs to the last bin
    counts[:, -2] += counts[:, -1]
    return counts[:, :-1]
