"""The picture `votes`: how far the learned function is from each point, and what that point votes for."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D

from reluviz.data.dataset import Array, Dataset
from reluviz.plots import curves
from reluviz.plots.axes import Axes, Ticks, numbered
from reluviz.plots.canvas import Canvas, new_figure
from reluviz.plots.frame import Frame, Learned, legend
from reluviz.plots.style import DPI, MINUS, NEUTRAL, PLUS, SMALL, SOFT, Parameters, number, spread, styled
from reluviz.plots.title import Title

MOST_STEMS = 2000
"""How many votes are drawn: there are 880 pixels to draw them on."""

COLOURS: Array = np.array([to_rgba(colour) for colour in (NEUTRAL, PLUS, MINUS)])
"""Colours of a point by the sign of its share: 0, +1 and, last, -1. Votes against are hollow, for print."""
EDGE = 1.0
"""Width of the edge of a point, half of it outside, in points."""


class VotesPicture:
    """The learned function among the points above, and under every point a stem: its signed vote share.

    A share is the part of the gradient that comes from one point; the shares sum to 1. Points with a negative
    share pull against the step that is made. Above, the area of a point is the norm of its vote, and a thin
    line is its residual. The scale of the stems is 1, 2 or 5 times a power of ten, and is written at the
    axis; the dotted line is the share that every point had if all votes were alike.

    Args:
        model: constant, linear or relu.
        dataset: the data of the run.
        seed: the seed of the replica that is shown, for the title.

    Attributes:
        canvas: the figure and its artists.
    """

    def __init__(self, model: str, dataset: Dataset, seed: int) -> None:
        self.model, self.samples = model, len(dataset.x)
        with styled():
            canvas = self.canvas = Canvas(new_figure())
            self.frame = Frame(dataset)
            self.heading = Title(canvas, model, dataset.name, seed)
            self.panel = self.frame.panel(canvas, (0.065, 0.44, 0.92, 0.455))
            x, y = numbered(*self.frame.xlim), numbered(*self.frame.ylim)
            self.panel.rule(Ticks(x.at, []), y)
            self.panel.grid(x, y)
            shown = self.frame.draw(self.panel, points=False)
            self.learned = Learned(canvas, self.panel)
            self.residuals: Line2D = canvas.moving(self.panel.line(color="#c4c4c4", linewidth=0.9, zorder=3))
            self.points: PathCollection = canvas.moving(self.panel.points("o", zorder=4, linewidths=0))
            for colour, face, label in (
                (PLUS, PLUS, "votes for this step"),
                (MINUS, "white", "votes against it"),
            ):
                marker: dict[str, Any] = {"marker": "o", "markerfacecolor": face, "markeredgecolor": colour}
                shown.append(Line2D([], [], linestyle="", label=label, **marker))
            legend(canvas, [*shown, self.learned.line])
            self._stems_below(x)

    def _stems_below(self, x: Ticks) -> None:
        canvas = self.canvas
        row: dict[str, Any] = {"size": SMALL, "color": SOFT, "va": "center"}
        self.below = Axes(canvas, (0.065, 0.09, 0.92, 0.27), self.frame.xlim, (-1.08, 1.08))
        heights = Ticks([-1, -0.5, 0, 0.5, 1], ["", "", "0", "", ""])
        self.below.rule(x, heights, "x")
        self.below.grid(x, heights)
        self.below.level(0, color=SOFT, linewidth=0.8, zorder=1)
        canvas.text(0.065, 0.392, "vote share: the part of the gradient that comes from each point", **row)
        self.labels = [
            canvas.moving(self.below.text(-0.0075, (1 + height / 1.08) / 2, "", ha="right", **row))
            for height in (1, -1)
        ]
        self.nobody = canvas.moving(self.below.text(0.5, 0.62, "", ha="center", **row))
        self.equal: Line2D = canvas.moving(self.below.line(color=SOFT, linewidth=1, linestyle=":", zorder=2))
        self.stems: dict[int, Line2D] = {
            sign: canvas.moving(self.below.line(color=colour, zorder=3)) for sign, colour in ((1, PLUS), (-1, MINUS))
        }
        # as a still text: every sample's share is one of all N, also where only some samples are recorded
        alike = f"dotted: {_percent(1 / self.samples)}, if all votes were alike"
        canvas.text(0.85, 0.392, alike, ha="right", **row)
        self.against = canvas.moving(canvas.text(0.985, 0.392, "", ha="right", **row))

    def restart(self, seed: int) -> None:
        """Begin with another run on the same data."""
        self.heading.seed = seed

    def png(
        self,
        parameters: Parameters,
        update: int,
        shares: Array,
        norms: Array,
        residuals: Array,
        sample_x: Array,
    ) -> bytes:
        """Return the picture of one snapshot as the bytes of a PNG file.

        Args:
            parameters: of one replica: theta (), or input_slope, bias, output_weight [W] and output_bias ().
            update: number of updates done.
            shares: vote shares of the recorded samples [n], NaN where there is no gradient.
            norms: norms of their contributions [n].
            residuals: f(x_i) - y_i [n].
            sample_x: x_i [n].
        """
        self._update(parameters, update, shares, norms, residuals, sample_x)
        return self.canvas.png()

    def save(self, path: str | Path) -> None:
        """Write the last snapshot's picture to a .png, .svg or .pdf file."""
        self.canvas.save(path)

    def _update(
        self,
        parameters: Parameters,
        update: int,
        shares: Array,
        norms: Array,
        residuals: Array,
        sample_x: Array,
    ) -> None:
        heard = effective(norms)
        many = f"{self.samples:,}" if len(norms) == self.samples else f"{len(norms):,} (N = {self.samples:,})"
        words = f"effective votes {heard:,.1f} of {many}" if math.isfinite(heard) else f"votes of {many}"
        self.heading.update(parameters, update, words)
        low, high = self.frame.low, self.frame.high
        if not curves.finite(self.model, parameters):
            return self.canvas.notice("the parameters are not finite")
        x, f = curves.learned(self.model, parameters, low, high)
        if not np.isfinite(f).all():
            return self.canvas.notice("the learned function is not finite")
        self.canvas.notice("")
        self.learned.update(x, f)
        kept = spread(len(sample_x), MOST_STEMS)
        self._points(x, f, shares[kept], norms[kept], residuals[kept], sample_x[kept])
        self._stems(shares[kept], sample_x[kept], shares)
        return None

    def _points(self, x: Array, f: Array, shares: Array, norms: Array, residuals: Array, sample_x: Array) -> None:
        at = np.interp(sample_x, x, f)
        self.residuals.set_data(*curves.stems(sample_x, at, at - residuals))
        known = np.where(np.isfinite(norms), norms, 0)
        with np.errstate(all="ignore"):
            loud = known / known.max(initial=0)
        # the area of a point is its norm; the least of them can still be seen
        area = 4 + (70 if len(loud) <= 400 else 25) * np.where(np.isfinite(loud), loud, 0)
        sign = np.sign(np.nan_to_num(shares)).astype(int)
        # a ring is a white disc on a larger one: two discs are drawn in half the time of a disc and its edge
        hollow = sign == -1
        disc = np.repeat(np.arange(len(sign)), 1 + hollow)
        upper = np.diff(disc, prepend=-1) == 0
        self.points.set_offsets(np.stack([sample_x, at - residuals], axis=-1)[disc])
        self.points.set_sizes((np.sqrt(area[disc]) + np.where(upper, -EDGE, EDGE)) ** 2, DPI)
        colours: Any = np.where(upper[:, None], 1.0, COLOURS[sign][disc])
        self.points.set_facecolor(colours)

    def _stems(self, shares: Array, sample_x: Array, every: Array) -> None:
        finite = np.isfinite(shares)
        largest = np.abs(every[np.isfinite(every)]).max(initial=0)
        if not largest > 0:
            for line in (self.equal, *self.stems.values()):
                line.set_data([], [])
            for label in self.labels:
                label.set_text("")
            self.against.set_text("")
            self.nobody.set_text("no gradient: nobody votes")
            return
        self.nobody.set_text("")
        scale = nice(float(largest))
        for label, times in zip(self.labels, (1, -1), strict=True):
            label.set_text(_percent(times * scale))
        for sign, line in self.stems.items():
            some = finite & (np.sign(shares) == sign)
            height = shares[some] / scale
            line.set_data(*curves.stems(sample_x[some], 0 * height, height))
            line.set_linewidth(1.6 if len(shares) <= 400 else 0.8)
        even = 1 / (self.samples * scale)
        self.equal.set_data([self.frame.low, self.frame.high], [even, even])
        against = float((every[np.isfinite(every)] < 0).mean())
        self.against.set_text(f"{_percent(against)} vote against")


def effective(norms: Array) -> float:
    """Return (sum |c_i|)^2 / sum |c_i|^2, the effective number of votes; NaN where nobody votes."""
    largest = norms.max(initial=0)
    if not 0 < largest < math.inf:
        return math.nan
    scaled = norms / largest  # so that squares of tiny norms do not vanish
    return float(scaled.sum() ** 2 / (scaled**2).sum())


def nice(value: float) -> float:
    """Return the smallest of 1, 2 or 5 times a power of ten that is not below a positive value."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10, 20) if step * power >= value)


def _percent(share: float) -> str:
    """Return a share in percent, short enough to stand beside an axis."""
    text = f"{number(100 * share)} %"
    return text if "e+" not in text else f"{text.replace('e+0', 'e').replace('e+', 'e')}".replace(" %", "%")
