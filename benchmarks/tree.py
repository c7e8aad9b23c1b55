"""Peak memory of several processes together, watched from outside; Linux only."""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

SECONDS = 0.25
"""Between two looks."""


class Watched(threading.Thread):
    """Looks at a process, and at it and its companions together, again and again.

    A page that several processes share is counted once: what is summed is the kernel's Pss.

    Args:
        leader: a process.
        pids: all processes to be counted now.

    Attributes:
        leads: the most that the leader took, in MB.
        all: the most that all took at one time.
        course: what the leader took, in MB, and when, in seconds since the epoch.
    """

    def __init__(self, leader: int, pids: Callable[[], Iterable[int]]) -> None:
        super().__init__(daemon=True)
        self.leader, self.pids = leader, pids
        self.leads = self.all = 0.0
        self.course: list[tuple[float, float]] = []
        self._ended = threading.Event()

    def run(self) -> None:
        """Look until `stop`."""
        while not self._ended.is_set():
            found = {pid: pss(pid) for pid in self.pids()}
            self.course.append((time.time(), found.get(self.leader, 0.0)))
            self.leads = max(self.leads, self.course[-1][1])
            self.all = max(self.all, sum(found.values()))
            self._ended.wait(SECONDS)

    def between(self, start: float, end: float) -> list[float]:
        """Return what the leader took in a span of time."""
        return [mb for at, mb in self.course if start <= at <= end]

    def stop(self) -> None:
        """Look no more."""
        self._ended.set()
        self.join()


def pss(pid: int) -> float:
    """Return the memory of a process in MB, its part of what it shares; 0 for one that has ended."""
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def of_session(session: int) -> list[int]:
    """Return the processes of a session: all that a command started, unless they left it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            # the command's name stands in brackets, and may hold anything
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                found.append(int(folder.name))
    return found
