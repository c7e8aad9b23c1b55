"""Which differences between groups exceed the spread of the seeds, and which do not."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from reluviz.analysis.report import statistics
from reluviz.analysis.report.groups import Group, Groups, Value
from reluviz.analysis.report.labels import by_value

METHOD = (
    "Groups that differ in one setting are compared seed by seed: a seed has the same start and the same minibatches "
    "in both, so that its own good or bad luck drops out. A difference exceeds the seeds' spread if one group is ahead "
    "in so many of the shared seeds that a coin, thrown for each seed, would do so in fewer than 5 of 100 reports: the "
    "exact sign test, two-sided, by Holm's rule over all comparisons of the report. How large a difference is has no "
    "say in it. Replicas that diverged count as infinitely bad."
)
DIFFERS, ALIKE, UNKNOWN = "differs", "alike", "unknown"
FEWEST = 6
"""Shared seeds, from which all of them on one side are rarer than 5 of 100: 2 / 2^6 = 0.03."""
MOST_PAIRS = 2000
"""With more pairs of groups than these, only neighbouring values of a setting are compared."""


@dataclass(frozen=True)
class Finding:
    """Two groups that differ in one setting, compared seed by seed.

    Attributes:
        key: the setting.
        better: its value in the group that has the smaller metric in more of the seeds.
        worse: its value in the other.
        settings: the settings that the two groups share.
        metric: what is compared, such as loss/test.
        seeds: how many seeds both groups have come to the end with, or diverged.
        wins: in how many of these `better` has the smaller value.
        losses: in how many it has the larger one; in the others the two are equal.
        kind: ratio, or difference for what is no loss.
        effect: the median over the shared seeds of better / worse, or of better - worse; NaN without any.
        p: two-sided, of the exact sign test; NaN with too few seeds.
        adjusted: p by Holm's rule, over all comparisons of the report.
        verdict: differs: it exceeds the seeds' spread; alike: it does not; unknown: too few seeds to tell.
        sentence: all of it in plain words.
    """

    key: str
    better: Value
    worse: Value
    settings: Mapping[str, Value]
    metric: str
    seeds: int
    wins: int
    losses: int
    kind: str
    effect: float
    p: float
    adjusted: float
    verdict: str
    sentence: str


@dataclass(frozen=True)
class _Pair:
    """Two groups that differ in `key` only, with the metric of their shared seeds, [s]; `a` is the better one."""

    key: str
    a: Group
    b: Group
    of_a: NDArray[np.float64]
    of_b: NDArray[np.float64]

    @property
    def wins(self) -> int:
        return int((self.of_a < self.of_b).sum())

    @property
    def losses(self) -> int:
        return int((self.of_a > self.of_b).sum())


def compare(study: Groups, metric: str) -> list[Finding]:
    """Return a finding for each pair of groups that differ in one setting: the clearest first, the unclear last.

    Replicas that diverged count as infinitely bad; those that were stopped because another one diverged, or have not
    come to their end, are in no pair.
    """
    pairs = [_turned(_pair(key, a, b, metric)) for key, a, b in _neighbours(study, metric)]
    told = [pair for pair in pairs if len(pair.of_a) >= FEWEST]
    p = [statistics.sign_test(pair.wins, pair.losses) for pair in told]
    adjusted = dict(zip(map(id, told), zip(p, statistics.holm(p), strict=True), strict=True))
    found = [_finding(pair, metric, *adjusted.get(id(pair), (np.nan, np.nan)), len(told)) for pair in pairs]
    order = (DIFFERS, ALIKE, UNKNOWN)
    # sorted is stable: among equals they stay in the order of settings
    return sorted(found, key=lambda one: (order.index(one.verdict), np.nan_to_num(one.adjusted, nan=2.0)))


def ratio(value: float) -> str:
    """Return a ratio as in 0.41x."""
    return f"{value:.2f}x" if 0.095 <= value < 99.5 else f"{value:.2g}x"


def named(key: str, value: Value) -> str:
    """Return a value so that it can be understood: a word by itself, a number with its key."""
    return value if isinstance(value, str) and value != "none" else f"{key}={value}"


def _neighbours(study: Groups, metric: str) -> Iterator[tuple[str, Group, Group]]:
    """Yield the pairs of groups that differ in one key only, as (key, group, group)."""
    families: dict[tuple[str, tuple[Value, ...]], list[Group]] = defaultdict(list)
    for group in study.groups:
        if metric in group.final:
            for key in study.keys:
                families[key, tuple(value for name, value in group.settings.items() if name != key)].append(group)
    count = sum(len(family) * (len(family) - 1) // 2 for family in families.values())
    choose = pairwise if count > MOST_PAIRS else lambda family: combinations(family, 2)
    for (key, _), family in sorted(families.items(), key=lambda one: study.keys.index(one[0][0])):
        ordered = sorted(family, key=lambda group: by_value({key: group.settings[key]}))
        yield from ((key, a, b) for a, b in choose(ordered))


def _pair(key: str, a: Group, b: Group, metric: str) -> _Pair:
    first, second = _known(a, metric), _known(b, metric)
    shared = sorted(first.keys() & second.keys())
    return _Pair(key, a, b, np.array([first[seed] for seed in shared]), np.array([second[seed] for seed in shared]))


def _known(group: Group, metric: str) -> dict[int, float]:
    """Return seed -> value, for replicas that came to their end, or diverged."""
    return {
        replica.seed: value
        for replica, value in zip(group.replicas, group.final[metric].tolist(), strict=True)
        if not np.isnan(value) and (replica.status != "diverged" or np.isinf(value))
    }


def _turned(pair: _Pair) -> _Pair:
    """Return the pair with the better group first."""
    if (pair.wins, -_middle(pair.of_a)) >= (pair.losses, -_middle(pair.of_b)):
        return pair
    return _Pair(pair.key, pair.b, pair.a, pair.of_b, pair.of_a)


def _middle(values: NDArray[np.float64]) -> float:
    return float(statistics.percentiles(values, (50,))[0]) if len(values) else 0.0


def _effect(pair: _Pair, kind: str) -> float:
    """Return the median of a / b, by logarithms, or of a - b; two that are equal, even infinite, do not differ."""
    if len(pair.of_a) == 0:
        return float("nan")
    with np.errstate(divide="ignore", invalid="ignore"):
        if kind == "ratio":
            d = np.where(pair.of_a == pair.of_b, 0.0, np.log10(pair.of_a) - np.log10(pair.of_b))
        else:
            d = np.where(pair.of_a == pair.of_b, 0.0, pair.of_a - pair.of_b)
    ordered = np.sort(d)
    low, high = float(ordered[(len(d) - 1) // 2]), float(ordered[len(d) // 2])
    # between -inf and inf lies no number
    middle = low if low == high else (low + high) / 2 if np.isfinite([low, high]).any() else 0.0
    return float(10.0**middle) if kind == "ratio" else middle


def _finding(pair: _Pair, metric: str, p: float, adjusted: float, tests: int) -> Finding:
    kind = "ratio" if metric.startswith("loss/") else "difference"
    seeds = len(pair.of_a)
    if seeds < FEWEST:
        verdict = UNKNOWN
    elif adjusted < statistics.LEVEL:
        verdict = DIFFERS
    else:
        # where even all seeds on one side would not do, nothing can be said of fewer
        verdict = ALIKE if tests * statistics.sign_test(seeds, 0) < statistics.LEVEL else UNKNOWN
    effect = _effect(pair, kind)
    shared = {key: value for key, value in pair.a.settings.items() if key != pair.key}
    return Finding(
        key=pair.key,
        better=pair.a.settings[pair.key],
        worse=pair.b.settings[pair.key],
        settings=shared,
        metric=metric,
        seeds=seeds,
        wins=pair.wins,
        losses=pair.losses,
        kind=kind,
        effect=effect,
        p=p,
        adjusted=adjusted,
        verdict=verdict,
        sentence=_sentence(pair, shared, metric, kind, effect, adjusted, verdict, tests),
    )


def _sentence(
    pair: _Pair,
    shared: Mapping[str, Value],
    metric: str,
    kind: str,
    effect: float,
    adjusted: float,
    verdict: str,
    tests: int,
) -> str:
    a, b = (named(pair.key, group.settings[pair.key]) for group in (pair.a, pair.b))
    where = f" at {' '.join(f'{key}={value}' for key, value in shared.items())}" if shared else ""
    seeds = len(pair.of_a)
    if seeds < FEWEST:
        count = f"{seeds} seed{'s' * (seeds != 1)}" if seeds else "no seeds"
        return f"{a} and {b}{where}: cannot be told from {count} shared, where one comparison by itself needs {FEWEST}"
    size = ratio(effect) if kind == "ratio" else f"{effect:+.3g}"
    ahead = f"{metric} {size} (median over {seeds} shared seeds), smaller in {pair.wins} of {seeds}"
    if verdict == DIFFERS:
        verb = "beats" if kind == "ratio" else "is below"
        return f"{a} {verb} {b}{where}: {ahead}; exceeds the seeds' spread (p = {adjusted:.1g})"
    if verdict == UNKNOWN:
        return f"{a} and {b}{where}: {ahead}; cannot be told from {seeds} seeds in {tests} comparisons"
    return f"{a} and {b}{where}: {ahead}; no difference beyond the seeds' spread (p = {adjusted:.1g})"


def fewest_seeds(comparisons: int) -> int:
    """Return with how many shared seeds, all on one side, each of so many comparisons could be told."""
    seeds = FEWEST
    while comparisons * statistics.sign_test(seeds, 0) >= statistics.LEVEL:
        seeds += 1
    return seeds
