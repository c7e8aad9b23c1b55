"""Where a one-hidden-layer ReLU network bends, and by how much: elbows, slopes, unit status, exact linear pieces.

    f(x) = c + sum_k v_k relu(w_k x + b_k)

These functions take NumPy arrays; users call them as `reluviz.geometry`.

Legend of shapes: R replicas, N points, W hidden units. w, b, v are [R, W], c is [R]; the functions of w, b and v alone
work for any shape.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reluviz.core.models.model import Array, Parameters
from reluviz.core.models.relu import is_active as is_active
from reluviz.core.models.relu import predict

STATUS = ("dead", "linear", "bent")
"""Names of the codes that `unit_status` returns."""


def elbow(w: Array, b: Array) -> Array:
    """Return the elbow beta_k = -b_k / w_k; NaN where w_k = 0."""
    with np.errstate(all="ignore"):
        return np.where(w == 0, np.nan, -b / w)


def orientation(w: Array) -> Array:
    """Return sign(w_k): +1 where the unit is active right of its elbow, -1 left of it, 0 for w = 0."""
    found: Array = np.sign(w)
    return found


def active_slope(w: Array, v: Array) -> Array:
    """Return mu_k = w_k v_k, the slope that a unit adds to f on its active side."""
    with np.errstate(all="ignore"):
        return w * v


def slope_jump(w: Array, v: Array) -> Array:
    """Return f'(beta+) - f'(beta-) = v_k |w_k|, the change of slope at a unit's elbow."""
    with np.errstate(all="ignore"):
        return v * np.abs(w)


def unit_status(w: Array, b: Array, x: Array, precision: str = "float64") -> NDArray[np.int64]:
    """Return the status of each unit on the training inputs x [N], as an index into `STATUS`.

    dead: w x_i + b <= 0 for every i. linear: w x_i + b > 0 for every i. bent: otherwise. The smallest and the largest
    input decide, because w x + b is monotonic in x, also after rounding.

    Args:
        w: input slopes.
        b: biases.
        x: training inputs, or only the smallest and the largest of them.
        precision: the precision of the run; see `is_active`.
    """
    on_left, on_right = (is_active(w, b, float(end), precision) for end in (np.min(x), np.max(x)))
    # active at both ends: 1, at one end: 2, at neither: 0
    status: NDArray[np.int64] = 2 * (on_left | on_right).astype(np.int64) - (on_left & on_right)
    return status


@dataclass(frozen=True)
class Pieces:
    """The exact linear pieces of f: piece j lies between breaks j - 1 and j.

    Attributes:
        breaks: sorted elbows, [R, W]; a unit without a finite elbow comes last, at +inf, and does not change the slope.
        slope: f' on each piece, [R, W + 1].
        anchor: the x nearest to 0 on each (closed) piece, [R, W + 1].
        value: f at the anchor, [R, W + 1].
    """

    breaks: Array
    slope: Array
    anchor: Array
    value: Array

    def __call__(self, x: Array) -> Array:
        """Return f(x) = value_j + slope_j (x - anchor_j) on the piece j that holds x; x [N] gives [R, N]."""
        value, slope, anchor = (self._at(each, x) for each in (self.value, self.slope, self.anchor))
        found: Array = value + slope * (x - anchor)
        return found

    def derivative(self, x: Array) -> Array:
        """Return f'(x), the limit from the left at an elbow; x [N] gives [R, N]."""
        return self._at(self.slope, x)

    def _at(self, values: Array, x: Array) -> Array:
        """Return the values [R, W + 1] of the pieces that hold x, [R, N]."""
        return np.stack([row[np.searchsorted(breaks, x)] for row, breaks in zip(values, self.breaks, strict=True)])


def pieces(p: Parameters) -> Pieces:
    """Return the exact linear pieces of a ReLU network.

    On the leftmost piece f' is the sum of w_k v_k over the units that are active on the left. At every elbow it changes
    by the unit's slope jump v_k |w_k|. Each piece stores f at its anchor, its point nearest to 0: there f has the
    smallest rounding error on the piece, however far from 0 the elbows or the data are.
    """
    w, b, v = p["input_slope"], p["bias"], p["output_weight"]
    beta = elbow(w, b)
    finite = np.isfinite(beta)
    places = np.where(finite, beta, np.inf)
    order = np.argsort(places, axis=-1, kind="stable")
    breaks = np.take_along_axis(places, order, axis=-1)
    jump = np.take_along_axis(np.where(finite, slope_jump(w, v), 0), order, axis=-1)
    # the slope of a unit whose elbow has overflowed to an infinity is 0 in floating point
    leftmost = np.where((w < 0) & finite, active_slope(w, v), 0).sum(-1, keepdims=True)
    slope = np.concatenate([leftmost, leftmost + np.cumsum(jump, axis=-1)], axis=-1)
    infinity = np.full_like(leftmost, np.inf)
    # no x lies on a piece that begins at +inf
    left = np.concatenate([-infinity, np.where(np.isfinite(breaks), breaks, -np.inf)], axis=-1)
    anchor = np.clip(np.zeros_like(left), left, np.concatenate([breaks, infinity], axis=-1))
    return Pieces(breaks, slope, anchor, predict(p, anchor))


def staircase(p: Parameters, low: float, high: float) -> tuple[Array, Array]:
    """Return f' on [low, high] as a step function: the edges of its steps and their heights.

    Returns:
        edges: [R, W + 2], from low to high; an elbow outside the interval is moved to its nearer end, where its step
            has width 0.
        heights: f' between consecutive edges, [R, W + 1].
    """
    parts = pieces(p)
    ends = np.broadcast_to(np.array([low, high], dtype=np.float64), (*parts.breaks.shape[:-1], 2))
    edges = np.concatenate([ends[..., :1], parts.breaks.clip(low, high), ends[..., 1:]], axis=-1)
    return edges, parts.slope


def total_variation(p: Parameters) -> Array:
    """Return sum_k |v_k w_k| over the units with a finite elbow, [R]: the total variation of f' if no two coincide."""
    w, v = p["input_slope"], p["output_weight"]
    found: Array = np.where(np.isfinite(elbow(w, p["bias"])), np.abs(slope_jump(w, v)), 0).sum(-1)
    return found
