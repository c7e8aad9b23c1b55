"""Two helper processes that compute and draw the snapshots of a run.

Python runs one thread of a process at a time, so work done in the training process would slow down the training. The
helpers need no torch and are ready before the training process has imported it: at its top level this module imports
the standard library only, so that the command line can start them before any heavy package.
"""

import contextlib
import os
import pickle
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from reluviz.core.models import Array, Parameters
    from reluviz.core.snapshot import RawSnapshot
    from reluviz.training.snapshot_worker import PictureData, SnapshotOptions, SnapshotWorker, Worker, WorkerResult

ANSWER_TIMEOUT_SECONDS = 60.0
"""The longest wait for an answer; most answers take a hundredth of a second."""
MAX_SENT_POINTS = 2**20
"""The most points of a data set that is copied to a helper process: 16 MB."""
MAX_SENT_PARAMETERS = 2**16
"""The most parameters of a snapshot that is sent to a helper process: 0.5 MB."""
HELPER_ERRORS = (OSError, EOFError, ValueError, TypeError, AttributeError, pickle.PickleError)
"""What `HelperProcess.call` raises: the process has ended or does not answer, or an argument cannot be pickled."""


class HelperProcess:
    """A process with a `SnapshotWorker`, for one run after another.

    It ends when this process ends, even if this process is killed, because its pipe is then closed.

    Args:
        draws: whether the process prepares to draw pictures when it starts.
    """

    def __init__(self, draws: bool) -> None:
        from multiprocessing import get_context

        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, draws), daemon=True)
        self._lock = threading.Lock()
        with _without_main_module(), _interrupts_ignored(), _helper_environment():
            self.process.start()
        theirs.close()

    def call(self, method: str, *args: Any) -> tuple[Any, float]:
        """Call a method of the process's `SnapshotWorker`; "begin_run" creates a new one with these arguments.

        Returns:
            the method's result, and the processor time spent on drawing, in seconds.

        Raises:
            HELPER_ERRORS: if the process has ended or does not answer in time, or an argument cannot be pickled.
        """
        with self._lock:
            try:
                self._connection.send((method, args))
                if not self._connection.poll(ANSWER_TIMEOUT_SECONDS):
                    raise TimeoutError
                answer: tuple[Any, float] = self._connection.recv()
            except BaseException:
                # an unread answer would be taken for the answer to the next call
                self.process.kill()
                raise
        return answer

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self.process.join()


Pair = tuple[HelperProcess, HelperProcess]
COMPUTING, DRAWING = 0, 1
"""Positions in a pair: of the process that computes snapshots, and of the process that draws pictures."""

_idle: list[Pair] = []


def start() -> None:
    """Start a pair of helper processes if there is a second processor for them.

    The command line calls this; a program that imports reluviz as a library should get no extra processes.
    """
    if not _idle and processors() > 1 and sys.executable:
        # a daemonic process may not have children
        with contextlib.suppress(OSError, AssertionError):
            _idle.append((HelperProcess(draws=False), HelperProcess(draws=True)))


def acquire() -> Pair | None:
    """Return an idle pair for the exclusive use of one run; None if there is none."""
    try:
        return _idle.pop()
    except IndexError:
        return None


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class RemoteWorker:
    """Computes and draws the snapshots of a run in two helper processes; see `Worker`.

    If a helper process is lost, this process does all the work from then on.

    Args:
        pair: the helper processes.
        options: what to compute and draw.
    """

    def __init__(self, pair: Pair, options: "SnapshotOptions") -> None:
        self.options = options
        self._pair: Pair | None = pair
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
        self, raw: "Sequence[RawSnapshot]", known_not_diverged: Sequence[bool], loss_bound: "Array"
    ) -> "WorkerResult":
        result: WorkerResult = self._call(COMPUTING, "compute", raw, known_not_diverged, loss_bound)
        return result

    def draw_pictures(self, picture_data: "PictureData") -> tuple[bytes, bytes]:  # noqa: D102
        pictures: tuple[bytes, bytes] = self._call(DRAWING, "draw_pictures", picture_data)
        return pictures

    def draw_vote_history(self, updates: "Array", norms: "Array") -> bytes:  # noqa: D102
        png: bytes = self._call(DRAWING, "draw_vote_history", updates, norms)
        return png

    def release(self) -> None:
        """Release the helper processes for the next run; later calls run in this process."""
        with self._lock:
            pair, self._pair = self._pair, None
        if pair is not None:
            _idle.append(pair)

    def _call(self, which: int, method: str, *args: Any) -> Any:
        """Call a method in a helper process, or in this process if the helper processes are lost or released."""
        pair = self._pair
        if pair is not None:
            try:
                result, seconds = pair[which].call(method, *args)
            except HELPER_ERRORS:
                self._give_up(pair)
            else:
                self._helper_seconds[which] += seconds
                return result
        if method == "begin_run":
            return None
        with self._lock:
            if self._fallback is None:
                from reluviz.training.snapshot_worker import SnapshotWorker

                self._fallback = SnapshotWorker(self.options)
        return getattr(self._fallback, method)(*args)

    def _give_up(self, pair: Pair) -> None:
        """Have this process do all the work from now on, and end both helper processes."""
        with self._lock:
            lost, self._pair = self._pair, None
        if lost is not None:
            for helper in pair:
                helper.process.kill()
                helper.process.join()


@dataclass(frozen=True)
class SampledFunction:
    """A function known only at the inputs where pictures draw it.

    Attributes:
        values: the function at these inputs, [G].
    """

    values: "Array"

    def __call__(self, x: "Array") -> "Array":
        """Return the values; x must be the inputs where pictures draw the function."""
        assert len(x) == len(self.values)
        return self.values


def choose_worker(options: "SnapshotOptions", parameters: "Parameters") -> "Worker":
    """Return the worker for the snapshots of a run: in helper processes if there are any and the run is small.

    Args:
        options: what to compute and draw.
        parameters: the parameters of one of the run's snapshots, for their size.
    """
    from reluviz.core import snapshot
    from reluviz.training.snapshot_worker import SnapshotWorker

    points = snapshot.count_points(options.dataset)
    large = points > MAX_SENT_POINTS or sum(value.size for value in parameters.values()) > MAX_SENT_PARAMETERS
    if large or snapshot.is_large(options.model, parameters, points) or (pair := acquire()) is None:
        return SnapshotWorker(options)
    return RemoteWorker(pair, options)


def serve(connection: "Connection", draws: bool) -> None:
    """Answer the calls that arrive at a connection until it is closed, then end the process.

    Args:
        connection: the pipe to the training process.
        draws: whether to prepare to draw pictures.
    """
    # Ctrl-C in the terminal is meant for the training process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        # if processors are scarce, the training process gets them
        os.nice(5)
    # what a package prints belongs neither into the terminal nor into a pipe that reads the results
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
    from reluviz.training.snapshot_worker import SnapshotWorker, warm_up

    warm_up(draws)
    worker: SnapshotWorker | None = None
    with contextlib.suppress(EOFError, OSError):
        while True:
            method, args = connection.recv()
            started = time.thread_time()
            result = None
            if method == "begin_run":
                worker = SnapshotWorker(*args)
            else:
                result = getattr(worker, method)(*args)
            drew = method in ("prepare_pictures", "draw_pictures", "draw_vote_history")
            connection.send((result, time.thread_time() - started if drew else 0.0))
    os._exit(0)


@contextlib.contextmanager
def _without_main_module() -> Iterator[None]:
    """Hide the main module within this context: a new process would run it again, and a user's script may train."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _helper_environment() -> Iterator[None]:
    """Set the environment of a new process within this context."""
    changes = {
        # the arrays are small: threads would spend their time waiting for each other
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        # no module of the working directory takes the place of one of Python's; later the path is that of this process
        "PYTHONSAFEPATH": "1",
    }
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ignore Ctrl-C within this context: a process started in it ignores Ctrl-C from its beginning."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
