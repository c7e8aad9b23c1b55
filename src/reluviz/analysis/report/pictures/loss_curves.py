"""Loss against updates: for each group the median, and a band from the lower to the upper quartile."""

import math

import numpy as np

from reluviz.analysis.report.groups import QUARTILES, Groups
from reluviz.analysis.report.pictures import ticks
from reluviz.analysis.report.pictures.bands import Floats, band_limits, draw_band, replica_curves
from reluviz.analysis.report.pictures.counts import diverged_in_words, replicas_in_words
from reluviz.analysis.report.pictures.layout import Layout, make_layout
from reluviz.analysis.report.pictures.legend import legend
from reluviz.analysis.report.pictures.page_axes import PageAxes
from reluviz.analysis.report.pictures.picture import Picture
from reluviz.analysis.report.pictures.styles import Styles
from reluviz.core.distribution import percentiles
from reluviz.plots.axes import round_ticks
from reluviz.record import tags

MAX_PANELS = 12
BAND = "line: median, band: the middle half (q25 to q75)"
NAMES = {tags.LOSS_TEST: "test loss", tags.LOSS_TRAIN: "training loss"}


def draw_loss_curves(
    groups: Groups, styles: Styles, tag: str, name: str, colour_key: str | None = None, panel_key: str = ""
) -> Picture | None:
    """Return the picture of a loss against updates; None if no replica has this loss.

    Args:
        groups: the groups to show.
        styles: the styles of the values.
        tag: loss/train or loss/test.
        name: the name of the file.
        colour_key: the key that colour shows; by default the most suitable one.
        panel_key: the key that the panels show, for the title.
    """
    layout = make_layout(groups, styles, MAX_PANELS, colour_key)
    bands = {
        id(group): percentiles(replica_curves(group, tag), QUARTILES)
        for group in layout.shown_groups()
        if tag in group.curves
    }
    if not any(np.isfinite(band).any() for band in bands.values()):
        return None
    loss_name = NAMES[tag]
    number_of_replicas = replicas_in_words(layout.shown_groups())
    single = all(len(group.replicas) == 1 for group in layout.shown_groups())
    title = f"{loss_name.capitalize()} during training"
    if panel_key:
        title += f", {panel_key} by {panel_key}"
    note = "; ".join(
        filter(None, [f"mean squared error, {number_of_replicas}", "" if single else BAND, layout.left_out])
    )
    handles = legend(layout, styles)
    titles = [panel.title for panel in layout.panels]
    notes = [diverged_in_words(panel.groups) for panel in layout.panels]
    page_axes = PageAxes(groups, title, note, handles, titles, layout.columns, notes)
    limits = band_limits(bands.values())
    last = max(int(group.updates[-1]) for group in layout.shown_groups() if len(group.updates))
    log_updates = has_log_spaced_updates(layout)
    page_axes.set_limits(update_limits(last, log_updates), limits, log_updates)
    x_ticks = ticks.update_ticks(last, log_updates, max(2, int(page_axes.width / 82)))
    y_ticks = ticks.log_ticks(limits.low, limits.high) if limits.log else round_ticks(limits.low, limits.high)
    page_axes.set_ticks(x_ticks, y_ticks, "updates", [loss_name])
    for axes, panel in zip(page_axes.panels, layout.panels, strict=True):
        for group in panel.groups:
            if id(group) in bands:
                style = styles.of(layout.colour_key, group.settings.get(layout.colour_key or ""))
                draw_band(axes, group.updates, bands[id(group)], style, limits, len(group.replicas) == 1)
        if not any(np.isfinite(bands[id(group)]).any() for group in panel.groups if id(group) in bands):
            page_axes.write_in_panel(axes, "no curve was recorded")
    return Picture(name, title, _describe(layout, bands, loss_name, number_of_replicas), page_axes.figure)


def update_limits(last: int, log_updates: bool) -> tuple[float, float]:
    """Return the limits of the x axis for runs of up to `last` updates."""
    if not last:
        return -1.0, 1.0
    return (-0.2, 1.2 * last) if log_updates else (0.0, 1.02 * last)


def has_log_spaced_updates(layout: Layout) -> bool:
    """Return True if most snapshots are near the start, so that updates need a logarithmic axis."""
    found = [group.updates[group.updates > 0] for group in layout.shown_groups()]
    longest: np.ndarray[tuple[int], np.dtype[np.int64]] = max(found, key=len, default=np.empty(0, np.int64))
    return len(longest) > 4 and bool(np.median(longest) < 0.15 * longest[-1])


def _describe(layout: Layout, bands: dict[int, Floats], loss_name: str, number_of_replicas: str) -> str:
    """Return a description of the picture in sentences, with the last median of each group."""
    clauses = []
    for group in layout.shown_groups():
        last = bands[id(group)][1] if id(group) in bands else np.empty(0)
        last = last[~np.isnan(last)]
        if len(last):
            end = "diverges" if math.isinf(last[-1]) else f"ends at {last[-1]:.3g}"
            clauses.append(f"{group.label} {end}")
    rest = f" and {len(clauses) - 12} more" if len(clauses) > 12 else ""
    return (
        f"The {loss_name} against the number of updates: median and quartiles of {number_of_replicas}. "
        f"The median of {'; '.join(clauses[:12])}{rest}.{f' {layout.left_out}.' if layout.left_out else ''}"
    )
