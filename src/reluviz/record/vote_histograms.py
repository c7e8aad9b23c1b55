"""Histograms of the votes on a ReLU network's units, counted by a numba kernel if numba is loaded already."""

import sys

import numpy as np

from reluviz.core.snapshot import Snapshots, recorded_samples
from reluviz.record import histograms
from reluviz.record.histograms import BINS, MAX_COUNTED, Counted

UNITS = ("input_slope", "bias", "output_weight")


def count(snapshots: Snapshots, replicas: int) -> dict[str, Counted]:
    """Return histograms of the contributions of the recorded samples to the trained parameters.

    `histograms.count` gives the same result in NumPy, from arrays of all contributions.

    Args:
        snapshots: snapshots of one network.
        replicas: the number of replicas whose contributions are counted together, the first ones.

    Returns:
        name of a trained parameter -> histograms of the S snapshots. Empty if numba is not loaded, or if a number is
        not finite or too large.
    """
    # importing numba takes half a second, which only an engine is worth
    if snapshots.model != "relu" or "numba" not in sys.modules:
        return {}
    arrays = [np.ascontiguousarray(snapshots.parameters[name][:, :replicas]) for name in UNITS]
    residual = np.ascontiguousarray(snapshots.votes.residual[:, :replicas])
    samples = len(snapshots.dataset.x)
    x = snapshots.dataset.x[recorded_samples(samples)]
    largest = max(1.0, *(float(np.abs(values).max()) for values in (*arrays, x)))
    if residual.shape[1] < arrays[0].shape[1] or not np.abs(residual).max() * largest**2 < MAX_COUNTED / 8:
        return {}
    from reluviz.engines.histogram_kernels import gradient_histogram

    found = {}
    for name in snapshots.trained:
        if name == "output_bias":
            found[name] = histograms.count(list(2 * residual), samples)
            continue
        single, counts = np.empty((len(snapshots), 4)), np.zeros((len(snapshots), BINS + 1), np.int64)
        gradient_histogram(*arrays, x, residual, UNITS.index(name), float(samples), single, counts)
        many = np.full(len(snapshots), arrays[0][0].size * len(x))
        low, high, total, squares = single.T
        found[name] = histograms.counted(low, high, total, squares, many, counts[:, :-1], samples)
    return found
