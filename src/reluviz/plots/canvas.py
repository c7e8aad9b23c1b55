"""A figure whose still part is drawn once, and whose moving part is drawn anew for every picture.

Ticks and legends cost most of a picture. Here they are drawn a single time; after that a picture is: put that
background back, draw the moving artists, encode.
"""

from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reluviz.plots.encoding import Encoder
from reluviz.plots.style import DPI, INK, RC, SIZE, styled
from reluviz.plots.text_cache import Renderer, Words

A = TypeVar("A", bound=Artist)
Colours = NDArray[np.uint32]
"""Red, green, blue and alpha in the order of their bytes."""


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
        renderer: Any = Renderer(*SIZE, DPI)  # type: ignore[no-untyped-call]
        self._renderer = renderer
        self._encoder = Encoder(np.asarray(renderer.buffer_rgba()))
        self._still: Any = None
        self._images: list[tuple[Colours, int, int]] = []
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

    def text(self, x: float, y: float, text: str, **style: Any) -> Words:
        """Write at a place, in fractions of the figure if no transform is given, and return the artist."""
        words = Words(x, y, text, **{"transform": self.figure.transSubfigure, **style})
        self.figure.add_artist(words)
        return words

    def image(self, colours: Colours, left: int, bottom: int) -> None:
        """Put colours [height, width] into the still part, the lowest row first, one for each pixel.

        They stand above the still artists. An image of matplotlib's would be scaled and blended first, and would go
        into files as well.
        """
        self._images.append((colours, left, bottom))

    def width(self, words: Words) -> float:
        """Return how wide a text is drawn, in pixels."""
        text, font = words.get_text(), words.get_fontproperties()
        return float(self._renderer.get_text_width_height_descent(text, font, False)[0])

    def notice(self, text: str) -> None:
        """Say in the middle why there is nothing to see; an empty text brings the artists back."""
        for artist in self._moving:
            artist.set_visible(not text or artist in self._captions)
        self._notice.set_text(text)
        self._notice.set_visible(bool(text))

    def clear(self) -> None:
        """Take away all that has been drawn, but for what moves."""
        self._images.clear()
        for artist in [*self.figure.artists]:
            artist.remove()
        self.redraw()

    def redraw(self) -> None:
        """Draw the still artists anew in the next picture, because they have changed."""
        self._still = None

    def png(self) -> bytes:
        """Return the picture as it stands, as the bytes of a PNG file of `SIZE` pixels."""
        self._draw()
        return self._encoder.png()

    def _draw(self) -> None:
        if self._still is None:
            self._renderer.clear()
            with styled():
                self.figure.draw(self._renderer)
            upwards = np.asarray(self._renderer.buffer_rgba()).view(np.uint32)[::-1, :, 0]
            for colours, left, bottom in self._images:
                height, width = colours.shape
                upwards[bottom : bottom + height, left : left + width] = colours
            self._still = self._renderer.copy_from_bbox(self.figure.bbox)
        self._renderer.restore_region(self._still)
        for artist in sorted(self._moving, key=lambda each: each.get_zorder()):
            artist.draw(self._renderer)

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
