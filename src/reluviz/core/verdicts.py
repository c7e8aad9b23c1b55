"""Judge the facts of a run: `find` returns what became of it, and a property of `_Figures` decides on each finding.

docs/findings.md has the same formulas and thresholds as a table.

Legend of shapes: S snapshots, R replicas.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from reluviz.core.findings import ORDER, Finding
from reluviz.core.models import Array
from reluviz.core.run_facts import LastTenth, RunFacts, first_of_last_stretch, last_tenth
from reluviz.core.setting_advice import Advice, two_digits_up
from reluviz.core.theory import relu

NOTICEABLE = 0.01
"""Of var(y). Smaller differences of R^2 cannot be seen in the picture of the fit, and are ignored."""
FAR = 0.05
"""Of var(y): from here on a run is far from least squares. The course's networks of width 20 and 40 end within 0.01."""
SWING = 0.05
"""Of var(y): a standard deviation above it makes it a matter of luck where the run ends. The course's networks stay
below 0.03 with the course's step sizes."""
MISSED = 0.1
"""Of var(y): a network that misses more than this of what noise leaves has learned only a part."""
MOST = 0.5
"""Of the units: from here on most of them are dead."""
SIGNIFICANCE = 3.0
"""A rise counts if it exceeds this many standard errors: noise alone does that in about 1 of 200 runs with 15 snapshots
in their last tenth (Student's t)."""
NEAR_ONE = 10.0
"""Step sizes suit values up to this size, with a range of at least its inverse."""
MAX_THEORY_REPLICAS = 5
"""Theory is asked about this many replicas; one takes as long as a thousand updates."""


def find(facts: RunFacts) -> tuple[Finding, ...]:
    """Return the findings of a run, by rank. Every replica has at least one."""
    figures = _Figures(facts)
    found = []
    for name in ORDER:
        verdict: _Verdict | None = getattr(figures, name)
        if verdict is not None and verdict.holds.any():
            rows = np.flatnonzero(verdict.holds)
            text, advice = verdict.words(rows)
            found.append(Finding(name, text, advice, tuple(rows.tolist()), len(verdict.holds)))
    return tuple(found)


Rows = NDArray[np.int64]
"""Indices of the replicas that a finding holds for."""


@dataclass(frozen=True)
class _Verdict:
    """Which replicas a finding holds for, [R], and its text and advice for these replicas."""

    holds: NDArray[np.bool_]
    words: Callable[[Rows], tuple[str, str]]


class _Figures:
    """The figures of a run, and one property for each name in `ORDER`, None where it does not apply."""

    def __init__(self, facts: RunFacts) -> None:
        self.facts = facts
        self.r_squared = facts.r_squared
        self.start, self.end = self.r_squared[0], self.r_squared[-1]
        self.last = int(facts.updates[-1])
        self.is_diverged = facts.diverged | ~np.isfinite(facts.loss[-1])
        self.advice = Advice(facts)
        self.is_network = facts.optimum is None

    @cached_property
    def tenth(self) -> LastTenth:
        return last_tenth(self.facts.updates, self.r_squared)

    @cached_property
    def rising(self) -> NDArray[np.bool_]:
        rise = self.tenth.rise
        certain = (rise > NOTICEABLE) & (rise > SIGNIFICANCE * self.tenth.error)
        rising: NDArray[np.bool_] = certain & ~self.is_diverged & (self.facts.ridge is None)
        return rising

    # the findings, in the order of ORDER

    @property
    def unscaled(self) -> _Verdict | None:
        facts = self.facts
        ranges = {"x": facts.x_range, "y": facts.y_range}
        far = [
            f"{name} goes from {low:.6g} to {high:.6g}"
            for name, (low, high) in ranges.items()
            if max(abs(low), abs(high)) > NEAR_ONE or high - low < 1 / NEAR_ONE
        ]
        if facts.scaled or not far:
            return None
        failures = (self.all_units_dead, self.higher_than_at_start, self.no_better_than_constant, self.far_from_optimum)
        failed = self.is_diverged.copy()
        for verdict in failures:
            if verdict is not None:
                failed |= verdict.holds
        if facts.variance == 0:
            # there is nothing to learn, in any units
            failed &= self.is_diverged
        text = f"nothing was learned, and {' and '.join(far)}, where step sizes suit values of about 1"
        return _Verdict(failed, lambda rows: (text, f"try {facts.names.scaling}"))

    @property
    def diverged(self) -> _Verdict:
        text = f"diverged by update {self.last:,}"
        return _Verdict(self.is_diverged, lambda rows: (text, self.facts.divergence_advice))

    @cached_property
    def all_units_dead(self) -> _Verdict | None:
        if self.facts.dead is None:
            return None
        width = self.facts.width
        all_dead: NDArray[np.bool_] = self.facts.dead == width

        def words(rows: Rows) -> tuple[str, str]:
            units = f"all {width:,} units are" if width > 1 else "the only unit is"
            since = self._since(all_dead, rows)
            return f"{units} dead since update {since:,}, so that f is a constant", self.advice.revive(since)

        return _Verdict(all_dead[-1] & ~self.is_diverged, words)

    @property
    def stopped_early(self) -> _Verdict:
        planned, others = self.facts.planned, self.is_diverged.any()
        text = f"stopped after {self.last:,} of {planned:,} updates" + ", when another replica diverged" * bool(others)
        advice = "" if others else "resume the run"
        return _Verdict(~self.is_diverged & (self.last < planned), lambda rows: (text, advice))

    @cached_property
    def higher_than_at_start(self) -> _Verdict:
        loss, unit = self.facts.loss, self.facts.variance
        if unit == 0:
            unit = float(np.median(loss[0]))

        def words(rows: Rows) -> tuple[str, str]:
            first, last = (_median(loss[s], rows) for s in (0, -1))
            return f"the loss is higher than at the start: {last:.4g} after {first:.4g}", self.advice.smaller_step()

        with np.errstate(all="ignore"):
            return _Verdict(~self.is_diverged & (loss[-1] - loss[0] > NOTICEABLE * unit), words)

    @cached_property
    def no_better_than_constant(self) -> _Verdict | None:
        if not self.is_network:
            return None

        def words(rows: Rows) -> tuple[str, str]:
            text = f"no better than a constant: R^2 = {self._r(rows)} is not above {NOTICEABLE}"
            return text, self._learn_something(rows)

        return _Verdict(~self.is_diverged & (self.end <= NOTICEABLE), words)

    @property
    def most_units_dead(self) -> _Verdict | None:
        dead, width = self.facts.dead, self.facts.width
        if dead is None:
            return None
        most: NDArray[np.bool_] = dead >= MOST * width

        def words(rows: Rows) -> tuple[str, str]:
            count, since = int(_median(dead[-1], rows)), self._since(most, rows)
            text = f"{count:,} of {width:,} units are dead, half of them since update {since:,}"
            return f"{text}; R^2 = {self._r(rows)}", self.advice.revive(since)

        return _Verdict(most[-1] & (dead[-1] < width) & ~self.is_diverged, words)

    @property
    def no_bent_unit(self) -> _Verdict | None:
        dead, linear = self.facts.dead, self.facts.linear
        if dead is None or linear is None:
            return None
        straight = (dead + linear == self.facts.width) & (linear > 0)

        def words(rows: Rows) -> tuple[str, str]:
            since = self._since(straight, rows)
            text = f"no unit bends within the data since update {since:,}, so that f is a straight line there"
            return f"{text}; R^2 = {self._r(rows)}", self.advice.revive(since)

        return _Verdict(straight[-1] & ~self.is_diverged, words)

    @property
    def fluctuating(self) -> _Verdict:
        def words(rows: Rows) -> tuple[str, str]:
            swing = _median(self.tenth.swing, rows)
            text = f"fluctuating: R^2 = {self._r(rows)}, give or take {swing:.2g} in the last tenth of the run"
            return text, self.advice.smaller_step()

        return _Verdict(~self.is_diverged & (self.tenth.swing > SWING), words)

    @cached_property
    def far_from_optimum(self) -> _Verdict | None:
        optimum = self.facts.optimum
        if optimum is None:
            return None

        def words(rows: Rows) -> tuple[str, str]:
            text = f"theta is far from its optimum: the loss is {_median(self.facts.loss[-1], rows):.4g}"
            return f"{text}, {optimum:.4g} there", self._reach_optimum(rows, optimum)

        return _Verdict(~self.is_diverged & (self.facts.loss[-1] - optimum > self._unit), words)

    @property
    def far_above_least_squares(self) -> _Verdict | None:
        facts = self.facts
        if facts.least_squares is None or not facts.output_trained or facts.variance == 0:
            return None
        best = np.full(len(self.end), np.nan)
        best[: len(facts.least_squares)] = 1 - facts.least_squares / facts.variance
        far = ~self.is_diverged & (best - self.end > FAR)
        if facts.output_layer is None:
            # while it falls, the elbows are still moving, and more updates are the advice anyway
            far &= ~self.rising

        def words(rows: Rows) -> tuple[str, str]:
            same = "last hidden layer" if facts.hidden else "elbows"
            text = f"far above least squares on the same {same}: R^2 = {self._r(rows)}, not {_median(best, rows):.3g}"
            missing = self._missing_updates(rows)
            if missing is not None and missing < np.inf:
                text += f"; in theory about {_rounded(missing)} updates are missing"
            return text, self._reach_least_squares(missing)

        return _Verdict(far, words)

    @property
    def still_falling(self) -> _Verdict:
        def words(rows: Rows) -> tuple[str, str]:
            rise = _median(self.tenth.rise, rows)
            text = f"still falling: R^2 = {self._r(rows)}, up by {rise:.2g} in the last tenth of the run"
            return text, self.advice.longer()

        return _Verdict(self.rising, words)

    def _wider(self) -> str:
        """Return the setting of a network of twice the width."""
        if not self.facts.hidden:
            return f"width={2 * self.facts.width}"
        return f"hidden=[{','.join(str(2 * width) for width in self.facts.hidden)}]"

    @property
    def learned_in_part(self) -> _Verdict | None:
        if not self.is_network:
            return None

        def words(rows: Rows) -> tuple[str, str]:
            text = f"learned in part: R^2 = {self._r(rows)}, and the noise between neighbouring points leaves"
            advice = f"try {self.facts.names.model}{self._wider()}" if self.facts.width else ""
            return f"{text} {self._possible:.3g}", advice

        return _Verdict(self._better_than_constant & ~self._nearly_all, words)

    @property
    def learned(self) -> _Verdict | None:
        if not self.is_network:
            return None
        learned = self._better_than_constant & self._nearly_all
        return _Verdict(learned, lambda rows: (f"learned: R^2 = {self._r(rows)} on the training points", ""))

    @property
    def at_optimum(self) -> _Verdict | None:
        optimum = self.facts.optimum
        if optimum is None:
            return None

        def words(rows: Rows) -> tuple[str, str]:
            r_squared = "" if self.facts.variance == 0 else f", R^2 = {self._r(rows)}"
            return f"theta has reached its optimum: loss {_median(self.facts.loss[-1], rows):.4g}{r_squared}", ""

        return _Verdict(~self.is_diverged & (self.facts.loss[-1] - optimum <= self._unit), words)

    @property
    def all_y_equal(self) -> _Verdict:
        equal = ~self.is_diverged & (self.facts.variance == 0)
        return _Verdict(equal, lambda rows: ("all y are equal, so that there is nothing to learn but a constant", ""))

    # figures of several findings

    @property
    def _unit(self) -> float:
        """The largest difference of losses that is ignored; if all y are equal, measured by the loss at the start."""
        return NOTICEABLE * (self.facts.variance or float(np.nan_to_num(self.facts.loss[0]).max()))

    @property
    def _possible(self) -> float:
        """The R^2 of the target itself, as far as the noise can be estimated."""
        return 1 - min(1.0, self.facts.noise / self.facts.variance) if self.facts.variance else math.nan

    @property
    def _better_than_constant(self) -> NDArray[np.bool_]:
        better: NDArray[np.bool_] = ~self.is_diverged & (self.end > NOTICEABLE)
        return better

    @property
    def _nearly_all(self) -> NDArray[np.bool_]:
        enough: NDArray[np.bool_] = self.end >= self._possible - MISSED
        return enough

    def _r(self, rows: Rows) -> str:
        value = _median(self.end, rows)
        if 1 > value > 0.9995:
            # not 1, which is a perfect fit
            return f"{math.floor(value * 1e6) / 1e6:g}" if value < 0.99999 else "0.99999"
        # adding 0 turns -0 into 0
        return f"{round(value, 3) + 0:g}" if abs(value) < 10 else f"{value:.3g}"

    def _since(self, holds: NDArray[np.bool_], rows: Rows) -> int:
        return int(_median(first_of_last_stretch(self.facts.updates, holds), rows))

    def _missing_updates(self, rows: Rows) -> float | None:
        """Return the median number of updates until the runs are no longer far from least squares."""
        if self.facts.output_layer is None:
            return None
        counts = []
        for r in rows[:MAX_THEORY_REPLICAS].tolist():
            layer = self.facts.output_layer(r)
            goal = FAR / 2 * layer.variance
            counts.append(relu.updates_to_reach(layer.phi, layer.y, layer.theta, layer.lr, goal, layer.samples))
        return float(np.percentile(counts, 50, method="higher"))

    # advice

    def _learn_something(self, rows: Rows) -> str:
        facts = self.facts
        if self.all_units_dead is not None and self.all_units_dead.holds[rows].all():
            return self.all_units_dead.words(rows)[1]
        if facts.ridge is not None:
            return self.advice.smaller_ridge()
        rose = np.median((self.end - self.start)[rows]) > 0
        return self.advice.faster() if rose else self.advice.smaller_step()

    def _reach_optimum(self, rows: Rows, optimum: float) -> str:
        rho, loss = self.facts.contraction, self.facts.loss
        if rho is None:
            return self.advice.faster()
        # E theta follows the full batch: if theta could be there by now, noise keeps it away
        expected = (loss[0] - optimum) * rho ** (2 * self.last)
        if rho < 0 or np.median(expected[rows]) < self._unit:
            return self.advice.smaller_step()
        ratio = float(np.median((loss[-1] - optimum)[rows])) / self._unit
        missing = math.log(2 * ratio) / (-2 * math.log(rho)) if 0 < rho < 1 else math.inf
        if missing <= 10 * self.last:
            return f"try updates={two_digits_up(self.last + missing)}"
        return self.advice.faster()

    def _reach_least_squares(self, missing: float | None) -> str:
        if self.facts.ridge is not None:
            return self.advice.smaller_ridge()
        if missing is None:
            return self.advice.faster()
        if missing <= self.last:
            return f"try updates={two_digits_up(self.last + missing)}"
        return f"try {self.facts.names.model}train=ridge, which solves the output layer"


def _median(values: Array | NDArray[np.int64], rows: Rows) -> float:
    """Return the median over some replicas; of an even number the lower one of the two in the middle."""
    return float(np.percentile(values[rows], 50, method="lower"))


def _rounded(value: float) -> str:
    """Return a number of updates in words, with two significant digits."""
    return f"{int(float(f'{value:.1e}')):,}" if value < 1e12 else f"{value:.0e}"
