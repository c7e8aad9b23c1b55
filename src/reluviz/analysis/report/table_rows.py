"""The rows of the table of a report, one for each group and metric."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reluviz.analysis.report import statistics
from reluviz.analysis.report.groups import QUARTILES, Group, Groups, Value
from reluviz.core.distribution import percentiles
from reluviz.record import tags


@dataclass(frozen=True)
class Row:
    """One metric of one group, at the end.

    Attributes:
        settings: the settings of the group.
        metric: the metric, such as loss/test.
        n: the number of replicas that have it, including diverged ones.
        diverged: the number of replicas of the group that diverged; their value is infinity.
        median: the median over the n replicas.
        q25: lower quartile.
        q75: upper quartile.
        low: lower end of the bootstrap interval of the median; NaN if n < `statistics.MIN_VALUES`.
        high: upper end of the interval; NaN likewise.
    """

    settings: Mapping[str, Value]
    metric: str
    n: int
    diverged: int
    median: float
    q25: float
    q75: float
    low: float
    high: float


def rows(groups: Groups) -> list[Row]:
    """Return a row for each group and each metric that it has, group after group.

    A group without a run that ended has rows for all metrics, with n = 0 and NaN for the statistics.
    """
    known = metrics(groups)
    return [
        _row(group, metric) for group in groups.groups for metric in known if metric in group.final or not group.final
    ]


def metrics(groups: Groups) -> list[str]:
    """Return the metrics that any replica has, losses first."""
    known = {
        metric: None for group in groups.groups for metric, final in group.final.items() if not np.isnan(final).all()
    }
    order = (tags.LOSS_TEST, tags.LOSS_TRAIN)
    return sorted(known, key=lambda metric: (order.index(metric) if metric in order else len(order), metric))


def _row(group: Group, metric: str) -> Row:
    final = group.final.get(metric, np.full(len(group.replicas), np.nan))
    q25, median, q75 = percentiles(final, QUARTILES).tolist()
    n = int((~np.isnan(final)).sum())
    low, high = statistics.median_interval(final) if n >= statistics.MIN_VALUES else (np.nan, np.nan)
    return Row(
        settings=group.settings,
        metric=metric,
        n=n,
        diverged=group.diverged,
        median=median,
        q25=q25,
        q75=q75,
        low=low,
        high=high,
    )
