"""The norm of each sample's contribution over a run, in bounded memory."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

MAX_SNAPSHOTS = 512
"""The most snapshots kept; beyond, every second one is dropped."""


class VoteHistory:
    """Keeps the norms of the contributions to one replica's gradient, at evenly spaced snapshots.

    Attributes:
        updates: the updates of the kept snapshots.
        norms: the norms [n] at each of them.
        stride: every `stride`-th snapshot is kept.
        seen: how many snapshots have been added.
    """

    def __init__(self) -> None:
        self.updates: list[int] = []
        self.norms: list[NDArray[np.float32]] = []
        self.stride = 1
        self.seen = 0

    def add(self, update: int, norms: NDArray[np.float32]) -> None:
        """Add the norms [n] at one snapshot; ignore a snapshot that a resumed run takes again."""
        if self.updates and update <= self.updates[-1]:
            return
        if self.seen % self.stride == 0:
            self.updates.append(update)
            self.norms.append(norms)
            if len(self.updates) > MAX_SNAPSHOTS:
                self.updates, self.norms, self.stride = self.updates[::2], self.norms[::2], 2 * self.stride
        self.seen += 1

    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the updates [S] and the norms [S, n]."""
        return np.array(self.updates, dtype=np.float64), np.array(self.norms, dtype=np.float64)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint: plain values and a tensor."""
        _, norms = self.arrays()
        return {
            "updates": self.updates,
            "norms": torch.from_numpy(norms.astype(np.float32)),
            "stride": self.stride,
            "seen": self.seen,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.updates, self.norms = list(state["updates"]), list(state["norms"].numpy())
        self.stride, self.seen = state["stride"], state["seen"]
