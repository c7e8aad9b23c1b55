"""The lower axes of a network's picture: the slope jump at each kink of the learned function."""

import numpy as np

from reluviz.data.dataset import Array
from reluviz.plots.axes import Axes, Ticks
from reluviz.plots.canvas import Canvas
from reluviz.plots.data_background import DataBackground
from reluviz.plots.style import GREY, format_number

LINEAR_JUMP, MAX_JUMP = 0.3, 50.0
"""The scale of slope jumps is linear up to about the first value and ends at the second, in units of `unit_slope`."""


class SlopeJumpAxes:
    """Axes below those of the function, with the same x. The vertical scale is asinh: logarithmic far from 0.

    Args:
        canvas: the canvas.
        background: gives the limits.
        x: the ticks of x.

    Attributes:
        axes: the axes.
        unit_slope: the unit of the scale, the power of ten nearest to (range of y) / (range of x).
    """

    def __init__(self, canvas: Canvas, background: DataBackground, x: Ticks) -> None:
        data_slope = (background.ylim[1] - background.ylim[0]) / (background.xlim[1] - background.xlim[0])
        self.unit_slope = float(10.0 ** np.round(np.log10(data_slope)))
        self.axes = Axes(canvas, (0.065, 0.09, 0.92, 0.185), background.xlim, (-1.12, 1.12))
        jumps = np.array([-10.0, -1.0, 0.0, 1.0, 10.0]) * self.unit_slope
        heights = Ticks(self.height(jumps).tolist(), [format_number(jump) for jump in jumps])
        self.axes.draw_ticks(x, heights, "x")
        self.axes.draw_grid(x, heights)
        self.axes.add_horizontal_line(0, color=GREY, linewidth=0.8, zorder=1)

    def height(self, jump: Array) -> Array:
        """Return the vertical position of a slope jump, between -1 and 1."""
        with np.errstate(over="ignore"):
            scaled = np.arcsinh(jump / (LINEAR_JUMP * self.unit_slope)) / np.arcsinh(MAX_JUMP / LINEAR_JUMP)
        limited: Array = np.clip(scaled, -1.0, 1.0)
        return limited
