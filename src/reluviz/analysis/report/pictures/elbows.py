"""Where the elbows went: the position of every unit's elbow against updates, for the median run of some groups.

Legend of shapes: S snapshots, W units.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import FuncNorm, Normalize
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from reluviz.analysis.report.groups import Group, Groups, Replica
from reluviz.analysis.report.pictures import ticks
from reluviz.analysis.report.pictures.bands import Floats, Limits, quartiles
from reluviz.analysis.report.pictures.layout import columns
from reluviz.analysis.report.pictures.layout import title as title_of
from reluviz.analysis.report.pictures.learning import across_limits
from reluviz.analysis.report.pictures.page_axes import PageAxes
from reluviz.analysis.report.pictures.picture import Picture
from reluviz.data.dataset import span
from reluviz.errors import UserError
from reluviz.plots.axes import numbered
from reluviz.plots.style import DIVERGING, NEUTRAL, SMALL, SOFT, spread

MOST_GROUPS = 9
MOST_UNITS = 100
MOST_SNAPSHOTS = 200
SHADES = 48
"""Steps of the colour of a slope jump."""
FAR = 1e9
"""An elbow beyond this leaves the picture just as well, and can be drawn."""
DEAD = 0
"""Index of the status in `reluviz.core.elbows.STATUS`."""


class Paths(NamedTuple):
    """The elbows of one run.

    Attributes:
        updates: [S].
        elbow: position, [S, W]; NaN where a unit has none.
        jump: slope jump, [S, W].
        dead: whether the unit is never on, [S, W].
        domain: the interval of the data.
        width: how many units there are; no more than `MOST_UNITS` are here.
    """

    updates: NDArray[np.int64]
    elbow: Floats
    jump: Floats
    dead: NDArray[np.bool_]
    domain: tuple[float, float]
    width: int


def median_replica(group: Group, metric: str) -> Replica | None:
    """Return the replica whose metric at the end is nearest the group's median, the first of several."""
    final = group.final.get(metric)
    if final is None or np.isnan(final).all():
        return None
    middle = quartiles(np.asarray(final, dtype=float)[:, None])[1, 0]
    if np.isinf(middle):
        return group.replicas[int(np.argmax(np.isinf(final)))]
    distance = np.where(np.isnan(final), np.inf, np.abs(final - middle))
    return group.replicas[int(np.argmin(distance))]


def elbows(study: Groups, metric: str, name: str) -> Picture | None:
    """Return the picture of the elbows of the median runs; None where no run has units or can be read."""
    shown = [study.groups[i] for i in spread(len(study.groups), MOST_GROUPS)] if study.groups else []
    found: list[tuple[Group, Replica, Paths]] = []
    for group in shown:
        replica = median_replica(group, metric)
        paths = read(replica) if replica is not None else None
        if replica is not None and paths is not None:
            found.append((group, replica, paths))
    if not found:
        return None
    title = "Where the elbows went: the median run of each group"
    if len(found) < len(study.groups):
        title = f"Where the elbows went: the median run of {len(found)} of {len(study.groups)} groups"
    most = max(paths.width for _, _, paths in found)
    note = f"each line is the elbow of a unit of the replica whose {metric} at the end is nearest the median"
    note += f"; {MOST_UNITS} units of {most:,} are drawn" if most > MOST_UNITS else ""
    dead = Line2D([], [], color=NEUTRAL, linewidth=1, linestyle=(0, (2, 1.5)), label="dead: the unit is never on")
    edges = Line2D([], [], color=SOFT, linewidth=0.8, linestyle=(0, (1, 2)), label="first and last data point")
    titles = [title_of(group, study.keys, study.keys) if study.keys else ("all runs",) for group, _, _ in found]
    asides = [f"seed {replica.seed}" for _, replica, _ in found]
    sheet = PageAxes(study, title, note, [dead, edges], titles, min(3, columns(len(found))), asides, right=92)
    low = min(paths.domain[0] for _, _, paths in found)
    high = max(paths.domain[1] for _, _, paths in found)
    bottom, top = span(low, high, 0.25)
    last = max(int(paths.updates[-1]) for _, _, paths in found)
    sheet.limit(across_limits(last, False), Limits(bottom, top, False))
    across = ticks.updates(0, last, False, max(2, int(sheet.width / 82)))
    sheet.ticks(across, numbered(bottom, top, 5), "updates", ["elbow position x"])
    loud = np.concatenate([np.abs(paths.jump[~paths.dead]).ravel() for _, _, paths in found])
    loud = loud[np.isfinite(loud)]
    scale = (float(np.percentile(loud, 95)) if len(loud) else 0.0) or 1.0
    norm = FuncNorm((_root, _square), -scale, scale)
    for axes, (_, _, paths) in zip(sheet.frames, found, strict=True):
        for end in paths.domain:
            axes.axhline(end, color=SOFT, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        axes.grid(visible=False)
        for lines in _lines(paths, norm):
            axes.add_collection(lines, autolim=False)
    inch = sheet.figure.get_size_inches()
    bar = sheet.figure.add_axes((1 - 72 / (100 * inch[0]), 0.22, 14 / (100 * inch[0]), 0.5))
    colours = sheet.figure.colorbar(ScalarMappable(norm, DIVERGING), cax=bar, extend="both", extendfrac=0.03)
    colours.outline.set_visible(False)
    bar.tick_params(colors=SOFT, labelsize=SMALL, length=3)
    ticked = numbered(-scale, scale, 6)
    colours.set_ticks(ticked.at, labels=ticked.labels)
    bar.set_title("slope\njump", size=SMALL, color=SOFT, pad=10)
    return Picture(name, title, _words(found), sheet.figure)


def _root(jump: Floats) -> Floats:
    """Return the square root with the sign of its argument: a small slope jump still shows its sign."""
    return np.asarray(np.sign(jump) * np.sqrt(np.abs(jump)), dtype=np.float64)


def _square(root: Floats) -> Floats:
    return np.asarray(np.sign(root) * root**2, dtype=np.float64)


def read(replica: Replica) -> Paths | None:
    """Return the elbows of a replica; None where its run has none, or cannot be read."""
    # torch comes with it, for which a report of other models need not wait
    from reluviz.analysis import load_run

    try:
        run = load_run(replica.folder)
    except (UserError, OSError):
        return None
    if run.model != "relu" or not 0 <= replica.row < len(run.seeds):
        return None
    kept = spread(len(run.updates), MOST_SNAPSHOTS)
    width = run.input_slope.shape[-1]
    which = spread(width, MOST_UNITS)
    some = np.ix_(kept, which)
    ends = float(np.min(run.data.x)), float(np.max(run.data.x))
    row = replica.row
    return Paths(
        run.updates[kept],
        run.elbow[:, row][some],
        run.slope_jump[:, row][some],
        run.unit_status[:, row][some] == DEAD,
        ends,
        width,
    )


def _lines(paths: Paths, norm: Normalize) -> list[LineCollection]:
    """Return the worldlines in the colours of their slope jumps, and those of dead units in grey.

    From one snapshot to the next a unit has the colour of its later slope jump. As long as the colour stays the same
    it is one line: a drawing of every step by itself would be five times as large.
    """
    x = paths.updates.astype(float)
    level = np.floor(np.ma.filled(norm(paths.jump), 0.5).clip(0, 1 - 1e-9) * SHADES).astype(int)
    level = np.where(paths.dead, -1, level)
    known = np.isfinite(paths.elbow) & np.isfinite(paths.jump)
    bright: list[Floats] = []
    shades: list[float] = []
    dull: list[Floats] = []
    for k in range(paths.elbow.shape[1]):
        points = np.stack([x, paths.elbow[:, k].clip(-FAR, FAR)], axis=-1)
        steps = np.where(known[1:, k] & known[:-1, k], level[1:, k], -2)
        ends = np.flatnonzero(np.diff(steps)) + 1
        for start, stop in pairwise([0, *ends.tolist(), len(steps)]):
            if stop > start and steps[start] == -1:
                dull.append(points[start : stop + 1])
            elif stop > start and steps[start] >= 0:
                bright.append(points[start : stop + 1])
                shades.append((steps[start] + 0.5) / SHADES)
    style: dict[str, Any] = {"capstyle": "butt", "joinstyle": "round"}
    return [
        LineCollection(dull, colors=NEUTRAL, linewidths=0.9, linestyles=[(0, (2, 1.5))], zorder=2),
        LineCollection(bright, colors=DIVERGING(shades), linewidths=1.3, zorder=3, **style),
    ]


def _words(found: Sequence[tuple[Group, Replica, Paths]]) -> str:
    told = []
    for group, replica, paths in found:
        with np.errstate(invalid="ignore"):
            inside = int(((paths.elbow[-1] > paths.domain[0]) & (paths.elbow[-1] < paths.domain[1])).sum())
        count = paths.elbow.shape[1]
        told.append(f"{group.label}, seed {replica.seed}: {inside} of {count} elbows end inside the data")
    return f"Elbow positions against updates, one line for each unit, for the median run of a group. {'; '.join(told)}."
