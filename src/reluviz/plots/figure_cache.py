"""The pictures of the runs of one process, which often share their data, and with them most of what is drawn."""

import hashlib

import numpy as np

from reluviz.data.dataset import Dataset
from reluviz.plots.fit import FitPicture
from reluviz.plots.frame import Frame
from reluviz.plots.votes import VotesPicture

KEPT = 3
"""For so many data sets pictures are kept, about 12 MB each."""

_kept: dict[str, tuple[FitPicture, VotesPicture]] = {}


def for_run(model: str, dataset: Dataset, seed: int) -> tuple[FitPicture, VotesPicture]:
    """Return the pictures of a new run: those of an earlier one, where model and data are the same.

    What they have in common, edges, points and legend, takes as long as ten pictures. The earlier run must have ended,
    as its pictures are taken over.

    Args:
        model: constant, linear or relu.
        dataset: the data of the run, compared by value.
        seed: the seed of the replica that is shown, for the title.
    """
    key = _key(model, dataset)
    pictures = _kept.pop(key, None)
    if pictures is None:
        pictures = FitPicture(model, dataset, seed), VotesPicture(model, dataset, seed)
    for picture in pictures:
        picture.restart(seed)
    _kept[key] = pictures  # the latest stands last
    for old in list(_kept)[:-KEPT]:
        del _kept[old]
    return pictures


def _key(model: str, dataset: Dataset) -> str:
    """Return a digest of all that the still part of the pictures shows."""
    frame = Frame(dataset)
    truth = () if frame.truth is None else frame.truth
    digest = hashlib.sha256(repr((model, dataset.name, dataset.domain, len(dataset.x), len(truth))).encode())
    for values in (dataset.x, dataset.y, *truth):
        digest.update(np.ascontiguousarray(values, dtype=np.float64).data)
    return digest.hexdigest()
