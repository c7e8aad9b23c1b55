"""Where an axis is ticked and what stands there: round numbers, thousands, powers of ten."""

import math

import numpy as np

from reluviz.plots.axes import Ticks, numbered
from reluviz.plots.style import number

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power(exponent: int) -> str:
    """Return a power of ten as it is read: 0.01, 1, 100, and 10⁻⁵ where that is shorter."""
    return f"{10.0**exponent:g}" if -3 <= exponent <= 3 else f"10{str(exponent).translate(RAISED)}"


def logarithmic(low: float, high: float, most: int = 7) -> Ticks:
    """Return ticks between two positive limits: powers of ten, or 1, 2 and 5 times them where the limits are near."""
    bottom, top = math.log10(low), math.log10(high)
    first, last = math.ceil(bottom - 1e-9), math.floor(top + 1e-9)
    if last - first >= 2 or (last - first == 1 and top - bottom > 1.7):
        stride = max(1, math.ceil((last - first + 1) / most))
        # the powers that are kept do not depend on the limits
        powers = [each for each in range(first, last + 1) if each % stride == 0]
        return Ticks([10.0**each for each in powers], [power(each) for each in powers])
    for steps in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        places = [step * 10.0**each for each in range(first - 1, last + 1) for step in steps]
        kept = [place for place in places if low <= place <= high]
        if len(kept) >= 3:
            return Ticks(kept, [number(place) for place in kept])
    return numbered(low, high, most)


def between(low: float, high: float) -> list[float]:
    """Return where a logarithmic axis has ticks without numbers: 2 to 9 times the powers of ten, if there is room."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if last - first > 6:
        return []
    places = [step * 10.0**each for each in range(first, last) for step in range(2, 10)]
    return [place for place in places if low <= place <= high]


def updates(low: float, high: float, log: bool, most: int) -> Ticks:
    """Return ticks for a number of updates; a logarithmic axis begins with 0, which is drawn at its left end."""
    if high <= low:
        return Ticks([0.0], ["0"])
    if not log:
        found = numbered(low, high, most)
        whole = [at for at in found.at if at == int(at)]
        return Ticks(whole, [f"{at:,.0f}" for at in whole])
    powers = range(0, math.floor(math.log10(max(high, 1))) + 1)
    stride = max(1, math.ceil(len(powers) / max(1, most - 1)))
    kept = list(powers)[::stride]
    return Ticks([0.0, *(10.0**each for each in kept)], ["0", *(_thousands(each) for each in kept)])


def _thousands(exponent: int) -> str:
    return f"{10**exponent:,}" if exponent <= 4 else f"10{str(exponent).translate(RAISED)}"


def spaced_by_factors(numbers: list[float]) -> bool:
    """Tell whether numbers in ascending order are spaced by factors rather than by differences."""
    if len(numbers) < 2 or numbers[0] <= 0:
        return False
    if len(numbers) == 2:
        return numbers[1] >= 5 * numbers[0]
    steps, factors = np.diff(numbers), np.diff(np.log(numbers))
    return bool(factors.std() / factors.mean() < steps.std() / steps.mean())
