"""What a report is about: the replicas of many runs, in groups that share every setting but the seed.

Legend of shapes: n replicas of a group, T snapshots.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
        final: metric, such as loss/test -> its value at the end, [n]; inf where the replica diverged, NaN where its
            run has no such metric.
        updates: updates of the snapshots, [T].
        curves: tag, such as loss/test or units/dead -> its value at every snapshot, [n, T]; NaN where the replica
            has no snapshot.
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

    def quartiles(self, metric: str) -> NDArray[np.float64]:
        """Return q25, the median and q75 of a metric's last values, [3], over the replicas that have it."""
        known = self.final[metric][~np.isnan(self.final[metric])]
        return np.percentile(known, QUARTILES) if len(known) else np.full(3, np.nan)

    def band(self, tag: str) -> NDArray[np.float64]:
        """Return q25, the median and q75 of a tag at every snapshot, [3, T], over the replicas that have it there."""
        curve = self.curves[tag]
        known = ~np.isnan(curve).all(axis=0)
        found = np.full((3, curve.shape[1]), np.nan)
        found[:, known] = np.nanpercentile(curve[:, known], QUARTILES, axis=0)
        return found


@dataclass(frozen=True)
class Left:
    """A run that a report could not, or could only in part, take in.

    Attributes:
        folder: its folder.
        why: unfinished, diverged, failed or damaged.
        detail: one line: the update it came to, the reason it gave.
    """

    folder: Path
    why: str
    detail: str


@dataclass(frozen=True)
class Study:
    """All that a report shows.

    Attributes:
        folders: what was asked for.
        groups: in the order of their settings, numbers as numbers.
        keys: the settings that vary.
        left: runs that are counted and named: failed and damaged ones are in no group; unfinished and diverged
            ones are, as far as they came.
        runs: how many runs were found in all.
    """

    folders: tuple[Path, ...]
    groups: tuple[Group, ...]
    keys: tuple[str, ...]
    left: tuple[Left, ...]
    runs: int
