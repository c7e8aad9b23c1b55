"""Networks of ReLUs and similar units: the initial state, and the way from and to plain PyTorch.

Legend of shapes: R replicas, W_l units of hidden layer l.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from reluviz.core.initial_state import set_elbows, torch_default_state
from reluviz.core.models.architecture import Architecture
from reluviz.core.models.relu import in_trained_units, in_user_units
from reluviz.data.dataset import Dataset
from reluviz.models.module import RegressionModule, stack_replicas
from reluviz.models.relu_settings import trained_names
from reluviz.models.sequential import build_sequential, read_sequential


class NetworkModule(RegressionModule):
    """Abstract base of the networks; a subclass calls `build_network` after `__init__`.

    Attributes:
        architecture: the layers.
        train_mode: which layers are trained, the setting `train`.
        width: the number of hidden units of all layers.
    """

    architecture: Architecture
    train_mode: str
    width: int
    input_slope: nn.Parameter
    bias: nn.Parameter
    output_weight: nn.Parameter
    output_bias: nn.Parameter

    def build_network(
        self,
        architecture: Architecture,
        elbows: str,
        positions: Sequence[float] | None,
        domain: tuple[float, float] | None,
        train: str,
        init_from: str | None,
    ) -> None:
        """Create the parameters, [R, ...] for the shapes of the architecture, in their initial state.

        Args:
            architecture: the layers.
            elbows: where the elbows of the first layer are, one of `core.initial_state.ELBOW_PLACEMENTS`.
            positions: the elbows for elbows=given, in the user's units.
            domain: the interval on which elbows are placed, in the user's units; by default the data's.
            train: which layers are trained; see `relu_settings.trained_names`.
            init_from: a file with the initial state; see `sequential.read_sequential`.

        Raises:
            UserError: if the file cannot be used.
        """
        self.architecture, self.train_mode, self.width = architecture, train, sum(architecture.hidden)
        self.elbows, self.positions, self.domain = elbows, positions, domain
        self._file_state = None if init_from is None else read_sequential(init_from, architecture)
        if self._file_state is not None:
            states = [{name: value.float() for name, value in self._file_state.items()}] * len(self.seeds)
        else:
            low, high = domain or (0.0, 1.0)
            starts = [torch_default_state(seed, *architecture.hidden) for seed in self.seeds]
            for seed, start in zip(self.seeds, starts, strict=True):
                set_elbows(start, elbows, seed, low, high, positions, None)
            states = [{name: torch.from_numpy(value) for name, value in start.items()} for start in starts]
        trained = trained_names(architecture, train)
        for name in architecture.shapes:
            setattr(self, name, stack_replicas([state[name] for state in states]))
            getattr(self, name).requires_grad_(name in trained)

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
        """Return a copy of one replica as nn.Sequential(Linear(1, W_1), ReLU(), ..., Linear(W_L, 1)), of the user's x.

        Its numbers are float64 if the run trained on scaled data: float32 has too few digits for x far from 0.
        """
        state = {name: getattr(self, name).detach()[replica] for name in self.architecture.shapes}
        if not self.scaling.identity:
            trained = {name: value.double().numpy(force=True) for name, value in state.items()}
            state = {name: torch.as_tensor(value) for name, value in in_user_units(trained, self.scaling).items()}
        return build_sequential(state, self.architecture)
