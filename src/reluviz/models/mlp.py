"""Chains of any depth: hidden layers of ReLUs, leaky ReLUs or absolute values, and a linear output layer."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from reluviz.engines import predict
from reluviz.engines.predict import TensorParameters
from reluviz.models.network import NetworkModule
from reluviz.models.relu_settings import check_chain_settings


class MLPModule(NetworkModule):
    """A chain h_l = phi(W_l h_(l-1) + b_l), f(x) = v . h_L + c, with h_0 = x.

    Parameters are input_slope and bias [R, W_1], weight_l [R, W_l, W_(l-1)] and bias_l [R, W_l] for l = 2, ..., L,
    output_weight [R, W_L] and output_bias [R]. One hidden layer of ReLUs is the model of `ReLUModule`: it has the same
    parameters, kernels and record.

    Args:
        hidden: the widths of the hidden layers, as in (20, 20).
        activation: phi: relu, leaky, or abs for |z|.
        slope: the slope of leaky where z < 0.
        elbows: the initial elbows of the first layer; see `ReLUModule`. The other layers begin as torch's do.
        positions: the W_1 elbows for elbows=given, in the user's units.
        domain: the interval on which elbows are placed, in the user's units; by default the data's, which is known
            when training begins.
        train: all, output (v and c) or hidden (all hidden layers).
        init_from: a file with the state_dict of nn.Sequential(Linear(1, W_1), ReLU(), ..., Linear(W_L, 1)), of
            torch.save or JSON; the initial state of every replica, a network of the user's x and y.
        seeds: one seed for each replica; see `RegressionModule` for this and the arguments below.
        optimizer: `_target_` and arguments.
        scheduler: `_target_` and arguments, or None.
        engine: name of the engine that makes the updates.

    Raises:
        UserError: for invalid or contradictory settings, or a file that cannot be used.
    """

    def __init__(
        self,
        hidden: Sequence[int] | int = (20, 20),
        activation: str = "relu",
        slope: float = 0.01,
        elbows: str = "uniform",
        positions: Sequence[float] | None = None,
        domain: tuple[float, float] | None = None,
        train: str = "all",
        init_from: str | None = None,
        *,
        seeds: Sequence[int] = (0,),
        optimizer: dict[str, Any] | None = None,
        scheduler: dict[str, Any] | None = None,
        engine: str = "auto",
    ) -> None:
        # plain Python numbers, which a checkpoint can store
        seeds = [int(seed) for seed in seeds]
        found = check_chain_settings(hidden, activation, slope, elbows, positions, train)
        hidden, slope, positions = found.hidden, found.slope, found.positions
        super().__init__(seeds=seeds, optimizer=optimizer, scheduler=scheduler, engine=engine)
        # a checkpoint holds the weights, and must load without this file
        self.save_hyperparameters(logger=False, ignore=["init_from"])
        self.model = found.model
        self.build_network(found.architecture, elbows, positions, domain, train, init_from)

    @classmethod
    def model_of(cls, settings: Mapping[str, Any]) -> str:
        """Return the name of the model that the class builds from these settings."""
        arguments = inspect.signature(cls).parameters
        shape = {name: settings.get(name, arguments[name].default) for name in ("hidden", "activation", "slope")}
        return check_chain_settings(**shape, elbows="torch", positions=None, train="all").model

    def predict(self, p: TensorParameters, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return f(x), [R, N], from the parameters."""
        return predict.chain(self.architecture, p, x)
