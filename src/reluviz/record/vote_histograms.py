"""Histograms of the votes on a ReLU network's units, by compiled code where some is loaded anyway."""

import sys

import numpy as np

from reluviz.core.snapshot import Snapshots, recorded
from reluviz.record import histograms
from reluviz.record.histograms import BINS, LIMIT, Counted

UNITS = ("input_slope", "bias", "output_weight")


def count(album: Snapshots, replicas: int) -> dict[str, Counted]:
    """Count the contributions of the recorded samples to the trained parameters of units.

    `histograms.count` finds the same in Python, where the numbers of all samples and units are made first.

    Args:
        album: snapshots of one network.
        replicas: so many are counted together, the first ones.

    Returns:
        trained name -> histograms of the S snapshots; empty where there is nothing compiled to use, or a number is not
        finite or too large to be counted.
    """
    # numba takes half a second to import, which is worth it for an engine only
    if album.model != "relu" or "numba" not in sys.modules:
        return {}
    arrays = [np.ascontiguousarray(album.parameters[name][:, :replicas]) for name in UNITS]
    residual = np.ascontiguousarray(album.votes.residual[:, :replicas])
    samples = len(album.dataset.x)
    x = album.dataset.x[recorded(samples)]
    largest = max(1.0, *(float(np.abs(values).max()) for values in (*arrays, x)))
    if residual.shape[1] < arrays[0].shape[1] or not np.abs(residual).max() * largest**2 < LIMIT / 8:
        return {}
    from reluviz.engines.histogram_kernels import count as compiled

    found = {}
    for name in album.trained:
        if name == "output_bias":
            found[name] = histograms.count(list(2 * residual), samples)
            continue
        single, counts = np.empty((len(album), 4)), np.zeros((len(album), BINS + 1), np.int64)
        compiled(*arrays, x, residual, UNITS.index(name), float(samples), single, counts)
        many = np.full(len(album), arrays[0][0].size * len(x))
        low, high, total, squares = single.T
        found[name] = histograms.counted(low, high, total, squares, many, counts[:, :-1], samples)
    return found
