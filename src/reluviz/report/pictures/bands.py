"""Median and quartiles over the replicas as they are drawn, with diverged replicas above everything.

Legend of shapes: n replicas, T snapshots.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from reluviz.pictures.style import span
from reluviz.report.pictures.looks import Look
from reluviz.report.study import QUARTILES, Group

Floats = NDArray[np.float64]
ABOVE = 100.0
"""A loss is followed up to so many times the largest at the start; beyond that it leaves the picture."""
DEEPEST = 1e-20
"""Losses smaller than this part of the largest lie on the lower edge."""


def curve(group: Group, tag: str) -> Floats:
    """Return a tag of every replica, [n, T], a diverged replica's loss being infinite after its last snapshot."""
    found = np.array(group.curves[tag], dtype=np.float64)
    if tag.startswith("loss/") and len(found):
        last = np.where(np.isnan(found), -1, np.arange(found.shape[1])).max(axis=1)
        gone = diverged(group)[:, None] & (np.arange(found.shape[1]) > last[:, None])
        found[gone] = np.inf
    return found


def diverged(group: Group) -> NDArray[np.bool_]:
    """Return which replicas diverged, [n]: those whose loss at the end is infinite."""
    gone = np.zeros(len(group.replicas), dtype=bool)
    for metric, final in group.final.items():
        if metric.startswith("loss/"):
            gone |= np.isposinf(final)
    return gone


def quartiles(values: Floats) -> Floats:
    """Return q25, the median and q75 over the first axis, [3, ...], as `numpy.percentile` defines them.

    NaN counts as no replica. Between a number and infinity lies infinity, and so it does between two infinities,
    where NumPy finds NaN.
    """
    ranked = np.sort(values, axis=0)  # NaN stands last
    known = (~np.isnan(ranked)).sum(axis=0)
    found = np.full((3, *ranked.shape[1:]), np.nan)
    # columns that have equally many replicas are done together
    for count in np.unique(known[known > 0]):
        some = known == count
        block = ranked[:count, some]
        with np.errstate(invalid="ignore"):
            part = np.percentile(block, QUARTILES, axis=0)
        for row, percent in zip(part, QUARTILES, strict=True):
            place = percent / 100 * (count - 1)
            below, above = block[math.floor(place)], block[math.ceil(place)]
            row[:] = np.where(np.isinf(above), np.where(place == math.floor(place), below, np.inf), row)
        found[:, some] = part
    return found


class Limits(NamedTuple):
    """What the upright axis of a picture shows.

    Attributes:
        low, high: its ends.
        log: whether it is logarithmic.
    """

    low: float
    high: float
    log: bool

    @property
    def ceiling(self) -> float:
        """A height outside the picture, for what is infinite."""
        return self.high * 1e3 if self.log else self.high + (self.high - self.low)

    def clipped(self, values: Floats) -> Floats:
        """Return values with those above the picture, up to infinity, at the ceiling."""
        return np.where(np.isposinf(values), self.ceiling, values)


def limits(bands: Iterable[Floats]) -> Limits:
    """Return the limits for losses [3, T]: logarithmic unless all are 0, and not stretched by what diverges."""
    parts = [band for band in bands if band.size]
    seen = np.concatenate([part.ravel() for part in parts]) if parts else np.empty(0)
    seen = seen[np.isfinite(seen) & (seen > 0)]
    if not len(seen):
        return Limits(-0.05, 1.0, False)
    starts = np.concatenate([part[:, 0] for part in parts])
    starts = starts[np.isfinite(starts) & (starts > 0)]
    high = min(float(seen.max()), ABOVE * float(starts.max())) if len(starts) else float(seen.max())
    low = max(float(seen.min()), DEEPEST * high, 1e-290)
    ends = span(math.log10(low), math.log10(max(high, low)), 0.05)
    if ends[1] - ends[0] < 0.1:
        middle = sum(ends) / 2
        ends = middle - 0.05, middle + 0.05
    return Limits(10 ** ends[0], 10 ** ends[1], True)


def draw(axes: Axes, updates: NDArray[np.int64], band: Floats, look: Look, view: Limits, one: bool) -> None:
    """Draw a band [3, T]: the median as a line and, unless there is one replica only, the quartiles as an area.

    Args:
        axes: where to.
        updates: of the snapshots, [T].
        band: q25, median and q75.
        look: colour and dash.
        view: the limits of the axes.
        one: whether there is only one replica, which has no quartiles.
    """
    low, middle, high = (view.clipped(row) for row in band)
    alone = len(updates) < 2
    if not one:
        if alone:
            axes.vlines(updates, low, high, color=look.colour, alpha=0.35, linewidth=5, zorder=2)
        else:
            axes.fill_between(updates, low, high, color=look.colour, alpha=0.2, linewidth=0, zorder=2)
    marker = look.marker if alone else ""
    axes.plot(updates, middle, color=look.colour, linestyle=look.dash, marker=marker, linewidth=1.7, zorder=3)
    lost = np.flatnonzero(np.isposinf(band[1]))
    if len(lost):
        axes.plot(
            [updates[lost[0]]], [0.985], marker=6, color=look.colour, markersize=8, linestyle="",
            transform=axes.get_xaxis_transform(), zorder=4,
        )  # fmt: skip
