"""What pictures of one data set share: limits, training points, true function, line of the learned function, legend."""

from collections.abc import Sequence

import numpy as np
from matplotlib.lines import Line2D

from reluviz.data.dataset import Array, Dataset, span
from reluviz.plots.axes import Axes
from reluviz.plots.canvas import Canvas
from reluviz.plots.style import BLACK, DPI, GREY, NORMAL_FONT, POINT_COLOUR, SIZE, TRUE_FUNCTION_COLOUR, evenly_spaced

MAX_POINTS = 1500
"""At most this many training points are drawn; more would be one grey cloud."""


class DataBackground:
    """The parts of every picture of a run that depend on the data set only.

    Attributes:
        low, high: the interval on which functions are drawn.
        xlim, ylim: the limits of the axes; they depend on the data only, so that pictures can be compared.
        x, y: the training points that are drawn, [n].
        truth: the true function as x [G] and target(x) [G]; None if it is unknown.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.low, self.high = dataset.interval
        kept = evenly_spaced(len(dataset.x), MAX_POINTS)
        self.x, self.y = dataset.x[kept], dataset.y[kept]
        self.truth = dataset.truth()
        heights = [dataset.y.min(), dataset.y.max()]
        if self.truth is not None:
            finite = self.truth[1][np.isfinite(self.truth[1])]
            heights += [finite.min(), finite.max()] if len(finite) else []
        bottom, top = float(min(heights)), float(max(heights))
        margin = 0.5 * (top - bottom)
        if bottom - margin < 0 < top + margin:
            # show 0, where the hidden ReLUs are inactive, unless the data are far from it
            bottom, top = min(bottom, 0.0), max(top, 0.0)
        self.xlim, self.ylim = span(self.low, self.high, 0.02), span(bottom, top, 0.08)

    def add_axes(self, canvas: Canvas, box: tuple[float, float, float, float]) -> Axes:
        """Return axes at `box` (left, bottom, width, height in fractions of the figure) with the limits of the data."""
        return Axes(canvas, box, self.xlim, self.ylim)

    def draw(self, axes: Axes, points: bool = True) -> list[Line2D]:
        """Draw the training points (if `points`) and the true function, and return the artists for a legend."""
        drawn = []
        if points:
            dots = {"marker": "o", "markersize": 4.5 if len(self.x) <= 400 else 2.5, "markeredgewidth": 0}
            style = {"color": POINT_COLOUR, "alpha": 0.6, "linestyle": "", "zorder": 2, "label": "training points"}
            drawn.append(axes.add_line(self.x, self.y, **dots, **style))
        if self.truth is not None:
            style = {"color": TRUE_FUNCTION_COLOUR, "linewidth": 1.5, "linestyle": (0, (7, 2)), "zorder": 2.5}
            drawn.append(axes.add_line(*self.truth, label="true function", **style))
        return drawn


class LearnedFunction:
    """The thick line of the learned function, and a hint if it is outside the axes.

    Attributes:
        line: the line.
        hint: a text that says where the function is, if it is entirely above or below the axes.
    """

    def __init__(self, canvas: Canvas, axes: Axes, label: str = "learned f(x)") -> None:
        self.axes = axes
        self.line: Line2D = canvas.animate(
            axes.add_line(color=BLACK, linewidth=2.4, solid_joinstyle="round", zorder=5, label=label)
        )
        self.hint = canvas.animate(axes.add_text(0.5, 0.5, "", ha="center", size=NORMAL_FONT, color=BLACK, zorder=7))

    def update(self, x: Array, f: Array) -> None:
        """Draw f [V] at x [V]."""
        bottom, top = self.axes.limits.intervaly
        self.line.set_data(x, f)
        above, below = f.min() > top, f.max() < bottom
        self.hint.set_text("▲ f(x) is above" if above else "▼ f(x) is below" if below else "")
        self.hint.set_y(0.94 if above else 0.03)


def draw_legend(canvas: Canvas, handles: Sequence[Line2D], x: float = 0.065, y: float = 0.925) -> None:
    """Draw the legend as one row above the axes, where it covers no data."""
    figure, em = canvas.figure, NORMAL_FONT / 72 * DPI / SIZE[0]
    for handle in handles:
        sample = Line2D([], [])
        sample.update_from(handle)
        only_marker = handle.get_linestyle() == "None"
        height = y + 1 / SIZE[1]  # at half the height of lower-case letters
        sample.set_data(
            [x + 1.1 * em] if only_marker else [x, x + 2.2 * em], [height] if only_marker else [height, height]
        )
        sample.set(transform=figure.transSubfigure, clip_box=None)
        figure.add_artist(sample)
        label = canvas.add_text(x + 2.8 * em, y, str(handle.get_label()), size=NORMAL_FONT, color=GREY, va="center")
        x += 4.6 * em + canvas.text_width(label) / SIZE[0]
