"""What became of a run: findings, each with its figures and the setting that would help.

docs/findings.md lists every finding with its formula and threshold; `verdicts` decides on them. A finding holds for
some replicas, and its figures are medians over these.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

ORDER = (
    "unscaled",
    "diverged",
    "all_units_dead",
    "stopped_early",
    "higher_than_at_start",
    "no_better_than_constant",
    "most_units_dead",
    "no_bent_unit",
    "fluctuating",
    "far_from_optimum",
    "far_above_least_squares",
    "still_falling",
    "learned_in_part",
    "learned",
    "at_optimum",
    "all_y_equal",
)
"""The names of all findings, by rank: first failures and their causes, then what could be better, then success."""


@dataclass(frozen=True)
class Finding:
    """One thing that became of a run.

    Attributes:
        name: a key that does not change between versions; see `ORDER`.
        text: one line with figures, medians over the replicas.
        advice: the setting that would help; may be empty.
        replicas: indices of the replicas that it holds for.
        total: the number of replicas of the run.
    """

    name: str
    text: str
    advice: str
    replicas: tuple[int, ...]
    total: int

    @property
    def rank(self) -> int:
        """The place among a run's findings; the smallest comes first."""
        return ORDER.index(self.name) if self.name in ORDER else len(ORDER)

    @property
    def label(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ")

    @property
    def sentence(self) -> str:
        """The text; with several replicas it begins with the number of those that it holds for."""
        return f"{len(self.replicas):,} of {self.total:,} replicas: {self.text}" if self.total > 1 else self.text

    @property
    def line(self) -> str:
        """The sentence and the advice."""
        return "; ".join(filter(None, [self.sentence, self.advice]))

    def plain(self) -> dict[str, Any]:
        """Return the finding as a dictionary that JSON can hold."""
        return asdict(self) | {"replicas": list(self.replicas)}


def from_plain(values: Iterable[Mapping[str, Any]]) -> tuple[Finding, ...]:
    """Return findings from what `Finding.plain` returned.

    Raises:
        LookupError, TypeError, ValueError: if the values are something else.
    """
    found = []
    for value in values:
        name, text, advice = (value[key] for key in ("name", "text", "advice"))
        replicas, total = [int(r) for r in value["replicas"]], int(value["total"])
        if not all(isinstance(word, str) for word in (name, text, advice)) or not all(0 <= r < total for r in replicas):
            raise ValueError("this is no finding")
        found.append(Finding(name, text, advice, tuple(replicas), total))
    return tuple(found)


def first_findings(found: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings that come first for some replica, each with only those replicas, by rank."""
    seen: set[int] = set()
    first = []
    for finding in sorted(found, key=lambda one: one.rank):
        rows = tuple(r for r in finding.replicas if r not in seen)
        seen.update(rows)
        if rows:
            first.append(Finding(finding.name, finding.text, finding.advice, rows, finding.total))
    return tuple(first)


def first_labels(found: Sequence[Finding], total: int) -> tuple[str, ...]:
    """Return for each of `total` replicas the label of its first finding, empty if it has none."""
    labels = {r: finding.label for finding in first_findings(found) for r in finding.replicas}
    return tuple(labels.get(r, "") for r in range(total))


def count_labels(labels: Iterable[str]) -> dict[str, int]:
    """Return how often each label occurs, the most frequent first, then by rank; empty labels are left out."""
    counts = Counter(filter(None, labels))
    names = [name.replace("_", " ") for name in ORDER]
    rank = {label: names.index(label) if label in names else len(names) for label in counts}
    return dict(sorted(counts.items(), key=lambda item: (-item[1], rank[item[0]])))
