"""Histograms of the votes on a ReLU network's units, by compiled code where some is loaded anyway."""

import sys
from collections.abc import Sequence

import numpy as np

from reluviz import histograms
from reluviz.histograms import BINS, LIMIT, Counted
from reluviz.snapshot import Snapshot, recorded

UNITS = ("input_slope", "bias", "output_weight")


def count(snapshots: Sequence[Snapshot], replicas: int) -> dict[str, Counted]:
    """Count the contributions of the recorded samples to the trained parameters of units.

    `histograms.count` finds the same in Python, where the numbers of all samples and units are made first.

    Args:
        snapshots: of one network.
        replicas: so many are counted together, the first ones.

    Returns:
        trained name -> histograms of the S snapshots; empty where there is nothing compiled to use, or a number is not
        finite or too large to be counted.
    """
    first = snapshots[0]
    # numba takes half a second to import, which is worth it for an engine only
    if first.model != "relu" or "numba" not in sys.modules:
        return {}
    arrays = [np.array([s.parameters[name][:replicas].numpy() for s in snapshots]) for name in UNITS]
    residual = np.array([s.votes.residual[:replicas].numpy() for s in snapshots])
    x = first.x.numpy()[recorded(len(first.x)).numpy()]
    largest = max(1.0, *(float(np.abs(values).max()) for values in (*arrays, x)))
    if residual.shape[1] < arrays[0].shape[1] or not np.abs(residual).max() * largest**2 < LIMIT / 8:
        return {}
    from reluviz.engines.count_kernels import count as compiled

    found, samples = {}, len(first.x)
    for name in first.trained:
        if name == "output_bias":
            found[name] = histograms.count(list(2 * residual), samples)
            continue
        single, counts = np.empty((len(snapshots), 4)), np.zeros((len(snapshots), BINS + 1), np.int64)
        compiled(*arrays, x, residual, UNITS.index(name), float(samples), single, counts)
        many = np.full(len(snapshots), arrays[0][0].size * len(x))
        low, high, total, squares = single.T
        found[name] = histograms.counted(low, high, total, squares, many, counts[:, :-1], samples)
    return found
