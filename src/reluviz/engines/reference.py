"""The reference engine: PyTorch's autograd and any of its optimisers, one update after another.

The other engines are tested against it.

Legend of shapes: R replicas, K updates, B batch, N samples.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from reluviz.data.segments import Piece
from reluviz.engines.engine import ModelState


class Reference:
    """Minimises L = (1/B) sum_i r_i^2 of each replica by autograd."""

    name = "reference"
    by_replica = False

    def __init__(self, reason: str = "") -> None:
        self.reason = reason

    def run(
        self,
        state: ModelState,
        optimizer: Optimizer,
        piece: Piece,
        rates: NDArray[np.float64],
        x: Tensor,
        y: Tensor,
    ) -> Tensor:
        """Make the K updates of a piece; see `Engine.run`."""
        indices = None if piece.indices is None else piece.indices.to(x.device)
        groups = optimizer.param_groups
        batch_x, batch_y = x, y
        loss_before = y.new_empty(state.replicas)
        for k in range(len(piece)):
            if indices is not None:
                batch_x, batch_y = x[indices[:, k]], y[indices[:, k]]
            for group, rate in zip(groups, rates[k], strict=True):
                group["lr"] = float(rate)
            losses: list[Tensor] = []

            def closure(batch_x: Tensor = batch_x, batch_y: Tensor = batch_y, losses: list[Tensor] = losses) -> Tensor:
                # replicas are independent, so the gradient of their sum is that of each replica
                with torch.enable_grad():
                    loss: Tensor = (state.predict(batch_x) - batch_y).square().mean(-1)
                    optimizer.zero_grad(set_to_none=True)
                    loss.sum().backward()
                losses.append(loss.detach())
                return loss.detach().sum()

            optimizer.step(closure)  # type: ignore[arg-type]
            # LBFGS calls the closure several times; the first call is before the update
            loss_before = losses[0]
        return loss_before
