"""Selects the points that a table of votes shows."""

import heapq
from collections.abc import Sequence

MAX_FULL_TABLE = 20
"""Up to this number of points, the table shows all of them."""
TOP_COUNT = 10
"""Of more points, the table shows this number."""


def top_votes(norms: Sequence[float | None]) -> list[int]:
    """Return the indices of the points to show: all in order, or those with the largest contributions."""
    if len(norms) <= MAX_FULL_TABLE:
        return list(range(len(norms)))
    return heapq.nlargest(TOP_COUNT, range(len(norms)), key=lambda i: norms[i] or 0.0)


def sum_of_rest(values: Sequence[float | None], shown: Sequence[int]) -> float | None:
    """Return the sum over the points that are not shown; None if one of their values is None."""
    in_table = set(shown)
    rest = [value for i, value in enumerate(values) if i not in in_table]
    return None if None in rest else sum(value for value in rest if value is not None)
