"""Processes that work for this one, which need no torch and are ready before this one has imported it.

Nothing is imported here but what Python brings along, so that they can begin before anything else does.
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

MARK = b"reluviz:"
HEAD = struct.Struct(f"<{len(MARK)}sQ")
"""What comes before each message: a mark and its length."""
LONGEST = 60.0
"""Seconds that an answer may take, which is a hundredth of one mostly."""
LOST = (OSError, EOFError, ValueError, pickle.PickleError)
"""What is raised where a process does not answer."""


class HelperProcess:
    """A process that works for this one, on one run after another.

    It ends with this process, however that ends: its input does.

    Args:
        draws: whether it is to be ready to draw.
    """

    def __init__(self, draws: bool) -> None:
        # a group of its own, since Ctrl-C is for those who train; but no session, which would get as large a share of
        # the processors as theirs
        group, flags = 0, 0
        if sys.platform == "win32":
            group, flags = -1, subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        # what this process does not find in the folder that it stands in, that one must not find there either
        safely = [] if "" in sys.path or os.getcwd() in sys.path else ["-P"]
        # nothing that is printed, by whomever, may come between the answers
        apart = "import os; answers = os.fdopen(os.dup(1), 'wb'); os.dup2(2, 1)"
        code = f"{apart}; from reluviz.training.remote_worker import serve; serve({draws}, answers)"
        command = [sys.executable, *safely, "-c", code]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # small arrays: threads would wait for each other
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            process_group=group,
            creationflags=flags,
        )
        self._lock = threading.Lock()

    def ask(self, what: str, *about: Any) -> tuple[Any, float]:
        """Call a method of its `Here`, or make it a new one: "begin" with the arguments of `Here`.

        Returns:
            what the method returns, and the processor time spent on drawing.

        Raises:
            OSError, EOFError, ValueError: if the process has ended, or does not answer for a long time.
            PicklingError: if it cannot be told about this.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with self._lock:
            try:
                send(stdin, (what, about))
                _wait(stdout)
                found: tuple[Any, float] = receive(stdout)
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


Pair = tuple[HelperProcess, HelperProcess]
COMPUTING, DRAWING = 0, 1
"""Places in a pair: of the one that is ready to work out snapshots, and of the one that is ready to draw."""

_idle: list[Pair] = []


def start() -> None:
    """Start two, where there is a processor for them. For processes of our own and not for a library."""
    if not _idle and processors() > 1 and sys.executable:
        with contextlib.suppress(OSError):
            _idle.append((HelperProcess(draws=False), HelperProcess(draws=True)))


def take() -> Pair | None:
    """Return two neighbours that nobody else has: they know of one run at a time. None where there are none."""
    try:
        return _idle.pop()
    except IndexError:
        return None


def give_back(pair: Pair, whole: bool) -> None:
    """Let another run have them.

    Args:
        pair: the neighbours.
        whole: whether none of them has been lost.
    """
    if whole:
        _idle.append(pair)
        return
    for one in pair:
        one.close()


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def send(pipe: IO[bytes], content: Any) -> None:
    """Write something that `receive` reads.

    Raises:
        PicklingError: if it cannot be written; nothing has been, then.
    """
    try:
        data = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    except (AttributeError, TypeError) as error:
        # what is said of classes within functions, and of locks
        raise pickle.PicklingError(str(error)) from error
    pipe.write(HEAD.pack(MARK, len(data)) + data)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """Read what `send` wrote.

    Raises:
        EOFError: at the end, or where something else has been written.
    """
    head = pipe.read(HEAD.size)
    if len(head) < HEAD.size:
        raise EOFError
    mark, length = HEAD.unpack(head)
    if mark != MARK or len(data := pipe.read(length)) < length:
        raise EOFError
    return pickle.loads(data)


def _wait(pipe: IO[bytes]) -> None:
    """Wait until there is something to read, where the system lets one stop waiting.

    Raises:
        TimeoutError: if it takes too long.
    """
    if hasattr(select, "poll"):
        watched = select.poll()
        watched.register(pipe, select.POLLIN)
        if not watched.poll(1000 * LONGEST):
            raise TimeoutError
