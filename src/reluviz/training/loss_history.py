"""Training losses and unit counts of a run at its snapshots, from which its findings follow.

They take 20 bytes for each snapshot and replica, far less than the record.

Legend of shapes: S snapshots, R replicas.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reluviz.core.elbows import STATUS
from reluviz.core.models import Array


class LossHistory:
    """The training loss and the unit counts of every replica at every snapshot.

    Attributes:
        updates: the number of updates at each snapshot, S integers, strictly increasing.
        losses: the training losses at each snapshot, S arrays [R].
        counts: the numbers of dead, linear and bent units at each snapshot, S arrays [R, 3]; empty without units.
    """

    def __init__(self) -> None:
        self.updates: list[int] = []
        self.losses: list[Array] = []
        self.counts: list[NDArray[np.int32]] = []

    def add(self, updates: Sequence[int], losses: Array, counts: NDArray[np.int64] | None) -> None:
        """Add snapshots. Of two for the same update the later one counts: a resumed run repeats one.

        Args:
            updates: S integers.
            losses: [S, R].
            counts: [S, R, 3]; None for a model without units.
        """
        self.drop_from(updates[0])
        self.updates += updates
        self.losses += list(losses)
        if counts is not None:
            self.counts += list(counts.astype(np.int32))

    def drop_from(self, update: int) -> None:
        """Delete the snapshots of this update and later ones."""
        while self.updates and self.updates[-1] >= update:
            for series in (self.updates, self.losses, self.counts):
                del series[-1:]

    def loss(self) -> Array:
        """Return the training losses, [S, R]."""
        return np.array(self.losses)

    def count(self, status: str) -> NDArray[np.int64] | None:
        """Return the numbers of units with a status (dead, linear or bent), [S, R]; None without units."""
        return np.array(self.counts, dtype=np.int64)[..., STATUS.index(status)] if self.counts else None

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint: plain values and tensors."""
        losses, counts = np.array(self.losses), np.array(self.counts, dtype=np.int32)
        return {"updates": self.updates, "losses": torch.from_numpy(losses), "counts": torch.from_numpy(counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.updates = list(state["updates"])
        self.losses, self.counts = list(state["losses"].numpy()), list(state["counts"].numpy())
