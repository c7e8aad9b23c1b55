"""A sweep: its jobs, their folders, and the launcher that runs the jobs that are not done."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from reluviz.cli import config
from reluviz.cli.sweep import results, slurm
from reluviz.cli.sweep.job import Job, one_line, stored_defaults
from reluviz.cli.sweep.monitor import Monitor
from reluviz.cli.sweep.results import JobResult
from reluviz.errors import UserError
from reluviz.files import CONFIG_FOLDER, FAILURE_FILE, read_plain_yaml, write_json
from reluviz.folder_lock import LOCK_FILE, is_locked, refusal

SWEEP_KEY_PREFIXES = ("launcher", "sweeper", "sweep.")
"""Prefixes of the keys that say how a sweep is run. They are no part of a run's name or identity."""
CANCEL_SECONDS = 15.0
"""The longest time for which a stopped sweep waits for its jobs in other processes to end."""


@dataclass
class Sweep:
    """A sweep as the command line describes it, with the state of its jobs.

    Attributes:
        folder: the sweep's folder.
        fixed_keys: keys of the command line that do not vary between the jobs.
        launcher_name: what launcher= selects: none, joblib, ray or slurm.
        resuming: whether the folder holds an earlier attempt.
        hydra_full_error: the user's own value of HYDRA_FULL_ERROR.
        trials: the number of trials of a search.
        parallel_trials: how many of them run at the same time.
        jobs: folder -> overrides of all jobs so far.
        done_before: the number of jobs that were done in an earlier attempt.
        terminated: whether SIGTERM stopped the sweep.
        stopped: whether a signal, or Ctrl-C, asked the jobs to end.
    """

    folder: Path
    fixed_keys: Sequence[str]
    launcher_name: str
    resuming: bool
    hydra_full_error: str | None
    trials: int
    parallel_trials: int
    jobs: dict[Path, list[str]] = field(default_factory=dict)
    done_before: int = 0
    terminated: bool = False
    stopped: bool = False

    @property
    def in_this_process(self) -> bool:
        """Return True if the jobs run in this process."""
        return self.launcher_name == "none"

    def make_job(self) -> Job:
        """Return the function for the launcher to call."""
        parent = os.getpid() if self.launcher_name == "joblib" else None
        kept = stored_defaults(sorted(self.folder.iterdir())) if self.resuming else {}
        return Job(self.in_this_process, self.resuming, self.hydra_full_error, os.getcwd(), parent, kept)

    def job_results(self) -> list[JobResult]:
        """Return the state of every job."""
        return [results.read_result(folder) for folder in self.jobs]

    def check_queue(self) -> None:
        """Check that Slurm has no jobs of an earlier attempt.

        Raises:
            UserError: if it has some, because the earlier attempt's process was killed.
        """
        queue = slurm.SweepJobs(self.folder)
        if self.resuming and queue.can_query() and queue.has_jobs():
            # jobs that wait in the queue have no lock
            ids = " ".join(queue.job_ids())
            raise UserError(f"sweep.resume={self.folder}: Slurm still has jobs of it, {ids}; wait, or scancel them")

    def add_done_jobs(self, grid: Sequence[Sequence[str]]) -> None:
        """Count the complete trials of a search that is resumed; they are not passed to `run` again."""
        for overrides in grid:
            self.jobs[self._job_folder(overrides)] = list(overrides)
        self.done_before = len(self.jobs)

    def run(self, launcher: Any, grid: Sequence[Sequence[str]]) -> list[JobResult]:
        """Run the jobs of `grid` that are not done yet, and return the results of all its jobs.

        Args:
            launcher: the Hydra launcher plugin that runs the jobs.
            grid: the overrides of each job.

        Raises:
            UserError: if two jobs would share a folder, or if the sweep's folder holds runs with other settings.
            KeyboardInterrupt: if the sweep was interrupted; the results of the jobs that had ended are complete.
        """
        first = len(self.jobs)
        new = {self._job_folder(overrides): list(overrides) for overrides in grid}
        if len(new) < len(grid):
            raise UserError("two jobs of this sweep would have the same settings, and share a folder")
        if self.resuming:
            self._check_folders(new)
        self.jobs |= new
        todo = [
            (first + number, folder, overrides)
            for number, (folder, overrides) in enumerate(new.items())
            if not (self.resuming and results.read_result(folder).done)
        ]
        self.done_before += len(new) - len(todo)
        if self.in_this_process:
            for number, folder, overrides in todo:
                self._run_job(launcher, number, folder, overrides)
        else:
            self._run_in_other_processes(launcher, todo)
        return [results.read_result(folder) for folder in new]

    def _job_folder(self, overrides: Sequence[str]) -> Path:
        return self.folder / config.job_folder_name(run_overrides(overrides), self.fixed_keys)

    def _run_job(self, launcher: Any, number: int, folder: Path, overrides: list[str]) -> None:
        try:
            # one job at a time, because a launcher keeps the configurations of all jobs of one call
            for ended in launcher.launch([overrides], initial_job_idx=number):
                _ = ended.return_value  # re-raises the job's exception
        except (HydraException, OmegaConfBaseException) as error:
            if self.hydra_full_error == "1":
                raise
            self._record_failure(folder, overrides, UserError(config.composition_error(overrides, error)))

    def _record_failure(self, folder: Path, overrides: list[str], error: Exception) -> None:
        from reluviz.cli import terminal

        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FAILURE_FILE, {"overrides": overrides, "reason": one_line(error)})
        terminal.print_failure(one_line(error))

    def _run_in_other_processes(self, launcher: Any, todo: list[tuple[int, Path, list[str]]]) -> None:
        from reluviz.cli import terminal

        queue = slurm.SweepJobs(self.folder) if self.launcher_name == "slurm" else None
        while todo:
            folders = {number: folder for number, folder, _ in todo}
            monitor = Monitor(folders, terminal.print_job_result, queue.has_jobs if queue else None)
            terminal.print_launch(len(todo), self.launcher_name)
            problem: Exception | None = None
            monitor.start()
            try:
                with self._signals_as_interrupts():
                    try:
                        launcher.launch([overrides for _, _, overrides in todo], initial_job_idx=todo[0][0])
                    except Exception as error:
                        if self.stopped:
                            # a package that the job used has replaced the interrupt by an exception of its own
                            raise KeyboardInterrupt from error
                        # the launcher reports the first job that died; others may still be running
                        problem = error
                        if any(folder.is_dir() for folder in folders.values()) or (queue and queue.has_jobs()):
                            monitor.wait_until_settled()
            except KeyboardInterrupt:
                self._cancel(queue)
                raise
            finally:
                monitor.stop()
            if problem is None:
                return
            missing = [(n, f, o) for n, f, o in todo if results.read_result(f).status == "missing"]
            if len(missing) == len(todo):
                raise UserError(f"launcher={self.launcher_name}: {one_line(problem)}")
            # run the jobs that never started: a process that dies may take a whole batch of jobs with it
            todo = missing

    def _cancel(self, queue: slurm.SweepJobs | None) -> None:
        if queue is not None:
            queue.cancel()
        if self.launcher_name == "ray":
            import ray

            ray.shutdown()
        folders = list(self.jobs)
        end = time.monotonic() + CANCEL_SECONDS
        while time.monotonic() < end and any(map(is_locked, folders)):
            time.sleep(0.2)

    @contextmanager
    def _signals_as_interrupts(self) -> Iterator[None]:
        """Raise KeyboardInterrupt on SIGTERM as on Ctrl-C within this context, and record that one of them came.

        Without this, SIGTERM would leave the jobs in other processes running.
        """

        def stop(number: int, frame: FrameType | None) -> None:
            self.stopped = True
            self.terminated = self.terminated or number == signal.SIGTERM
            raise KeyboardInterrupt

        # a process in the background ignores Ctrl-C
        ctrl_c = [signal.SIGINT] if signal.getsignal(signal.SIGINT) is signal.default_int_handler else []
        before = {number: signal.signal(number, stop) for number in [signal.SIGTERM, *ctrl_c]}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _check_folders(self, jobs: dict[Path, list[str]]) -> None:
        """Check that the sweep can be resumed with these jobs.

        Raises:
            UserError: if a folder holds a run with other settings than its job, if the sweep varied other keys, or if
                one of the jobs is still running.
        """
        for folder, overrides in jobs.items():
            if (stored := _stored_overrides(folder)) is None:
                continue
            earlier, now = (sorted(run_overrides(one)) for one in (stored, overrides))
            if earlier != now:
                dropped = [text for text in earlier if text not in now]
                added = [text for text in now if text not in earlier]
                if dropped:
                    reason = f"{folder.name} was run with {' '.join(dropped)}"
                else:
                    reason = f"{folder.name} was run without {' '.join(added)}"
                raise UserError(f"sweep.resume={self.folder}: {reason}; resume with the same command")
        folders = (path.parent for path in sorted(self.folder.glob("*/.hydra")))
        first_started = next(((one, stored) for one in folders if (stored := _stored_overrides(one)) is not None), None)
        if first_started and jobs:
            folder, stored = first_started
            renamed = config.job_folder_name(run_overrides(stored), self.fixed_keys) != folder.name
            if renamed or self._varying_keys(stored) != self._varying_keys(next(iter(jobs.values()))):
                # the same runs would be trained again in folders with other names
                reason = f"{folder.name} is of a sweep over other keys"
                raise UserError(f"sweep.resume={self.folder}: {reason}; resume with the same command")
        if running := {folder.name: who for folder in jobs if (who := refusal(folder)) is not None}:
            name, who = next(iter(running.items()))
            raise UserError(
                f"sweep.resume={self.folder}: {len(running)} of its jobs are still running, such as {name}: {who}"
            )

    def _varying_keys(self, overrides: Sequence[str]) -> set[str]:
        return {text.lstrip("+~").partition("=")[0] for text in run_overrides(overrides)} - set(self.fixed_keys)


def run_overrides(overrides: Any) -> list[str]:
    """Return the overrides that belong to a run's identity, without those that say how the sweep is run."""
    return [text for text in overrides if not text.lstrip("+~").startswith(SWEEP_KEY_PREFIXES)]


def _stored_overrides(folder: Path) -> list[str] | None:
    """Return the overrides with which a job was started, or None if its training had not started.

    Hydra does not write them atomically: a process that is killed meanwhile leaves an incomplete or empty file.
    """
    try:
        if all(path.name == CONFIG_FOLDER or path.name.startswith(LOCK_FILE) for path in folder.iterdir()):
            return None
        stored = yaml.safe_load(read_plain_yaml(folder / CONFIG_FOLDER / "overrides.yaml"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return [str(one) for one in stored or []]
