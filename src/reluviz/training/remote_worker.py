"""Computes the snapshots of a run in one helper process and draws them in another.

Python runs one thread of a process at a time, so work done in the training process would slow down the training.
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
from reluviz.core.models import Array
from reluviz.core.snapshot import ParameterArrays, RawSnapshot
from reluviz.training import helper_processes
from reluviz.training.helper_processes import COMPUTING, DRAWING, HELPER_ERRORS, Pair, receive, send
from reluviz.training.snapshot_worker import PictureData, SnapshotOptions, SnapshotWorker, Worker, WorkerResult

MAX_SENT_POINTS = 2**20
"""The most points of a data set that is copied to a helper process: 16 MB."""
MAX_SENT_PARAMETERS = 2**16
"""The most parameters of a snapshot that is sent to a helper process: 0.5 MB."""


class RemoteWorker:
    """Computes and draws the snapshots of a run in two helper processes.

    If a helper process stops answering, this process does its work from then on.

    Args:
        pair: the process that computes snapshots and draws the vote history, and the process that draws the
            snapshots.
        options: what to compute and draw.
    """

    def __init__(self, pair: Pair, options: SnapshotOptions) -> None:
        self.options = options
        self._pair: Pair | None = pair
        self._lost: set[int] = set()
        self._fallback: SnapshotWorker | None = None
        self._helper_seconds = [0.0, 0.0]
        self._lock = threading.Lock()
        # the target is a function of the user that the helpers may be unable to import; only pictures need it
        truth = options.dataset.truth() if options.picture_updates else None
        dataset = replace(options.dataset, target=None if truth is None else SampledFunction(truth[1]))
        for which in (DRAWING, COMPUTING):
            self._call(which, "begin_run", replace(options, dataset=dataset))
        self._call(DRAWING, "prepare_pictures")

    @property
    def drawing_seconds(self) -> float:  # noqa: D102
        return sum(self._helper_seconds) + (0.0 if self._fallback is None else self._fallback.drawing_seconds)

    def compute(  # noqa: D102
        self, raw: Sequence[RawSnapshot], known_not_diverged: Sequence[bool], loss_bound: Array
    ) -> WorkerResult:
        result: WorkerResult = self._call(COMPUTING, "compute", raw, known_not_diverged, loss_bound)
        return result

    def draw_pictures(self, picture_data: PictureData) -> tuple[bytes, bytes]:  # noqa: D102
        pictures: tuple[bytes, bytes] = self._call(DRAWING, "draw_pictures", picture_data)
        return pictures

    def draw_vote_history(self, updates: Array, norms: Array) -> bytes:  # noqa: D102
        # the drawing process may still be busy with the last snapshots
        png: bytes = self._call(COMPUTING, "draw_vote_history", updates, norms)
        return png

    def release(self) -> None:
        """Release the helper processes for the next run; later calls run in this process."""
        with self._lock:
            pair, self._pair = self._pair, None
        if pair is not None:
            helper_processes.release(pair, intact=not self._lost)

    def _call(self, which: int, method: str, *args: Any) -> Any:
        """Call a method in a helper process, or in this process if the helper process is lost or released."""
        pair = self._pair
        if pair is not None and which not in self._lost:
            try:
                result, seconds = pair[which].call(method, *args)
            except HELPER_ERRORS:
                self._lost.add(which)
            else:
                self._helper_seconds[which] += seconds
                return result
        if method == "begin_run":
            return None
        with self._lock:
            if self._fallback is None:
                self._fallback = SnapshotWorker(self.options)
        return getattr(self._fallback, method)(*args)


@dataclass(frozen=True)
class SampledFunction:
    """A function known only at the inputs where pictures draw it.

    Attributes:
        values: the function at these inputs, [G].
    """

    values: Array

    def __call__(self, x: Array) -> Array:
        """Return the values; x must be the inputs where pictures draw the function."""
        assert len(x) == len(self.values)
        return self.values


def choose_worker(options: SnapshotOptions, parameters: ParameterArrays) -> Worker:
    """Return the worker for the snapshots of a run: in helper processes if there are any and the run is small.

    Args:
        options: what to compute and draw.
        parameters: the parameters of one of the run's snapshots, for their size.
    """
    points = snapshot.count_points(options.dataset)
    large = points > MAX_SENT_POINTS or sum(value.size for value in parameters.values()) > MAX_SENT_PARAMETERS
    if large or snapshot.is_large(options.model, parameters, points) or (pair := helper_processes.acquire()) is None:
        return SnapshotWorker(options)
    return RemoteWorker(pair, options)


def serve(draws: bool, answers: IO[bytes]) -> None:
    """Answer the calls on standard input until it is closed, then end the process.

    Args:
        draws: whether to prepare to draw pictures.
        answers: the stream for the answers.
    """
    if hasattr(os, "nice"):
        # if processors are scarce, the training process gets them
        os.nice(5)
    calls = sys.stdin.buffer
    warm_up(draws)
    worker: SnapshotWorker | None = None
    with contextlib.suppress(EOFError, OSError):
        while True:
            method, args = receive(calls)
            started = time.thread_time()
            result = None
            if method == "begin_run":
                worker = SnapshotWorker(*args)
            else:
                result = getattr(worker, method)(*args)
            drew = method in ("prepare_pictures", "draw_pictures", "draw_vote_history")
            send(answers, (result, time.thread_time() - started if drew else 0.0))
    os._exit(0)


def warm_up(draws: bool) -> None:
    """Compute and draw a small snapshot, so that code, fonts and markers are loaded; it takes as long as ten pictures.

    Args:
        draws: whether to draw the pictures of a snapshot; otherwise only the vote history is drawn.
    """
    from matplotlib import rcParams

    from reluviz.core.functions import PARAMETERS
    from reluviz.data.targets import piecewise_linear
    from reluviz.plots.style import RC

    rcParams.update(RC)
    dataset = piecewise_linear()
    worker = SnapshotWorker(
        SnapshotOptions("relu", PARAMETERS["relu"], dataset, 0, "float32", True, True, 2, frozenset([1]), False, None)
    )
    p = {name: np.ones((1, 2)) for name in PARAMETERS["relu"][:3]} | {"output_bias": np.ones(1)}
    result = worker.compute([RawSnapshot(1, 0.0, p, np.ones(1))], [True], np.ones(1))
    if draws:
        worker.draw_pictures(result.picture_data[0])
    else:
        worker.draw_vote_history(np.arange(2.0), np.ones((2, len(dataset.x))))
