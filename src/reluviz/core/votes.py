"""Per-sample gradients g_i = 2 r_i J_i on NumPy arrays: their sum, norms and inner products, without the N x P matrix.

`core/votes_torch.py` defines the votes, on tensors, for autograd and the public API. This file computes the same
numbers for the recorded snapshots: it needs no torch, and on networks of the usual size, where the overhead of each
call dominates, it takes a third of the time.

For the ReLU network, with h_ik = w_k x_i + b_k and a_ik = 1[h_ik > 0],

    |J_i|^2     = sum_k a_ik (v_k^2 (x_i^2 + 1) + h_ik^2) + 1
    <J_i, G>    = sum_k a_ik (v_k (x_i G_w + G_b) + h_ik G_v) + G_c
    sum_i g_i   = (v_k sum_i 2 r_i a_ik x_i, v_k sum_i 2 r_i a_ik, sum_i 2 r_i a_ik h_ik, sum_i 2 r_i)

where the terms of frozen parameters are 0. For the constant model J_i = 1, for the linear model J_i = x_i.

Sums of products use einsum, because NumPy's matrix products would start threads that wait for each other.

Legend of shapes: R replicas, N samples, W hidden units, P trained parameters.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reluviz.core.functions import PARAMETERS, Array, predict

MAX_KEPT_GRADIENT_VALUES = 2**18
"""A summary keeps its per-sample gradients if they hold at most this many numbers."""

VOTE_ARRAYS = ("gradient_norm", "noise_scale", "effective", "residual", "norm", "share")
"""Names of the arrays of `VoteTotals`, except for `gradient`."""


class OneParameterGradients:
    """The per-sample gradients of the constant or the linear model.

    Args:
        model: constant or linear.
        p: the parameter.
        x: inputs [N].
        y: targets [N].

    Attributes:
        residual: r_i, [R, N].
    """

    def __init__(self, model: str, p: Mapping[str, Array], x: Array, y: Array) -> None:
        features = x if model == "linear" else np.ones_like(x)
        self.residual = p["theta"][:, None] * features - y
        self._gradients = 2 * self.residual * features

    def squared_norms(self) -> Array:
        """Return |g_i|^2, [R, N]."""
        return np.square(self._gradients)

    def total(self) -> Array:
        """Return sum_i g_i, [R, P]."""
        total: Array = self._gradients.sum(-1, keepdims=True)
        return total

    def inner_products(self, gradient: Array) -> Array:
        """Return <g_i, G>, [R, N], from G [R, P]."""
        return self._gradients * gradient

    def by_name(self, rows: Array) -> dict[str, Array]:
        """Split [R, P] by parameter: name -> [R]."""
        return {"theta": rows[:, 0]}

    def gradients(self) -> dict[str, Array]:
        """Return g_i, name -> [R, N]."""
        return {"theta": self._gradients}


class ReLUGradients:
    """The per-sample gradients of the ReLU network.

    Args:
        p: the parameters.
        x: inputs [N].
        y: targets [N].
        trained: names of the trained parameters.

    Attributes:
        residual: r_i, [R, N].
    """

    def __init__(self, p: Mapping[str, Array], x: Array, y: Array, trained: Sequence[str]) -> None:
        self.x = x
        self.shapes = {name: p[name].shape[1:] for name in PARAMETERS["relu"] if name in trained}
        self._weight = p["output_weight"]
        hidden = p["input_slope"][:, None] * x[:, None]
        hidden += p["bias"][:, None]
        self._active = (hidden > 0).astype(hidden.dtype)
        self._hidden = np.maximum(hidden, 0, out=hidden)
        self.residual = np.einsum("rnk,rk->rn", hidden, self._weight)
        self.residual += p["output_bias"][:, None]
        self.residual -= y
        self._twice = 2 * self.residual

    def squared_norms(self) -> Array:
        """Return |g_i|^2, [R, N]."""
        found: Array = np.full_like(self.residual, float("output_bias" in self.shapes))
        slope_trained, bias_trained = float("input_slope" in self.shapes), float("bias" in self.shapes)
        if slope_trained or bias_trained:
            gates = np.einsum("rnk,rk->rn", self._active, np.square(self._weight))
            found += gates * (slope_trained * np.square(self.x) + bias_trained)
        if "output_weight" in self.shapes:
            found += np.einsum("rnk,rnk->rn", self._hidden, self._hidden)
        found *= np.square(self._twice)
        return found

    def total(self) -> Array:
        """Return sum_i g_i, the trained parameters concatenated, [R, P]."""
        parts = []
        if "input_slope" in self.shapes:
            parts.append(self._weight * np.einsum("rn,rnk->rk", self._twice * self.x, self._active))
        if "bias" in self.shapes:
            parts.append(self._weight * np.einsum("rn,rnk->rk", self._twice, self._active))
        if "output_weight" in self.shapes:
            parts.append(np.einsum("rn,rnk->rk", self._twice, self._hidden))
        if "output_bias" in self.shapes:
            parts.append(self._twice.sum(-1, keepdims=True))
        return np.concatenate(parts, axis=-1)

    def inner_products(self, gradient: Array) -> Array:
        """Return <g_i, G>, [R, N], from G [R, P]."""
        parts = self.by_name(gradient)
        found: Array = np.zeros_like(self.residual)
        if "input_slope" in parts:
            found += np.einsum("rnk,rk->rn", self._active, self._weight * parts["input_slope"])
            found *= self.x
        if "bias" in parts:
            found += np.einsum("rnk,rk->rn", self._active, self._weight * parts["bias"])
        if "output_weight" in parts:
            found += np.einsum("rnk,rk->rn", self._hidden, parts["output_weight"])
        if "output_bias" in parts:
            found += parts["output_bias"][:, None]
        found *= self._twice
        return found

    def by_name(self, rows: Array) -> dict[str, Array]:
        """Split [R, P] by parameter: name -> [R] or [R, W]."""
        found, start = {}, 0
        for name, shape in self.shapes.items():
            stop = start + (shape[0] if shape else 1)
            found[name] = rows[:, start:stop] if shape else rows[:, start]
            start = stop
        return found

    def gradients(self) -> dict[str, Array]:
        """Return g_i, name -> [R, N] or [R, N, W]."""
        twice = self._twice[..., None]
        found: dict[str, Array] = {}
        if "input_slope" in self.shapes or "bias" in self.shapes:
            # multiply in the order of `votes_torch.per_sample_gradients`, for the same rounding
            gate = self._weight[:, None] * self._active
            found["input_slope"] = gate * self.x[:, None]
            found["input_slope"] *= twice
            gate *= twice
            found["bias"] = gate
        found |= {"output_weight": twice * self._hidden, "output_bias": self._twice}
        return {name: found[name] for name in self.shapes}


def per_sample_gradients(
    model: str, p: Mapping[str, Array], x: Array, y: Array, trained: Sequence[str]
) -> OneParameterGradients | ReLUGradients:
    """Return the per-sample gradients at the samples (x, y)."""
    return ReLUGradients(p, x, y, trained) if model == "relu" else OneParameterGradients(model, p, x, y)


@dataclass(frozen=True)
class VoteTotals:
    """The attributes of `votes_torch.VoteSummary` as NumPy arrays, optionally with a leading axis of S snapshots."""

    gradient: dict[str, Array]
    gradient_norm: Array
    noise_scale: Array
    effective: Array
    residual: Array
    norm: Array
    share: Array
    per_sample: Callable[[], dict[str, Array]] | None = None

    def with_snapshot_axis(self, snapshots: int) -> "VoteTotals":
        """Return S R replicas as R replicas of S snapshots: [S R, ...] becomes [S, R, ...]."""
        return self._map_arrays(lambda value: value.reshape(snapshots, -1, *value.shape[1:]))

    def subset(self, chosen: slice | int) -> "VoteTotals":
        """Return the chosen entries of the first axis."""
        return self._map_arrays(lambda value: value[chosen])

    def _map_arrays(self, change: Callable[[Array], Array]) -> "VoteTotals":
        def change_all(named: Mapping[str, Array]) -> dict[str, Array]:
            return {name: change(value) for name, value in named.items()}

        per_sample = self.per_sample
        return VoteTotals(
            gradient=change_all(self.gradient),
            **{name: change(getattr(self, name)) for name in VOTE_ARRAYS},
            per_sample=None if per_sample is None else functools.cache(lambda: change_all(per_sample())),
        )


def summarize(
    model: str,
    p: Mapping[str, Array],
    x: Array,
    y: Array,
    trained: Sequence[str],
    recorded: NDArray[np.int64] | None = None,
    entries: int = 2**24,
) -> VoteTotals:
    """Return a summary of the votes of all samples, in bounded memory; see `votes_torch.summarize`."""
    samples = len(x)
    step = max(1, entries // sum(value.size for value in p.values()))
    total, norms, squares = np.zeros(()), np.zeros(()), np.zeros(())
    for start in range(0, samples, step):
        chunk = per_sample_gradients(model, p, x[start : start + step], y[start : start + step], trained)
        squared = chunk.squared_norms()
        total = total + chunk.total()
        norms, squares = norms + np.sqrt(squared).sum(-1), squares + squared.sum(-1)
    mean = total / samples
    signal = np.square(mean).sum(-1)
    if recorded is not None or samples > step:
        kept = slice(None) if recorded is None else recorded
        chunk = per_sample_gradients(model, p, x[kept], y[kept], trained)
        squared = chunk.squared_norms()
    return VoteTotals(
        gradient=chunk.by_name(mean),
        gradient_norm=np.sqrt(signal),
        noise_scale=np.maximum(squares / samples - signal, 0) / signal,
        effective=np.square(norms) / squares,
        residual=chunk.residual,
        norm=np.sqrt(squared) / samples,
        share=vote_shares(chunk.inner_products(mean), signal, samples),
        per_sample=chunk.gradients if chunk.residual.size * mean.shape[-1] <= MAX_KEPT_GRADIENT_VALUES else None,
    )


def vote_shares(inner_products: Array, squared_norm: Array, samples: int) -> Array:
    """Return the vote shares <g_i, G> / (N |G|^2), [R, n], from <g_i, G> [R, n] and |G|^2 [R]; NaN where G = 0."""
    norm = squared_norm[..., None]
    return np.where(norm > 0, inner_products / (samples * norm), np.nan)


def losses(model: str, p: Mapping[str, Array], x: Array, y: Array, entries: int = 2**17) -> Array:
    """Return L = (1/N) sum_i r_i^2, [R], in bounded memory; see `functions_torch.mean_squared_error`.

    The loss of a replica does not depend, bit for bit, on which other replicas are computed with it.

    Args:
        model: constant, linear or relu.
        p: the parameters.
        x: inputs [N].
        y: targets [N].
        entries: the largest number of hidden activations held at a time.
    """
    width = max(value[0].size for value in p.values())
    replicas, sample_step = len(next(iter(p.values()))), max(1, entries // width)
    replica_step = max(1, entries // (width * min(sample_step, len(x))))
    found = np.zeros(replicas)
    for first in range(0, replicas, replica_step):
        rows = slice(first, first + replica_step)
        part = {name: value[rows] for name, value in p.items()}
        for start in range(0, len(x), sample_step):
            at = slice(start, start + sample_step)
            # the loss of a diverged replica may overflow to inf or NaN
            with np.errstate(all="ignore"):
                found[rows] += np.square(predict(model, part, x[at]) - y[at]).sum(-1)
    return found / len(x)
