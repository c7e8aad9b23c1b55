"""The two models with one parameter: y = theta and y = theta x."""

from collections.abc import Sequence
from typing import Any

import torch

from reluviz.data.dataset import Dataset
from reluviz.engines import predict
from reluviz.models.module import RegressionModule, stack_replicas


class OneParameterModule(RegressionModule):
    """Abstract base of the models whose only parameter is theta [R].

    Args:
        start: theta before the first update, the same in every replica.
        seeds: one seed for each replica; see `RegressionModule` for this and the arguments below.
        optimizer: `_target_` and arguments.
        scheduler: `_target_` and arguments, or None.
        engine: name of the engine that makes the updates.
    """

    def __init__(
        self,
        start: float = 0.0,
        *,
        seeds: Sequence[int] = (0,),
        optimizer: dict[str, Any] | None = None,
        scheduler: dict[str, Any] | None = None,
        engine: str = "auto",
    ) -> None:
        # plain Python numbers, which a checkpoint can store
        seeds, start = [int(seed) for seed in seeds], float(start)
        super().__init__(seeds=seeds, optimizer=optimizer, scheduler=scheduler, engine=engine)
        self.save_hyperparameters(logger=False)
        self.start = start
        self.theta = stack_replicas([torch.tensor(start, dtype=torch.float32)] * len(self.seeds))

    def place_on(self, dataset: Dataset) -> None:
        """Set theta to its start with all digits that it has room for."""
        super().place_on(dataset)
        start = torch.tensor(self.start, dtype=torch.float64, device=self.theta.device)
        with torch.no_grad():
            # what the user has changed meanwhile stays
            self.theta.copy_(torch.where(self.theta == start.float(), start, self.theta))


class ConstantModule(OneParameterModule):
    """The constant model f(x) = theta."""

    model = "constant"
    predict = staticmethod(predict.constant)


class LinearModule(OneParameterModule):
    """The one-parameter linear model f(x) = theta x."""

    model = "linear"
    predict = staticmethod(predict.linear)
