"""Bands from the lower to the upper quartile over replicas, with the median; diverged replicas count as infinite.

Legend of shapes: n replicas, T snapshots.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from reluviz.analysis.report.groups import Group
from reluviz.analysis.report.pictures.styles import Style
from reluviz.data.dataset import span
from reluviz.record import tags

Floats = NDArray[np.float64]
MAX_GROWTH = 100.0
"""The axis of losses ends at this many times the largest initial loss."""
MIN_RELATIVE_LOSS = 1e-20
"""The axis of losses starts at this fraction of the largest loss, or higher."""


def replica_curves(group: Group, tag: str) -> Floats:
    """Return the curves of a tag, [n, T]; the loss of a diverged replica is infinite after its last snapshot."""
    found = np.array(group.curves[tag], dtype=np.float64)
    if tags.is_loss(tag) and len(found):
        last = np.where(np.isnan(found), -1, np.arange(found.shape[1])).max(axis=1)
        is_diverged = diverged(group)[:, None] & (np.arange(found.shape[1]) > last[:, None])
        found[is_diverged] = np.inf
    return found


def diverged(group: Group) -> NDArray[np.bool_]:
    """Return which replicas diverged, [n]: those with an infinite loss at the end."""
    is_diverged = np.zeros(len(group.replicas), dtype=bool)
    for metric, final in group.final.items():
        if tags.is_loss(metric):
            is_diverged |= np.isposinf(final)
    return is_diverged


class Limits(NamedTuple):
    """The limits of a y axis.

    Attributes:
        low, high: its ends.
        log: whether it is logarithmic.
    """

    low: float
    high: float
    log: bool

    @property
    def ceiling(self) -> float:
        """A height above the picture, at which infinite values are drawn."""
        return self.high * 1e3 if self.log else self.high + (self.high - self.low)

    def clipped(self, values: Floats) -> Floats:
        """Return the values with infinity replaced by the ceiling."""
        return np.where(np.isposinf(values), self.ceiling, values)


def loss_limits(values: Iterable[Floats], max_high: float = math.inf) -> Limits:
    """Return the limits of an axis for losses [...], logarithmic unless no loss is above 0.

    Args:
        values: the losses.
        max_high: the largest allowed upper limit.
    """
    losses = np.concatenate([np.empty(0), *(part.ravel() for part in values)])
    losses = losses[np.isfinite(losses) & (losses > 0)]
    if not len(losses):
        return Limits(-0.05, 1.0, False)
    high = min(float(losses.max()), max_high)
    low = min(high, max(float(losses.min()), MIN_RELATIVE_LOSS * high, 1e-290))
    bottom, top = span(math.log10(low), math.log10(high), 0.05)
    if top - bottom < 0.1:
        bottom, top = (bottom + top) / 2 - 0.05, (bottom + top) / 2 + 0.05
    return Limits(10**bottom, 10 ** min(top, 300), True)


def band_limits(bands: Iterable[Floats]) -> Limits:
    """Return the limits of an axis for bands [3, T], cut at `MAX_GROWTH` times the largest initial loss."""
    parts = [band for band in bands if band.size]
    starts = np.concatenate([np.empty(0), *(part[:, 0] for part in parts)])
    starts = starts[np.isfinite(starts) & (starts > 0)]
    return loss_limits(parts, MAX_GROWTH * float(starts.max()) if len(starts) else math.inf)


def draw_band(axes: Axes, updates: NDArray[np.int64], band: Floats, style: Style, limits: Limits, single: bool) -> None:
    """Draw a band: the median as a line and, for several replicas, an area between the quartiles.

    Args:
        axes: the axes to draw on.
        updates: updates of the snapshots, [T].
        band: q25, median and q75, [3, T].
        style: colour, dash and marker.
        limits: the limits of the y axis.
        single: whether the group has only one replica, and so no quartiles.
    """
    low, middle, high = (limits.clipped(row) for row in band)
    one_snapshot = len(updates) < 2
    if not single:
        if one_snapshot:
            axes.vlines(updates, low, high, color=style.colour, alpha=0.35, linewidth=5, zorder=2)
        else:
            axes.fill_between(updates, low, high, color=style.colour, alpha=0.2, linewidth=0, zorder=2)
    marker = style.marker if one_snapshot else ""
    axes.plot(updates, middle, color=style.colour, linestyle=style.dash, marker=marker, linewidth=1.7, zorder=3)
    # an arrow where the median first leaves the picture: above the upper limit, or at 0, which has no logarithm
    for outside, arrow, height in ((band[1] > limits.high, 6, 0.985), (limits.log & (band[1] <= 0), 7, 0.015)):
        if outside.any():
            marker_style: dict[str, Any] = {
                "transform": axes.get_xaxis_transform(),
                "zorder": 4,
                "linestyle": "",
                "markersize": 8,
            }
            axes.plot([updates[np.argmax(outside)]], [height], marker=arrow, color=style.colour, **marker_style)
