"""A frame with numbered edges in which lines, points and words are drawn.

matplotlib's own axes would do, but for the time that they take: each of their ticks is five artists, and to make and
draw the axes of one picture takes as long as ten pictures. Here a grid is one line, and only the numbers are artists
of their own. Where the ticks are, and what is written at them, is still matplotlib's choice.
"""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.collections import PathCollection
from matplotlib.lines import Line2D
from matplotlib.markers import TICKDOWN, TICKLEFT, MarkerStyle
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from matplotlib.transforms import (
    Bbox,
    BboxTransform,
    BboxTransformTo,
    IdentityTransform,
    ScaledTranslation,
    Transform,
    TransformedBbox,
    blended_transform_factory,
)

from reluviz.data.dataset import Array
from reluviz.plots.canvas import Canvas
from reluviz.plots.curves import stems
from reluviz.plots.style import GRID, SMALL, SOFT
from reluviz.plots.text_cache import Words

TICK = 3.0
"""Length of a tick, in points."""
LEFT, BELOW, LOWEST = (-6.5, 0.7), (0.0, -5.8), (0.0, -15.1)
"""From the edges to their numbers, and to the name of x: to the right and upwards, in points."""


class Ticks(NamedTuple):
    """Where an edge is ticked, and with what.

    Attributes:
        at: the places.
        labels: a text for each, or nothing for ticks without numbers.
        offset: what is to be added to the numbers or multiplies them, as in "+1e3" or "1e6"; empty for nothing.
    """

    at: list[float]
    labels: list[str]
    offset: str = ""


def numbered(low: float, high: float, most: int = 9) -> Ticks:
    """Return round numbers between two limits, at most `most` intervals apart."""
    places = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    slack = 1e-9 * (high - low)
    kept = [float(place) for place in places if low - slack <= place <= high + slack]
    formatter = ScalarFormatter()
    formatter.create_dummy_axis()
    formatter.axis.set_view_interval(low, high)  # type: ignore[union-attr]
    return Ticks(kept, formatter.format_ticks(kept), formatter.get_offset())


class Axes:
    """A rectangle of a figure with coordinates of its own.

    Args:
        canvas: the canvas to draw on.
        box: left, bottom, width and height in fractions of the figure.
        xlim: coordinates of the left and the right edge.
        ylim: coordinates of the lower and the upper edge.

    Attributes:
        view: the limits, as a box.
        data: from coordinates to pixels.
        unit: from fractions of the panel to pixels.
        along_x, along_y: from a coordinate of the one, and a fraction for the other, to pixels.
    """

    def __init__(
        self,
        canvas: Canvas,
        box: tuple[float, float, float, float],
        xlim: tuple[float, float],
        ylim: tuple[float, float],
    ) -> None:
        self.canvas = canvas
        self.area = TransformedBbox(Bbox.from_bounds(*box), canvas.figure.transSubfigure)
        self.view = Bbox.unit()
        self.limit(xlim, ylim)
        self.data: Transform = BboxTransform(self.view, self.area)
        self.unit: Transform = BboxTransformTo(self.area)
        self.along_x: Transform = blended_transform_factory(self.data, self.unit)
        self.along_y: Transform = blended_transform_factory(self.unit, self.data)
        self._rules: list[Artist] = []

    def limit(self, xlim: tuple[float, float], ylim: tuple[float, float]) -> None:
        """Set the limits; what has been drawn follows, but for the ticks."""
        self.view.set_points(np.array([[xlim[0], ylim[0]], [xlim[1], ylim[1]]]))

    def add(self, artist: Any) -> Any:
        """Add an artist that is not drawn beyond the edges, in coordinates if it has no transform, and return it."""
        if not artist.is_transform_set():
            artist.set_transform(self.data)
        artist.set_clip_box(self.area)
        return self.canvas.figure.add_artist(artist)

    def line(self, x: Any = (), y: Any = (), **style: Any) -> Line2D:
        """Draw a line, or only markers, through points [n]."""
        drawn: Line2D = self.add(Line2D(x, y, **style))
        return drawn

    def points(self, marker: str, **style: Any) -> PathCollection:
        """Return markers, none as yet, of which each may have its own place, size and colours."""
        form = MarkerStyle(marker)
        path = form.get_path().transformed(form.get_transform())
        collection = PathCollection((path,), (), offsets=np.empty((0, 2)), offset_transform=self.data, **style)
        collection.set_transform(IdentityTransform())
        drawn: PathCollection = self.add(collection)
        return drawn

    def level(self, y: float, **style: Any) -> Line2D:
        """Draw a level line from edge to edge."""
        return self.line([0, 1], [y, y], transform=self.along_y, **style)

    def text(self, x: float, y: float, text: str, **style: Any) -> Words:
        """Write at a place in fractions of the panel, if no transform is given."""
        return self.canvas.text(x, y, text, **{"transform": self.unit, **style})

    def rule(self, x: Ticks, y: Ticks, name: str = "", offset_at: float = -0.065) -> None:
        """Draw the ticks of the lower and the left edge, anew if there are any, with their numbers.

        Args:
            x: ticks of the lower edge.
            y: ticks of the left edge.
            name: what is written below the numbers of x.
            offset_at: where the offset of y stands above the panel, as a fraction of its width.
        """
        for artist in self._rules:
            artist.remove()
        style: dict[str, Any] = {"color": SOFT, "linestyle": "", "markersize": TICK, "markeredgewidth": 0.8}
        ticks = (
            self.line(x.at, np.zeros(len(x.at)), marker=TICKDOWN, transform=self.along_x, **style),
            self.line(np.zeros(len(y.at)), y.at, marker=TICKLEFT, transform=self.along_y, **style),
        )
        for each in ticks:
            each.set_clip_box(None)
        below = [self.beside((at, 0), BELOW, label, self.along_x) for at, label in zip(x.at, x.labels, strict=False)]
        left = {"ha": "right", "va": "center_baseline"}
        self._rules = [
            *ticks,
            *below,
            *(
                self.beside((0, at), LEFT, label, self.along_y, **left)
                for at, label in zip(y.at, y.labels, strict=False)
            ),
            self.beside((0.5, 0), LOWEST, name, size=SMALL + 1),
            self.beside((1, 0), (0, LOWEST[1] - 2), x.offset, ha="right"),
            self.beside((offset_at, 1), (0, 3), y.offset, ha="right" if offset_at > 0 else "left", va="baseline"),
        ]

    def grid(self, x: Ticks, y: Ticks) -> None:
        """Draw the lower and the left edge, and a light line at every tick."""
        light: dict[str, Any] = {"color": GRID, "linewidth": 0.7, "zorder": 0.5}
        edge: dict[str, Any] = {"color": SOFT, "linewidth": 0.8, "solid_capstyle": "projecting", "zorder": 2.5}
        edges = self.line([0, 0, np.nan, 0, 1], [0, 1, np.nan, 0, 0], transform=self.unit, **edge)
        edges.set_clip_box(None)
        self._rules += [
            edges,
            self.line(*across(x.at), transform=self.along_x, **light),
            self.line(*across(y.at)[::-1], transform=self.along_y, **light),
        ]

    def beside(
        self,
        at: tuple[float, float],
        shift: tuple[float, float],
        text: str,
        place: Transform | None = None,
        **style: Any,
    ) -> Artist:
        """Write in small letters `shift` points to the right of a place and above it."""
        away = ScaledTranslation(shift[0] / 72, shift[1] / 72, self.canvas.figure.dpi_scale_trans)
        small = {"ha": "center", "va": "top", "size": SMALL, "color": SOFT, **style}
        return self.canvas.text(*at, text, transform=(place or self.unit) + away, **small)


def across(at: Any) -> tuple[Array, Array]:
    """Return lines from (x, 0) to (x, 1) for each x [n], as one line that NaN breaks."""
    x = np.asarray(at, dtype=np.float64)
    return stems(x, 0 * x, 0 * x + 1)
