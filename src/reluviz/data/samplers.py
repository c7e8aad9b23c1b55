"""Which points a minibatch holds. The policy is explicit, because it changes how training behaves.

Every draw is a pure function of (seed, update), or of (seed, epoch) where the policy shuffles. It does not depend on
where segments begin and end, or on what was drawn before. A counter-based generator makes this possible: number i
of a stream is computed directly (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011). NumPy's
compatibility policy fixes Philox's raw numbers, so seeds keep their meaning.

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

from reluviz.data.ranges import RULES, check_value
from reluviz.errors import UserError

Indices = NDArray[np.int64]
MAX_SORT_KEYS = 2**22
"""Most sort keys held in memory at once when all points are ordered for one batch: 32 MiB."""


class RandomFill(Protocol):
    """A function that fills an array with random numbers.

    `fill_random` and the compiled `reluviz.engines.philox.fill_random` write the same numbers.
    """

    def __call__(self, seed: int, stream: int, start: int, scale: float, out: NDArray[Any]) -> None:
        """Write scale m into `out`, where m is the first 53 bits of numbers start, start + 1, ... of a stream.

        Fractional parts are dropped where `out` holds integers.
        """


def fill_random(seed: int, stream: int, start: int, scale: float, out: NDArray[Any]) -> None:
    """Write numbers of a stream with NumPy's generator; see `RandomFill`."""
    # Philox makes four numbers from each value of its counter
    block, skip = divmod(start, 4)
    raw: NDArray[np.uint64] = np.random.Philox(key=seed + (stream << 64), counter=block).random_raw(skip + out.size)
    raw = raw[skip:]
    raw >>= np.uint64(11)
    np.multiply(raw, scale, out=out, casting="unsafe")


def uniform(seed: int, stream: int, start: int, count: int, fill: RandomFill = fill_random) -> NDArray[np.float64]:
    """Return numbers start .. start + count - 1 of a stream of uniform numbers in [0, 1), with 53 bits each.

    The samplers use streams 1, 2 and 3, the initial elbows stream 4.
    """
    numbers = np.empty(count)
    fill(seed, stream, start, 2.0**-53, numbers)
    return numbers


def fill_random_integers(
    seed: int, stream: int, start: int, limit: int, out: Indices, fill: RandomFill = fill_random
) -> None:
    """Write floor(limit u) into `out`, where u are the numbers of `uniform` from `start` on."""
    # limit 2^-53 is exact, so its product with m rounds as limit times u does
    fill(seed, stream, start, limit * 2.0**-53, out)


Allocate = Callable[[tuple[int, ...]], Indices]
"""Returns an uninitialised array of the given shape."""


def new_array(shape: tuple[int, ...]) -> Indices:
    """Return a new uninitialised array."""
    return np.empty(shape, dtype=np.int64)


class ThreadBuffer(threading.local):
    """One reusable array for each thread: allocating new memory takes half as long as drawing the numbers."""

    MAX_NUMBERS = 2**18
    """Size of the largest array that is kept for reuse: 2 MB."""

    def __init__(self) -> None:
        self._buffer = new_array((0,))

    def __call__(self, shape: tuple[int, ...]) -> Indices:
        """Return an array that this thread may use until its next call."""
        size = math.prod(shape)
        if size > self.MAX_NUMBERS:
            return new_array(shape)
        if len(self._buffer) < size:
            self._buffer = new_array((size,))
        return self._buffer[:size].reshape(shape)


class Sampler(ABC):
    """Draws minibatches; `name` is its name in configurations."""

    name: ClassVar[str]

    @abstractmethod
    def batch(self, samples: int) -> int:
        """Return the batch size B for N samples."""

    @abstractmethod
    def draw(
        self,
        seeds: Sequence[int],
        start: int,
        stop: int,
        samples: int,
        fill: RandomFill = fill_random,
        allocate: Allocate = new_array,
    ) -> Indices | None:
        """Return the indices of updates start .. stop - 1, [R, K, B]; None means all samples, in order.

        `fill` makes the random numbers and `allocate` the array. Neither changes the result.
        """


@dataclass(frozen=True)
class Full(Sampler):
    """All points at every update: gradient descent, not stochastic."""

    name = "full"

    def batch(self, samples: int) -> int:
        """Return N."""
        return samples

    def draw(
        self,
        seeds: Sequence[int],
        start: int,
        stop: int,
        samples: int,
        fill: RandomFill = fill_random,
        allocate: Allocate = new_array,
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
        self,
        seeds: Sequence[int],
        start: int,
        stop: int,
        samples: int,
        fill: RandomFill = fill_random,
        allocate: Allocate = new_array,
    ) -> Indices:
        """Return the indices of updates start .. stop - 1, [R, K, B]."""
        indices = allocate((len(seeds), stop - start, self.batch_size))
        for seed, out in zip(seeds, indices, strict=True):
            self._draw_replica(seed, start, stop, samples, out, fill)
        return indices

    @abstractmethod
    def _draw_replica(self, seed: int, start: int, stop: int, samples: int, out: Indices, fill: RandomFill) -> None:
        """Write the indices of one replica into `out`, [K, B]."""


@dataclass(frozen=True)
class WithReplacement(Minibatches):
    """B points drawn independently of each other: the course's policy."""

    name = "with_replacement"

    def _draw_replica(self, seed: int, start: int, stop: int, samples: int, out: Indices, fill: RandomFill) -> None:
        fill_random_integers(seed, 1, start * self.batch_size, samples, out.reshape(-1), fill)


@dataclass(frozen=True)
class WithoutReplacement(Minibatches):
    """B different points at every update. Every subset is equally likely, and updates are independent."""

    name = "without_replacement"

    def _draw_replica(self, seed: int, start: int, stop: int, samples: int, out: Indices, fill: RandomFill) -> None:
        size, updates = self.batch_size, stop - start
        if size * size > 8 * samples:
            # a random order of all points is cheaper than the B^2 comparisons of Floyd's algorithm
            rows = max(1, MAX_SORT_KEYS // samples)
            for first in range(0, updates, rows):
                count = min(rows, updates - first)
                keys = uniform(seed, 2, (start + first) * samples, count * samples, fill).reshape(count, samples)
                out[first : first + count] = np.argpartition(keys, size - 1, axis=1)[:, :size]
            # sorted, since the order within a partition differs between machines
            out.sort(axis=1)
            return
        # R. Floyd's algorithm (Bentley and Floyd, Programming Pearls: A Sample of Brilliance, 1987), vectorised over
        # the updates
        numbers = np.ascontiguousarray(uniform(seed, 2, start * size, updates * size, fill).reshape(updates, size).T)
        chosen = np.empty((size, updates), dtype=np.int64)
        for j in range(size):
            top = samples - size + j
            candidate = (numbers[j] * (top + 1)).astype(np.int64)
            already_chosen = (chosen[:j] == candidate).any(axis=0)
            chosen[j] = np.where(already_chosen, top, candidate)
        out[:] = chosen.T


@dataclass(frozen=True)
class Epoch(Minibatches):
    """All points in a fresh random order, then in another one: each point once in every N draws.

    The orders follow each other without a gap. Where B does not divide N, a batch may hold the end of one order and
    the beginning of the next.
    """

    name = "epoch"

    def _draw_replica(self, seed: int, start: int, stop: int, samples: int, out: Indices, fill: RandomFill) -> None:
        first, last = start * self.batch_size, stop * self.batch_size
        epochs = range(first // samples, -(-last // samples))
        keys = uniform(seed, 3, epochs.start * samples, len(epochs) * samples, fill).reshape(-1, samples)
        order = np.argsort(keys, axis=1)
        ordered = np.take_along_axis(keys, order, axis=1)
        if (ordered[:, 1:] == ordered[:, :-1]).any():
            # an unstable sort may order equal keys differently on another machine
            order = np.argsort(keys, axis=1, kind="stable")
        offset = epochs.start * samples
        out[:] = order.reshape(-1)[first - offset : last - offset].reshape(out.shape)


def checked_batch(sampler: Sampler, samples: int) -> int:
    """Return the batch size B for N samples.

    Raises:
        UserError: if it is below 1, or a batch without replacement is larger than the data set.
    """
    batch = sampler.batch(samples)
    check_value("sampler.batch_size", batch, RULES["sampler.batch_size"])
    if sampler.name in ("without_replacement", "epoch") and batch > samples:
        raise UserError(
            f"sampler.batch_size={batch}: more than the {samples} points there are, and sampler="
            f"{sampler.name} takes each at most once"
        )
    return batch
