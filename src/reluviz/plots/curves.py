"""From parameters to what is drawn: the learned function, each hidden ReLU, each elbow.

Legend of shapes: W hidden units, V vertices of the learned function.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reluviz.core import functions
from reluviz.core.functions import PARAMETERS, Array
from reluviz.plots.style import Parameters

MOST_VERTICES = 2000
"""A picture is 960 pixels wide: beyond this many elbows a grid shows the same."""


def finite(model: str, parameters: Parameters) -> bool:
    """Tell whether every parameter of the model is finite."""
    return all(bool(np.isfinite(parameters[name]).all()) for name in PARAMETERS[model])


def learned(model: str, parameters: Parameters, low: float, high: float) -> tuple[Array, Array]:
    """Return the vertices of f on [low, high], x [V] and f(x) [V]; joined by lines they are f exactly."""
    values = (np.asarray(parameters[name], dtype=np.float64) for name in PARAMETERS[model])
    return _vertices(model, tuple((value.shape, value.tobytes()) for value in values), low, high)


@lru_cache(2)
def _vertices(
    model: str, values: tuple[tuple[tuple[int, ...], bytes], ...], low: float, high: float
) -> tuple[Array, Array]:
    """Return what `learned` returns; it is kept because both pictures of a snapshot ask for it."""
    each = (np.frombuffer(value).reshape(1, *shape) for shape, value in values)
    p = dict(zip(PARAMETERS[model], each, strict=True))
    x = np.array([low, high], dtype=np.float64)
    if model == "relu":
        beta = functions.elbow(p["input_slope"], p["bias"])[0]
        x = np.sort(np.concatenate([x, beta[(beta > low) & (beta < high)]]))
        if len(x) > MOST_VERTICES:
            x = np.linspace(low, high, MOST_VERTICES)
    with np.errstate(over="ignore", invalid="ignore"):
        return x, functions.predict(model, p, x)[0]


def hidden(parameters: Parameters, low: float, high: float) -> Array:
    """Return every hidden ReLU, relu(w_k x + b_k), where it is on: the ends (x, height) of a line, [W, 2, 2].

    A unit is on from its elbow to the side that it faces, or everywhere, or nowhere: then both ends meet at
    height 0. Where w_k = 0 the line is level.
    """
    w, b = parameters["input_slope"], parameters["bias"]
    beta = functions.elbow(w, b)
    x = np.stack([np.where(w > 0, beta, low), np.where(w < 0, beta, high)], axis=-1).clip(low, high)
    with np.errstate(over="ignore", invalid="ignore"):
        height = np.maximum(w[:, None] * x + b[:, None], 0)
    return np.stack([x, height], axis=-1)


def stems(x: Array, start: Array, end: Array) -> tuple[Array, Array]:
    """Return vertical lines from (x, start) to (x, end) as one line that NaN breaks, which draws fastest."""
    rows = np.stack([np.stack([x, x, x]), np.stack([start, end, np.full_like(x, np.nan)])])
    return rows[0].T.ravel(), rows[1].T.ravel()


@dataclass(frozen=True)
class Elbows:
    """Where the units bend, all arrays [W].

    Attributes:
        x: elbow beta_k, NaN where w_k = 0.
        jump: slope jump v_k |w_k|.
        side: orientation, +1 where a unit is active to the right of its elbow.
        status: index into `geometry.STATUS`.
    """

    x: Array
    jump: Array
    side: Array
    status: NDArray[Any]


def elbows(parameters: Parameters, ends: Array) -> Elbows:
    """Return the elbows of a network; `ends` [2] are the smallest and the largest training input."""
    w, b, v = (parameters[name] for name in ("input_slope", "bias", "output_weight"))
    status = functions.unit_status(w, b, float(ends[0]), float(ends[1]))
    return Elbows(functions.elbow(w, b), functions.slope_jump(w, v), np.sign(w), status)
