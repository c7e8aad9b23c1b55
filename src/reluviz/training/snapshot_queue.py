"""Snapshots are taken while a run trains, and worked out, recorded and drawn beside it, by threads of their own.

The updates are made by compiled code, which leaves Python to others meanwhile. Snapshots that follow each other
quickly are worked out several at a time, which takes a fraction of the time of one after another; and whatever
interrupts the training does not tear what is being written. Pictures are drawn beside both.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reluviz.core.functions import Array
from reluviz.core.snapshot import MOST_SHOWN, RawSnapshot, largest_loss
from reluviz.core.snapshot_torch import Snapshot, compute_tensor_snapshots
from reluviz.core.votes import losses
from reluviz.engines.compiled_votes import compiled_votes
from reluviz.record import tags
from reluviz.record.writer import RunWriter
from reluviz.training import remote_worker
from reluviz.training.snapshot_worker import PictureData, SnapshotOptions, Worker
from reluviz.training.vote_history import VoteHistory

T = TypeVar("T")

TOGETHER = 8
"""Snapshots that wait for each other, unless that takes too long."""
PATIENCE = 0.2
"""Seconds within which a snapshot is to be written where the next one follows soon enough."""
MOST_WAITING = 2**22
"""Parameters of snapshots that may wait: 32 MB."""
MOST_UNDRAWN = 50
"""Snapshots that wait for their pictures, at most."""


class SnapshotQueue:
    """Works out the snapshots of one run.

    Args:
        order: what is wanted of them.
        recorder: writes what is found; None for nobody.
        history: learns how heard each sample was.
        initial_loss: the training loss before the first update, [R]; by default that of the first snapshot.

    Attributes:
        initial_loss: the training loss before the first update, [R].
        loss: the training loss at the last snapshot that has been worked out, [R]; None before the first.
        sound: which replicas have not diverged by then, [R].
        broken: the first snapshot in which a replica has diverged.
    """

    def __init__(
        self,
        order: SnapshotOptions,
        recorder: RunWriter | None,
        history: VoteHistory,
        initial_loss: Tensor | None = None,
    ) -> None:
        self.order = order
        self.recorder = recorder
        self.history = history
        self.initial_loss = initial_loss
        self.loss: Array | None = None
        self.sound: NDArray[np.bool_] | None = None
        self.broken: Snapshot | None = None
        self._last: RawSnapshot | None = None
        self._latest: Snapshot | None = None
        self._reach, self._height = (float(np.abs(values).max()) for values in (order.dataset.x, order.dataset.y))
        self._bound: Array | None = None
        self._waiting: list[tuple[RawSnapshot, bool]] = []
        self._since = self._before = -np.inf
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="snapshots")
        self._work: Future[None] | None = None
        self._easel = ThreadPoolExecutor(1, thread_name_prefix="pictures")
        self._undrawn: deque[Future[None]] = deque()
        self._darkroom: Future[Worker] | None = None
        self._closed = False

    @property
    def latest(self) -> Snapshot | None:
        """The last snapshot that has been worked out; None before the first."""
        if self._last is not None and (self._latest is None or self._latest.update != self._last.update):
            self._latest = self._snapshot(self._last)
        return self._latest

    @property
    def picture_seconds(self) -> float:
        """Processor time spent on pictures."""
        return 0.0 if self._darkroom is None else self._darkroom.result().seconds

    def hand_over(self, taken: RawSnapshot) -> bool:
        """Take in a snapshot, which is worked out soon, and tell whether it is certain that no replica has diverged.

        Raises:
            UserError: if what was worked out before could not be written.
        """
        order, now = self.order, time.perf_counter()
        if not self._waiting:
            self._since = now
        if self._darkroom is None:
            # another process may have to begin first
            self._darkroom = self._have(self._easel, remote_worker.choose_worker, order, taken.parameters)
        if self.initial_loss is None:
            first = losses(order.model, taken.parameters, order.dataset.x, order.dataset.y)
            self.initial_loss = torch.from_numpy(first)
        if self._bound is None:
            self._bound = largest_loss(self.initial_loss.numpy(), order.dataset.y)
        sure = taken.surely_sound(order.model, self._reach, self._height, self._bound)
        self._waiting.append((taken, sure))
        # as long as the last one took to come
        next_one = now + (now - self._before)
        self._before = now
        numbers = sum(value.size for value in taken.parameters.values())
        if len(self._waiting) * numbers > MOST_WAITING:
            self.work_out()
        elif self._idle() and (len(self._waiting) >= TOGETHER or next_one - self._since > PATIENCE):
            self._begin()
        return sure

    def settle(self) -> None:
        """Work out and draw whatever waits, and return when that has been done.

        Raises:
            UserError: if it could not be written.
        """
        self.work_out()
        self._drawn(0)

    def work_out(self) -> None:
        """Work out whatever waits, and return when that has been done; pictures may still be drawn.

        Raises:
            UserError: if it could not be written.
        """
        if self._waiting:
            self._begin()
        if self._work is not None:
            self._work.result()

    def close(self) -> None:
        """End the threads, once everything that was handed over has been written.

        What was interrupted then can still be asked for, and is done by whoever asks.
        """
        try:
            self.settle()
        finally:
            self._closed = True
            self._pool.shutdown()
            self._easel.shutdown()
            if self._darkroom is not None and self._darkroom.exception() is None:
                self._darkroom.result().close()

    def _have(self, pool: ThreadPoolExecutor, work: Callable[..., T], *args: Any) -> Future[T]:
        """Have a thread do something."""
        if not self._closed:
            return pool.submit(work, *args)
        done: Future[T] = Future()
        done.set_result(work(*args))
        return done

    def _idle(self) -> bool:
        return self._work is None or self._work.done()

    def _begin(self) -> None:
        if self._work is not None:
            # raises what was raised there
            self._work.result()
        some, self._waiting = self._waiting, []
        self._work = self._have(self._pool, self._develop, some)

    def _develop(self, handed_over: Sequence[tuple[RawSnapshot, bool]]) -> None:
        assert self._darkroom is not None
        assert self._bound is not None
        darkroom = self._darkroom.result()
        taken, sure = zip(*handed_over, strict=True)
        found = darkroom.develop(taken, sure, self._bound)
        for one, norms, sound in zip(taken, found.norms, found.sound, strict=True):
            self.history.add(one.update, norms)
            if self.broken is None and not sound.all():
                self.broken = self._snapshot(one)
        self.sound, self.loss, self._last = found.sound[-1], found.loss_train[-1], taken[-1]
        if self.recorder is None:
            return
        self.recorder.events(found.events)
        for sight in found.sights:
            self._undrawn.append(self._have(self._easel, self._draw, darkroom, sight, self.recorder))
        self._drawn(MOST_UNDRAWN)

    def _snapshot(self, taken: RawSnapshot) -> Snapshot:
        order = self.order
        return compute_tensor_snapshots(order.model, [taken], order.trained, order.dataset, MOST_SHOWN, compiled_votes)[
            0
        ]

    def _draw(self, darkroom: Worker, sight: PictureData, recorder: RunWriter) -> None:
        fit, votes = darkroom.draw(sight)
        recorder.image(tags.FIT, fit, sight.update)
        recorder.image(tags.VOTES, votes, sight.update)

    def _drawn(self, most: int) -> None:
        """Wait until no more than so many snapshots wait for their pictures."""
        while len(self._undrawn) > most:
            # forgotten when it is done, and not when somebody would no longer wait
            wait([self._undrawn[0]])
            self._undrawn.popleft().result()

    def draw_history(self) -> None:
        """Write the picture of how heard each sample was over the run."""
        self.work_out()
        if self.recorder is not None and self._last is not None and self._darkroom is not None:
            # by a thread, which Ctrl-C does not interrupt, while the other one may still be drawing
            png = self._have(self._pool, self._darkroom.result().history, *self.history.arrays()).result()
            self.recorder.image(tags.VOTES_HISTORY, png, self._last.update)
