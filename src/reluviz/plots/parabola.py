"""The artists of a model f = theta phi(x): the data, and to their right the parabola of the loss.

    L(theta) = L* + m2 (theta - theta*)^2        theta* = sum phi y / sum phi^2,   m2 = mean phi^2

phi = 1 for the constant, phi = x for the linear model.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from reluviz.core.models import MODELS
from reluviz.data.dataset import Dataset
from reluviz.plots import curves
from reluviz.plots.axes import Axes, round_ticks
from reluviz.plots.canvas import Canvas
from reluviz.plots.data_background import DataBackground, LearnedFunction, draw_legend
from reluviz.plots.style import BLACK, GREY, NORMAL_FONT, POSITIVE, Parameters, format_number

MAX_TRAIL = 200
"""At most this many earlier values of theta stay on the parabola."""


class ParabolaArtists:
    """Draws y = theta phi(x) on a canvas, and theta on the parabola of the loss.

    Attributes:
        optimum: theta*; NaN if phi is 0 at all points, where the loss does not depend on theta.
        curvature: half the second derivative of the loss, m2.
        min_loss: L*, the smallest loss.
    """

    def __init__(self, canvas: Canvas, background: DataBackground, dataset: Dataset, model: str) -> None:
        self.canvas, self.model, self.background = canvas, model, background
        feature = MODELS[model].feature
        assert feature is not None
        phi = feature(dataset.x)
        with np.errstate(all="ignore"):
            self.curvature = float(np.mean(phi * phi))
            self.optimum = float(np.mean(phi * dataset.y)) / self.curvature if self.curvature else math.nan
            best = self.optimum if math.isfinite(self.optimum) else 0.0
            self.min_loss = float(np.mean((best * phi - dataset.y) ** 2))
        # the range includes theta = 0, the usual start, and the noise of minibatches around the optimum
        noise = math.sqrt(self.min_loss / self.curvature) if self.curvature else 0.0
        half_range = max(1.4 * abs(best), 0.3 * noise)
        self.default_half_range = half_range if 0 < half_range < math.inf else 1.0
        self.best = best

        self.axes = background.add_axes(canvas, (0.065, 0.09, 0.56, 0.805))
        x, y = round_ticks(*background.xlim), round_ticks(*background.ylim)
        self.axes.draw_ticks(x, y, "x")
        self.axes.draw_grid(x, y)
        shown = background.draw(self.axes)
        times = MODELS[model].words["f"].removeprefix("θ")
        dashed: dict[str, Any] = {"color": POSITIVE, "linewidth": 1.6, "linestyle": (0, (2.5, 2.5))}
        if math.isfinite(self.optimum):
            parameters = {"theta": np.array(self.optimum)}
            ends = curves.learned_function(model, parameters, background.low, background.high)
            # animated only because it is drawn above the learned function, which is animated
            shown.append(canvas.animate(self.axes.add_line(*ends, label=f"optimum, θ*{times}", zorder=6, **dashed)))
        self.learned_function = LearnedFunction(canvas, self.axes, f"learned, θ{times}")
        draw_legend(canvas, [*shown, self.learned_function.line])

        self.loss_axes = Axes(canvas, (0.69, 0.09, 0.295, 0.805), (0, 1), (0, 1))
        canvas.add_text(0.69, 0.925, "training loss L(θ)", size=NORMAL_FONT, color=GREY, va="center")
        self.parabola = self.loss_axes.add_line(color=GREY, linewidth=1.6, zorder=3)
        self.optimum_line = self.loss_axes.add_line(zorder=2, **dashed)
        marker_style: dict[str, Any] = {"linestyle": "", "marker": "o"}
        self.trail: Line2D = canvas.animate(
            self.loss_axes.add_line(markersize=4, color="white", markeredgecolor=GREY, zorder=4, **marker_style)
        )
        self.theta_marker: Line2D = canvas.animate(
            self.loss_axes.add_line(markersize=9, color=BLACK, zorder=5, **marker_style)
        )
        style = {
            "size": NORMAL_FONT,
            "color": BLACK,
            "va": "center",
            "zorder": 6,
            "transform": self.loss_axes.data_transform,
        }
        self.outside_text = canvas.animate(self.loss_axes.add_text(0, 0, "", **style))
        self.earlier: list[float] = []
        self._set_range(self.default_half_range)

    def reset(self) -> None:
        """Forget the values and the range of an earlier run."""
        self.show_earlier([])

    def show_earlier(self, thetas: Sequence[float]) -> None:
        """Show these values of theta, the first ones of the run, on the parabola."""
        self.earlier = list(thetas)
        self._choose_range(self.earlier[0] if self.earlier else self.best)

    def loss(self, theta: float) -> float:
        """Return L(theta)."""
        distance = theta - self.best
        return self.min_loss + self.curvature * (distance * distance)  # distance**2 would raise OverflowError

    def _choose_range(self, first: float) -> None:
        """Choose the range for a run whose first value is `first`: one that is far from theta* widens it."""
        half_range = 1.15 * abs(first - self.best)
        if not self.default_half_range < half_range < 100 * self.default_half_range:
            half_range = self.default_half_range
        if half_range != self.half_range:
            self._set_range(half_range)

    def _set_range(self, half_range: float) -> None:
        """Show theta from best - half_range to best + half_range, and draw the parabola there."""
        self.half_range = half_range
        grid = np.linspace(self.best - half_range, self.best + half_range, 201)
        height = np.array([self.loss(theta) for theta in grid])
        self.parabola.set_data(grid, height)
        top = float(height.max())
        rise = top - self.min_loss
        bottom, top = (self.min_loss - 0.12 * rise, top) if 0 < rise < math.inf else (0.0, 1.0)
        self.optimum_line.set_data([self.best, self.best], [bottom, self.min_loss])
        theta_limits = self.best - 1.05 * half_range, self.best + 1.05 * half_range
        self.loss_axes.set_limits(theta_limits, (bottom, top))
        x, y = round_ticks(*theta_limits, 8), round_ticks(bottom, top)
        self.loss_axes.draw_ticks(x, y, "θ", offset_at=1)
        self.loss_axes.draw_grid(x, y)
        self.canvas.redraw_background()

    def update(self, parameters: Parameters) -> bool:
        """Show a value of theta. Return False, and change nothing, if the function is not finite."""
        theta = float(parameters["theta"])
        x, f = curves.learned_function(self.model, parameters, self.background.low, self.background.high)
        if not np.isfinite(f).all():
            return False
        self._choose_range(self.earlier[0] if self.earlier else theta)
        self.learned_function.update(x, f)
        shown = self.earlier[-MAX_TRAIL:]
        self.trail.set_data(shown, [self.loss(each) for each in shown])
        self.earlier.append(theta)
        self._place_marker(theta)
        return True

    def _place_marker(self, theta: float) -> None:
        """Put the marker on the parabola, or an arrow at the edge if theta is outside the range."""
        outside = abs(theta - self.best) > self.half_range
        right = theta > self.best
        offset = self.half_range if right else -self.half_range
        bottom, top = self.loss_axes.limits.intervaly
        height = bottom + 0.95 * (top - bottom)
        self.theta_marker.set_data(
            [self.best + 0.88 * offset if outside else theta], [height if outside else self.loss(theta)]
        )
        self.theta_marker.set_marker((">" if right else "<") if outside else "o")
        self.outside_text.set_text(f"θ = {format_number(theta)}" if outside else "")
        self.outside_text.set_position((self.best + 0.78 * offset, height))
        self.outside_text.set_horizontalalignment("right" if right else "left")

    def theta_text(self, parameters: Parameters) -> str:
        """Return theta and theta* for the title."""
        return f"θ = {format_number(float(parameters['theta']))}   θ* = {format_number(self.optimum)}"
