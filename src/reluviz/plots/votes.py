"""The picture `votes`: the residual of each point, and its signed share of the gradient."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D

from reluviz.core.votes import effective_number
from reluviz.data.dataset import Array, Dataset
from reluviz.plots import curves
from reluviz.plots.axes import Axes, Ticks, round_ticks
from reluviz.plots.canvas import Canvas, new_figure
from reluviz.plots.data_background import DataBackground, LearnedFunction, draw_legend
from reluviz.plots.style import (
    DPI,
    GREY,
    NEGATIVE,
    NEUTRAL,
    POSITIVE,
    SMALL_FONT,
    Parameters,
    evenly_spaced,
    format_number,
    plot_style,
)
from reluviz.plots.title import Title

MAX_STEMS = 2000
"""At most this many votes are drawn: the axes are 880 pixels wide."""

SIGN_COLOURS: Array = np.array([to_rgba(colour) for colour in (NEUTRAL, POSITIVE, NEGATIVE)])
"""Colour of a point by the sign of its share, indexed by 0, 1 and -1. Votes against are also hollow, for print."""
EDGE_WIDTH = 1.0
"""Width of the edge of a point, half of it outside, in points."""


class VotesPicture:
    """A picture of the points and the learned function, and below every point a stem: its signed vote share.

    A share is the part of the gradient that comes from one point; the shares sum to 1. Points with a negative share
    pull against the step. In the upper axes, the area of a point is the norm of its vote, and a thin line is its
    residual. The scale of the stems is 1, 2 or 5 times a power of ten, and is written at the axis. The dotted line is
    the share of every point if all votes were equal.

    Args:
        model: the model's name.
        dataset: the data of the run.
        seed: the seed of the replica that is shown; it is written in the title.

    Attributes:
        canvas: the figure and its artists.
    """

    def __init__(self, model: str, dataset: Dataset, seed: int) -> None:
        self.model, self.samples, self.scaling = model, len(dataset.x), dataset.scaling
        with plot_style():
            canvas = self.canvas = Canvas(new_figure())
            self.background = DataBackground(dataset)
            self.title = Title(canvas, model, dataset.name, seed)
            self.axes = self.background.add_axes(canvas, (0.065, 0.44, 0.92, 0.455))
            x, y = round_ticks(*self.background.xlim), round_ticks(*self.background.ylim)
            self.axes.draw_ticks(Ticks(x.at, []), y)
            self.axes.draw_grid(x, y)
            shown = self.background.draw(self.axes, points=False)
            self.learned_function = LearnedFunction(canvas, self.axes)
            self.residuals: Line2D = canvas.animate(self.axes.add_line(color="#c4c4c4", linewidth=0.9, zorder=3))
            self.points: PathCollection = canvas.animate(self.axes.add_points("o", zorder=4, linewidths=0))
            for colour, face, label in (
                (POSITIVE, POSITIVE, "votes for this step"),
                (NEGATIVE, "white", "votes against it"),
            ):
                marker: dict[str, Any] = {"marker": "o", "markerfacecolor": face, "markeredgecolor": colour}
                shown.append(Line2D([], [], linestyle="", label=label, **marker))
            draw_legend(canvas, [*shown, self.learned_function.line])
            self._add_share_axes(x)

    def _add_share_axes(self, x: Ticks) -> None:
        canvas = self.canvas
        text_style: dict[str, Any] = {"size": SMALL_FONT, "color": GREY, "va": "center"}
        self.share_axes = Axes(canvas, (0.065, 0.09, 0.92, 0.27), self.background.xlim, (-1.08, 1.08))
        heights = Ticks([-1, -0.5, 0, 0.5, 1], ["", "", "0", "", ""])
        self.share_axes.draw_ticks(x, heights, "x")
        self.share_axes.draw_grid(x, heights)
        self.share_axes.add_horizontal_line(0, color=GREY, linewidth=0.8, zorder=1)
        canvas.add_text(0.065, 0.392, "vote share: the part of the gradient that comes from each point", **text_style)
        self.scale_labels = [
            canvas.animate(self.share_axes.add_text(-0.0075, (1 + height / 1.08) / 2, "", ha="right", **text_style))
            for height in (1, -1)
        ]
        self.no_gradient_text = canvas.animate(self.share_axes.add_text(0.5, 0.62, "", ha="center", **text_style))
        self.equal_share_line: Line2D = canvas.animate(
            self.share_axes.add_line(color=GREY, linewidth=1, linestyle=":", zorder=2)
        )
        self.stems: dict[int, Line2D] = {
            sign: canvas.animate(self.share_axes.add_line(color=colour, zorder=3))
            for sign, colour in ((1, POSITIVE), (-1, NEGATIVE))
        }
        # background: 1 / N, with N the number of all samples, even if only some of them are recorded
        equal_share = f"dotted: {_percent(1 / self.samples)}, if all votes were alike"
        canvas.add_text(0.85, 0.392, equal_share, ha="right", **text_style)
        self.against_text = canvas.animate(canvas.add_text(0.985, 0.392, "", ha="right", **text_style))

    def reset(self, seed: int) -> None:
        """Start showing another run on the same data."""
        self.title.seed = seed

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
            parameters: of one replica as trained: theta (), or input_slope, bias, output_weight [W], output_bias ().
            update: number of updates done.
            shares: vote shares of the recorded samples [n], NaN if the gradient is 0.
            norms: norms of their contributions [n].
            residuals: f(x_i) - y_i [n], in the user's units.
            sample_x: x_i [n], in the user's units.
        """
        self._update(parameters, update, shares, norms, residuals, sample_x)
        return self.canvas.png()

    def save(self, path: str | Path) -> None:
        """Write the picture of the last snapshot to a .png, .svg or .pdf file."""
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
        effective = effective_votes(norms)
        count = f"{self.samples:,}" if len(norms) == self.samples else f"{len(norms):,} (N = {self.samples:,})"
        text = f"effective votes {effective:,.1f} of {count}" if math.isfinite(effective) else f"votes of {count}"
        self.title.update(parameters, update, text)
        low, high = self.background.low, self.background.high
        if not curves.all_finite(self.model, parameters):
            return self.canvas.show_notice("the parameters are not finite")
        x, f = curves.learned_function(self.model, parameters, low, high, self.scaling)
        if not np.isfinite(f).all():
            return self.canvas.show_notice("the learned function is not finite")
        self.canvas.show_notice("")
        self.learned_function.update(x, f)
        kept = evenly_spaced(len(sample_x), MAX_STEMS)
        self._update_points(x, f, shares[kept], norms[kept], residuals[kept], sample_x[kept])
        self._update_stems(shares[kept], sample_x[kept], shares)
        return None

    def _update_points(
        self, x: Array, f: Array, shares: Array, norms: Array, residuals: Array, sample_x: Array
    ) -> None:
        at = np.interp(sample_x, x, f)
        self.residuals.set_data(*curves.vertical_lines(sample_x, at, at - residuals))
        known = np.where(np.isfinite(norms), norms, 0)
        with np.errstate(all="ignore"):
            relative_norm = known / known.max(initial=0)
        # the area of a point shows its norm; the smallest area is still visible
        area = 4 + (70 if len(relative_norm) <= 400 else 25) * np.where(np.isfinite(relative_norm), relative_norm, 0)
        sign = np.sign(np.nan_to_num(shares)).astype(int)
        # a ring is drawn as a white disc on a larger disc, which takes half the time of a disc with an edge
        hollow = sign == -1
        disc = np.repeat(np.arange(len(sign)), 1 + hollow)
        upper = np.diff(disc, prepend=-1) == 0
        self.points.set_offsets(np.stack([sample_x, at - residuals], axis=-1)[disc])
        self.points.set_sizes((np.sqrt(area[disc]) + np.where(upper, -EDGE_WIDTH, EDGE_WIDTH)) ** 2, DPI)
        colours: Any = np.where(upper[:, None], 1.0, SIGN_COLOURS[sign][disc])
        self.points.set_facecolor(colours)

    def _update_stems(self, shares: Array, sample_x: Array, all_shares: Array) -> None:
        finite = np.isfinite(shares)
        largest = np.abs(all_shares[np.isfinite(all_shares)]).max(initial=0)
        if not largest > 0:
            for line in (self.equal_share_line, *self.stems.values()):
                line.set_data([], [])
            for label in self.scale_labels:
                label.set_text("")
            self.against_text.set_text("")
            self.no_gradient_text.set_text("no gradient, no votes")
            return
        self.no_gradient_text.set_text("")
        scale = round_up_scale(float(largest))
        for label, times in zip(self.scale_labels, (1, -1), strict=True):
            label.set_text(_percent(times * scale))
        for sign, line in self.stems.items():
            some = finite & (np.sign(shares) == sign)
            height = shares[some] / scale
            line.set_data(*curves.vertical_lines(sample_x[some], 0 * height, height))
            line.set_linewidth(1.6 if len(shares) <= 400 else 0.8)
        equal_share = 1 / (self.samples * scale)
        self.equal_share_line.set_data([self.background.low, self.background.high], [equal_share, equal_share])
        against = float((all_shares[np.isfinite(all_shares)] < 0).mean())
        self.against_text.set_text(f"{_percent(against)} vote against")


def effective_votes(norms: Array) -> float:
    """Return (sum |c_i|)^2 / sum |c_i|^2, the effective number of votes; NaN if all norms are 0."""
    largest = norms.max(initial=0)
    if not 0 < largest < math.inf:
        return math.nan
    scaled = norms / largest  # so that squares of tiny norms do not underflow
    return float(effective_number(scaled.sum(), np.square(scaled).sum()))


def round_up_scale(value: float) -> float:
    """Return the smallest of 1, 2 or 5 times a power of ten that is not below a positive value."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10, 20) if step * power >= value)


def _percent(share: float) -> str:
    """Return a share in percent, short enough for a tick label."""
    text = f"{format_number(100 * share)} %"
    return text if "e+" not in text else f"{text.replace('e+0', 'e').replace('e+', 'e')}".replace(" %", "%")
