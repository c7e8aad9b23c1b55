"""The three models f(x), and the elbows of a ReLU network, on NumPy arrays.

    constant  f(x) = theta
    linear    f(x) = theta x
    relu      f(x) = c + sum_k v_k relu(w_k x + b_k)

`core/functions_torch.py` and `core/elbows.py` have the same functions on tensors, for autograd and the public API. The
NumPy versions compute the recorded snapshots: they need no torch, and on networks of the usual size, where the overhead
of each call dominates, they take a third of the time.

Legend of shapes: R replicas, N points, W hidden units.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PARAMETERS: dict[str, tuple[str, ...]] = {
    "constant": ("theta",),
    "linear": ("theta",),
    "relu": ("input_slope", "bias", "output_weight", "output_bias"),
}
"""Names of the parameters of each model."""
STATUS = ("dead", "linear", "bent")
"""Names of the codes that `unit_status` returns."""


def predict(model: str, p: Mapping[str, Array], x: Array) -> Array:
    """Return f(x), [R, N]; parameters are [R] or [R, W], x is [N].

    The sum over units uses einsum, because NumPy's matrix products would start threads that wait for each other.
    """
    if model != "relu":
        return p["theta"][:, None] * (x if model == "linear" else np.ones_like(x))
    hidden = p["input_slope"][:, None] * x[:, None]
    hidden += p["bias"][:, None]
    f: Array = np.einsum("rnk,rk->rn", np.maximum(hidden, 0, out=hidden), p["output_weight"])
    f += p["output_bias"][:, None]
    return f


def elbow(w: Array, b: Array) -> Array:
    """Return the elbow beta_k = -b_k / w_k, [R, W]; NaN where w_k = 0."""
    with np.errstate(all="ignore"):
        return np.where(w == 0, np.nan, -b / w)


def slope_jump(w: Array, v: Array) -> Array:
    """Return f'(beta+) - f'(beta-) = v_k |w_k|, the change of slope at a unit's elbow, [R, W]."""
    with np.errstate(all="ignore"):
        return v * np.abs(w)


def unit_status(w: Array, b: Array, left: float, right: float) -> NDArray[Any]:
    """Return the status of each unit as an index into `STATUS`, [R, W]; see `elbows.unit_status`.

    Args:
        w: input slopes.
        b: biases.
        left: the smallest training input.
        right: the largest training input.
    """
    with np.errstate(all="ignore"):
        on_left, on_right = w * left + b > 0, w * right + b > 0
    # active at both ends: 1, at one end: 2, at neither: 0
    status: NDArray[Any] = 2 * (on_left | on_right).astype(np.int64) - (on_left & on_right)
    return status
