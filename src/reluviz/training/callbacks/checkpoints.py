"""The callback that writes checkpoints, which stay valid even if the process is killed while writing one."""

import time
from pathlib import Path
from typing import Any

import lightning as L

from reluviz.errors import UserError
from reluviz.files import CHECKPOINTS_FOLDER, LAST_CHECKPOINT, atomic_write

FIRST_CHECKPOINT_SECONDS = 1.0
"""Seconds until the first checkpoint; the interval doubles after each checkpoint, up to the configured one."""


class Checkpoints(L.Callback):
    """Writes `last.ckpt` at intervals during the run, at its end, and when it is interrupted.

    A process that is killed while it writes a checkpoint leaves the earlier one intact.

    Args:
        folder: the folder for checkpoints.
        seconds: the interval between two writes of last.ckpt. Intervals are shorter at the beginning, where a kill
            would otherwise lose the whole run.
        every: also keep a separate checkpoint at every `every`-th snapshot; 0 for none.
    """

    def __init__(self, folder: str = CHECKPOINTS_FOLDER, seconds: float = 30.0, every: int = 0) -> None:
        self.folder = Path(folder)
        self.seconds = seconds
        self.every = every
        self._written = 0.0
        self._interval = 0.0
        self._versions: dict[Path, tuple[int, ...] | None] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock for the first checkpoint."""
        self._versions = {}
        self._written, self._interval = time.monotonic(), min(FIRST_CHECKPOINT_SECONDS, self.seconds)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save the checkpoints that are due after a segment."""
        if self.every and int(pl_module.segments_done) % self.every == 0:  # type: ignore[arg-type]
            self._save(trainer, f"update-{int(pl_module.updates_done):09d}.ckpt")  # type: ignore[arg-type]
        if time.monotonic() - self._written >= self._interval:
            self._save_last(trainer)
            self._interval = min(2 * self._interval, self.seconds)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the final state of the run.

        Raises:
            UserError: if a checkpoint that this run wrote has been removed or replaced.
        """
        self._save_last(trainer)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Save the state after the last complete segment of an interrupted run."""
        if trainer.optimizers:
            self._save(trainer, LAST_CHECKPOINT)

    def _save_last(self, trainer: L.Trainer) -> None:
        """Save last.ckpt; raise a UserError if a checkpoint that this run wrote has been removed or replaced."""
        changed = [path for path, version in self._versions.items() if _version(path) != version]
        # first, so that nothing is lost
        self._save(trainer, LAST_CHECKPOINT)
        if changed:
            raise UserError(f"{changed[0]}: was removed or replaced while this process trained its run")

    def _save(self, trainer: L.Trainer, name: str) -> None:
        for logger in trainer.loggers:
            # a run resumed from this checkpoint needs every earlier snapshot on disk
            logger.save()
        path = self.folder / name
        with atomic_write(path) as partial:
            trainer.save_checkpoint(partial)
        self._versions[path] = _version(path)
        self._written = time.monotonic()


def _version(path: Path) -> tuple[int, ...] | None:
    """Return what changes if a file is replaced; None if it does not exist."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
