"""The jobs of a sweep in Slurm's queue."""

import shutil
import subprocess
import time
from pathlib import Path

CANCEL_SECONDS = 60.0
"""Maximum time, in seconds, to wait until cancelled jobs have left the queue; Slurm kills them after 30 seconds."""
UNKNOWN_JOB_MESSAGE = "Invalid job id"
"""Part of the error message of squeue for jobs that ended long ago."""
POLL_SECONDS = 3.0
"""Minimum time, in seconds, between two calls of squeue; `cancel` polls faster."""


class SweepJobs:
    """The Slurm jobs of one sweep.

    Args:
        folder: the sweep's folder, in which Hydra's submitit launcher keeps a folder .submitit/ID for each job.
    """

    def __init__(self, folder: Path) -> None:
        self._submitit_folder = folder / ".submitit"
        self._last_poll = float("-inf")
        self._has_jobs = False

    def job_ids(self) -> list[str]:
        """Return the IDs of the jobs; all jobs of a job array have the same ID."""
        names = [one.name for one in self._submitit_folder.iterdir()] if self._submitit_folder.is_dir() else []
        return sorted({name.partition("_")[0] for name in names if name[:1].isdigit()})

    def can_query(self) -> bool:
        """Return True if the sweep has submitted jobs and squeue is installed.

        A sweep may be resumed on a machine without Slurm.
        """
        return bool(self.job_ids()) and shutil.which("squeue") is not None

    def has_jobs(self) -> bool:
        """Return True if a job of the sweep waits or runs. If squeue fails, return the last known answer."""
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
        """Cancel the jobs, and wait until they have left the queue, for at most `CANCEL_SECONDS`."""
        if not self.job_ids():
            return
        self._run("scancel", *self.job_ids())
        # assumed until squeue answers
        self._has_jobs = True
        end = time.monotonic() + CANCEL_SECONDS
        while time.monotonic() < end:
            self._last_poll = float("-inf")
            if not self.has_jobs():
                return
            time.sleep(0.5)

    def _run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command, capture_output=True, text=True, check=False)
