"""What becomes of the snapshots of a run: they are worked out, made into events, and drawn.

Nothing here needs torch, and nothing has to happen in the process that trains; see `beside`.

Legend of shapes: S snapshots, R replicas, n recorded points.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from reluviz.core.functions import Array
from reluviz.core.snapshot import MOST_SHOWN, RawSnapshot, Snapshots, compute_snapshots, recorded
from reluviz.data.dataset import Dataset
from reluviz.engines.compiled_votes import compiled_votes
from reluviz.record import tags
from reluviz.record.snapshot_events import SnapshotEvents

if TYPE_CHECKING:
    from reluviz.plots import FitPicture, VotesPicture


@dataclass(frozen=True)
class SnapshotOptions:
    """What is wanted of a run's snapshots.

    Attributes:
        model: constant, linear or relu.
        trained: names of the trained parameters.
        dataset: the points.
        seed: of the first replica, which is drawn.
        dtype: of the run's parameters, as NumPy names it.
        events: whether there is somebody to write events.
        histograms: whether they hold histograms.
        most_units: units that get scalars of their own, at most.
        pictured: updates that get pictures.
        contributions: whether they get the matrix of all contributions too.
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
    pictured: frozenset[int]
    contributions: bool
    optimum: float | None


@dataclass(frozen=True)
class PictureData:
    """What the pictures of a snapshot show, of its first replica.

    Attributes:
        update: how many updates have been made.
        parameters: name -> () or [W].
        losses: tag -> value.
        shares: vote shares of the recorded samples [n].
        norms: norms of their contributions [n].
        residuals: f(x_i) - y_i [n].
    """

    update: int
    parameters: dict[str, Array]
    losses: dict[str, float]
    shares: Array
    norms: Array
    residuals: Array

    @classmethod
    def of(cls, album: Snapshots, s: int) -> "PictureData":
        """Return that of one snapshot; copies, since the album holds all replicas of all snapshots."""
        losses = {tags.LOSS_TRAIN: float(album.loss_train[s, 0])}
        if album.loss_test is not None:
            losses[tags.LOSS_TEST] = float(album.loss_test[s, 0])
        figures = (album.votes.share, album.votes.norm, album.votes.residual)
        parameters = {name: value[s, 0].copy() for name, value in album.parameters.items()}
        return cls(album.updates[s], parameters, losses, *(part[s, 0].copy() for part in figures))


@dataclass(frozen=True)
class WorkerResult:
    """What has been found out about some snapshots.

    Attributes:
        events: one for each, where they are wanted.
        norms: of the contributions of the recorded samples to the first replica's gradient, [S, n].
        loss_train: [S, R].
        sound: which replicas have not diverged, [S, R].
        sights: what is to be drawn.
    """

    events: list[bytes]
    norms: NDArray[np.float32]
    loss_train: Array
    sound: NDArray[np.bool_]
    sights: list[PictureData]


class Worker(Protocol):
    """Works out the snapshots of one run, and draws them; two threads may do so at a time.

    Attributes:
        seconds: processor time spent on drawing so far.
    """

    @property
    def seconds(self) -> float: ...  # noqa: D102

    def develop(self, taken: Sequence[RawSnapshot], sure: Sequence[bool], bound: Array) -> WorkerResult:
        """Work out snapshots.

        Args:
            taken: the snapshots, in order.
            sure: of which it is known that no replica has diverged, S of them.
            bound: see `album.largest_loss`.
        """

    def draw(self, sight: PictureData) -> tuple[bytes, bytes]:
        """Return the pictures fit and votes of a snapshot, as the bytes of PNG files."""

    def history(self, updates: Array, norms: Array) -> bytes:
        """Return the picture votes/history, as the bytes of a PNG file; see `pictures.history_png`."""

    def close(self) -> None:
        """Let others do the work from now on: it can still be asked, but whoever asks does it."""


_matplotlib = threading.Lock()
"""Its settings are those of the whole process."""


class SnapshotWorker:
    """Does so in this process.

    Args:
        order: what is wanted.
    """

    def __init__(self, order: SnapshotOptions) -> None:
        self.order = order
        self.seconds = 0.0
        self._entries = SnapshotEvents(order.model, np.dtype(order.dtype), order.most_units)
        self._pictures: tuple[FitPicture, VotesPicture] | None = None
        self._sound = True

    def prepare(self) -> None:
        """Draw what stays the same in all pictures, if there are to be any."""
        if self._pictures is None and self.order.pictured:
            # matplotlib takes a quarter of a second to import
            from reluviz.plots import for_run

            self._pictures = for_run(self.order.model, self.order.dataset, self.order.seed)

    def develop(self, taken: Sequence[RawSnapshot], sure: Sequence[bool], bound: Array) -> WorkerResult:  # noqa: D102
        order = self.order
        albums = list(compute_snapshots(order.model, taken, order.trained, order.dataset, MOST_SHOWN, compiled_votes))
        events: list[bytes] = []
        sound = np.ones((len(taken), len(bound)), np.bool_)
        sights: list[PictureData] = []
        first = 0
        for album in albums:
            own = slice(first, first + len(album))
            first = own.stop
            if not all(sure[own]):
                sound[own] = album.sound(bound)
            sights += [PictureData.of(album, s) for s in self._pictured(album, sound[own])]
            if order.events:
                matrices = [sight.update for sight in sights] if order.contributions else ()
                events += self._entries.events(album, order.histograms, matrices, order.optimum)
        norms = np.concatenate([album.votes.norm[:, 0] for album in albums]).astype(np.float32)
        return WorkerResult(events, norms, np.concatenate([album.loss_train for album in albums]), sound, sights)

    def _pictured(self, album: Snapshots, sound: NDArray[np.bool_]) -> list[int]:
        """Return which snapshots get pictures: those that were asked for, and the first that has diverged."""
        found = {s for s, update in enumerate(album.updates) if update in self.order.pictured}
        if self._sound and not sound.all():
            self._sound = False
            if self.order.pictured:
                found.add(int(np.argmin(sound.all(-1))))
        return sorted(found)

    def draw(self, sight: PictureData) -> tuple[bytes, bytes]:  # noqa: D102
        with self._drawing():
            self.prepare()
            assert self._pictures is not None
            fit, votes = self._pictures
            ballots = (sight.shares, sight.norms, sight.residuals)
            first = fit.png(sight.parameters, sight.update, sight.losses)
            return first, votes.png(sight.parameters, sight.update, *ballots, self._x())

    def history(self, updates: Array, norms: Array) -> bytes:  # noqa: D102
        with self._drawing():
            from reluviz.plots import history_png

            return history_png(self._x(), updates, norms)

    def close(self) -> None:
        """Do nothing: nobody else has to do with it."""

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        with _matplotlib:
            started = time.thread_time()
            try:
                yield
            finally:
                self.seconds += time.thread_time() - started

    def _x(self) -> Array:
        x = self.order.dataset.x
        return x[recorded(len(x))]
