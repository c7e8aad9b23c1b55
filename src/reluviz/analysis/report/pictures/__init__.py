"""The pictures of a report, drawn without a window.

loss-test, loss-train   loss against updates, median and quartiles of every group
optimizers              the test loss of each optimiser, in frames of their own
final-KEY               the loss at the end against the setting KEY
units                   how many units are bent, linear or dead against updates
elbows                  where the elbows of the median run went
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from reluviz.analysis.report.groups import Groups
from reluviz.analysis.report.pictures.elbows import elbows
from reluviz.analysis.report.pictures.final import final
from reluviz.analysis.report.pictures.learning import learning
from reluviz.analysis.report.pictures.picture import Picture
from reluviz.analysis.report.pictures.picture_files import checked, save
from reluviz.analysis.report.pictures.styles import Styles
from reluviz.analysis.report.pictures.units import units
from reluviz.plots.style import styled

__all__ = ["Picture", "drawn", "write"]

MOST_KEYS = 8
"""The loss at the end is drawn against so many settings."""
OPTIMIZER = "optimizer"


def write(study: Groups, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Draw all pictures of a study that it has the data for, and return their files.

    Args:
        study: what is shown.
        folder: where to; it is made if it is not there.
        formats: some of png, svg and pdf.

    Raises:
        UserError: for any other format, or where the files cannot be written.
    """
    kinds = checked(formats)
    return [path for picture in drawn(study) for path in save(picture, folder, kinds)]


def drawn(study: Groups) -> Iterator[Picture]:
    """Yield the pictures of a study, those that say most first."""
    if not study.groups:
        return
    looks = Styles(study)
    metric = "loss/test" if _has(study, "loss/test") else "loss/train"
    with styled():
        for key, name in zip(study.keys[:MOST_KEYS], _names(study.keys), strict=False):
            yield from _some(final(study, looks, key, metric, name))
        yield from _some(learning(study, looks, "loss/test", "loss-test"))
        yield from _some(learning(study, looks, "loss/train", "loss-train"))
        if OPTIMIZER in study.keys and len(study.keys) > 1:
            other = next(key for key in study.keys if key != OPTIMIZER)
            yield from _some(learning(study, looks, "loss/test", "optimizers", colour=other, each=OPTIMIZER))
        if not study.keys:
            yield from _some(final(study, looks, None, metric, "final"))
        yield from _some(units(study, looks, "units"))
        yield from _some(elbows(study, metric, "elbows"))


def _has(study: Groups, metric: str) -> bool:
    return any(metric in group.final and (group.final[metric] == group.final[metric]).any() for group in study.groups)


def _some(picture: Picture | None) -> Iterator[Picture]:
    if picture is not None:
        yield picture


def _names(keys: Sequence[str]) -> list[str]:
    """Return a file name for each key, which may hold any characters."""
    safe = [f"final-{re.sub('[^a-z0-9]+', '-', key.lower()).strip('-')[:60]}" for key in keys]
    return [name if safe.index(name) == i else f"{name}-{i + 1}" for i, name in enumerate(safe)]
