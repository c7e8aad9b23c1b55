"""Snapshots are worked out by one neighbour of the process that trains, and drawn by another.

Python runs one thread of a process at a time: whatever is worked out in the process that trains holds it up.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import IO, Any

import numpy as np

from reluviz.core import snapshot
from reluviz.core.functions import Array
from reluviz.core.snapshot import RawSnapshot, Values
from reluviz.training import helper_processes
from reluviz.training.helper_processes import COMPUTING, DRAWING, LOST, Pair, receive, send
from reluviz.training.snapshot_worker import PictureData, SnapshotOptions, SnapshotWorker, Worker, WorkerResult

MOST_POINTS = 2**20
"""Points of a data set that is copied into another process, at most: 16 MB."""
MOST_SENT = 2**16
"""Parameters of a snapshot that is sent there, at most: 0.5 MB."""


class RemoteWorker:
    """Has neighbours work out and draw the snapshots of a run; once one is lost, this process does its work itself.

    Args:
        two: the one that works out snapshots, and draws the picture of the whole run; and the one that draws others.
        order: what is wanted.
    """

    def __init__(self, two: Pair, order: SnapshotOptions) -> None:
        self.order = order
        self._two: Pair | None = two
        self._lost: set[int] = set()
        self._here: SnapshotWorker | None = None
        self._elsewhere = [0.0, 0.0]
        self._lock = threading.Lock()
        # the target is the user's function, which other processes need not have, and matters to pictures alone
        truth = order.dataset.truth() if order.pictured else None
        sent = replace(order.dataset, target=None if truth is None else SampledFunction(truth[1]))
        for which in (DRAWING, COMPUTING):
            self._ask(which, "begin", replace(order, dataset=sent))
        self._ask(DRAWING, "prepare")

    @property
    def seconds(self) -> float:  # noqa: D102
        return sum(self._elsewhere) + (0.0 if self._here is None else self._here.seconds)

    def develop(self, taken: Sequence[RawSnapshot], sure: Sequence[bool], bound: Array) -> WorkerResult:  # noqa: D102
        found: WorkerResult = self._ask(COMPUTING, "develop", taken, sure, bound)
        return found

    def draw(self, sight: PictureData) -> tuple[bytes, bytes]:  # noqa: D102
        pictures: tuple[bytes, bytes] = self._ask(DRAWING, "draw", sight)
        return pictures

    def history(self, updates: Array, norms: Array) -> bytes:  # noqa: D102
        # meanwhile the other one draws what came last
        png: bytes = self._ask(COMPUTING, "history", updates, norms)
        return png

    def close(self) -> None:
        """Give the neighbours back, for the next run."""
        with self._lock:
            two, self._two = self._two, None
        if two is not None:
            helper_processes.give_back(two, whole=not self._lost)

    def _ask(self, which: int, what: str, *about: Any) -> Any:
        two = self._two
        if two is not None and which not in self._lost:
            try:
                found, seconds = two[which].ask(what, *about)
            except LOST:
                self._lost.add(which)
            else:
                self._elsewhere[which] += seconds
                return found
        if what == "begin":
            return None
        with self._lock:
            if self._here is None:
                self._here = SnapshotWorker(self.order)
        return getattr(self._here, what)(*about)


@dataclass(frozen=True)
class SampledFunction:
    """A function that is known where it is drawn.

    Attributes:
        values: there, [G].
    """

    values: Array

    def __call__(self, x: Array) -> Array:
        """Return the values, if x is where it is drawn."""
        assert len(x) == len(self.values)
        return self.values


def choose_worker(order: SnapshotOptions, parameters: Values) -> Worker:
    """Return who works out the snapshots of a run.

    Args:
        order: what is wanted.
        parameters: those of a snapshot.
    """
    points = snapshot.points(order.dataset)
    large = points > MOST_POINTS or sum(value.size for value in parameters.values()) > MOST_SENT
    if large or snapshot.is_large(order.model, parameters, points) or (two := helper_processes.take()) is None:
        return SnapshotWorker(order)
    return RemoteWorker(two, order)


def serve(draws: bool, answers: IO[bytes]) -> None:
    """Do what is asked for on the standard input until that ends.

    Args:
        draws: whether to be ready to draw.
        answers: where to write them.
    """
    if hasattr(os, "nice"):
        # where there are few processors, they are for those who train
        os.nice(5)
    asked = sys.stdin.buffer
    warm_up(draws)
    here: SnapshotWorker | None = None
    with contextlib.suppress(EOFError, OSError):
        while True:
            what, about = receive(asked)
            started = time.thread_time()
            found = None
            if what == "begin":
                here = SnapshotWorker(*about)
            else:
                found = getattr(here, what)(*about)
            drawn = time.thread_time() - started if what in ("prepare", "draw", "history") else 0.0
            send(answers, (found, drawn))
    os._exit(0)


def warm_up(draws: bool) -> None:
    """Do once what most runs do, so that code, fonts and marks are there: it takes as long as ten pictures."""
    from matplotlib import rcParams

    from reluviz.core.functions import PARAMETERS
    from reluviz.data.targets import piecewise_linear
    from reluviz.plots.style import RC

    rcParams.update(RC)
    data = piecewise_linear()
    here = SnapshotWorker(
        SnapshotOptions("relu", PARAMETERS["relu"], data, 0, "float32", True, True, 2, frozenset([1]), False, None)
    )
    p = {name: np.ones((1, 2)) for name in PARAMETERS["relu"][:3]} | {"output_bias": np.ones(1)}
    found = here.develop([RawSnapshot(1, 0.0, p, np.ones(1))], [True], np.ones(1))
    if draws:
        here.draw(found.sights[0])
    else:
        here.history(np.arange(2.0), np.ones((2, len(data.x))))
