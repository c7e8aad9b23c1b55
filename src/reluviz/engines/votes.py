"""Losses and votes of many ReLU networks at once, compiled: what `ballots` finds, in a fiftieth of the time.

    r_i = f(x_i) - y_i,   g_i = 2 r_i J_i,   G = (1/N) sum_i g_i

Legend of shapes: R replicas, N samples, n recorded samples, W hidden units.
"""

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from reluviz.core.functions import PARAMETERS, Array
from reluviz.core.votes import VoteTotals, shares
from reluviz.engines import vote_kernels
from reluviz.engines.parallel import run_in_threads

NANOSECONDS = 1.0
"""What a hidden unit takes on a sample, about."""


def losses(p: Mapping[str, Array], x: Array, y: Array) -> Array:
    """Return L = (1/N) sum_i r_i^2, [R], as `functions.mean_squared_error` does."""
    arrays = _arrays(p)
    found = np.empty(len(arrays[0]))
    run_in_threads(lambda first, last: vote_kernels.losses(first, last, *arrays, x, y, found), len(found), _work(p, x))
    return found


def summarize(
    p: Mapping[str, Array],
    x: Array,
    y: Array,
    trained: Collection[str],
    recorded: NDArray[np.int64] | None = None,
    shown: int | None = None,
) -> VoteTotals:
    """Return the votes of all samples; see `ballots.summarize`.

    Args:
        p: the parameters.
        x: inputs [N].
        y: targets [N].
        trained: names of the trained parameters.
        recorded: indices of the samples whose own figures are kept; all by default.
        shown: of so many replicas only, the first ones; of all by default.
    """
    arrays = _arrays(p)
    replicas, width = arrays[0].shape
    shown = replicas if shown is None else min(shown, replicas)
    kept = (x, y) if recorded is None else (x[recorded], y[recorded])
    moved = np.array([name in trained for name in PARAMETERS["relu"]], dtype=float)
    gradient, sums = np.zeros((replicas, 3 * width + 1)), np.empty((replicas, 2))
    series = np.empty((3, shown, len(kept[0])))

    def some(first: int, last: int) -> None:
        vote_kernels.votes(first, last, *arrays, x, y, moved, gradient, sums)
        vote_kernels.recorded(first, min(last, shown), *arrays, *kept, moved, gradient, *series)

    run_in_threads(some, replicas, 3 * _work(p, x))
    norms, squares = sums.T
    samples, signal = len(x), np.square(gradient).sum(-1)
    parts = dict(zip(PARAMETERS["relu"], np.split(gradient, [width, 2 * width, 3 * width], axis=-1), strict=True))
    with np.errstate(all="ignore"):
        return VoteTotals(
            gradient={name: parts[name].reshape(p[name].shape) for name in PARAMETERS["relu"] if name in trained},
            gradient_norm=np.sqrt(signal),
            noise_scale=np.maximum(squares / samples - signal, 0) / signal,
            effective=np.square(norms) / squares,
            residual=series[0],
            norm=series[1] / samples,
            share=shares(series[2], signal[:shown], samples),
        )


def _arrays(p: Mapping[str, Array]) -> list[Array]:
    return [np.ascontiguousarray(p[name]) for name in PARAMETERS["relu"]]


def _work(p: Mapping[str, Array], x: Array) -> float:
    return NANOSECONDS * len(x) * int(p["bias"].shape[1])
