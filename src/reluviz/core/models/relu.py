"""The one-hidden-layer ReLU network f(x) = c + sum_k v_k relu(w_k x + b_k).

With h_ik = w_k x_i + b_k and a_ik = 1[h_ik > 0], the gate of sample i at unit k,

    df/dw_k = v_k a_ik x_i     df/db_k = v_k a_ik     df/dv_k = relu(h_ik)     df/dc = 1

    |J_i|^2     = sum_k a_ik (v_k^2 (x_i^2 + 1)) + sum_k relu(h_ik)^2 + 1
    <J_i, G>    = sum_k a_ik v_k (x_i G_w + G_b) + sum_k relu(h_ik) G_v + G_c
    sum_i g_i   = (v_k sum_i 2 r_i a_ik x_i, v_k sum_i 2 r_i a_ik, sum_i 2 r_i relu(h_ik), sum_i 2 r_i)

where the terms of frozen parameters are 0. Gates are decided in the precision of the run (`is_active`).

Sums of products use einsum, because NumPy's matrix products would start threads that wait for each other.

Legend of shapes: R replicas, N samples, W hidden units, P trained parameters. w, b, v are [R, W], c is [R], x is [N] or
[R, N].
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from reluviz.core.models.model import Array, Model, Parameters, PerSampleGradients
from reluviz.data.scaling import Scaling

PARAMETERS = {"input_slope": ("W",), "bias": ("W",), "output_weight": ("W",), "output_bias": ()}


def is_active(w: Array, b: Array, x: Array | float, precision: str = "float64") -> NDArray[np.bool_]:
    """Return 1[w_k x_i + b_k > 0], whether input x_i is on the active side of unit k; the arguments broadcast.

    An input at the elbow itself is not on the active side. Where x_i lies at an elbow up to rounding, the rounding
    decides. So the numbers are rounded to the run's precision, and product and sum are rounded each, as training does.

    Args:
        w: input slopes.
        b: biases.
        x: inputs.
        precision: the precision of the run, "float32" or "float64".
    """
    with np.errstate(all="ignore"):
        slope, bias, at = (np.asarray(value).astype(precision, copy=False) for value in (w, b, x))
        h = slope * at
        h += bias
        active: NDArray[np.bool_] = h > 0
    return active


def preactivation(p: Parameters, x: Array) -> Array:
    """Return h_ik = w_k x_i + b_k, [R, N, W]."""
    h: Array = p["input_slope"][:, None] * x[..., None]
    h += p["bias"][:, None]
    return h


def hidden_layer(p: Parameters, x: Array) -> Array:
    """Return relu(h_ik), [R, N, W]."""
    h = preactivation(p, x)
    return np.maximum(h, 0, out=h)


def gates(p: Parameters, x: Array, precision: str) -> Array:
    """Return a_ik as 0 or 1, [R, N, W]."""
    return is_active(p["input_slope"][:, None], p["bias"][:, None], x[..., None], precision).astype(np.float64)


def predict(p: Parameters, x: Array) -> Array:
    """Return f(x), [R, N]."""
    return output(hidden_layer(p, x), p)


def output(hidden: Array, p: Parameters) -> Array:
    """Return c + sum_k v_k h_ik, [R, N], from the activations h_ik of the last hidden layer, [R, N, W]."""
    f: Array = np.einsum("rnk,rk->rn", hidden, p["output_weight"])
    f += p["output_bias"][:, None]
    return f


def _tangent(p: Parameters, x: Array, active: Array, hidden: Array) -> dict[str, Array]:
    gate = p["output_weight"][:, None] * active
    return {
        "input_slope": gate * x[..., None],
        "bias": gate,
        "output_weight": hidden,
        "output_bias": np.ones_like(hidden[..., 0]),
    }


def tangent(p: Parameters, x: Array, precision: str = "float64") -> dict[str, Array]:
    """Return J_i = df(x_i)/dtheta, name -> [R, N, W], or [R, N] for the output bias."""
    return _tangent(p, x, gates(p, x, precision), hidden_layer(p, x))


class FactoredGradients(PerSampleGradients):
    """Per-sample gradients whose sums need no N x P matrix.

    Args:
        p: the parameters.
        x: inputs.
        y: targets.
        trained: names of the trained parameters.
        precision: the run's precision.
    """

    def __init__(self, p: Parameters, x: Array, y: Array, trained: Iterable[str], precision: str) -> None:
        self.x = x
        self.shapes = {name: p[name].shape[1:] for name in PARAMETERS if name in trained}
        self._p = p
        self._weight = p["output_weight"]
        self._active, self._hidden = gates(p, x, precision), hidden_layer(p, x)
        residual = output(self._hidden, p)
        residual -= y
        super().__init__(residual)

    def squared_norms(self) -> Array:  # noqa: D102
        found: Array = np.full_like(self.residual, float("output_bias" in self.shapes))
        slope_trained, bias_trained = float("input_slope" in self.shapes), float("bias" in self.shapes)
        if slope_trained or bias_trained:
            active_weights = np.einsum("rnk,rk->rn", self._active, np.square(self._weight))
            found += active_weights * (slope_trained * np.square(self.x) + bias_trained)
        if "output_weight" in self.shapes:
            found += np.einsum("rnk,rnk->rn", self._hidden, self._hidden)
        found *= np.square(self.twice)
        return found

    def total(self) -> Array:  # noqa: D102
        parts = []
        if "input_slope" in self.shapes:
            parts.append(self._weight * np.einsum("rn,rnk->rk", self.twice * self.x, self._active))
        if "bias" in self.shapes:
            parts.append(self._weight * np.einsum("rn,rnk->rk", self.twice, self._active))
        if "output_weight" in self.shapes:
            parts.append(np.einsum("rn,rnk->rk", self.twice, self._hidden))
        if "output_bias" in self.shapes:
            parts.append(self.twice.sum(-1, keepdims=True))
        return np.concatenate(parts, axis=-1)

    def inner_products(self, gradient: Array) -> Array:  # noqa: D102
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
        found *= self.twice
        return found

    def by_name(self, rows: Array) -> dict[str, Array]:  # noqa: D102
        found, start = {}, 0
        for name, shape in self.shapes.items():
            stop = start + (shape[0] if shape else 1)
            found[name] = rows[:, start:stop] if shape else rows[:, start]
            start = stop
        return found

    def gradients(self) -> dict[str, Array]:  # noqa: D102
        features = _tangent(self._p, self.x, self._active, self._hidden)
        return {
            name: features[name] * (self.twice[..., None] if shape else self.twice)
            for name, shape in self.shapes.items()
        }


def bound(p: Parameters, largest: float) -> Array:
    """Return |c| + sum_k |v_k| (|w_k| max |x| + |b_k|), a bound on |f(x_i)|, [R], from the absolute parameters."""
    hidden = largest * p["input_slope"] + p["bias"]
    hidden *= p["output_weight"]
    found: Array = p["output_bias"] + hidden.sum(-1)
    return found


def in_user_units(p: Parameters, scaling: Scaling) -> dict[str, Array]:
    """Return the parameters of the same network of x, from those of the network of u; see `data.scaling`.

        w_x = w_u / s_x     b_x = b_u - w_u x0 / s_x     v_x = s_y v_u     c_x = y0 + s_y c_u

    so that c_x + sum_k v_x,k relu(w_x,k x + b_x,k) = y0 + s_y f_u((x - x0) / s_x). For |x0| much larger than s_x, b_x
    and w_x x nearly cancel, so functions of the user's x are computed through u. Layers between the first and
    the last of a chain stay as they are.
    """
    w = p["input_slope"] / scaling.x_scale
    return dict(p) | {
        "input_slope": w,
        "bias": p["bias"] - w * scaling.x_offset,
        "output_weight": scaling.y_scale * p["output_weight"],
        "output_bias": scaling.y_offset + scaling.y_scale * p["output_bias"],
    }


def in_trained_units(p: Parameters, scaling: Scaling) -> dict[str, Array]:
    """Return the parameters of the network of u, from those of the network of x: the inverse of `in_user_units`."""
    return dict(p) | {
        "input_slope": p["input_slope"] * scaling.x_scale,
        "bias": p["bias"] + p["input_slope"] * scaling.x_offset,
        "output_weight": p["output_weight"] / scaling.y_scale,
        "output_bias": (p["output_bias"] - scaling.y_offset) / scaling.y_scale,
    }


MODEL = Model(
    name="relu",
    formula="y = c + sum_k v_k relu(w_k x + b_k)",
    parameters=PARAMETERS,
    predict=predict,
    tangent=tangent,
    largest_input=lambda x: float(np.abs(x).max()),
    bound=bound,
    describe=lambda p: f"{p['bias'].shape[-1]} ReLUs",
    straight=True,
    has_units=True,
    factored_gradients=FactoredGradients,
    in_user_units=in_user_units,
    in_trained_units=in_trained_units,
    hidden_features=hidden_layer,
)
