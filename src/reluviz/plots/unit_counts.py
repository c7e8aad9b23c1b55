"""The key of the strip: how many units bend, are linear, are dead, or have their elbow elsewhere."""

import numpy as np
from matplotlib.lines import Line2D

from reluviz.plots.canvas import Canvas
from reluviz.plots.curves import Elbows
from reluviz.plots.style import PLUS, SMALL, SOFT

Y = 0.317
"""Height of the row in the figure."""


class UnitCounts:
    """A row of words with the marker they explain, which stay, and of numbers, which change."""

    def __init__(self, canvas: Canvas) -> None:
        figure = canvas.figure
        words = "slope jump vₖ |wₖ| at elbow −bₖ / wₖ, pointing to where the unit is on"
        canvas.text(0.065, Y, words, size=SMALL, color=SOFT, va="center")
        canvas.text(0.898, Y, "outside", size=SMALL, color=SOFT, va="center", ha="right")
        for x, word, marker, face, edge in (
            (0.56, "bent", ">", PLUS, PLUS),
            (0.655, "linear", ">", "white", PLUS),
            (0.76, "dead", ">", "white", SOFT),
            (0.908, "", "<", SOFT, SOFT),
            (0.951, "", ">", SOFT, SOFT),
        ):
            size = 6.5 if word else 4
            figure.add_artist(Line2D([x], [Y], marker=marker, markersize=size, color=edge, markerfacecolor=face))
            canvas.text(x + 0.01, Y - 0.001, word, size=SMALL, color=SOFT, va="center")
        self.numbers = {
            name: canvas.moving(canvas.text(x, Y, "", size=SMALL, weight="bold", color=SOFT, va="center"))
            for name, x in (
                ("bent", 0.603),
                ("linear", 0.706),
                ("dead", 0.805),
                ("left", 0.916),
                ("right", 0.959),
            )
        }
        self.flat = canvas.moving(canvas.text(0.985, 0.03, "", size=SMALL, color=SOFT, va="center", ha="right"))

    def update(self, bends: Elbows, low: float, high: float) -> None:
        """Count the units; low and high are the ends of the picture."""
        counts = dict(zip(("dead", "linear", "bent"), np.bincount(bends.status, minlength=3).tolist(), strict=True))
        counts["left"], counts["right"] = int((bends.x < low).sum()), int((bends.x > high).sum())
        for name, text in self.numbers.items():
            text.set_text(str(counts[name]))
        flat = int(np.isnan(bends.x).sum())
        self.flat.set_text(f"{flat} without elbow" if flat else "")
