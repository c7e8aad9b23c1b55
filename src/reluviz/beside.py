"""A process beside the one that trains, in which snapshots are worked out and drawn.

Python runs one thread of a process at a time: whatever is worked out in the process that trains holds it up. A process
for that alone needs no torch, and is ready before torch has been imported in the other.
"""

import contextlib
import os
import pickle
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import IO, Any

import numpy as np

from reluviz import album
from reluviz.album import Taken, Values
from reluviz.arrays import Array
from reluviz.darkroom import Darkroom, Developed, Here, Order

MOST_POINTS = 2**20
"""Points of a data set that is copied into another process, at most: 16 MB."""
MOST_SENT = 2**16
"""Parameters of a snapshot that is sent there, at most: 0.5 MB."""
LENGTH = struct.Struct("<Q")
LOST = (OSError, EOFError, ValueError, pickle.PickleError)
"""What is raised where a process does not answer."""


class Neighbour:
    """A process that works for this one, on one run after another.

    It ends with this process, however that ends: its input does.
    """

    def __init__(self) -> None:
        # a group of its own: Ctrl-C is for those who train
        session, flags = True, 0
        if sys.platform == "win32":
            session, flags = False, subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        # what this process does not find in the folder that it stands in, that one must not find there either
        safely = [] if "" in sys.path or os.getcwd() in sys.path else ["-P"]
        command = [sys.executable, *safely, "-c", "from reluviz.beside import serve; serve()"]
        pipe, nobody = subprocess.PIPE, subprocess.DEVNULL
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=nobody, start_new_session=session, creationflags=flags
        )
        self._lock = threading.Lock()

    def ask(self, what: str, *about: Any) -> tuple[Any, float]:
        """Call a method of its `Here`, or make it a new one: "begin" with the arguments of `Here`.

        Returns:
            what the method returns, and the processor time spent on drawing.

        Raises:
            OSError, EOFError, ValueError: if the process has ended.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with self._lock:
            try:
                _send(stdin, (what, about))
                found: tuple[Any, float] = _receive(stdout)
            except BaseException:
                # an answer that nobody has read would be taken for that to the next question
                self._process.kill()
                raise
        return found

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._process.wait()


class Beside:
    """Has a neighbour work out and draw the snapshots of a run; once it is lost, this process does so itself.

    Args:
        neighbour: the process.
        order: what is wanted.
    """

    def __init__(self, neighbour: Neighbour, order: Order) -> None:
        self.order = order
        self.seconds = 0.0
        self._neighbour: Neighbour | None = neighbour
        self._here: Here | None = None
        self._undrawn: dict[int, tuple[Taken, Array]] = {}
        # the target is the user's function, and other processes need not have it
        truth = order.dataset.truth()
        sent = replace(order.dataset, target=None if truth is None else Traced(truth[1]))
        self._ask("begin", replace(order, dataset=sent))

    def develop(self, taken: Sequence[Taken], sure: Sequence[bool], bound: Array) -> Developed:  # noqa: D102
        found: Developed = self._ask("develop", taken, sure, bound)
        for one in taken:
            if one.update in found.pictured:
                self._undrawn[one.update] = one, bound
        return found

    def draw(self, update: int) -> tuple[bytes, bytes]:  # noqa: D102
        pictures: tuple[bytes, bytes] = self._ask("draw", update)
        del self._undrawn[update]
        return pictures

    def history(self, updates: Array, norms: Array) -> bytes:  # noqa: D102
        png: bytes = self._ask("history", updates, norms)
        return png

    def _ask(self, what: str, *about: Any) -> Any:
        if self._neighbour is not None:
            try:
                found, seconds = self._neighbour.ask(what, *about)
            except LOST:
                self._neighbour = None
            else:
                self.seconds += seconds
                return found
        return self._instead(what, *about)

    def _instead(self, what: str, *about: Any) -> Any:
        if self._here is None:
            here = self._here = Here(self.order)
            for one, bound in self._undrawn.values():
                here.develop([one], [False], bound)
        if what == "begin":
            return None
        before = self._here.seconds
        found = getattr(self._here, what)(*about)
        self.seconds += self._here.seconds - before
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


_neighbour: Neighbour | None = None


def begin() -> None:
    """Start the process, where there is a processor for it. For processes of our own and not for a library."""
    global _neighbour
    if _neighbour is None and processors() > 1 and sys.executable:
        with contextlib.suppress(OSError):
            _neighbour = Neighbour()


def darkroom(order: Order, parameters: Values) -> Darkroom:
    """Return who works out the snapshots of a run.

    Args:
        order: what is wanted.
        parameters: those of a snapshot.
    """
    points = album.points(order.dataset)
    large = points > MOST_POINTS or sum(value.size for value in parameters.values()) > MOST_SENT
    if _neighbour is None or large or album.compiled(order.model, parameters, points):
        return Here(order)
    return Beside(_neighbour, order)


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _send(pipe: IO[bytes], content: Any) -> None:
    data = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    pipe.write(LENGTH.pack(len(data)) + data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:
    """Read what `_send` wrote.

    Raises:
        EOFError: at the end.
    """
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    return pickle.loads(pipe.read(LENGTH.unpack(head)[0]))


def serve() -> None:
    """Do what is asked for on the standard input until that ends."""
    asked, answers = sys.stdin.buffer, sys.stdout.buffer
    # nothing that is printed may come between the answers
    sys.stdout = sys.stderr
    _rehearse()
    here: Here | None = None
    with contextlib.suppress(EOFError, OSError):
        while True:
            what, about = _receive(asked)
            started = time.thread_time()
            found = None
            if what == "begin":
                here = Here(*about)
                here.prepare()
            else:
                found = getattr(here, what)(*about)
            drawn = 0.0 if what == "develop" else time.thread_time() - started
            _send(answers, (found, drawn))
    os._exit(0)


def _rehearse() -> None:
    """Do once what most runs do, so that code, fonts and marks are there: it takes as long as ten pictures."""
    from reluviz.arrays import PARAMETERS
    from reluviz.data.targets import piecewise_linear

    data = piecewise_linear()
    here = Here(Order("relu", PARAMETERS["relu"], data, 0, "float32", True, True, 2, frozenset([1]), False, None))
    p = {name: np.ones((1, 2)) for name in PARAMETERS["relu"][:3]} | {"output_bias": np.ones(1)}
    here.develop([Taken(1, 0.0, p, np.ones(1))], [True], np.ones(1))
    here.draw(1)
    here.history(np.arange(2.0), np.ones((2, len(data.x))))
