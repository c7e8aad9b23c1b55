"""Checkpoints that survive whatever ends the process."""

import os
import time
from pathlib import Path
from typing import Any

import lightning as L

FIRST = 1.0
"""Seconds until the first checkpoint; until the next it is twice as long each time, up to what was asked for."""


class Checkpoints(L.Callback):
    """Keeps `last.ckpt` up to date: from time to time, at the end, and when the run is interrupted.

    A file is written beside its place and moved there, so that a process killed while writing leaves the
    earlier one whole.

    Args:
        folder: where the files go.
        seconds: how often last.ckpt is renewed; more often in the beginning, so that a kill never costs more than the
            run has taken.
        every: keep a checkpoint of its own at every so many snapshots; 0 for none.
    """

    def __init__(self, folder: str = "checkpoints", seconds: float = 30.0, every: int = 0) -> None:
        self.folder = Path(folder)
        self.seconds = seconds
        self.every = every
        self._written = 0.0
        self._wait = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Have something saved soon, to go on from; before that, to begin anew costs as little."""
        self._written, self._wait = time.monotonic(), min(FIRST, self.seconds)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save what is due after a segment."""
        if self.every and int(pl_module.segments_done) % self.every == 0:  # type: ignore[arg-type]
            self._save(trainer, f"update-{int(pl_module.updates_done):09d}.ckpt")  # type: ignore[arg-type]
        # after the last segment on_train_end follows at once
        if time.monotonic() - self._written >= self._wait:
            self._save(trainer, "last.ckpt")
            self._wait = min(2 * self._wait, self.seconds)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the end of the run."""
        self._save(trainer, "last.ckpt")

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Save the last whole segment of an interrupted run."""
        if trainer.optimizers:
            self._save(trainer, "last.ckpt")

    def _save(self, trainer: L.Trainer, name: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = self.folder / f".{name}.part"
        for logger in trainer.loggers:
            # whoever goes on from here finds every snapshot before it on disk
            logger.save()
        trainer.save_checkpoint(beside)
        os.replace(beside, self.folder / name)
        self._written = time.monotonic()
