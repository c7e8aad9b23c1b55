"""One computed snapshot, as `SnapshotLogger.latest` and `Run.snapshot` give it: `Snapshots` without the first axis.

Legend of shapes: R replicas, n recorded points, W hidden units.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reluviz.core.kinks import ChainPieces
from reluviz.core.models import Array
from reluviz.core.snapshot import Snapshots, Units
from reluviz.core.votes import VoteTotals
from reluviz.data.dataset import Dataset


class ReplicaValues(NDArray[np.float64]):
    """One number per replica, [R]; `float()` gives the number if there is one replica, as that of a tensor [1] does."""

    def __float__(self) -> float:
        if self.size != 1:
            raise TypeError(f"{self.size} replicas have {self.size} numbers; choose one, as in loss_train[0]")
        return float(self.item())


@dataclass(frozen=True)
class Snapshot:
    """A run after one of its updates, in float64. Every quantity has the replicas as its first axis.

    Attributes:
        stacked: the same as `Snapshots`, S = 1.
    """

    stacked: Snapshots

    def __post_init__(self) -> None:
        if len(self.stacked) != 1:
            raise ValueError(f"one snapshot is needed, not {len(self.stacked)}")

    @property
    def model(self) -> str:
        """The model's name."""
        return self.stacked.model

    @property
    def update(self) -> int:
        """The number of updates before the snapshot."""
        return self.stacked.updates[0]

    @property
    def time(self) -> float:
        """When the snapshot was stored, in seconds since 1970."""
        return self.stacked.times[0]

    @property
    def parameters(self) -> dict[str, Array]:
        """Parameters as trained, name -> [R] or [R, W]."""
        return {name: value[0] for name, value in self.stacked.parameters.items()}

    @property
    def trained(self) -> tuple[str, ...]:
        """Names of the trained parameters."""
        return self.stacked.trained

    @property
    def dataset(self) -> Dataset:
        """The training and test points."""
        return self.stacked.dataset

    @property
    def loss_train(self) -> ReplicaValues:
        """Mean squared error over all training points, [R]."""
        return _values(self.stacked.loss_train)

    @property
    def loss_test(self) -> ReplicaValues | None:
        """Mean squared error over the test points, [R]; None without test points."""
        return None if self.stacked.loss_test is None else _values(self.stacked.loss_test)

    @property
    def loss_batch(self) -> ReplicaValues:
        """Loss over the last minibatch before its update, [R]; NaN before the first update."""
        return _values(self.stacked.loss_batch)

    @property
    def votes(self) -> VoteTotals:
        """The votes, as trained; statistics are [R, ...], arrays of single samples [R, n]."""
        return self.stacked.votes.subset(0)

    @property
    def units(self) -> Units | None:
        """The hidden units, arrays [R, W]; None for a model without hidden units."""
        units = self.stacked.units
        return None if units is None else units.map_arrays(lambda value: value[0])

    @property
    def elbow(self) -> Array:
        """Elbows, [R, W]; NaN where w = 0."""
        return self._known_units.elbow

    @property
    def input_slope(self) -> Array:
        """Input slopes in the user's units, [R, W]."""
        return self._known_units.input_slope

    @property
    def residual(self) -> Array:
        """r_i = f(x_i) - y_i of the recorded samples, in the user's units, [R, n]."""
        found: Array = self.stacked.residual[0]
        return found

    @property
    def slope_jump(self) -> Array:
        """Slope jumps, [R, W]; an AttributeError for a chain of several layers, which has `pieces`."""
        found: Array = self.stacked.slope_jump[0]
        return found

    @property
    def pieces(self) -> tuple[ChainPieces | None, ...]:
        """The linear pieces of a chain of several layers, one a replica, in the units of training; see `Snapshots`."""
        return self.stacked.pieces[0] if self.stacked.pieces else ()

    @property
    def unit_status(self) -> NDArray[np.int64]:
        """Indices into `geometry.STATUS`, [R, W]."""
        return self._known_units.status

    @property
    def unit_counts(self) -> dict[str, NDArray[np.int64]]:
        """The number of dead, linear and bent units, name -> [R]."""
        return {name: value[0] for name, value in self.stacked.unit_counts.items()}

    @property
    def _known_units(self) -> Units:
        if (units := self.units) is None:
            raise AttributeError(f"the {self.model} model has no hidden units")
        return units

    def gradients(self, replicas: int | None = None) -> dict[str, Array]:
        """Return g_i = grad(r_i^2) of the recorded samples, trained name -> [R, n] or [R, n, W]; see `Snapshots`."""
        return {name: value[0] for name, value in self.stacked.gradients(replicas).items()}

    def contributions(self, replicas: int | None = None) -> dict[str, Array]:
        """Return c_i = g_i / N of the recorded samples, trained name -> [R, n] or [R, n, W]; see `Snapshots`."""
        return {name: value[0] for name, value in self.stacked.contributions(replicas).items()}


def _values(values: Array) -> ReplicaValues:
    found: ReplicaValues = values[0].view(ReplicaValues)
    return found
