"""The jobs of a sweep in Slurm's queue."""

import shutil
import subprocess
import time
from pathlib import Path

PATIENCE = 60.0
"""Seconds that cancelled jobs have to leave the queue; Slurm itself kills after 30."""
FORGOTTEN = "Invalid job id"
"""What squeue says of jobs that ended long ago."""
BETWEEN = 3.0
"""Seconds between two questions to the scheduler."""


class Queue:
    """What Slurm holds of a sweep.

    Args:
        folder: the sweep's folder, in which the launcher keeps a folder .submitit/ID for each job.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ".submitit"
        self._asked = float("-inf")
        self._holds = False

    def ids(self) -> list[str]:
        """Return the numbers of the jobs; those of an array share one."""
        names = [one.name for one in self.folder.iterdir()] if self.folder.is_dir() else []
        return sorted({name.partition("_")[0] for name in names if name[:1].isdigit()})

    def reachable(self) -> bool:
        """Whether this computer can ask about them; a sweep may go on where there is no Slurm."""
        return bool(self.ids()) and shutil.which("squeue") is not None

    def holds(self) -> bool:
        """Whether a job of the sweep waits or runs; the last answer, while the scheduler gives none."""
        if time.monotonic() - self._asked < BETWEEN:
            return self._holds
        self._asked = time.monotonic()
        if not self.ids():
            return False
        asked = self._run("squeue", "--noheader", "--format=%i", f"--jobs={','.join(self.ids())}")
        if asked.returncode == 0 or FORGOTTEN in asked.stderr:
            self._holds = bool(asked.stdout.strip())
        return self._holds

    def cancel(self) -> None:
        """Take the jobs out of the queue, and wait until they are gone."""
        if not self.ids():
            return
        self._run("scancel", *self.ids())
        # until the scheduler says otherwise
        self._holds = True
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self._asked = float("-inf")
            if not self.holds():
                return
            time.sleep(0.5)

    def _run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command, capture_output=True, text=True, check=False)
