"""Which points a minibatch holds. The policy is explicit, because it changes the physics.

Every draw is a pure function of (seed, update), or of (seed, epoch) where the policy shuffles: it depends
neither on where segments begin and end nor on what was drawn before. That is what a counter-based generator
is for: number i of a stream is computed directly (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3,
2011). Philox's raw numbers are fixed by NumPy's compatibility policy, so seeds keep their meaning.

Legend of shapes: R replicas, K updates, B batch, N samples.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
MOST_KEYS = 2**22
"""Sort keys held at once where all points are put in order for one batch: 32 MiB."""


def uniform(seed: int, stream: int, start: int, count: int) -> NDArray[np.float64]:
    """Return numbers start .. start + count - 1 of a stream of uniform numbers in [0, 1), each of 53 bits.

    Streams 1, 2 and 3 are the samplers', stream 4 the elbows'.
    """
    # Philox makes four numbers from each value of its counter
    block, skip = divmod(start, 4)
    raw = np.random.Philox(key=seed + (stream << 64), counter=block).random_raw(skip + count)[skip:]
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


class Sampler(ABC):
    """Draws minibatches; `name` is the word for it in configs."""

    name: ClassVar[str]

    @abstractmethod
    def batch(self, samples: int) -> int:
        """Return the batch size B for N samples."""

    @abstractmethod
    def draw(self, seeds: Sequence[int], start: int, stop: int, samples: int) -> Indices | None:
        """Return the indices of updates start .. stop - 1, [R, K, B]; None means all samples, in order."""


@dataclass(frozen=True)
class Full(Sampler):
    """All points at every update: gradient descent, not stochastic."""

    name = "full"

    def batch(self, samples: int) -> int:
        """Return N."""
        return samples

    def draw(self, seeds: Sequence[int], start: int, stop: int, samples: int) -> None:
        """Return None: no indices are needed."""
        return None


@dataclass(frozen=True)
class Minibatches(Sampler):
    """A policy with a batch size."""

    batch_size: int = 40

    def batch(self, samples: int) -> int:
        """Return the batch size."""
        return self.batch_size

    def draw(self, seeds: Sequence[int], start: int, stop: int, samples: int) -> Indices:
        """Return the indices of updates start .. stop - 1, [R, K, B]."""
        return np.stack([self._one(seed, start, stop, samples) for seed in seeds])

    @abstractmethod
    def _one(self, seed: int, start: int, stop: int, samples: int) -> Indices:
        """Return the indices of one replica, [K, B]."""


@dataclass(frozen=True)
class WithReplacement(Minibatches):
    """Each of the B points is drawn independently of the others: the course's policy."""

    name = "with_replacement"

    def _one(self, seed: int, start: int, stop: int, samples: int) -> Indices:
        size = self.batch_size
        numbers = uniform(seed, 1, start * size, (stop - start) * size)
        return (numbers * samples).astype(np.int64).reshape(-1, size)


@dataclass(frozen=True)
class WithoutReplacement(Minibatches):
    """B different points at every update, every subset equally likely, updates independent."""

    name = "without_replacement"

    def _one(self, seed: int, start: int, stop: int, samples: int) -> Indices:
        size, updates = self.batch_size, stop - start
        if size * size > 8 * samples:
            # a random order of all points is cheaper than Floyd's B^2 comparisons
            chosen = np.empty((updates, size), dtype=np.int64)
            rows = max(1, MOST_KEYS // samples)
            for first in range(0, updates, rows):
                count = min(rows, updates - first)
                keys = uniform(seed, 2, (start + first) * samples, count * samples).reshape(count, samples)
                chosen[first : first + count] = np.argpartition(keys, size - 1, axis=1)[:, :size]
            # sorted, since the order that a partition leaves differs between machines
            return np.sort(chosen, axis=1)
        # R. Floyd's algorithm (Bentley and Floyd, Programming Pearls: A Sample of Brilliance, 1987)
        numbers = uniform(seed, 2, start * size, updates * size).reshape(updates, size)
        chosen = np.empty((updates, size), dtype=np.int64)
        for j in range(size):
            top = samples - size + j
            candidate = (numbers[:, j] * (top + 1)).astype(np.int64)
            taken = (chosen[:, :j] == candidate[:, None]).any(axis=1)
            chosen[:, j] = np.where(taken, top, candidate)
        return chosen


@dataclass(frozen=True)
class Epoch(Minibatches):
    """All points in a fresh random order, then again: each point once in every N draws.

    The orders follow each other without a gap, so where B does not divide N a batch may hold the end of one
    and the beginning of the next.
    """

    name = "epoch"

    def _one(self, seed: int, start: int, stop: int, samples: int) -> Indices:
        first, last = start * self.batch_size, stop * self.batch_size
        epochs = range(first // samples, -(-last // samples))
        keys = uniform(seed, 3, epochs.start * samples, len(epochs) * samples).reshape(-1, samples)
        order = np.argsort(keys, axis=1, kind="stable").astype(np.int64).reshape(-1)
        offset = epochs.start * samples
        return order[first - offset : last - offset].reshape(-1, self.batch_size)
