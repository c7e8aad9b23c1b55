"""The still part that the pictures of one data set share: limits, training points, the true function, the legend."""

from collections.abc import Sequence

import numpy as np
from matplotlib.lines import Line2D

from reluviz.data.dataset import Array, Dataset, span
from reluviz.plots.axes import Axes
from reluviz.plots.canvas import Canvas
from reluviz.plots.style import DPI, INK, NORMAL, POINT, SIZE, SOFT, TRUTH, spread

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
        self.low, self.high = dataset.interval
        kept = spread(len(dataset.x), MOST_POINTS)
        self.x, self.y = dataset.x[kept], dataset.y[kept]
        self.truth = dataset.truth()
        heights = [dataset.y.min(), dataset.y.max()]
        if self.truth is not None:
            seen = self.truth[1][np.isfinite(self.truth[1])]
            heights += [seen.min(), seen.max()] if len(seen) else []
        bottom, top = float(min(heights)), float(max(heights))
        near = 0.5 * (top - bottom)
        if bottom - near < 0 < top + near:
            # the hidden ReLUs stand on 0: show it, unless the data lie far away from it
            bottom, top = min(bottom, 0.0), max(top, 0.0)
        self.xlim, self.ylim = span(self.low, self.high, 0.02), span(bottom, top, 0.08)

    def panel(self, canvas: Canvas, box: tuple[float, float, float, float]) -> Axes:
        """Add a panel at `box` (left, bottom, width, height) with the limits of this data set."""
        return Axes(canvas, box, self.xlim, self.ylim)

    def draw(self, panel: Axes, points: bool = True) -> list[Line2D]:
        """Draw the training points and the true function, and return them for a legend."""
        drawn = []
        if points:
            dots = {"marker": "o", "markersize": 4.5 if len(self.x) <= 400 else 2.5, "markeredgewidth": 0}
            style = {"color": POINT, "alpha": 0.6, "linestyle": "", "zorder": 2, "label": "training points"}
            drawn.append(panel.line(self.x, self.y, **dots, **style))
        if self.truth is not None:
            style = {"color": TRUTH, "linewidth": 1.5, "linestyle": (0, (7, 2)), "zorder": 2.5}
            drawn.append(panel.line(*self.truth, label="true function", **style))
        return drawn


class Learned:
    """The thick line of the learned function, and a word where it runs outside the picture.

    Attributes:
        line: the line.
        hint: says where to look for a function of which nothing can be seen.
    """

    def __init__(self, canvas: Canvas, panel: Axes, label: str = "learned f(x)") -> None:
        self.panel = panel
        self.line: Line2D = canvas.moving(
            panel.line(color=INK, linewidth=2.4, solid_joinstyle="round", zorder=5, label=label)
        )
        self.hint = canvas.moving(panel.text(0.5, 0.5, "", ha="center", size=NORMAL, color=INK, zorder=7))

    def update(self, x: Array, f: Array) -> None:
        """Draw f [V] at x [V]."""
        bottom, top = self.panel.view.intervaly
        self.line.set_data(x, f)
        above, below = f.min() > top, f.max() < bottom
        self.hint.set_text("▲ f(x) is above" if above else "▼ f(x) is below" if below else "")
        self.hint.set_y(0.94 if above else 0.03)


def legend(canvas: Canvas, handles: Sequence[Line2D], x: float = 0.065, y: float = 0.925) -> None:
    """Write the legend as one row above the panels, where it covers no data."""
    figure, em = canvas.figure, NORMAL / 72 * DPI / SIZE[0]
    for handle in handles:
        sample = Line2D([], [])
        sample.update_from(handle)
        alone = handle.get_linestyle() == "None"
        level = y + 1 / SIZE[1]  # half-way up the small letters
        sample.set_data([x + 1.1 * em] if alone else [x, x + 2.2 * em], [level] if alone else [level, level])
        sample.set(transform=figure.transSubfigure, clip_box=None)
        figure.add_artist(sample)
        label = canvas.text(x + 2.8 * em, y, str(handle.get_label()), size=NORMAL, color=SOFT, va="center")
        x += 4.6 * em + canvas.width(label) / SIZE[0]
