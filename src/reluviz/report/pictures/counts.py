"""How many replicas a picture is about, in words."""

from collections.abc import Iterable

from reluviz.report.pictures.bands import diverged
from reluviz.report.pictures.looks import word
from reluviz.report.pictures.plan import Panel
from reluviz.report.study import Group


def replicas(groups: Iterable[Group]) -> str:
    """Return how many replicas there are: "30 replicas each"."""
    found = [group for group in groups]
    counts = sorted({len(group.replicas) for group in found})
    if not counts:
        return "no replicas"
    few = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    return f"{few} replica{'s' * (counts != [1])}{' each' * (len(found) > 1)}"


def losses(panel: Panel, key: str | None) -> list[str]:
    """Return a line for each group of a panel that lost replicas, at most four."""
    lines = []
    for group in panel.groups:
        gone = int(diverged(group).sum())
        if gone:
            name = f" with {word(group.settings.get(key), 16)}" if key is not None else ""
            lines.append(f"{gone} of {len(group.replicas)}{name} diverged")
    return lines if len(lines) <= 4 else [*lines[:3], f"and more in {len(lines) - 3} groups"]
