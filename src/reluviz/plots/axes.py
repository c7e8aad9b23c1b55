"""Axes with ticks, grid, lines, points and text that are created and drawn faster than matplotlib's.

In matplotlib each tick is five artists, and creating and drawing the axes of one picture takes as long as ten pictures.
Here all grid lines are one artist, and only the tick labels are separate artists. Tick positions and labels are still
matplotlib's.
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
from reluviz.plots.curves import vertical_lines
from reluviz.plots.style import GREY, LIGHT_GREY, SMALL_FONT
from reluviz.plots.text_cache import PlainText

TICK_LENGTH = 3.0
"""In points."""
Y_LABEL_OFFSET, X_LABEL_OFFSET, X_NAME_OFFSET = (-6.5, 0.7), (0.0, -5.8), (0.0, -15.1)
"""Offsets of the tick labels and of the name of x from the edges: to the right and upwards, in points."""


class Ticks(NamedTuple):
    """The ticks of one edge.

    Attributes:
        at: their positions.
        labels: their labels; empty for ticks without labels.
        offset: a number that is added to all labels, or multiplies them, as in "+1e3" or "1e6"; empty if there is none.
    """

    at: list[float]
    labels: list[str]
    offset: str = ""


def round_ticks(low: float, high: float, max_intervals: int = 9) -> Ticks:
    """Return ticks at round numbers between two limits, with at most `max_intervals` intervals."""
    places = MaxNLocator(max_intervals, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    slack = 1e-9 * (high - low)
    kept = [float(place) for place in places if low - slack <= place <= high + slack]
    formatter = ScalarFormatter()
    formatter.create_dummy_axis()
    formatter.axis.set_view_interval(low, high)  # type: ignore[union-attr]
    return Ticks(kept, formatter.format_ticks(kept), formatter.get_offset())


class Axes:
    """A rectangle of a figure with its own coordinates.

    Args:
        canvas: the canvas to draw on.
        box: left, bottom, width and height in fractions of the figure.
        xlim: coordinates of the left and the right edge.
        ylim: coordinates of the lower and the upper edge.

    Attributes:
        limits: the limits of x and y, as a Bbox.
        data_transform: from data coordinates to pixels.
        axes_transform: from fractions of the axes to pixels.
        x_transform: from a data coordinate x and a fraction of the height to pixels.
        y_transform: from a fraction of the width and a data coordinate y to pixels.
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
        self.limits = Bbox.unit()
        self.set_limits(xlim, ylim)
        self.data_transform: Transform = BboxTransform(self.limits, self.area)
        self.axes_transform: Transform = BboxTransformTo(self.area)
        self.x_transform: Transform = blended_transform_factory(self.data_transform, self.axes_transform)
        self.y_transform: Transform = blended_transform_factory(self.axes_transform, self.data_transform)
        self._tick_artists: list[Artist] = []

    def set_limits(self, xlim: tuple[float, float], ylim: tuple[float, float]) -> None:
        """Set the limits. Everything drawn moves with them, except the ticks."""
        self.limits.set_points(np.array([[xlim[0], ylim[0]], [xlim[1], ylim[1]]]))

    def add(self, artist: Any) -> Any:
        """Add an artist, clipped at the edges, and return it. Without its own transform it uses data coordinates."""
        if not artist.is_transform_set():
            artist.set_transform(self.data_transform)
        artist.set_clip_box(self.area)
        return self.canvas.figure.add_artist(artist)

    def add_line(self, x: Any = (), y: Any = (), **style: Any) -> Line2D:
        """Add a line through points [n], or markers at them."""
        drawn: Line2D = self.add(Line2D(x, y, **style))
        return drawn

    def add_points(self, marker: str, **style: Any) -> PathCollection:
        """Add an empty collection of markers; each marker may have its own position, size and colours."""
        marker_style = MarkerStyle(marker)
        path = marker_style.get_path().transformed(marker_style.get_transform())
        collection = PathCollection(
            (path,), (), offsets=np.empty((0, 2)), offset_transform=self.data_transform, **style
        )
        collection.set_transform(IdentityTransform())
        drawn: PathCollection = self.add(collection)
        return drawn

    def add_horizontal_line(self, y: float, **style: Any) -> Line2D:
        """Add a horizontal line from edge to edge."""
        return self.add_line([0, 1], [y, y], transform=self.y_transform, **style)

    def add_text(self, x: float, y: float, text: str, **style: Any) -> PlainText:
        """Add a text; its position is in fractions of the axes, unless a transform is given."""
        return self.canvas.add_text(x, y, text, **{"transform": self.axes_transform, **style})

    def draw_ticks(self, x: Ticks, y: Ticks, name: str = "", offset_at: float = -0.065) -> None:
        """Draw the ticks of the lower and the left edge with their labels, in place of earlier ticks and grid.

        Args:
            x: ticks of the lower edge.
            y: ticks of the left edge.
            name: the name of x, written below its labels.
            offset_at: position of the offset of y above the axes, as a fraction of their width.
        """
        for artist in self._tick_artists:
            artist.remove()
        style: dict[str, Any] = {"color": GREY, "linestyle": "", "markersize": TICK_LENGTH, "markeredgewidth": 0.8}
        ticks = (
            self.add_line(x.at, np.zeros(len(x.at)), marker=TICKDOWN, transform=self.x_transform, **style),
            self.add_line(np.zeros(len(y.at)), y.at, marker=TICKLEFT, transform=self.y_transform, **style),
        )
        for each in ticks:
            each.set_clip_box(None)
        x_labels = [
            self.add_offset_text((at, 0), X_LABEL_OFFSET, label, self.x_transform)
            for at, label in zip(x.at, x.labels, strict=False)
        ]
        alignment = {"ha": "right", "va": "center_baseline"}
        self._tick_artists = [
            *ticks,
            *x_labels,
            *(
                self.add_offset_text((0, at), Y_LABEL_OFFSET, label, self.y_transform, **alignment)
                for at, label in zip(y.at, y.labels, strict=False)
            ),
            self.add_offset_text((0.5, 0), X_NAME_OFFSET, name, size=SMALL_FONT + 1),
            self.add_offset_text((1, 0), (0, X_NAME_OFFSET[1] - 2), x.offset, ha="right"),
            self.add_offset_text(
                (offset_at, 1), (0, 3), y.offset, ha="right" if offset_at > 0 else "left", va="baseline"
            ),
        ]

    def draw_grid(self, x: Ticks, y: Ticks) -> None:
        """Draw the lower and the left edge, and a light grid line at every tick."""
        light: dict[str, Any] = {"color": LIGHT_GREY, "linewidth": 0.7, "zorder": 0.5}
        edge: dict[str, Any] = {"color": GREY, "linewidth": 0.8, "solid_capstyle": "projecting", "zorder": 2.5}
        edges = self.add_line([0, 0, np.nan, 0, 1], [0, 1, np.nan, 0, 0], transform=self.axes_transform, **edge)
        edges.set_clip_box(None)
        self._tick_artists += [
            edges,
            self.add_line(*grid_lines(x.at), transform=self.x_transform, **light),
            self.add_line(*grid_lines(y.at)[::-1], transform=self.y_transform, **light),
        ]

    def add_offset_text(
        self,
        at: tuple[float, float],
        offset: tuple[float, float],
        text: str,
        transform: Transform | None = None,
        **style: Any,
    ) -> Artist:
        """Add a small text, `offset` points to the right of a position and above it."""
        translation = ScaledTranslation(offset[0] / 72, offset[1] / 72, self.canvas.figure.dpi_scale_trans)
        small = {"ha": "center", "va": "top", "size": SMALL_FONT, "color": GREY, **style}
        return self.canvas.add_text(*at, text, transform=(transform or self.axes_transform) + translation, **small)


def grid_lines(at: Any) -> tuple[Array, Array]:
    """Return lines from (x, 0) to (x, 1) for each x [n], as one line with gaps at NaN."""
    x = np.asarray(at, dtype=np.float64)
    return vertical_lines(x, 0 * x, 0 * x + 1)
