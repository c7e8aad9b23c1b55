"""Segments: the updates between two snapshots. Lightning sees a segment as one batch.

Legend of shapes: R replicas, K updates, B batch, N samples.
"""

import functools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from reluviz.data.dataset import Dataset
from reluviz.data.samplers import (
    Allocate,
    Full,
    Indices,
    RandomFill,
    Sampler,
    ThreadBuffer,
    fill_random,
    new_array,
)

MAX_PIECE_UPDATES = 1000
"""Most updates in a piece, so that progress can be shown within a long segment."""
MAX_INDICES = 2**22
"""Most indices held in memory at once: 32 MiB."""
MAX_REPLICA_UPDATES = 2**20
"""Most updates in a piece, summed over the replicas: about a second of work."""

_thread_buffer = ThreadBuffer()


class Piece:
    """Part of a segment: the updates start .. stop - 1 of all replicas, and the points they use.

    Args:
        start: its first update.
        stop: the update after its last.
        indices: the points, [R, K, B]; None for all points, or if `draw` is given.
        draw: returns the points of replicas first .. last - 1, given first, last, `fill` and `allocate`;
            see `Sampler.draw`.
        batch: B, if `draw` is given.

    Attributes:
        batch: B; None for all points.
    """

    def __init__(
        self,
        start: int,
        stop: int,
        indices: Tensor | None = None,
        draw: Callable[[int, int | None, RandomFill, Allocate], Indices] | None = None,
        batch: int | None = None,
    ) -> None:
        self.start = start
        self.stop = stop
        self.batch = batch if indices is None else indices.shape[-1]
        self._indices = indices
        self._draw = draw

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def indices(self) -> Tensor | None:
        """The points of all replicas, [R, K, B], drawn on first use; None for all points."""
        if self._draw is not None:
            self._indices, self._draw = torch.from_numpy(self._draw(0, None, fill_random, new_array)), None
        return self._indices

    def replica_indices(self, first: int, last: int, fill: RandomFill = fill_random) -> Indices | None:
        """Return the points of replicas first .. last - 1, [last - first, K, B]; None for all points.

        Thread-safe. The array is valid until the same thread calls this method of any piece again.
        """
        if self._draw is not None:
            return self._draw(first, last, fill, _thread_buffer)
        return None if self._indices is None else self._indices[first:last].numpy()


class Segment:
    """The updates start .. stop - 1 and the points they use, cut into pieces on demand.

    (Not a dataclass: Lightning would copy its fields one by one to move them to a device.)
    """

    def __init__(self, dataset: Dataset, sampler: Sampler, seeds: Sequence[int], start: int, stop: int) -> None:
        self.dataset = dataset
        self.sampler = sampler
        self.seeds = tuple(seeds)
        self.start = start
        self.stop = stop

    def __len__(self) -> int:
        return self.stop - self.start

    def pieces(self, by_replica: bool = False) -> Iterator[Piece]:
        """Yield the segment's pieces in order; memory stays bounded however long the segment is.

        Args:
            by_replica: whether the caller draws the points of a few replicas at a time, so that a piece may have
                more indices than fit in memory at once.
        """
        # full batches need no indices
        batch = None if isinstance(self.sampler, Full) else self.sampler.batch(len(self.dataset.x))
        indices_per_update = (1 if by_replica else len(self.seeds)) * (batch or 1)
        step = max(1, min(MAX_PIECE_UPDATES, MAX_INDICES // indices_per_update, MAX_REPLICA_UPDATES // len(self.seeds)))
        for start in range(self.start, self.stop, step):
            stop = min(start + step, self.stop)
            if batch is None:
                yield Piece(start, stop)
            else:
                yield Piece(start, stop, draw=functools.partial(self._draw, start, stop), batch=batch)

    def _draw(
        self, start: int, stop: int, first: int, last: int | None, fill: RandomFill, allocate: Allocate
    ) -> Indices:
        indices = self.sampler.draw(self.seeds[first:last], start, stop, len(self.dataset.x), fill, allocate)
        assert indices is not None
        return indices
