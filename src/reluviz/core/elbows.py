"""Where a one-hidden-layer ReLU network bends, and how much: elbows, slopes, status, exact linear pieces.

    f(x) = c + sum_k v_k relu(w_k x + b_k)

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
    """Return mu_k = w_k v_k, the slope that a unit adds on its active side, [R, W]."""
    return w * v


def slope_jump(w: Tensor, v: Tensor) -> Tensor:
    """Return f'(beta+) - f'(beta-) = v_k |w_k|, the bend that a unit makes at its elbow, [R, W]."""
    return v * w.abs()


def unit_status(w: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """Return for each unit an index into `STATUS`, given the training inputs x [N].

    dead: w x_i + b <= 0 for every i. linear: w x_i + b > 0 for every i. bent: anything else. As w x + b is
    monotonic in x, also after rounding, the two extreme inputs decide.
    """
    left, right = torch.aminmax(x)
    on_left, on_right = w * left + b > 0, w * right + b > 0
    # all 1, any 2, none 0
    return 2 * (on_left | on_right).long() - (on_left & on_right).long()


@dataclass(frozen=True)
class Pieces:
    """The exact linear pieces of f: piece j lies between breaks j - 1 and j.

    Attributes:
        breaks: sorted elbows [R, W]; units without a finite elbow stand last, at +inf, and bend nothing.
        slope: f' on each piece, [R, W + 1].
        anchor: the point of each (closed) piece that is nearest to 0, [R, W + 1].
        value: f at that point, [R, W + 1].
    """

    breaks: Tensor
    slope: Tensor
    anchor: Tensor
    value: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Return f(x) rebuilt from the pieces, f = value_j + slope_j (x - anchor_j); x [N] gives [R, N]."""
        j = self._piece(x)
        return self.value.gather(-1, j) + self.slope.gather(-1, j) * (x - self.anchor.gather(-1, j))

    def derivative(self, x: Tensor) -> Tensor:
        """Return f'(x), the limit from the left at an elbow; x [N] gives [R, N]."""
        return self.slope.gather(-1, self._piece(x))

    def _piece(self, x: Tensor) -> Tensor:
        return torch.searchsorted(self.breaks, x.expand(*self.breaks.shape[:-1], -1).contiguous())


def pieces(p: Parameters) -> Pieces:
    """Return the exact linear pieces of a ReLU network.

    From the left, f' starts at the sum of w_k v_k over the units that face left, and at every elbow it
    changes by the unit's slope jump v_k |w_k|. Each piece keeps f at its own point nearest to 0: rounding
    there is no worse than anywhere else on the piece, however far away the elbows or the data are.
    """
    w, b, v = p["input_slope"], p["bias"], p["output_weight"]
    beta = elbow(w, b)
    finite = beta.isfinite()
    breaks, order = torch.sort(torch.where(finite, beta, torch.inf), dim=-1)
    jump = torch.where(finite, slope_jump(w, v), 0).gather(-1, order)
    # an elbow at -inf leaves a right-facing unit on everywhere; one at +inf a left-facing one
    on_at_left = ((w < 0) & (beta > -torch.inf)) | ((w > 0) & (beta == -torch.inf))
    leftmost = torch.where(on_at_left, active_slope(w, v), 0).sum(-1, keepdim=True)
    slope = torch.cat([leftmost, leftmost + jump.cumsum(-1)], dim=-1)
    infinity = torch.full_like(leftmost, torch.inf)
    left = torch.cat([-infinity, torch.where(breaks.isfinite(), breaks, -torch.inf)], -1).cummax(-1).values
    anchor = torch.zeros_like(left).clamp(left, torch.cat([breaks, infinity], -1))
    return Pieces(breaks, slope, anchor, predict("relu", p, anchor))


def staircase(p: Parameters, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Return f' on [low, high] as a staircase: the edges of its steps and their heights.

    Returns:
        edges: [R, W + 2], from low to high; elbows outside the interval are moved to its ends, where their
            steps have no width.
        heights: f' between neighbouring edges, [R, W + 1].
    """
    parts = pieces(p)
    ends = parts.breaks.new_tensor([low, high]).expand(*parts.breaks.shape[:-1], 2)
    edges = torch.cat([ends[..., :1], parts.breaks.clamp(low, high), ends[..., 1:]], dim=-1)
    return edges, parts.slope


def total_variation(p: Parameters) -> Tensor:
    """Return the total variation of f', sum_k |v_k w_k| over units with an elbow (distinct elbows), [R]."""
    w, v = p["input_slope"], p["output_weight"]
    return torch.where(elbow(w, p["bias"]).isfinite(), slope_jump(w, v).abs(), 0).sum(-1)
