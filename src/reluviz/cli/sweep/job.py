"""One job of a sweep, in the process in which a launcher runs it."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from reluviz.cli import config
from reluviz.cli.interrupts import raise_ignored_interrupts
from reluviz.cli.lazy_imports import install_lazy_imports
from reluviz.cli.sweep import results
from reluviz.cli.sweep.parent_process import exit_with_parent
from reluviz.errors import UserError
from reluviz.files import CONFIG_FILE, CONFIG_FOLDER, FAILURE_FILE, read_plain_yaml, write_json
from reluviz.folder_lock import FolderLocked, locked
from reluviz.record.settings import TARGET

if TYPE_CHECKING:
    from reluviz.training.outcome import Outcome
    from reluviz.training.prepare import Prepared

FULL_ERROR_VARIABLE = "HYDRA_FULL_ERROR"
SCHEDULE, SCALE = f"snapshots.{TARGET}", "data.scale"
KEPT_KEYS = {SCHEDULE: "snapshots", SCALE: SCALE}
"""Keys whose default has changed between versions -> the key by which the command line chooses another value."""


@dataclass(frozen=True)
class Job:
    """The function that Hydra's launchers call with the configuration of a job.

    Attributes:
        in_this_process: whether the job runs in the process that the user started, and prints there.
        resuming: whether the job continues what an earlier attempt left in its folder.
        hydra_full_error: the user's own value of HYDRA_FULL_ERROR.
        cwd: the folder in which the sweep was started; relative names of files refer to it.
        parent: the process with which the job has to end; None if there is none.
        kept: the values of `KEPT_KEYS` in an earlier attempt, whose defaults may have been others.
    """

    in_this_process: bool
    resuming: bool
    hydra_full_error: str | None
    cwd: str
    parent: int | None = None
    kept: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, cfg: DictConfig) -> float:
        """Train, and return the median loss, or infinity if there is none.

        Raises:
            KeyboardInterrupt: if a signal stopped the job in this process; the sweep has to stop too.
        """
        if not self.in_this_process:
            # a launcher started this process only for jobs
            install_lazy_imports()
        # imported here, because this module is imported before it is known that anything will be trained
        from reluviz.cli import terminal

        if self.parent is not None:
            exit_with_parent(self.parent)
        if not self.in_this_process and os.getpid() != self.parent:
            raise_ignored_interrupts()
        if not self.in_this_process and os.path.isdir(self.cwd):
            # a cluster may start its workers in another folder
            os.chdir(self.cwd)
        folder = Path(HydraConfig.get().runtime.output_dir)
        earlier = results.read_result(folder)
        if earlier.done and self.resuming:
            return float("inf") if earlier.loss is None else earlier.loss
        if self.in_this_process:
            terminal.print_job(HydraConfig.get().job.num, folder)
        set_hydra_full_error(self.hydra_full_error)
        try:
            with locked(folder):
                return self._run(cfg, folder)
        except FolderLocked as error:
            # the folder belongs to the other process, which writes the result
            if self.in_this_process:
                terminal.print_failure(one_line(error))
            return float("inf")
        finally:
            set_hydra_full_error("1" if self.in_this_process else self.hydra_full_error)

    def _run(self, cfg: DictConfig, folder: Path) -> float:
        """Train in the folder, which is locked; the rest as for `__call__`."""
        from reluviz.cli import terminal

        (folder / FAILURE_FILE).unlink(missing_ok=True)
        try:
            outcome, prepared = self._train(cfg, folder)
        except Exception as error:
            if self.in_this_process and self.hydra_full_error == "1" and not isinstance(error, UserError):
                raise
            reason = one_line(error)
            overrides = OmegaConf.to_container(HydraConfig.get().overrides.task)
            write_json(folder / FAILURE_FILE, {"overrides": overrides, "reason": reason})
            if self.in_this_process:
                terminal.print_failure(reason)
            return float("inf")
        if self.in_this_process:
            terminal.print_outcome(outcome, prepared, brief=True)
        if outcome.exit_status >= 128 and (self.in_this_process or os.getpid() == self.parent):
            # otherwise Hydra, or a pool of size one, would continue with the next job
            raise KeyboardInterrupt
        return outcome.loss

    def _train(self, cfg: DictConfig, folder: Path) -> "tuple[Outcome, Prepared]":
        from reluviz.cli import resume
        from reluviz.training import prepare, run

        resumed = None
        if self.resuming:
            self._keep_defaults(cfg, folder)
            # A run that was killed before its first checkpoint, or whose checkpoint is damaged, starts again from the
            # same initial weights, and draws the same minibatches.
            with suppress(UserError):
                resumed = resume.find_run(str(folder), [], cfg)
        if resumed is not None and resumed.checkpoint is not None:
            prepared, checkpoint = prepare.prepare_plan(resumed.plan, resumed=True), resumed.checkpoint
        else:
            step_given = config.step_is_given(HydraConfig.get().overrides.task)
            prepared, checkpoint = prepare.prepare(cfg, step_given=step_given), None
        if not self.in_this_process:
            # progress bars of several processes would overwrite each other
            prepared.settings["callbacks"].pop("progress", None)
        return run.train(prepared, folder, checkpoint), prepared

    def _keep_defaults(self, cfg: DictConfig, folder: Path) -> None:
        """Train a job with the defaults of an earlier attempt, unless the command line chooses otherwise.

        Hydra has written the job's configuration again, with what is the default now.
        """
        from reluviz.cli import resume

        for key, value in self.kept.items():
            chosen = any(
                text.lstrip("+~").startswith(f"{KEPT_KEYS[key]}=") for text in HydraConfig.get().overrides.task
            )
            if not chosen and OmegaConf.select(cfg, key) != value:
                OmegaConf.update(cfg, key, value)
                resume.store_setting(folder, key, value)


def stored_defaults(folders: Iterable[Path]) -> dict[str, str]:
    """Return the values of `KEPT_KEYS` in the first configuration that one of the jobs' folders holds."""
    for folder in folders:
        try:
            stored = yaml.safe_load(read_plain_yaml(folder / CONFIG_FOLDER / CONFIG_FILE))
            kept = {SCHEDULE: str(stored["snapshots"][TARGET])}
            return kept | ({SCALE: "none"} if config.trained_unscaled(stored) else {})
        except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError):
            # a process that was killed while Hydra wrote the file leaves an incomplete one
            continue
    return {}


def one_line(error: BaseException) -> str:
    """Return an exception's message in one line, with its type unless it is a UserError."""
    words = " ".join(str(error).split())
    return words if isinstance(error, UserError) else f"{type(error).__name__}: {words}".rstrip(": ")


def hydra_full_error() -> str | None:
    """Return the value of HYDRA_FULL_ERROR, None if it is not set."""
    return os.environ.get(FULL_ERROR_VARIABLE)


def set_hydra_full_error(value: str | None) -> None:
    """Set HYDRA_FULL_ERROR; None unsets it."""
    if value is None:
        os.environ.pop(FULL_ERROR_VARIABLE, None)
    else:
        os.environ[FULL_ERROR_VARIABLE] = value
