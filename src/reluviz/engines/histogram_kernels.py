"""Compiled kernel: histograms of the per-sample gradients g_i of the units of a ReLU network.

With r_i = f(x_i) - y_i and a_ik = 1[w_k x_i + b_k > 0]:

    dw_k: 2 r_i v_k a_ik x_i      db_k: 2 r_i v_k a_ik      dv_k: 2 r_i a_ik (w_k x_i + b_k)

The values are those of `core.votes.ReLUGradients.gradients`. This kernel is faster: it stores no gradients of samples
on which a unit is inactive, since these are 0. It also releases the GIL.

Legend of shapes: S snapshots, C replicas whose gradients are counted together, n recorded samples, W hidden units.
"""

import numpy as np

from reluviz.engines import compile


@compile.compiled
def gradient_histogram(w, b, v, x, residual, parameter, divisor, summary, counts):
    """Make a histogram, for each snapshot, of the gradients with respect to one parameter of all units.

    Args:
        w: input slopes [S, C, W].
        b: biases [S, C, W].
        v: output weights [S, C, W].
        x: inputs [n].
        residual: r_i [S, C, n].
        parameter: 0 for w, 1 for b, 2 for v.
        divisor: the number by which the caller divides the gradients later; the width of all bins together if
            all gradients are equal.
        summary: receives the smallest and the largest value, the sum and the sum of squares, [S, 4].
        counts: zeros; receives the count of each bin, [S, bins + 1]; the last column is used as scratch and ends as 0.
    """
    replicas, width, samples, bins = w.shape[1], w.shape[2], x.shape[0], counts.shape[1] - 1
    values = np.empty(replicas * width * samples + 1)
    for s in range(w.shape[0]):
        active = 0  # the number of values: pairs of a sample and a unit that is active on it
        for c in range(replicas):
            for k in range(width):
                slope, bias, weight = w[s, c, k], b[s, c, k], v[s, c, k]
                for i in range(samples):
                    h = slope * x[i] + bias
                    factor = weight * x[i] if parameter == 0 else weight if parameter == 1 else h
                    # if the unit is inactive, the next value overwrites this one
                    values[active] = 2.0 * residual[s, c, i] * factor
                    active += h > 0.0
        inactive = replicas * width * samples - active
        low, high, total, sum_of_squares = (0.0, 0.0, 0.0, 0.0) if inactive > 0 else (values[0], values[0], 0.0, 0.0)
        for i in range(active):
            low, high = min(low, values[i]), max(high, values[i])
            total += values[i]
            sum_of_squares += values[i] * values[i]
        # the bins that `record.histograms` chooses
        span, first = (high - low, low) if high - low > 1e-300 else (divisor, low - divisor / 2)
        scale = bins / span
        for i in range(active):
            counts[s, int((values[i] - first) * scale + 1e-12)] += 1
        if inactive > 0:
            counts[s, int((0.0 - first) * scale + 1e-12)] += inactive
        # the largest value belongs to the last bin
        counts[s, bins - 1] += counts[s, bins]
        counts[s, bins] = 0
        summary[s, 0], summary[s, 1], summary[s, 2], summary[s, 3] = low, high, total, sum_of_squares
