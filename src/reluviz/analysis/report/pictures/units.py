"""How many units are bent, linear or dead against updates: medians and quartiles over the replicas."""

import numpy as np

from reluviz.analysis.report.groups import Groups
from reluviz.analysis.report.pictures import ticks
from reluviz.analysis.report.pictures.bands import Limits, curve, draw, quartiles
from reluviz.analysis.report.pictures.counts import replicas
from reluviz.analysis.report.pictures.layout import layout
from reluviz.analysis.report.pictures.learning import BAND, across_limits, log_spaced
from reluviz.analysis.report.pictures.legend import legend
from reluviz.analysis.report.pictures.page_axes import PageAxes
from reluviz.analysis.report.pictures.picture import Picture
from reluviz.analysis.report.pictures.styles import Styles
from reluviz.plots.axes import numbered

MOST_COLUMNS = 4
STATUS = {"bent": "bent", "linear": "always on (linear)", "dead": "never on (dead)"}


def units(study: Groups, looks: Styles, name: str) -> Picture | None:
    """Return the picture of the counts, a row for each status; None where no model has units."""
    chosen = layout(study, looks, MOST_COLUMNS)
    bands = {
        (id(group), status): quartiles(curve(group, f"units/{status}"))
        for group in chosen.drawn()
        for status in STATUS
        if f"units/{status}" in group.curves
    }
    heights = [float(np.nanmax(band)) for band in bands.values() if np.isfinite(band).any()]
    if not heights:
        return None
    one = all(len(group.replicas) == 1 for group in chosen.drawn())
    title = "Hidden units during training: bent inside the data, always on, never on"
    many = replicas(chosen.drawn())
    note = "; ".join(filter(None, [f"number of units, {many}", "" if one else BAND, chosen.missing]))
    handles = legend(chosen, looks)
    side = len(chosen.panels)
    if side > 1:
        titles = [panel.title if kind == "bent" else () for kind in STATUS for panel in chosen.panels]
        names = [f"units {kind}" for kind in STATUS.values()]
    else:
        # without settings the three stand side by side
        titles, names = [(kind,) for kind in STATUS.values()], ["units"]
    sheet = PageAxes(study, title, note, handles, titles, side if side > 1 else 3, [""] * len(titles))
    top = max(1.0, *heights)
    view = Limits(-0.04 * top, 1.06 * top, False)
    last = max(int(group.updates[-1]) for group in chosen.drawn() if len(group.updates))
    xlog = log_spaced(chosen)
    sheet.limit(across_limits(last, xlog), view, xlog)
    upright = numbered(0, top, 5)
    sheet.ticks(ticks.updates(0, last, xlog, max(2, int(sheet.width / 82))), upright, "updates", names)
    frames = iter(sheet.frames)
    for status in STATUS:
        for panel in chosen.panels:
            axes = next(frames)
            for group in panel.groups:
                if (id(group), status) in bands:
                    look = looks.of(chosen.key, group.settings.get(chosen.key or ""))
                    band = bands[id(group), status]
                    draw(axes, group.updates, band, look, view, len(group.replicas) == 1)
    told = []
    for group in list(chosen.drawn())[:12]:
        ends = [(bands.get((id(group), status), np.full((3, 1), np.nan))[1], kind) for status, kind in STATUS.items()]
        known = [(middle[~np.isnan(middle)], kind) for middle, kind in ends]
        told.append(f"{group.label}: " + ", ".join(f"{m[-1]:g} {kind}" for m, kind in known if len(m)))
    words = f"Numbers of units against updates, median and quartiles of {many}. At the end, {'; '.join(told)}."
    return Picture(name, title, words, sheet.figure)
