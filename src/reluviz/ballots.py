"""The gradients g_i = 2 r_i J_i of single samples, as far as norms, sums and products ask for them.

The N x P matrix of them is not made. With a_ik = 1[h_ik > 0], h_ik = w_k x_i + b_k, for the ReLU network

    |J_i|^2     = sum_k a_ik (v_k^2 (x_i^2 + 1) + h_ik^2) + 1
    <J_i, G>    = sum_k a_ik (v_k (x_i G_w + G_b) + h_ik G_v) + G_c
    sum_i g_i   = (v_k sum_i 2 r_i a_ik x_i, v_k sum_i 2 r_i a_ik, sum_i 2 r_i a_ik h_ik, sum_i 2 r_i)

where parameters that are frozen count 0; for the constant and the linear model J_i is 1 and x_i.

Legend of shapes: R replicas, N samples, W hidden units.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from reluviz.functions import PARAMETERS, Parameters, preactivation, predict, tangent


class LineBallots:
    """Those of the constant and the linear model.

    Attributes:
        residual: r_i, [R, N].
        twice: 2 r_i.
    """

    def __init__(self, model: str, p: Parameters, x: Tensor, y: Tensor) -> None:
        self.residual = predict(model, p, x) - y
        self.twice = 2 * self.residual
        self._each = self.twice * tangent(model, p, x)["theta"]

    def squares(self) -> Tensor:
        """Return |g_i|^2, [R, N]."""
        return self._each.square()

    def total(self) -> Tensor:
        """Return sum_i g_i, [R, P]."""
        return self._each.sum(-1, keepdim=True)

    def named(self, rows: Tensor) -> dict[str, Tensor]:
        """Cut [R, P] into name -> [R]."""
        return {"theta": rows[:, 0]}

    def gradients(self) -> dict[str, Tensor]:
        """Return g_i, name -> [R, N]."""
        return {"theta": self._each}

    def along(self, gradient: Mapping[str, Tensor]) -> Tensor:
        """Return <g_i, G>, [R, N]."""
        return self._each * gradient["theta"].unsqueeze(-1)


class ReLUBallots:
    """Those of the ReLU network.

    Args:
        p: the parameters.
        x: inputs [N].
        y: targets [N].
        trained: names of the trained parameters.

    Attributes:
        residual: r_i, [R, N].
        twice: 2 r_i.
    """

    def __init__(self, p: Parameters, x: Tensor, y: Tensor, trained: Sequence[str]) -> None:
        self.p, self.x, self.trained = p, x, trained
        h = preactivation(p, x)
        self._active = (h > 0).to(h.dtype)
        self._hidden = h.relu_()
        output = (self._hidden @ p["output_weight"].unsqueeze(-1)).squeeze(-1)
        self.residual = output + p["output_bias"].unsqueeze(-1) - y
        self.twice = 2 * self.residual

    def squares(self) -> Tensor:
        """Return |g_i|^2, [R, N]."""
        found = torch.full_like(self.residual, float("output_bias" in self.trained))
        if "input_slope" in self.trained or "bias" in self.trained:
            of_slope, of_bias = float("input_slope" in self.trained), float("bias" in self.trained)
            gates = (self._active @ self.p["output_weight"].square().unsqueeze(-1)).squeeze(-1)
            found += gates * (of_slope * self.x.square() + of_bias)
        if "output_weight" in self.trained:
            found += self._hidden.square().sum(-1)
        return found * self.twice.square()

    def total(self) -> Tensor:
        """Return sum_i g_i, the trained parameters one after another, [R, P]."""
        parts = []
        if "input_slope" in self.trained or "bias" in self.trained:
            gated = torch.stack([self.twice * self.x, self.twice], dim=-2) @ self._active
            of_slope, of_bias = (gated * self.p["output_weight"].unsqueeze(-2)).unbind(-2)
            parts += [of_slope] * ("input_slope" in self.trained) + [of_bias] * ("bias" in self.trained)
        if "output_weight" in self.trained:
            parts.append((self.twice.unsqueeze(-2) @ self._hidden).squeeze(-2))
        if "output_bias" in self.trained:
            parts.append(self.twice.sum(-1, keepdim=True))
        return torch.cat(parts, dim=-1)

    def named(self, rows: Tensor) -> dict[str, Tensor]:
        """Cut [R, P] into name -> [R] or [R, W]."""
        names = [name for name in PARAMETERS["relu"] if name in self.trained]
        parts = rows.split([self.p[name][0].numel() for name in names], dim=-1)
        return {name: part.reshape(self.p[name].shape) for name, part in zip(names, parts, strict=True)}

    def gradients(self) -> dict[str, Tensor]:
        """Return g_i, name -> [R, N] or [R, N, W]."""
        twice = self.twice.unsqueeze(-1)
        found: dict[str, Tensor] = {}
        if "input_slope" in self.trained or "bias" in self.trained:
            # in the order of `votes.per_sample_gradients`, to the last digit
            gate = self.p["output_weight"].unsqueeze(-2) * self._active
            found = {"input_slope": twice * (gate * self.x.unsqueeze(-1)), "bias": twice * gate}
        found |= {"output_weight": twice * self._hidden, "output_bias": self.twice}
        return {name: found[name] for name in PARAMETERS["relu"] if name in self.trained}

    def along(self, gradient: Mapping[str, Tensor]) -> Tensor:
        """Return <g_i, G>, [R, N]."""
        found = torch.zeros_like(self.residual)
        hidden = [gradient.get(name) for name in ("input_slope", "bias")]
        if any(part is not None for part in hidden):
            weight = self.p["output_weight"]
            of_slope, of_bias = (torch.zeros_like(weight) if part is None else weight * part for part in hidden)
            gated = self._active @ torch.stack([of_slope, of_bias], dim=-1)
            found += gated[..., 0] * self.x + gated[..., 1]
        if "output_weight" in gradient:
            found += (self._hidden @ gradient["output_weight"].unsqueeze(-1)).squeeze(-1)
        if "output_bias" in gradient:
            found += gradient["output_bias"].unsqueeze(-1)
        return found * self.twice


def ballots(model: str, p: Parameters, x: Tensor, y: Tensor, trained: Sequence[str]) -> LineBallots | ReLUBallots:
    """Return the gradients of some samples."""
    return ReLUBallots(p, x, y, trained) if model == "relu" else LineBallots(model, p, x, y)
