"""Everything that is known of a run after one of its updates: pure functions of parameters and data.

Legend of shapes: R replicas, N training points, n recorded points, W hidden units.
"""

import importlib.util
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reluviz import geometry, theory, votes
from reluviz.data.dataset import Dataset
from reluviz.functions import Parameters, mean_squared_error

MOST_RECORDED = 2000
"""Samples whose own residual, vote and share are kept at a snapshot, at most."""
MANY = 2**21
"""Hidden units on all points from which losses and votes are computed by compiled code."""
LIMIT = 1e6
"""A loss beyond this many times the larger of the initial loss and var(y) counts as divergence."""


@dataclass(frozen=True)
class Snapshot:
    """A run after `update` updates, in float64.

    Attributes:
        model: constant, linear or relu.
        update: how many updates have been made.
        parameters: name -> [R] or [R, W].
        trained: names of the trained parameters.
        x: training inputs [N].
        y: training outputs [N].
        loss_train: mean squared error over all training points, [R].
        loss_test: over the test points, [R]; None without test points.
        loss_batch: over the last minibatch before its update, [R]; NaN before the first.
        votes: who votes for what; the figures of single samples may be those of the first replicas only.
    """

    model: str
    update: int
    parameters: Parameters
    trained: tuple[str, ...]
    x: Tensor
    y: Tensor
    loss_train: Tensor
    loss_test: Tensor | None
    loss_batch: Tensor
    votes: votes.VoteSummary

    @cached_property
    def elbow(self) -> Tensor:
        """Elbows, [R, W]; NaN where w = 0."""
        return geometry.elbow(self.parameters["input_slope"], self.parameters["bias"])

    @cached_property
    def slope_jump(self) -> Tensor:
        """Slope jumps, [R, W]."""
        return geometry.slope_jump(self.parameters["input_slope"], self.parameters["output_weight"])

    @cached_property
    def unit_status(self) -> Tensor:
        """Indices into `geometry.STATUS`, [R, W]."""
        return geometry.unit_status(self.parameters["input_slope"], self.parameters["bias"], self.x)

    @property
    def unit_counts(self) -> dict[str, Tensor]:
        """How many units are dead, linear and bent, name -> [R]."""
        counts = nn.functional.one_hot(self.unit_status, len(geometry.STATUS)).sum(-2)
        return dict(zip(geometry.STATUS, counts.unbind(-1), strict=True))

    def contributions(self, replicas: int | None = None) -> dict[str, Tensor]:
        """Return c_i = g_i / N of the recorded samples, trained name -> [R, n] or [R, n, W].

        Args:
            replicas: of so many replicas only, the first ones; of all by default.
        """
        if self.votes.each is not None:
            g = {name: value[:replicas] for name, value in self.votes.each().items()}
        else:
            kept = recorded(len(self.x))
            some = {name: value[:replicas] for name, value in self.parameters.items()}
            g = votes.per_sample_gradients(self.model, some, self.x[kept], self.y[kept], self.trained)
        return {name: value / len(self.x) for name, value in g.items()}

    def sound(self, initial_loss: Tensor) -> NDArray[np.bool_]:
        """Tell which replicas have not diverged, [R].

        Diverged means not finite, or a training loss beyond `LIMIT` times the larger of the initial loss [R]
        and var(y).
        """
        bound = LIMIT * np.maximum(initial_loss.numpy(), np.var(self.y.numpy()))
        # a comparison with NaN is false
        sound: NDArray[np.bool_] = self.loss_train.numpy() <= np.minimum(bound, np.finfo(float).max)
        for value in self.parameters.values():
            sound &= np.isfinite(value.numpy()).reshape(len(value), -1).all(axis=1)
        return sound

    def divergence(self, initial_loss: Tensor) -> tuple[int, str] | None:
        """Return the first replica that has diverged and the parameter that shows it; None if all is well.

        Args:
            initial_loss: see `sound`.
        """
        sound = self.sound(initial_loss)
        if sound.all():
            return None
        r = int(np.argmin(sound))
        largest = {name: self.parameters[name][r].abs().nan_to_num(torch.inf).max() for name in self.trained}
        return r, max(largest, key=lambda name: float(largest[name]))


def recorded(samples: int) -> Tensor:
    """Return the indices of the samples whose own votes are kept: all, or an even subsample of the sorted inputs."""
    if samples <= MOST_RECORDED:
        return torch.arange(samples)
    return torch.from_numpy(np.linspace(0, samples - 1, MOST_RECORDED).round().astype(np.int64))


def take(
    model: str,
    parameters: Parameters,
    trained: tuple[str, ...],
    dataset: Dataset,
    update: int,
    batch_loss: Tensor,
    shown: int | None = None,
) -> Snapshot:
    """Take a snapshot of parameters (float64, name -> [R] or [R, W]) on a data set.

    Of replicas beyond the first `shown` the figures of single samples need not be known.
    """
    x, y = torch.from_numpy(dataset.x), torch.from_numpy(dataset.y)
    test_points = None
    if dataset.x_test is not None and dataset.y_test is not None:
        test_points = torch.from_numpy(dataset.x_test), torch.from_numpy(dataset.y_test)
    kept = recorded(len(x))
    some = kept if len(kept) < len(x) else None
    test = None
    if compiled(model, parameters, len(x) + (0 if test_points is None else len(test_points[0]))):
        # numba takes half a second to import
        from reluviz import tally

        found = tally.summarize(parameters, x, y, trained, some, shown)
        train = tally.losses(parameters, x, y)
        if test_points is not None:
            test = tally.losses(parameters, *test_points)
    else:
        found = votes.summarize(model, parameters, x, y, trained, some)
        # where every point is recorded, their residuals have been computed
        train = found.residual.square().mean(-1) if some is None else mean_squared_error(model, parameters, x, y)
        if test_points is not None:
            test = mean_squared_error(model, parameters, *test_points)
    return Snapshot(
        model=model,
        update=update,
        parameters=parameters,
        trained=trained,
        x=x,
        y=y,
        loss_train=train,
        loss_test=test,
        loss_batch=batch_loss.detach().to("cpu", torch.float64, copy=True),
        votes=found,
    )


def compiled(model: str, parameters: Parameters, points: int) -> bool:
    """Tell whether there are so many hidden units on all points that `tally` is worth its compiling."""
    if model != "relu" or parameters["bias"].numel() * points < MANY:
        return False
    return importlib.util.find_spec("numba") is not None


def optimum(model: str, dataset: Dataset) -> Tensor | None:
    """Return theta* of the constant and the linear model; None for the ReLU network, which has no single one."""
    y = torch.from_numpy(dataset.y)
    if model == "constant":
        return theory.constant.optimum(y)
    if model == "linear":
        return theory.linear.optimum(torch.from_numpy(dataset.x), y)
    return None
