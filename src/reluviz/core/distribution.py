"""Statistics of a loss over the replicas of a run.

Legend of shapes: R replicas.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENTILES = {"min": 0, "q25": 25, "median": 50, "q75": 75, "max": 100}


def distribution(losses: NDArray[np.float64], not_diverged: NDArray[np.bool_]) -> dict[str, Any]:
    """Return n, diverged, mean, min, q25, median, q75 and max of the replicas' losses.

    Percentiles are those of `numpy.percentile`. A NaN loss counts as infinite, so that a replica that diverged cannot
    improve the statistics of the run.

    Args:
        losses: one loss for each replica, [R].
        not_diverged: which replicas have not diverged, [R]; see `Snapshot.not_diverged`.
    """
    values = np.where(np.isnan(losses), np.inf, losses)
    found: dict[str, Any] = {"n": len(values), "diverged": int((~not_diverged).sum()), "mean": float(values.mean())}
    with np.errstate(invalid="ignore"):
        percentiles = np.percentile(values, list(PERCENTILES.values()))
    # interpolation next to an infinite value gives NaN, even with weight 0: take the next value up there
    above = np.percentile(values, list(PERCENTILES.values()), method="higher")
    return found | dict(zip(PERCENTILES, np.where(np.isnan(percentiles), above, percentiles).tolist(), strict=True))
