"""Where a one-hidden-layer ReLU network bends, and by how much: elbows, slopes, unit status, exact linear pieces.

    f(x) = c + sum_k v_k relu(w_k x + b_k)

These functions take tensors; users call them as `reluviz.geometry`. `core/functions.py` has NumPy versions of `elbow`,
`slope_jump` and `unit_status`, for the recorded snapshots.

Legend of shapes: R replicas, N points, W hidden units. w, b, v are [R, W], c is [R].
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from reluviz.core.functions import STATUS as STATUS
from reluviz.core.functions_torch import Parameters, predict


def elbow(w: Tensor, b: Tensor) -> Tensor:
    """Return the elbow beta_k = -b_k / w_k, [R, W]; NaN where w_k = 0."""
    return torch.where(w == 0, torch.nan, -b / w)


def orientation(w: Tensor) -> Tensor:
    """Return sign(w_k): +1 where the unit is active right of its elbow, -1 left of it, 0 for w = 0."""
    return torch.sign(w)


def active_slope(w: Tensor, v: Tensor) -> Tensor:
    """Return mu_k = w_k v_k, the slope that a unit adds to f on its active side, [R, W]."""
    return w * v


def slope_jump(w: Tensor, v: Tensor) -> Tensor:
    """Return f'(beta+) - f'(beta-) = v_k |w_k|, the change of slope at a unit's elbow, [R, W]."""
    return v * w.abs()


def unit_status(w: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """Return the status of each unit on the training inputs x [N], as an index into `STATUS`, [R, W].

    dead: w x_i + b <= 0 for every i. linear: w x_i + b > 0 for every i. bent: otherwise. The smallest and the largest
    input decide, because w x + b is monotonic in x, also after rounding.
    """
    left, right = torch.aminmax(x)
    on_left, on_right = w * left + b > 0, w * right + b > 0
    # active at both ends: 1, at one end: 2, at neither: 0
    return 2 * (on_left | on_right).long() - (on_left & on_right).long()


@dataclass(frozen=True)
class Pieces:
    """The exact linear pieces of f: piece j lies between breaks j - 1 and j.

    Attributes:
        breaks: sorted elbows, [R, W]; a unit without a finite elbow comes last, at +inf, and does not change the slope.
        slope: f' on each piece, [R, W + 1].
        anchor: the x nearest to 0 on each (closed) piece, [R, W + 1].
        value: f at the anchor, [R, W + 1].
    """

    breaks: Tensor
    slope: Tensor
    anchor: Tensor
    value: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Return f(x) = value_j + slope_j (x - anchor_j) on the piece j that holds x; x [N] gives [R, N]."""
        j = self._piece(x)
        return self.value.gather(-1, j) + self.slope.gather(-1, j) * (x - self.anchor.gather(-1, j))

    def derivative(self, x: Tensor) -> Tensor:
        """Return f'(x), the limit from the left at an elbow; x [N] gives [R, N]."""
        return self.slope.gather(-1, self._piece(x))

    def _piece(self, x: Tensor) -> Tensor:
        return torch.searchsorted(self.breaks, x.expand(*self.breaks.shape[:-1], -1).contiguous())


def pieces(p: Parameters) -> Pieces:
    """Return the exact linear pieces of a ReLU network.

    On the leftmost piece f' is the sum of w_k v_k over the units that are active on the left. At every elbow it changes
    by the unit's slope jump v_k |w_k|. Each piece stores f at its anchor, its point nearest to 0: there f has the
    smallest rounding error on the piece, however far from 0 the elbows or the data are.
    """
    w, b, v = p["input_slope"], p["bias"], p["output_weight"]
    beta = elbow(w, b)
    finite = beta.isfinite()
    breaks, order = torch.sort(torch.where(finite, beta, torch.inf), dim=-1)
    jump = torch.where(finite, slope_jump(w, v), 0).gather(-1, order)
    # a right-facing unit with its elbow at -inf is active everywhere, as is a left-facing one at +inf
    on_at_left = ((w < 0) & (beta > -torch.inf)) | ((w > 0) & (beta == -torch.inf))
    leftmost = torch.where(on_at_left, active_slope(w, v), 0).sum(-1, keepdim=True)
    slope = torch.cat([leftmost, leftmost + jump.cumsum(-1)], dim=-1)
    infinity = torch.full_like(leftmost, torch.inf)
    left = torch.cat([-infinity, torch.where(breaks.isfinite(), breaks, -torch.inf)], -1).cummax(-1).values
    anchor = torch.zeros_like(left).clamp(left, torch.cat([breaks, infinity], -1))
    return Pieces(breaks, slope, anchor, predict("relu", p, anchor))


def staircase(p: Parameters, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Return f' on [low, high] as a step function: the edges of its steps and their heights.

    Returns:
        edges: [R, W + 2], from low to high; an elbow outside the interval is moved to its nearer end, where its step
            has width 0.
        heights: f' between consecutive edges, [R, W + 1].
    """
    parts = pieces(p)
    ends = parts.breaks.new_tensor([low, high]).expand(*parts.breaks.shape[:-1], 2)
    edges = torch.cat([ends[..., :1], parts.breaks.clamp(low, high), ends[..., 1:]], dim=-1)
    return edges, parts.slope


def total_variation(p: Parameters) -> Tensor:
    """Return sum_k |v_k w_k| over the units with a finite elbow, [R]: the total variation of f' if no two coincide."""
    w, v = p["input_slope"], p["output_weight"]
    return torch.where(elbow(w, p["bias"]).isfinite(), slope_jump(w, v).abs(), 0).sum(-1)
