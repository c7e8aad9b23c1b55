"""Everything that is known of a run after one of its updates: pure functions of parameters and data.

Legend of shapes: R replicas, N training points, n recorded points, W hidden units.
"""

import importlib.util
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reluviz import geometry, theory, votes
from reluviz.ballots import losses
from reluviz.data.dataset import Dataset
from reluviz.functions import Parameters

MOST_RECORDED = 2000
"""Samples whose own residual, vote and share are kept at a snapshot, at most."""
MANY = 2**21
"""Hidden units on all points from which losses and votes are computed by compiled code."""
MOST_TOGETHER = 2**19
"""Hidden units on all points that are computed together, about: more would leave the faster memories."""
LIMIT = 1e6
"""A loss beyond this many times the larger of the initial loss and var(y) counts as divergence."""


@dataclass(frozen=True)
class Taken:
    """What has to be kept of a run after `update` updates; all else follows from it, now or later.

    Attributes:
        update: how many updates have been made.
        time: when that was, in seconds since 1970.
        parameters: name -> [R] or [R, W], in float64.
        loss_batch: over the last minibatch before its update, [R]; NaN before the first.
    """

    update: int
    time: float
    parameters: Parameters
    loss_batch: Tensor

    def surely_sound(self, model: str, reach: float, height: float, bound: NDArray[np.float64]) -> bool:
        """Tell whether no replica can have diverged, without looking at the points; False if that is not certain.

        L <= (max |f| + max |y|)^2, and for the ReLU network |f| <= |c| + sum_k |v_k| (|w_k| max |x| + |b_k|).

        Args:
            model: constant, linear or relu.
            reach: max |x|.
            height: max |y|.
            bound: the largest loss of a replica that has not diverged, [R]; see `sound`.
        """
        p = {name: np.abs(value.numpy()) for name, value in self.parameters.items()}
        with np.errstate(all="ignore"):
            if model == "relu":
                hidden = reach * p["input_slope"] + p["bias"]
                largest = p["output_bias"] + np.einsum("rk,rk->r", p["output_weight"], hidden)
            else:
                largest = p["theta"] * (reach if model == "linear" else 1.0)
            # a comparison with NaN is false
            return bool(((largest + height) ** 2 <= bound).all())


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
    votes: votes.VoteSummary
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
        return dict(zip(geometry.STATUS, self._units.counts.unbind(-1), strict=True))

    def gradients(self, replicas: int | None = None) -> dict[str, NDArray[np.float64]]:
        """Return g_i = grad(r_i^2) of the recorded samples, trained name -> [R, n] or [R, n, W].

        Args:
            replicas: of so many replicas only, the first ones; of all by default.
        """
        if self.votes.each is not None:
            return {name: value[:replicas] for name, value in self.votes.each().items()}
        kept = recorded(len(self.x))
        some = {name: value[:replicas] for name, value in self.parameters.items()}
        g = votes.per_sample_gradients(self.model, some, self.x[kept], self.y[kept], self.trained)
        return {name: value.numpy() for name, value in g.items()}

    def contributions(self, replicas: int | None = None) -> dict[str, Tensor]:
        """Return c_i = g_i / N of the recorded samples, trained name -> [R, n] or [R, n, W]; see `gradients`."""
        return {name: torch.from_numpy(value) / len(self.x) for name, value in self.gradients(replicas).items()}

    def sound(self, initial_loss: Tensor) -> NDArray[np.bool_]:
        """Tell which replicas have not diverged, [R].

        Diverged means not finite, or a training loss beyond `LIMIT` times the larger of the initial loss [R]
        and var(y).
        """
        # a comparison with NaN is false
        sound: NDArray[np.bool_] = self.loss_train.numpy() <= largest_loss(initial_loss, self.y)
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


def largest_loss(initial_loss: Tensor, y: Tensor) -> NDArray[np.float64]:
    """Return the training loss beyond which a replica has diverged, [R]; see `Snapshot.sound`."""
    bound = LIMIT * np.maximum(initial_loss.numpy(), np.var(y.numpy()))
    return np.asarray(np.minimum(bound, np.finfo(float).max))


def take(
    model: str,
    parameters: Parameters,
    trained: tuple[str, ...],
    dataset: Dataset,
    update: int,
    batch_loss: Tensor,
    shown: int | None = None,
) -> Snapshot:
    """Take a snapshot of parameters (float64, name -> [R] or [R, W]) on a data set; see `develop`."""
    kept = Taken(update, time.time(), parameters, batch_loss.detach().to("cpu", torch.float64, copy=True))
    return develop(model, [kept], trained, dataset, shown)[0]


def develop(
    model: str, taken: Sequence[Taken], trained: tuple[str, ...], dataset: Dataset, shown: int | None = None
) -> list[Snapshot]:
    """Work out snapshots that were taken of a run, together: S snapshots of R replicas are computed as S R replicas.

    What is found does not depend, bit for bit, on which snapshots are worked out together.

    Args:
        model: constant, linear or relu.
        taken: the snapshots.
        trained: names of the trained parameters.
        dataset: the points.
        shown: of replicas beyond the first so many the figures of single samples need not be known.
    """
    parameters = taken[0].parameters
    gradients = sum(value.numel() for value in parameters.values()) * min(len(dataset.x), MOST_RECORDED)
    most = min(MOST_TOGETHER // hidden(parameters, _points(dataset)), votes.MOST_KEPT // gradients)
    together = max(1, most)
    found: list[Snapshot] = []
    for first in range(0, len(taken), together):
        found += _develop(model, taken[first : first + together], trained, dataset, shown)
    return found


def _develop(
    model: str, taken: Sequence[Taken], trained: tuple[str, ...], dataset: Dataset, shown: int | None
) -> list[Snapshot]:
    x, y = torch.from_numpy(dataset.x), torch.from_numpy(dataset.y)
    test_points = None
    if dataset.x_test is not None and dataset.y_test is not None:
        test_points = torch.from_numpy(dataset.x_test), torch.from_numpy(dataset.y_test)
    kept = recorded(len(x))
    some = kept if len(kept) < len(x) else None
    replicas = len(taken[0].loss_batch)
    parameters: Parameters = taken[0].parameters
    if len(taken) > 1:
        parameters = {name: torch.cat([one.parameters[name] for one in taken]) for name in parameters}
    test = None
    if compiled(model, taken[0].parameters, _points(dataset)):
        # numba takes half a second to import
        from reluviz import tally

        found = tally.summarize(parameters, x, y, trained, some, shown)
        train = tally.losses(parameters, x, y)
        if test_points is not None:
            test = tally.losses(parameters, *test_points)
    else:
        found = votes.summarize(model, parameters, x, y, trained, some)
        # where every point is recorded, their residuals have been computed
        squares = None if some is not None else np.square(found.residual.numpy()).mean(-1)
        train = torch.from_numpy(losses(model, parameters, dataset.x, dataset.y) if squares is None else squares)
        if dataset.x_test is not None and dataset.y_test is not None:
            test = torch.from_numpy(losses(model, parameters, dataset.x_test, dataset.y_test))
    units: Sequence[Units | None] = [None] * len(taken)
    if model == "relu":
        w, b, v = (parameters[name] for name in ("input_slope", "bias", "output_weight"))
        status = geometry.unit_status(w, b, x)
        counts = torch.stack([(status == code).sum(-1) for code in range(len(geometry.STATUS))], dim=-1)
        parts = (geometry.elbow(w, b), geometry.slope_jump(w, v), status, counts)
        units = [Units(*each) for each in zip(*(part.split(replicas) for part in parts), strict=True)]
    losses_test = [None] * len(taken) if test is None else test.split(replicas)
    each = zip(taken, train.split(replicas), losses_test, found.split(replicas), units, strict=True)
    return [
        Snapshot(
            model=model,
            update=one.update,
            time=one.time,
            parameters=one.parameters,
            trained=trained,
            x=x,
            y=y,
            loss_train=loss_train,
            loss_test=loss_test,
            loss_batch=one.loss_batch,
            votes=summary,
            units=own,
        )
        for one, loss_train, loss_test, summary, own in each
    ]


def hidden(parameters: Parameters, points: int) -> int:
    """Return how many numbers the hidden layers of all replicas hold on so many points."""
    return max(value.numel() for value in parameters.values()) * points


def compiled(model: str, parameters: Parameters, points: int) -> bool:
    """Tell whether there are so many hidden units on all points that `tally` is worth its compiling."""
    if model != "relu" or hidden(parameters, points) < MANY:
        return False
    return importlib.util.find_spec("numba") is not None


def _points(dataset: Dataset) -> int:
    return len(dataset.x) + (0 if dataset.x_test is None else len(dataset.x_test))


def optimum(model: str, dataset: Dataset) -> Tensor | None:
    """Return theta* of the constant and the linear model; None for the ReLU network, which has no single one."""
    y = torch.from_numpy(dataset.y)
    if model == "constant":
        return theory.constant.optimum(y)
    if model == "linear":
        return theory.linear.optimum(torch.from_numpy(dataset.x), y)
    return None
