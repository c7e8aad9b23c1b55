"""Segments: the runs of updates between two snapshots, which are what Lightning sees as batches.

Legend of shapes: R replicas, K updates, B batch, N samples.
"""

import functools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from reluviz.data.dataset import Dataset
from reluviz.data.samplers import Fill, Full, Indices, OwnRoom, Room, Sampler, fill, new

LONGEST_PIECE = 1000
"""Updates in a piece at most, so that progress can be shown within a long segment."""
MOST_INDICES = 2**22
"""Indices held at once at most: 32 MiB."""
MOST_UPDATES = 2**20
"""Updates of all replicas in a piece at most: about a second of work."""

_room = OwnRoom()


class Piece:
    """Part of a segment: the updates start .. stop - 1 of all replicas, and the points they use.

    Args:
        start: its first update.
        stop: the one after its last.
        indices: the points, [R, K, B]; None for all points, or where `draw` is given.
        draw: returns the points of replicas first .. last - 1, drawn in the way `fill` and kept in
            `room`; see `Sampler.draw`.
        batch: B, where `draw` is given.

    Attributes:
        batch: B; None for all points.
    """

    def __init__(
        self,
        start: int,
        stop: int,
        indices: Tensor | None = None,
        draw: Callable[[int, int | None, Fill, Room], Indices] | None = None,
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
        """The points of all replicas, [R, K, B], drawn when first asked for; None for all points."""
        if self._draw is not None:
            self._indices, self._draw = torch.from_numpy(self._draw(0, None, fill, new)), None
        return self._indices

    def of(self, first: int, last: int, fill: Fill = fill) -> Indices | None:
        """Return the points of replicas first .. last - 1 alone, and keep nothing; any thread may ask.

        They are the thread's until it asks any piece for others.
        """
        if self._draw is not None:
            return self._draw(first, last, fill, _room)
        return None if self._indices is None else self._indices[first:last].numpy()


class Segment:
    """The updates start .. stop - 1 and the points they use, cut into pieces when asked for.

    (Not a dataclass, since Lightning copies those field by field to move them to a device.)
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
            by_replica: whether the points of one replica after another will be asked for, so that a piece may have
                more indices than are held at once.
        """
        # full batches need no indices
        batch = None if isinstance(self.sampler, Full) else self.sampler.batch(len(self.dataset.x))
        held = (1 if by_replica else len(self.seeds)) * (batch or 1)
        step = max(1, min(LONGEST_PIECE, MOST_INDICES // held, MOST_UPDATES // len(self.seeds)))
        for start in range(self.start, self.stop, step):
            stop = min(start + step, self.stop)
            if batch is None:
                yield Piece(start, stop)
            else:
                yield Piece(start, stop, draw=functools.partial(self._draw, start, stop), batch=batch)

    def _draw(self, start: int, stop: int, first: int, last: int | None, fill: Fill, room: Room) -> Indices:
        drawn = self.sampler.draw(self.seeds[first:last], start, stop, len(self.dataset.x), fill, room)
        assert drawn is not None
        return drawn
