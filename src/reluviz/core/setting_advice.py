"""Advice on the settings of a run, for `verdicts`: step size, number of updates, elbows, ridge penalty."""

import math
from functools import cached_property

from reluviz.core.run_facts import RunFacts

HIDDEN_FRACTION = 1 / 20
"""Of the largest stable step size at the start, for hidden layers: the curvature grows during training, and minibatches
lower the limit. The course's step size, 0.02, is 1/37 of it at width 20 and 1/26 at width 40."""
OUTPUT_FRACTION = 1 / 2
"""Of the largest stable step size, for a quadratic loss: one parameter then reaches its optimum in one update."""
LONGER = 5
"""Times as many updates, for a run that is still falling: losses fall about like a power of the number of updates, so
that twice as many change little."""


class Advice:
    """Settings that would help, each as a line: `try step_size=0.03`.

    Args:
        facts: of the run.
    """

    def __init__(self, facts: RunFacts) -> None:
        self.facts = facts

    @cached_property
    def suggested_step(self) -> float | None:
        """Return a step size that is safe; None where theory knows none."""
        stable = self.facts.stable_step()
        if stable is None or not math.isfinite(stable):
            return None
        fraction = HIDDEN_FRACTION if self.facts.hidden_trained else OUTPUT_FRACTION
        return one_digit(fraction * stable)

    def smaller_step(self) -> str:
        """Return advice for a run whose step size is too large; if its output layer is solved, for its penalty."""
        if self.facts.ridge is not None:
            return self.smaller_ridge()
        rate, suggested = self.facts.rate, self.suggested_step
        if not rate:
            return "try a smaller step size"
        if suggested is None or suggested > rate / 2:
            suggested = one_digit(rate / 5)
        return f"try {self.facts.names.rate}={suggested:g}"

    def faster(self) -> str:
        """Return advice for a run that moves in the right direction, but has not come far."""
        rate, suggested = self.facts.rate, self.suggested_step
        if rate and suggested and rate >= 2 * suggested:
            return f"try {self.facts.names.rate}={suggested:g}"
        return self.longer()

    def longer(self) -> str:
        """Return advice for a run that needs more updates, or larger ones if theory says that these are safe."""
        rate, suggested = self.facts.rate, self.suggested_step
        if rate and suggested and suggested >= 2 * rate:
            return f"try {self.facts.names.rate}={suggested:g}"
        return f"try updates={LONGER * int(self.facts.updates[-1])}"

    def smaller_ridge(self) -> str:
        """Return advice for a run whose penalty is too large; empty if it is 0."""
        if not self.facts.ridge:
            return ""
        return f"try {self.facts.names.model}ridge={one_digit(self.facts.ridge / 1000):g}"

    def revive(self, since: int) -> str:
        """Return advice for units that are on one side of all points since an update."""
        if since == 0 or not self.facts.hidden_trained:
            names = self.facts.names
            unset = "".join(f" {names.model}{name}={names.none}" for name in self.facts.placed_by)
            return f"try {names.model}elbows=uniform{unset}"
        return self.smaller_step()


def one_digit(value: float) -> float:
    """Return a positive number rounded down to one significant digit."""
    power = math.floor(math.log10(value))
    # the small factor is for numbers that rounding has put below a digit
    return float(f"{math.floor(value / 10.0**power * (1 + 1e-9))}e{power}")


def two_digits_up(value: float) -> int:
    """Return a number rounded up to two significant digits."""
    unit: int = 10 ** max(0, math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit) * unit
