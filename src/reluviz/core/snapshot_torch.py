"""Everything that is known of a run after one of its updates, as tensors: pure functions of parameters and data.

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
from reluviz.core.snapshot import CompiledVotes, RawSnapshot, Snapshots, compute_snapshots, largest_loss, recorded
from reluviz.core.votes_torch import VoteSummary
from reluviz.data.dataset import Dataset


@dataclass(frozen=True)
class Units:
    """The hidden units of a ReLU network.

    Attributes:
        elbow: [R, W]; NaN where w = 0.
        slope_jump: [R, W].
        status: indices into `geometry.STATUS`, [R, W].
        counts: how many units have each status, [R, 3].
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
        update: how many updates have been made.
        time: when that was, in seconds since 1970.
        parameters: name -> [R] or [R, W].
        trained: names of the trained parameters.
        x: training inputs [N].
        y: training outputs [N].
        loss_train: mean squared error over all training points, [R].
        loss_test: over the test points, [R]; None without test points.
        loss_batch: over the last minibatch before its update, [R]; NaN before the first.
        votes: who votes for what; the figures of single samples may be those of the first replicas only.
        units: the hidden units; None without any.
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
        """How many units are dead, linear and bent, name -> [R]."""
        return dict(zip(elbows.STATUS, self._units.counts.unbind(-1), strict=True))

    def gradients(self, replicas: int | None = None) -> dict[str, NDArray[np.float64]]:
        """Return g_i = grad(r_i^2) of the recorded samples, trained name -> [R, n] or [R, n, W].

        Args:
            replicas: of so many replicas only, the first ones; of all by default.
        """
        if self.votes.each is not None:
            return {name: value[:replicas] for name, value in self.votes.each().items()}
        kept = torch.from_numpy(recorded(len(self.x)))
        some = {name: value[:replicas] for name, value in self.parameters.items()}
        g = votes_torch.per_sample_gradients(self.model, some, self.x[kept], self.y[kept], self.trained)
        return {name: value.numpy() for name, value in g.items()}

    def contributions(self, replicas: int | None = None) -> dict[str, Tensor]:
        """Return c_i = g_i / N of the recorded samples, trained name -> [R, n] or [R, n, W]; see `gradients`."""
        return {name: torch.from_numpy(value) / len(self.x) for name, value in self.gradients(replicas).items()}

    def sound(self, initial_loss: Tensor) -> NDArray[np.bool_]:
        """Tell which replicas have not diverged, [R].

        Diverged means not finite, or a training loss beyond `album.LIMIT` times the larger of the initial loss [R]
        and var(y).
        """
        # a comparison with NaN is false
        sound: NDArray[np.bool_] = self.loss_train.numpy() <= largest_loss(initial_loss.numpy(), self.y.numpy())
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


def take(
    model: str,
    parameters: Parameters,
    trained: tuple[str, ...],
    dataset: Dataset,
    update: int,
    batch_loss: Tensor,
    shown: int | None = None,
    compiled: Callable[[], CompiledVotes | None] | None = None,
) -> Snapshot:
    """Return the snapshot of parameters (float64, name -> [R] or [R, W]) on a data set; see `core.snapshot`."""
    values = {name: value.numpy() for name, value in parameters.items()}
    kept = RawSnapshot(update, time.time(), values, batch_loss.detach().to("cpu", torch.float64, copy=True).numpy())
    return compute_tensor_snapshots(model, [kept], trained, dataset, shown, compiled)[0]


def compute_tensor_snapshots(
    model: str,
    raw: Sequence[RawSnapshot],
    trained: tuple[str, ...],
    dataset: Dataset,
    shown: int | None = None,
    compiled: Callable[[], CompiledVotes | None] | None = None,
) -> list[Snapshot]:
    """Return the computed snapshots of a run as tensors; see `core.snapshot.compute_snapshots`."""
    stacks = compute_snapshots(model, raw, trained, dataset, shown, compiled)
    return [one for stack in stacks for one in snapshots(stack)]


def snapshots(album: Snapshots) -> Iterator[Snapshot]:
    """Yield the snapshots of an album, one after another, as tensors that share its memory."""
    x, y = torch.from_numpy(album.dataset.x), torch.from_numpy(album.dataset.y)
    for s, (update, moment) in enumerate(zip(album.updates, album.times, strict=True)):
        units = None
        if album.units is not None:
            each = (album.units.elbow, album.units.slope_jump, album.units.status, album.units.counts)
            units = Units(*(torch.from_numpy(part[s]) for part in each))
        yield Snapshot(
            model=album.model,
            update=update,
            time=moment,
            parameters={name: torch.from_numpy(value[s]) for name, value in album.parameters.items()},
            trained=album.trained,
            x=x,
            y=y,
            loss_train=torch.from_numpy(album.loss_train[s]),
            loss_test=None if album.loss_test is None else torch.from_numpy(album.loss_test[s]),
            loss_batch=torch.from_numpy(album.loss_batch[s]),
            votes=VoteSummary.of(album.votes.some(s)),
            units=units,
        )


def optimum(model: str, dataset: Dataset) -> Tensor | None:
    """Return theta* of the constant and the linear model; None for the ReLU network, which has no single one."""
    y = torch.from_numpy(dataset.y)
    if model == "constant":
        return theory.constant.optimum(y)
    if model == "linear":
        return theory.linear.optimum(torch.from_numpy(dataset.x), y)
    return None
