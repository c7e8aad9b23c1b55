"""The positions of the values of a setting on an axis."""

import math

import numpy as np

from reluviz.analysis.report.groups import Value
from reluviz.analysis.report.pictures import ticks
from reluviz.analysis.report.pictures.styles import all_numbers, as_number, format_value, shortened, thinned
from reluviz.plots.axes import Ticks, round_ticks
from reluviz.plots.style import format_number

MAX_NAMES = 12
LETTER_WIDTH = 7.3
"""Approximate width of a small letter, in pixels."""


class Scale:
    """The positions of the values of a setting: numbers are drawn to scale, other values at equal distances.

    Attributes:
        numeric: whether all values are numbers.
        shown: the values that are drawn.
        positions: the value as text -> its position.
        log: whether the positions are logarithms to base 10.
        width: the smallest distance between two positions.
    """

    def __init__(self, values: tuple[Value, ...]) -> None:
        self.numeric = len(values) > 1 and all_numbers(values)
        self.shown = values if self.numeric else thinned(values, MAX_NAMES)
        self.log = False
        positions = np.arange(len(self.shown), dtype=float)
        if self.numeric:
            numbers = [as_number(value) for value in self.shown]
            self.log = ticks.is_log_spaced(numbers)
            positions = np.log10(numbers) if self.log else np.array(numbers)
        self.positions = {str(value): float(position) for value, position in zip(self.shown, positions, strict=True)}
        self.width = float(np.diff(positions).min()) if len(positions) > 1 else 1.0

    @property
    def limits(self) -> tuple[float, float]:
        """The limits of the axis."""
        positions = list(self.positions.values())
        room = max(self.width, 0.04 * (positions[-1] - positions[0]))
        return positions[0] - 0.6 * room, positions[-1] + 0.6 * room

    def ticks(self, pixels: float) -> Ticks:
        """Return a tick for each value, or for fewer values or round numbers if the labels would overlap.

        Args:
            pixels: the width of the axis.
        """
        labels = [format_number(as_number(value)) if self.numeric else format_value(value, 60) for value in self.shown]
        positions = list(self.positions.values())
        if not self.numeric:
            return Ticks(
                positions, [shortened(label, max(3, int(pixels / len(positions) / LETTER_WIDTH))) for label in labels]
            )
        low, high = self.limits
        pixels_per_unit = pixels / (high - low)
        kept: list[int] = []
        for i, position in enumerate(positions):
            overlaps = (
                kept
                and (position - positions[kept[-1]]) * pixels_per_unit
                < 6.5 * (len(labels[kept[-1]]) + len(labels[i])) / 2 + 6
            )
            if not overlaps:
                kept.append(i)
        if len(kept) < len(positions):
            max_ticks = max(2, int(pixels / 60))
            if not self.log:
                return round_ticks(positions[0], positions[-1], max_ticks)
            powers = ticks.log_ticks(10 ** positions[0], 10 ** positions[-1], max_ticks)
            return Ticks([math.log10(power) for power in powers.at], powers.labels)
        return Ticks([positions[i] for i in kept], [labels[i] for i in kept])
