"""The loss at the end against one setting: every replica, and median and quartiles of each group.

Legend of shapes: n replicas.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from reluviz.pictures.panel import Ticks, numbered
from reluviz.pictures.style import number, spread
from reluviz.report.pictures import ticks
from reluviz.report.pictures.bands import Floats, Limits, limits, quartiles
from reluviz.report.pictures.counts import losses, replicas
from reluviz.report.pictures.learning import NAMES, columns
from reluviz.report.pictures.looks import Look, Looks, as_number, numeric, thinned, values, word
from reluviz.report.pictures.plan import plan
from reluviz.report.pictures.sheet import Picture, Sheet, legend
from reluviz.report.study import Group, Study, Value

MOST_PANELS = 6
MOST_NAMES = 12
MOST_DOTS = 100
"""Single replicas are drawn up to so many in a group; more would be one cloud."""


class Scale:
    """Where the values of a setting stand: at their size where they are numbers, else side by side.

    Attributes:
        shown: the values that are drawn.
        place: str of a value -> its place.
        log: whether the places are logarithms to the base of 10.
        width: the room around a place that belongs to its value.
    """

    def __init__(self, found: tuple[Value, ...]) -> None:
        self.sized = len(found) > 1 and numeric(found)
        self.shown = found if self.sized else thinned(found, MOST_NAMES)
        self.log = False
        places = np.arange(len(self.shown), dtype=float)
        if self.sized:
            sizes = [as_number(value) for value in self.shown]
            self.log = ticks.spaced_by_factors(sizes)
            places = np.log10(sizes) if self.log else np.array(sizes)
        self.place = {str(value): float(at) for value, at in zip(self.shown, places, strict=True)}
        self.width = float(np.diff(places).min()) if len(places) > 1 else 1.0

    @property
    def ends(self) -> tuple[float, float]:
        """The limits of the axis."""
        places = list(self.place.values())
        most = max(self.width, 0.04 * (places[-1] - places[0]))
        return places[0] - 0.6 * most, places[-1] + 0.6 * most

    def ticks(self, room: float) -> Ticks:
        """Return a tick for each value, or for some where there is room for few; `room` is in pixels."""
        labels = [number(as_number(value)) if self.sized else word(value, 60) for value in self.shown]
        places = list(self.place.values())
        if not self.sized:
            letters = max(3, int(room / len(places) / 5.8))
            return Ticks(places, [word(label, letters) for label in labels])
        low, high = self.ends
        apart = room / (high - low)
        kept: list[int] = []
        for i, at in enumerate(places):
            near = kept and (at - places[kept[-1]]) * apart < 6.5 * (len(labels[kept[-1]]) + len(labels[i])) / 2 + 6
            if not near:
                kept.append(i)
        if len(kept) < len(places) and not self.log:
            return numbered(places[0], places[-1], max(2, int(room / 60)))
        return Ticks([places[i] for i in kept], [labels[i] for i in kept])


def final(study: Study, looks: Looks, key: str, metric: str, name: str) -> Picture | None:
    """Return the picture of a metric at the end against the setting `key`; None where no replica has it."""
    chosen = plan(study, looks, MOST_PANELS, across=key)
    scale = Scale(values(study, key))
    kept = [g for g in chosen.drawn() if str(g.settings.get(key)) in scale.place and metric in g.final]
    ends = {id(group): np.asarray(group.final[metric], dtype=float) for group in kept}
    ends = {which: end[~np.isnan(end)] for which, end in ends.items()}
    ends = {which: end for which, end in ends.items() if len(end)}
    kept = [group for group in kept if id(group) in ends]
    if not kept:
        return None
    dots = any(len(end) <= MOST_DOTS for end in ends.values())
    boxes = {which: quartiles(end[:, None]) for which, end in ends.items()}
    seen = [box for box in boxes.values()] + [end[None] for end in ends.values() if len(end) <= MOST_DOTS]
    finite = [np.where(np.isfinite(each), each, np.nan) for each in seen]
    view = limits([np.concatenate([each.ravel() for each in finite])[None]]) if finite else limits([])
    title = f"{NAMES[metric].capitalize()} at the end against {word(key, 40)}"
    many = replicas(kept)
    missing = f"{len(kept)} of {len(study.groups)} groups are drawn, the table has all"
    bars = f"mark: median, bar: the middle half (q25 to q75){', dots: replicas' if dots else ''}"
    bars *= any(len(end) > 1 for end in ends.values())
    note = "; ".join(filter(None, [f"mean squared error, {many}", bars, missing * (len(kept) < len(study.groups))]))
    handles = legend(chosen, looks, marked=True)
    titles = [panel.title for panel in chosen.panels]
    sheet = Sheet(study, title, note, handles, titles, columns(len(titles)))
    sheet.limit(scale.ends, view)
    upright = ticks.logarithmic(view.low, view.high) if view.log else numbered(view.low, view.high)
    sheet.ticks(scale.ticks(sheet.width), upright, word(key, 60), NAMES[metric])
    for axes, panel in zip(sheet.frames, chosen.panels, strict=True):
        axes.grid(visible=False, axis="x")
        for i, value in enumerate(chosen.shown or (None,)):
            row = [g for g in panel.groups if id(g) in ends and _same(g, chosen.key, value)]
            if row:
                shift = 0.55 * scale.width * ((i + 0.5) / max(1, len(chosen.shown)) - 0.5)
                at = np.array([scale.place[str(group.settings.get(key))] + shift for group in row])
                slot = 0.55 * scale.width / max(1, len(chosen.shown))
                look = looks.of(chosen.key, value)
                _row(axes, at, slot, [ends[id(g)] for g in row], [boxes[id(g)] for g in row], look, view, scale.sized)
        lines = losses(panel, chosen.key) if chosen.key is not None else _by(panel.groups, key)
        if lines:
            sheet.say(axes, lines)
    return Picture(name, title, _words(kept, boxes, metric, key, many), sheet.figure)


def _same(group: Group, key: str | None, value: Value) -> bool:
    return key is None or str(group.settings.get(key)) == str(value)


def _by(groups: Sequence[Group], key: str) -> list[str]:
    from reluviz.report.pictures.plan import Panel

    return losses(Panel("", tuple(groups)), key)


def _row(
    axes: Axes,
    at: Floats,
    slot: float,
    ends: Sequence[Floats],
    boxes: Sequence[Floats],
    look: Look,
    view: Limits,
    joined: bool,
) -> None:
    """Draw the groups that share a colour: dots, bars and medians, with a line through them along a number."""
    low, middle, high = (view.clipped(np.concatenate([box[row] for box in boxes])) for row in range(3))
    for x, end in zip(at, ends, strict=True):
        if 1 < len(end) <= MOST_DOTS:
            style: dict[str, Any] = {"s": 9, "color": look.colour, "alpha": 0.28, "linewidths": 0, "zorder": 2}
            axes.scatter(x + 0.55 * slot * _scatter(len(end)), view.clipped(np.sort(end)), **style)
    several = np.array([len(end) > 1 for end in ends])
    axes.vlines(at[several], low[several], high[several], color=look.colour, alpha=0.45, linewidth=5, zorder=3)
    axes.plot(at, middle, color=look.colour, linewidth=1.1 if joined else 0, alpha=0.7, zorder=3.5)
    axes.plot(
        at, middle, color=look.colour, linestyle="", marker=look.marker, markersize=7, markeredgecolor="white",
        markeredgewidth=0.8, zorder=4,
    )  # fmt: skip
    lost = at[np.concatenate([np.isposinf(box[1]) for box in boxes])]
    if len(lost):
        axes.plot(
            lost, np.full(len(lost), 0.985), marker=6, color=look.colour, markersize=8, linestyle="",
            transform=axes.get_xaxis_transform(), zorder=4,
        )  # fmt: skip


def _scatter(count: int) -> NDArray[np.float64]:
    """Return places between -0.5 and 0.5 that spread evenly however many there are, [count]."""
    golden = (5**0.5 - 1) / 2
    return np.asarray((np.arange(count) * golden) % 1 - 0.5, dtype=np.float64)


def _words(groups: Sequence[Group], boxes: dict[int, Floats], metric: str, key: str, many: str) -> str:
    told = []
    for i in spread(len(groups), 12).tolist():
        low, middle, high = boxes[id(groups[i])][:, 0]
        told.append(f"{groups[i].label} has median {middle:.3g}, quartiles {low:.3g} and {high:.3g}")
    rest = f"; of {len(groups)} groups these are {len(told)}" if len(told) < len(groups) else ""
    return f"The {NAMES[metric]} at the end against {key}: median and quartiles of {many}. {'; '.join(told)}{rest}."
