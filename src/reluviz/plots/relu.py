"""The scene of a ReLU network: data and learned function above, the elbows and their slope jumps below."""

from typing import Any

import numpy as np
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D

from reluviz.data.dataset import Array, Dataset
from reluviz.plots import curves
from reluviz.plots.axes import Axes, Ticks, numbered
from reluviz.plots.canvas import Canvas
from reluviz.plots.frame import Frame, Learned, legend
from reluviz.plots.style import DIVERGING, DPI, INK, NEUTRAL, SOFT, Parameters, number
from reluviz.plots.unit_counts import UnitCounts

DEAD, LINEAR, BENT = range(3)
LEVEL, STEEPEST = 0.3, 50.0
"""Up to about the first the strip is linear, and it ends at the second; in units of the data's own slope."""
CROWD = 100
"""From this many units on, lines are thin and solid, and markers small."""


class ReLUScene:
    """Draws a ReLU network on a canvas.

    The strip below shows for each unit its slope jump v_k |w_k| at its elbow: a triangle that points to the
    side on which the unit is active, filled where the unit is bent, hollow with a stem where it is linear,
    hollow, grey and without a stem where it is dead.
    The vertical scale is asinh: linear near 0, logarithmic far from it.
    """

    def __init__(self, canvas: Canvas, frame: Frame, dataset: Dataset) -> None:
        self.frame = frame
        self.ends: Array = np.array([dataset.x.min(), dataset.x.max()])
        self.panel = frame.panel(canvas, (0.065, 0.365, 0.92, 0.53))
        x, y = numbered(*frame.xlim), numbered(*frame.ylim)
        self.panel.rule(Ticks(x.at, []), y)
        self.panel.grid(x, y)
        shown = frame.draw(self.panel)
        self.learned = Learned(canvas, self.panel)
        units = Line2D([], [], color=SOFT, linestyle=":", linewidth=1.3, label="hidden relu(wₖ x + bₖ)")
        legend(canvas, [*shown, self.learned.line, units])
        self.panel.level(0, color=NEUTRAL, linewidth=0.8, zorder=1)
        self.units: LineCollection = canvas.moving(self.panel.add(LineCollection([], zorder=3)))
        dot: dict[str, Any] = {"marker": "o", "markersize": 4, "markeredgecolor": INK, "markeredgewidth": 1}
        self.dots: Line2D = canvas.moving(self.panel.line(color="white", linestyle="", zorder=6, **dot))

        # slopes are measured in the data's own: the power of ten nearest to (range of y) / (range of x)
        steepness = (frame.ylim[1] - frame.ylim[0]) / (frame.xlim[1] - frame.xlim[0])
        self.unit_slope = float(10.0 ** np.round(np.log10(steepness)))
        self.strip = Axes(canvas, (0.065, 0.09, 0.92, 0.185), frame.xlim, (-1.12, 1.12))
        jumps = np.array([-10.0, -1.0, 0.0, 1.0, 10.0]) * self.unit_slope
        heights = Ticks(self.height(jumps).tolist(), [number(jump) for jump in jumps])
        self.strip.rule(x, heights, "x")
        self.strip.grid(x, heights)
        self.strip.level(0, color=SOFT, linewidth=0.8, zorder=1)
        self.stems: LineCollection = canvas.moving(self.strip.add(LineCollection([], zorder=2)))
        self.triangles: dict[int, PathCollection] = {
            side: canvas.moving(self.strip.points(marker, zorder=4, linewidths=1.1))
            for side, marker in ((1, ">"), (-1, "<"))
        }
        self.tally = UnitCounts(canvas)
        self._thin(False)

    def restart(self) -> None:
        """Forget the run that was drawn before: there is nothing to forget."""

    def height(self, jump: Array) -> Array:
        """Return where in the strip a slope jump is drawn, between -1 and 1."""
        with np.errstate(over="ignore"):
            scaled = np.arcsinh(jump / (LEVEL * self.unit_slope)) / np.arcsinh(STEEPEST / LEVEL)
        limited: Array = np.clip(scaled, -1.0, 1.0)
        return limited

    def update(self, parameters: Parameters) -> bool:
        """Move the artists to a network; False where its function is not finite."""
        frame = self.frame
        x, f = curves.learned("relu", parameters, frame.low, frame.high)
        if not np.isfinite(f).all():
            return False
        self.learned.update(x, f)
        bends = curves.elbows(parameters, self.ends)
        height = self.height(bends.jump)
        colour: Any = DIVERGING(0.5 + 0.5 * height)
        crowd = len(height) > CROWD
        if crowd != self.crowd:
            self._thin(crowd)
        self.units.set_segments(list(curves.hidden(parameters, frame.low, frame.high)))
        self.units.set_color(colour)
        shown = slice(0, 0) if crowd else slice(1, -1)
        self.dots.set_data(x[shown], f[shown])
        self._strip(bends, height, colour)
        return True

    def _thin(self, crowd: bool) -> None:
        """Choose lines and markers for many units, or for few."""
        self.crowd = crowd
        self.units.set(linewidth=0.6 if crowd else 1.3, linestyle="-" if crowd else ":", alpha=0.25 if crowd else 0.9)
        self.stems.set_linewidth(0.5 if crowd else 1.4)
        for triangles in self.triangles.values():
            triangles.set_sizes([14 if crowd else 50], DPI)

    def _strip(self, bends: curves.Elbows, height: Array, colour: Any) -> None:
        # a dead unit has no stem: nobody hears its bend
        inside = (bends.x >= self.frame.low) & (bends.x <= self.frame.high)
        stems = np.stack([np.stack([bends.x, 0 * height], -1), np.stack([bends.x, height], -1)], axis=1)
        heard = inside & (bends.status != DEAD)
        self.stems.set_segments(list(stems[heard]))
        self.stems.set_color(colour[heard])
        edge = np.where((bends.status == DEAD)[:, None], to_rgba(SOFT), colour)
        face = np.where((bends.status == BENT)[:, None], colour, 1.0)
        for side, triangles in self.triangles.items():
            some = inside & (bends.side == side)
            triangles.set_offsets(np.stack([bends.x[some], height[some]], axis=-1))
            triangles.set_facecolor(face[some])
            triangles.set_edgecolor(edge[some])
        self.tally.update(bends, self.frame.low, self.frame.high)
