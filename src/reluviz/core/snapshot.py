"""Snapshots of a run, worked out together on NumPy's arrays: losses, votes, and where the units are.

Nothing here needs torch, so that a process that only works out, records and draws can do without.

Legend of shapes: S snapshots, R replicas, V replicas whose single samples are known, N training points, n recorded
points, W hidden units.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reluviz.core import functions
from reluviz.core import votes as core_votes
from reluviz.core.functions import Array
from reluviz.core.votes import VoteTotals
from reluviz.data.dataset import Dataset

MOST_RECORDED = 2000
"""Samples whose own residual, vote and share are kept at a snapshot, at most."""
MOST_SHOWN = 50
"""Replicas whose votes are recorded, and which are shown one by one, at most: the first ones."""
MANY = 2**21
"""Hidden units on all points from which losses and votes are computed by compiled code."""
MOST_TOGETHER = 2**20
"""Hidden units on all points that are computed together, about: more would leave the faster memories."""
LIMIT = 1e6
"""A loss beyond this many times the larger of the initial loss and var(y) counts as divergence."""

Values = Mapping[str, Array]
"""Parameters by name: [R] or [R, W] of one snapshot, [S, R] or [S, R, W] of several."""


@dataclass(frozen=True)
class RawSnapshot:
    """What has to be kept of a run after `update` updates; all else follows from it, now or later.

    Attributes:
        update: how many updates have been made.
        time: when that was, in seconds since 1970.
        parameters: name -> [R] or [R, W].
        loss_batch: over the last minibatch before its update, [R]; NaN before the first.
    """

    update: int
    time: float
    parameters: Values
    loss_batch: Array

    def surely_sound(self, model: str, reach: float, height: float, bound: Array) -> bool:
        """Tell whether no replica can have diverged, without looking at the points; False if that is not certain.

        L <= (max |f| + max |y|)^2, and for the ReLU network |f| <= |c| + sum_k |v_k| (|w_k| max |x| + |b_k|).

        Args:
            model: constant, linear or relu.
            reach: max |x|.
            height: max |y|.
            bound: the largest loss of a replica that has not diverged, [R]; see `largest_loss`.
        """
        p = {name: np.abs(value) for name, value in self.parameters.items()}
        with np.errstate(all="ignore"):
            if model == "relu":
                hidden = reach * p["input_slope"] + p["bias"]
                hidden *= p["output_weight"]
                largest = p["output_bias"] + hidden.sum(-1)
            else:
                largest = p["theta"] * (reach if model == "linear" else 1.0)
            # a comparison with NaN is false
            return bool(((largest + height) ** 2 <= bound).all())


@dataclass(frozen=True)
class Units:
    """The hidden units of ReLU networks.

    Attributes:
        elbow: [S, R, W]; NaN where w = 0.
        slope_jump: [S, R, W].
        status: indices into `arrays.STATUS`, [S, R, W].
        counts: how many units have each status, [S, R, 3].
    """

    elbow: Array
    slope_jump: Array
    status: NDArray[np.int64]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Snapshots:
    """Snapshots of a run, one after another.

    Attributes:
        model: constant, linear or relu.
        updates: how many updates have been made, S of them.
        times: when that was, in seconds since 1970.
        parameters: name -> [S, R] or [S, R, W].
        trained: names of the trained parameters.
        dataset: the points.
        loss_train: mean squared error over all training points, [S, R].
        loss_test: over the test points, [S, R]; None without test points.
        loss_batch: over the last minibatch before its update, [S, R]; NaN before the first.
        votes: who votes for what; [S, R, ...] and, of single samples, [S, V, n].
        units: the hidden units; None without any.
    """

    model: str
    updates: tuple[int, ...]
    times: tuple[float, ...]
    parameters: Values
    trained: tuple[str, ...]
    dataset: Dataset
    loss_train: Array
    loss_test: Array | None
    loss_batch: Array
    votes: VoteTotals
    units: Units | None

    def __len__(self) -> int:
        return len(self.updates)

    def some(self, own: slice) -> "Snapshots":
        """Return some of the snapshots."""
        units = None
        if self.units is not None:
            each = (self.units.elbow, self.units.slope_jump, self.units.status, self.units.counts)
            units = Units(*(part[own] for part in each))  # type: ignore[arg-type]
        return Snapshots(
            self.model,
            self.updates[own],
            self.times[own],
            {name: value[own] for name, value in self.parameters.items()},
            self.trained,
            self.dataset,
            self.loss_train[own],
            None if self.loss_test is None else self.loss_test[own],
            self.loss_batch[own],
            self.votes.some(own),
            units,
        )

    def gradients(self, replicas: int | None = None) -> dict[str, Array]:
        """Return g_i = grad(r_i^2) of the recorded samples, trained name -> [S, R, n] or [S, R, n, W].

        Args:
            replicas: of so many replicas only, the first ones; of all by default.
        """
        if self.votes.each is not None:
            return {name: value[:, :replicas] for name, value in self.votes.each().items()}
        some = {name: value[:, :replicas] for name, value in self.parameters.items()}
        kept = recorded(len(self.dataset.x))
        with np.errstate(all="ignore"):
            found = core_votes.per_sample_gradients(
                self.model, _flat(some), self.dataset.x[kept], self.dataset.y[kept], self.trained
            ).gradients()
        return {name: value.reshape(len(self), -1, *value.shape[1:]) for name, value in found.items()}

    def sound(self, bound: Array) -> NDArray[np.bool_]:
        """Tell which replicas have not diverged, [S, R].

        Diverged means not finite, or a training loss beyond its bound; see `largest_loss`.
        """
        # a comparison with NaN is false
        sound: NDArray[np.bool_] = self.loss_train <= bound
        for value in self.parameters.values():
            sound &= np.isfinite(value).reshape(*sound.shape, -1).all(axis=-1)
        return sound


class CompiledVotes(Protocol):
    """The compiled functions that compute large snapshots of ReLU networks: `reluviz.engines.votes`."""

    def losses(self, p: Values, x: Array, y: Array) -> Array:
        """Return L = (1/N) sum_i r_i^2, [R]."""

    def summarize(
        self,
        p: Values,
        x: Array,
        y: Array,
        trained: Collection[str],
        recorded: NDArray[np.int64] | None = None,
        shown: int | None = None,
    ) -> VoteTotals:
        """Return the votes of all samples; see `core.votes.summarize`."""


def recorded(samples: int) -> NDArray[np.int64]:
    """Return the indices of the samples whose own votes are kept: all, or an even subsample of the sorted inputs."""
    if samples <= MOST_RECORDED:
        return np.arange(samples)
    return np.linspace(0, samples - 1, MOST_RECORDED).round().astype(np.int64)


def largest_loss(initial_loss: Array, y: Array) -> Array:
    """Return the training loss beyond which a replica has diverged, [R].

    That is `LIMIT` times the larger of the initial loss [R] and var(y).
    """
    bound = LIMIT * np.maximum(initial_loss, np.var(y))
    return np.asarray(np.minimum(bound, np.finfo(float).max))


def compute_snapshots(
    model: str,
    raw: Sequence[RawSnapshot],
    trained: tuple[str, ...],
    dataset: Dataset,
    shown: int | None = None,
    compiled: Callable[[], CompiledVotes | None] | None = None,
) -> Iterator[Snapshots]:
    """Yield the computed snapshots of a run, several at a time: S snapshots of R replicas are computed as S R replicas.

    The result does not depend, bit for bit, on which snapshots are computed together.

    Args:
        model: constant, linear or relu.
        raw: the snapshots.
        trained: names of the trained parameters.
        dataset: the points.
        shown: the figures of single samples are needed for this many replicas only, the first ones.
        compiled: returns the compiled functions that compute large snapshots; by default NumPy computes all.
    """
    parameters = raw[0].parameters
    gradients = sum(value.size for value in parameters.values()) * min(len(dataset.x), MOST_RECORDED)
    most = min(MOST_TOGETHER // hidden(parameters, points(dataset)), core_votes.MOST_KEPT // gradients)
    together = max(1, most)
    large = compiled() if compiled is not None and is_large(model, parameters, points(dataset)) else None
    for first in range(0, len(raw), together):
        yield _compute(model, raw[first : first + together], trained, dataset, shown, large)


def _compute(
    model: str,
    raw: Sequence[RawSnapshot],
    trained: tuple[str, ...],
    dataset: Dataset,
    shown: int | None,
    large: CompiledVotes | None,
) -> Snapshots:
    x, y = dataset.x, dataset.y
    kept = recorded(len(x))
    some = kept if len(kept) < len(x) else None
    stacked = {name: np.array([one.parameters[name] for one in raw]) for name in raw[0].parameters}
    replicas = stacked[next(iter(stacked))].shape[:2]
    p = _flat(stacked)
    test: Array | None = None
    # what has diverged, or has learned all there is, has no shares and no scale
    with np.errstate(all="ignore"):
        if large is not None:
            found = large.summarize(p, x, y, trained, some, shown)
            train = large.losses(p, x, y)
            if dataset.x_test is not None and dataset.y_test is not None:
                test = large.losses(p, dataset.x_test, dataset.y_test)
        else:
            found = core_votes.summarize(model, p, x, y, trained, some)
            # where every point is recorded, their residuals have been computed
            train = np.square(found.residual).mean(-1) if some is None else core_votes.losses(model, p, x, y)
            if dataset.x_test is not None and dataset.y_test is not None:
                test = core_votes.losses(model, p, dataset.x_test, dataset.y_test)
    units = None
    if model == "relu":
        w, b, v = (stacked[name] for name in ("input_slope", "bias", "output_weight"))
        status = functions.unit_status(w, b, float(x.min()), float(x.max()))
        counts = np.stack([(status == code).sum(-1) for code in range(len(functions.STATUS))], axis=-1)
        units = Units(functions.elbow(w, b), functions.slope_jump(w, v), status, counts)
    return Snapshots(
        model=model,
        updates=tuple(one.update for one in raw),
        times=tuple(one.time for one in raw),
        parameters=stacked,
        trained=trained,
        dataset=dataset,
        loss_train=train.reshape(replicas),
        loss_test=None if test is None else test.reshape(replicas),
        loss_batch=np.array([one.loss_batch for one in raw]),
        votes=found.of(len(raw)),
        units=units,
    )


def hidden(parameters: Values, points: int) -> int:
    """Return how many numbers the hidden layers of all replicas hold on so many points."""
    return max(value.size for value in parameters.values()) * points


def is_large(model: str, parameters: Values, points: int) -> bool:
    """Tell whether so many hidden units meet so many points that compiled code computes them faster than NumPy."""
    return model == "relu" and hidden(parameters, points) >= MANY


def points(dataset: Dataset) -> int:
    """Return how many training and test points there are."""
    return len(dataset.x) + (0 if dataset.x_test is None else len(dataset.x_test))


def _flat(values: Values) -> dict[str, Array]:
    """Return [S, R, ...] as S R replicas."""
    return {name: value.reshape(-1, *value.shape[2:]) for name, value in values.items()}
