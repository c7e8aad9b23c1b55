"""Numbers of bent, linear and dead units against updates: medians and quartiles over the replicas."""

import numpy as np

from reluviz.analysis.report.groups import QUARTILES, Groups
from reluviz.analysis.report.pictures import ticks
from reluviz.analysis.report.pictures.bands import Limits, draw_band, replica_curves
from reluviz.analysis.report.pictures.counts import replicas_in_words
from reluviz.analysis.report.pictures.layout import make_layout
from reluviz.analysis.report.pictures.legend import legend
from reluviz.analysis.report.pictures.loss_curves import BAND, has_log_spaced_updates, update_limits
from reluviz.analysis.report.pictures.page_axes import PageAxes
from reluviz.analysis.report.pictures.picture import Picture
from reluviz.analysis.report.pictures.styles import Styles
from reluviz.core.distribution import percentiles
from reluviz.plots.axes import round_ticks
from reluviz.record import tags

MAX_PANELS = 4
STATUS_LABELS = {"bent": "bent", "linear": "always on (linear)", "dead": "never on (dead)"}


def draw_unit_counts(groups: Groups, styles: Styles, name: str) -> Picture | None:
    """Return the picture of the counts, with a row of panels for each status; None if no model has units."""
    layout = make_layout(groups, styles, MAX_PANELS)
    bands = {
        (id(group), status): percentiles(replica_curves(group, tags.count_tag(status)), QUARTILES)
        for group in layout.shown_groups()
        for status in STATUS_LABELS
        if tags.count_tag(status) in group.curves
    }
    maxima = [float(np.nanmax(band)) for band in bands.values() if np.isfinite(band).any()]
    if not maxima:
        return None
    single = all(len(group.replicas) == 1 for group in layout.shown_groups())
    title = "Hidden units during training: bent inside the data, always on, never on"
    number_of_replicas = replicas_in_words(layout.shown_groups())
    note = "; ".join(filter(None, [f"number of units, {number_of_replicas}", "" if single else BAND, layout.left_out]))
    handles = legend(layout, styles)
    columns = len(layout.panels)
    if columns > 1:
        titles = [panel.title if label == "bent" else () for label in STATUS_LABELS for panel in layout.panels]
        y_names = [f"units {label}" for label in STATUS_LABELS.values()]
    else:
        # a single panel for each status: the three are drawn in one row
        titles, y_names = [(label,) for label in STATUS_LABELS.values()], ["units"]
    page_axes = PageAxes(groups, title, note, handles, titles, columns if columns > 1 else 3, [""] * len(titles))
    top = max(1.0, *maxima)
    limits = Limits(-0.04 * top, 1.06 * top, False)
    last = max(int(group.updates[-1]) for group in layout.shown_groups() if len(group.updates))
    log_updates = has_log_spaced_updates(layout)
    page_axes.set_limits(update_limits(last, log_updates), limits, log_updates)
    y_ticks = round_ticks(0, top, 5)
    page_axes.set_ticks(
        ticks.update_ticks(last, log_updates, max(2, int(page_axes.width / 82))), y_ticks, "updates", y_names
    )
    panels = iter(page_axes.panels)
    for status in STATUS_LABELS:
        for panel in layout.panels:
            axes = next(panels)
            for group in panel.groups:
                if (id(group), status) in bands:
                    style = styles.of(layout.colour_key, group.settings.get(layout.colour_key or ""))
                    band = bands[id(group), status]
                    draw_band(axes, group.updates, band, style, limits, len(group.replicas) == 1)
    clauses = []
    for group in list(layout.shown_groups())[:12]:
        ends = [
            (bands.get((id(group), status), np.full((3, 1), np.nan))[1], label)
            for status, label in STATUS_LABELS.items()
        ]
        known = [(middle[~np.isnan(middle)], label) for middle, label in ends]
        clauses.append(f"{group.label}: " + ", ".join(f"{m[-1]:g} {label}" for m, label in known if len(m)))
    numbers = "; ".join(clauses)
    description = (
        f"Numbers of units against updates, median and quartiles of {number_of_replicas}. At the end, {numbers}."
    )
    return Picture(name, title, description, page_axes.figure)
