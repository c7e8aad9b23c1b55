"""The one-hidden-layer ReLU network f(x) = c + sum_k v_k relu(w_k x + b_k)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reluviz.core.initial_state import set_elbows, torch_default_state
from reluviz.core.models.relu import PARAMETERS, in_trained_units, in_user_units
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
        positions: the W elbows for elbows=given, in the user's units.
        domain: the interval on which elbows are placed, in the user's units; by default the data's, which is known
            when training begins.
        train: all, output (v, c by the optimiser), hidden (w, b), or ridge (v, c solved in closed form).
        ridge: lambda for train=ridge, which minimises sum_i r_i^2 + lambda |v|^2 in the units of training.
        init_from: a file with the state_dict of nn.Sequential(Linear(1, W), ReLU(), Linear(W, 1)), of torch.save or
            JSON; the initial state of every replica, a network of the user's x and y.
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
        self._file_state = None if init_from is None else read_sequential(init_from, width)
        if self._file_state is not None:
            states = [{name: value.float() for name, value in self._file_state.items()}] * len(self.seeds)
        else:
            low, high = domain or (0.0, 1.0)
            starts = [torch_default_state(seed, width) for seed in self.seeds]
            for seed, start in zip(self.seeds, starts, strict=True):
                set_elbows(start, elbows, seed, low, high, positions, None)
            states = [{name: torch.from_numpy(value) for name, value in start.items()} for start in starts]
        for name in PARAMETERS:
            setattr(self, name, stack_replicas([state[name] for state in states]))
            getattr(self, name).requires_grad_(name in TRAINED[train])

    @property
    def from_file(self) -> bool:
        """Whether the initial state was read from a file."""
        return self._file_state is not None

    def place_on(self, dataset: Dataset) -> None:
        """Choose the units of training, and complete the initial state where it depends on them or on the data."""
        self._choose_scaling(dataset)
        scaling = self.scaling
        if self._file_state is not None:
            self._place_file_state(self._file_state)
            return
        low, high = self.domain or dataset.domain
        known = self.elbows in ("given", "torch") or self.domain is not None or (low, high) == (0.0, 1.0)
        if scaling.identity and known and self.elbows != "at_data":
            # the elbows are where they belong
            return
        points = replace(dataset, scaling=scaling).as_trained
        low, high = scaling.trained_x(low), scaling.trained_x(high)
        positions = None if self.positions is None else scaling.trained_x(np.array(self.positions)).tolist()
        for r, seed in enumerate(self.seeds):
            w = self.input_slope[r].numpy(force=True)
            # in scaled units as when the module was built: in float32
            state = {"input_slope": w if scaling.identity or self.elbows == "at_data" else w.astype(np.float32)}
            set_elbows(state, self.elbows, seed, low, high, positions, points.x)
            if "bias" in state:
                with torch.no_grad():
                    self.bias[r] = torch.from_numpy(state["bias"])

    def _place_file_state(self, state: dict[str, Tensor]) -> None:
        """Set the parameters to those of the file, in the units of training and with all digits they have room for."""
        as_read = {name: value.double() for name, value in state.items()}
        with torch.no_grad():
            if self.scaling.identity:
                for name, value in as_read.items():
                    held, wanted = getattr(self, name), value.to(getattr(self, name).device)
                    # what the user has changed since the file was read stays
                    held.copy_(torch.where(held == wanted.float(), wanted, held))
                return
            arrays = {name: value.numpy() for name, value in as_read.items()}
            for name, array in in_trained_units(arrays, self.scaling).items():
                getattr(self, name).copy_(torch.as_tensor(array))

    def to_sequential(self, replica: int = 0) -> nn.Sequential:
        """Return a copy of one replica as nn.Sequential(Linear(1, W), ReLU(), Linear(W, 1)), of the user's x and y.

        Its numbers are float64 if the run trained on scaled data: float32 has too few digits for x far from 0.
        """
        state = {name: getattr(self, name).detach()[replica] for name in PARAMETERS}
        if not self.scaling.identity:
            trained = {name: value.double().numpy(force=True) for name, value in state.items()}
            state = {name: torch.as_tensor(value) for name, value in in_user_units(trained, self.scaling).items()}
        return build_sequential(state)
