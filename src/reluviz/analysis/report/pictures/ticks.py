"""Positions and labels of ticks: round numbers, thousands, powers of ten."""

import math

import numpy as np

from reluviz.plots.axes import Ticks, round_ticks
from reluviz.plots.style import format_number

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def format_power(exponent: int) -> str:
    """Return a power of ten as text: 0.01, 1, 100, but 10⁻⁵ for smaller and 10⁴ for larger ones."""
    return f"{10.0**exponent:g}" if -3 <= exponent <= 3 else f"10{str(exponent).translate(SUPERSCRIPTS)}"


def logarithmic(low: float, high: float, max_ticks: int = 7) -> Ticks:
    """Return ticks between two positive limits: powers of ten, or 1, 2 and 5 times them if the limits are close."""
    bottom, top = math.log10(low), math.log10(high)
    first, last = math.ceil(bottom - 1e-9), math.floor(top + 1e-9)
    if last - first >= 2 or (last - first == 1 and top - bottom > 1.7):
        stride = max(1, math.ceil((last - first + 1) / max_ticks))
        # multiples of the stride, so that the ticks do not depend on the limits
        powers = [exponent for exponent in range(first, last + 1) if exponent % stride == 0]
        return Ticks([10.0**exponent for exponent in powers], [format_power(exponent) for exponent in powers])
    for steps in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        positions = [step * 10.0**exponent for exponent in range(first - 1, last + 1) for step in steps]
        shown = [position for position in positions if low <= position <= high]
        if len(shown) >= 3:
            return Ticks(shown, [format_number(position) for position in shown])
    return round_ticks(low, high, max_ticks)


def minor(low: float, high: float) -> list[float]:
    """Return the ticks without labels of a logarithmic axis: 2 to 9 times the powers of ten, or none if too many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if last - first > 6:
        return []
    positions = [step * 10.0**exponent for exponent in range(first, last) for step in range(2, 10)]
    return [position for position in positions if low <= position <= high]


def updates(low: float, high: float, log: bool, max_ticks: int) -> Ticks:
    """Return ticks for the number of updates; a logarithmic axis has 0 at its left end."""
    if high <= low:
        return Ticks([0.0], ["0"])
    if not log:
        found = round_ticks(low, high, max_ticks)
        whole = [at for at in found.at if at == int(at)]
        return Ticks(whole, [f"{at:,.0f}" for at in whole])
    powers = range(0, math.floor(math.log10(max(high, 1))) + 1)
    stride = max(1, math.ceil(len(powers) / max(1, max_ticks - 1)))
    shown = list(powers)[::stride]
    return Ticks(
        [0.0, *(10.0**exponent for exponent in shown)], ["0", *(_format_count(exponent) for exponent in shown)]
    )


def _format_count(exponent: int) -> str:
    return f"{10**exponent:,}" if exponent <= 4 else f"10{str(exponent).translate(SUPERSCRIPTS)}"


def is_log_spaced(numbers: list[float]) -> bool:
    """Return True if ascending numbers have more equal ratios than differences."""
    if len(numbers) < 2 or numbers[0] <= 0:
        return False
    if len(numbers) == 2:
        return numbers[1] >= 5 * numbers[0]
    steps, factors = np.diff(numbers), np.diff(np.log(numbers))
    return bool(factors.std() / factors.mean() < steps.std() / steps.mean())
