"""Helper processes, which need no torch and are ready before this process has imported it.

This module imports the standard library only, so that the helpers start before any heavy package is imported.
"""

import contextlib
import os
import pickle
import select
import struct
import subprocess
import sys
import threading
from typing import IO, Any

MAGIC = b"reluviz:"
HEADER = struct.Struct(f"<{len(MAGIC)}sQ")
"""The header of a message: the magic bytes and the length of the content."""
ANSWER_TIMEOUT_SECONDS = 60.0
"""The longest wait for an answer; most answers take a hundredth of a second."""
HELPER_ERRORS = (OSError, EOFError, ValueError, pickle.PickleError)
"""What `HelperProcess.call` raises if the process does not answer."""


class HelperProcess:
    """A process that computes or draws snapshots for this process, for one run after another.

    It ends when this process ends, even if this process is killed, because its standard input is then closed.

    Args:
        draws: whether the process prepares to draw pictures when it starts.
    """

    def __init__(self, draws: bool) -> None:
        # a process group, because Ctrl-C is meant for the training process; but no new session, because the
        # scheduler would give a session as large a share of the processors as the training process has
        group, flags = 0, 0
        if sys.platform == "win32":
            group, flags = -1, subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        # if this process does not import from the working directory, neither should the helper
        safe_path = [] if "" in sys.path or os.getcwd() in sys.path else ["-P"]
        # printed text goes to stderr, so that it cannot get between the answers
        redirect = "import os; answers = os.fdopen(os.dup(1), 'wb'); os.dup2(2, 1)"
        code = f"{redirect}; from reluviz.training.remote_worker import serve; serve({draws}, answers)"
        command = [sys.executable, *safe_path, "-c", code]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # the arrays are small: threads would spend their time waiting for each other
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            process_group=group,
            creationflags=flags,
        )
        self._lock = threading.Lock()

    def call(self, method: str, *args: Any) -> tuple[Any, float]:
        """Call a method of the process's `SnapshotWorker`.

        The method "begin_run" creates a new `SnapshotWorker` with these arguments.

        Returns:
            the method's result, and the processor time spent on drawing, in seconds.

        Raises:
            OSError, EOFError, ValueError: if the process has ended or does not answer in time.
            PicklingError: if the arguments cannot be pickled.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with self._lock:
            try:
                send(stdin, (method, args))
                _wait(stdout)
                answer: tuple[Any, float] = receive(stdout)
            except BaseException:
                # an unread answer would be taken for the answer to the next call
                self._process.kill()
                raise
        return answer

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._process.wait()


Pair = tuple[HelperProcess, HelperProcess]
COMPUTING, DRAWING = 0, 1
"""Positions in a pair: of the process that computes snapshots, and of the process that draws them."""

_idle: list[Pair] = []


def start() -> None:
    """Start a pair of helper processes if there is a second processor for them.

    The command line calls this; a program that imports reluviz as a library should get no extra processes.
    """
    if not _idle and processors() > 1 and sys.executable:
        with contextlib.suppress(OSError):
            _idle.append((HelperProcess(draws=False), HelperProcess(draws=True)))


def acquire() -> Pair | None:
    """Return an idle pair for the exclusive use of one run; None if there is none."""
    try:
        return _idle.pop()
    except IndexError:
        return None


def release(pair: Pair, intact: bool) -> None:
    """Return a pair for the next run.

    Args:
        pair: the helper processes.
        intact: whether both still answer; otherwise both are closed.
    """
    if intact:
        _idle.append(pair)
        return
    for helper in pair:
        helper.close()


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def send(pipe: IO[bytes], content: Any) -> None:
    """Write a message that `receive` reads.

    Raises:
        PicklingError: if the content cannot be pickled; nothing has been written then.
    """
    try:
        data = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    except (AttributeError, TypeError) as error:
        # pickle raises these for local classes and for locks
        raise pickle.PicklingError(str(error)) from error
    pipe.write(HEADER.pack(MAGIC, len(data)) + data)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """Read a message that `send` wrote.

    Raises:
        EOFError: at the end of the stream, or if the data does not come from `send`.
    """
    header = pipe.read(HEADER.size)
    if len(header) < HEADER.size:
        raise EOFError
    magic, length = HEADER.unpack(header)
    if magic != MAGIC or len(data := pipe.read(length)) < length:
        raise EOFError
    return pickle.loads(data)


def _wait(pipe: IO[bytes]) -> None:
    """Wait until the pipe has data to read; without a time limit on systems that have no `poll`.

    Raises:
        TimeoutError: after `ANSWER_TIMEOUT_SECONDS`.
    """
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        if not poll.poll(1000 * ANSWER_TIMEOUT_SECONDS):
            raise TimeoutError
