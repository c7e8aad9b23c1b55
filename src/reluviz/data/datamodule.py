"""The LightningDataModules: a data set, a sampling policy and a snapshot schedule, as segments."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import lightning as L
import torch

from reluviz.console import say_once
from reluviz.data.dataset import Dataset
from reluviz.data.point_checks import check_enough
from reluviz.data.point_files import file
from reluviz.data.ranges import check_value
from reluviz.data.samplers import Sampler, WithReplacement, checked_batch
from reluviz.data.schedules import EarlySchedule, Schedule, Steps, UpdatesFrom
from reluviz.data.segments import Segment
from reluviz.data.targets import piecewise_linear, sine
from reluviz.data.trainer_limits import say_limits


class TrainedModule(Protocol):
    """The part of a module that a loader of segments uses.

    Attributes:
        seeds: one seed for each replica.
        updates_done: the number of updates made.
        segments_done: the number of segments made.
    """

    seeds: list[int]
    updates_done: torch.Tensor
    segments_done: torch.Tensor


class SegmentLoader:
    """Yields the segments that the module has not completed.

    The module, not the loader, records the progress of training. So a segment that was interrupted is yielded
    again. Lightning saves a loader's state to resume within an epoch; this state follows from the module's.
    """

    def __init__(self, data: "SegmentData", module: TrainedModule) -> None:
        self.data = data
        self.module = module

    def __len__(self) -> int:
        return int(self.module.segments_done) + len(self.data.remaining(int(self.module.updates_done)))

    def __iter__(self) -> Iterator[Segment]:
        remaining = self.data.remaining(int(self.module.updates_done))
        for start, stop in remaining:
            yield Segment(self.data.dataset, self.data.sampler, self.module.seeds, start, stop)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of segments that the module has completed."""
        return {"segments": int(self.module.segments_done)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing: the module's state, which Lightning restores first, is used."""


class SegmentData(L.LightningDataModule):
    """A data set, presented to Lightning as segments.

    Args:
        dataset: the points.
        updates: the number of updates of a run.
        sampler: which points each update uses.
        snapshots: after which updates a snapshot is taken; a segment lies between two snapshots.

    Attributes:
        says_limits: whether to say what the trainer was told and cannot do here; see `trainer_limits`.

    Raises:
        UserError: if `updates` or the batch size is below 1, or a batch without replacement is larger than the
            data set, or the data set has fewer than two different x.
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
        self.updates: int = check_value("updates", updates)
        self.sampler = sampler or WithReplacement()
        self.snapshots = snapshots or EarlySchedule()
        self.says_limits = True
        check_enough(dataset.x, f"data={dataset.name}")
        if dataset.x_test is not None:
            check_enough(dataset.x_test, f"data={dataset.name}: x_test", min_rows=1)
        checked_batch(self.sampler, len(dataset.x))

    def schedule(self) -> Sequence[int]:
        """Return the updates after which a snapshot is taken."""
        return self.snapshots.schedule(self.updates)

    def remaining(self, done: int) -> Sequence[tuple[int, int]]:
        """Return (start, stop) of each segment that remains after `done` updates."""
        return Steps(UpdatesFrom(done, self.schedule()))

    def train_dataloader(self) -> SegmentLoader:
        """Return a loader of the remaining segments of the trainer's module."""
        assert self.trainer is not None
        loader = SegmentLoader(self, self.trainer.lightning_module)  # type: ignore[arg-type]
        done = int(loader.module.updates_done)
        if self.says_limits:
            say_limits(self.trainer, done, self.remaining(done))
        return loader

    def transfer_batch_to_device(self, batch: Segment, device: torch.device, dataloader_idx: int) -> Segment:
        """Return the segment unchanged: the module moves the data set's points to its device."""
        return batch


class PiecewiseLinearData(SegmentData):
    """The course's piecewise-linear data; see `reluviz.data.piecewise_linear` and `SegmentData` for the arguments."""

    def __init__(self, n: int = 200, noise: float = 0.1, seed: int = 1, **segments: Any) -> None:
        super().__init__(piecewise_linear(n, noise, seed), **segments)


class SineData(SegmentData):
    """Noisy samples of sin(20 x); see `reluviz.data.sine` and `SegmentData` for the arguments."""

    def __init__(self, n: int = 200, noise: float = 0.1, seed: int = 1, **segments: Any) -> None:
        super().__init__(sine(n, noise, seed), **segments)


class FileData(SegmentData):
    """The user's own points; see `reluviz.data.file` and `SegmentData` for the arguments.

    What the user should know about how a file was read is printed once, and stands in `dataset.notes`.
    """

    def __init__(
        self,
        path: str,
        test_path: str | None = None,
        x: str | int | None = None,
        y: str | int | None = None,
        decimal: str | None = None,
        scale: str = "auto",
        **segments: Any,
    ) -> None:
        super().__init__(file(path, test_path, x, y, decimal, scale), **segments)
        for line in self.dataset.notes:
            say_once(f"FileData: {line}")
