"""The numbers of shown and of diverged replicas, in words."""

from collections.abc import Iterable

from reluviz.analysis.report.groups import Group
from reluviz.analysis.report.pictures.bands import diverged


def count_replicas(groups: Iterable[Group]) -> str:
    """Return the number of replicas of the groups in words: "30 replicas each"."""
    found = list(groups)
    counts = sorted({len(group.replicas) for group in found})
    if not counts:
        return "no replicas"
    numbers = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    return f"{numbers} replica{'s' * (counts != [1])}{' each' * (len(found) > 1)}"


def count_diverged(groups: Iterable[Group]) -> str:
    """Return the number of diverged replicas in words: "3 of 90 diverged"; an empty string if none diverged."""
    found = list(groups)
    number = sum(int(diverged(group).sum()) for group in found)
    return f"{number:,} of {sum(len(group.replicas) for group in found):,} diverged" if number else ""
