"""The run's TensorBoard logger."""

from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from torch.utils.tensorboard.writer import FileWriter, SummaryWriter

from reluviz.record.event_file import EventFile


class _EventFileAdapter(FileWriter):
    """torch's FileWriter, writing to an `EventFile` instead of TensorBoard's EventFileWriter."""

    def __init__(self, folder: str) -> None:
        self.event_writer = EventFile(folder)


class EventFileWriter(SummaryWriter):
    """torch's SummaryWriter, writing to an `EventFile`."""

    file_writer: Any
    all_writers: Any

    def _get_file_writer(self) -> Any:
        if self.file_writer is None:
            self.file_writer = _EventFileAdapter(str(self.log_dir))
            self.all_writers = {self.file_writer.get_logdir(): self.file_writer}
            if self.purge_step is not None:
                # this event makes TensorBoard discard what it has read of this step and of later ones
                mark = SessionLog(status=SessionLog.START)
                self.file_writer.add_event(Event(session_log=mark), self.purge_step)
                self.purge_step = None
        return self.file_writer


class RunLogger(TensorBoardLogger):
    """Writes event files directly into the run's folder, and no other files.

    Args:
        folder: the run's folder.
        purge_step: set for a resumed run: readers discard what was written at or after this update.
    """

    def __init__(self, folder: str, purge_step: int | None = None) -> None:
        self._purge_step = purge_step
        super().__init__(save_dir=folder, name="", version="", default_hp_metric=False)

    @property
    @rank_zero_experiment
    def experiment(self) -> SummaryWriter:
        """Return the writer. The first call creates the event file."""
        if self._experiment is None:
            self._experiment = EventFileWriter(self.log_dir, purge_step=self._purge_step)
        return self._experiment

    def save(self) -> None:
        """Do nothing. (Lightning would write a file of hyper-parameters, which .hydra/ contains already.)"""
