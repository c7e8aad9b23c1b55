"""The run's TensorBoard logger, and the event file that it writes."""

import itertools
import os
import socket
import struct
import time
from pathlib import Path
from typing import Any, BinaryIO

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from torch.utils.tensorboard.writer import FileWriter, SummaryWriter

from reluviz.errors import UserError
from reluviz.runs.events import PREFIX, masked_checksum

_numbers = itertools.count()


class EventFile:
    """A TensorBoard event file, written as the events come: what was added is there for readers, whatever follows.

    TensorBoard's own writer computes its checksums in Python, which takes a second for the events of a run, in a
    thread that holds up the others meanwhile. With compiled checksums no thread is needed. A record is the length of
    its data (8 bytes), a checksum of that, the data, and a checksum of them, all little-endian (TFRecord:
    https://www.tensorflow.org/tutorials/load_data/tfrecord).

    Args:
        folder: where the file goes; made if need be.

    Raises:
        UserError: if it cannot be written to, here or later.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        # readers take files in the order of their names
        name = f"{PREFIX}{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers):04d}"
        self.path = Path(folder) / name
        self._file: BinaryIO | None = None
        self.reopen()
        self.add_event(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def get_logdir(self) -> str:
        """Return the folder."""
        return self.folder

    def add_event(self, event: Event) -> None:
        """Append an event."""
        self.reopen()
        assert self._file is not None
        data = event.SerializeToString()
        length = struct.pack("<Q", len(data))
        try:
            # one write: a process killed meanwhile leaves at most the beginning of this record
            self._file.write(length + masked_checksum(length) + data + masked_checksum(data))
            self._file.flush()
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written to ({error.strerror or error})") from error

    def flush(self) -> None:
        """Do nothing: everything is there."""

    def reopen(self) -> None:
        """Open the file again after `close`."""
        if self._file is None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("ab")
            except OSError as error:
                raise UserError(f"{self.path}: cannot be written to ({error.strerror or error})") from error

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


class _Files(FileWriter):
    """Hands events to an `EventFile`, as torch's own class does to TensorBoard's."""

    def __init__(self, folder: str) -> None:
        self.event_writer = EventFile(folder)


class RunWriter(SummaryWriter):
    """torch's SummaryWriter on an `EventFile`."""

    file_writer: Any
    all_writers: Any

    def _get_file_writer(self) -> Any:
        if self.file_writer is None:
            self.file_writer = _Files(str(self.log_dir))
            self.all_writers = {self.file_writer.get_logdir(): self.file_writer}
            if self.purge_step is not None:
                # TensorBoard forgets what it has read of this step and of later ones
                mark = SessionLog(status=SessionLog.START)
                self.file_writer.add_event(Event(session_log=mark), self.purge_step)
                self.purge_step = None
        return self.file_writer


class RunLogger(TensorBoardLogger):
    """Writes event files straight into the run's folder, and nothing else there.

    Args:
        folder: the run's folder.
        purge_step: a resumed run overwrites what was written at or after this update.
    """

    def __init__(self, folder: str, purge_step: int | None = None) -> None:
        self._purge_step = purge_step
        super().__init__(save_dir=folder, name="", version="", default_hp_metric=False)

    @property
    @rank_zero_experiment
    def experiment(self) -> SummaryWriter:
        """Return the writer; the first call makes the file."""
        if self._experiment is None:
            self._experiment = RunWriter(self.log_dir, purge_step=self._purge_step)
        return self._experiment

    def save(self) -> None:
        """Do nothing. (Lightning would leave a file of hyper-parameters, which .hydra/ holds already.)"""
