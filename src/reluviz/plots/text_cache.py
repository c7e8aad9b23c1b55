"""A renderer that caches the pixels of pieces of text.

Text takes most of the time of a picture: matplotlib lays out and draws every letter each time. Here a string is split
into single digits and the text between them, as in "loss  train ", "0", ".", "2", "5". Each piece is drawn once and
cached. The font does not kern digits, so the pieces next to each other look like the string. They are placed at whole
pixels, where hinted letters are sharpest.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rcParams
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.backends import backend_agg
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text
from numpy.typing import NDArray


class Font(NamedTuple):
    """Everything that determines the shape of a text."""

    family: tuple[str, ...]
    style: str
    weight: str | int
    points: float
    dpi: float
    hinting: str


@dataclass(frozen=True, eq=False)
class Piece:
    """The pixels of a piece of text.

    Attributes:
        ink: coverage of each pixel, 0 to 255, [height, width].
        left, bottom: position of the lower left corner of `ink`, to the right of the origin and below the baseline.
        advance: distance to the beginning of the next piece.
        above, below: extent of the letters above and below the baseline.
    """

    ink: NDArray[np.uint8]
    left: int
    bottom: int
    advance: float
    above: float
    below: float


class CachedTextRenderer(backend_agg.RendererAgg):
    """Agg with cached horizontal plain text; other text is drawn by matplotlib."""

    def draw_text(
        self,
        gc: GraphicsContextBase,
        x: float,
        y: float,
        s: str,
        prop: FontProperties,
        angle: float,
        ismath: Any = False,
        mtext: Any = None,
    ) -> None:
        """Draw a text; its baseline begins at (x, y), with y downwards."""
        line = None if ismath or angle or not gc.get_antialiased() else pieces(s, self.font(prop))
        if line:
            self.draw_pieces(gc, x, y, line)
        else:
            super().draw_text(gc, x, y, s, prop, angle, ismath, mtext)  # type: ignore[no-untyped-call]

    def draw_pieces(self, gc: GraphicsContextBase, x: float, y: float, line: Iterable[Piece]) -> None:
        """Draw pieces of text next to each other, from (x, y) on."""
        red, green, blue, *_ = gc.get_rgb()
        for piece in line:
            left, bottom = round(x) + piece.left, round(y) + piece.bottom
            self.draw_image(gc, left, self.height - bottom, _coloured(piece, (red, green, blue)))
            x += piece.advance

    def get_text_width_height_descent(self, s: str, prop: FontProperties, ismath: Any) -> tuple[float, float, float]:
        """Return the width and height of a text, and its extent below the baseline."""
        line = None if ismath else pieces(s, self.font(prop))
        if not line:
            measured: tuple[float, float, float]
            measured = super().get_text_width_height_descent(s, prop, ismath)  # type: ignore[no-untyped-call]
            return measured
        below = max(piece.below for piece in line)
        return sum(piece.advance for piece in line), max(piece.above for piece in line) + below, below

    def font(self, prop: FontProperties) -> Font:
        """Return the font as a cache key."""
        return Font(
            tuple(prop.get_family()),
            prop.get_style(),
            prop.get_weight(),
            prop.get_size_in_points(),
            self.dpi,
            rcParams["text.hinting"],
        )


class PlainText(Text):
    """A horizontal line of plain text. Texts at the same height have the same baseline, regardless of their letters."""

    def __init__(self, x: float, y: float, text: str, **style: Any) -> None:
        super().__init__(x, y, text, parse_math=False, **style)

    def set(self, **properties: Any) -> list[Any]:
        """Set properties by name. (For a class without this method, matplotlib generates one, which is slow.)"""
        changed: list[Any] = super().set(**properties)
        return changed

    def draw(self, renderer: RendererBase) -> None:
        """Draw the text; with a `CachedTextRenderer`, without matplotlib's layout, which takes longer than drawing."""
        if not (isinstance(renderer, CachedTextRenderer) and self.get_visible() and self.get_antialiased()):
            super().draw(renderer)
            return
        font = renderer.font(self.get_fontproperties())
        line = pieces(self.get_text(), font)
        if not line:
            super().draw(renderer)
            return
        x, y = self.get_transform().transform(self.get_position())
        x -= ALIGNMENT_SHIFT[self.get_horizontalalignment()] * sum(piece.advance for piece in line)
        y += baseline_offsets(font)[self.get_verticalalignment()]
        gc = renderer.new_gc()
        gc.set_foreground(self.get_color())
        renderer.draw_pieces(gc, x, renderer.height - y, line)
        gc.restore()


ALIGNMENT_SHIFT = {"left": 0.0, "center": 0.5, "right": 1.0}
"""The fraction of a text that is to the left of its position."""


@lru_cache(512)
def pieces(text: str, font: Font) -> tuple[Piece, ...] | None:
    """Return a text as adjacent pieces; None if matplotlib must draw it."""
    parts = [_piece(part, font) for part in re.findall("[0-9]|[^0-9]+", text)]
    if any(part is None or not part.advance.is_integer() for part in parts[:-1]):
        parts = [_piece(text, font)]  # otherwise the next piece would begin between pixels
    found = tuple(part for part in parts if part is not None)
    return found if len(found) == len(parts) else None


@lru_cache(1024)
def _piece(text: str, font: Font) -> Piece | None:
    """Return the pixels of a piece of text; None if the font does not have all its letters.

    None also if letters are not at whole pixels, so that they look different at each position: with another setting of
    text.hinting, and before matplotlib 3.11.
    """
    face = get_font(_file(font.family, font.style, font.weight))
    if not all(face.get_char_index(ord(letter)) for letter in text):
        return None
    try:
        face.clear()
        face.set_size(font.points, font.dpi)
        space = _advance(face, " ")
        if not space.is_integer():
            return None
        # with a leading space, no letter extends to the left of the image, which would shift the following letters
        advance = _advance(face, f" {text}") - space
        face.draw_glyphs_to_bitmap(antialiased=True)
        ink, below = np.array(face.get_image()), face.get_descent() / 64
        above = face.get_width_height()[1] / 64 - below
    except (AttributeError, TypeError):  # a later matplotlib with another interface
        return None
    bottom = len(ink) - 1 - math.floor(above)  # the image has one row above the tallest letter
    return Piece(ink, -int(space), bottom, advance, above, below)


def _advance(face: FT2Font, text: str) -> float:
    face.set_text(text, 0.0, flags=backend_agg.get_hinting_flag())  # type: ignore[no-untyped-call]
    return face.get_width_height()[0] / 64


@lru_cache(64)
def baseline_offsets(font: Font) -> dict[str, float]:
    """Return for each vertical alignment the height of the baseline above the position of a text, in pixels."""
    tall = _piece("lp", font)
    above, below = (tall.above, tall.below) if tall else (0.0, 0.0)
    return {
        "baseline": 0.0,
        "bottom": below,
        "center": (below - above) / 2,
        "center_baseline": -above / 2,
        "top": -above,
    }


@lru_cache(1024)
def _coloured(piece: Piece, colour: tuple[float, float, float]) -> NDArray[np.uint8]:
    """Return a piece as an image [height, width, RGBA] with the lowest row first, as `draw_image` expects it."""
    image = np.empty((*piece.ink.shape, 4), np.uint8)
    image[..., :3] = np.round(np.array(colour) * 255)
    image[..., 3] = piece.ink[::-1]
    return image


@lru_cache(64)
def _file(family: tuple[str, ...], style: Any, weight: str | int) -> Any:
    return findfont(FontProperties(family=list(family), style=style, weight=weight))
