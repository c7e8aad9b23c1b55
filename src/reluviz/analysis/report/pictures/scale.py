"""Where the values of a setting stand on an axis."""

import math

import numpy as np

from reluviz.analysis.report.groups import Value
from reluviz.analysis.report.pictures import ticks
from reluviz.analysis.report.pictures.styles import as_number, numeric, shortened, thinned, word
from reluviz.plots.axes import Ticks, numbered
from reluviz.plots.style import number

MOST_NAMES = 12
LETTER = 7.3
"""About the width of a small letter, in pixels."""


class Scale:
    """Where the values of a setting stand: at their size where they are numbers, else side by side.

    Attributes:
        shown: the values that are drawn.
        place: str of a value -> its place.
        log: whether the places are logarithms to the base of 10.
        width: the room around a place that belongs to its value.
    """

    def __init__(self, found: tuple[Value, ...]) -> None:
        self.sized = len(found) > 1 and numeric(found)
        self.shown = found if self.sized else thinned(found, MOST_NAMES)
        self.log = False
        places = np.arange(len(self.shown), dtype=float)
        if self.sized:
            sizes = [as_number(value) for value in self.shown]
            self.log = ticks.spaced_by_factors(sizes)
            places = np.log10(sizes) if self.log else np.array(sizes)
        self.place = {str(value): float(at) for value, at in zip(self.shown, places, strict=True)}
        self.width = float(np.diff(places).min()) if len(places) > 1 else 1.0

    @property
    def ends(self) -> tuple[float, float]:
        """The limits of the axis."""
        places = list(self.place.values())
        most = max(self.width, 0.04 * (places[-1] - places[0]))
        return places[0] - 0.6 * most, places[-1] + 0.6 * most

    def ticks(self, room: float) -> Ticks:
        """Return a tick for each value, or for some where there is room for few; `room` is in pixels."""
        labels = [number(as_number(value)) if self.sized else word(value, 60) for value in self.shown]
        places = list(self.place.values())
        if not self.sized:
            return Ticks(places, [shortened(label, max(3, int(room / len(places) / LETTER))) for label in labels])
        low, high = self.ends
        apart = room / (high - low)
        kept: list[int] = []
        for i, at in enumerate(places):
            near = kept and (at - places[kept[-1]]) * apart < 6.5 * (len(labels[kept[-1]]) + len(labels[i])) / 2 + 6
            if not near:
                kept.append(i)
        if len(kept) < len(places):
            most = max(2, int(room / 60))
            if not self.log:
                return numbered(places[0], places[-1], most)
            powers = ticks.logarithmic(10 ** places[0], 10 ** places[-1], most)
            return Ticks([math.log10(at) for at in powers.at], powers.labels)
        return Ticks([places[i] for i in kept], [labels[i] for i in kept])
