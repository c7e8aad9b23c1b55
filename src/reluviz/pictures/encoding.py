"""PNG files from the pixels of a renderer, at once or while the run goes on."""

import os
import struct
import zlib
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


class Encoder:
    """Encodes what stands in a buffer, again and again.

    Rows are left unfiltered and compressed at level 1: on these pictures that takes half the time of an
    encoder that tries every filter on every row, and makes no larger file.

    Args:
        rgba: the buffer, [height, width, 4].
    """

    def __init__(self, rgba: NDArray[np.uint8]) -> None:
        self._rgba = rgba
        self._pending: Future[bytes] | None = None
        height, width = rgba.shape[:2]
        # kept, because most of the time of a new array of this size goes into getting its memory
        self._rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each row begins with its filter: 0, none

    def now(self) -> bytes:
        """Return the bytes of an RGB PNG file."""
        height, width = self._rgba.shape[:2]
        for channel in range(3):
            self._rows[:, 1 + channel :: 3] = self._rgba[..., channel]
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(self._rows.data, 1)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunks(chunks))

    def later(self) -> "Future[bytes]":
        """Begin to encode in another thread, beside what the caller does next."""
        self._pending = _thread(os.getpid()).submit(self.now)
        return self._pending

    def settle(self) -> None:
        """Wait until the buffer is no longer read, so that it can be drawn on."""
        if self._pending is not None:
            wait([self._pending])
            self._pending = None


@lru_cache(1)
def _thread(process: int) -> ThreadPoolExecutor:
    """Return the one thread of this process that encodes: a process that was forked has not its parent's."""
    return ThreadPoolExecutor(1, "reluviz-png")


def _chunks(chunks: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
    for kind, body in chunks:
        yield struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
