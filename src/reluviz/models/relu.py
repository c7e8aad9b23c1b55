"""The one-hidden-layer ReLU network f(x) = c + sum_k v_k relu(w_k x + b_k)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from reluviz.core.initial_state import set_elbows, torch_default_state
from reluviz.core.models.relu import PARAMETERS
from reluviz.data.dataset import Dataset
from reluviz.engines import predict
from reluviz.models.module import RegressionModule, stack_replicas
from reluviz.models.relu_settings import TRAINED, check_settings
from reluviz.models.sequential import build_sequential, read_sequential


class ReLUModule(RegressionModule):
    """A one-hidden-layer ReLU network of width W; parameters input_slope, bias, output_weight [R, W], output_bias [R].

    Args:
        width: hidden units W.
        elbows: the initial elbows. uniform: sorted uniform draws on the domain (as in the course); even: evenly
            spaced within the domain; at_data: at training inputs, evenly spaced in rank; given: at `positions`;
            torch: as given by torch's default weights.
        positions: the W elbows for elbows=given.
        domain: the interval on which elbows are placed; by default the data's, which is known when training begins.
        train: all, output (v, c by the optimiser), hidden (w, b), or ridge (v, c solved in closed form).
        ridge: lambda for train=ridge, which minimises sum_i r_i^2 + lambda |v|^2.
        init_from: a file with the state_dict of nn.Sequential(Linear(1, W), ReLU(), Linear(W, 1)), the initial
            state of every replica.
        seeds: one seed for each replica; see `RegressionModule` for this and the arguments below.
        optimizer: `_target_` and arguments.
        scheduler: `_target_` and arguments, or None.
        engine: name of the engine that makes the updates.

    Raises:
        UserError: for invalid or contradictory settings, or a file that cannot be used.
    """

    model = "relu"
    predict = staticmethod(predict.relu)
    input_slope: nn.Parameter
    bias: nn.Parameter
    output_weight: nn.Parameter
    output_bias: nn.Parameter

    def __init__(
        self,
        width: int = 20,
        elbows: str = "uniform",
        positions: Sequence[float] | None = None,
        domain: tuple[float, float] | None = None,
        train: str = "all",
        ridge: float = 1e-5,
        init_from: str | None = None,
        *,
        seeds: Sequence[int] = (0,),
        optimizer: dict[str, Any] | None = None,
        scheduler: dict[str, Any] | None = None,
        engine: str = "auto",
    ) -> None:
        # plain Python numbers, which a checkpoint can store
        seeds = [int(seed) for seed in seeds]
        found = check_settings(width, elbows, positions, train, ridge)
        width, positions, ridge = found.width, found.positions, found.ridge
        super().__init__(seeds=seeds, optimizer=optimizer, scheduler=scheduler, engine=engine)
        # a checkpoint holds the weights, and must load without this file
        self.save_hyperparameters(logger=False, ignore=["init_from"])
        self.width, self.train_mode, self.ridge = width, train, ridge
        self.elbows, self.positions, self.domain = elbows, positions, domain
        self.from_file = init_from is not None
        if init_from is not None:
            states = [read_sequential(init_from, width)] * len(self.seeds)
        else:
            low, high = domain or (0.0, 1.0)
            starts = [torch_default_state(seed, width) for seed in self.seeds]
            for seed, start in zip(self.seeds, starts, strict=True):
                set_elbows(start, elbows, seed, low, high, positions, None)
            states = [{name: torch.from_numpy(value) for name, value in start.items()} for start in starts]
        for name in PARAMETERS:
            setattr(self, name, stack_replicas([state[name] for state in states]))
            getattr(self, name).requires_grad_(name in TRAINED[train])

    def setup(self, stage: str) -> None:
        """Place the elbows on the data before the first update."""
        super().setup(stage)
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if stage == "fit" and data is not None and not int(self.updates_done):
            self.place_elbows(data.dataset)

    def place_elbows(self, dataset: Dataset) -> None:
        """Place the elbows on the data if they depend on it: for at_data, and if no domain was given."""
        low, high = self.domain or dataset.domain
        placed = self.elbows in ("given", "torch") or (self.elbows != "at_data" and (low, high) == (0.0, 1.0))
        if self.from_file or placed or (self.elbows != "at_data" and self.domain is not None):
            return
        for r, seed in enumerate(self.seeds):
            state = {"input_slope": self.input_slope[r].numpy(force=True)}
            set_elbows(state, self.elbows, seed, low, high, None, dataset.x)
            with torch.no_grad():
                self.bias[r] = torch.from_numpy(state["bias"])

    def to_sequential(self, replica: int = 0) -> nn.Sequential:
        """Return a copy of one replica as nn.Sequential(Linear(1, W), ReLU(), Linear(W, 1))."""
        return build_sequential({name: getattr(self, name).detach()[replica] for name in PARAMETERS})
