"""The run's TensorBoard logger."""

from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger


class RunLogger(TensorBoardLogger):
    """Writes event files straight into the run's folder, and nothing else there.

    Args:
        folder: the run's folder.
        flush_secs: how far the files lag behind at most.
        purge_step: a resumed run overwrites what was written at or after this update.
    """

    def __init__(self, folder: str, flush_secs: float = 2, purge_step: int | None = None) -> None:
        options: dict[str, Any] = {"flush_secs": flush_secs, "purge_step": purge_step}
        super().__init__(save_dir=folder, name="", version="", default_hp_metric=False, **options)

    def save(self) -> None:
        """Flush. (Lightning would also leave a file of hyper-parameters, which .hydra/ holds already.)"""
        self.experiment.flush()
