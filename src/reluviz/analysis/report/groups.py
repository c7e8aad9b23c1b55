"""What a report is about: the replicas of many runs, in groups that share every setting but the seed.

Legend of shapes: n replicas of a group, T snapshots.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reluviz.analysis.report import statistics

Value = str | float | int | bool | None
QUARTILES = (25, 50, 75)
"""Percentiles that describe a group, as `numpy.percentile` defines them (linear interpolation)."""


@dataclass(frozen=True)
class Replica:
    """Where a replica of a group comes from.

    Attributes:
        folder: its run's folder.
        row: its place on the run's replica axis.
        seed: its seed; no seed counts twice in a group.
        status: of its run: finished, diverged, interrupted, terminated or unfinished.
    """

    folder: Path
    row: int
    seed: int
    status: str


@dataclass(frozen=True)
class Group:
    """Replicas that differ in nothing but their seed.

    Attributes:
        settings: the settings that vary between the groups, by key; empty where nothing varies.
        replicas: the n replicas, by seed.
        final: metric, such as loss/test -> its value at the end, [n]; losses and theta are inf where the replica
            diverged. NaN where its run has no such metric, or has not come to its end. (A replica that was stopped
            because another one of its run diverged has the value at which it was stopped.)
        updates: updates of the snapshots, [T].
        curves: tag, such as loss/test or units/dead -> its value at every snapshot, [n, T]; NaN where the replica
            has no snapshot. Of very many replicas, only every so many snapshots are kept.
    """

    settings: Mapping[str, Value]
    replicas: tuple[Replica, ...]
    final: Mapping[str, NDArray[np.float64]]
    updates: NDArray[np.int64]
    curves: Mapping[str, NDArray[np.float64]]

    @property
    def label(self) -> str:
        """The settings in words, as on the command line: `model.width=10 optimizer=adam`."""
        return " ".join(f"{key}={value}" for key, value in self.settings.items()) or "all runs"

    @property
    def diverged(self) -> int:
        """How many of the replicas diverged."""
        if not self.final:
            return 0
        return int(np.isinf(np.stack(list(self.final.values()))).any(axis=0).sum())

    def quartiles(self, metric: str) -> NDArray[np.float64]:
        """Return q25, the median and q75 of a metric's last values, [3], over the replicas that have it."""
        return statistics.percentiles(self.final[metric], QUARTILES)

    def band(self, tag: str) -> NDArray[np.float64]:
        """Return q25, the median and q75 of a tag at every snapshot, [3, T], over the replicas that have it there."""
        return statistics.percentiles(self.curves[tag], QUARTILES)


@dataclass(frozen=True)
class Skipped:
    """A run that a report could not, or could only in part, take in.

    Attributes:
        folder: its folder.
        why: unfinished, diverged, failed, damaged or repeat (of settings and seeds that another run has).
        detail: one line: the update it came to, the reason it gave.
    """

    folder: Path
    why: str
    detail: str


@dataclass(frozen=True)
class Groups:
    """All that a report shows.

    Attributes:
        folders: what was asked for.
        groups: in the order of their settings, numbers as numbers.
        keys: the settings that vary.
        left: runs that are counted and named: failed and damaged ones and repeats are in no group; unfinished and
            diverged ones are, as far as they came.
        runs: how many runs were found in all.
    """

    folders: tuple[Path, ...]
    groups: tuple[Group, ...]
    keys: tuple[str, ...]
    left: tuple[Skipped, ...]
    runs: int
