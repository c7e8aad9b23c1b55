"""A figure whose still part is drawn once, and whose moving part is drawn anew for every picture.

Ticks and legends cost most of a picture. Here they are drawn a single time; after that a picture is: put that
background back, draw the moving artists, encode.
"""

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reluviz.pictures.style import DPI, INK, RC, SIZE, styled

A = TypeVar("A", bound=Artist)


def new_figure() -> Figure:
    """Return an empty figure of the size that all pictures have, drawn by Agg and by no window."""
    figure = Figure(figsize=(SIZE[0] / DPI, SIZE[1] / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


class Canvas:
    """Draws one figure again and again.

    Attributes:
        figure: the figure; draw the still artists on it as usual, before the first picture.
    """

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self._agg: Any = FigureCanvasAgg(figure)
        self._still: Any = None
        self._moving: list[Artist] = []
        self._captions: list[Artist] = []
        self._notice = self.caption(figure.text(0.5, 0.55, "", ha="center", va="center", size=15, color=INK, zorder=10))
        self._notice.set_bbox({"facecolor": "white", "edgecolor": INK, "boxstyle": "round,pad=0.6"})

    def moving(self, artist: A) -> A:
        """Declare that an artist changes from picture to picture, and return it."""
        artist.set_animated(True)
        self._moving.append(artist)
        return artist

    def caption(self, artist: A) -> A:
        """Declare a moving artist that stays when there is nothing to draw, and return it."""
        self._captions.append(artist)
        return self.moving(artist)

    def notice(self, text: str) -> None:
        """Say in the middle why there is nothing to see; an empty text brings the artists back."""
        for artist in self._moving:
            artist.set_visible(not text or artist in self._captions)
        self._notice.set_text(text)
        self._notice.set_visible(bool(text))

    def png(self) -> bytes:
        """Return the picture as it stands, as the bytes of a PNG file of `SIZE` pixels."""
        if self._still is None:
            with styled():  # matplotlib makes ticks when it first draws them
                self._agg.draw()
            self._still = self._agg.copy_from_bbox(self.figure.bbox)
        self._agg.restore_region(self._still)
        for artist in sorted(self._moving, key=lambda each: each.get_zorder()):
            self.figure.draw_artist(artist)
        return encode(np.asarray(self._agg.buffer_rgba()))

    def save(self, path: str | Path) -> None:
        """Write the picture to a .png (twice as fine), .svg or .pdf file, always the same bytes.

        Raises:
            ValueError: for a format that matplotlib cannot write.
        """
        kind = Path(path).suffix.removeprefix(".").lower()
        dates: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        settings: Any = {**RC, "svg.hashsalt": "reluviz", "pdf.fonttype": 42}
        with rc_context(settings):
            self._animate(False)  # matplotlib leaves the animated texts of a figure out of its files
            try:
                self.figure.savefig(path, dpi=2 * DPI, metadata=dates.get(kind, {}))
            finally:
                self._animate(True)

    def _animate(self, on: bool) -> None:
        for artist in self._moving:
            artist.set_animated(on)


def encode(rgba: NDArray[np.uint8]) -> bytes:
    """Return an image [height, width, 4] as the bytes of an RGB PNG file.

    Rows are left unfiltered and compressed at level 1: on these pictures that takes half the time of an
    encoder that tries every filter on every row, and makes no larger file.
    """
    height, width = rgba.shape[:2]
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each row begins with its filter: 0, none
    for channel in range(3):
        rows[:, 1 + channel :: 3] = rgba[..., channel]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunks(chunks))


def _chunks(chunks: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
    for kind, body in chunks:
        yield struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
