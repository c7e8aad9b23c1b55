"""Encode the pixels of a renderer as PNG."""

import struct
import zlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

try:
    from isal.isal_zlib import compress
except ImportError:
    # if isal is not installed: the same pixels, in ten times the time
    from zlib import compress


class Encoder:
    """Encodes the current content of a buffer as PNG, as often as needed.

    Rows are not filtered, and compressed at level 1. For these pictures this takes a fraction of the time of trying
    every filter on every row, and the files are no larger.

    Args:
        rgba: the buffer, [height, width, 4].
    """

    def __init__(self, rgba: NDArray[np.uint8]) -> None:
        self._rgba = rgba
        height, width = rgba.shape[:2]
        # reused, because allocating an array of this size takes most of the time
        self._rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each row begins with its filter: 0, none

    def png(self) -> bytes:
        """Return the bytes of an RGB PNG file."""
        height, width = self._rgba.shape[:2]
        for channel in range(3):
            self._rows[:, 1 + channel :: 3] = self._rgba[..., channel]
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", compress(self._rows.data, 1)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunks(chunks))


def _chunks(chunks: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
    for kind, body in chunks:
        yield struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
