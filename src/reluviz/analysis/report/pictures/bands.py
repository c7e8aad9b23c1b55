"""Median and quartiles over the replicas as they are drawn, with diverged replicas above everything.

Legend of shapes: n replicas, T snapshots.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from reluviz.analysis.report.groups import QUARTILES, Group
from reluviz.analysis.report.pictures.styles import Style
from reluviz.data.dataset import span

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
            below = block[math.floor(place)]
            row[:] = np.where(np.isfinite(row), row, below if place == math.floor(place) else np.inf)
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


def limits(values: Iterable[Floats], most: float = math.inf) -> Limits:
    """Return the limits for losses [...], logarithmic unless there is none above 0.

    Args:
        values: the losses.
        most: the upper limit, whatever the losses.
    """
    seen = np.concatenate([np.empty(0), *(part.ravel() for part in values)])
    seen = seen[np.isfinite(seen) & (seen > 0)]
    if not len(seen):
        return Limits(-0.05, 1.0, False)
    high = min(float(seen.max()), most)
    low = min(high, max(float(seen.min()), DEEPEST * high, 1e-290))
    bottom, top = span(math.log10(low), math.log10(high), 0.05)
    if top - bottom < 0.1:
        bottom, top = (bottom + top) / 2 - 0.05, (bottom + top) / 2 + 0.05
    return Limits(10**bottom, 10 ** min(top, 300), True)


def followed(bands: Iterable[Floats]) -> Limits:
    """Return the limits for bands [3, T], which do not follow a loss that diverges up to where it ends."""
    parts = [band for band in bands if band.size]
    starts = np.concatenate([np.empty(0), *(part[:, 0] for part in parts)])
    starts = starts[np.isfinite(starts) & (starts > 0)]
    return limits(parts, ABOVE * float(starts.max()) if len(starts) else math.inf)


def draw(axes: Axes, updates: NDArray[np.int64], band: Floats, look: Style, view: Limits, one: bool) -> None:
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
    # an arrow where the median leaves the picture: upwards for good, or down to 0, which has no logarithm
    for gone, arrow, height in ((band[1] > view.high, 6, 0.985), (view.log & (band[1] <= 0), 7, 0.015)):
        if gone.any():
            at: dict[str, Any] = {
                "transform": axes.get_xaxis_transform(),
                "zorder": 4,
                "linestyle": "",
                "markersize": 8,
            }
            axes.plot([updates[np.argmax(gone)]], [height], marker=arrow, color=look.colour, **at)
