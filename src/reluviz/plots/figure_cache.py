"""A cache of pictures: later runs in a process with the same model and data reuse the figures of earlier runs."""

import hashlib

import numpy as np

from reluviz.data.dataset import Dataset
from reluviz.plots.data_background import DataBackground
from reluviz.plots.fit import FitPicture
from reluviz.plots.votes import VotesPicture

MAX_CACHED = 3
"""At most this many pairs of pictures are kept, about 12 MB each."""

_cache: dict[str, tuple[FitPicture, VotesPicture]] = {}


def for_run(model: str, dataset: Dataset, seed: int, precision: str = "float64") -> tuple[FitPicture, VotesPicture]:
    """Return the pictures of a new run. Figures of an earlier run with the same model and data are reused.

    Drawing the background (axes, points and legend) takes as long as ten pictures. The earlier run must have ended: its
    picture objects now show the new run.

    Args:
        model: the model's name.
        dataset: the data of the run; data sets are compared by value.
        seed: the seed of the replica that is shown, for the title.
        precision: the precision of the run.
    """
    key = _key(model, dataset, precision)
    pictures = _cache.pop(key, None)
    if pictures is None:
        pictures = FitPicture(model, dataset, seed, precision), VotesPicture(model, dataset, seed)
    for picture in pictures:
        picture.reset(seed)
    _cache[key] = pictures  # the most recent is the last
    for old in list(_cache)[:-MAX_CACHED]:
        del _cache[old]
    return pictures


def _key(model: str, dataset: Dataset, precision: str) -> str:
    """Return a digest of everything that the background of the pictures shows."""
    background = DataBackground(dataset)
    truth = () if background.truth is None else background.truth
    shown = model, precision, dataset.name, dataset.domain, dataset.scaling, len(dataset.x), len(truth)
    digest = hashlib.sha256(repr(shown).encode())
    for values in (dataset.x, dataset.y, *truth):
        digest.update(np.ascontiguousarray(values, dtype=np.float64).data)
    return digest.hexdigest()
