"""The one-hidden-layer ReLU network f(x) = c + sum_k v_k relu(w_k x + b_k)."""

from collections.abc import Sequence
from typing import Any

from reluviz.core.models.architecture import Architecture
from reluviz.engines import predict
from reluviz.models.network import NetworkModule
from reluviz.models.relu_settings import check_settings


class ReLUModule(NetworkModule):
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
        self.ridge = ridge
        self.build_network(Architecture((width,)), elbows, positions, domain, train, init_from)
