"""The three models, and where a ReLU network bends, on NumPy's arrays: for small networks, and where torch is not.

The same as `functions` and `geometry` say of tensors; of a network of the usual size most of the time is that of
calling, which is a third here.

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
"""Names of each model's parameters."""
STATUS = ("dead", "linear", "bent")
"""Names of the codes that `unit_status` returns."""


def predict(model: str, p: Mapping[str, Array], x: Array) -> Array:
    """Return f(x), [R, N]; parameters are [R] or [R, W], x is [N].

    A sum of products by einsum, since NumPy's matrix products would be shared by threads that wait for each other.
    """
    if model != "relu":
        return p["theta"][:, None] * (x if model == "linear" else np.ones_like(x))
    hidden = p["input_slope"][:, None] * x[:, None]
    hidden += p["bias"][:, None]
    f: Array = np.einsum("rnk,rk->rn", np.maximum(hidden, 0, out=hidden), p["output_weight"])
    f += p["output_bias"][:, None]
    return f


def elbow(w: Array, b: Array) -> Array:
    """Return the elbow beta_k = -b_k / w_k; NaN where w_k = 0."""
    with np.errstate(all="ignore"):
        return np.where(w == 0, np.nan, -b / w)


def slope_jump(w: Array, v: Array) -> Array:
    """Return f'(beta+) - f'(beta-) = v_k |w_k|."""
    with np.errstate(all="ignore"):
        return v * np.abs(w)


def unit_status(w: Array, b: Array, left: float, right: float) -> NDArray[Any]:
    """Return for each unit an index into `STATUS`; left and right are the extreme training inputs."""
    with np.errstate(all="ignore"):
        on_left, on_right = w * left + b > 0, w * right + b > 0
    # all 1, any 2, none 0
    status: NDArray[Any] = 2 * (on_left | on_right).astype(np.int64) - (on_left & on_right)
    return status
