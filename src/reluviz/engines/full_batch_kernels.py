"""Compiled kernels of the engine `exact`: full-batch gradient descent with a cost that hardly depends on N.

Residuals r_i = f(x_i) - y_i, L = (1/N) sum_i r_i^2 (mean, no 1/2). With the inputs sorted, unit k is active on
an interval of samples that includes the first or the last one, and f is linear between two adjacent boundaries of
these intervals. With u = (x - m) / s, the centred and scaled inputs, and f = A u + C on a piece,

    sum r   = A sum u   + C n     - sum y            (sums over the samples of the piece,
    sum r u = A sum u^2 + C sum u - sum u y           each a difference of two prefix sums)

and with S1 = sum of r_i, Su = sum of r_i u_i over the samples where unit k is active (running totals over the
pieces),

    dL/dw = (2/N) v (s Su + m S1)        dL/db = (2/N) v S1
    dL/dv = (2/N) (w s Su + (w m + b) S1)        dL/dc = (2/N) sum_i r_i

So an update costs O(W), plus the search for the boundaries: O(W log N) from scratch, O(W) if they have not moved.

Legend of shapes: R replicas, N samples, W hidden units, K updates, G parameter groups, P parameters (3 W + 1:
w, b, v, c in this order; or theta alone), T blocks of parameters (the trained tensors).
"""

import numpy as np
from numpy.typing import NDArray

from reluviz.engines.compile import compiled, inlined

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Frame = tuple[float, float, float]

# No fastmath: contracting w x + b would round differently from PyTorch and could move a sample across an elbow.

UNIT_BITS = 24
"""A boundary and its unit are sorted as one number, boundary * 2^24 + unit."""
UNIT_MASK = (1 << UNIT_BITS) - 1


@compiled
def prefix_sums(u: Array, y: Array, sums: Array) -> None:
    """Write the sums of u, u^2, y and u y over the first j samples into sums[j], j = 0 .. N, as if rounded once.

    Compensated summation (A. Neumaier, Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen, 1974).
    """
    for column in range(4):
        total, lost = 0.0, 0.0
        sums[0, column] = 0.0
        for i in range(u.size):
            term = y[i] if column >= 2 else 1.0
            if column % 2 == 1:
                term *= u[i]
            if column < 2:
                term *= u[i]
            after = total + term
            lost += (total - after) + term if abs(total) >= abs(term) else (term - after) + total
            total = after
            sums[i + 1, column] = after + lost


@inlined
def find_boundary(w: float, b: float, x: Array, hint: int) -> int:
    """Return the first j with (w x_j + b > 0) = (w > 0), or N if there is none, rounding exactly as PyTorch does.

    A unit with w < 0 is active on the samples before j, any other unit on the samples from j on. Rounding is
    monotone, so the predicate changes once. The search doubles its steps from `hint`, then bisects.
    """
    n = x.size
    if w == 0 or w != w or b != b:
        # NaN and infinity must reach every sum, as in PyTorch
        return (0 if b > 0 or w != w or b != b else n) if not w < 0 else n
    up = w > 0
    width = 1
    if hint >= n or (w * x[hint] + b > 0) == up:
        high = hint if hint < n else n
        low = high - 1
        while low >= 0 and (w * x[low] + b > 0) == up:
            high = low
            width *= 2
            low -= width
        if low < 0:
            low = -1
    else:
        low = hint
        high = low + 1
        while high < n and (w * x[high] + b > 0) != up:
            low = high
            width *= 2
            high += width
        if high > n:
            high = n
    while low + 1 < high:
        middle = (low + high) // 2
        if (w * x[middle] + b > 0) == up:
            high = middle
        else:
            low = middle
    return high


@inlined
def sort(keys: Integers) -> None:
    """Sort in place: by insertion if few moves suffice, as between updates, else by Shell sort."""
    n, gap = keys.size, 1
    max_moves = 8 * n
    while gap > 0:
        moves = 0
        for i in range(gap, n):
            key, j = keys[i], i
            while j >= gap and keys[j - gap] > key:
                keys[j] = keys[j - gap]
                j -= gap
                moves += 1
            keys[j] = key
            if moves > max_moves:
                break
        if moves <= max_moves:
            gap //= 3
            continue
        while 3 * gap < n:
            gap = 3 * gap + 1
        max_moves = n * n


@inlined
def gradient(
    p: Array, g: Array, keys: Integers, search: bool, x: Array, sums: Array, frame: Frame, work: Array
) -> None:
    """Write dL/dp of one replica into g.

    Args:
        p: w, b, v, c, [P].
        g: receives the gradient, [P].
        keys: sorted boundaries and units, [W]; those of the previous update make the search short.
        search: whether elbows may have moved since `keys` were computed.
        x: sorted inputs, [N].
        sums: prefix sums of u, u^2, y - level and u (y - level), [N + 1, 4].
        frame: middle m, scale s, level (the mean of y).
        work: [8, W + 1]; on return rows 0 to 3 hold A, C (less the level), sum r, sum r u of each piece.
    """
    n, width = x.size, keys.size
    middle, scale, level = frame
    w, b, v, c = p[:width], p[width : 2 * width], p[2 * width : 3 * width], p[3 * width]
    slope, height = work[0], work[1]
    residual, moment = work[2], work[3]
    unit_slope, unit_height = work[4], work[5]
    active, active_moment = work[6], work[7]
    if search:
        for q in range(width):
            unit = keys[q] & UNIT_MASK
            keys[q] = find_boundary(w[unit], b[unit], x, keys[q] >> UNIT_BITS) << UNIT_BITS | unit
        sort(keys)

    # w x + b = (w s) u + (w m + b); far from 0 the last two terms cancel, so w m is computed with twice the
    # digits (T. J. Dekker, A floating-point technique for extending the available precision, 1971)
    split = 134217729.0 * middle
    m1 = split - (split - middle)
    m2 = middle - m1
    for k in range(width):
        split = 134217729.0 * w[k]
        w1 = split - (split - w[k])
        w2 = w[k] - w1
        product = w[k] * middle
        unit_height[k] = (product + b[k]) + (((w1 * m1 - product) + w1 * m2 + w2 * m1) + w2 * m2)
        unit_slope[k] = w[k] * scale

    # Each piece is the sum of its active units, added from their active side. No unit is ever subtracted, since that
    # would leave its rounding error on pieces where it is inactive.
    a, h = 0.0, 0.0
    for q in range(width - 1, -1, -1):
        slope[q + 1], height[q + 1] = a, h
        k = keys[q] & UNIT_MASK
        if w[k] < 0:
            a += v[k] * unit_slope[k]
            h += v[k] * unit_height[k]
    slope[0], height[0] = a, h

    a, h = 0.0, c - level
    total, total_moment = 0.0, 0.0
    start = 0
    u_start, uu_start, y_start, uy_start = 0.0, 0.0, 0.0, 0.0
    for q in range(width + 1):
        stop = keys[q] >> UNIT_BITS if q < width else n
        u_stop, uu_stop, y_stop, uy_stop = sums[stop, 0], sums[stop, 1], sums[stop, 2], sums[stop, 3]
        slope[q] += a
        height[q] += h
        u = u_stop - u_start
        residual[q] = slope[q] * u + height[q] * (stop - start) - (y_stop - y_start)
        moment[q] = slope[q] * (uu_stop - uu_start) + height[q] * u - (uy_stop - uy_start)
        total += residual[q]
        total_moment += moment[q]
        if q < width:
            k = keys[q] & UNIT_MASK
            if w[k] < 0:
                active[k], active_moment[k] = total, total_moment
            else:
                a += v[k] * unit_slope[k]
                h += v[k] * unit_height[k]
        start = stop
        u_start, uu_start, y_start, uy_start = u_stop, uu_stop, y_stop, uy_stop

    g[3 * width] = 2.0 / n * total
    total, total_moment = 0.0, 0.0
    for q in range(width - 1, -1, -1):
        total += residual[q + 1]
        total_moment += moment[q + 1]
        k = keys[q] & UNIT_MASK
        if not w[k] < 0:
            active[k], active_moment[k] = total, total_moment

    g_w, g_b, g_v = g[:width], g[width : 2 * width], g[2 * width : 3 * width]
    for k in range(width):
        g_w[k] = 2.0 / n * v[k] * (scale * active_moment[k] + middle * active[k])
        g_b[k] = 2.0 / n * v[k] * active[k]
        g_v[k] = 2.0 / n * (unit_slope[k] * active_moment[k] + unit_height[k] * active[k])


@inlined
def optimizer_step(
    p: Array,
    g: Array,
    first: Array,
    second: Array,
    k: int,
    rates: Array,
    blocks: Integers,
    hyper: Array,
    steps: Array,
    adam: bool,
) -> None:
    """Make update k of a piece from the gradient g, as torch.optim.SGD, Adam or AdamW does.

    Args:
        p: parameters, [P].
        g: gradient, [P]; overwritten.
        first: momentum buffer, or Adam's first moment, [P].
        second: Adam's second moment, [P].
        k: number of the update within the piece.
        rates: learning rates, [K, G].
        blocks: first parameter, one past the last, and parameter group of each block, [T, 3].
        hyper: hyper-parameters of each block, [T, 5]. SGD: weight decay, momentum, dampening, Nesterov or not,
            whether the momentum buffer exists before the piece. Adam: weight decay, beta1, beta2, epsilon, whether
            decay is decoupled.
        steps: Adam's number of updates before the piece, [T].
        adam: whether the optimiser is Adam or AdamW.
    """
    for t in range(blocks.shape[0]):
        low, high = blocks[t, 0], blocks[t, 1]
        p_t, g_t, first_t, second_t = p[low:high], g[low:high], first[low:high], second[low:high]
        rate, decay = rates[k, blocks[t, 2]], hyper[t, 0]
        if adam:
            beta1, beta2, epsilon = hyper[t, 1], hyper[t, 2], hyper[t, 3]
            count = steps[t] + k + 1
            size = rate / (1 - beta1**count)
            root = np.sqrt(1 - beta2**count)
            shrink, coupled = (1 - rate * decay, 0.0) if hyper[t, 4] else (1.0, decay)
            for i in range(p_t.size):
                value = p_t[i] * shrink
                slope = g_t[i] + coupled * value
                first_t[i] += (1 - beta1) * (slope - first_t[i])
                second_t[i] = second_t[i] * beta2 + (1 - beta2) * slope * slope
                p_t[i] = value - size * first_t[i] / (np.sqrt(second_t[i]) / root + epsilon)
            continue
        momentum, dampening, nesterov = hyper[t, 1], hyper[t, 2], hyper[t, 3]
        if decay != 0:
            for i in range(p_t.size):
                g_t[i] += decay * p_t[i]
        if momentum != 0:
            # torch does not dampen the first gradient
            keep, take = (momentum, 1 - dampening) if k > 0 or hyper[t, 4] else (0.0, 1.0)
            for i in range(p_t.size):
                first_t[i] = keep * first_t[i] + take * g_t[i]
                g_t[i] = g_t[i] + momentum * first_t[i] if nesterov else first_t[i]
        for i in range(p_t.size):
            p_t[i] -= rate * g_t[i]


@compiled
def descend_network(
    p: Array,
    first: Array,
    second: Array,
    blocks: Integers,
    hyper: Array,
    steps: Array,
    adam: bool,
    rates: Array,
    keys: Integers,
    elbows_move: bool,
    x: Array,
    sums: Array,
    frame: Frame,
    g: Array,
    work: Array,
) -> None:
    """Make K updates of each replica's ReLU network in place.

    `p`, `first`, `second` are [R, P], `keys` [R, W], `work` [R, 8, W + 1]; `elbows_move`: whether w or b are
    trained. See `optimizer_step` and `gradient` for the other arguments.
    """
    for r in range(p.shape[0]):
        for k in range(rates.shape[0]):
            gradient(p[r], g, keys[r], elbows_move or k == 0, x, sums, frame, work[r])
            optimizer_step(p[r], g, first[r], second[r], k, rates, blocks, hyper, steps, adam)


@compiled
def descend_parameter(
    p: Array,
    first: Array,
    second: Array,
    blocks: Integers,
    hyper: Array,
    steps: Array,
    adam: bool,
    rates: Array,
    curvature: float,
    optimum: float,
    g: Array,
    distance: Array,
) -> None:
    """Make K updates of each replica's theta [R, 1] in place.

    `distance` [R] receives theta - theta* before the last update.

    L = L* + a (theta - theta*)^2 with the curvature a and the optimum theta*, so dL/dtheta = 2 a (theta - theta*).
    """
    for r in range(p.shape[0]):
        for k in range(rates.shape[0]):
            distance[r] = p[r, 0] - optimum
            g[0] = 2 * curvature * distance[r]
            optimizer_step(p[r], g, first[r], second[r], k, rates, blocks, hyper, steps, adam)
