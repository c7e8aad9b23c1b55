"""The event files that TensorBoard reads: their names, their records, and a writer of them."""

import itertools
import os
import socket
import struct
import time
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import google_crc32c
from tensorboard.compat.proto.event_pb2 import Event

from reluviz.errors import UserError

PREFIX = "events.out.tfevents."
_numbers = itertools.count()


def masked_checksum(data: bytes) -> bytes:
    """Return the masked CRC-32C of the data, 4 bytes."""
    crc: int = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


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
        # readers take files in the order of their names: a second belongs to one file, also where a run that was killed
        # goes on within it
        second = max(int(time.time()), 1 + _latest(self.folder))
        name = f"{PREFIX}{second:010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers):04d}"
        self.path = Path(folder) / name
        self._file: BinaryIO | None = None
        self.reopen()
        self.add_event(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def get_logdir(self) -> str:
        """Return the folder."""
        return self.folder

    def add_event(self, event: Event) -> None:
        """Append an event."""
        self.add_records([event.SerializeToString()])

    def add_records(self, events: Iterable[bytes]) -> None:
        """Append events that are bytes already."""
        self.reopen()
        assert self._file is not None
        parts = []
        for data in events:
            length = struct.pack("<Q", len(data))
            parts += [length, masked_checksum(length), data, masked_checksum(data)]
        try:
            # one write: a process killed meanwhile leaves whole records, and at most the beginning of one more
            self._file.write(b"".join(parts))
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


def _latest(folder: str) -> int:
    """Return the second in the name of the last event file in a folder; -1 where there is none."""
    seconds = (path.name.removeprefix(PREFIX).partition(".")[0] for path in Path(folder).glob(f"{PREFIX}*"))
    return max((int(second) for second in seconds if second.isdecimal()), default=-1)
