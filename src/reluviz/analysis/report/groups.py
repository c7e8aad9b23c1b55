"""The data of a report: the replicas of many runs, in groups that share every setting but the seed.

Legend of shapes: n replicas of a group, T snapshots.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reluviz.core.distribution import percentiles
from reluviz.core.findings import count_labels

Value = str | float | int | bool | None
QUARTILES = (25, 50, 75)
"""Percentiles that describe a group, as `numpy.percentile` defines them (linear interpolation)."""


@dataclass(frozen=True)
class Replica:
    """One replica of a group.

    Attributes:
        folder: the folder of its run.
        row: its index on the replica axis of the run.
        seed: its seed; a group has each seed once.
        status: the status of its run: finished, diverged, interrupted, terminated or unfinished.
        became: the label of its first finding; empty if its run has not ended, or recorded none.
    """

    folder: Path
    row: int
    seed: int
    status: str
    became: str = ""


@dataclass(frozen=True)
class Group:
    """Replicas that differ in nothing but their seed.

    Attributes:
        settings: the settings that vary between the groups, key -> value; empty if nothing varies.
        replicas: the n replicas, sorted by seed.
        final: metric, such as loss/test -> its value at the end, [n]. Losses and theta are inf if the replica
            diverged. NaN if its run has no such metric, or has not ended. If a replica was stopped because another
            replica of its run diverged, this is its last value.
        updates: updates of the snapshots, [T].
        curves: tag, such as loss/test or units/dead -> its value at every snapshot, [n, T]; NaN if the replica has
            no such snapshot. With very many replicas only every second, fourth, ... snapshot is kept.
    """

    settings: Mapping[str, Value]
    replicas: tuple[Replica, ...]
    final: Mapping[str, NDArray[np.float64]]
    updates: NDArray[np.int64]
    curves: Mapping[str, NDArray[np.float64]]

    @property
    def label(self) -> str:
        """The settings as on the command line: `model.width=10 optimizer=adam`."""
        return " ".join(f"{key}={value}" for key, value in self.settings.items()) or "all runs"

    @property
    def diverged(self) -> int:
        """The number of replicas that diverged."""
        if not self.final:
            return 0
        return int(np.isinf(np.stack(list(self.final.values()))).any(axis=0).sum())

    @property
    def became(self) -> str:
        """What became of the replicas, in words: `7 learned, 3 still falling`; empty if nothing is known."""
        counts = count_labels(replica.became for replica in self.replicas)
        return ", ".join(f"{count:,} {label}" for label, count in counts.items())

    def quartiles(self, metric: str) -> NDArray[np.float64]:
        """Return q25, the median and q75 of a metric at the end, [3], over the replicas that have it."""
        return percentiles(self.final[metric], QUARTILES)

    def band(self, tag: str) -> NDArray[np.float64]:
        """Return q25, the median and q75 of a tag at every snapshot, [3, T], over the replicas that have it."""
        return percentiles(self.curves[tag], QUARTILES)


@dataclass(frozen=True)
class ListedRun:
    """A run that the report lists separately, with the reason: it is in no group, or it is incomplete.

    Attributes:
        folder: its folder.
        reason: unfinished, diverged, failed, damaged or repeat (another run has the same settings and seeds).
        detail: one line, such as the update it reached or the error that ended it.
    """

    folder: Path
    reason: str
    detail: str


@dataclass(frozen=True)
class Groups:
    """All the data of a report: the groups, and what the report says of the runs.

    Attributes:
        folders: the folders that were read.
        groups: the groups, sorted by their settings, numbers by value.
        keys: the settings that vary.
        listed_runs: the runs that the report lists separately. Failed and damaged runs and repeats are in no group;
            unfinished and diverged runs are in a group with the snapshots that they have.
        runs: the number of runs found.
        solved: whether each group is one network whose output layer was solved in closed form, with the same seed in
            all groups. Then its metrics are single values, and there is no spread of seeds to compare them with.
    """

    folders: tuple[Path, ...]
    groups: tuple[Group, ...]
    keys: tuple[str, ...]
    listed_runs: tuple[ListedRun, ...]
    runs: int
    solved: bool = False
