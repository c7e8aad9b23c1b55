"""Phrases for the number of replicas and of diverged replicas, for captions. A replica is one seed of a run."""

from collections.abc import Iterable

from reluviz.analysis.report.groups import Group
from reluviz.analysis.report.pictures.bands import diverged


def replicas_in_words(groups: Iterable[Group]) -> str:
    """Return how many replicas each group has: "no replicas", "1 replica", "30 replicas each", "8 to 30 replicas each".

    "each" is added if there are several groups.
    """
    group_list = list(groups)
    sizes = sorted({len(group.replicas) for group in group_list})
    if not sizes:
        return "no replicas"
    numbers = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    noun = "replica" if sizes == [1] else "replicas"
    each = " each" if len(group_list) > 1 else ""
    return f"{numbers} {noun}{each}"


def diverged_in_words(groups: Iterable[Group]) -> str:
    """Return how many replicas of all groups together diverged: "3 of 90 diverged"; an empty string if none did."""
    group_list = list(groups)
    number = sum(int(diverged(group).sum()) for group in group_list)
    return f"{number:,} of {sum(len(group.replicas) for group in group_list):,} diverged" if number else ""
