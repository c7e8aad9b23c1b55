"""Who draws the pictures of a run: this process, or one beside it.

matplotlib draws in Python, which one thread at a time can run: what is drawn in the process that trains holds it up.
A process that only draws needs no torch, and is ready before torch has been imported.
"""

import contextlib
import os
import pickle
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np

from reluviz.arrays import Array
from reluviz.data.dataset import Dataset

if TYPE_CHECKING:
    from reluviz.pictures import FitPicture, VotesPicture

MOST_SENT = 2**20
"""Points of a data set that is copied into another process, at most: 16 MB."""
LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class Sight:
    """What the pictures of a snapshot show, of the first replica.

    Attributes:
        update: how many updates have been made.
        parameters: name -> [W] or ().
        losses: tag -> value, for the title.
        shares: vote shares of the recorded samples [n].
        norms: norms of their contributions [n].
        residuals: f(x_i) - y_i [n].
        x: x_i [n].
    """

    update: int
    parameters: Mapping[str, Array]
    losses: Mapping[str, float]
    shares: Array
    norms: Array
    residuals: Array
    x: Array


class Artist(Protocol):
    """Draws the pictures of one run.

    Attributes:
        seconds: processor time that it took so far.
    """

    seconds: float

    def snapshot(self, sight: Sight) -> tuple[bytes, bytes]:
        """Return the pictures fit and votes, as the bytes of PNG files."""

    def history(self, x: Array, updates: Array, norms: Array) -> bytes:
        """Return the picture votes/history, as the bytes of a PNG file."""


class Here:
    """Draws in this process.

    Args:
        model: constant, linear or relu.
        dataset: the data of the run.
        seed: the seed of the replica that is shown.
    """

    def __init__(self, model: str, dataset: Dataset, seed: int) -> None:
        self._run = (model, dataset, seed)
        self._pictures: tuple[FitPicture, VotesPicture] | None = None
        self.seconds = 0.0

    def prepare(self) -> None:
        """Draw what stays the same in all pictures."""
        if self._pictures is None:
            # matplotlib takes a quarter of a second to import
            from reluviz.pictures import for_run

            self._pictures = for_run(*self._run)

    def snapshot(self, sight: Sight) -> tuple[bytes, bytes]:  # noqa: D102
        started = time.thread_time()
        self.prepare()
        assert self._pictures is not None
        fit, votes = self._pictures
        first = fit.png(sight.parameters, sight.update, sight.losses)
        second = votes.png(sight.parameters, sight.update, sight.shares, sight.norms, sight.residuals, sight.x)
        self.seconds += time.thread_time() - started
        return first, second

    def history(self, x: Array, updates: Array, norms: Array) -> bytes:  # noqa: D102
        from reluviz.pictures import history_png

        started = time.thread_time()
        png = history_png(x, updates, norms)
        self.seconds += time.thread_time() - started
        return png


class Studio:
    """A process that draws for this one, one run after another.

    It ends with this process, however that ends: its input does. Where it cannot be reached (any more), a run draws
    for itself.
    """

    def __init__(self) -> None:
        # a group of its own: Ctrl-C is for those who train
        if sys.platform == "win32":
            apart: dict[str, Any] = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
        else:
            apart = {"start_new_session": True}
        # what this process does not find in the folder that it stands in, that one must not find there either
        safely = [] if "" in sys.path or os.getcwd() in sys.path else ["-P"]
        command = [sys.executable, *safely, "-c", "from reluviz.artist import serve; serve()"]
        pipe, nobody = subprocess.PIPE, subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nobody, **apart)
        self._lock = threading.Lock()

    def ask(self, what: str, *about: Any) -> Any:
        """Have something drawn: the name of a method of `Here`, and its arguments; "run" with those of `Here` itself.

        Raises:
            OSError, EOFError: if the process has ended.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        try:
            with self._lock:
                _send(stdin, (what, about))
                return _receive(stdout)
        except BaseException:
            # an answer that nobody has read would be taken for that to the next question
            self._process.kill()
            raise

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._process.wait()


class There:
    """Has another process draw, and draws here where that fails; arguments as for `Here`."""

    def __init__(self, studio: Studio, model: str, dataset: Dataset, seed: int) -> None:
        self._here = Here(model, dataset, seed)
        self._elsewhere = 0.0
        # the target is the user's function, which another process need not have
        truth = dataset.truth()
        target = None if truth is None else Traced(truth[1])
        self._sent = replace(dataset, x_test=None, y_test=None, target=target)
        self._studio: Studio | None = studio
        self._ask("run", model, self._sent, seed)

    @property
    def seconds(self) -> float:  # noqa: D102
        return self._here.seconds + self._elsewhere

    def snapshot(self, sight: Sight) -> tuple[bytes, bytes]:  # noqa: D102
        found: tuple[bytes, bytes] | None = self._ask("snapshot", sight)
        return self._here.snapshot(sight) if found is None else found

    def history(self, x: Array, updates: Array, norms: Array) -> bytes:  # noqa: D102
        found: bytes | None = self._ask("history", x, updates, norms)
        return self._here.history(x, updates, norms) if found is None else found

    def _ask(self, what: str, *about: Any) -> Any:
        if self._studio is None:
            return None
        try:
            found, seconds = self._studio.ask(what, *about)
        except (OSError, EOFError, ValueError, pickle.PickleError):
            self._studio = None
            return None
        self._elsewhere += seconds
        return found


@dataclass(frozen=True)
class Traced:
    """A function that is known where it is drawn.

    Attributes:
        values: there, [G].
    """

    values: Array

    def __call__(self, x: Array) -> Array:
        """Return the values, if x is where it is drawn."""
        assert len(x) == len(self.values)
        return self.values


_studio: Studio | None = None


def open_studio() -> None:
    """Start a process that draws, where there is a processor for it. For processes of our own and not for a library."""
    global _studio
    if _studio is None and processors() > 1 and sys.executable:
        with contextlib.suppress(OSError):
            _studio = Studio()


def artist(model: str, dataset: Dataset, seed: int) -> Artist:
    """Return who draws a run."""
    if _studio is None or len(dataset.x) > MOST_SENT:
        return Here(model, dataset, seed)
    return There(_studio, model, dataset, seed)


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _send(pipe: BinaryIO, content: Any) -> None:
    data = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    pipe.write(LENGTH.pack(len(data)) + data)
    pipe.flush()


def _receive(pipe: BinaryIO) -> Any:
    """Read what `_send` wrote.

    Raises:
        EOFError: at the end.
    """
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    return pickle.loads(pipe.read(LENGTH.unpack(head)[0]))


def serve() -> None:
    """Draw what is asked for on the standard input until that ends."""
    asked, answers = sys.stdin.buffer, sys.stdout.buffer
    # nothing that is printed may come between the answers
    sys.stdout = sys.stderr
    _rehearse()
    here: Any = None
    with contextlib.suppress(EOFError, OSError):
        while True:
            what, about = _receive(asked)
            started = time.thread_time()
            if what == "run":
                here, found = Here(*about), True
                here.prepare()
            else:
                found = getattr(here, what)(*about)
            _send(answers, (found, time.thread_time() - started))
    os._exit(0)


def _rehearse() -> None:
    """Draw once what most runs draw, so that fonts and marks are there: it takes as long as ten pictures."""
    from reluviz.data.targets import piecewise_linear

    p = {"input_slope": np.ones(2), "bias": -np.ones(2) / 2, "output_weight": np.ones(2), "output_bias": np.zeros(())}
    here, data = Here("relu", piecewise_linear(), 0), piecewise_linear()
    here.snapshot(Sight(0, p, {}, *([np.ones(len(data.x))] * 3), data.x))


def serve() -> None:
    """Draw what is asked for on the standard input until that ends."""
    asked, answers = sys.stdin.buffer, sys.stdout.buffer
    # nothing that is printed may come between the answers
    sys.stdout = sys.stderr
    _rehearse()
    here: Any = None
    with contextlib.suppress(EOFError, OSError):
        while True:
            what, about = _receive(asked)
            started = time.thread_time()
            found: Any = None
            if what == "run":
                here = Here(*about)
                here.prepare()
            else:
                found = getattr(here, what)(*about)
            _send(answers, (found, time.thread_time() - started))
    os._exit(0)


def _rehearse() -> None:
    """Draw once what most runs draw, so that fonts and marks are there: it takes as long as ten pictures."""
    from reluviz.data.targets import piecewise_linear

    p = {"input_slope": np.ones(2), "bias": -np.ones(2) / 2, "output_weight": np.ones(2), "output_bias": np.zeros(())}
    data = piecewise_linear()
    ones = np.ones(len(data.x))
    Here("relu", data, 0).snapshot(Sight(0, p, {}, ones, ones, ones, data.x))
