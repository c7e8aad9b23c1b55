"""A figure whose background is drawn once, and whose animated artists are drawn again for every picture.

Ticks and legends take most of the time of a picture. They are drawn once, as the background. For each picture the
background is restored, the animated artists are drawn on it, and the result is encoded as PNG.
"""

from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reluviz.plots.encoding import encode_png
from reluviz.plots.style import BLACK, DPI, RC, SIZE, plot_style
from reluviz.plots.text_cache import CachedTextRenderer, PlainText

AnyArtist = TypeVar("AnyArtist", bound=Artist)
Colours = NDArray[np.uint32]
"""Pixels: red, green, blue and alpha are the bytes of each number, in this order in memory."""


def new_figure() -> Figure:
    """Return an empty figure of the size of all pictures, drawn by Agg without a window."""
    figure = Figure(figsize=(SIZE[0] / DPI, SIZE[1] / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


class Canvas:
    """Draws one figure many times.

    Attributes:
        figure: the figure. Add the artists of the background before the first picture.
    """

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        renderer: Any = CachedTextRenderer(*SIZE, DPI)  # type: ignore[no-untyped-call]
        self._renderer = renderer
        self._background: Any = None
        self._images: list[tuple[Colours, int, int]] = []
        self._animated: list[Artist] = []
        self._kept_with_notice: list[Artist] = []
        notice = figure.text(0.5, 0.55, "", ha="center", va="center", size=15, color=BLACK, zorder=10)
        self._notice = self.animate(notice, keep_with_notice=True)
        self._notice.set_bbox({"facecolor": "white", "edgecolor": BLACK, "boxstyle": "round,pad=0.6"})

    def animate(self, artist: AnyArtist, keep_with_notice: bool = False) -> AnyArtist:
        """Draw an artist again in every picture, and return it.

        Args:
            artist: the artist; it has been added to the figure.
            keep_with_notice: draw it also while there is a notice (see `show_notice`).
        """
        if keep_with_notice:
            self._kept_with_notice.append(artist)
        artist.set_animated(True)
        self._animated.append(artist)
        return artist

    def add_text(self, x: float, y: float, text: str, **style: Any) -> PlainText:
        """Add a text and return it; its position is in fractions of the figure, unless a transform is given."""
        artist = PlainText(x, y, text, **{"transform": self.figure.transSubfigure, **style})
        self.figure.add_artist(artist)
        return artist

    def add_image(self, colours: Colours, left: int, bottom: int) -> None:
        """Add an image [height, width] to the background: one colour for each pixel, the lowest row first.

        It covers the other artists of the background, and is not part of saved files. matplotlib's own images are
        slower: they are scaled and blended.
        """
        self._images.append((colours, left, bottom))

    def text_width(self, artist: PlainText) -> float:
        """Return the width of a text in pixels."""
        text, font = artist.get_text(), artist.get_fontproperties()
        return float(self._renderer.get_text_width_height_descent(text, font, False)[0])

    def show_notice(self, text: str) -> None:
        """Show a message in place of the animated artists; with an empty text, show the artists again."""
        for artist in self._animated:
            artist.set_visible(not text or artist in self._kept_with_notice)
        self._notice.set_text(text)
        self._notice.set_visible(bool(text))

    def redraw_background(self) -> None:
        """Draw the background again in the next picture, because its artists have changed."""
        self._background = None

    def png(self) -> bytes:
        """Return the current picture as the bytes of a PNG file of `SIZE` pixels."""
        self._draw()
        return encode_png(np.asarray(self._renderer.buffer_rgba()))

    def _draw(self) -> None:
        if self._background is None:
            self._renderer.clear()
            with plot_style():
                self.figure.draw(self._renderer)
            rows_upwards = np.asarray(self._renderer.buffer_rgba()).view(np.uint32)[::-1, :, 0]
            for colours, left, bottom in self._images:
                height, width = colours.shape
                rows_upwards[bottom : bottom + height, left : left + width] = colours
            self._background = self._renderer.copy_from_bbox(self.figure.bbox)
        self._renderer.restore_region(self._background)
        for artist in sorted(self._animated, key=lambda each: each.get_zorder()):
            artist.draw(self._renderer)

    def save(self, path: str | Path) -> None:
        """Write the current picture to a .png (with twice the resolution), .svg or .pdf file, reproducibly.

        Raises:
            ValueError: for a format that matplotlib cannot write.
        """
        kind = Path(path).suffix.removeprefix(".").lower()
        dates: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        settings: Any = {**RC, "svg.hashsalt": "reluviz", "pdf.fonttype": 42}
        with rc_context(settings):
            self._set_animated(False)  # matplotlib does not save animated texts
            try:
                self.figure.savefig(path, dpi=2 * DPI, metadata=dates.get(kind, {}))
            finally:
                self._set_animated(True)

    def _set_animated(self, on: bool) -> None:
        for artist in self._animated:
            artist.set_animated(on)
