"""A legend with counts: how many units are bent, linear or dead, and how many elbows are outside the picture.

On the training inputs, a dead unit is 0, a linear unit is active everywhere, and a bent unit has its elbow among them.
"""

import numpy as np
from matplotlib.lines import Line2D

from reluviz.core.elbows import STATUS
from reluviz.plots.canvas import Canvas
from reluviz.plots.curves import Elbows
from reluviz.plots.style import GREY, POSITIVE, SMALL_FONT

Y = 0.317
"""Vertical position of the row, as a fraction of the figure."""


class UnitCounts:
    """A row of static markers with labels, and of counts that are redrawn for every frame."""

    def __init__(self, canvas: Canvas) -> None:
        figure = canvas.figure
        explanation = "slope jump vₖ |wₖ| at elbow −bₖ / wₖ, pointing to where the unit is on"
        canvas.add_text(0.065, Y, explanation, size=SMALL_FONT, color=GREY, va="center")
        canvas.add_text(0.898, Y, "outside", size=SMALL_FONT, color=GREY, va="center", ha="right")
        for x, label, marker, face, edge in (
            (0.56, "bent", ">", POSITIVE, POSITIVE),
            (0.655, "linear", ">", "white", POSITIVE),
            (0.76, "dead", ">", "white", GREY),
            (0.908, "", "<", GREY, GREY),
            (0.951, "", ">", GREY, GREY),
        ):
            size = 6.5 if label else 4
            figure.add_artist(Line2D([x], [Y], marker=marker, markersize=size, color=edge, markerfacecolor=face))
            canvas.add_text(x + 0.01, Y - 0.001, label, size=SMALL_FONT, color=GREY, va="center")
        self.counts = {
            name: canvas.animate(canvas.add_text(x, Y, "", size=SMALL_FONT, weight="bold", color=GREY, va="center"))
            for name, x in (
                ("bent", 0.603),
                ("linear", 0.706),
                ("dead", 0.805),
                ("left", 0.916),
                ("right", 0.959),
            )
        }
        self.without_elbow = canvas.animate(
            canvas.add_text(0.985, 0.03, "", size=SMALL_FONT, color=GREY, va="center", ha="right")
        )

    def update(self, elbows: Elbows, low: float, high: float) -> None:
        """Write the counts; low and high are the limits of x."""
        counts = dict(zip(STATUS, np.bincount(elbows.status, minlength=len(STATUS)).tolist(), strict=True))
        counts["left"], counts["right"] = int((elbows.x < low).sum()), int((elbows.x > high).sum())
        for name, text in self.counts.items():
            text.set_text(str(counts[name]))
        missing = int(np.isnan(elbows.x).sum())
        self.without_elbow.set_text(f"{missing} without elbow" if missing else "")
