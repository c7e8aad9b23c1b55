"""Event files, read as far as they are whole: the other end of `eventfile.EventFile`."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorboard.compat.proto.event_pb2 import Event

from reluviz.errors import UserError
from reluviz.record.event_file import PREFIX, masked_checksum

__all__ = ["PREFIX", "Damaged", "events", "files", "masked_checksum"]


class Damaged(Exception):
    """A record whose checksum, or whose content, is wrong; nothing after it can be found."""


def files(folder: Path) -> list[Path]:
    """Return the event files in a folder in the order in which they were begun, which is that of their names.

    Raises:
        UserError: if there is no such folder, or it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.name.startswith(PREFIX) and entry.is_file())
    except FileNotFoundError:
        raise UserError(f"{folder}: there is no such folder") from None
    except NotADirectoryError:
        raise UserError(f"{folder}: is a file; name the run's folder") from None
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror or error})") from None


def events(path: Path) -> Iterator[Event]:
    """Yield the events of a file; it ends at the first record that is not all there, as while a run still writes.

    TensorBoard's own reader computes every checksum in Python, at a few MB a second.

    Raises:
        Damaged: at a record that is all there and wrong.
        UserError: if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            while len(head := file.read(12)) == 12:
                (length,) = struct.unpack_from("<Q", head)
                if masked_checksum(head[:8]) != head[8:]:
                    raise Damaged
                data = file.read(length)
                tail = file.read(4)
                if len(tail) < 4:
                    return
                if masked_checksum(data) != tail:
                    raise Damaged
                yield Event.FromString(data)
    except DecodeError:
        raise Damaged from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
