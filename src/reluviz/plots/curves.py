"""Compute, from the parameters as trained, the geometry to plot: the learned function, the hidden ReLUs, the elbows.

Places and heights are in the user's units; see `data.scaling`.

Legend of shapes: W hidden units, V vertices of the learned function.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reluviz.core import elbows
from reluviz.core.functions import parameter_names
from reluviz.core.kinks import ChainPieces, pieces_or_none
from reluviz.core.models import MODELS, Array
from reluviz.data.scaling import IDENTITY, Scaling
from reluviz.plots.style import Parameters

CURVE_POINTS = 501
"""A function that is not straight between its elbows is drawn through this many points."""
MAX_VERTICES = 2000
"""With more vertices, f is drawn on a grid of this many points. It looks the same: a picture is 960 pixels wide."""


def all_finite(model: str, parameters: Parameters) -> bool:
    """Return True if every parameter of the model is finite."""
    return all(bool(np.isfinite(parameters[name]).all()) for name in parameter_names(model))


def learned_function(
    model: str, parameters: Parameters, low: float, high: float, scaling: Scaling = IDENTITY
) -> tuple[Array, Array]:
    """Return the vertices of f on [low, high], x [V] and f(x) [V].

    Straight lines between them are exactly f, or an approximation on a grid if f is curved or has more than
    `MAX_VERTICES`.
    """
    values = (np.asarray(parameters[name], dtype=np.float64) for name in parameter_names(model))
    ends = scaling.trained_x(low), scaling.trained_x(high)
    u, t = _vertices(model, tuple((value.shape, value.tobytes()) for value in values), *ends)
    with np.errstate(over="ignore", invalid="ignore"):
        return scaling.user_x(u), scaling.user_y(t)


@lru_cache(2)
def _vertices(
    model: str, values: tuple[tuple[tuple[int, ...], bytes], ...], low: float, high: float
) -> tuple[Array, Array]:
    """Compute `learned_function`, cached because the fit and the votes of a snapshot both need it."""
    each = (np.frombuffer(value).reshape(1, *shape) for shape, value in values)
    p = dict(zip(parameter_names(model), each, strict=True))
    record = MODELS[model]
    x = np.array([low, high], dtype=np.float64) if record.straight else np.linspace(low, high, CURVE_POINTS)
    if record.architecture is not None:
        pieces = pieces_or_none(record.architecture, {name: value[0] for name, value in p.items()}, low, high)
        # the function of parameters that are not finite is not finite either
        x = x if pieces is None else pieces.ends[~_inner(pieces) | pieces.bends]
        if len(x) > MAX_VERTICES:
            x = np.linspace(low, high, MAX_VERTICES)
    elif record.has_units:
        beta = elbows.elbow(p["input_slope"], p["bias"])[0]
        x = np.sort(np.concatenate([x, beta[(beta > low) & (beta < high)]]))
        if len(x) > MAX_VERTICES:
            x = np.linspace(low, high, MAX_VERTICES)
    with np.errstate(over="ignore", invalid="ignore"):
        return x, record.predict(p, x)[0]


def _inner(pieces: ChainPieces) -> NDArray[np.bool_]:
    """Return which ends of pieces lie within the interval."""
    return np.concatenate([[False], np.full(len(pieces.ends) - 2, True), [False]])


def hidden_unit_lines(parameters: Parameters, low: float, high: float, scaling: Scaling = IDENTITY) -> Array:
    """Return the active part of every hidden ReLU, relu(w_k x + b_k), as a line: its two ends (x, height), [W, 2, 2].

    A unit is active on one side of its elbow. If no part of that side is in [low, high], both ends of its line are the
    same point at height 0. If w_k = 0, the line is horizontal. Heights are those of outputs t = relu(w_k u + b_k).
    """
    low, high = scaling.trained_x(low), scaling.trained_x(high)
    w, b = parameters["input_slope"], parameters["bias"]
    beta = elbows.elbow(w, b)
    x = np.stack([np.where(w > 0, beta, low), np.where(w < 0, beta, high)], axis=-1).clip(low, high)
    with np.errstate(over="ignore", invalid="ignore"):
        height = np.maximum(w[:, None] * x + b[:, None], 0)
        return np.stack([scaling.user_x(x), scaling.user_y(height)], axis=-1)


def vertical_lines(x: Array, start: Array, end: Array) -> tuple[Array, Array]:
    """Return vertical lines from (x, start) to (x, end) as one line with gaps at NaN, which is fastest to draw."""
    rows = np.stack([np.stack([x, x, x]), np.stack([start, end, np.full_like(x, np.nan)])])
    return rows[0].T.ravel(), rows[1].T.ravel()


@dataclass(frozen=True)
class Elbows:
    """The elbows of all units, the points where they start to be active; arrays [W].

    Attributes:
        x: elbow beta_k; NaN where w_k = 0.
        jump: slope jump v_k |w_k|, by which the slope of f changes at the elbow.
        orientation: +1 where the unit is active to the right of its elbow, -1 to the left.
        status: dead, linear or bent, as an index into `core.elbows.STATUS`.
    """

    x: Array
    jump: Array
    orientation: Array
    status: NDArray[Any]


def compute_elbows(parameters: Parameters, domain: Array, precision: str, scaling: Scaling = IDENTITY) -> Elbows:
    """Return the elbows of a network.

    Args:
        parameters: of the network, as trained.
        domain: the smallest and the largest training input, in the units of training, [2].
        precision: the precision of the run; see `core.elbows.unit_status`.
        scaling: between the user's units and those of training.
    """
    w, b, v = (parameters[name] for name in ("input_slope", "bias", "output_weight"))
    status = elbows.unit_status(w, b, domain, precision)
    return Elbows(
        scaling.user_x(elbows.elbow(w, b)),
        scaling.user_slope(elbows.slope_jump(w, v)),
        elbows.orientation(w),
        status,
    )
