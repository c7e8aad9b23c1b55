"""How a loss is distributed over the replicas of a run."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENTILES = {"min": 0, "q25": 25, "median": 50, "q75": 75, "max": 100}


def distribution(losses: NDArray[np.float64], sound: NDArray[np.bool_]) -> dict[str, Any]:
    """Return n, diverged, mean, min, q25, median, q75 and max of the replicas' losses.

    Percentiles are `numpy.percentile`'s. A loss that is no number counts as infinite, so that replicas that diverged
    cannot flatter the others.

    Args:
        losses: of each replica, [R].
        sound: which replicas have not diverged, [R]; see `Snapshot.sound`.
    """
    values = np.where(np.isnan(losses), np.inf, losses)
    found: dict[str, Any] = {"n": len(values), "diverged": int((~sound).sum()), "mean": float(values.mean())}
    with np.errstate(invalid="ignore"):
        places = np.percentile(values, list(PERCENTILES.values()))
    # next to infinity NumPy finds no number, even where it need not look there
    beside = np.percentile(values, list(PERCENTILES.values()), method="higher")
    return found | dict(zip(PERCENTILES, np.where(np.isnan(places), beside, places).tolist(), strict=True))
