"""Computed snapshots of a run, several at a time, on NumPy arrays: losses, votes, hidden units and divergence.

A training stores a `RawSnapshot`, the parameters after an update; `compute_snapshots` computes everything else from it.
Nothing here needs torch, so that the helper processes that compute and record snapshots start fast.

Legend of shapes: S snapshots, R replicas, V replicas whose kinks and votes of single samples are computed, N training
points, n recorded points, W hidden units.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reluviz.core import elbows, votes
from reluviz.core.functions import mean_squared_error
from reluviz.core.kinks import ChainPieces, chain_status, pieces_or_none
from reluviz.core.models import MODELS, Array
from reluviz.core.models.architecture import Architecture
from reluviz.core.votes import VoteTotals
from reluviz.data.dataset import Dataset
from reluviz.data.scaling import Scaling

MAX_RECORDED_SAMPLES = 2000
"""A snapshot has the residuals, votes and vote shares of at most this many samples."""
MAX_SHOWN_REPLICAS = 50
"""At most this many replicas, the first ones, have their votes recorded and are shown one by one."""
MIN_COMPILED_ACTIVATIONS = 2**21
"""From this many hidden activations per snapshot, compiled code computes the losses and votes; see `is_large`."""
MAX_ACTIVATIONS_TOGETHER = 2**20
"""Snapshots are computed together up to about this many hidden activations: more would not fit in the cache."""
OBJECT_BYTES = 100
"""About what an array, a dictionary or another object of a raw snapshot takes beside its numbers."""
DIVERGENCE_FACTOR = 1e6
"""A replica has diverged if its loss exceeds this many times the larger of the initial loss and var(y)."""

ParameterArrays = Mapping[str, Array]
"""Parameters by name: [R] or [R, W] for one snapshot, [S, R] or [S, R, W] for several."""


@dataclass(frozen=True)
class RawSnapshot:
    """The state of a run after an update, as trained, from which the rest of the snapshot can be computed.

    Attributes:
        update: the number of updates so far.
        time: when the state was stored, in seconds since 1970.
        parameters: name -> [R] or [R, W].
        loss_batch: loss over the last minibatch before its update, [R]; NaN before the first update.
    """

    update: int
    time: float
    parameters: ParameterArrays
    loss_batch: Array

    @property
    def nbytes(self) -> int:
        """The bytes of memory that it takes: its numbers, and the objects that hold them."""
        arrays = (*self.parameters.values(), self.loss_batch)
        return OBJECT_BYTES * (3 + len(arrays)) + sum(value.nbytes for value in arrays)

    def cannot_have_diverged(self, model: str, largest_input: float, max_y: float, bound: Array) -> bool:
        """Return True if no replica can have diverged, by a bound that needs no data; False means unknown.

        L <= (max |f| + max |y|)^2, where the model knows a bound on max |f|, all in the units of training.

        Args:
            model: the model's name.
            largest_input: what the model's bound needs to know of the inputs; see `Model.largest_input`.
            max_y: max |y|.
            bound: the largest loss of a replica that has not diverged, [R]; see `largest_loss`.
        """
        p = {name: np.abs(value) for name, value in self.parameters.items()}
        with np.errstate(all="ignore"):
            # NaN compares as False
            return bool(((MODELS[model].bound(p, largest_input) + max_y) ** 2 <= bound).all())


@dataclass(frozen=True)
class Units:
    """The hidden units of networks, in the user's units of x and y.

    A chain of several layers has elbows and input slopes in its first layer, of W units, and a status of all units.

    Attributes:
        elbow: [S, R, W]; NaN where w = 0.
        input_slope: [S, R, W].
        slope_jump: [S, R, W]; None for a chain, where one elbow may bend f at several places.
        status: indices into `elbows.STATUS`, [S, R, W], or of the units of all layers, one layer after another.
        counts: the number of units with each status, [S, R, 3].
        kinks: the number of kinks of f within the data, [S, R], NaN beyond the first V replicas; None for one hidden
            layer.
    """

    elbow: Array
    input_slope: Array
    slope_jump: Array | None
    status: NDArray[np.int64]
    counts: NDArray[np.int64]
    kinks: Array | None = None

    def map_arrays(self, change: Callable[[Any], Any]) -> "Units":
        """Return the units with another array for each array."""
        found: dict[str, Any] = {name: None if value is None else change(value) for name, value in vars(self).items()}
        return Units(**found)


@dataclass(frozen=True)
class Snapshots:
    """Computed snapshots of a run, in order. Losses and hidden units are in the user's units, see `data.scaling`.

    Attributes:
        model: the model's name.
        updates: the number of updates before each snapshot, S entries.
        times: when each snapshot was stored, in seconds since 1970, S entries.
        parameters: as trained, name -> [S, R] or [S, R, W].
        trained: names of the trained parameters.
        precision: the precision in which the run decided on the gates; see `elbows.is_active`.
        dataset: the training and test points, with the units of training.
        loss_train: mean squared error over all training points, [S, R].
        loss_test: mean squared error over the test points, [S, R]; None without test points.
        loss_batch: loss over the last minibatch before its update, [S, R]; NaN before the first update.
        votes: the votes, as trained; statistics are [S, R, ...], arrays of single samples [S, V, n].
        units: the hidden units; None for a model without hidden units.
        pieces: the linear pieces of a chain of several layers within the data, in the units of training, S times V;
            None where a parameter is not finite, and empty for other models.
    """

    model: str
    updates: tuple[int, ...]
    times: tuple[float, ...]
    parameters: ParameterArrays
    trained: tuple[str, ...]
    precision: str
    dataset: Dataset
    loss_train: Array
    loss_test: Array | None
    loss_batch: Array
    votes: VoteTotals
    units: Units | None
    pieces: tuple[tuple[ChainPieces | None, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.updates)

    @property
    def elbow(self) -> Array:
        """Elbows, [S, R, W]; NaN where w = 0."""
        return self._known_units.elbow

    @property
    def input_slope(self) -> Array:
        """Input slopes in the user's units, [S, R, W]."""
        return self._known_units.input_slope

    @property
    def slope_jump(self) -> Array:
        """Slope jumps, [S, R, W]."""
        if (found := self._known_units.slope_jump) is None:
            raise AttributeError(f"the units of {self.model} have no slope jumps; pieces has the kinks of the function")
        return found

    @property
    def residual(self) -> Array:
        """r_i = f(x_i) - y_i of the recorded samples, in the user's units, [S, V, n]."""
        return self.dataset.scaling.user_residual(self.votes.residual)

    @property
    def unit_status(self) -> NDArray[np.int64]:
        """Indices into `geometry.STATUS`, [S, R, W]."""
        return self._known_units.status

    @property
    def unit_counts(self) -> dict[str, NDArray[np.int64]]:
        """The number of dead, linear and bent units, name -> [S, R]."""
        return {name: self._known_units.counts[..., code] for code, name in enumerate(elbows.STATUS)}

    @property
    def _known_units(self) -> Units:
        if self.units is None:
            raise AttributeError(f"the {self.model} model has no hidden units")
        return self.units

    def subset(self, chosen: slice) -> "Snapshots":
        """Return the chosen snapshots."""
        units = None if self.units is None else self.units.map_arrays(lambda value: value[chosen])
        return Snapshots(
            self.model,
            self.updates[chosen],
            self.times[chosen],
            {name: value[chosen] for name, value in self.parameters.items()},
            self.trained,
            self.precision,
            self.dataset,
            self.loss_train[chosen],
            None if self.loss_test is None else self.loss_test[chosen],
            self.loss_batch[chosen],
            self.votes.subset(chosen),
            units,
            self.pieces[chosen],
        )

    def gradients(self, replicas: int | None = None) -> dict[str, Array]:
        """Return g_i = grad(r_i^2) of the recorded samples, trained name -> [S, R, n] or [S, R, n, W].

        Args:
            replicas: return the gradients of this many replicas, the first ones; of all by default.
        """
        if self.votes.per_sample is not None:
            return {name: value[:, :replicas] for name, value in self.votes.per_sample().items()}
        p = {name: value[:, :replicas] for name, value in self.parameters.items()}
        points, sample = self.dataset.as_trained, recorded_samples(len(self.dataset.x))
        with np.errstate(all="ignore"):
            found = votes.per_sample_gradients(
                self.model, _merge_axes(p), points.x[sample], points.y[sample], self.trained, self.precision
            )
        return {name: value.reshape(len(self), -1, *value.shape[1:]) for name, value in found.items()}

    def contributions(self, replicas: int | None = None) -> dict[str, Array]:
        """Return c_i = g_i / N of the recorded samples, trained name -> [S, R, n] or [S, R, n, W]; see `gradients`."""
        return {name: value / len(self.dataset.x) for name, value in self.gradients(replicas).items()}

    def not_diverged(self, bound: Array) -> NDArray[np.bool_]:
        """Return which replicas have not diverged, [S, R].

        A replica has diverged if a parameter is not finite, or if its training loss exceeds `bound` [R]; see
        `largest_loss`.
        """
        # NaN compares as False
        not_diverged: NDArray[np.bool_] = self.loss_train <= bound
        for value in self.parameters.values():
            not_diverged &= np.isfinite(value).reshape(*not_diverged.shape, -1).all(axis=-1)
        return not_diverged

    def divergence(self, initial_loss: Array) -> tuple[int, str] | None:
        """Return the first replica that has diverged at the first snapshot, and its largest trained parameter.

        None if no replica has diverged there.

        Args:
            initial_loss: the training loss before the first update, [R]; see `largest_loss`.
        """
        (not_diverged, *_) = self.not_diverged(largest_loss(initial_loss, float(np.var(self.dataset.y))))
        if not_diverged.all():
            return None
        r = int(np.argmin(not_diverged))
        largest = {name: np.nan_to_num(np.abs(self.parameters[name][0, r]), nan=np.inf).max() for name in self.trained}
        return r, max(largest, key=lambda name: float(largest[name]))


class CompiledVotes(Protocol):
    """Compiled functions that compute large snapshots of ReLU networks, as in `reluviz.engines.votes`."""

    def losses(self, p: ParameterArrays, x: Array, y: Array) -> Array:
        """Return L = (1/N) sum_i r_i^2, [R]."""

    def summarize(
        self,
        p: ParameterArrays,
        x: Array,
        y: Array,
        trained: Collection[str],
        precision: str,
        recorded: NDArray[np.int64] | None = None,
        shown: int | None = None,
    ) -> VoteTotals:
        """Return a summary of the votes of all samples; see `core.votes.summarize`."""


def recorded_samples(samples: int) -> NDArray[np.int64]:
    """Return the indices of the recorded samples: all, or `MAX_RECORDED_SAMPLES` evenly spaced indices.

    The inputs of a data set are sorted, so that the recorded samples cover their whole range.
    """
    if samples <= MAX_RECORDED_SAMPLES:
        return np.arange(samples)
    return np.linspace(0, samples - 1, MAX_RECORDED_SAMPLES).round().astype(np.int64)


def largest_loss(initial_loss: Array, variance: float) -> Array:
    """Return the largest training loss of a replica that has not diverged, [R], in the units of its arguments.

    It is `DIVERGENCE_FACTOR` times the larger of the initial loss [R] and `variance`, var(y); NaN counts as unknown.
    """
    bound = DIVERGENCE_FACTOR * np.fmax(initial_loss, variance)
    return np.asarray(np.minimum(bound, np.finfo(float).max))


def compute_snapshots(
    model: str,
    raw: Sequence[RawSnapshot],
    trained: tuple[str, ...],
    dataset: Dataset,
    shown: int | None = None,
    compiled: Callable[[], CompiledVotes | None] | None = None,
    precision: str = "float64",
) -> Iterator[Snapshots]:
    """Yield the computed snapshots of a run, several at a time: S snapshots of R replicas are computed as S R replicas.

    The result does not depend, bit for bit, on which snapshots are computed together.

    Args:
        model: the model's name.
        raw: the raw snapshots.
        trained: names of the trained parameters.
        dataset: the training and test points, with the units of training.
        shown: the votes of single samples are needed only for this many replicas, the first ones; by default for all.
        compiled: a function that returns the compiled functions for large snapshots; by default NumPy computes all
            snapshots.
        precision: the precision of the run, "float32" or "float64", in which it decided on the gates.
    """
    parameters = raw[0].parameters
    gradients = sum(value.size for value in parameters.values()) * min(len(dataset.x), MAX_RECORDED_SAMPLES)
    fitting = min(
        MAX_ACTIVATIONS_TOGETHER // count_activations(parameters, count_points(dataset)),
        votes.MAX_KEPT_GRADIENT_VALUES // gradients,
    )
    together = max(1, fitting)
    large = compiled() if compiled is not None and is_large(model, parameters, count_points(dataset)) else None
    for first in range(0, len(raw), together):
        yield _compute(model, raw[first : first + together], trained, dataset, shown, large, precision)


def _compute(
    model: str,
    raw: Sequence[RawSnapshot],
    trained: tuple[str, ...],
    dataset: Dataset,
    shown: int | None,
    large: CompiledVotes | None,
    precision: str,
) -> Snapshots:
    points, scaling = dataset.as_trained, dataset.scaling
    x, y, x_test, y_test = points.x, points.y, points.x_test, points.y_test
    sample = recorded_samples(len(x))
    recorded = sample if len(sample) < len(x) else None
    stacked = {name: np.array([one.parameters[name] for one in raw]) for name in raw[0].parameters}
    snapshots_and_replicas = stacked[next(iter(stacked))].shape[:2]
    p = _merge_axes(stacked)
    test: Array | None = None
    # shares and noise scale are NaN or infinite where the gradient is 0 or has overflowed
    with np.errstate(all="ignore"):
        if large is not None:
            found = large.summarize(p, x, y, trained, precision, recorded, shown)
            train = large.losses(p, x, y)
            if x_test is not None and y_test is not None:
                test = large.losses(p, x_test, y_test)
        else:
            found = votes.summarize(model, p, x, y, trained, recorded, precision=precision)
            # if every sample is recorded, the summary has all residuals
            train = np.square(found.residual).mean(-1) if recorded is None else mean_squared_error(model, p, x, y)
            if x_test is not None and y_test is not None:
                test = mean_squared_error(model, p, x_test, y_test)
    units, pieces = None, tuple[tuple[ChainPieces | None, ...], ...]()
    record = MODELS[model]
    if record.architecture is not None:
        units, pieces = _chain_units(record.architecture, stacked, points, shown, precision, scaling)
    elif record.has_units:
        w, b, v = (stacked[name] for name in ("input_slope", "bias", "output_weight"))
        status = elbows.unit_status(w, b, x, precision)
        counts = np.stack([(status == code).sum(-1) for code in range(len(elbows.STATUS))], axis=-1)
        units = Units(
            elbow=scaling.user_x(elbows.elbow(w, b)),
            input_slope=scaling.user_input_slope(w),
            slope_jump=scaling.user_slope(elbows.slope_jump(w, v)),
            status=status,
            counts=counts,
        )
    return Snapshots(
        model=model,
        updates=tuple(one.update for one in raw),
        times=tuple(one.time for one in raw),
        parameters=stacked,
        trained=trained,
        precision=precision,
        dataset=dataset,
        loss_train=scaling.user_loss(train.reshape(snapshots_and_replicas)),
        loss_test=None if test is None else scaling.user_loss(test.reshape(snapshots_and_replicas)),
        loss_batch=scaling.user_loss(np.array([one.loss_batch for one in raw])),
        votes=found.with_snapshot_axis(len(raw)),
        units=units,
        pieces=pieces,
    )


def _chain_units(
    architecture: Architecture,
    stacked: ParameterArrays,
    points: Dataset,
    shown: int | None,
    precision: str,
    scaling: Scaling,
) -> tuple[Units, tuple[tuple[ChainPieces | None, ...], ...]]:
    """Return the hidden units of chains, and the pieces of the shown replicas at each snapshot."""
    w, b = stacked["input_slope"], stacked["bias"]
    with np.errstate(all="ignore"):
        status = chain_status(architecture, _merge_axes(stacked), points.x, precision).reshape(*w.shape[:2], -1)
    low, high = float(points.x.min()), float(points.x.max())
    pieces = tuple(
        tuple(
            pieces_or_none(architecture, {name: value[s, r] for name, value in stacked.items()}, low, high)
            for r in range(w.shape[1])[:shown]
        )
        for s in range(len(w))
    )
    counts = np.stack([(status == code).sum(-1) for code in range(len(elbows.STATUS))], axis=-1)
    kinks = np.full(w.shape[:2], np.nan)
    for s, each in enumerate(pieces):
        kinks[s, : len(each)] = [np.nan if one is None else len(one.kinks) for one in each]
    elbow, slope = scaling.user_x(elbows.elbow(w, b)), scaling.user_input_slope(w)
    return Units(elbow, slope, None, status, counts, kinks), pieces


def count_activations(parameters: ParameterArrays, points: int) -> int:
    """Return the number of hidden activations of all replicas on this many points."""
    return max(int(np.prod(value.shape[:2])) for value in parameters.values()) * points


def is_large(model: str, parameters: ParameterArrays, points: int) -> bool:
    """Return whether a snapshot is large enough that compiled code computes it faster than NumPy."""
    return MODELS[model].has_units and count_activations(parameters, points) >= MIN_COMPILED_ACTIVATIONS


def count_points(dataset: Dataset) -> int:
    """Return the number of training and test points."""
    return len(dataset.x) + (0 if dataset.x_test is None else len(dataset.x_test))


def _merge_axes(values: ParameterArrays) -> dict[str, Array]:
    """Return S snapshots of R replicas as S R replicas: [S, R, ...] becomes [S R, ...]."""
    return {name: value.reshape(-1, *value.shape[2:]) for name, value in values.items()}
