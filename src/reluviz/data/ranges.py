"""Rules for values: the same for a configuration and for the arguments of a class."""

import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

from reluviz.errors import UserError

Rule = Callable[[Any], Any]
"""Returns a valid value as the plain type it means; raises a ValueError that says what the value must be."""
MAX_SEED = 2**32 - 1
"""NumPy's generators accept no larger seed."""
LARGEST = 1e60
"""The largest size of a coordinate: fourth powers, as in squared gradients, are within floating point."""
MAX_UPDATES = 1e15
"""Larger numbers of updates are not exact in float64, which schedulers and pictures use; no run makes as many."""
LONGEST_VALUE = 200
"""Characters of a value in an error message."""


def whole_number(least: int, most: float = math.inf) -> Rule:
    """Return a rule for whole numbers, NumPy's too, including floats such as 1e5."""
    expected = f"a whole number of at least {least}" + (f" and at most {most:,.0f}" if most < math.inf else "")
    expected = str(least) if least == most else expected

    def rule(value: Any) -> int:
        # a whole number may be too large for `math.isfinite`
        if not isinstance(value, Integral) and not (_is_number(value) and math.isfinite(value)):
            raise ValueError(expected)
        if isinstance(value, bool) or value != int(value) or not least <= value <= most:
            raise ValueError(expected)
        return int(value)

    return rule


def number(least: float = -math.inf, above: float = -math.inf, below: float = math.inf, size: float = math.inf) -> Rule:
    """Return a rule for finite numbers whose absolute value is at most `size`."""
    expected = "a finite number"
    expected += f" of at least {least:g}" if least > -math.inf else ""
    expected += f" above {above:g}" if above > -math.inf else ""
    expected += f" and below {below:g}" if below < math.inf else ""

    def rule(value: Any) -> float:
        if not _is_number(value) or not math.isfinite(value):
            raise ValueError(expected)
        if value < least or value <= above or value >= below:
            raise ValueError(expected)
        if abs(value) > size:
            raise ValueError(f"{expected}, of size at most {size:g}")
        return float(value)

    return rule


def one_of(*words: str) -> Rule:
    """Return a rule that accepts these words only."""

    def rule(value: Any) -> str:
        if value not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return str(value)

    return rule


def optional(rule: Rule) -> Rule:
    """Return a rule that also accepts null."""
    return lambda value: None if value is None else rule(value)


def numbers(value: Any) -> list[float]:
    """Accept a list of finite numbers."""
    if not isinstance(value, list) or not value:
        raise ValueError("a list of numbers, as in [0.1,0.5]")
    return [number(size=LARGEST)(item) for item in value]


def column(value: Any) -> str | int:
    """Accept the name of a column, or its number from 0."""
    if isinstance(value, bool) or not isinstance(value, str | Integral) or value == "":
        raise ValueError("the name of a column, or its number from 0")
    return value if isinstance(value, str) else int(value)


def pairs(value: Any) -> list[list[float]]:
    """Accept a list of points."""
    expected = "a list of points x,y, as in [[0,1],[1,3]]"
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(expected)
    found = []
    for point in value:
        if not isinstance(point, list | tuple) or len(point) != 2 or not all(map(_is_number, point)):
            raise ValueError(f"{expected}; {point} is none")
        found.append([number()(one) for one in point])
    return found


def different_seeds(most: float = math.inf) -> Rule:
    """Return a rule for a list of different seeds."""

    def rule(value: Any) -> list[int]:
        if not isinstance(value, list) or not value or len(set(map(str, value))) < len(value):
            raise ValueError("a list of different whole numbers, as in [0,5,17]")
        return [whole_number(0, most)(item) for item in value]

    return rule


RULES: dict[str, Rule] = {
    "updates": whole_number(1, MAX_UPDATES),
    "data.n": whole_number(2, 1e8),
    "data.noise": number(least=0, size=LARGEST),
    "data.seed": whole_number(0, MAX_SEED),
    "data.x": optional(column),
    "data.y": optional(column),
    "data.decimal": optional(one_of("comma", "point", "either")),
    "data.points": optional(pairs),
    "data.scale": one_of("auto", "none"),
    "sampler.batch_size": whole_number(1),
    "snapshots.every": whole_number(1),
    "snapshots.per_decade": whole_number(1, 1e4),
}
"""Key -> rule, of the settings of data sets, data modules, samplers and schedules."""


def check_value(key: str, value: Any, rules: Mapping[str, Rule] = RULES) -> Any:
    """Return the value of a key as the type that the key's rule gives it.

    Raises:
        UserError: if the rule does not accept it; the message names the key, the value and what it must be.
    """
    try:
        return rules[key](value)
    except ValueError as error:
        text = "null" if value is None else str(value)
        shortened = text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."
        raise UserError(f"{key}={shortened}: must be {error}") from None


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
