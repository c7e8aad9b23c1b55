"""The gradients g_i = 2 r_i J_i of single samples, as far as norms, sums and products ask for them.

The N x P matrix of them is not made. With a_ik = 1[h_ik > 0], h_ik = w_k x_i + b_k, for the ReLU network

    |J_i|^2     = sum_k a_ik (v_k^2 (x_i^2 + 1) + h_ik^2) + 1
    <J_i, G>    = sum_k a_ik (v_k (x_i G_w + G_b) + h_ik G_v) + G_c
    sum_i g_i   = (v_k sum_i 2 r_i a_ik x_i, v_k sum_i 2 r_i a_ik, sum_i 2 r_i a_ik h_ik, sum_i 2 r_i)

where parameters that are frozen count 0; for the constant and the linear model J_i is 1 and x_i.

NumPy's arrays, not tensors: of a network of the usual size most of the time is that of calling, which is a third; and
sums of products by einsum, since NumPy's matrix products would be shared by threads that wait for each other.

Legend of shapes: R replicas, N samples, W hidden units, P trained parameters.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reluviz.core.functions import PARAMETERS, Array, predict

MOST_KEPT = 2**18
"""Numbers in the gradients of single samples up to which a summary keeps what they are made of."""

FIGURES = ("gradient_norm", "noise_scale", "effective", "residual", "norm", "share")
"""Names of the arrays of a `Poll`."""


class OneParameterGradients:
    """Those of the constant and the linear model.

    Args:
        model: which of them.
        p: the parameter.
        x: inputs [N].
        y: targets [N].

    Attributes:
        residual: r_i, [R, N].
    """

    def __init__(self, model: str, p: Mapping[str, Array], x: Array, y: Array) -> None:
        features = x if model == "linear" else np.ones_like(x)
        self.residual = p["theta"][:, None] * features - y
        self._each = 2 * self.residual * features

    def squares(self) -> Array:
        """Return |g_i|^2, [R, N]."""
        return np.square(self._each)

    def total(self) -> Array:
        """Return sum_i g_i, [R, P]."""
        total: Array = self._each.sum(-1, keepdims=True)
        return total

    def along(self, gradient: Array) -> Array:
        """Return <g_i, G>, [R, N], from G [R, P]."""
        return self._each * gradient

    def named(self, rows: Array) -> dict[str, Array]:
        """Cut [R, P] into name -> [R]."""
        return {"theta": rows[:, 0]}

    def gradients(self) -> dict[str, Array]:
        """Return g_i, name -> [R, N]."""
        return {"theta": self._each}


class ReLUGradients:
    """Those of the ReLU network.

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
        self.widths = {name: p[name].shape[1:] for name in PARAMETERS["relu"] if name in trained}
        self._weight = p["output_weight"]
        hidden = p["input_slope"][:, None] * x[:, None]
        hidden += p["bias"][:, None]
        self._active = (hidden > 0).astype(hidden.dtype)
        self._hidden = np.maximum(hidden, 0, out=hidden)
        self.residual = np.einsum("rnk,rk->rn", hidden, self._weight)
        self.residual += p["output_bias"][:, None]
        self.residual -= y
        self._twice = 2 * self.residual

    def squares(self) -> Array:
        """Return |g_i|^2, [R, N]."""
        found: Array = np.full_like(self.residual, float("output_bias" in self.widths))
        of_slope, of_bias = float("input_slope" in self.widths), float("bias" in self.widths)
        if of_slope or of_bias:
            gates = np.einsum("rnk,rk->rn", self._active, np.square(self._weight))
            found += gates * (of_slope * np.square(self.x) + of_bias)
        if "output_weight" in self.widths:
            found += np.einsum("rnk,rnk->rn", self._hidden, self._hidden)
        found *= np.square(self._twice)
        return found

    def total(self) -> Array:
        """Return sum_i g_i, the trained parameters one after another, [R, P]."""
        parts = []
        if "input_slope" in self.widths:
            parts.append(self._weight * np.einsum("rn,rnk->rk", self._twice * self.x, self._active))
        if "bias" in self.widths:
            parts.append(self._weight * np.einsum("rn,rnk->rk", self._twice, self._active))
        if "output_weight" in self.widths:
            parts.append(np.einsum("rn,rnk->rk", self._twice, self._hidden))
        if "output_bias" in self.widths:
            parts.append(self._twice.sum(-1, keepdims=True))
        return np.concatenate(parts, axis=-1)

    def along(self, gradient: Array) -> Array:
        """Return <g_i, G>, [R, N], from G [R, P]."""
        parts = self.named(gradient)
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

    def named(self, rows: Array) -> dict[str, Array]:
        """Cut [R, P] into name -> [R] or [R, W]."""
        found, start = {}, 0
        for name, shape in self.widths.items():
            stop = start + (shape[0] if shape else 1)
            found[name] = rows[:, start:stop] if shape else rows[:, start]
            start = stop
        return found

    def gradients(self) -> dict[str, Array]:
        """Return g_i, name -> [R, N] or [R, N, W]."""
        twice = self._twice[..., None]
        found: dict[str, Array] = {}
        if "input_slope" in self.widths or "bias" in self.widths:
            # in the order of `votes.per_sample_gradients`, to the last digit
            gate = self._weight[:, None] * self._active
            found["input_slope"] = gate * self.x[:, None]
            found["input_slope"] *= twice
            gate *= twice
            found["bias"] = gate
        found |= {"output_weight": twice * self._hidden, "output_bias": self._twice}
        return {name: found[name] for name in self.widths}


def per_sample_gradients(
    model: str, p: Mapping[str, Array], x: Array, y: Array, trained: Sequence[str]
) -> OneParameterGradients | ReLUGradients:
    """Return the gradients of some samples."""
    return ReLUGradients(p, x, y, trained) if model == "relu" else OneParameterGradients(model, p, x, y)


@dataclass(frozen=True)
class VoteTotals:
    """Who votes for what: the attributes of `votes.VoteSummary` as arrays, which may have a leading axis S."""

    gradient: dict[str, Array]
    gradient_norm: Array
    noise_scale: Array
    effective: Array
    residual: Array
    norm: Array
    share: Array
    each: Callable[[], dict[str, Array]] | None = None

    def of(self, snapshots: int) -> "VoteTotals":
        """Return S R replicas as those of S snapshots, with a leading axis S."""
        return self._changed(lambda value: value.reshape(snapshots, -1, *value.shape[1:]))

    def some(self, own: slice | int) -> "VoteTotals":
        """Return a part along the first axis."""
        return self._changed(lambda value: value[own])

    def _changed(self, change: Callable[[Array], Array]) -> "VoteTotals":
        each = self.each
        figures = {name: change(getattr(self, name)) for name in FIGURES}
        return VoteTotals(
            gradient={name: change(value) for name, value in self.gradient.items()},
            **figures,
            each=None if each is None else functools.cache(lambda: {n: change(value) for n, value in each().items()}),
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
    """Summarize the votes of all samples in bounded memory; see `votes.summarize`."""
    samples = len(x)
    step = max(1, entries // sum(value.size for value in p.values()))
    total, norms, squares = np.zeros(()), np.zeros(()), np.zeros(())
    for start in range(0, samples, step):
        some = per_sample_gradients(model, p, x[start : start + step], y[start : start + step], trained)
        squared = some.squares()
        total = total + some.total()
        norms, squares = norms + np.sqrt(squared).sum(-1), squares + squared.sum(-1)
    mean = total / samples
    signal = np.square(mean).sum(-1)
    if recorded is not None or samples > step:
        kept = slice(None) if recorded is None else recorded
        some = per_sample_gradients(model, p, x[kept], y[kept], trained)
        squared = some.squares()
    return VoteTotals(
        gradient=some.named(mean),
        gradient_norm=np.sqrt(signal),
        noise_scale=np.maximum(squares / samples - signal, 0) / signal,
        effective=np.square(norms) / squares,
        residual=some.residual,
        norm=np.sqrt(squared) / samples,
        share=shares(some.along(mean), signal, samples),
        each=some.gradients if some.residual.size * mean.shape[-1] <= MOST_KEPT else None,
    )


def shares(along: Array, signal: Array, samples: int) -> Array:
    """Return <g_i, G> / (N |G|^2) from <g_i, G> [R, n] and |G|^2 [R]; NaN where G = 0."""
    norm = signal[..., None]
    return np.where(norm > 0, along / (samples * norm), np.nan)


def losses(model: str, p: Mapping[str, Array], x: Array, y: Array, entries: int = 2**17) -> Array:
    """Return L = (1/N) sum_i r_i^2, [R], as `functions.mean_squared_error` does.

    What is found for a replica does not depend on the others, bit for bit.

    Args:
        model: constant, linear or relu.
        p: the parameters.
        x: inputs [N].
        y: targets [N].
        entries: how many numbers of the hidden layer are held at a time.
    """
    width = max(value[0].size for value in p.values())
    replicas, points = len(next(iter(p.values()))), max(1, entries // width)
    some = max(1, entries // (width * min(points, len(x))))
    found = np.zeros(replicas)
    for first in range(0, replicas, some):
        own = slice(first, first + some)
        part = {name: value[own] for name, value in p.items()}
        for start in range(0, len(x), points):
            at = slice(start, start + points)
            # what has diverged is infinite or no number
            with np.errstate(all="ignore"):
                found[own] += np.square(predict(model, part, x[at]) - y[at]).sum(-1)
    return found / len(x)
