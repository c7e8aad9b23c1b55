"""Losses and votes of many ReLU networks at once, compiled: what `votes.summarize` returns, in a fiftieth of its time.

    r_i = f(x_i) - y_i,   g_i = 2 r_i J_i,   G = (1/N) sum_i g_i

Legend of shapes: R replicas, N samples, n recorded samples, W hidden units.
"""

from collections.abc import Collection

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reluviz.engines import tally_kernels
from reluviz.engines.sharing import share
from reluviz.functions import PARAMETERS, Parameters
from reluviz.votes import VoteSummary, shares

NANOSECONDS = 1.0
"""What a hidden unit takes on a sample, about."""


def losses(p: Parameters, x: Tensor, y: Tensor) -> Tensor:
    """Return L = (1/N) sum_i r_i^2, [R], as `functions.mean_squared_error` does."""
    arrays, points = _arrays(p), (x.numpy(), y.numpy())
    found = np.empty(len(arrays[0]))
    share(lambda first, last: tally_kernels.losses(first, last, *arrays, *points, found), len(found), _work(p, x))
    return torch.from_numpy(found)


def summarize(
    p: Parameters,
    x: Tensor,
    y: Tensor,
    trained: Collection[str],
    recorded: Tensor | None = None,
    shown: int | None = None,
) -> VoteSummary:
    """Return the votes of all samples; see `votes.summarize`.

    Args:
        p: the parameters.
        x: inputs [N].
        y: targets [N].
        trained: names of the trained parameters.
        recorded: indices of the samples whose own figures are kept; all by default.
        shown: of so many replicas only, the first ones; of all by default.
    """
    arrays, points = _arrays(p), (x.numpy(), y.numpy())
    replicas, width = arrays[0].shape
    shown = replicas if shown is None else min(shown, replicas)
    kept = points if recorded is None else tuple(values[recorded.numpy()] for values in points)
    moved = np.array([name in trained for name in PARAMETERS["relu"]], dtype=float)
    gradient, sums = np.zeros((replicas, 3 * width + 1)), np.empty((replicas, 2))
    series = np.empty((3, shown, len(kept[0])))

    def some(first: int, last: int) -> None:
        tally_kernels.votes(first, last, *arrays, *points, moved, gradient, sums)
        tally_kernels.recorded(first, min(last, shown), *arrays, *kept, moved, gradient, *series)

    share(some, replicas, 3 * _work(p, x))
    total, along = torch.from_numpy(gradient), torch.from_numpy(series[2])
    norms, squares = torch.from_numpy(sums).unbind(-1)
    samples, signal = len(x), total.square().sum(-1)
    parts = dict(zip(PARAMETERS["relu"], total.split([width, width, width, 1], dim=-1), strict=True))
    return VoteSummary(
        gradient={name: parts[name].reshape(p[name].shape) for name in PARAMETERS["relu"] if name in trained},
        gradient_norm=signal.sqrt(),
        noise_scale=(squares / samples - signal).clamp(min=0) / signal,
        effective=norms.square() / squares,
        residual=torch.from_numpy(series[0]),
        norm=torch.from_numpy(series[1]) / samples,
        share=shares(along, signal[:shown], samples),
    )


def _arrays(p: Parameters) -> list[NDArray[np.float64]]:
    return [np.ascontiguousarray(p[name].numpy()) for name in PARAMETERS["relu"]]


def _work(p: Parameters, x: Tensor) -> float:
    return NANOSECONDS * len(x) * p["bias"].shape[1]
