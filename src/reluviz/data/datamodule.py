"""The LightningDataModules: a data set, a sampling policy and a snapshot schedule, as segments."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Protocol

import lightning as L
import torch

from reluviz.data.dataset import Dataset
from reluviz.data.point_files import file
from reluviz.data.samplers import Sampler, WithReplacement
from reluviz.data.schedules import EverySchedule, Schedule
from reluviz.data.segments import Segment
from reluviz.data.targets import piecewise_linear, sine
from reluviz.errors import UserError


class Progress(Protocol):
    """What a loader of segments asks the module that is trained.

    Attributes:
        seeds: one for each replica.
        updates_done: the number of updates made.
        segments_done: the number of segments made.
    """

    seeds: list[int]
    updates_done: torch.Tensor
    segments_done: torch.Tensor


class SegmentLoader:
    """Yields the segments that the module has not yet made.

    The module, not the loader, knows how far training has come: a segment that was handed out but interrupted
    is handed out again. Lightning asks a loader for its state to resume within an epoch; it is derived.
    """

    def __init__(self, data: "SegmentData", module: Progress) -> None:
        self.data = data
        self.module = module

    def __len__(self) -> int:
        return int(self.module.segments_done) + len(self.data.remaining(int(self.module.updates_done)))

    def __iter__(self) -> Iterator[Segment]:
        remaining = self.data.remaining(int(self.module.updates_done))
        for start, stop in remaining:
            yield Segment(self.data.dataset, self.data.sampler, self.module.seeds, start, stop)

    def state_dict(self) -> dict[str, Any]:
        """Return where the module is."""
        return {"segments": int(self.module.segments_done)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing: the module's own state, restored before, decides."""


class SegmentData(L.LightningDataModule):
    """Any data set as segments.

    Args:
        dataset: the points.
        updates: how many updates a run makes.
        sampler: which points each update uses.
        snapshots: after which updates a snapshot is taken; between two of them lies a segment.

    Raises:
        UserError: if a batch without replacement is larger than the data set.
    """

    def __init__(
        self,
        dataset: Dataset,
        updates: int = 150_000,
        sampler: Sampler | None = None,
        snapshots: Schedule | None = None,
    ) -> None:
        super().__init__()
        self.dataset = dataset
        self.updates = int(updates)
        self.sampler = sampler or WithReplacement()
        self.snapshots = snapshots or EverySchedule()
        if updates < 1:
            raise UserError(f"updates={updates}: must be a whole number of at least 1")
        batch, samples = self.sampler.batch(len(dataset.x)), len(dataset.x)
        if batch < 1:
            raise UserError(f"sampler.batch_size={batch}: must be a whole number of at least 1")
        if self.sampler.name in ("without_replacement", "epoch") and batch > samples:
            raise UserError(
                f"sampler.batch_size={batch}: more than the {samples} points there are, and sampler="
                f"{self.sampler.name} takes each at most once"
            )

    def schedule(self) -> list[int]:
        """Return the updates after which a snapshot is taken."""
        return self.snapshots.schedule(self.updates)

    def remaining(self, done: int) -> list[tuple[int, int]]:
        """Return (start, stop) of each segment still to be made after `done` updates."""
        return list(pairwise([done, *(stop for stop in self.schedule() if stop > done)]))

    def train_dataloader(self) -> SegmentLoader:
        """Return the loader of segments, for the module that the trainer trains."""
        assert self.trainer is not None
        return SegmentLoader(self, self.trainer.lightning_module)  # type: ignore[arg-type]

    def transfer_batch_to_device(self, batch: Segment, device: torch.device, dataloader_idx: int) -> Segment:
        """Return the segment as it is: the points it refers to are moved where they are used."""
        return batch


class PiecewiseLinearData(SegmentData):
    """The course's data; see `reluviz.data.piecewise_linear` and `SegmentData` for the arguments."""

    def __init__(self, n: int = 200, noise: float = 0.1, seed: int = 1, **segments: Any) -> None:
        super().__init__(piecewise_linear(n, noise, seed), **segments)


class SineData(SegmentData):
    """sin(20 x); see `reluviz.data.sine` and `SegmentData` for the arguments."""

    def __init__(self, n: int = 200, noise: float = 0.1, seed: int = 1, **segments: Any) -> None:
        super().__init__(sine(n, noise, seed), **segments)


class FileData(SegmentData):
    """The user's own points; see `reluviz.data.file` and `SegmentData` for the arguments."""

    def __init__(self, path: str, test_path: str | None = None, **segments: Any) -> None:
        super().__init__(file(path, test_path), **segments)
