"""Monitors the total memory of several processes from outside; Linux only."""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

INTERVAL_SECONDS = 0.25
"""The time between two measurements."""


class MemoryMonitor(threading.Thread):
    """A thread that repeatedly measures the memory of a process, and the total of it and its companions.

    A page shared by several processes counts once, because the kernel's Pss is summed.

    Args:
        leader: the process id of the leading process.
        pids: returns the ids of all processes to count, including the leader.

    Attributes:
        leader_peak: the peak memory of the leader in MB.
        total_peak: the peak memory of all processes together in MB.
        history: time of each measurement, in seconds since 1970, and the memory of the leader in MB.
    """

    def __init__(self, leader: int, pids: Callable[[], Iterable[int]]) -> None:
        super().__init__(daemon=True)
        self.leader, self.pids = leader, pids
        self.leader_peak = self.total_peak = 0.0
        self.history: list[tuple[float, float]] = []
        self._stopped = threading.Event()

    def run(self) -> None:
        """Measure until `stop` is called."""
        while not self._stopped.is_set():
            found = {pid: pss(pid) for pid in self.pids()}
            self.history.append((time.time(), found.get(self.leader, 0.0)))
            self.leader_peak = max(self.leader_peak, self.history[-1][1])
            self.total_peak = max(self.total_peak, sum(found.values()))
            self._stopped.wait(INTERVAL_SECONDS)

    def between(self, start: float, end: float) -> list[float]:
        """Return the measurements of the leader's memory from `start` to `end`, in MB."""
        return [mb for at, mb in self.history if start <= at <= end]

    def stop(self) -> None:
        """Stop measuring and wait for the thread."""
        self._stopped.set()
        self.join()


def pss(pid: int) -> float:
    """Return the memory of a process in MB, with its part of shared pages; 0 if the process has ended."""
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def of_session(session: int) -> list[int]:
    """Return the ids of the processes of a session: all that a command started, unless they left the session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            # the name of the command is in brackets and may contain any character
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                found.append(int(folder.name))
    return found
