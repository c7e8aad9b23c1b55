"""Which points a table of votes shows."""

import heapq
from collections.abc import Sequence

ALL, SOME = 20, 10
"""As many points are all shown; of more, so many."""


def top_votes(norms: Sequence[float | None]) -> list[int]:
    """Return the indices of the points to show: all in order, or those with the largest contributions."""
    if len(norms) <= ALL:
        return list(range(len(norms)))
    return heapq.nlargest(SOME, range(len(norms)), key=lambda i: norms[i] or 0.0)


def rest(values: Sequence[float | None], shown: Sequence[int]) -> float | None:
    """Return the sum over the points that are not shown; None where it is not known."""
    hidden = set(shown)
    others = [value for i, value in enumerate(values) if i not in hidden]
    return None if None in others else sum(value for value in others if value is not None)
