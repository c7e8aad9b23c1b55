"""Snapshots are taken while a run trains, and worked out, recorded and drawn beside it, by a thread of their own.

The updates are made by compiled code, which leaves Python to others meanwhile. Snapshots that follow each other
quickly are worked out several at a time, which takes a fraction of the time of one after another; and whatever
interrupts the training does not tear what is being written. Pictures are drawn beside both.
"""

import time
from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reluviz import tags
from reluviz.artist import Artist, Sight, artist
from reluviz.ballots import losses
from reluviz.callbacks.history import History
from reluviz.data.dataset import Dataset
from reluviz.record import Recorder
from reluviz.snapshot import Snapshot, Taken, develop, largest_loss, optimum, recorded

TOGETHER = 8
"""Snapshots that wait for each other, unless that takes too long."""
PATIENCE = 0.2
"""Seconds within which a snapshot is to be written where the next one follows soon enough."""
MOST_WAITING = 2**22
"""Parameters of snapshots that may wait: 32 MB."""
MOST_UNDRAWN = 50
"""Snapshots that wait for their pictures, at most."""


class Developer:
    """Works out the snapshots of one run.

    Args:
        model: constant, linear or relu.
        trained: names of the trained parameters.
        dataset: the points.
        seed: of the first replica, which is drawn.
        recorder: writes what is found; None for nobody.
        history: learns how heard each sample was.
        histograms: whether histograms are written.
        pictured: updates that get pictures.
        contributions: whether they get the matrix of all contributions too.

    Attributes:
        latest: the last snapshot that has been worked out.
        initial_loss: the training loss before the first update, [R].
        sound: which replicas have not diverged, [R].
        broken: the first snapshot in which a replica has diverged.
        picture_seconds: processor time spent on pictures.
    """

    def __init__(
        self,
        model: str,
        trained: tuple[str, ...],
        dataset: Dataset,
        seed: int,
        recorder: Recorder | None,
        history: History,
        histograms: bool,
        pictured: Collection[int],
        contributions: bool,
        initial_loss: Tensor | None = None,
    ) -> None:
        self.model = model
        self.trained = trained
        self.dataset = dataset
        self.seed = seed
        self.recorder = recorder
        self.history = history
        self.histograms = histograms
        self.pictured = pictured
        self.contributions = contributions
        self.initial_loss = initial_loss
        self.latest: Snapshot | None = None
        self.sound: NDArray[np.bool_] | None = None
        self.broken: Snapshot | None = None
        best = optimum(model, dataset)
        self._optimum = None if best is None else float(best)
        self._reach, self._height = (float(np.abs(values).max()) for values in (dataset.x, dataset.y))
        self._bound: NDArray[np.float64] | None = None
        self._waiting: list[tuple[Taken, bool]] = []
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="snapshots")
        self._work: Future[None] | None = None
        self._since = self._before = -np.inf
        self._easel = ThreadPoolExecutor(1, thread_name_prefix="pictures")
        self._undrawn: deque[Future[None]] = deque()
        # there, since it may have to wait for another process to begin
        self._artist: Future[Artist] | None = None
        if recorder is not None and pictured:
            self._artist = self._easel.submit(artist, model, dataset, seed)

    @property
    def picture_seconds(self) -> float:  # noqa: D102
        return 0.0 if self._artist is None else self._artist.result().seconds

    def hand_over(self, taken: Taken) -> bool:
        """Take in a snapshot, which is worked out soon, and tell whether it is certain that no replica has diverged.

        Raises:
            UserError: if what was worked out before could not be written.
        """
        now = time.perf_counter()
        if not self._waiting:
            self._since = now
        if self.initial_loss is None:
            # here, so that the first picture need not be waited for
            self.initial_loss = torch.from_numpy(losses(self.model, taken.parameters, self.dataset.x, self.dataset.y))
        if self._bound is None:
            self._bound = largest_loss(self.initial_loss, torch.from_numpy(self.dataset.y))
        sure = taken.surely_sound(self.model, self._reach, self._height, self._bound)
        self._waiting.append((taken, sure))
        # as long as the last one took to come
        next_one = now + (now - self._before)
        self._before = now
        numbers = sum(value.numel() for value in taken.parameters.values())
        if len(self._waiting) * numbers > MOST_WAITING:
            self.settle()
        elif self._idle() and (len(self._waiting) >= TOGETHER or next_one - self._since > PATIENCE):
            self._begin()
        return sure

    def settle(self) -> None:
        """Work out and draw whatever waits, and return when that has been done.

        Raises:
            UserError: if it could not be written.
        """
        if self._work is not None:
            self._work.result()
        if self._waiting:
            self._begin()
            self.settle()
        self._drawn(0)

    def close(self) -> None:
        """End the threads, once everything that was handed over has been written."""
        try:
            self.settle()
        finally:
            self._pool.shutdown()
            self._easel.shutdown()

    def _idle(self) -> bool:
        return self._work is None or self._work.done()

    def _begin(self) -> None:
        if self._work is not None:
            # raises what was raised there
            self._work.result()
        some, self._waiting = self._waiting, []
        self._work = self._pool.submit(self._develop, some)

    def _develop(self, handed_over: Sequence[tuple[Taken, bool]]) -> None:
        taken = [one for one, _ in handed_over]
        snapshots = develop(self.model, taken, self.trained, self.dataset, tags.MOST_SHOWN)
        assert self.initial_loss is not None
        for snapshot, (_, sure) in zip(snapshots, handed_over, strict=True):
            self.history.add(snapshot.update, snapshot.votes.norm[0].numpy())
            self.sound = np.ones(len(snapshot.loss_train), np.bool_) if sure else snapshot.sound(self.initial_loss)
            if self.broken is None and not self.sound.all():
                self.broken = snapshot
        self.latest = snapshots[-1]
        if self.recorder is None:
            return
        pictured = [s for s in snapshots if s.update in self.pictured or (s is self.broken and self.pictured)]
        contributed = {s.update for s in pictured} if self.contributions else ()
        self.recorder.snapshots(snapshots, self.histograms, contributed, self._optimum)
        for snapshot in pictured:
            self._undrawn.append(self._easel.submit(self._draw, self._sight(snapshot), self.recorder))
        self._drawn(MOST_UNDRAWN)

    def _drawn(self, most: int) -> None:
        """Wait until no more than so many snapshots wait for their pictures."""
        while len(self._undrawn) > most:
            self._undrawn.popleft().result()

    def _sight(self, snapshot: Snapshot) -> Sight:
        losses = {tags.LOSS_TRAIN: float(snapshot.loss_train[0])}
        if snapshot.loss_test is not None:
            losses[tags.LOSS_TEST] = float(snapshot.loss_test[0])
        return Sight(
            update=snapshot.update,
            parameters={name: value[0].numpy() for name, value in snapshot.parameters.items()},
            losses=losses,
            shares=snapshot.votes.share[0].numpy(),
            norms=snapshot.votes.norm[0].numpy(),
            residuals=snapshot.votes.residual[0].numpy(),
            x=self._recorded(),
        )

    def _recorded(self) -> NDArray[np.float64]:
        return self.dataset.x[recorded(len(self.dataset.x)).numpy()]

    def _draw(self, sight: Sight, recorder: Recorder) -> None:
        assert self._artist is not None
        fit, votes = self._artist.result().snapshot(sight)
        recorder.image(tags.FIT, fit, sight.update)
        recorder.image(tags.VOTES, votes, sight.update)

    def draw_history(self) -> None:
        """Write the picture of how heard each sample was over the run."""
        if self.recorder is None or self.latest is None or self._artist is None:
            return
        told = (self._recorded(), *self.history.arrays())
        png = self._easel.submit(self._artist.result().history, *told).result()
        self.recorder.image(tags.VOTES_HISTORY, png, self.latest.update)
