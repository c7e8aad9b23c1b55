"""The loss at the end against one setting: every replica, and median and quartiles of each group.

Legend of shapes: n replicas, m groups.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from reluviz.analysis.report.groups import Group, Groups, Value
from reluviz.analysis.report.pictures import ticks
from reluviz.analysis.report.pictures.bands import Floats, Limits, limits, quartiles
from reluviz.analysis.report.pictures.counts import lost, replicas
from reluviz.analysis.report.pictures.layout import layout
from reluviz.analysis.report.pictures.learning import NAMES
from reluviz.analysis.report.pictures.legend import legend
from reluviz.analysis.report.pictures.page_axes import PageAxes
from reluviz.analysis.report.pictures.picture import Picture
from reluviz.analysis.report.pictures.scale import Scale
from reluviz.analysis.report.pictures.styles import Style, Styles, shortened, values
from reluviz.plots.axes import Ticks, numbered
from reluviz.plots.style import SMALL, spread

MOST_PANELS = 6
MOST_DOTS = 100
"""Single replicas are drawn up to so many in a group; more would be one cloud."""
PART = 0.55
"""The part of the room of a value that its groups take, which stand side by side there."""


def final(study: Groups, looks: Styles, key: str | None, metric: str, name: str) -> Picture | None:
    """Return the picture of a metric at the end against a setting; None where no replica has it.

    Args:
        study: what is shown.
        looks: of the values.
        key: the setting; None where nothing varies.
        metric: loss/test or loss/train.
        name: of the file.
    """
    chosen = layout(study, looks, MOST_PANELS, across=key)
    scale = Scale(values(study, key) if key is not None else ("all runs",))
    ends: dict[int, Floats] = {}
    for group in chosen.drawn():
        if metric in group.final and _value(group, key) in scale.place:
            known = np.asarray(group.final[metric], dtype=np.float64)
            known = np.sort(known[~np.isnan(known)])
            if len(known):
                ends[id(group)] = known
    kept = [group for group in chosen.drawn() if id(group) in ends]
    if not kept:
        return None
    boxes = {which: quartiles(end[:, None])[:, 0] for which, end in ends.items()}
    view = limits([*boxes.values(), *(end for end in ends.values() if len(end) <= MOST_DOTS)])
    title = f"{NAMES[metric].capitalize()} at the end"
    title += f" against {shortened(key, 40)}" if key is not None else ""
    handles = legend(chosen, looks, marked=True)
    titles = [panel.title for panel in chosen.panels]
    note = _note(kept, ends, len(study.groups))
    # a blank leaves room above the frames, for the arrows
    sheet = PageAxes(study, title, note, handles, titles, chosen.columns, [" "] * len(titles))
    sheet.limit(scale.ends, view)
    upright = ticks.logarithmic(view.low, view.high) if view.log else numbered(view.low, view.high)
    blank = not any(np.isfinite(end).any() for end in ends.values())
    across = scale.ticks(sheet.width)
    sheet.ticks(across, Ticks([], []) if blank else upright, shortened(key or "", 60), [NAMES[metric]])
    slot = PART * scale.width / max(1, len(chosen.shown))
    for axes, panel in zip(sheet.frames, chosen.panels, strict=True):
        axes.grid(visible=False, axis="x")
        if not any(np.isfinite(ends[id(group)]).any() for group in panel.groups if id(group) in ends):
            sheet.say(axes, "every replica diverged")
        for i, value in enumerate(chosen.shown or (None,)):
            row = [g for g in panel.groups if id(g) in ends and _told(g, chosen.key) == str(value)]
            if row:
                shift = slot * (i + 0.5) - 0.5 * slot * max(1, len(chosen.shown))
                at = np.array([scale.place[_value(group, key)] + shift for group in row])
                these = [ends[id(group)] for group in row], [boxes[id(group)] for group in row]
                _draw(axes, at, slot, *these, looks.of(chosen.key, value), view, scale.sized)
    return Picture(name, title, _words(kept, boxes, metric, key), sheet.figure)


def _value(group: Group, key: str | None) -> str:
    """Return the value that a group has on the axis."""
    return str(group.settings.get(key)) if key is not None else "all runs"


def _told(group: Group, key: str | None) -> str:
    """Return the value that a group has in colour."""
    value: Value = group.settings.get(key) if key is not None else None
    return str(value)


def _note(kept: Sequence[Group], ends: dict[int, Floats], groups: int) -> str:
    """Return how to read the picture."""
    said = [f"mean squared error, {replicas(kept)}"]
    if any(len(end) > 1 for end in ends.values()):
        dots = any(1 < len(end) <= MOST_DOTS for end in ends.values())
        said.append(f"mark: median, bar: the middle half (q25 to q75){', dots: replicas' if dots else ''}")
    if gone := lost(kept):
        said.append(f"▲ {gone}")
    if len(kept) < groups:
        said.append(f"{len(kept)} of {groups} groups drawn")
    return "; ".join(said)


def _draw(
    axes: Axes,
    at: Floats,
    slot: float,
    ends: Sequence[Floats],
    boxes: Sequence[Floats],
    look: Style,
    view: Limits,
    joined: bool,
) -> None:
    """Draw the groups that share a colour: dots, bars and medians, with a line through them along a number.

    Args:
        axes: where to.
        at: their places, [m].
        slot: the width that each has.
        ends: values of their replicas, m times [n], ascending.
        boxes: q25, median and q75, m times [3].
        look: colour and marker.
        view: the limits of the axes.
        joined: whether a line joins the medians.
    """
    low, middle, high = view.clipped(np.array(boxes).T)
    colour = look.colour
    dots: dict[str, Any] = {"s": 9, "color": colour, "alpha": 0.28, "linewidths": 0, "zorder": 2}
    for x, end in zip(at, ends, strict=True):
        if 1 < len(end) <= MOST_DOTS:
            axes.scatter(x + PART * slot * _scatter(len(end)), view.clipped(end), **dots)
    several = np.array([len(end) > 1 for end in ends])
    axes.vlines(at[several], low[several], high[several], color=colour, alpha=0.45, linewidth=5, zorder=3)
    axes.plot(at, middle, color=colour, linewidth=1.1 if joined else 0, alpha=0.7, zorder=3.5)
    mark: dict[str, Any] = {"marker": look.marker, "markersize": 7, "markeredgecolor": "white", "markeredgewidth": 0.8}
    axes.plot(at, middle, color=colour, linestyle="", zorder=4, **mark)
    top: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
    left, right = axes.get_xlim()
    narrow = slot / (right - left) * axes.bbox.width < 26
    for x, end in zip(at, ends, strict=True):
        gone = int(np.isposinf(end).sum())
        if gone:
            words = "▲" if narrow else f"▲{gone:,}"
            axes.text(x, 1.004, words, ha="center", va="bottom", size=SMALL, color=colour, **top)


def _scatter(count: int) -> Floats:
    """Return places between -0.5 and 0.5 that spread evenly however many there are, [count]."""
    golden = (5**0.5 - 1) / 2
    return np.asarray((np.arange(count) * golden) % 1 - 0.5, dtype=np.float64)


def _words(groups: Sequence[Group], boxes: dict[int, Floats], metric: str, key: str | None) -> str:
    told = []
    for i in spread(len(groups), 12).tolist():
        low, middle, high = boxes[id(groups[i])]
        told.append(f"{groups[i].label} has median {middle:.3g}, quartiles {low:.3g} and {high:.3g}")
    rest = f"; of {len(groups)} groups these are {len(told)}" if len(told) < len(groups) else ""
    against = f" against {key}" if key is not None else ""
    return (
        f"The {NAMES[metric]} at the end{against}: median and quartiles of {replicas(groups)}. {'; '.join(told)}{rest}."
    )
