"""What an engine is, what it is given, and what it has to support.

Legend of shapes: R replicas, K updates, B batch, N samples, W hidden units, G parameter groups of the optimiser.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from reluviz.data.samplers import Sampler
from reluviz.data.segments import Piece
from reluviz.engines.array_views import ArrayViews

compile_listeners: list[Callable[[], None]] = []
"""Called when a kernel is compiled, which takes seconds, and not when its code is found on disk."""

NAMES = ("auto", "reference", "fused", "exact")
"""The values of the setting `engine`."""


@dataclass(frozen=True)
class ModelState:
    """A model as an engine sees it: its parameters, which it updates in place, and its prediction.

    Attributes:
        model: constant, linear or relu.
        parameters: name -> [R] or [R, W], in the order of `core.functions.PARAMETERS`.
        predict: f(x), [R, N]; x is [N] or [R, N].
        replicas: R.
        ridge: lambda of the closed-form solution of the output layer.
        views: the cache behind `arrays`.
    """

    model: str
    parameters: Mapping[str, Tensor]
    predict: Callable[[Tensor], Tensor]
    replicas: int
    ridge: float = 0.0
    views: ArrayViews = field(default_factory=ArrayViews)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the parameters as arrays that share their memory, name -> [R] or [R, W]; they must be on the CPU."""
        return self.views.of(self.parameters, tuple(self.parameters))


@dataclass(frozen=True)
class Requirements:
    """What a run needs of an engine, known before training.

    Attributes:
        model: constant, linear or relu; None for a model whose prediction is its own.
        class_name: the model's class, for messages.
        solved: whether the output layer is solved in closed form and not trained.
        parametrized: whether a parameter is computed from others (`torch.nn.utils.parametrize`).
        device: where the parameters will be.
        dtype: of the parameters.
        precision: the trainer's, such as "32-true"; None without a trainer.
        optimizer: `_target_` and arguments.
        sampler: which points each update uses; None where that is unknown.
    """

    model: str | None
    class_name: str
    solved: bool
    parametrized: bool
    device: torch.device
    dtype: torch.dtype
    precision: str | None
    optimizer: Mapping[str, Any]
    sampler: Sampler | None


class Engine(Protocol):
    """Makes the updates of one piece after another; which engine ran does not show in the result.

    An engine is right when it follows `reference` on the same segments.

    Attributes:
        name: its name in configurations.
        reason: why it was chosen in place of a faster one; empty where it was not.
        by_replica: whether it asks a piece for the points of some replicas at a time (`Piece.of`), and never for
            those of all replicas at once (`Piece.indices`).
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
        """Make the K updates of a piece in place, in the parameters and in the optimiser's state.

        Args:
            state: the model; only the parameters that the optimiser holds may change.
            optimizer: gives the hyper-parameters through `param_groups`, except the learning rates, and
                keeps its state.
            piece: which points each update uses, [R, K, B] or all.
            rates: the learning rate of each update and parameter group, [K, G].
            x: training inputs [N], with the parameters' dtype.
            y: training outputs [N].

        Returns:
            The mean squared error of each replica's last minibatch, before its update, [R].
        """
