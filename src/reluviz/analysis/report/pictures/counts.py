"""How many replicas a picture is about, in words."""

from collections.abc import Iterable

from reluviz.analysis.report.groups import Group
from reluviz.analysis.report.pictures.bands import diverged


def replicas(groups: Iterable[Group]) -> str:
    """Return how many replicas there are: "30 replicas each"."""
    found = [group for group in groups]
    counts = sorted({len(group.replicas) for group in found})
    if not counts:
        return "no replicas"
    few = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    return f"{few} replica{'s' * (counts != [1])}{' each' * (len(found) > 1)}"


def lost(groups: Iterable[Group]) -> str:
    """Return how many replicas diverged: "3 of 90 diverged"; nothing where none did."""
    found = list(groups)
    gone = sum(int(diverged(group).sum()) for group in found)
    return f"{gone:,} of {sum(len(group.replicas) for group in found):,} diverged" if gone else ""
