"""A sweep: its jobs, their folders, and the launcher that runs what is left to do."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from reluviz.cli import config
from reluviz.cli.sweep import heartbeat, results, slurm
from reluviz.cli.sweep.job import FULL, Job, reason_of
from reluviz.cli.sweep.monitor import Monitor
from reluviz.cli.sweep.results import JobResult
from reluviz.errors import UserError
from reluviz.files import write_json

APART = ("launcher", "sweeper", "sweep.")
"""Settings that say how a sweep is run and not what: part of no run's name or identity."""


@dataclass
class Sweep:
    """What a sweep's command line asked for, and what has become of it.

    Attributes:
        folder: the sweep's folder.
        fixed: keys that do not vary between the jobs.
        launcher: the choice of launcher.
        goes_on: whether the folder holds an earlier attempt.
        full: the user's own HYDRA_FULL_ERROR.
        trials: how many jobs a searching sweeper may try.
        together: how many of them at a time.
        jobs: folder -> overrides of all jobs so far.
        before: how many had ended in an earlier attempt.
        terminated: whether a signal asked the process to end.
    """

    folder: Path
    fixed: Sequence[str]
    launcher: str
    goes_on: bool
    full: str | None
    trials: int
    together: int
    jobs: dict[Path, list[str]] = field(default_factory=dict)
    before: int = 0
    terminated: bool = False

    @property
    def here(self) -> bool:
        """Whether the jobs run in this process."""
        return self.launcher == "none"

    def job(self) -> Job:
        """Return what the launcher is to call."""
        parent = os.getpid() if self.launcher == "joblib" else None
        return Job(self.here, self.goes_on, self.full, os.getcwd(), parent)

    def endings(self) -> list[JobResult]:
        """Return how all jobs stand."""
        return [results.read(folder) for folder in self.jobs]

    def begin(self) -> None:
        """See to it that nobody else is going to run its jobs.

        Raises:
            UserError: if Slurm still has jobs of an earlier attempt, whose process was killed.
        """
        queue = slurm.Queue(self.folder)
        if self.goes_on and queue.reachable() and queue.holds():
            # those that have not begun show no life
            ids = " ".join(queue.ids())
            raise UserError(f"sweep.resume={self.folder}: Slurm still has jobs of it, {ids}; wait, or scancel them")

    def remember(self, grid: Sequence[Sequence[str]]) -> None:
        """Count jobs that ended in an earlier attempt, and that nobody will ask to be run."""
        for one in grid:
            self.jobs[self._folder(one)] = list(one)
        self.before = len(self.jobs)

    def run(self, launcher: Any, grid: Sequence[Sequence[str]]) -> list[JobResult]:
        """Run the jobs that are left to do; return how all of `grid` stand then.

        Args:
            launcher: Hydra's.
            grid: the overrides of each job.

        Raises:
            UserError: if two jobs would share a folder, or the folder holds something else than these jobs.
            KeyboardInterrupt: if the sweep was interrupted; what has ended is whole.
        """
        first = len(self.jobs)
        new = {self._folder(one): list(one) for one in grid}
        if len(new) < len(grid):
            raise UserError("two jobs of this sweep would have the same settings, and share a folder")
        if self.goes_on:
            self._check(new)
        self.jobs |= new
        todo = [
            (first + number, folder, overrides)
            for number, (folder, overrides) in enumerate(new.items())
            if not (self.goes_on and results.read(folder).done)
        ]
        self.before += len(new) - len(todo)
        if self.here:
            for number, folder, overrides in todo:
                self._one(launcher, number, folder, overrides)
        else:
            self._elsewhere(launcher, todo)
        return [results.read(folder) for folder in new]

    def _folder(self, overrides: Sequence[str]) -> Path:
        return self.folder / config.varies(kept(overrides), self.fixed)

    def _one(self, launcher: Any, number: int, folder: Path, overrides: list[str]) -> None:
        try:
            # one at a time: a launcher keeps the configurations of all that it is given
            for ended in launcher.launch([overrides], initial_job_idx=number):
                _ = ended.return_value
        except (HydraException, OmegaConfBaseException) as error:
            if self.full == "1":
                raise
            self._failed(folder, overrides, UserError(config.why(overrides, error)))

    def _failed(self, folder: Path, overrides: list[str], error: Exception) -> None:
        from reluviz.cli import terminal

        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / results.FAILURE, {"overrides": overrides, "reason": reason_of(error)})
        terminal.failure(reason_of(error))

    def _elsewhere(self, launcher: Any, todo: list[tuple[int, Path, list[str]]]) -> None:
        from reluviz.cli import terminal

        queue = slurm.Queue(self.folder) if self.launcher == "slurm" else None
        while todo:
            folders = {number: folder for number, folder, _ in todo}
            watch = Monitor(folders, terminal.ended, queue.holds if queue else None)
            terminal.launching(len(todo), self.launcher)
            problem: Exception | None = None
            watch.start()
            try:
                with self._terminable():
                    try:
                        launcher.launch([overrides for _, _, overrides in todo], initial_job_idx=todo[0][0])
                    except Exception as error:
                        # the first of the jobs that died; the others may still be running
                        problem = error
                        if any(folder.is_dir() for folder in folders.values()) or (queue and queue.holds()):
                            watch.settle()
            except KeyboardInterrupt:
                self._cancel(queue)
                raise
            finally:
                watch.stop()
            if problem is None:
                return
            left = [(n, f, o) for n, f, o in todo if results.read(f).status == "missing"]
            if len(left) == len(todo):
                raise UserError(f"launcher={self.launcher}: {reason_of(problem)}")
            # those that never began: a process that dies may take a whole batch with it
            todo = left

    def _cancel(self, queue: slurm.Queue | None) -> None:
        if queue is not None:
            queue.cancel()
        if self.launcher == "ray":
            import ray

            ray.shutdown()
        beats = list(self.jobs)
        end = time.monotonic() + heartbeat.PATIENCE
        while time.monotonic() < end and heartbeat.beating(beats):
            pass

    @contextmanager
    def _terminable(self) -> Iterator[None]:
        """Let SIGTERM end the sweep as Ctrl-C does: otherwise what runs elsewhere would run on."""

        def stop(number: int, frame: FrameType | None) -> None:
            self.terminated = True
            raise KeyboardInterrupt

        before: Callable[..., Any] | int | None = signal.signal(signal.SIGTERM, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _check(self, jobs: dict[Path, list[str]]) -> None:
        """Refuse to go on where the folders hold other runs than these, or a run that is under way."""
        for folder, overrides in jobs.items():
            if (stored := _given(folder)) is None:
                continue
            earlier, now = (sorted(kept(one)) for one in (stored, overrides))
            if earlier != now:
                with_ = [text for text in earlier if text not in now]
                without = [text for text in now if text not in earlier]
                why = f"{folder.name} was run with{'' if with_ else 'out'} {' '.join(with_ or without)}"
                raise UserError(f"sweep.resume={self.folder}: {why}; go on with the same command")
        folders = (path.parent for path in sorted(self.folder.glob("*/.hydra")))
        begun = next(((folder, given) for folder in folders if (given := _given(folder)) is not None), None)
        if begun and jobs:
            folder, given = begun
            fewer = config.varies(kept(given), self.fixed) != folder.name
            if fewer or self._moving(given) != self._moving(next(iter(jobs.values()))):
                # the same runs would be made again under other names
                why = f"{folder.name} is of a sweep over other keys"
                raise UserError(f"sweep.resume={self.folder}: {why}; go on with the same command")
        if running := heartbeat.beating(folder for folder in jobs):
            raise UserError(
                f"sweep.resume={self.folder}: {len(running)} of its jobs are still running, {running[0].name} for one"
            )

    def _moving(self, overrides: Sequence[str]) -> set[str]:
        return {text.lstrip("+~").partition("=")[0] for text in kept(overrides)} - set(self.fixed)


def kept(overrides: Any) -> list[str]:
    """Return the overrides that belong to a run's identity."""
    return [text for text in overrides if not text.lstrip("+~").startswith(APART)]


def _given(folder: Path) -> list[str] | None:
    """Return the overrides with which a job was begun; None where it has not come to training.

    Hydra does not write them in one move: a process that was killed then leaves any part of them, or an empty file.
    """
    try:
        if {path.name for path in folder.iterdir()} <= {".hydra", heartbeat.NAME}:
            return None
        stored = yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    return [str(one) for one in stored or []]


def environment() -> str | None:
    """Return the user's own HYDRA_FULL_ERROR."""
    return os.environ.get(FULL)
