"""Collects the snapshots that a run takes, and has threads compute, record and draw them while training continues.

Compiled code makes the updates and releases Python's lock meanwhile, so the threads do not slow it down. Snapshots
that follow each other quickly are computed several at a time, which takes a fraction of the time. An interruption of
the training does not interrupt a thread that is writing. A second thread draws, so drawing delays neither.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from reluviz.core.functions import mean_squared_error
from reluviz.core.models import MODELS, Array
from reluviz.core.snapshot import MAX_SHOWN_REPLICAS, RawSnapshot, Snapshots, compute_snapshots, largest_loss
from reluviz.engines.compiled_votes import load_compiled_votes
from reluviz.record import tags
from reluviz.record.snapshot_events import event_scalars
from reluviz.record.writer import RunWriter
from reluviz.training import helper_processes
from reluviz.training.loss_history import LossHistory
from reluviz.training.other_loggers import OtherLoggers, Pictures
from reluviz.training.snapshot_worker import PictureData, SnapshotOptions, Worker, result_bytes
from reluviz.training.vote_history import VoteHistory

T = TypeVar("T")

SNAPSHOTS_TOGETHER = 8
"""How many pending snapshots are computed together, unless the first would wait for too long."""
MAX_DELAY_SECONDS = 0.2
"""The longest time that a snapshot waits for the next ones, if they come at a steady pace."""
MAX_PENDING_BYTES = 2**24
"""The most memory that snapshots take before their computation begins: 16 MB. As much again may be computed."""
MAX_RESULT_BYTES = 2**23
"""About the most memory that results take before they are recorded: 8 MB."""
MAX_PENDING_PICTURES = 50
"""The most snapshots that may wait for their pictures."""


class SnapshotQueue:
    """Has the snapshots of one run computed, recorded and drawn.

    Args:
        options: what to compute, record and draw.
        writer: writes the events and pictures to TensorBoard; None to write none.
        vote_history: collects the norms of the contributions at every snapshot.
        loss_history: collects the training losses and the unit counts at every snapshot.
        trail: collects theta of the first replica at the snapshots with pictures, update -> theta; they show the
            earlier values.
        initial_loss: the training loss before the first update, [R]; by default the loss of the first snapshot.
        other_loggers: get the scalars and pictures too; None if there are none.

    Attributes:
        initial_loss: the training loss before the first update, [R].
        loss: the training loss at the last computed snapshot, [R]; None before the first.
        not_diverged: which replicas have not diverged at that snapshot, [R].
        first_diverged: the first computed snapshot with a diverged replica, S = 1.
    """

    def __init__(
        self,
        options: SnapshotOptions,
        writer: RunWriter | None,
        vote_history: VoteHistory,
        loss_history: LossHistory,
        trail: dict[int, float],
        initial_loss: Array | None = None,
        other_loggers: OtherLoggers | None = None,
    ) -> None:
        self.options = options
        self.writer = writer
        self.other_loggers = other_loggers
        self.vote_history = vote_history
        self.loss_history = loss_history
        self.trail = trail
        self.initial_loss = initial_loss
        self.loss: Array | None = None
        self.not_diverged: NDArray[np.bool_] | None = None
        self.first_diverged: Snapshots | None = None
        self._last_raw: RawSnapshot | None = None
        self._latest: Snapshots | None = None
        points = options.dataset.as_trained
        self._largest_input = MODELS[options.model].largest_input(points.x)
        self._max_y = float(np.abs(points.y).max())
        self._loss_bound: Array | None = None
        self._pending: list[tuple[RawSnapshot, bool]] = []
        self._pending_bytes = 0
        self._oldest_added = self._last_added = -np.inf
        self._computing_thread = ThreadPoolExecutor(1, thread_name_prefix="snapshots")
        self._computation: Future[None] | None = None
        self._drawing_thread = ThreadPoolExecutor(1, thread_name_prefix="pictures")
        self._drawings: deque[Future[Pictures]] = deque()
        self._worker: Future[Worker] | None = None
        self._closed = False

    @property
    def latest(self) -> Snapshots | None:
        """The last computed snapshot, S = 1; None before the first."""
        if self._last_raw is not None and (self._latest is None or self._latest.updates[0] != self._last_raw.update):
            self._latest = self._compute_one(self._last_raw)
        return self._latest

    @property
    def picture_seconds(self) -> float:
        """Processor time spent on pictures."""
        return 0.0 if self._worker is None else self._worker.result().drawing_seconds

    def add(self, raw: RawSnapshot) -> bool:
        """Add a snapshot, which is computed soon, and return whether it is certain that no replica has diverged.

        Raises:
            UserError: if earlier snapshots could not be recorded.
        """
        options, now = self.options, time.perf_counter()
        if not self._pending:
            self._oldest_added = now
        if self._worker is None:
            # in a thread, since the worker may wait for a helper process that is still starting
            self._worker = self._submit(self._drawing_thread, helper_processes.choose_worker, options, raw.parameters)
        if self.initial_loss is None:
            points = options.dataset.as_trained
            loss = mean_squared_error(options.model, raw.parameters, points.x, points.y)
            self.initial_loss = options.dataset.scaling.user_loss(loss)
        if self._loss_bound is None:
            self._loss_bound = largest_loss(self.initial_loss, float(np.var(options.dataset.y)))
        bound = options.dataset.scaling.trained_loss(self._loss_bound)
        known_not_diverged = raw.cannot_have_diverged(options.model, self._largest_input, self._max_y, bound)
        self._pending.append((raw, known_not_diverged))
        self._pending_bytes += raw.nbytes
        # the next snapshot is expected after the same time as this one
        next_expected = now + (now - self._last_added)
        self._last_added = now
        waits_long = next_expected - self._oldest_added > MAX_DELAY_SECONDS
        enough = len(self._pending) >= SNAPSHOTS_TOGETHER or waits_long
        # beyond the bound the training waits until the snapshots before these are recorded
        if self._pending_bytes > MAX_PENDING_BYTES or (self._is_idle() and enough):
            self._start_computation()
        if self.other_loggers is not None:
            self.other_loggers.pass_on()
        return known_not_diverged

    def finish(self) -> None:
        """Wait until all snapshots that were added are computed, recorded and drawn; the training thread calls this.

        Raises:
            UserError: if something could not be recorded.
        """
        self.compute_pending()
        self._wait_for_drawings(0)
        if self.other_loggers is not None:
            self.other_loggers.pass_on()

    def compute_pending(self) -> None:
        """Wait until all snapshots that were added are computed and recorded; their pictures may come later.

        Raises:
            UserError: if something could not be recorded.
        """
        if self._pending:
            self._start_computation()
        if self._computation is not None:
            self._computation.result()

    def close(self) -> None:
        """Finish all work, end the threads and release the helper processes.

        If this is interrupted, the rest of the work can be requested again; it then runs in the calling thread.
        """
        try:
            self.finish()
        finally:
            self._closed = True
            self._computing_thread.shutdown()
            self._drawing_thread.shutdown()
            if self._worker is not None and self._worker.exception() is None:
                self._worker.result().release()

    def draw_vote_history(self) -> None:
        """Draw and record the picture of the contributions' norms over the run."""
        self.compute_pending()
        others = self.other_loggers if self.other_loggers is not None and self.other_loggers.take_pictures else None
        if (self.writer is None and others is None) or self._last_raw is None or self._worker is None:
            return
        # in a thread, which Ctrl-C does not interrupt; the drawing thread may still be busy
        worker, update = self._worker.result(), self._last_raw.update
        png = self._submit(self._computing_thread, worker.draw_vote_history, *self.vote_history.arrays()).result()
        written = self._submit(self._computing_thread, self._write_pictures, {tags.VOTES_HISTORY: png}, update)
        written.result()
        if others is not None:
            others.add(update, {}, written)

    def _submit(self, thread: ThreadPoolExecutor, work: Callable[..., T], *args: Any) -> Future[T]:
        """Call a function in a thread; after `close`, in the calling thread."""
        if not self._closed:
            return thread.submit(work, *args)
        done: Future[T] = Future()
        done.set_result(work(*args))
        return done

    def _is_idle(self) -> bool:
        return self._computation is None or self._computation.done()

    def _start_computation(self) -> None:
        if self._computation is not None:
            # raises the error of the last computation, if it failed
            self._computation.result()
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        self._computation = self._submit(self._computing_thread, self._compute, pending)

    def _compute(self, pending: Sequence[tuple[RawSnapshot, bool]]) -> None:
        """Compute and record snapshots, as many at a time as `MAX_RESULT_BYTES` allows."""
        together = max(1, MAX_RESULT_BYTES // result_bytes(self.options, pending[0][0]))
        for first in range(0, len(pending), together):
            self._compute_together(pending[first : first + together])

    def _compute_together(self, pending: Sequence[tuple[RawSnapshot, bool]]) -> None:
        assert self._worker is not None
        assert self._loss_bound is not None
        worker = self._worker.result()
        raw, known_not_diverged = zip(*pending, strict=True)
        result = worker.compute(raw, known_not_diverged, self._loss_bound)
        for one, norms, not_diverged in zip(raw, result.norms, result.not_diverged, strict=True):
            self.vote_history.add(one.update, norms)
            if self.first_diverged is None and not not_diverged.all():
                self.first_diverged = self._compute_one(one)
        self.loss_history.add([one.update for one in raw], result.loss_train, result.unit_counts)
        self.not_diverged, self.loss, self._last_raw = result.not_diverged[-1], result.loss_train[-1], raw[-1]
        if self.writer is not None and result.events:
            self.writer.write_events(result.events)
        drawings = {
            data.update: self._submit(self._drawing_thread, self._draw, worker, self._with_trail(data))
            for data in result.picture_data
        }
        self._drawings.extend(drawings.values())
        if self.other_loggers is not None:
            for one, event in zip(raw, result.events, strict=True):
                self.other_loggers.add(one.update, event_scalars(event), drawings.get(one.update))
        self._wait_for_drawings(MAX_PENDING_PICTURES)

    def _with_trail(self, data: PictureData) -> PictureData:
        """Return the data of a picture with the values of theta in the earlier pictures, and remember its own."""
        if MODELS[self.options.model].feature is None:
            return data
        earlier = tuple(theta for update, theta in self.trail.items() if update < data.update)
        if np.isfinite(theta := float(data.parameters["theta"])):
            self.trail[data.update] = theta
        return replace(data, earlier_theta=earlier)

    @np.errstate(all="ignore")
    def _compute_one(self, raw: RawSnapshot) -> Snapshots:
        options = self.options
        (snapshots,) = compute_snapshots(
            options.model,
            [raw],
            options.trained,
            options.dataset,
            MAX_SHOWN_REPLICAS,
            load_compiled_votes,
            options.dtype,
        )
        return snapshots

    def _draw(self, worker: Worker, picture_data: PictureData) -> Pictures:
        fit, votes = worker.draw_pictures(picture_data)
        return self._write_pictures({tags.FIT: fit, tags.VOTES: votes}, picture_data.update)

    def _write_pictures(self, pictures: Pictures, update: int) -> Pictures:
        """Write pictures to TensorBoard, and return those that other loggers take."""
        if self.writer is not None:
            for tag, png in pictures.items():
                self.writer.write_image(tag, png, update)
        return pictures if self.other_loggers is not None and self.other_loggers.take_pictures else {}

    def _wait_for_drawings(self, max_pending: int) -> None:
        """Wait until at most `max_pending` snapshots wait for their pictures."""
        while len(self._drawings) > max_pending:
            # removed only when it is done, so that an interrupted wait can be repeated
            wait([self._drawings[0]])
            self._drawings.popleft().result()
