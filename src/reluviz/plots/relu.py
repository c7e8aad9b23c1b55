"""The artists of a ReLU network: data and learned function above, the elbows and their slope jumps below."""

from typing import Any

import numpy as np
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D

from reluviz.data.dataset import Array, Dataset
from reluviz.data.scaling import Scaling
from reluviz.plots import curves
from reluviz.plots.axes import Ticks, round_ticks
from reluviz.plots.canvas import Canvas
from reluviz.plots.data_background import DataBackground, LearnedFunction, draw_legend
from reluviz.plots.slope_jumps import SlopeJumpAxes
from reluviz.plots.style import BLACK, DIVERGING, DPI, GREY, NEUTRAL, Parameters
from reluviz.plots.unit_counts import UnitCounts

DEAD, LINEAR, BENT = range(3)
MANY_UNITS = 100
"""With more units, lines are thin and solid, and markers small."""


class ReLUArtists:
    """Draws a ReLU network on a canvas.

    The lower axes show the slope jump v_k |w_k| of each unit at its elbow, as a triangle that points to the side on
    which the unit is active. It is filled with a stem if the unit is bent, hollow with a stem if it is linear, and
    hollow, grey and without a stem if it is dead. The vertical scale is asinh: linear near 0, logarithmic far from it.
    """

    def __init__(
        self, canvas: Canvas, background: DataBackground, dataset: Dataset, model: str, precision: str
    ) -> None:
        self.background, self.model, self.precision = background, model, precision
        points, self.scaling = dataset.as_trained, dataset.scaling
        self.domain: Array = np.array([points.x.min(), points.x.max()])
        self.axes = background.add_axes(canvas, (0.065, 0.365, 0.92, 0.53))
        x, y = round_ticks(*background.xlim), round_ticks(*background.ylim)
        self.axes.draw_ticks(Ticks(x.at, []), y)
        self.axes.draw_grid(x, y)
        shown = background.draw(self.axes)
        self.learned_function = LearnedFunction(canvas, self.axes)
        units = Line2D([], [], color=GREY, linestyle=":", linewidth=1.3, label=_hidden_label(self.scaling))
        draw_legend(canvas, [*shown, self.learned_function.line, units])
        # the height 0 of the hidden ReLUs
        self.axes.add_horizontal_line(self.scaling.user_y(0.0), color=NEUTRAL, linewidth=0.8, zorder=1)
        self.hidden_lines: LineCollection = canvas.animate(self.axes.add(LineCollection([], zorder=3)))
        marker_style: dict[str, Any] = {"marker": "o", "markersize": 4, "markeredgecolor": BLACK, "markeredgewidth": 1}
        self.vertices: Line2D = canvas.animate(
            self.axes.add_line(color="white", linestyle="", zorder=6, **marker_style)
        )

        self.jumps = SlopeJumpAxes(canvas, background, x)
        self.jump_axes = self.jumps.axes
        self.stems: LineCollection = canvas.animate(self.jump_axes.add(LineCollection([], zorder=2)))
        self.triangles: dict[int, PathCollection] = {
            orientation: canvas.animate(self.jump_axes.add_points(marker, zorder=4, linewidths=1.1))
            for orientation, marker in ((1, ">"), (-1, "<"))
        }
        self.unit_counts = UnitCounts(canvas)
        self._set_style(False)

    def reset(self) -> None:
        """Do nothing: no state of an earlier run is kept."""

    def update(self, parameters: Parameters) -> bool:
        """Show a network. Return False, and change nothing, if its function is not finite."""
        background = self.background
        x, f = curves.learned_function(self.model, parameters, background.low, background.high, self.scaling)
        if not np.isfinite(f).all():
            return False
        self.learned_function.update(x, f)
        elbows = curves.compute_elbows(parameters, self.domain, self.precision, self.scaling)
        height = self.jumps.height(elbows.jump)
        colour: Any = DIVERGING(0.5 + 0.5 * height)
        many = len(height) > MANY_UNITS
        if many != self.many:
            self._set_style(many)
        lines = curves.hidden_unit_lines(parameters, background.low, background.high, self.scaling)
        self.hidden_lines.set_segments(list(lines))
        self.hidden_lines.set_color(colour)
        shown = slice(0, 0) if many else slice(1, -1)
        self.vertices.set_data(x[shown], f[shown])
        self._update_jumps(elbows, height, colour)
        return True

    def _set_style(self, many: bool) -> None:
        """Set line widths and marker sizes for many units or for few."""
        self.many = many
        self.hidden_lines.set(
            linewidth=0.6 if many else 1.3, linestyle="-" if many else ":", alpha=0.25 if many else 0.9
        )
        self.stems.set_linewidth(0.5 if many else 1.4)
        for triangles in self.triangles.values():
            triangles.set_sizes([14 if many else 50], DPI)

    def _update_jumps(self, elbows: curves.Elbows, height: Array, colour: Any) -> None:
        # a dead unit has no stem: it does not change the learned function at the training points
        inside = (elbows.x >= self.background.low) & (elbows.x <= self.background.high)
        stems = np.stack([np.stack([elbows.x, 0 * height], -1), np.stack([elbows.x, height], -1)], axis=1)
        with_stem = inside & (elbows.status != DEAD)
        self.stems.set_segments(list(stems[with_stem]))
        self.stems.set_color(colour[with_stem])
        edge = np.where((elbows.status == DEAD)[:, None], to_rgba(GREY), colour)
        face = np.where((elbows.status == BENT)[:, None], colour, 1.0)
        for orientation, triangles in self.triangles.items():
            some = inside & (elbows.orientation == orientation)
            triangles.set_offsets(np.stack([elbows.x[some], height[some]], axis=-1))
            triangles.set_facecolor(face[some])
            triangles.set_edgecolor(edge[some])
        self.unit_counts.update(elbows, self.background.low, self.background.high)


def _hidden_label(scaling: Scaling) -> str:
    """Return the label of the hidden ReLUs, whose heights have the scale of y that the run trained with."""
    return "hidden relu(wₖ x + bₖ)" if scaling.identity else "hidden ReLUs, scaled to y"
