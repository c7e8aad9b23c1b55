"""Computes the snapshots of a run, makes their events and draws their pictures.

Nothing in this module needs torch, so that a helper process can do the work; see `helper_processes`.

Legend of shapes: S snapshots, R replicas, W hidden units, n recorded samples.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from reluviz.core.models import Array
from reluviz.core.models.relu import MODEL as RELU
from reluviz.core.snapshot import (
    MAX_RECORDED_SAMPLES,
    MAX_SHOWN_REPLICAS,
    RawSnapshot,
    Snapshots,
    compute_snapshots,
    recorded_samples,
)
from reluviz.data.dataset import Dataset
from reluviz.engines.compiled_votes import load_compiled_votes
from reluviz.record import tags
from reluviz.record.snapshot_events import SnapshotEvents

if TYPE_CHECKING:
    from reluviz.plots import FitPicture, VotesPicture

SCALAR_BYTES = 2**14
"""About what the scalars and histograms of a snapshot take in its event."""


@dataclass(frozen=True)
class SnapshotOptions:
    """What to compute, record and draw of a run's snapshots.

    Attributes:
        model: the model's name.
        trained: names of the trained parameters.
        dataset: the points, with the units of training.
        seed: the seed of the first replica, which the pictures show.
        dtype: the run's parameter type as NumPy names it.
        events: whether to make events.
        histograms: whether the events contain histograms.
        most_units: the largest number of units with scalars for each unit.
        picture_updates: the updates whose snapshots get pictures.
        contributions: whether these snapshots also get the matrix of all contributions.
        optimum: theta* of the constant and the linear model.
    """

    model: str
    trained: tuple[str, ...]
    dataset: Dataset
    seed: int
    dtype: str
    events: bool
    histograms: bool
    most_units: int
    picture_updates: frozenset[int]
    contributions: bool
    optimum: float | None


def result_bytes(options: SnapshotOptions, raw: RawSnapshot) -> int:
    """Return about how many bytes the results of a snapshot take: its event, and what pictures and histories need.

    Args:
        options: what is computed.
        raw: the snapshot.
    """
    recorded = min(len(options.dataset.x), MAX_RECORDED_SAMPLES)
    shown = min(len(raw.loss_batch), MAX_SHOWN_REPLICAS)
    parameters = sum(value[0].size for value in raw.parameters.values()) if options.contributions else 0
    # in float32: residual, norm and share, contributions, and the norms of the first replica
    return SCALAR_BYTES + 2 * raw.nbytes + (12 + 4 * parameters) * recorded * shown + 4 * recorded


@dataclass(frozen=True)
class PictureData:
    """The values of the first replica that the pictures of a snapshot show.

    Attributes:
        update: how many updates have been made.
        parameters: as trained, name -> () or [W].
        losses: tag -> value.
        shares: vote shares of the recorded samples [n].
        norms: norms of their contributions [n].
        residuals: f(x_i) - y_i [n].
        earlier_theta: theta in the earlier pictures of the run, in their order; empty for a network.
    """

    update: int
    parameters: dict[str, Array]
    losses: dict[str, float]
    shares: Array
    norms: Array
    residuals: Array
    earlier_theta: tuple[float, ...] = ()

    @classmethod
    def of(cls, snapshots: Snapshots, s: int) -> "PictureData":
        """Return the data of snapshot s, as copies that do not keep all replicas of all snapshots in memory."""
        losses = {tags.LOSS_TRAIN: float(snapshots.loss_train[s, 0])}
        if snapshots.loss_test is not None:
            losses[tags.LOSS_TEST] = float(snapshots.loss_test[s, 0])
        votes = (snapshots.votes.share, snapshots.votes.norm, snapshots.residual)
        parameters = {name: value[s, 0].copy() for name, value in snapshots.parameters.items()}
        return cls(snapshots.updates[s], parameters, losses, *(value[s, 0].copy() for value in votes))


@dataclass(frozen=True)
class WorkerResult:
    """What a worker has computed for some snapshots.

    Attributes:
        events: one for each snapshot; empty without `SnapshotOptions.events`.
        norms: norms of the contributions of the recorded samples to the first replica's gradient, [S, n].
        loss_train: [S, R].
        unit_counts: numbers of dead, linear and bent units, [S, R, 3]; None for a model without units.
        not_diverged: which replicas have not diverged, [S, R].
        picture_data: the data of each snapshot that gets pictures.
    """

    events: list[bytes]
    norms: NDArray[np.float32]
    loss_train: Array
    unit_counts: NDArray[np.int64] | None
    not_diverged: NDArray[np.bool_]
    picture_data: list[PictureData]


class Worker(Protocol):
    """Computes and draws the snapshots of one run. Two threads may call it at the same time.

    Attributes:
        drawing_seconds: processor time spent on drawing so far.
    """

    @property
    def drawing_seconds(self) -> float: ...  # noqa: D102

    def compute(
        self, raw: Sequence[RawSnapshot], known_not_diverged: Sequence[bool], loss_bound: Array
    ) -> WorkerResult:
        """Compute snapshots.

        Args:
            raw: the S snapshots, in the order of the run.
            known_not_diverged: for each snapshot, whether it is certain that no replica has diverged.
            loss_bound: the largest loss of a replica that has not diverged, [R]; see `core.snapshot.largest_loss`.
        """

    def draw_pictures(self, picture_data: PictureData) -> tuple[bytes, bytes]:
        """Return the pictures fit and votes of a snapshot, as the bytes of PNG files."""

    def draw_vote_history(self, updates: Array, norms: Array) -> bytes:
        """Return the picture votes/history, as the bytes of a PNG file; see `plots.history_png`."""

    def release(self) -> None:
        """Release the helper processes, if there are any; later calls run in this process."""


_matplotlib_lock = threading.Lock()
"""Held while drawing, because matplotlib's settings are shared by the whole process."""


class SnapshotWorker:
    """Computes and draws snapshots in this process; see `Worker`.

    Args:
        options: what to compute and draw.
    """

    def __init__(self, options: SnapshotOptions) -> None:
        self.options = options
        self.drawing_seconds = 0.0
        self._events = SnapshotEvents(np.dtype(options.dtype), options.most_units)
        self._pictures: tuple[FitPicture, VotesPicture] | None = None
        self._any_diverged = False

    def prepare_pictures(self) -> None:
        """Draw the parts that all pictures share, if the run has pictures."""
        if self._pictures is None and self.options.picture_updates:
            # matplotlib takes a quarter of a second to import
            from reluviz.plots import for_run

            self._pictures = for_run(self.options.model, self.options.dataset, self.options.seed, self.options.dtype)

    # what has diverged overflows
    @np.errstate(all="ignore")
    def compute(  # noqa: D102
        self, raw: Sequence[RawSnapshot], known_not_diverged: Sequence[bool], loss_bound: Array
    ) -> WorkerResult:
        options = self.options
        # one after another, since a computed snapshot takes a hundred times the memory of its results
        batches = compute_snapshots(
            options.model, raw, options.trained, options.dataset, MAX_SHOWN_REPLICAS, load_compiled_votes, options.dtype
        )
        events: list[bytes] = []
        not_diverged = np.ones((len(raw), len(loss_bound)), np.bool_)
        picture_data: list[PictureData] = []
        norms, losses, counts = [], [], []
        stop = 0
        for snapshots in batches:
            batch = slice(stop, stop + len(snapshots))
            stop = batch.stop
            if not all(known_not_diverged[batch]):
                not_diverged[batch] = snapshots.not_diverged(loss_bound)
            with_pictures = self._with_pictures(snapshots, not_diverged[batch])
            picture_data += [PictureData.of(snapshots, s) for s in with_pictures]
            if options.events:
                with_contributions = [data.update for data in picture_data] if options.contributions else ()
                events += self._events.events(snapshots, options.histograms, with_contributions, options.optimum)
            norms.append(snapshots.votes.norm[:, 0].astype(np.float32))
            losses.append(snapshots.loss_train)
            if snapshots.units is not None:
                counts.append(snapshots.units.counts)
        unit_counts = np.concatenate(counts) if counts else None
        return WorkerResult(
            events, np.concatenate(norms), np.concatenate(losses), unit_counts, not_diverged, picture_data
        )

    def _with_pictures(self, snapshots: Snapshots, not_diverged: NDArray[np.bool_]) -> list[int]:
        """Return the indices of the snapshots that get pictures: the chosen updates, and the first that diverged."""
        found = {s for s, update in enumerate(snapshots.updates) if update in self.options.picture_updates}
        if not self._any_diverged and not not_diverged.all():
            self._any_diverged = True
            if self.options.picture_updates:
                found.add(int(np.argmin(not_diverged.all(-1))))
        return sorted(found)

    def draw_pictures(self, picture_data: PictureData) -> tuple[bytes, bytes]:  # noqa: D102
        with self._drawing():
            self.prepare_pictures()
            assert self._pictures is not None
            fit, votes = self._pictures
            parameters, update = picture_data.parameters, picture_data.update
            values = (picture_data.shares, picture_data.norms, picture_data.residuals)
            fit_png = fit.png(parameters, update, picture_data.losses, picture_data.earlier_theta)
            return fit_png, votes.png(parameters, update, *values, self._recorded_x())

    def draw_vote_history(self, updates: Array, norms: Array) -> bytes:  # noqa: D102
        with self._drawing():
            from reluviz.plots import history_png

            return history_png(self._recorded_x(), updates, norms)

    def release(self) -> None:
        """Do nothing: there are no helper processes."""

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        """Hold the lock of matplotlib, and add the processor time within this context to `drawing_seconds`."""
        with _matplotlib_lock:
            started = time.thread_time()
            try:
                yield
            finally:
                self.drawing_seconds += time.thread_time() - started

    def _recorded_x(self) -> Array:
        x = self.options.dataset.x
        return x[recorded_samples(len(x))]


def warm_up(draws: bool) -> None:
    """Compute a small snapshot, and draw it, so that code, fonts and markers are loaded.

    Args:
        draws: whether to draw its pictures, which takes as long as ten later ones.
    """
    from reluviz.data.targets import piecewise_linear

    dataset = piecewise_linear()
    worker = SnapshotWorker(
        SnapshotOptions(
            RELU.name, tuple(RELU.parameters), dataset, 0, "float32", True, True, 2, frozenset([1]), False, None
        )
    )
    p = {name: np.ones((1, 2) if axes else 1) for name, axes in RELU.parameters.items()}
    result = worker.compute([RawSnapshot(1, 0.0, p, np.ones(1))], [True], np.ones(1))
    if draws:
        from matplotlib import rcParams

        from reluviz.plots.style import RC

        rcParams.update(RC)
        worker.draw_pictures(result.picture_data[0])
        worker.draw_vote_history(np.arange(2.0), np.ones((2, len(dataset.x))))
