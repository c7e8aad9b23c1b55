"""Which differences between groups exceed the spread of the seeds, and which do not."""

from collections.abc import Mapping
from dataclasses import dataclass

from reluviz.report.study import Study, Value

DIFFERS, ALIKE, UNKNOWN = "differs", "alike", "unknown"


@dataclass(frozen=True)
class Finding:
    """Two groups that differ in one setting, compared seed by seed.

    Attributes:
        key: the setting.
        better: its value in the group with the smaller metric.
        worse: its value in the other.
        settings: the settings that the two groups share.
        metric: what is compared, such as loss/test.
        seeds: how many seeds both groups have.
        wins: in how many of these `better` has the smaller value.
        losses: in how many it has the larger one; in the others the two are equal.
        kind: ratio, or difference for what is no loss.
        effect: the median over the shared seeds of better / worse, or of better - worse.
        p: two-sided, of the exact sign test; 1 with too few seeds.
        adjusted: by Holm's rule, over all comparisons of the report.
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


def compare(study: Study, metric: str) -> list[Finding]:
    """Return a finding for each pair of groups that differ in one setting, the clearest first."""
    raise NotImplementedError
