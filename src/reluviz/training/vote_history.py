"""How heard each sample was over the run, in bounded memory."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

MOST_COLUMNS = 512


class VoteHistory:
    """The norms of the contributions of one replica at the snapshots; from time to time every second one goes."""

    def __init__(self) -> None:
        self.updates: list[int] = []
        self.norms: list[NDArray[np.float32]] = []
        self.stride = 1
        self.seen = 0

    def add(self, update: int, norms: NDArray[np.float32]) -> None:
        """Append the norms [n] at one snapshot; a snapshot that is taken again (on resuming) counts once."""
        if self.updates and update <= self.updates[-1]:
            return
        if self.seen % self.stride == 0:
            self.updates.append(update)
            self.norms.append(norms)
            if len(self.updates) > MOST_COLUMNS:
                self.updates, self.norms, self.stride = self.updates[::2], self.norms[::2], 2 * self.stride
        self.seen += 1

    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the updates [S] and the norms [S, n]."""
        return np.array(self.updates, dtype=np.float64), np.array(self.norms, dtype=np.float64)

    def state_dict(self) -> dict[str, Any]:
        """Return plain values and a tensor, which a checkpoint can hold."""
        _, norms = self.arrays()
        return {
            "updates": self.updates,
            "norms": torch.from_numpy(norms.astype(np.float32)),
            "stride": self.stride,
            "seen": self.seen,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up an earlier history."""
        self.updates, self.norms = list(state["updates"]), list(state["norms"].numpy())
        self.stride, self.seen = state["stride"], state["seen"]
