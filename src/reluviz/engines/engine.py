"""The interface of an engine: its input and its method `run`.

Legend of shapes: R replicas, K updates, B batch, N samples, W hidden units, G parameter groups of the optimiser.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from reluviz.data.segments import Piece

compile_listeners: list[Callable[[], None]] = []
"""Functions called when a kernel is compiled, which takes seconds, but not when its code is read from disk."""


@dataclass(frozen=True)
class ModelState:
    """A model as an engine sees it: its parameters, which it updates in place, and its prediction.

    Attributes:
        model: the model's name.
        parameters: name -> [R], [R, W] or [R, W, W'], in the order of the model's record.
        predict: f(x), [R, N]; x is [N] or [R, N].
        replicas: R.
        ridge: lambda of the closed-form solution of the output layer.
    """

    model: str
    parameters: Mapping[str, Tensor]
    predict: Callable[[Tensor], Tensor]
    replicas: int
    ridge: float = 0.0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return zero-copy views of the parameters, in their shapes; the parameters must be on the CPU."""
        return {name: value.detach().numpy() for name, value in self.parameters.items()}


class Engine(Protocol):
    """Makes the updates of a run, piece by piece. All engines give the same result.

    An engine is right when it follows `reference` on the same segments.

    Attributes:
        name: its name in configurations.
        reason: why it was chosen instead of a faster engine; empty if no engine is faster.
        by_replica: whether it draws the points of a few replicas at a time (`Piece.replica_indices`) and never those
            of all replicas at once (`Piece.indices`).
    """

    name: str
    reason: str
    by_replica: bool

    def run(
        self,
        state: ModelState,
        optimizer: Optimizer,
        piece: Piece,
        rates: NDArray[np.float64],
        x: Tensor,
        y: Tensor,
    ) -> Tensor:
        """Make the K updates of a piece, changing the parameters and the optimiser's state in place.

        Args:
            state: the model; only the parameters that the optimiser holds may change.
            optimizer: its `param_groups` give the hyper-parameters, except the learning rates. Its `state` is
                read and updated.
            piece: which points each update uses, [R, K, B], or all of them.
            rates: the learning rate of each update and parameter group, [K, G].
            x: training inputs [N], with the parameters' dtype.
            y: training outputs [N].

        Returns:
            The mean squared error of each replica's last minibatch, before its update, [R].
        """
