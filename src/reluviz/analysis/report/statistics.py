"""The statistics of a report: percentiles that know infinity, an interval of the median, a paired test.

Nothing here assumes a distribution. A replica that diverged is the number infinity: it has a rank, and no mean.

Legend of shapes: n replicas, Q percentiles, B resamples, M comparisons.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RESAMPLES = 10_000
"""Of the bootstrap."""
SEED = 20_240_601
"""Of the bootstrap's own generator: the same values have the same interval, in whatever company."""
CONFIDENCE = 95
"""Percent."""
LEVEL = 0.05
"""A difference counts where chance alone would give one as clear in fewer cases, over all comparisons together."""


def percentiles(values: Array, q: Sequence[float]) -> Array:
    """Return percentiles along the first axis, [Q, ...], as `numpy.percentile` defines them (linear interpolation).

    NaN counts as no replica; without any, the result is NaN. Infinity counts as larger than all others: what lies
    between it and a number, or between two of it, is infinity, for which NumPy gives NaN and warnings.

    Args:
        values: [n, ...].
        q: between 0 and 100, [Q].
    """
    ordered = np.sort(values, axis=0)
    known = (~np.isnan(values)).sum(axis=0)
    if len(ordered) == 0:
        return np.full((len(q), *values.shape[1:]), np.nan)
    place = np.multiply.outer(np.asarray(q, dtype=np.float64) / 100, np.maximum(known - 1, 0))
    low = np.floor(place).astype(np.int64)
    part = place - low
    # of a percentile at a rank of its own, the next one has no say
    high = np.where(part > 0, low + 1, low)
    a, b = (np.take_along_axis(ordered[None], at[:, None], axis=1)[:, 0] for at in (low, high))
    with np.errstate(invalid="ignore"):
        found = np.where(part < 0.5, a + (b - a) * part, b - (b - a) * (1 - part))
    return np.where(np.isinf(b), b, found)


def median_interval(values: Array) -> tuple[float, float]:
    """Return the percentile-bootstrap interval of the median, `CONFIDENCE` percent of `RESAMPLES` resamples.

    The k-th smallest of n draws with replacement is the value of rank floor(n U), where U, the k-th smallest of n
    uniform numbers, has the distribution Beta(k, n - k + 1). So the median of a resample is drawn without drawing
    the resample, exactly, in time and memory that do not depend on n. (Of an even n the median needs two
    neighbours: the next larger uniform number lies at U + (1 - U) Beta(1, n - k).) B. Efron, Bootstrap methods:
    another look at the jackknife, Annals of Statistics 7 (1979), section 3, has the same argument.

    Args:
        values: [n]; NaN counts as no replica.
    """
    known = np.sort(values[~np.isnan(values)])
    if len(known) == 0:
        return math.nan, math.nan
    medians = known[_ranks(len(known))].mean(axis=0)
    tail = (100 - CONFIDENCE) / 2
    low, high = percentiles(medians, (tail, 100 - tail)).tolist()
    return low, high


@functools.lru_cache(maxsize=16)
def _ranks(n: int) -> NDArray[np.int64]:
    """Return the ranks whose mean is the median of each resample of n values, [1, B] or, of an even n, [2, B]."""
    generator = np.random.default_rng(SEED)
    k = (n + 1) // 2
    places = [generator.beta(k, n - k + 1, RESAMPLES)]
    if n % 2 == 0:
        places.append(places[0] + (1 - places[0]) * generator.beta(1, n - k, RESAMPLES))
    # rounding may give 1
    return np.minimum(np.floor(n * np.stack(places)).astype(np.int64), n - 1)


@functools.lru_cache(maxsize=4096)
def sign_test(wins: int, losses: int) -> float:
    """Return the two-sided p value of the exact sign test; ties are left out of both counts.

    p = min(1, 2 sum_{k <= min(wins, losses)} C(n, k) / 2^n) with n = wins + losses: how often a fair coin would be
    at least so one-sided.
    """
    n = wins + losses
    term = total = 1
    for k in range(min(wins, losses)):
        term = term * (n - k) // (k + 1)
        total += term
    # whole numbers up to here, which in Python do not overflow
    return min(1.0, 2 * total / (1 << n))


def holm(p: Sequence[float]) -> list[float]:
    """Return p values adjusted for M comparisons by Holm's step-down rule, in the order given.

    In rising order p_(1) <= ... <= p_(M) the adjusted ones are max_{j <= i} min(1, (M - j + 1) p_(j)): with a limit
    on these, the chance of even one false alarm stays within it (S. Holm, Scandinavian Journal of Statistics 6, 1979).
    """
    order = sorted(range(len(p)), key=p.__getitem__)
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, at in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[at]))
        adjusted[at] = largest
    return adjusted
