"""Histograms of many quantities at a time, as `numpy.histogram` counts them.

Legend of shapes: M quantities, n values of each.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BINS = 30
STEPS = np.arange(BINS + 1.0)
BLOCK = 2**13
"""Values counted at a time: more would leave the fastest memory."""
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


def count(values: Array) -> Counted:
    """Count the values [M, n] of each quantity, n > 0; those that are not finite, or beyond `LIMIT`, are left out.

    A quantity none of whose values is counted has `count` 0, and nothing else that means anything.
    """
    low, high = values.min(1), values.max(1)
    whole = (low > -LIMIT) & (high < LIMIT)
    if whole.all():
        return _count(values, low, high)
    parts = [_count(row[None], row[None].min(1), row[None].max(1)) for row in map(_sound, values)]
    counted = Counted(*(np.concatenate([getattr(part, name) for part in parts]) for name in Counted.__annotations__))
    empty = ~(np.abs(values) < LIMIT).any(1)
    counted.count[empty] = 0
    return counted


def _sound(row: Array) -> Array:
    kept = row[np.abs(row) < LIMIT]
    return kept if len(kept) else np.zeros(1)


def _count(values: Array, low: Array, high: Array) -> Counted:
    """Count; `numpy.histogram` does the same in several times the time, and refuses values almost alike."""
    alike = ~(high - low > 1e-300)
    first, last = np.where(alike, low - 0.5, low), np.where(alike, high + 0.5, high)
    # as numpy.linspace does
    edges = STEPS * ((last - first) / BINS)[:, None] + first[:, None]
    edges[:, -1] = last
    counts = np.zeros((len(values), BINS), np.int64)
    scale = BINS / (last - first)
    for rows, columns in _blocks(*values.shape):
        counts[rows] += _bins(values[rows, columns], first[rows], scale[rows], edges[rows])
    return Counted(
        low,
        high,
        values.sum(1),
        # not a product of matrices, which threads that wait for each other would share
        np.einsum("mn,mn->m", values, values),
        np.full(len(values), values.shape[1]),
        counts,
        edges,
    )


def _bins(values: Array, first: Array, scale: Array, edges: Array) -> NDArray[np.int64]:
    """Return the counts [M, BINS] of values [M, n] from `first` on, `scale` bins to 1."""
    place = values - first[:, None]
    place *= scale[:, None]
    bins = place.astype(np.int32)
    place -= bins
    # rounding may have put what lies at an edge on its other side
    near = np.flatnonzero((place < 1e-9) | (place > 1 - 1e-9))
    if len(near):
        which = near // values.shape[1]
        edge = bins.take(near) + (place.take(near) > 0.5)
        edge -= values.take(near) < edges.take(which * (BINS + 1) + edge)
        bins.reshape(-1)[near] = np.clip(edge, 0, BINS - 1, out=edge)
    bins += BINS * np.arange(len(values), dtype=np.int32)[:, None]
    return np.bincount(bins.reshape(-1), minlength=BINS * len(values)).reshape(-1, BINS)


def _blocks(quantities: int, values: int) -> Iterator[tuple[slice, slice]]:
    together = max(1, BLOCK // values)
    for row in range(0, quantities, together):
        for column in range(0, values, BLOCK):
            yield slice(row, row + together), slice(column, column + BLOCK)
