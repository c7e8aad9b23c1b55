"""Rules for values: the same for a configuration and for the arguments of a class."""

import math
from collections.abc import Callable
from typing import Any

from reluviz.errors import UserError

Rule = Callable[[Any], Any]
"""Returns a valid value as the type it means; raises a ValueError that says what the value must be."""


def whole_number(least: int, most: float = math.inf) -> Rule:
    """Return a rule for whole numbers, including floats such as 1e5."""
    expected = f"a whole number of at least {least}" + (f" and at most {most:,.0f}" if most < math.inf else "")
    expected = str(least) if least == most else expected

    def rule(value: Any) -> int:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or value != value
            or value in (math.inf, -math.inf)
        ):
            raise ValueError(expected)
        if value != int(value) or not least <= value <= most:
            raise ValueError(expected)
        return int(value)

    return rule


def number(least: float = -math.inf, above: float = -math.inf, below: float = math.inf) -> Rule:
    """Return a rule for finite numbers."""
    expected = "a finite number"
    expected += f" of at least {least:g}" if least > -math.inf else ""
    expected += f" above {above:g}" if above > -math.inf else ""
    expected += f" and below {below:g}" if below < math.inf else ""

    def rule(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(expected)
        if value < least or value <= above or value >= below:
            raise ValueError(expected)
        return float(value)

    return rule


def one_of(*words: str) -> Rule:
    """Return a rule that accepts these words only."""

    def rule(value: Any) -> str:
        if value not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return str(value)

    return rule


RULES: dict[str, Rule] = {"updates": whole_number(1), "sampler.batch_size": whole_number(1)}
"""Key -> rule, of the settings of data modules and samplers."""


def check_value(key: str, value: Any, rule: Rule) -> Any:
    """Return a value as the type that its rule gives it.

    Raises:
        UserError: if the rule does not accept it; the message names the key, the value and what it must be.
    """
    try:
        return rule(value)
    except ValueError as error:
        raise UserError(f"{key}={'null' if value is None else value}: must be {error}") from None
