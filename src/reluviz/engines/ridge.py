"""The output layer solved in closed form instead of trained."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from reluviz.core.functions import features
from reluviz.core.theory.relu import ridge
from reluviz.data.segments import Piece
from reluviz.engines.engine import ModelState


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
            loss_before: Tensor = (state.predict(x) - y).square().mean(-1)
            p = {name: value.numpy(force=True).astype(np.float64) for name, value in state.parameters.items()}
            inputs, outputs = (values.numpy(force=True).astype(np.float64) for values in (x, y))
            for r, phi in enumerate(features(p, inputs)):
                v, c = ridge(phi[:, :-1], outputs, state.ridge)
                state.parameters["output_weight"][r] = torch.from_numpy(v).to(y)
                state.parameters["output_bias"][r] = float(c)
        return loss_before
