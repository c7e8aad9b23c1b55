"""Statistics over the replicas of a run: percentiles with infinities, and the distribution of a loss.

Legend of shapes: n values or replicas, Q percentiles.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PERCENTILES = {"min": 0, "q25": 25, "median": 50, "q75": 75, "max": 100}


def percentiles(values: Array, q: Sequence[float]) -> Array:
    """Return percentiles along the first axis, [Q, ...], as `numpy.percentile` defines them (linear interpolation).

    NaN is ignored; if all values are NaN, the percentiles are NaN. Interpolation between a number and infinity, or
    between two infinities, gives the upper of the two, where NumPy gives NaN and warnings.

    Args:
        values: [n, ...].
        q: the percentiles, between 0 and 100, [Q].
    """
    ordered = np.sort(values, axis=0)  # NaN is sorted last
    known = (~np.isnan(ordered)).sum(axis=0)
    if len(ordered) == 0:
        return np.full((len(q), *values.shape[1:]), np.nan)
    position = np.multiply.outer(np.asarray(q, dtype=np.float64) / 100, np.maximum(known - 1, 0))
    low = np.floor(position).astype(np.int64)
    fraction = position - low
    # a percentile that lies exactly on a rank does not depend on the next one
    high = np.where(fraction > 0, low + 1, low)
    a, b = (np.take_along_axis(ordered[None], rank[:, None], axis=1)[:, 0] for rank in (low, high))
    with np.errstate(invalid="ignore", over="ignore"):
        found = np.where(fraction < 0.5, a + (b - a) * fraction, b - (b - a) * (1 - fraction))
    return np.where(np.isinf(a) | np.isinf(b), b, found)


def distribution(losses: Array, not_diverged: NDArray[np.bool_]) -> dict[str, Any]:
    """Return n, diverged, mean, min, q25, median, q75 and max of the replicas' losses.

    A NaN loss counts as infinite, so that a replica that diverged cannot improve the statistics of the run.

    Args:
        losses: one loss for each replica, [n].
        not_diverged: which replicas have not diverged, [n]; see `Snapshots.not_diverged`.
    """
    values = np.where(np.isnan(losses), np.inf, losses)
    found: dict[str, Any] = {"n": len(values), "diverged": int((~not_diverged).sum()), "mean": float(values.mean())}
    return found | dict(zip(PERCENTILES, percentiles(values, list(PERCENTILES.values())).tolist(), strict=True))
