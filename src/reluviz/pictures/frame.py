"""The still part that the pictures of one data set share: axes, training points, the true function."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reluviz.data.dataset import Array, Dataset
from reluviz.pictures.canvas import Canvas
from reluviz.pictures.style import INK, NORMAL, POINT, SOFT, TRUTH, clean, span, spread

MOST_POINTS = 1500
"""How many training points are drawn; more would be one grey cloud."""


class Frame:
    """What a data set fixes for every picture of a run.

    Attributes:
        low, high: the interval on which functions are drawn.
        xlim, ylim: the limits of the axes; they depend on the data alone, so that pictures can be compared.
        x, y: the training points that are drawn, [n].
        truth: the true function as x [G] and target(x) [G]; None where it is unknown.
    """

    def __init__(self, dataset: Dataset) -> None:
        ends = [*dataset.domain, dataset.x.min(), dataset.x.max()]
        self.low, self.high = float(min(ends)), float(max(ends))
        if not self.high > self.low:
            self.low, self.high = span(self.low, self.high, 0)
        kept = spread(len(dataset.x), MOST_POINTS)
        self.x, self.y = dataset.x[kept], dataset.y[kept]
        self.truth: tuple[Array, Array] | None = None
        heights = [dataset.y.min(), dataset.y.max()]
        if dataset.target is not None:
            grid = np.linspace(self.low, self.high, 1001)
            self.truth = (grid, np.asarray(dataset.target(grid), dtype=np.float64))
            seen = self.truth[1][np.isfinite(self.truth[1])]
            heights += [seen.min(), seen.max()] if len(seen) else []
        bottom, top = float(min(heights)), float(max(heights))
        near = 0.5 * (top - bottom)
        if bottom - near < 0 < top + near:
            # the hidden ReLUs stand on 0: show it, unless the data lie far away from it
            bottom, top = min(bottom, 0.0), max(top, 0.0)
        self.xlim, self.ylim = span(self.low, self.high, 0.02), span(bottom, top, 0.08)

    def axes(self, figure: Figure, box: tuple[float, float, float, float]) -> Axes:
        """Add axes at `box` (left, bottom, width, height) with the limits of this data set."""
        axes = figure.add_axes(box)
        clean(axes)
        axes.set_xlim(*self.xlim)
        axes.set_ylim(*self.ylim)
        return axes

    def draw(self, axes: Axes, points: bool = True) -> list[Line2D]:
        """Draw the training points and the true function, and return them for a legend."""
        drawn = []
        if points:
            size = 4.5 if len(self.x) <= 400 else 2.5
            drawn += axes.plot(
                self.x, self.y, "o", color=POINT, markersize=size, alpha=0.6, markeredgewidth=0, zorder=2,
                label="training points",
            )  # fmt: skip
        if self.truth is not None:
            drawn += axes.plot(
                *self.truth,
                color=TRUTH,
                linewidth=1.5,
                linestyle=(0, (7, 2)),
                zorder=2.5,
                label="true function",
            )
        return drawn


class Learned:
    """The thick line of the learned function, and a word where it runs outside the picture.

    Attributes:
        line: the line.
        hint: says where to look for a function of which nothing can be seen.
    """

    def __init__(self, canvas: Canvas, axes: Axes, label: str = "learned f(x)") -> None:
        self.axes = axes
        self.line: Line2D = canvas.moving(
            axes.plot([], [], color=INK, linewidth=2.4, solid_joinstyle="round", zorder=5, label=label)[0]
        )
        self.hint = canvas.moving(
            axes.text(0.5, 0.5, "", ha="center", size=NORMAL, color=INK, transform=axes.transAxes, zorder=7)
        )

    def update(self, x: Array, f: Array) -> None:
        """Draw f [V] at x [V]."""
        bottom, top = self.axes.get_ylim()
        self.line.set_data(x, f)
        above, below = f.min() > top, f.max() < bottom
        self.hint.set_text("▲ f(x) is above" if above else "▼ f(x) is below" if below else "")
        self.hint.set_y(0.94 if above else 0.03)


def legend(figure: Figure, handles: list[Line2D], y: float = 0.925, x: float = 0.065) -> None:
    """Write the legend as one row above the axes, where it covers no data."""
    figure.legend(
        handles=handles, loc="center left", bbox_to_anchor=(x, y), ncols=len(handles), frameon=False,
        fontsize=NORMAL, labelcolor=SOFT, handlelength=2.2, handletextpad=0.6, columnspacing=1.8, borderpad=0,
        borderaxespad=0,
    )  # fmt: skip
