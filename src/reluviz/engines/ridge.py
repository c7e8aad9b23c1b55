"""The output layer solved in closed form instead of trained."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from reluviz.core.theory.output_problem import OutputProblem
from reluviz.data.segments import Piece
from reluviz.engines.engine import ModelState

MAX_ACTIVATIONS = 2**22
"""The most hidden activations that are held at a time."""


class Ridge:
    """Minimises sum_i r_i^2 + lambda |v|^2 over all training points at once; c is not penalised."""

    name = "ridge"
    by_replica = False
    reason = ""

    def run(
        self,
        state: ModelState,
        optimizer: Optimizer,
        piece: Piece,
        rates: NDArray[np.float64],
        x: Tensor,
        y: Tensor,
    ) -> Tensor:
        """Write the solution into the output layer; it does not depend on the number of updates. See `Engine.run`."""
        with torch.no_grad():
            # in parts, since the prediction holds the activations of all its points
            step = max(1, MAX_ACTIVATIONS // max(value.numel() for value in state.parameters.values()))
            parts = zip(x.split(step), y.split(step), strict=True)
            squares = torch.cat([(state.predict(some_x) - some_y).square() for some_x, some_y in parts], dim=-1)
            loss_before: Tensor = squares.mean(-1)
            p = {name: value.numpy(force=True).astype(np.float64) for name, value in state.parameters.items()}
            inputs, outputs = (values.numpy(force=True).astype(np.float64) for values in (x, y))
            for r in range(state.replicas):
                problem = OutputProblem.of({name: value[[r]] for name, value in p.items()}, inputs, outputs)
                v, c = problem.ridge(state.ridge)
                state.parameters["output_weight"][r] = torch.from_numpy(v).to(y)
                state.parameters["output_bias"][r] = float(c)
        return loss_before
