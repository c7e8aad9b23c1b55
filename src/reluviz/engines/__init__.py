"""Engines make the updates of a segment in place; which one ran is invisible in the result.

An engine is right when it follows `reference` on the same segments.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from reluviz.data.samplers import Sampler
from reluviz.data.segments import Piece
from reluviz.errors import UserError

if TYPE_CHECKING:
    from reluviz.models.base import RegressionModule

listeners: list[Callable[[], None]] = []
"""Called when a kernel is compiled, which takes seconds, and not when its code is found on disk."""

NAMES = ("auto", "reference", "fused", "exact")
"""What `engine` may be."""


class Engine(Protocol):
    """Makes the updates of one piece after another.

    Attributes:
        name: what it is called in configs.
        reason: why it was picked in place of a faster one; empty where it was not.
        by_replica: whether it asks a piece for the points of some replicas after those of others (`Piece.of`), and
            never for those of all at once (`Piece.indices`).
    """

    name: str
    reason: str
    by_replica: bool

    def run(
        self,
        module: "RegressionModule",
        optimizer: Optimizer,
        piece: Piece,
        rates: NDArray[np.float64],
        x: Tensor,
        y: Tensor,
    ) -> Tensor:
        """Make the K updates of a piece in place, in the module's parameters and the optimiser's state.

        Args:
            module: the model; only its trained parameters may change.
            optimizer: gives the hyper-parameters through `param_groups`, except the learning rates, and
                keeps the state.
            piece: which points each update uses, [R, K, B] or all.
            rates: the learning rate of each update and parameter group, [K, G].
            x: training inputs [N], with the module's dtype.
            y: training outputs [N].

        Returns:
            The mean squared error of each replica's last minibatch, before its update, [R].
        """


def choose(name: str, module: "RegressionModule", sampler: Sampler | None) -> Engine:
    """Return the engine of that name; "auto" is the fastest that supports the run.

    That is `exact` for full batches, else `fused`, else `reference`, whose `reason` then says why.

    Raises:
        UserError: if there is no such engine, or it does not support the run.
    """
    from reluviz.engines import exact, fused
    from reluviz.engines.reference import Reference
    from reluviz.engines.ridge import Ridge

    if name not in NAMES:
        raise UserError(f"engine={name}: must be one of {', '.join(NAMES)}")
    if getattr(module, "train_mode", None) == "ridge":
        return Ridge()
    if name == "reference":
        return Reference()
    refused = {"exact": exact.unsupported(module, sampler), "fused": fused.unsupported(module)}
    if name != "auto":
        if (what := refused[name]) is not None:
            raise UserError(f"engine={name}: {what} is not supported; use engine=auto or engine=reference")
        return exact.Exact() if name == "exact" else fused.Fused()
    if refused["exact"] is None:
        return exact.Exact()
    if refused["fused"] is None:
        return fused.Fused()
    return Reference(reason=f"neither exact nor fused supports {refused['fused']}")
