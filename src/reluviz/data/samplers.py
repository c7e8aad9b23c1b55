"""Which points a minibatch holds. The policy is explicit, because it changes the physics.

Every draw is a pure function of (seed, update), or of (seed, epoch) where the policy shuffles: it depends
neither on where segments begin and end nor on what was drawn before. That is what a counter-based generator
is for: number i of a stream is computed directly (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3,
2011). Philox's raw numbers are fixed by NumPy's compatibility policy, so seeds keep their meaning.

Legend of shapes: R replicas, K updates, B batch, N samples.
"""

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
MOST_KEYS = 2**22
"""Sort keys held at once where all points are put in order for one batch: 32 MiB."""


class Fill(Protocol):
    """One of two ways to make the same numbers: `fill`, and `reluviz.engines.philox.fill`, which must be compiled."""

    def __call__(self, seed: int, stream: int, start: int, scale: float, out: NDArray[Any]) -> None:
        """Write scale m into `out`, m the first 53 bits of numbers start, start + 1, ... of a stream.

        Where `out` holds whole numbers, what comes after the point is cut off.
        """


def fill(seed: int, stream: int, start: int, scale: float, out: NDArray[Any]) -> None:
    """Write numbers of a stream as NumPy makes them; see `Fill`."""
    # Philox makes four numbers from each value of its counter
    block, skip = divmod(start, 4)
    raw: NDArray[np.uint64] = np.random.Philox(key=seed + (stream << 64), counter=block).random_raw(skip + out.size)
    raw = raw[skip:]
    raw >>= np.uint64(11)
    np.multiply(raw, scale, out=out, casting="unsafe")


def uniform(seed: int, stream: int, start: int, count: int, fill: Fill = fill) -> NDArray[np.float64]:
    """Return numbers start .. start + count - 1 of a stream of uniform numbers in [0, 1), each of 53 bits.

    Streams 1, 2 and 3 are the samplers', stream 4 the elbows'.
    """
    numbers = np.empty(count)
    fill(seed, stream, start, 2.0**-53, numbers)
    return numbers


def whole(seed: int, stream: int, start: int, limit: int, out: Indices, fill: Fill = fill) -> None:
    """Write floor(limit u), u the numbers of `uniform` from `start` on, into `out`."""
    # limit 2^-53 loses no digits, so that its product rounds as that of limit and u
    fill(seed, stream, start, limit * 2.0**-53, out)


Room = Callable[[tuple[int, ...]], Indices]
"""Returns an array of some shape, whatever is in it."""


def new(shape: tuple[int, ...]) -> Indices:
    """Return a new array."""
    return np.empty(shape, dtype=np.int64)


class OwnRoom(threading.local):
    """An array for each thread, used again and again: getting new memory takes as long as half of the drawing."""

    MOST = 2**18
    """Numbers that are kept room for: 2 MB."""

    def __init__(self) -> None:
        self._kept = new((0,))

    def __call__(self, shape: tuple[int, ...]) -> Indices:
        """Return an array, which is this thread's until it asks for another."""
        size = math.prod(shape)
        if size > self.MOST:
            return new(shape)
        if len(self._kept) < size:
            self._kept = new((size,))
        return self._kept[:size].reshape(shape)


class Sampler(ABC):
    """Draws minibatches; `name` is the word for it in configs."""

    name: ClassVar[str]

    @abstractmethod
    def batch(self, samples: int) -> int:
        """Return the batch size B for N samples."""

    @abstractmethod
    def draw(
        self, seeds: Sequence[int], start: int, stop: int, samples: int, fill: Fill = fill, room: Room = new
    ) -> Indices | None:
        """Return the indices of updates start .. stop - 1, [R, K, B]; None means all samples, in order.

        `fill` says how the numbers are made, and `room` where they are kept; neither changes any of them.
        """


@dataclass(frozen=True)
class Full(Sampler):
    """All points at every update: gradient descent, not stochastic."""

    name = "full"

    def batch(self, samples: int) -> int:
        """Return N."""
        return samples

    def draw(
        self, seeds: Sequence[int], start: int, stop: int, samples: int, fill: Fill = fill, room: Room = new
    ) -> None:
        """Return None: no indices are needed."""
        return None


@dataclass(frozen=True)
class Minibatches(Sampler):
    """A policy with a batch size."""

    batch_size: int = 40

    def batch(self, samples: int) -> int:
        """Return the batch size."""
        return self.batch_size

    def draw(
        self, seeds: Sequence[int], start: int, stop: int, samples: int, fill: Fill = fill, room: Room = new
    ) -> Indices:
        """Return the indices of updates start .. stop - 1, [R, K, B]."""
        found = room((len(seeds), stop - start, self.batch_size))
        for seed, out in zip(seeds, found, strict=True):
            self._one(seed, start, stop, samples, out, fill)
        return found

    @abstractmethod
    def _one(self, seed: int, start: int, stop: int, samples: int, out: Indices, fill: Fill) -> None:
        """Write the indices of one replica into `out`, [K, B]."""


@dataclass(frozen=True)
class WithReplacement(Minibatches):
    """Each of the B points is drawn independently of the others: the course's policy."""

    name = "with_replacement"

    def _one(self, seed: int, start: int, stop: int, samples: int, out: Indices, fill: Fill) -> None:
        whole(seed, 1, start * self.batch_size, samples, out.reshape(-1), fill)


@dataclass(frozen=True)
class WithoutReplacement(Minibatches):
    """B different points at every update, every subset equally likely, updates independent."""

    name = "without_replacement"

    def _one(self, seed: int, start: int, stop: int, samples: int, out: Indices, fill: Fill) -> None:
        size, updates = self.batch_size, stop - start
        if size * size > 8 * samples:
            # a random order of all points is cheaper than Floyd's B^2 comparisons
            rows = max(1, MOST_KEYS // samples)
            for first in range(0, updates, rows):
                count = min(rows, updates - first)
                keys = uniform(seed, 2, (start + first) * samples, count * samples, fill).reshape(count, samples)
                out[first : first + count] = np.argpartition(keys, size - 1, axis=1)[:, :size]
            # sorted, since the order that a partition leaves differs between machines
            out.sort(axis=1)
            return
        # R. Floyd's algorithm (Bentley and Floyd, Programming Pearls: A Sample of Brilliance, 1987), with all updates
        # of a piece side by side in memory
        numbers = np.ascontiguousarray(uniform(seed, 2, start * size, updates * size, fill).reshape(updates, size).T)
        chosen = np.empty((size, updates), dtype=np.int64)
        for j in range(size):
            top = samples - size + j
            candidate = (numbers[j] * (top + 1)).astype(np.int64)
            taken = (chosen[:j] == candidate).any(axis=0)
            chosen[j] = np.where(taken, top, candidate)
        out[:] = chosen.T


@dataclass(frozen=True)
class Epoch(Minibatches):
    """All points in a fresh random order, then again: each point once in every N draws.

    The orders follow each other without a gap, so where B does not divide N a batch may hold the end of one
    and the beginning of the next.
    """

    name = "epoch"

    def _one(self, seed: int, start: int, stop: int, samples: int, out: Indices, fill: Fill) -> None:
        first, last = start * self.batch_size, stop * self.batch_size
        epochs = range(first // samples, -(-last // samples))
        keys = uniform(seed, 3, epochs.start * samples, len(epochs) * samples, fill).reshape(-1, samples)
        order = np.argsort(keys, axis=1)
        ordered = np.take_along_axis(keys, order, axis=1)
        if (ordered[:, 1:] == ordered[:, :-1]).any():
            # the order of equal keys would differ between machines
            order = np.argsort(keys, axis=1, kind="stable")
        offset = epochs.start * samples
        out[:] = order.reshape(-1)[first - offset : last - offset].reshape(out.shape)
