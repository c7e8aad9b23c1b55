"""Compiled losses and votes of many ReLU networks, a twin of `core/votes.py` that takes a fiftieth of the time.

    r_i = f(x_i) - y_i,   g_i = 2 r_i J_i,   G = (1/N) sum_i g_i

Legend of shapes: R replicas, V shown replicas, N samples, n recorded samples, W hidden units.
"""

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from reluviz.core.models import Array
from reluviz.core.models.relu import PARAMETERS
from reluviz.core.votes import VoteTotals
from reluviz.engines import vote_kernels
from reluviz.engines.parallel import run_in_threads

NANOSECONDS_PER_ACTIVATION = 1.0
"""Estimated time for one hidden unit and one sample."""


def losses(p: Mapping[str, Array], x: Array, y: Array) -> Array:
    """Return L = (1/N) sum_i r_i^2, [R], as `core.functions.mean_squared_error` does."""
    arrays = _arrays(p)
    found = np.empty(len(arrays[0]))
    run_in_threads(
        lambda first, last: vote_kernels.losses(first, last, *arrays, x, y, found), len(found), _nanoseconds(p, x)
    )
    return found


def summarize(
    p: Mapping[str, Array],
    x: Array,
    y: Array,
    trained: Collection[str],
    precision: str,
    recorded: NDArray[np.int64] | None = None,
    shown: int | None = None,
) -> VoteTotals:
    """Return the votes of all samples; see `core.votes.summarize`.

    Args:
        p: the parameters.
        x: inputs [N].
        y: targets [N].
        trained: names of the trained parameters.
        precision: the precision of the run, in which it decided on the gates.
        recorded: indices of the samples whose individual votes are returned, [n]; all samples by default.
        shown: number of replicas, counted from the first, whose individual votes are returned; all by default.
    """
    arrays = _arrays(p)
    replicas, width = arrays[0].shape
    shown = replicas if shown is None else min(shown, replicas)
    kept = slice(None) if recorded is None else recorded
    # the run trained on numbers of its own precision
    run_w, run_b, run_x = (value.astype(precision, copy=False) for value in (*arrays[:2], x))
    recorded_points = x[kept], run_x[kept], y[kept]
    is_trained = np.array([name in trained for name in PARAMETERS], dtype=float)
    gradient, sums = np.zeros((replicas, 3 * width + 1)), np.empty((replicas, 2))
    # residual, norm and inner product with G of the recorded samples
    series = np.empty((3, shown, len(recorded_points[0])))

    def compute(first: int, last: int) -> None:
        networks = *arrays, run_w, run_b
        vote_kernels.votes(first, last, *networks, x, run_x, y, is_trained, gradient, sums)
        vote_kernels.recorded_votes(first, min(last, shown), *networks, *recorded_points, is_trained, gradient, *series)

    run_in_threads(compute, replicas, 3 * _nanoseconds(p, x))
    parts = dict(zip(PARAMETERS, np.split(gradient, [width, 2 * width, 3 * width], axis=-1), strict=True))
    with np.errstate(all="ignore"):
        return VoteTotals.from_sums(
            gradient={name: parts[name].reshape(p[name].shape) for name in PARAMETERS if name in trained},
            signal=np.square(gradient).sum(-1),
            sum_of_norms=sums[:, 0],
            sum_of_squares=sums[:, 1],
            residual=series[0],
            norm=series[1],
            inner_products=series[2],
            samples=len(x),
        )


def _arrays(p: Mapping[str, Array]) -> list[Array]:
    return [np.ascontiguousarray(p[name]) for name in PARAMETERS]


def _nanoseconds(p: Mapping[str, Array], x: Array) -> float:
    """Return the estimated time of one replica."""
    return NANOSECONDS_PER_ACTIVATION * len(x) * int(p["bias"].shape[1])
