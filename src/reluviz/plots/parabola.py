"""The scene of the constant and the linear model: the data, and beside them the parabola of the loss.

constant  L(theta) = L* + (theta - theta*)^2           theta* = mean y
linear    L(theta) = L* + m2 (theta - theta*)^2        theta* = sum xy / sum x^2,   m2 = mean x^2
"""

import math
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from reluviz.data.dataset import Dataset
from reluviz.plots import curves
from reluviz.plots.axes import Axes, numbered
from reluviz.plots.canvas import Canvas
from reluviz.plots.frame import Frame, Learned, legend
from reluviz.plots.style import INK, NORMAL, PLUS, SOFT, Parameters, number

TRAIL = 200
"""How many earlier values of theta stay on the parabola."""


class ParabolaScene:
    """Draws y = theta or y = theta x on a canvas, and theta on its loss.

    Attributes:
        optimum: theta*, NaN where every theta is as good (all x are 0).
        curvature: half the second derivative of the loss: 1 or m2.
        floor: L*, the smallest loss.
    """

    def __init__(self, canvas: Canvas, frame: Frame, dataset: Dataset, model: str) -> None:
        self.canvas, self.model, self.frame = canvas, model, frame
        tangent = dataset.x if model == "linear" else np.ones_like(dataset.x)
        with np.errstate(all="ignore"):
            self.curvature = float(np.mean(tangent * tangent))
            self.optimum = float(np.mean(tangent * dataset.y)) / self.curvature if self.curvature else math.nan
            best = self.optimum if math.isfinite(self.optimum) else 0.0
            self.floor = float(np.mean((best * tangent - dataset.y) ** 2))
        # theta = 0, the usual start, is in the picture, and so is what a noisy run does around the optimum
        noise = math.sqrt(self.floor / self.curvature) if self.curvature else 0.0
        reach = max(1.4 * abs(best), 0.3 * noise)
        self.usual_reach = reach if 0 < reach < math.inf else 1.0
        self.best = best

        self.panel = frame.panel(canvas, (0.065, 0.09, 0.56, 0.805))
        x, y = numbered(*frame.xlim), numbered(*frame.ylim)
        self.panel.rule(x, y, "x")
        self.panel.grid(x, y)
        shown = frame.draw(self.panel)
        times = " x" if model == "linear" else ""
        dashed: dict[str, Any] = {"color": PLUS, "linewidth": 1.6, "linestyle": (0, (2.5, 2.5))}
        if math.isfinite(self.optimum):
            parameters = {"theta": np.array(self.optimum)}
            ends = curves.learned(model, parameters, frame.low, frame.high)
            # it moves only in the sense that it is drawn over the learned function, which does
            shown.append(canvas.moving(self.panel.line(*ends, label=f"optimum, θ*{times}", zorder=6, **dashed)))
        self.learned = Learned(canvas, self.panel, f"learned, θ{times}")
        legend(canvas, [*shown, self.learned.line])

        self.bowl = Axes(canvas, (0.69, 0.09, 0.295, 0.805), (0, 1), (0, 1))
        canvas.text(0.69, 0.925, "training loss L(θ)", size=NORMAL, color=SOFT, va="center")
        self.parabola = self.bowl.line(color=SOFT, linewidth=1.6, zorder=3)
        self.foot = self.bowl.line(zorder=2, **dashed)
        dots: dict[str, Any] = {"linestyle": "", "marker": "o"}
        self.trail: Line2D = canvas.moving(
            self.bowl.line(markersize=4, color="white", markeredgecolor=SOFT, zorder=4, **dots)
        )
        self.ball: Line2D = canvas.moving(self.bowl.line(markersize=9, color=INK, zorder=5, **dots))
        style = {"size": NORMAL, "color": INK, "va": "center", "zorder": 6, "transform": self.bowl.data}
        self.away = canvas.moving(self.bowl.text(0, 0, "", **style))
        self.seen: list[float] = []
        self._range(self.usual_reach)

    def restart(self) -> None:
        """Forget the run that was drawn before."""
        self.seen = []
        if self.reach != self.usual_reach:
            self._range(self.usual_reach)

    def loss(self, theta: float) -> float:
        """Return L(theta)."""
        away = theta - self.best
        return self.floor + self.curvature * (away * away)  # a power would raise OverflowError

    def _range(self, reach: float) -> None:
        """Fix the range of theta, best - reach to best + reach, and draw the parabola on it."""
        self.reach = reach
        grid = np.linspace(self.best - reach, self.best + reach, 201)
        height = np.array([self.loss(theta) for theta in grid])
        self.parabola.set_data(grid, height)
        top = float(height.max())
        rise = top - self.floor
        bottom, top = (self.floor - 0.12 * rise, top) if 0 < rise < math.inf else (0.0, 1.0)
        self.foot.set_data([self.best, self.best], [bottom, self.floor])
        across = self.best - 1.05 * reach, self.best + 1.05 * reach
        self.bowl.limit(across, (bottom, top))
        x, y = numbered(*across, 8), numbered(bottom, top)
        self.bowl.rule(x, y, "θ", offset_at=1)
        self.bowl.grid(x, y)
        self.canvas.redraw()

    def update(self, parameters: Parameters) -> bool:
        """Move the artists to a value of theta; False where the line is not finite."""
        theta = float(parameters["theta"])
        x, f = curves.learned(self.model, parameters, self.frame.low, self.frame.high)
        if not np.isfinite(f).all():
            return False
        first = not self.seen
        distance = abs(theta - self.best)
        if first and self.reach < 1.15 * distance < 100 * self.reach:
            # a run may start far from theta*: then its start fixes the range for all its pictures
            self._range(1.15 * distance)
        self.learned.update(x, f)
        self.trail.set_data(self.seen, [self.loss(each) for each in self.seen])
        self.seen = [*self.seen, theta][-TRAIL:]
        self._mark(theta)
        return True

    def _mark(self, theta: float) -> None:
        """Put the ball on the parabola, or an arrow at the edge where theta has left the picture."""
        gone = abs(theta - self.best) > self.reach
        right = theta > self.best
        way = self.reach if right else -self.reach
        bottom, top = self.bowl.view.intervaly
        height = bottom + 0.95 * (top - bottom)
        self.ball.set_data([self.best + 0.88 * way if gone else theta], [height if gone else self.loss(theta)])
        self.ball.set_marker((">" if right else "<") if gone else "o")
        self.away.set_text(f"θ = {number(theta)}" if gone else "")
        self.away.set_position((self.best + 0.78 * way, height))
        self.away.set_horizontalalignment("right" if right else "left")

    def words(self, parameters: Parameters) -> str:
        """Return theta and theta* for the title."""
        return f"θ = {number(float(parameters['theta']))}   θ* = {number(self.optimum)}"
