"""The pictures of a report.

loss-test, loss-train   loss against updates: median and quartiles of every group
optimizers              the test loss, with a panel for each optimiser
final-KEY               the loss at the end against the setting KEY
units                   numbers of bent, linear and dead units against updates
elbows                  elbow positions of the median run of each group against updates
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from reluviz.analysis.report.groups import Groups
from reluviz.analysis.report.pictures.elbow_paths import draw_elbow_paths
from reluviz.analysis.report.pictures.final_values import draw_final_values
from reluviz.analysis.report.pictures.loss_curves import draw_loss_curves
from reluviz.analysis.report.pictures.picture import Picture
from reluviz.analysis.report.pictures.picture_files import checked_formats, save
from reluviz.analysis.report.pictures.styles import Styles
from reluviz.analysis.report.pictures.unit_counts import draw_unit_counts
from reluviz.plots.style import plot_style
from reluviz.record import tags

__all__ = ["Picture", "drawn", "write"]

MAX_KEYS = 8
"""The loss at the end is drawn against at most this many settings."""
OPTIMIZER = "optimizer"


def write(groups: Groups, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Draw all pictures that the groups have data for, write them, and return their files.

    Args:
        groups: the groups to show.
        folder: the folder to write to; it is created if it does not exist.
        formats: some of png, svg and pdf.

    Raises:
        UserError: for an unknown format, or if a file cannot be written.
    """
    checked = checked_formats(formats)
    return [path for picture in draw_pictures(groups) for path in save(picture, folder, checked)]


def draw_pictures(groups: Groups) -> Iterator[Picture]:
    """Yield the pictures of the groups, the most informative ones first."""
    if not groups.groups:
        return
    styles = Styles(groups)
    metric = tags.LOSS_TEST if _has_values(groups, tags.LOSS_TEST) else tags.LOSS_TRAIN
    with plot_style():
        for key, name in zip(groups.keys[:MAX_KEYS], _file_names(groups.keys), strict=False):
            yield from _if_any(draw_final_values(groups, styles, key, metric, name))
        yield from _if_any(draw_loss_curves(groups, styles, tags.LOSS_TEST, "loss-test"))
        yield from _if_any(draw_loss_curves(groups, styles, tags.LOSS_TRAIN, "loss-train"))
        if OPTIMIZER in groups.keys and len(groups.keys) > 1:
            other = next(key for key in groups.keys if key != OPTIMIZER)
            yield from _if_any(
                draw_loss_curves(groups, styles, tags.LOSS_TEST, "optimizers", colour_key=other, panel_key=OPTIMIZER)
            )
        if not groups.keys:
            yield from _if_any(draw_final_values(groups, styles, None, metric, "final"))
        yield from _if_any(draw_unit_counts(groups, styles, "units"))
        yield from _if_any(draw_elbow_paths(groups, metric, "elbows"))


def _has_values(groups: Groups, metric: str) -> bool:
    return any(metric in group.final and (group.final[metric] == group.final[metric]).any() for group in groups.groups)


def _if_any(picture: Picture | None) -> Iterator[Picture]:
    if picture is not None:
        yield picture


def _file_names(keys: Sequence[str]) -> list[str]:
    """Return a unique file name for each key, made of letters and digits."""
    safe = [f"final-{re.sub('[^a-z0-9]+', '-', key.lower()).strip('-')[:60]}" for key in keys]
    return [name if safe.index(name) == i else f"{name}-{i + 1}" for i, name in enumerate(safe)]
