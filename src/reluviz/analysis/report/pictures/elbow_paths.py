"""The position of every unit's elbow against updates, for the median replica of each group.

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
from reluviz.analysis.report.pictures.bands import Floats, Limits
from reluviz.analysis.report.pictures.layout import count_columns, panel_title
from reluviz.analysis.report.pictures.loss_curves import update_limits
from reluviz.analysis.report.pictures.page_axes import PageAxes
from reluviz.analysis.report.pictures.picture import Picture
from reluviz.core.distribution import percentiles
from reluviz.core.models import MODELS
from reluviz.data.dataset import span
from reluviz.errors import UserError
from reluviz.plots.axes import round_ticks
from reluviz.plots.style import DIVERGING, GREY, NEUTRAL, SMALL_FONT, evenly_spaced

MAX_GROUPS = 9
MAX_UNITS = 100
MAX_SNAPSHOTS = 200
COLOUR_STEPS = 48
"""Number of colours for slope jumps."""
MAX_POSITION = 1e9
"""Elbow positions are clipped to this, far outside the picture, since matplotlib cannot draw infinite ones."""
DEAD = 0
"""Index of the status in `reluviz.core.elbows.STATUS`."""


class ElbowPaths(NamedTuple):
    """The elbows of one replica.

    Attributes:
        updates: updates of the snapshots, [S].
        elbow: elbow positions, [S, W]; NaN if a unit has no elbow.
        slope_jump: slope jumps, [S, W].
        dead: whether the unit is dead, [S, W].
        domain: the smallest and the largest training x.
        width: the number of units of the model; W is at most `MAX_UNITS`.
    """

    updates: NDArray[np.int64]
    elbow: Floats
    slope_jump: Floats
    dead: NDArray[np.bool_]
    domain: tuple[float, float]
    width: int


def median_replica(group: Group, metric: str) -> Replica | None:
    """Return the first replica whose metric at the end is nearest to the median of the group; None without values."""
    final = group.final.get(metric)
    if final is None or np.isnan(final).all():
        return None
    middle = percentiles(np.asarray(final, dtype=float), (50,))[0]
    if np.isinf(middle):
        return group.replicas[int(np.argmax(np.isinf(final)))]
    distance = np.where(np.isnan(final), np.inf, np.abs(final - middle))
    return group.replicas[int(np.argmin(distance))]


def draw_elbow_paths(groups: Groups, metric: str, name: str) -> Picture | None:
    """Return the picture of the elbows of the median replicas; None if no run has units or can be read."""
    shown = [groups.groups[i] for i in evenly_spaced(len(groups.groups), MAX_GROUPS)] if groups.groups else []
    found: list[tuple[Group, Replica, ElbowPaths]] = []
    for group in shown:
        replica = median_replica(group, metric)
        paths = read_elbow_paths(replica) if replica is not None else None
        if replica is not None and paths is not None:
            found.append((group, replica, paths))
    if not found:
        return None
    title = "Where the elbows went: the median run of each group"
    if len(found) < len(groups.groups):
        title = f"Where the elbows went: the median run of {len(found)} of {len(groups.groups)} groups"
    width = max(paths.width for _, _, paths in found)
    note = f"each line is the elbow of a unit of the replica whose {metric} at the end is nearest the median"
    note += f"; {MAX_UNITS} units of {width:,} are drawn" if width > MAX_UNITS else ""
    dead = Line2D([], [], color=NEUTRAL, linewidth=1, linestyle=(0, (2, 1.5)), label="dead: the unit is never on")
    edges = Line2D([], [], color=GREY, linewidth=0.8, linestyle=(0, (1, 2)), label="first and last data point")
    titles = [panel_title(group, groups.keys, groups.keys) if groups.keys else ("all runs",) for group, _, _ in found]
    notes = [f"seed {replica.seed}" for _, replica, _ in found]
    page_axes = PageAxes(groups, title, note, [dead, edges], titles, min(3, count_columns(len(found))), notes, right=92)
    low = min(paths.domain[0] for _, _, paths in found)
    high = max(paths.domain[1] for _, _, paths in found)
    bottom, top = span(low, high, 0.25)
    last = max(int(paths.updates[-1]) for _, _, paths in found)
    page_axes.set_limits(update_limits(last, False), Limits(bottom, top, False))
    update_ticks = ticks.update_ticks(last, False, max(2, int(page_axes.width / 82)))
    page_axes.set_ticks(update_ticks, round_ticks(bottom, top, 5), "updates", ["elbow position x"])
    jumps = np.concatenate([np.abs(paths.slope_jump[~paths.dead]).ravel() for _, _, paths in found])
    jumps = jumps[np.isfinite(jumps)]
    scale = (float(np.percentile(jumps, 95)) if len(jumps) else 0.0) or 1.0
    norm = FuncNorm((_root, _square), -scale, scale)
    for axes, (_, _, paths) in zip(page_axes.panels, found, strict=True):
        for end in paths.domain:
            axes.axhline(end, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        axes.grid(visible=False)
        for lines in _line_collections(paths, norm):
            axes.add_collection(lines, autolim=False)
    size = page_axes.figure.get_size_inches()
    bar = page_axes.figure.add_axes((1 - 72 / (100 * size[0]), 0.22, 14 / (100 * size[0]), 0.5))
    colour_bar = page_axes.figure.colorbar(ScalarMappable(norm, DIVERGING), cax=bar, extend="both", extendfrac=0.03)
    colour_bar.outline.set_visible(False)
    bar.tick_params(colors=GREY, labelsize=SMALL_FONT, length=3)
    bar_ticks = round_ticks(-scale, scale, 6)
    colour_bar.set_ticks(bar_ticks.at, labels=bar_ticks.labels)
    bar.set_title("slope\njump", size=SMALL_FONT, color=GREY, pad=10)
    return Picture(name, title, _describe(found), page_axes.figure)


def _root(jump: Floats) -> Floats:
    """Return the square root with the sign of its argument, so that small slope jumps differ in colour."""
    return np.asarray(np.sign(jump) * np.sqrt(np.abs(jump)), dtype=np.float64)


def _square(root: Floats) -> Floats:
    """Return the inverse of `_root`."""
    return np.asarray(np.sign(root) * root**2, dtype=np.float64)


def read_elbow_paths(replica: Replica) -> ElbowPaths | None:
    """Return the elbows of a replica; None if its run has none, or cannot be read."""
    # most reports have no such picture
    from reluviz.analysis import load_run

    try:
        run = load_run(replica.folder)
    except (UserError, OSError):
        return None
    if not MODELS[run.model].has_units or not 0 <= replica.row < len(run.seeds):
        return None
    kept = evenly_spaced(len(run.updates), MAX_SNAPSHOTS)
    width = run.input_slope.shape[-1]
    which = evenly_spaced(width, MAX_UNITS)
    selected = np.ix_(kept, which)
    ends = float(np.min(run.data.x)), float(np.max(run.data.x))
    row = replica.row
    return ElbowPaths(
        run.updates[kept],
        run.elbow[:, row][selected],
        run.slope_jump[:, row][selected],
        run.unit_status[:, row][selected] == DEAD,
        ends,
        width,
    )


def _line_collections(paths: ElbowPaths, norm: Normalize) -> list[LineCollection]:
    """Return the paths of dead units in grey, and the other paths in the colours of their slope jumps.

    Between two snapshots a path has the colour of the later slope jump. Successive steps of the same colour are one
    line, since a line for each step would make the file five times as large.
    """
    x = paths.updates.astype(float)
    colour_index = np.floor(np.ma.filled(norm(paths.slope_jump), 0.5).clip(0, 1 - 1e-9) * COLOUR_STEPS).astype(int)
    colour_index = np.where(paths.dead, -1, colour_index)
    known = np.isfinite(paths.elbow) & np.isfinite(paths.slope_jump)
    coloured: list[Floats] = []
    colour_positions: list[float] = []
    grey: list[Floats] = []
    for k in range(paths.elbow.shape[1]):
        points = np.stack([x, paths.elbow[:, k].clip(-MAX_POSITION, MAX_POSITION)], axis=-1)
        steps = np.where(known[1:, k] & known[:-1, k], colour_index[1:, k], -2)
        ends = np.flatnonzero(np.diff(steps)) + 1
        for start, stop in pairwise([0, *ends.tolist(), len(steps)]):
            if stop > start and steps[start] == -1:
                grey.append(points[start : stop + 1])
            elif stop > start and steps[start] >= 0:
                coloured.append(points[start : stop + 1])
                colour_positions.append((steps[start] + 0.5) / COLOUR_STEPS)
    style: dict[str, Any] = {"capstyle": "butt", "joinstyle": "round"}
    return [
        LineCollection(grey, colors=NEUTRAL, linewidths=0.9, linestyles=[(0, (2, 1.5))], zorder=2),
        LineCollection(coloured, colors=DIVERGING(colour_positions), linewidths=1.3, zorder=3, **style),
    ]


def _describe(found: Sequence[tuple[Group, Replica, ElbowPaths]]) -> str:
    clauses = []
    for group, replica, paths in found:
        with np.errstate(invalid="ignore"):
            inside = int(((paths.elbow[-1] > paths.domain[0]) & (paths.elbow[-1] < paths.domain[1])).sum())
        count = paths.elbow.shape[1]
        clauses.append(f"{group.label}, seed {replica.seed}: {inside} of {count} elbows end inside the data")
    numbers = "; ".join(clauses)
    return f"Elbow positions against updates, one line for each unit, for the median run of a group. {numbers}."
