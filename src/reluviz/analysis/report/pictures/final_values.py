"""The loss at the end against one setting: every replica, and median and quartiles of each group.

Legend of shapes: n replicas, m groups.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from reluviz.analysis.report.groups import QUARTILES, Group, Groups, Value
from reluviz.analysis.report.pictures import ticks
from reluviz.analysis.report.pictures.bands import Floats, Limits, loss_limits
from reluviz.analysis.report.pictures.counts import diverged_in_words, replicas_in_words
from reluviz.analysis.report.pictures.layout import make_layout
from reluviz.analysis.report.pictures.legend import legend
from reluviz.analysis.report.pictures.loss_curves import NAMES
from reluviz.analysis.report.pictures.page_axes import PageAxes
from reluviz.analysis.report.pictures.picture import Picture
from reluviz.analysis.report.pictures.scale import Scale
from reluviz.analysis.report.pictures.styles import Style, Styles, setting_values, shortened
from reluviz.core.distribution import percentiles
from reluviz.plots.axes import Ticks, round_ticks
from reluviz.plots.style import SMALL_FONT, evenly_spaced

MAX_PANELS = 6
MAX_DOTS = 100
"""Single replicas are drawn only in groups of at most this many."""
USED_WIDTH = 0.55
"""The fraction of the width of a value that its groups, drawn side by side, fill."""


def draw_final_values(groups: Groups, styles: Styles, key: str | None, metric: str, name: str) -> Picture | None:
    """Return the picture of a metric at the end against a setting; None if no replica has the metric.

    Args:
        groups: the groups to show.
        styles: the styles of the values.
        key: the setting; None if nothing varies.
        metric: loss/test or loss/train.
        name: the name of the file.
    """
    layout = make_layout(groups, styles, MAX_PANELS, x_key=key)
    scale = Scale(setting_values(groups, key) if key is not None else ("all runs",))
    ends: dict[int, Floats] = {}
    for group in layout.shown_groups():
        if metric in group.final and _x_value(group, key) in scale.positions:
            known = np.asarray(group.final[metric], dtype=np.float64)
            known = np.sort(known[~np.isnan(known)])
            if len(known):
                ends[id(group)] = known
    kept = [group for group in layout.shown_groups() if id(group) in ends]
    if not kept:
        return None
    bands = {which: percentiles(end, QUARTILES) for which, end in ends.items()}
    limits = loss_limits([*bands.values(), *(end for end in ends.values() if len(end) <= MAX_DOTS)])
    title = f"{NAMES[metric].capitalize()} at the end"
    title += f" against {shortened(key, 40)}" if key is not None else ""
    handles = legend(layout, styles, markers=True)
    titles = [panel.title for panel in layout.panels]
    note = _note(kept, ends, len(groups.groups))
    # a blank note leaves space above the panels for the arrows
    page_axes = PageAxes(groups, title, note, handles, titles, layout.columns, [" "] * len(titles))
    page_axes.set_limits(scale.limits, limits)
    y_ticks = ticks.log_ticks(limits.low, limits.high) if limits.log else round_ticks(limits.low, limits.high)
    all_diverged = not any(np.isfinite(end).any() for end in ends.values())
    x_ticks = scale.ticks(page_axes.width)
    page_axes.set_ticks(x_ticks, Ticks([], []) if all_diverged else y_ticks, shortened(key or "", 60), [NAMES[metric]])
    slot = USED_WIDTH * scale.width / max(1, len(layout.colour_values))
    for axes, panel in zip(page_axes.panels, layout.panels, strict=True):
        axes.grid(visible=False, axis="x")
        if not any(np.isfinite(ends[id(group)]).any() for group in panel.groups if id(group) in ends):
            page_axes.write_in_panel(axes, "every replica diverged")
        for i, value in enumerate(layout.colour_values or (None,)):
            row = [g for g in panel.groups if id(g) in ends and _colour_value(g, layout.colour_key) == str(value)]
            if row:
                shift = slot * (i + 0.5) - 0.5 * slot * max(1, len(layout.colour_values))
                x = np.array([scale.positions[_x_value(group, key)] + shift for group in row])
                drawn = [ends[id(group)] for group in row], [bands[id(group)] for group in row]
                _draw(axes, x, slot, *drawn, styles.of(layout.colour_key, value), limits, scale.numeric)
    return Picture(name, title, _describe(kept, bands, metric, key), page_axes.figure)


def _x_value(group: Group, key: str | None) -> str:
    """Return the value of a group on the x axis, as text."""
    return str(group.settings.get(key)) if key is not None else "all runs"


def _colour_value(group: Group, key: str | None) -> str:
    """Return the value of a group that its colour shows, as text."""
    value: Value = group.settings.get(key) if key is not None else None
    return str(value)


def _note(kept: Sequence[Group], ends: dict[int, Floats], groups: int) -> str:
    """Return the line that explains the picture."""
    parts = [f"mean squared error, {replicas_in_words(kept)}"]
    if any(len(end) > 1 for end in ends.values()):
        dots = any(1 < len(end) <= MAX_DOTS for end in ends.values())
        parts.append(f"mark: median, bar: the middle half (q25 to q75){', dots: replicas' if dots else ''}")
    if number := diverged_in_words(kept):
        parts.append(f"▲ {number}")
    if len(kept) < groups:
        parts.append(f"{len(kept)} of {groups} groups drawn")
    return "; ".join(parts)


def _draw(
    axes: Axes,
    x: Floats,
    slot: float,
    ends: Sequence[Floats],
    bands: Sequence[Floats],
    style: Style,
    limits: Limits,
    joined: bool,
) -> None:
    """Draw the groups that share a colour: a dot for each replica, a bar between the quartiles, a mark for the median.

    Args:
        axes: the axes to draw on.
        x: positions of the groups, [m].
        slot: the width of each group.
        ends: values of the replicas in ascending order, m times [n].
        bands: q25, median and q75, m times [3].
        style: colour and marker.
        limits: the limits of the y axis.
        joined: whether a line joins the medians.
    """
    low, middle, high = limits.clipped(np.array(bands).T)
    colour = style.colour
    dots: dict[str, Any] = {"s": 9, "color": colour, "alpha": 0.28, "linewidths": 0, "zorder": 2}
    for position, end in zip(x, ends, strict=True):
        if 1 < len(end) <= MAX_DOTS:
            axes.scatter(position + USED_WIDTH * slot * _scatter(len(end)), limits.clipped(end), **dots)
    several = np.array([len(end) > 1 for end in ends])
    axes.vlines(x[several], low[several], high[several], color=colour, alpha=0.45, linewidth=5, zorder=3)
    axes.plot(x, middle, color=colour, linewidth=1.1 if joined else 0, alpha=0.7, zorder=3.5)
    mark: dict[str, Any] = {"marker": style.marker, "markersize": 7, "markeredgecolor": "white", "markeredgewidth": 0.8}
    axes.plot(x, middle, color=colour, linestyle="", zorder=4, **mark)
    top: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
    left, right = axes.get_xlim()
    narrow = slot / (right - left) * axes.bbox.width < 26
    for position, end in zip(x, ends, strict=True):
        number = int(np.isposinf(end).sum())
        if number:
            text = "▲" if narrow else f"▲{number:,}"
            axes.text(position, 1.004, text, ha="center", va="bottom", size=SMALL_FONT, color=colour, **top)


def _scatter(count: int) -> Floats:
    """Return evenly spread positions between -0.5 and 0.5, [count]: multiples of the golden ratio, modulo 1."""
    golden = (5**0.5 - 1) / 2
    return np.asarray((np.arange(count) * golden) % 1 - 0.5, dtype=np.float64)


def _describe(groups: Sequence[Group], bands: dict[int, Floats], metric: str, key: str | None) -> str:
    clauses = []
    for i in evenly_spaced(len(groups), 12).tolist():
        low, middle, high = bands[id(groups[i])]
        clauses.append(f"{groups[i].label} has median {middle:.3g}, quartiles {low:.3g} and {high:.3g}")
    rest = f"; of {len(groups)} groups these are {len(clauses)}" if len(clauses) < len(groups) else ""
    against = f" against {key}" if key is not None else ""
    medians = "; ".join(clauses)
    replicas = replicas_in_words(groups)
    return f"The {NAMES[metric]} at the end{against}: median and quartiles of {replicas}. {medians}{rest}."
