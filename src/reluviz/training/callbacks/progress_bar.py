"""A progress bar over updates, not over Lightning's batches."""

from typing import Any

import lightning as L
import numpy as np
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from reluviz.console import Console
from reluviz.models.module import RegressionModule
from reluviz.training.callbacks.snapshot_logger import SnapshotLogger


class ProgressBar(L.pytorch.callbacks.ProgressBar):
    """Shows the number of updates, the training loss at the last computed snapshot, the time passed and the time left.

    The bar appears only in a terminal, on standard error, and disappears when the run ends.
    """

    def __init__(self) -> None:
        super().__init__()
        self._progress: Progress | None = None

    def disable(self) -> None:
        """Do nothing: without a terminal there is no bar."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show the bar."""
        assert isinstance(pl_module, RegressionModule)
        console = Console(stderr=True)
        if not console.is_terminal:
            return
        self._progress = Progress(
            BarColumn(bar_width=None),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} updates"),
            TextColumn("[dim]loss[/] {task.fields[loss]}"),
            TimeElapsedColumn(),
            TextColumn("[dim]left[/]"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            expand=True,
        )
        total = trainer.datamodule.updates  # type: ignore[attr-defined]
        task = self._progress.add_task("", total=total, completed=int(pl_module.updates_done), loss="-")
        progress = self._progress
        pl_module.progress_callback = lambda update: progress.update(task, completed=update)
        progress.start()
        self._show_loss(trainer)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Show the loss at the last computed snapshot."""
        self._show_loss(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remove the bar."""
        self._stop(pl_module)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Remove the bar before an error message is printed."""
        self._stop(pl_module)

    def _show_loss(self, trainer: L.Trainer) -> None:
        losses = [cb.loss for cb in trainer.callbacks if isinstance(cb, SnapshotLogger)]  # type: ignore[attr-defined]
        if self._progress is not None and losses and (loss := losses[0]) is not None:
            self._progress.update(self._progress.task_ids[0], loss=f"{float(np.median(loss)):.3e}")

    def _stop(self, pl_module: L.LightningModule) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
            pl_module.progress_callback = lambda update: None  # type: ignore[assignment]
