"""One job of a sweep, in whichever process a launcher runs it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from reluviz.cli.lazy_imports import postpone
from reluviz.cli.sweep import results
from reluviz.cli.sweep.heartbeat import end_with, heartbeat
from reluviz.errors import UserError
from reluviz.files import write_json

if TYPE_CHECKING:
    from reluviz.training.outcome import Outcome
    from reluviz.training.prepare import Prepared

FULL = "HYDRA_FULL_ERROR"


@dataclass(frozen=True)
class Job:
    """What Hydra's launchers call with the configuration of a job.

    Attributes:
        here: whether it runs in the process that the user looks at.
        goes_on: whether it takes up what an earlier attempt left in its folder.
        full: the user's own HYDRA_FULL_ERROR.
        cwd: the folder in which the sweep was started, to which names of files refer.
        parent: a process without which it must not go on; None if there is none.
    """

    here: bool
    goes_on: bool
    full: str | None
    cwd: str
    parent: int | None = None

    def __call__(self, cfg: DictConfig) -> float:
        """Train; return the median loss, infinite where there is none.

        Raises:
            KeyboardInterrupt: if it was stopped by a signal here; the sweep is to stop too.
        """
        if not self.here:
            # a process that a launcher began for jobs alone
            postpone()
        # not at the head of this file, which is imported before anything is known to be trained
        from reluviz.cli import terminal

        if self.parent is not None:
            end_with(self.parent)
        if not self.here and os.path.isdir(self.cwd):
            # workers of a cluster may stand elsewhere
            os.chdir(self.cwd)
        folder = Path(HydraConfig.get().runtime.output_dir)
        before = results.read(folder)
        if before.done and self.goes_on:
            return float("inf") if before.loss is None else before.loss
        if self.here:
            terminal.job(HydraConfig.get().job.num, folder)
        (folder / results.FAILURE).unlink(missing_ok=True)
        tells: Callable[[str], None] = terminal.failure if self.here else lambda reason: None
        set_full(self.full)
        try:
            with heartbeat(folder):
                done, prepared = self._train(cfg, folder)
        except Exception as error:
            if self.here and self.full == "1" and not isinstance(error, UserError):
                raise
            reason = reason_of(error)
            overrides = OmegaConf.to_container(HydraConfig.get().overrides.task)
            write_json(folder / results.FAILURE, {"overrides": overrides, "reason": reason})
            tells(reason)
            return float("inf")
        finally:
            set_full("1" if self.here else self.full)
        if self.here:
            terminal.outcome(done, prepared, brief=True)
        if done.exit_status >= 128 and (self.here or os.getpid() == self.parent):
            # Hydra, or a pool of one, would go on with the next job
            raise KeyboardInterrupt
        return done.loss

    def _train(self, cfg: DictConfig, folder: Path) -> "tuple[Outcome, Prepared]":
        from reluviz.cli import resume
        from reluviz.training import prepare, run

        checkpoint = None
        if self.goes_on:
            try:
                resumed = resume.find(str(folder), [])
                cfg, checkpoint = resumed.cfg, resumed.checkpoint
            except UserError:
                # killed before its first checkpoint, or after its last: what it drew and where it began are
                # the same again
                checkpoint = None
        prepared = prepare.prepare(cfg, resumed=checkpoint is not None)
        if not self.here:
            # bars of several processes would overwrite each other
            prepared.settings["callbacks"].pop("progress", None)
        return run.train(prepared, folder, checkpoint), prepared


def reason_of(error: BaseException) -> str:
    """Return one line for an exception: the user's errors as they are, others with their type."""
    words = " ".join(str(error).split())
    return words if isinstance(error, UserError) else f"{type(error).__name__}: {words}".rstrip(": ")


def set_full(value: str | None) -> None:
    """Set HYDRA_FULL_ERROR, or unset it."""
    if value is None:
        os.environ.pop(FULL, None)
    else:
        os.environ[FULL] = value
