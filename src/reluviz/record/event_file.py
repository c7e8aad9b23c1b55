"""TensorBoard event files: their names, their records, how to append to one and how to read one.

A record is the length of its data (8 bytes), a checksum of the length (4 bytes), the data, and a checksum of the data
(4 bytes), all little-endian (TFRecord: https://www.tensorflow.org/tutorials/load_data/tfrecord). TensorBoard's own
writer and reader compute each checksum in Python, at a few MB a second; this module uses compiled checksums.
"""

import contextlib
import itertools
import os
import re
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import google_crc32c
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorboard.compat.proto.event_pb2 import Event

from reluviz.errors import UserError
from reluviz.files import EVENT_FILE_PREFIX as EVENT_FILE_PREFIX
from reluviz.folder_lock import check_held, file_identity

_file_numbers = itertools.count()


class DamagedRecord(Exception):
    """A complete record whose checksum or content is wrong. Nothing after it in its file can be read."""


def masked_checksum(data: bytes) -> bytes:
    """Return the masked CRC-32C of the data, 4 bytes."""
    crc: int = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


class EventFile:
    """A new event file. Each event is flushed to disk when it is added, so readers see it at once.

    No thread is needed: with compiled checksums, adding an event takes little time. TensorBoard's writer spends about a
    second a run on checksums, in a thread that holds up the training thread.

    Args:
        folder: where the file is created; the folder is created if it does not exist.

    Raises:
        UserError: if the file cannot be created, or (from a later call) cannot be written to, has been removed or
            replaced, or this process has lost the lock of its folder.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        # readers sort files by name, so each file in a folder gets a second of its own, even if a run is killed and
        # resumed within one second
        second = max(int(time.time()), 1 + _latest_second(self.folder))
        name = f"{EVENT_FILE_PREFIX}{second:010d}.{socket.gethostname()}.{os.getpid()}.{next(_file_numbers):04d}"
        self.path = Path(folder) / name
        self._file: BinaryIO | None = None
        self._identity: tuple[int, int] | None = None
        self.reopen()
        self.add_event(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def get_logdir(self) -> str:
        """Return the folder."""
        return self.folder

    def add_event(self, event: Event) -> None:
        """Append an event."""
        self.add_records([event.SerializeToString()])

    def add_records(self, events: Iterable[bytes]) -> None:
        """Append events that are already serialized."""
        self.reopen()
        assert self._file is not None
        if file_identity(self.path) != self._identity:
            raise self._was_removed()
        parts = []
        for data in events:
            length = struct.pack("<Q", len(data))
            parts += [length, masked_checksum(length), data, masked_checksum(data)]
        try:
            # one write: if the process is killed meanwhile, only the last record in the file can be incomplete
            self._file.write(b"".join(parts))
            self._file.flush()
        except OSError as error:
            # closing writes the rest of the records, which fails again
            with contextlib.suppress(OSError):
                self.close()
            raise UserError(f"{self.path}: cannot be written to ({error.strerror or error})") from error

    def flush(self) -> None:
        """Do nothing: every event has been flushed already."""

    def reopen(self) -> None:
        """Open the file again if it was closed."""
        check_held(self.path)
        if self._file is None:
            if self._identity is not None and file_identity(self.path) != self._identity:
                raise self._was_removed()
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("ab")
            except OSError as error:
                raise UserError(f"{self.path}: cannot be written to ({error.strerror or error})") from error
            self._identity = file_identity(self.path)

    def _was_removed(self) -> UserError:
        return UserError(f"{self.path}: was removed or replaced while this process wrote to it")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            file, self._file = self._file, None
            file.close()


def event_files(folder: Path) -> list[Path]:
    """Return the event files in a folder in the order in which they were created.

    Numbers in the names are compared as numbers: files that TensorBoard's writer creates within one second differ only
    in a count at the end, and file 10 follows file 9.

    Raises:
        UserError: if there is no such folder, or it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            paths = [
                Path(entry.path) for entry in entries if entry.name.startswith(EVENT_FILE_PREFIX) and entry.is_file()
            ]
            return sorted(paths, key=lambda path: _by_numbers(path.name))
    except FileNotFoundError:
        raise UserError(f"{folder}: there is no such folder") from None
    except NotADirectoryError:
        raise UserError(f"{folder}: is a file; name the run's folder") from None
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror or error})") from None


def read_events(path: Path) -> Iterator[Event]:
    """Yield the events of a file, up to the first incomplete record (a run may still be writing it).

    Raises:
        DamagedRecord: at a record that is complete but wrong.
        UserError: if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            while len(head := file.read(12)) == 12:
                (length,) = struct.unpack_from("<Q", head)
                if masked_checksum(head[:8]) != head[8:]:
                    raise DamagedRecord
                if file.tell() + length + 4 > size:
                    # read() would reserve memory for all of a length that the file does not have
                    return
                data = file.read(length)
                tail = file.read(4)
                if len(tail) < 4:
                    return
                if masked_checksum(data) != tail:
                    raise DamagedRecord
                yield Event.FromString(data)
    except DecodeError:
        raise DamagedRecord from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


def _by_numbers(name: str) -> list[tuple[int, str]]:
    """Return a sort key of a name that compares its digits as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def _latest_second(folder: str) -> int:
    """Return the second in the name of the latest event file in a folder; -1 if there is none."""
    seconds = (
        path.name.removeprefix(EVENT_FILE_PREFIX).partition(".")[0]
        for path in Path(folder).glob(f"{EVENT_FILE_PREFIX}*")
    )
    return max((int(second) for second in seconds if second.isdecimal()), default=-1)
