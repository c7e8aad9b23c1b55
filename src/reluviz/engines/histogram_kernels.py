"""Compiled kernel: histograms of the gradients g_i of single samples to the units of a ReLU network.

With r_i = f(x_i) - y_i and a_ik = 1[w_k x_i + b_k > 0]:

    to w_k: 2 r_i v_k a_ik x_i      to b_k: 2 r_i v_k a_ik      to v_k: 2 r_i a_ik (w_k x_i + b_k)

The numbers are those of `ballots.ReLUBallots.gradients`, which are not made here: of a sample that a unit does not hear
it is known that its gradient is 0. And Python is left to others meanwhile.

Legend of shapes: S snapshots, C replicas that are counted together, n recorded samples, W hidden units.
"""

import numpy as np

from reluviz.engines import compile


@compile.compiled
def count(w, b, v, x, residual, kind, divisor, single, counts):
    """Count the gradients to one of the parameters of all units.

    Args:
        w: input slopes [S, C, W].
        b: biases [S, C, W].
        v: output weights [S, C, W].
        x: inputs [n].
        residual: r_i [S, C, n].
        kind: of the parameter: 0 for w, 1 for b, 2 for v.
        divisor: what the gradients are divided by.
        single: receives the least value, the largest, their sum and that of their squares, [S, 4].
        counts: receives how many are in each bin, [S, bins + 1], the last of them empty; zeros to begin with.
    """
    replicas, width, samples, bins = w.shape[1], w.shape[2], x.shape[0], counts.shape[1] - 1
    values = np.empty(replicas * width * samples + 1)
    for s in range(w.shape[0]):
        heard = 0
        for c in range(replicas):
            for k in range(width):
                slope, bias, weight = w[s, c, k], b[s, c, k], v[s, c, k]
                for i in range(samples):
                    h = slope * x[i] + bias
                    factor = weight * x[i] if kind == 0 else weight if kind == 1 else h
                    # the next one takes its place where the unit is silent
                    values[heard] = 2.0 * residual[s, c, i] * factor
                    heard += h > 0.0
        silent = replicas * width * samples - heard
        low, high, total, squares = (0.0, 0.0, 0.0, 0.0) if silent > 0 else (values[0], values[0], 0.0, 0.0)
        for i in range(heard):
            low, high = min(low, values[i]), max(high, values[i])
            total += values[i]
            squares += values[i] * values[i]
        # as `histograms.count` chooses them
        span, first = (high - low, low) if high - low > 1e-300 else (divisor, low - divisor / 2)
        scale = bins / span
        for i in range(heard):
            counts[s, int((values[i] - first) * scale + 1e-12)] += 1
        if silent > 0:
            counts[s, int((0.0 - first) * scale + 1e-12)] += silent
        # the largest value belongs to the last bin
        counts[s, bins - 1] += counts[s, bins]
        counts[s, bins] = 0
        single[s, 0], single[s, 1], single[s, 2], single[s, 3] = low, high, total, squares
