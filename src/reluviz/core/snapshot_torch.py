"""A computed snapshot of a run as tensors: losses, votes, hidden units and divergence, for the public API.

`core/snapshot.py` does the computing, with NumPy; the tensors share the memory of its arrays.

Legend of shapes: R replicas, N training points, n recorded points, W hidden units.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reluviz.core import elbows, theory, votes_torch
from reluviz.core.functions_torch import Parameters
from reluviz.core.snapshot import (
    CompiledVotes,
    RawSnapshot,
    Snapshots,
    compute_snapshots,
    largest_loss,
    recorded_samples,
)
from reluviz.core.votes_torch import VoteSummary
from reluviz.data.dataset import Dataset


@dataclass(frozen=True)
class Units:
    """The hidden units of a ReLU network.

    Attributes:
        elbow: [R, W]; NaN where w = 0.
        slope_jump: [R, W].
        status: indices into `elbows.STATUS`, [R, W].
        counts: the number of units with each status, [R, 3].
    """

    elbow: Tensor
    slope_jump: Tensor
    status: Tensor
    counts: Tensor


@dataclass(frozen=True)
class Snapshot:
    """A run after `update` updates, in float64.

    Attributes:
        model: constant, linear or relu.
        update: the number of updates so far.
        time: when the snapshot was stored, in seconds since 1970.
        parameters: name -> [R] or [R, W].
        trained: names of the trained parameters.
        x: training inputs [N].
        y: training outputs [N].
        loss_train: mean squared error over all training points, [R].
        loss_test: mean squared error over the test points, [R]; None without test points.
        loss_batch: loss over the last minibatch before its update, [R]; NaN before the first update.
        votes: the votes; its arrays of single samples may cover the first replicas only.
        units: the hidden units; None for a model without hidden units.
    """

    model: str
    update: int
    time: float
    parameters: Parameters
    trained: tuple[str, ...]
    x: Tensor
    y: Tensor
    loss_train: Tensor
    loss_test: Tensor | None
    loss_batch: Tensor
    votes: VoteSummary
    units: Units | None

    @property
    def elbow(self) -> Tensor:
        """Elbows, [R, W]; NaN where w = 0."""
        return self._units.elbow

    @property
    def slope_jump(self) -> Tensor:
        """Slope jumps, [R, W]."""
        return self._units.slope_jump

    @property
    def unit_status(self) -> Tensor:
        """Indices into `geometry.STATUS`, [R, W]."""
        return self._units.status

    @property
    def _units(self) -> Units:
        if self.units is None:
            raise AttributeError(f"the {self.model} model has no hidden units")
        return self.units

    @property
    def unit_counts(self) -> dict[str, Tensor]:
        """The number of dead, linear and bent units, name -> [R]."""
        return dict(zip(elbows.STATUS, self._units.counts.unbind(-1), strict=True))

    def gradients(self, replicas: int | None = None) -> dict[str, NDArray[np.float64]]:
        """Return g_i = grad(r_i^2) of the recorded samples, trained name -> [R, n] or [R, n, W].

        Args:
            replicas: return the gradients of this many replicas, the first ones; of all by default.
        """
        if self.votes.per_sample is not None:
            return {name: value[:replicas] for name, value in self.votes.per_sample().items()}
        sample = torch.from_numpy(recorded_samples(len(self.x)))
        p = {name: value[:replicas] for name, value in self.parameters.items()}
        g = votes_torch.per_sample_gradients(self.model, p, self.x[sample], self.y[sample], self.trained)
        return {name: value.numpy() for name, value in g.items()}

    def contributions(self, replicas: int | None = None) -> dict[str, Tensor]:
        """Return c_i = g_i / N of the recorded samples, trained name -> [R, n] or [R, n, W]; see `gradients`."""
        return {name: torch.from_numpy(value) / len(self.x) for name, value in self.gradients(replicas).items()}

    def not_diverged(self, initial_loss: Tensor) -> NDArray[np.bool_]:
        """Return which replicas have not diverged, [R].

        A replica has diverged if a parameter is not finite, or if its training loss exceeds
        `core.snapshot.DIVERGENCE_FACTOR` times the larger of the initial loss [R] and var(y).
        """
        # NaN compares as False
        not_diverged: NDArray[np.bool_] = self.loss_train.numpy() <= largest_loss(initial_loss.numpy(), self.y.numpy())
        for value in self.parameters.values():
            not_diverged &= np.isfinite(value.numpy()).reshape(len(value), -1).all(axis=1)
        return not_diverged

    def divergence(self, initial_loss: Tensor) -> tuple[int, str] | None:
        """Return the first replica that has diverged and its largest trained parameter; None if none has diverged.

        Args:
            initial_loss: the training loss before the first update, [R]; see `not_diverged`.
        """
        not_diverged = self.not_diverged(initial_loss)
        if not_diverged.all():
            return None
        r = int(np.argmin(not_diverged))
        largest = {name: self.parameters[name][r].abs().nan_to_num(torch.inf).max() for name in self.trained}
        return r, max(largest, key=lambda name: float(largest[name]))


def compute_snapshot(
    model: str,
    parameters: Parameters,
    trained: tuple[str, ...],
    dataset: Dataset,
    update: int,
    batch_loss: Tensor,
    shown: int | None = None,
    compiled: Callable[[], CompiledVotes | None] | None = None,
) -> Snapshot:
    """Return the snapshot of the given parameters, float64, name -> [R] or [R, W]; see `core.snapshot`."""
    values = {name: value.numpy() for name, value in parameters.items()}
    raw = RawSnapshot(update, time.time(), values, batch_loss.detach().to("cpu", torch.float64, copy=True).numpy())
    return compute_tensor_snapshots(model, [raw], trained, dataset, shown, compiled)[0]


def compute_tensor_snapshots(
    model: str,
    raw: Sequence[RawSnapshot],
    trained: tuple[str, ...],
    dataset: Dataset,
    shown: int | None = None,
    compiled: Callable[[], CompiledVotes | None] | None = None,
) -> list[Snapshot]:
    """Return the computed snapshots of a run as tensors; see `core.snapshot.compute_snapshots`."""
    groups = compute_snapshots(model, raw, trained, dataset, shown, compiled)
    return [snapshot for group in groups for snapshot in unstack(group)]


def unstack(snapshots: Snapshots) -> Iterator[Snapshot]:
    """Yield the snapshots one by one, as tensors that share the memory of the arrays."""
    x, y = torch.from_numpy(snapshots.dataset.x), torch.from_numpy(snapshots.dataset.y)
    for s, (update, moment) in enumerate(zip(snapshots.updates, snapshots.times, strict=True)):
        units = None
        if snapshots.units is not None:
            arrays = (snapshots.units.elbow, snapshots.units.slope_jump, snapshots.units.status, snapshots.units.counts)
            units = Units(*(torch.from_numpy(array[s]) for array in arrays))
        yield Snapshot(
            model=snapshots.model,
            update=update,
            time=moment,
            parameters={name: torch.from_numpy(value[s]) for name, value in snapshots.parameters.items()},
            trained=snapshots.trained,
            x=x,
            y=y,
            loss_train=torch.from_numpy(snapshots.loss_train[s]),
            loss_test=None if snapshots.loss_test is None else torch.from_numpy(snapshots.loss_test[s]),
            loss_batch=torch.from_numpy(snapshots.loss_batch[s]),
            votes=VoteSummary.from_arrays(snapshots.votes.subset(s)),
            units=units,
        )


def optimum(model: str, dataset: Dataset) -> Tensor | None:
    """Return theta* of the constant or the linear model; None for the ReLU network, whose optimum is not unique."""
    y = torch.from_numpy(dataset.y)
    if model == "constant":
        return theory.constant.optimum(y)
    if model == "linear":
        return theory.linear.optimum(torch.from_numpy(dataset.x), y)
    return None
