"""The jobs of a sweep in Slurm's queue."""

import shutil
import subprocess
import time
from pathlib import Path

CANCEL_SECONDS = 60.0
"""Time for cancelled jobs to leave the queue; Slurm itself kills them after 30."""
UNKNOWN_JOB_MESSAGE = "Invalid job id"
"""Printed by squeue for jobs that ended long ago."""
POLL_SECONDS = 3.0
"""Between two calls of squeue."""


class Queue:
    """Slurm's jobs of one sweep.

    Args:
        folder: the sweep's folder, in which the launcher keeps a folder .submitit/ID for each job.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ".submitit"
        self._last_poll = float("-inf")
        self._has_jobs = False

    def job_ids(self) -> list[str]:
        """Return the numbers of the jobs; all jobs of an array have the same number."""
        names = [one.name for one in self.folder.iterdir()] if self.folder.is_dir() else []
        return sorted({name.partition("_")[0] for name in names if name[:1].isdigit()})

    def reachable(self) -> bool:
        """Return True if there are jobs to ask about and Slurm is installed; a sweep may also resume without it."""
        return bool(self.job_ids()) and shutil.which("squeue") is not None

    def has_jobs(self) -> bool:
        """Return True if a job of the sweep waits or runs; while Slurm does not answer, its last answer."""
        if time.monotonic() - self._last_poll < POLL_SECONDS:
            return self._has_jobs
        self._last_poll = time.monotonic()
        if not self.job_ids():
            return False
        listed = self._run("squeue", "--noheader", "--format=%i", f"--jobs={','.join(self.job_ids())}")
        if listed.returncode == 0 or UNKNOWN_JOB_MESSAGE in listed.stderr:
            self._has_jobs = bool(listed.stdout.strip())
        return self._has_jobs

    def cancel(self) -> None:
        """Cancel the jobs, and wait until they have left the queue."""
        if not self.job_ids():
            return
        self._run("scancel", *self.job_ids())
        # assumed until Slurm answers
        self._has_jobs = True
        end = time.monotonic() + CANCEL_SECONDS
        while time.monotonic() < end:
            self._last_poll = float("-inf")
            if not self.has_jobs():
                return
            time.sleep(0.5)

    def _run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command, capture_output=True, text=True, check=False)
