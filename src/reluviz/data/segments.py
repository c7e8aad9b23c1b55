"""Segments: the runs of updates between two snapshots, which are what Lightning sees as batches.

Legend of shapes: R replicas, K updates, B batch, N samples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reluviz.data.dataset import Dataset
from reluviz.data.samplers import Full, Sampler

LONGEST_PIECE = 1000
"""Updates in a piece at most, so that progress can be shown within a long segment."""
MOST_INDICES = 2**22
"""Indices in a piece at most: 32 MiB."""


@dataclass(frozen=True)
class Piece:
    """Part of a segment, drawn at once: updates start .. stop - 1, indices [R, K, B] (None: all points)."""

    start: int
    stop: int
    indices: Tensor | None

    def __len__(self) -> int:
        return self.stop - self.start


class Segment:
    """The updates start .. stop - 1 and the points they use, drawn piece by piece when asked for.

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

    def pieces(self) -> Iterator[Piece]:
        """Yield the segment's pieces in order; memory stays bounded however long the segment is."""
        samples = len(self.dataset.x)
        # full batches need no indices
        drawn_each = 1 if isinstance(self.sampler, Full) else self.sampler.batch(samples)
        entries = len(self.seeds) * drawn_each
        step = max(1, min(LONGEST_PIECE, MOST_INDICES // entries))
        for start in range(self.start, self.stop, step):
            stop = min(start + step, self.stop)
            drawn = self.sampler.draw(self.seeds, start, stop, samples)
            yield Piece(start, stop, None if drawn is None else torch.from_numpy(drawn))
