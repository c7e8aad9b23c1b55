"""Loss against updates: the median of each group, and a band from its lower to its upper quartile."""

import math

import numpy as np

from reluviz.analysis.report.groups import Groups
from reluviz.analysis.report.pictures import ticks
from reluviz.analysis.report.pictures.bands import Floats, curve, draw, followed, quartiles
from reluviz.analysis.report.pictures.counts import lost, replicas
from reluviz.analysis.report.pictures.layout import Layout, layout
from reluviz.analysis.report.pictures.legend import legend
from reluviz.analysis.report.pictures.page_axes import PageAxes
from reluviz.analysis.report.pictures.picture import Picture
from reluviz.analysis.report.pictures.styles import Styles
from reluviz.plots.axes import numbered

MOST_PANELS = 12
BAND = "line: median, band: the middle half (q25 to q75)"
NAMES = {"loss/test": "test loss", "loss/train": "training loss"}


def learning(
    study: Groups, looks: Styles, tag: str, name: str, colour: str | None = None, each: str = ""
) -> Picture | None:
    """Return the picture of a loss against updates; None where no replica has it.

    Args:
        study: what is shown.
        looks: of the values.
        tag: loss/train or loss/test.
        name: of the file.
        colour: the key to be told by colour.
        each: what the frames are about, for the title.
    """
    chosen = layout(study, looks, MOST_PANELS, colour)
    bands = {id(group): quartiles(curve(group, tag)) for group in chosen.drawn() if tag in group.curves}
    if not any(np.isfinite(band).any() for band in bands.values()):
        return None
    word = NAMES[tag]
    many = replicas(chosen.drawn())
    one = all(len(group.replicas) == 1 for group in chosen.drawn())
    title = f"{word.capitalize()} during training"
    if each:
        title += f", {each} by {each}"
    note = "; ".join(filter(None, [f"mean squared error, {many}", "" if one else BAND, chosen.missing]))
    handles = legend(chosen, looks)
    titles = [panel.title for panel in chosen.panels]
    asides = [lost(panel.groups) for panel in chosen.panels]
    sheet = PageAxes(study, title, note, handles, titles, chosen.columns, asides)
    view = followed(bands.values())
    last = max(int(group.updates[-1]) for group in chosen.drawn() if len(group.updates))
    xlog = log_spaced(chosen)
    sheet.limit(across_limits(last, xlog), view, xlog)
    across = ticks.updates(0, last, xlog, max(2, int(sheet.width / 82)))
    upright = ticks.logarithmic(view.low, view.high) if view.log else numbered(view.low, view.high)
    sheet.ticks(across, upright, "updates", [word])
    for axes, panel in zip(sheet.frames, chosen.panels, strict=True):
        for group in panel.groups:
            if id(group) in bands:
                look = looks.of(chosen.key, group.settings.get(chosen.key or ""))
                draw(axes, group.updates, bands[id(group)], look, view, len(group.replicas) == 1)
        if not any(np.isfinite(bands[id(group)]).any() for group in panel.groups if id(group) in bands):
            sheet.say(axes, "no curve was recorded")
    return Picture(name, title, words(chosen, bands, word, many), sheet.figure)


def across_limits(last: int, xlog: bool) -> tuple[float, float]:
    """Return the limits of the axis of updates."""
    if not last:
        return -1.0, 1.0
    return (-0.2, 1.2 * last) if xlog else (0.0, 1.02 * last)


def log_spaced(chosen: Layout) -> bool:
    """Tell whether the snapshots crowd at the start, so that updates belong on a logarithmic axis."""
    found = [group.updates[group.updates > 0] for group in chosen.drawn()]
    longest: np.ndarray[tuple[int], np.dtype[np.int64]] = max(found, key=len, default=np.empty(0, np.int64))
    return len(longest) > 4 and bool(np.median(longest) < 0.15 * longest[-1])


def words(chosen: Layout, bands: dict[int, Floats], word: str, many: str) -> str:
    """Return in sentences what the picture shows, with the last median of each group."""
    told = []
    for group in chosen.drawn():
        last = bands[id(group)][1] if id(group) in bands else np.empty(0)
        last = last[~np.isnan(last)]
        if len(last):
            end = "diverges" if math.isinf(last[-1]) else f"ends at {last[-1]:.3g}"
            told.append(f"{group.label} {end}")
    rest = f" and {len(told) - 12} more" if len(told) > 12 else ""
    return (
        f"The {word} against the number of updates: median and quartiles of {many}. "
        f"The median of {'; '.join(told[:12])}{rest}.{f' {chosen.missing}.' if chosen.missing else ''}"
    )
