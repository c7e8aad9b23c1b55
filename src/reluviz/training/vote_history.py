"""The norm of each sample's vote (its contribution to the gradient) over a run, in bounded memory.

Legend of shapes: S kept snapshots, n recorded samples.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

MAX_SNAPSHOTS = 512
"""When there are more kept snapshots, every second one is dropped."""


class VoteHistory:
    """The norms of the contributions to one replica's gradient, at every `stride`-th snapshot of a run.

    Attributes:
        updates: the number of updates at each kept snapshot, S integers.
        norms: the norms at each kept snapshot, S arrays [n].
        stride: 1, 2, 4, ...: the step between kept snapshots, counted in snapshots.
        seen: the number of added snapshots, kept or not.
        last: the number of updates at the last added snapshot; -1 before the first.
    """

    def __init__(self) -> None:
        self.updates: list[int] = []
        self.norms: list[NDArray[np.float32]] = []
        self.stride = 1
        self.seen = 0
        self.last = -1

    def add(self, update: int, norms: NDArray[np.float32]) -> None:
        """Add the norms [n] at one snapshot.

        A resumed run repeats the snapshot of its checkpoint. It is ignored, like all before it.
        """
        if update <= self.last:
            return
        self.last = update
        if self.seen % self.stride == 0:
            self.updates.append(update)
            # a copy, since a row of a larger array would keep all of it
            self.norms.append(norms.copy())
            if len(self.updates) > MAX_SNAPSHOTS:
                self.updates, self.norms, self.stride = self.updates[::2], self.norms[::2], 2 * self.stride
        self.seen += 1

    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the numbers of updates [S] and the norms [S, n] of the kept snapshots."""
        return np.array(self.updates, dtype=np.float64), np.array(self.norms, dtype=np.float64)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint: plain values and a tensor."""
        _, norms = self.arrays()
        return {
            "updates": self.updates,
            "norms": torch.from_numpy(norms.astype(np.float32)),
            "stride": self.stride,
            "seen": self.seen,
            "last": self.last,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.updates, self.norms = list(state["updates"]), list(state["norms"].numpy())
        self.stride, self.seen = state["stride"], state["seen"]
        # versions up to 0.2.0 did not store it
        self.last = state.get("last", self.updates[-1] if self.updates else -1)
