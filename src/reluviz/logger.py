"""The run's TensorBoard logger."""

from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger


class RunLogger(TensorBoardLogger):
    """Writes event files straight into the run's folder, and nothing else there.

    Args:
        folder: the run's folder.
        kwargs: for SummaryWriter, such as flush_secs and purge_step.
    """

    def __init__(self, folder: str, **kwargs: Any) -> None:
        super().__init__(save_dir=folder, name="", version="", default_hp_metric=False, **kwargs)

    def save(self) -> None:
        """Flush. (Lightning would also leave a file of hyper-parameters, which .hydra/ holds already.)"""
        self.experiment.flush()
