"""Jobs that run elsewhere, watched through their folders."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from reluviz.cli.sweep import heartbeat, results
from reluviz.cli.sweep.results import JobResult

SECONDS = 0.5
"""Between two looks."""


class Monitor(threading.Thread):
    """Tells of each job as it ends, and knows when nothing more is to come.

    Args:
        folders: number -> folder of the jobs.
        tell: called with the number of a job and how it ended.
        queued: whether a scheduler still holds jobs of this sweep; None if there is no way to ask.
    """

    def __init__(
        self,
        folders: Mapping[int, Path],
        tell: Callable[[int, JobResult], None],
        queued: Callable[[], bool] | None = None,
    ) -> None:
        super().__init__(name="watch", daemon=True)
        self.open = dict(folders)
        self.tell = tell
        self.queued = queued
        self._ended = threading.Event()
        self._beats: dict[int, str | None] = {}
        self._moved = time.monotonic()
        self._lock = threading.Lock()

    def run(self) -> None:
        """Look again and again."""
        while not self._ended.wait(SECONDS):
            self.look()

    def stop(self) -> None:
        """Look once more, and no further."""
        self._ended.set()
        self.join()
        self.look()

    def look(self) -> None:
        """Tell what is new."""
        with self._lock:
            for number, folder in list(self.open.items()):
                ending = results.read(folder)
                beat = heartbeat.last(folder)
                if ending.status not in ("unfinished", "missing") and beat is None:
                    del self.open[number]
                    self._moved = time.monotonic()
                    self.tell(number, ending)
                elif beat is not None and beat != self._beats.get(number):
                    self._beats[number] = beat
                    self._moved = time.monotonic()

    def settled(self) -> bool:
        """Whether nothing more is to come: all have ended, or what is left shows no life and waits in no queue."""
        if not self.open:
            return True
        if self.queued is not None and self.queued():
            with self._lock:
                self._moved = time.monotonic()
            return False
        return time.monotonic() - self._moved > heartbeat.PATIENCE

    def settle(self) -> None:
        """Wait until nothing more is to come."""
        while not self.settled():
            time.sleep(SECONDS)
