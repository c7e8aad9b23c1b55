"""Positions and labels of ticks: round numbers, numbers with thousands separators, powers of ten."""

import math

import numpy as np

from reluviz.plots.axes import Ticks, round_ticks
from reluviz.plots.style import format_number, power_of_ten


def format_power(exponent: int) -> str:
    """Return a power of ten as text: 0.01, 1, 100, but 10⁻⁵ for smaller and 10⁴ for larger ones."""
    return f"{10.0**exponent:g}" if -3 <= exponent <= 3 else power_of_ten(exponent)


def log_ticks(low: float, high: float, max_ticks: int = 7) -> Ticks:
    """Return ticks between two positive limits: powers of ten, or 1, 2 and 5 times them if the limits are close."""
    bottom, top = math.log10(low), math.log10(high)
    first, last = math.ceil(bottom - 1e-9), math.floor(top + 1e-9)
    if last - first >= 2 or (last - first == 1 and top - bottom > 1.7):
        stride = max(1, math.ceil((last - first + 1) / max_ticks))
        # multiples of the stride, so that the ticks do not depend on the limits
        powers = [exponent for exponent in range(first, last + 1) if exponent % stride == 0]
        return Ticks([10.0**exponent for exponent in powers], [format_power(exponent) for exponent in powers])
    for mantissas in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        positions = [digit * 10.0**exponent for exponent in range(first - 1, last + 1) for digit in mantissas]
        shown = [position for position in positions if low <= position <= high]
        if len(shown) >= 3:
            return Ticks(shown, [format_number(position) for position in shown])
    return round_ticks(low, high, max_ticks)


def minor_ticks(low: float, high: float) -> list[float]:
    """Return the ticks without labels of a logarithmic axis: 2 to 9 times the powers of ten, or none if too many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if last - first > 6:
        return []
    positions = [digit * 10.0**exponent for exponent in range(first, last) for digit in range(2, 10)]
    return [position for position in positions if low <= position <= high]


def update_ticks(high: float, log: bool, max_ticks: int) -> Ticks:
    """Return ticks for the number of updates, from 0 to `high`.

    If `log`, the ticks are 0 and powers of ten: the axis is linear from 0 to 1, and logarithmic from there on.
    """
    if high <= 0:
        return Ticks([0.0], ["0"])
    if not log:
        positions = round_ticks(0, high, max_ticks).at
        whole = [position for position in positions if position == int(position)]
        return Ticks(whole, [f"{position:,.0f}" for position in whole])
    powers = range(0, math.floor(math.log10(max(high, 1))) + 1)
    stride = max(1, math.ceil(len(powers) / max(1, max_ticks - 1)))
    shown = list(powers)[::stride]
    return Ticks(
        [0.0, *(10.0**exponent for exponent in shown)], ["0", *(_format_count(exponent) for exponent in shown)]
    )


def _format_count(exponent: int) -> str:
    return f"{10**exponent:,}" if exponent <= 4 else power_of_ten(exponent)


def is_log_spaced(numbers: list[float]) -> bool:
    """Return True if, in ascending numbers, the ratios of neighbours vary less than their differences."""
    if len(numbers) < 2 or numbers[0] <= 0:
        return False
    if len(numbers) == 2:
        return numbers[1] >= 5 * numbers[0]
    differences, log_ratios = np.diff(numbers), np.diff(np.log(numbers))
    return bool(log_ratios.std() / log_ratios.mean() < differences.std() / differences.mean())
