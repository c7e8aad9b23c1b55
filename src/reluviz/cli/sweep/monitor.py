"""Follows jobs in other processes through the files in their folders."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from reluviz.cli.sweep import results
from reluviz.cli.sweep.results import JobResult
from reluviz.folder_lock import is_locked

POLL_SECONDS = 0.5
SETTLED_SECONDS = 15.0
"""When nothing has changed for this long and no folder is locked, no further job will end."""


class Monitor(threading.Thread):
    """Reports each job when it ends, and knows when no further job will end.

    Args:
        folders: number -> folder of each job.
        report: called with the number of a job and its result.
        queued: returns whether a scheduler still has jobs of this sweep; None if there is no scheduler.
    """

    def __init__(
        self,
        folders: Mapping[int, Path],
        report: Callable[[int, JobResult], None],
        queued: Callable[[], bool] | None = None,
    ) -> None:
        super().__init__(name="monitor", daemon=True)
        self.pending = dict(folders)
        self.report = report
        self.queued = queued
        self._stopped = threading.Event()
        self._last_change = time.monotonic()
        self._lock = threading.Lock()

    def run(self) -> None:
        """Check the folders again and again until `stop`."""
        while not self._stopped.wait(POLL_SECONDS):
            self.check()

    def stop(self) -> None:
        """End the thread, and check the folders a last time."""
        self._stopped.set()
        self.join()
        self.check()

    def check(self) -> None:
        """Report the jobs that have ended since the last check."""
        with self._lock:
            for number, folder in list(self.pending.items()):
                result = results.read_result(folder)
                running = is_locked(folder)
                ended = result.status not in ("unfinished", "missing") and not running
                if running or ended:
                    self._last_change = time.monotonic()
                if ended:
                    del self.pending[number]
                    self.report(number, result)

    def settled(self) -> bool:
        """Return True if all jobs have ended, or if the rest neither run nor are queued."""
        if not self.pending:
            return True
        if self.queued is not None and self.queued():
            with self._lock:
                self._last_change = time.monotonic()
            return False
        return time.monotonic() - self._last_change > SETTLED_SECONDS

    def wait_until_settled(self) -> None:
        """Wait until no further job will end."""
        while not self.settled():
            time.sleep(POLL_SECONDS)
