"""A recorded run as arrays over its snapshots.

Legend of shapes: S snapshots, R replicas, W units, P parameters, N samples, n recorded samples, V replicas with
recorded votes (the first min(R, `core.snapshot.MAX_SHOWN_REPLICAS`)).
"""

import bisect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reluviz.core import elbows
from reluviz.core.findings import Finding
from reluviz.core.functions import mean_squared_error, user_parameters, user_predict
from reluviz.core.kinks import ChainPieces, chain_status, pieces_or_none
from reluviz.core.models import MODELS, Parameters
from reluviz.core.single_snapshot import Snapshot
from reluviz.core.snapshot import RawSnapshot, compute_snapshots, is_large
from reluviz.data.dataset import Array, Dataset
from reluviz.engines.compiled_votes import load_compiled_votes
from reluviz.errors import UserError
from reluviz.record import tags

MAX_PARAMETERS_AT_ONCE = 2**15
"""Losses are computed for several snapshots at once. More parameters than this would not fit the processor's cache."""


@dataclass(frozen=True, eq=False, repr=False)
class RunArrays:
    """The arrays of a run that was read back from its folder. Computed arrays are float64.

    A run on scaled data (`data.scale=auto`) trained in other units than the user's. Properties, losses, residuals and
    `predict` are in the user's units; `parameters`, `rows`, `norm`, `vote_share` and `contributions` are as trained.
    `data.scaling` holds the offsets and scales.

    Attributes:
        folder: the run's folder.
        name: its name in titles and file names.
        model: the model's name: constant, linear, relu, or that of a chain, as mlp-20-20.
        data: the data set, in the user's units; `data.target` is the true function, None if it is unknown.
        recorded: indices of the samples with recorded votes, [n]; all samples if there are at most 2,000.
        seeds: the seed of each replica, [R].
        trained: names of the trained parameters.
        settings: the configuration, key -> value.
        metrics: the content of metrics.json; None while the run is training.
        updates: number of updates at each snapshot, [S], strictly increasing.
        walls: the time at which each snapshot was recorded, in seconds since the epoch, [S].
        rows: all parameters as trained and as they were stored, in the precision of the run, [S, R, P].
        fields: the name and number of the parameters along the last axis of `rows`.
        votes: recorded residual, norm of the contribution and vote share, float32 [S, V, 3, n], of the first V
            replicas; `snapshot(update).votes` computes them for every replica.
        recorded_scalars: tag -> (updates, values).
        findings: what became of the run, by rank; empty while it is training, and for runs of versions up to 0.2.0.
        damaged: event files that could not be read to their end because a record is damaged.
    """

    folder: Path
    name: str
    model: str
    data: Dataset
    recorded: NDArray[np.int64]
    seeds: tuple[int, ...]
    trained: tuple[str, ...]
    settings: dict[str, Any]
    metrics: dict[str, Any] | None
    updates: NDArray[np.int64]
    walls: Array
    rows: NDArray[Any]
    fields: tuple[tuple[str, int], ...]
    votes: NDArray[np.float32]
    recorded_scalars: Mapping[str, tuple[NDArray[np.int64], Array]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    damaged: tuple[Path, ...] = ()

    @property
    def status(self) -> str | None:
        """How the run ended: finished, diverged, interrupted or terminated; None if it is training or was killed."""
        return None if self.metrics is None else self.metrics.get("status")

    @property
    def precision(self) -> str:
        """The precision of the run: float32 or float64."""
        return str(self.rows.dtype.newbyteorder("="))

    @cached_property
    def parameters(self) -> dict[str, Array]:
        """The recorded parameters as trained, bit for bit: name -> [S, R], [S, R, W], or [S, R, W_l, W_(l-1)]."""
        ends = np.cumsum([count for _, count in self.fields])
        parts = np.split(self.rows.astype(np.float64), ends[:-1], axis=-1)
        record = MODELS[self.model]
        return {
            name: part.reshape(*part.shape[:2], *record.shape(name, count))
            for (name, count), part in zip(self.fields, parts, strict=True)
        }

    @property
    def theta(self) -> Array:
        """theta, the parameter of the constant and the linear model, [S, R]."""
        return self.parameter("theta")

    @property
    def input_slope(self) -> Array:
        """w_k, [S, R, W]."""
        return self.parameter("input_slope")

    @property
    def bias(self) -> Array:
        """b_k, [S, R, W]."""
        return self.parameter("bias")

    @property
    def output_weight(self) -> Array:
        """v_k, [S, R, W]."""
        return self.parameter("output_weight")

    @property
    def output_bias(self) -> Array:
        """c, [S, R]."""
        return self.parameter("output_bias")

    @cached_property
    def elbow(self) -> Array:
        """beta_k = -b_k / w_k, [S, R, W]; NaN where w_k = 0."""
        trained = elbows.elbow(self._trained("input_slope"), self._trained("bias"))
        return self.data.scaling.user_x(trained)

    @cached_property
    def orientation(self) -> Array:
        """sign(w_k), [S, R, W]: +1 where a unit is active to the right of its elbow."""
        return elbows.orientation(self.input_slope)

    @cached_property
    def active_slope(self) -> Array:
        """mu_k = w_k v_k, the slope that a unit adds on its active side, [S, R, W]."""
        trained = elbows.active_slope(self._trained("input_slope"), self._trained("output_weight"))
        return self.data.scaling.user_slope(trained)

    @cached_property
    def slope_jump(self) -> Array:
        """v_k |w_k|, how much a unit bends the function at its elbow, [S, R, W]."""
        trained = elbows.slope_jump(self._trained("input_slope"), self._trained("output_weight"))
        return self.data.scaling.user_slope(trained)

    def pieces(self, update: int | None = None, replica: int = 0) -> ChainPieces:
        """Return the linear pieces of a chain of several layers within the data: all its kinks, and f' between them.

        Places, values and slopes are in the user's units. The units that bend f are in `crossing_layer` and
        `crossing_unit`.

        Args:
            update: the snapshot; by default the last one.
            replica: counted from 0.

        Raises:
            UserError: if there is no such snapshot, the model has one layer at most, or its function is not finite.
        """
        architecture = MODELS[self.model].architecture
        if architecture is None:
            raise UserError(
                f"{self.folder}: a {self.model} model has no pieces; elbow has the kinks of one hidden layer"
            )
        p = {name: value[replica] for name, value in self._parameters_at(self.at(update)).items()}
        x = self.data.as_trained.x
        found = pieces_or_none(architecture, p, float(x.min()), float(x.max()))
        if found is None:
            raise UserError(f"{self.folder}: the learned function is not finite there")
        scaling = self.data.scaling
        return replace(
            found,
            ends=scaling.user_x(found.ends),
            value=scaling.user_y(found.value),
            slope=scaling.user_slope(found.slope),
        )

    @cached_property
    def unit_status(self) -> NDArray[np.int64]:
        """The status of each unit as an index into `geometry.STATUS` (dead, linear, bent), [S, R, W].

        A chain of several layers has the units of all its layers, one layer after another.
        """
        if (architecture := MODELS[self.model].architecture) is not None:
            p = {name: value.reshape(-1, *value.shape[2:]) for name, value in self.parameters.items()}
            status = chain_status(architecture, p, self.data.as_trained.x, self.precision)
            return status.reshape(*self.rows.shape[:2], -1)
        w, b = self._trained("input_slope"), self._trained("bias")
        return elbows.unit_status(w, b, self.data.as_trained.x, self.precision)

    @property
    def residual(self) -> NDArray[np.float32]:
        """r_i = f(x_i) - y_i of each recorded sample, as recorded, [S, V, n]."""
        return self.votes[:, :, 0]

    @property
    def norm(self) -> NDArray[np.float32]:
        """|c_i|, the norm of the contribution of each recorded sample, as recorded, [S, V, n]."""
        return self.votes[:, :, 1]

    @property
    def vote_share(self) -> NDArray[np.float32]:
        """The signed vote share of each recorded sample, as recorded, [S, V, n]; NaN where the gradient is 0."""
        return self.votes[:, :, 2]

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of the recorded scalars."""
        return tuple(sorted(self.recorded_scalars))

    def scalars(self, tag: str) -> tuple[NDArray[np.int64], Array]:
        """Return the updates and the values of a recorded scalar, such as loss/batch: medians over the replicas.

        Scalars of single units (elbow/07) are left out, since they follow from the parameters: `elbow[:, :, 7]`.

        Raises:
            UserError: if there is no such tag.
        """
        if tag not in self.recorded_scalars:
            raise UserError(f"{tag}: {self.folder} has no such scalar; it has {', '.join(self.tags)}")
        return self.recorded_scalars[tag]

    def loss(self, which: str = "train") -> Array:
        """Return the mean squared error of every replica at every snapshot, [S, R], computed from the parameters.

        Args:
            which: train or test.

        Raises:
            UserError: if `which` is something else, or the run has no test points.
        """
        if which not in ("train", "test"):
            raise UserError(f"{which}: must be train or test")
        points = self.data.as_trained
        x, y = (points.x, points.y) if which == "train" else (points.x_test, points.y_test)
        if x is None or y is None:
            raise UserError(f"{self.folder}: this run has no test points")
        parts = []
        at_once = max(1, MAX_PARAMETERS_AT_ONCE // self.rows[0].size)
        large = is_large(self.model, {name: value[0] for name, value in self.parameters.items()}, len(x))
        compiled = load_compiled_votes() if large else None
        for start in range(0, len(self.updates), at_once):
            # treat the snapshots as more replicas: [S, R] becomes [S * R]
            batch = {name: value[start : start + at_once] for name, value in self.parameters.items()}
            p = {name: value.reshape(-1, *value.shape[2:]) for name, value in batch.items()}
            parts.append(compiled.losses(p, x, y) if compiled else mean_squared_error(self.model, p, x, y))
        return self.data.scaling.user_loss(np.concatenate(parts).reshape(self.rows.shape[:2]))

    def at(self, update: int | None = None) -> int:
        """Return the index of the snapshot after `update` updates; by default the index of the last snapshot.

        Raises:
            UserError: if there is no such snapshot; the message names the nearest ones.
        """
        if update is None:
            return len(self.updates) - 1
        known = self.updates.tolist()
        index = bisect.bisect_left(known, update)
        if known[index : index + 1] == [update]:
            return index
        nearest = " and ".join(f"{found:,}" for found in known[max(0, index - 1) : index + 1])
        raise UserError(f"update {update:,}: {self.folder} has no snapshot there; nearest: {nearest}")

    def snapshot(self, update: int | None = None) -> Snapshot:
        """Return all quantities that follow from the parameters at one snapshot; by default at the last one.

        The loss of the minibatch does not follow from the parameters: it is NaN.

        Raises:
            UserError: if there is no such snapshot.
        """
        index = self.at(update)
        raw = RawSnapshot(
            int(self.updates[index]),
            float(self.walls[index]),
            self._parameters_at(index),
            np.full(len(self.seeds), np.nan),
        )
        (snapshots,) = compute_snapshots(
            self.model, [raw], self.trained, self.data, None, load_compiled_votes, self.precision
        )
        return Snapshot(snapshots)

    def contributions(self, update: int | None = None) -> dict[str, Array]:
        """Return c_i = g_i / N of the recorded samples, as trained: trained name -> [R, n] or [R, n, W]."""
        return self.snapshot(update).contributions()

    def predict(self, x: ArrayLike, update: int | None = None) -> Array:
        """Return f(x), the learned function of the user's x, [R, len(x)], after `update` updates; by default the last.

        Raises:
            UserError: if there is no such snapshot.
        """
        points = np.array(x, dtype=np.float64, ndmin=1)
        return user_predict(self.model, self._parameters_at(self.at(update)), points, self.data.scaling)

    def __repr__(self) -> str:
        record = MODELS[self.model]
        model = record.architecture.in_words() if record.architecture else self.model
        units = f" of {self.input_slope.shape[-1]:,} units" if record.has_units else ""
        replicas = f"{len(self.seeds)} replicas, " if len(self.seeds) > 1 else ""
        count = f"{len(self.updates):,} snapshot{'s' * (len(self.updates) > 1)}"
        return (
            f"<Run {self.name}: {model}{units}, {replicas}{count} up to update {self.updates[-1]:,}"
            f"{f', {self.status}' if self.status else ''}{', event file damaged' if self.damaged else ''}>"
        )

    @cached_property
    def _user_parameters(self) -> Parameters:
        """The parameters of the same function of the user's x."""
        return user_parameters(self.model, self.parameters, self.data.scaling)

    def parameter(self, name: str) -> Array:
        """Return a parameter of the function of the user's x, [S, R, ...].

        Raises:
            AttributeError: if the model has no such parameter.
        """
        self._trained(name)
        return self._user_parameters[name]

    def _trained(self, name: str) -> Array:
        """Return a parameter as trained."""
        if name not in self.parameters:
            raise AttributeError(f"a {self.model} model has no {name}; it has {', '.join(self.parameters)}")
        return self.parameters[name]

    def _parameters_at(self, index: int) -> dict[str, Array]:
        """Return the parameters at one snapshot: name -> [R] or [R, W]."""
        return {name: value[index] for name, value in self.parameters.items()}


def losses_by_tag(run: RunArrays) -> dict[str, Array]:
    """Return the losses that follow from the parameters: tag -> [S, R]."""
    found = {tags.LOSS_TRAIN: run.loss("train")}
    if run.data.x_test is not None:
        found[tags.LOSS_TEST] = run.loss("test")
    return found
