"""Test which differences between groups exceed the spread of the seeds."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from reluviz.analysis.report import statistics
from reluviz.analysis.report.groups import Group, Groups, Value
from reluviz.analysis.report.labels import label_sort_key
from reluviz.core.distribution import percentiles
from reluviz.record import tags

METHOD = (
    "Groups that differ in one setting are compared seed by seed: a seed has the same start and the same minibatches "
    "in both, so that its own good or bad luck drops out. A difference exceeds the seeds' spread if one group is ahead "
    "in so many of the shared seeds that a coin, thrown for each seed, would do so in fewer than 5 of 100 reports: the "
    "exact sign test, two-sided, by Holm's rule over all comparisons of the report. How large a difference is has no "
    "say in it. Replicas that diverged count as infinitely bad."
)
DIFFERS, ALIKE, UNKNOWN = "differs", "alike", "unknown"
MIN_SEEDS = 6
"""With this many shared seeds, all on one side, p is below 0.05: 2 / 2^6 = 0.03."""
MAX_PAIRS = 2000
"""With more pairs of groups, only groups with adjacent values of a setting are compared."""


@dataclass(frozen=True)
class Finding:
    """Two groups that differ in one setting, compared seed by seed.

    Attributes:
        key: the setting.
        better: its value in the group that has the smaller metric for more of the shared seeds.
        worse: its value in the other group.
        settings: the settings that the two groups share.
        metric: the compared metric, such as loss/test.
        seeds: the number of shared seeds: in both groups the replica ended or diverged.
        wins: the number of shared seeds for which `better` has the smaller value.
        losses: the number for which it has the larger one; the remaining seeds are ties.
        kind: ratio for losses, difference for other metrics.
        effect: the median over the shared seeds of better / worse, or of better - worse; NaN without shared seeds.
        p: two-sided p value of the exact sign test; NaN with too few seeds.
        adjusted: p adjusted by Holm's rule for all comparisons of the report.
        verdict: differs (it exceeds the seeds' spread), alike (it does not) or unknown (too few seeds).
        sentence: the finding in words.
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
    """Two groups that differ in `key` only, with the metric of their n shared seeds, [n] each."""

    key: str
    a: Group
    b: Group
    values_a: NDArray[np.float64]
    values_b: NDArray[np.float64]

    @property
    def wins(self) -> int:
        return int((self.values_a < self.values_b).sum())

    @property
    def losses(self) -> int:
        return int((self.values_a > self.values_b).sum())


def compare(groups: Groups, metric: str) -> list[Finding]:
    """Return a finding for each pair of groups that differ in one setting, sorted by verdict and p value.

    Replicas that diverged count as infinitely bad. Replicas that have not ended, or were stopped because another one
    of their run diverged, are left out.
    """
    pairs = [_better_first(_pair(key, a, b, metric)) for key, a, b in _groups_to_compare(groups, metric)]
    tested = [pair for pair in pairs if len(pair.values_a) >= MIN_SEEDS]
    p = [statistics.sign_test(pair.wins, pair.losses) for pair in tested]
    adjusted = dict(zip(map(id, tested), zip(p, statistics.holm(p), strict=True), strict=True))
    found = [_finding(pair, metric, *adjusted.get(id(pair), (np.nan, np.nan)), len(tested)) for pair in pairs]
    order = (DIFFERS, ALIKE, UNKNOWN)
    # sorted is stable: findings with the same p keep the order of their settings
    return sorted(found, key=lambda finding: (order.index(finding.verdict), np.nan_to_num(finding.adjusted, nan=2.0)))


def ratio_in_words(value: float) -> str:
    """Return a ratio as text: 0.41x."""
    return f"{value:.2f}x" if 0.095 <= value < 99.5 else f"{value:.2g}x"


def value_in_words(key: str, value: Value) -> str:
    """Return a value as it stands in a sentence: a word alone, a number with its key."""
    return value if isinstance(value, str) and value != "none" else f"{key}={value}"


def _groups_to_compare(groups: Groups, metric: str) -> Iterator[tuple[str, Group, Group]]:
    """Yield (key, group, group) for each pair of groups that differ in this key only."""
    comparable: dict[tuple[str, tuple[Value, ...]], list[Group]] = defaultdict(list)
    for group in groups.groups:
        if metric in group.final:
            for key in groups.keys:
                comparable[key, tuple(value for name, value in group.settings.items() if name != key)].append(group)
    count = sum(len(members) * (len(members) - 1) // 2 for members in comparable.values())
    choose = pairwise if count > MAX_PAIRS else lambda members: combinations(members, 2)
    for (key, _), members in sorted(comparable.items(), key=lambda item: groups.keys.index(item[0][0])):
        ordered = sorted(members, key=lambda group: label_sort_key({key: group.settings[key]}))
        yield from ((key, a, b) for a, b in choose(ordered))


def _pair(key: str, a: Group, b: Group, metric: str) -> _Pair:
    first, second = _final_by_seed(a, metric), _final_by_seed(b, metric)
    shared = sorted(first.keys() & second.keys())
    return _Pair(key, a, b, np.array([first[seed] for seed in shared]), np.array([second[seed] for seed in shared]))


def _final_by_seed(group: Group, metric: str) -> dict[int, float]:
    """Return seed -> value of the metric, for replicas that ended or diverged."""
    return {
        replica.seed: value
        for replica, value in zip(group.replicas, group.final[metric].tolist(), strict=True)
        if not np.isnan(value) and (replica.status != "diverged" or np.isinf(value))
    }


def _better_first(pair: _Pair) -> _Pair:
    """Return the pair with the better group first."""
    if (pair.wins, -_median(pair.values_a)) >= (pair.losses, -_median(pair.values_b)):
        return pair
    return _Pair(pair.key, pair.b, pair.a, pair.values_b, pair.values_a)


def _median(values: NDArray[np.float64]) -> float:
    return float(percentiles(values, (50,))[0]) if len(values) else 0.0


def _effect(pair: _Pair, kind: str) -> float:
    """Return the median over the seeds of a / b, taken in logarithms, or of a - b.

    Equal values do not differ, even if they are infinite.
    """
    if len(pair.values_a) == 0:
        return float("nan")
    with np.errstate(divide="ignore", invalid="ignore"):
        if kind == "ratio":
            differences = np.where(
                pair.values_a == pair.values_b, 0.0, np.log10(pair.values_a) - np.log10(pair.values_b)
            )
        else:
            differences = np.where(pair.values_a == pair.values_b, 0.0, pair.values_a - pair.values_b)
    ordered = np.sort(differences)
    low, high = float(ordered[(len(differences) - 1) // 2]), float(ordered[len(differences) // 2])
    # the mean of -inf and inf is not defined
    median = low if low == high else (low + high) / 2 if np.isfinite([low, high]).any() else 0.0
    return float(10.0**median) if kind == "ratio" else median


def _finding(pair: _Pair, metric: str, p: float, adjusted: float, tests: int) -> Finding:
    kind = "ratio" if tags.is_loss(metric) else "difference"
    seeds = len(pair.values_a)
    if seeds < MIN_SEEDS:
        verdict = UNKNOWN
    elif adjusted < statistics.LEVEL:
        verdict = DIFFERS
    else:
        # unknown if even all seeds on one side would not be significant
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
    a, b = (value_in_words(pair.key, group.settings[pair.key]) for group in (pair.a, pair.b))
    where = f" at {' '.join(f'{key}={value}' for key, value in shared.items())}" if shared else ""
    seeds = len(pair.values_a)
    if seeds < MIN_SEEDS:
        count = f"{seeds} seed{'s' * (seeds != 1)}" if seeds else "no seeds"
        return f"{a} and {b}{where}: cannot be told from {count} shared, where one comparison alone needs {MIN_SEEDS}"
    size = ratio_in_words(effect) if kind == "ratio" else f"{effect:+.3g}"
    ahead = f"{metric} {size} (median over {seeds} shared seeds), smaller in {pair.wins} of {seeds}"
    if verdict == DIFFERS:
        verb = "beats" if kind == "ratio" else "is below"
        return f"{a} {verb} {b}{where}: {ahead}; exceeds the seeds' spread (p = {adjusted:.1g})"
    if verdict == UNKNOWN:
        return f"{a} and {b}{where}: {ahead}; cannot be told from {seeds} seeds in {tests} comparisons"
    return f"{a} and {b}{where}: {ahead}; no difference beyond the seeds' spread (p = {adjusted:.1g})"


def seeds_needed(comparisons: int) -> int:
    """Return the number of shared seeds, all on one side, that makes each of these comparisons significant."""
    seeds = MIN_SEEDS
    while comparisons * statistics.sign_test(seeds, 0) >= statistics.LEVEL:
        seeds += 1
    return seeds
