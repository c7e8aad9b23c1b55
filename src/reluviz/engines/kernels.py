"""Compiled kernels: minibatch updates of the three models in place.

Legend of shapes: R replicas, K updates, B batch, N samples, W hidden units, P parameters, G parameter groups,
S spans (runs of neighbouring parameters in one group), M grid points.

A replica's parameters are one vector theta [P]: (theta) or (w_1..w_W, b_1..b_W, v_1..v_W, c), where units of zeros may
fill W up: they are inactive everywhere and remain zeros. Every entry point
(`line_sgd`, `dense_adam`, ...) makes K updates of replicas first .. last - 1:

    theta [R, P], moments [R, 1 or 2, P]: changed in place
    x, y [N], indices [R or 1, K or 1, B] (1: the same for all), rates [K, G]
    spans [S, 4]: start, stop, group, updates already in the optimiser's state; unsigned, since loops over indices
        that might be negative are not vectorised
    settings [G, ...]: of each group; see `_sgd` and `_adam`
    loss [R]: receives the mean squared error of the last minibatch before its update
    work: scratch, as `work` makes it

All functions stand in one file, since the cache on disk notices changes of the file of an entry point only.
"""

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reluviz.engines import compiling

# Not "contract": the gate w x + b > 0 must round as PyTorch's, which multiplies, rounds, then adds. Not "nnan":
# a network that diverges must show it.
FASTMATH = {"reassoc", "nsz", "arcp"}
compiled = functools.partial(compiling.compiled, fastmath=FASTMATH)
part = functools.partial(compiling.part, fastmath=FASTMATH)
TILE = 1024
"""Samples taken at a time: they stay in the fastest memory, and in float32 a sum of partial sums keeps digits that one
long sum loses."""
BLOCK = 64
"""Units whose cells are checked in one go."""
LANES = 2
"""Sums kept side by side, so that neighbouring units with one rank need not wait for each other."""


def work(theta: NDArray[Any]) -> NDArray[Any]:
    """Return scratch for the updates of one replica after another, [4, P or more]; each thread needs its own."""
    return np.empty((4, max(theta.shape[1], TILE + 8)), theta.dtype)


@part
def _line(theta, x, y, batch, grad):
    """Write dL/dtheta of f(x) = theta x, (2/B) sum_i r_i x_i, and return L."""
    total = 0.0
    gradient = 0.0
    for i in range(batch.shape[0]):
        j = batch[i]
        r = theta[0] * x[j] - y[j]
        total += r * r
        gradient += r * x[j]
    grad[0] = 2 * gradient / batch.shape[0]
    return total / batch.shape[0]


@part
def _relu(h, zero):
    """Return max(0, h); in this order it is one instruction, and NaN stays NaN."""
    return zero if zero > h else h


@part
def _gate(h, r, zero):
    """Return r where h > 0, else 0."""
    return r if h > zero else zero


@part
def _dense(theta, x, y, batch, grad, part, xs, rs):
    """Write the gradient of the ReLU network, in O(B W), and return L.

    With h_ik = w_k x_i + b_k and, over the active samples h_ik > 0, (S1, Sx) = (2/B) sum_i r_i (1, x_i):
        dL/dw_k = v_k Sx,  dL/db_k = v_k S1,  dL/dv_k = w_k Sx + b_k S1,  dL/dc = (2/B) sum_i r_i

    Units are the inner loop, and each is read once for eight samples. part [P] and xs, rs [TILE + 8] are scratch.
    """
    width = np.uintp(theta.shape[0] // 3)
    size = np.uintp(batch.shape[0])
    zero = theta.dtype.type(0)
    scale = theta.dtype.type(2.0 / size)
    c = theta[3 * width]
    for p in range(3 * width + 1):
        grad[p] = zero
    total = 0.0
    for first in range(0, size, TILE):
        count = TILE if size - first > TILE else size - first
        for i in range(count):
            xs[i] = x[batch[first + i]]
        # eight at a time may go beyond the last sample, where residuals are 0
        for i in range(count, count + 8):
            xs[i] = zero
        for i in range(0, count, 8):
            x0 = xs[i]
            x1 = xs[i + 1]
            x2 = xs[i + 2]
            x3 = xs[i + 3]
            x4 = xs[i + 4]
            x5 = xs[i + 5]
            x6 = xs[i + 6]
            x7 = xs[i + 7]
            f0 = f1 = f2 = f3 = f4 = f5 = f6 = f7 = zero
            for k in range(width):
                w = theta[k]
                b = theta[width + k]
                v = theta[2 * width + k]
                f0 += v * _relu(w * x0 + b, zero)
                f1 += v * _relu(w * x1 + b, zero)
                f2 += v * _relu(w * x2 + b, zero)
                f3 += v * _relu(w * x3 + b, zero)
                f4 += v * _relu(w * x4 + b, zero)
                f5 += v * _relu(w * x5 + b, zero)
                f6 += v * _relu(w * x6 + b, zero)
                f7 += v * _relu(w * x7 + b, zero)
            rs[i] = f0
            rs[i + 1] = f1
            rs[i + 2] = f2
            rs[i + 3] = f3
            rs[i + 4] = f4
            rs[i + 5] = f5
            rs[i + 6] = f6
            rs[i + 7] = f7
        residuals = zero
        for i in range(count):
            r = rs[i] + c - y[batch[first + i]]
            total += r * r
            rs[i] = r * scale
            residuals += rs[i]
        for i in range(count, count + 8):
            rs[i] = zero
        for k in range(2 * width):
            part[k] = zero
        for i in range(0, count, 8):
            x0 = xs[i]
            x1 = xs[i + 1]
            x2 = xs[i + 2]
            x3 = xs[i + 3]
            x4 = xs[i + 4]
            x5 = xs[i + 5]
            x6 = xs[i + 6]
            x7 = xs[i + 7]
            r0 = rs[i]
            r1 = rs[i + 1]
            r2 = rs[i + 2]
            r3 = rs[i + 3]
            r4 = rs[i + 4]
            r5 = rs[i + 5]
            r6 = rs[i + 6]
            r7 = rs[i + 7]
            for k in range(width):
                w = theta[k]
                b = theta[width + k]
                a0 = _gate(w * x0 + b, r0, zero)
                a1 = _gate(w * x1 + b, r1, zero)
                a2 = _gate(w * x2 + b, r2, zero)
                a3 = _gate(w * x3 + b, r3, zero)
                a4 = _gate(w * x4 + b, r4, zero)
                a5 = _gate(w * x5 + b, r5, zero)
                a6 = _gate(w * x6 + b, r6, zero)
                a7 = _gate(w * x7 + b, r7, zero)
                part[k] += a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7
                part[width + k] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3 + a4 * x4 + a5 * x5 + a6 * x6 + a7 * x7
        for k in range(width):
            grad[k] += theta[2 * width + k] * part[width + k]
            grad[width + k] += theta[2 * width + k] * part[k]
            grad[2 * width + k] += theta[k] * part[width + k] + theta[width + k] * part[k]
        grad[3 * width] += residuals
    return total / size


@part
def _cell(w, b, cell, grid):
    """Return the number of grid points left of a unit's elbow, starting to look at `cell`.

    A grid point e is left of the elbow where (w e + b > 0) != (w >= 0); this is monotone in e, also rounded.
    """
    zero = grid.dtype.type(0)
    points = grid.shape[0]
    rising = w >= zero
    low, high, step = 0, points, 1
    if cell < points and (w * grid[cell] + b > zero) != rising:
        low = cell + 1
        while low + step <= points and (w * grid[low + step - 1] + b > zero) != rising:
            low += step
            step *= 2
        high = min(low + step - 1, points)
    else:
        high = cell
        while high - step >= 0 and (w * grid[high - step] + b > zero) == rising:
            high -= step
            step *= 2
        low = max(high - step + 1, 0)
    while low < high:
        middle = (low + high) // 2
        if (w * grid[middle] + b > zero) == rising:
            high = middle
        else:
            low = middle + 1
    return low


@part
def _sorted(theta, x, y, batch, grad, grid, shift, cells, edges, entry, ranks, change, sums):
    """Write the gradient of the ReLU network, in O(B + W), and return L; the batch is in the order of x.

    A unit is active on one side of its elbow. With rank j samples left of it, it adds w v to the slope and b v to the
    intercept of the samples j .. B - 1 where it faces right, and of 0 .. j - 1 where it faces left: differences at j,
    and running sums of them give every f(x_i). Running sums of r_i and r_i x_i then give every unit's gradient:

        dL/dw_k = v_k Sx,  dL/db_k = v_k S1,  dL/dv_k = w_k Sx + b_k S1,  (S1, Sx) = (2/B) sum_active r_i (1, x_i)

    Ranks are exact: they follow from the predicate w x + b > 0, computed as in `_dense`, and not from -b/w. Which cell
    of the grid an elbow is in is remembered from update to update and verified each time.

    grid [M] is every 2^shift-th x; cells [W] are the units' cells, + M + 1 where they face left (any, to begin with);
    edges [2, W] the grid points beside the elbow where the unit must be active, and must not (NaN to begin with);
    entry [2M + 2], ranks [W], change [2B + 2, LANES, 2] and sums [2B + 2, 2] are scratch.
    """
    width = theta.shape[0] // 3
    size = batch.shape[0]
    points = grid.shape[0]
    zero = theta.dtype.type(0)
    one = theta.dtype.type(1)
    w, b, v = theta[:width], theta[width : 2 * width], theta[2 * width : 3 * width]
    active, inactive = edges[0], edges[1]

    # entry[cell]: the rank of the cell's elbows in the batch; ~rank where samples within the cell may be left of them
    for m in range(points + 1):
        entry[m] = 0
    for i in range(size):
        entry[(batch[i] + (1 << shift) - 1) >> shift] += 1
    before = 0
    for m in range(points + 1):
        count = entry[m]
        inside = shift > 0 and count > 0
        entry[m] = ~before if inside else before
        entry[points + 1 + m] = ~(size + 1 + before) if inside else size + 1 + before
        before += count

    for block in range(0, width, BLOCK):
        # unsigned: a loop over indices that might be negative is not vectorised
        first, stop = np.uintp(block), np.uintp(min(block + BLOCK, width))
        moved = zero
        for k in range(first, stop):
            moved += zero if w[k] * active[k] + b[k] > zero else one
            moved += one if w[k] * inactive[k] + b[k] > zero else zero
        if moved > zero:
            for k in range(first, stop):
                if not (w[k] * active[k] + b[k] > zero) or w[k] * inactive[k] + b[k] > zero:
                    cell = cells[k]
                    cell = _cell(w[k], b[k], cell if cell <= points else cell - points - 1, grid)
                    left = grid[cell - 1] if cell > 0 else -np.inf
                    right = grid[cell] if cell < points else np.inf
                    if w[k] >= zero:
                        cells[k], active[k], inactive[k] = cell, right, left
                    else:
                        cells[k], active[k], inactive[k] = points + 1 + cell, left, right

    for q in range(2 * size + 2):
        for lane in range(LANES):
            change[q, lane, 0] = 0.0
            change[q, lane, 1] = 0.0
    for k in range(width):
        ranks[k] = entry[cells[k]]
    if shift > 0:
        for k in range(width):
            if ranks[k] < 0:
                q = ~ranks[k]
                rising = q <= size
                i = q if rising else q - size - 1
                while i < size and (w[k] * x[batch[i]] + b[k] > zero) != rising:
                    i += 1
                ranks[k] = i if rising else size + 1 + i
    for k in range(width):
        rank = np.uintp(ranks[k])
        change[rank, k % LANES, 0] += v[k] * w[k]
        change[rank, k % LANES, 1] += v[k] * b[k]

    # the last difference on the right is of units that are active nowhere: they count only where they are not finite
    slope = 0.0
    intercept = float(theta[3 * width])
    for lane in range(LANES):
        slope += 0.0 * change[size, lane, 0]
        intercept += 0.0 * change[size, lane, 1]
        change[size + 1, lane, 0] = 0.0
        change[size + 1, lane, 1] = 0.0
        for q in range(size + 2, 2 * size + 2):
            slope += change[q, lane, 0]
            intercept += change[q, lane, 1]
    total = 0.0
    s1 = 0.0
    sx = 0.0
    scale = 2.0 / size
    for i in range(size):
        q = size + 1 + i
        for lane in range(LANES):
            slope += change[i, lane, 0] - change[q, lane, 0]
            intercept += change[i, lane, 1] - change[q, lane, 1]
        sums[q, 0] = s1
        sums[q, 1] = sx
        r = slope * x[batch[i]] + intercept - y[batch[i]]
        total += r * r
        r *= scale
        s1 += r
        sx += r * x[batch[i]]
    sums[2 * size + 1, 0] = s1
    sums[2 * size + 1, 1] = sx
    for i in range(size + 1):
        sums[i, 0] = s1 - sums[size + 1 + i, 0]
        sums[i, 1] = sx - sums[size + 1 + i, 1]

    # looked up first, so that the loop that computes is vectorised
    grad_w, grad_b, grad_v = grad[:width], grad[width : 2 * width], grad[2 * width : 3 * width]
    for k in range(width):
        rank = np.uintp(ranks[k])
        grad_w[k], grad_b[k] = sums[rank, 1], sums[rank, 0]
    for k in range(width):
        grad_v[k] = w[k] * grad_w[k] + b[k] * grad_b[k]
        grad_w[k] *= v[k]
        grad_b[k] *= v[k]
    grad[3 * width] = s1
    return total / size


@part
def _sgd(theta, grad, moments, rates, spans, settings, k):
    """Make one step of torch.optim.SGD; settings are momentum, dampening, nesterov, weight decay.

    d = g + decay theta;  m <- momentum m + (1 - dampening) d, at first m <- d;
    theta <- theta - lr (d without momentum, d + momentum m with Nesterov's, else m)
    """
    real = theta.dtype.type
    for s in range(spans.shape[0]):
        start, stop, group = spans[s, 0], spans[s, 1], spans[s, 2]
        lr, decay = real(rates[k, group]), real(settings[group, 3])
        if settings[group, 0] == 0:
            for p in range(start, stop):
                theta[p] -= lr * (grad[p] + decay * theta[p])
        else:
            momentum = real(settings[group, 0])
            keep = real(1.0 if spans[s, 3] == 0 and k == 0 else 1 - settings[group, 1])
            nesterov = settings[group, 2] != 0
            of_grad, of_moment = real(1 if nesterov else 0), momentum if nesterov else real(1)
            for p in range(start, stop):
                d = grad[p] + decay * theta[p]
                m = momentum * moments[0, p] + keep * d
                moments[0, p] = m
                theta[p] -= lr * (of_grad * d + of_moment * m)


@part
def _adam(theta, grad, moments, rates, spans, settings, k):
    """Make one step of torch.optim.Adam or AdamW; settings are beta1, beta2, eps, weight decay, decoupled.

    theta <- (1 - lr decay) theta if decoupled, else g <- g + decay theta;
    m <- m + (1 - beta1) (g - m);  s <- beta2 s + (1 - beta2) g^2;
    theta <- theta - lr / (1 - beta1^t) m / (sqrt(s) / sqrt(1 - beta2^t) + eps)
    """
    real = theta.dtype.type
    for n in range(spans.shape[0]):
        group = spans[n, 2]
        beta1, beta2 = settings[group, 0], settings[group, 1]
        t = float(spans[n, 3]) + k + 1
        step = real(rates[k, group] / (1 - beta1**t))
        root = real(1 / math.sqrt(1 - beta2**t))
        of_grad, keep, of_square, eps = real(1 - beta1), real(beta2), real(1 - beta2), real(settings[group, 2])
        shrink, decay = real(1), real(settings[group, 3])
        if settings[group, 4] != 0:
            shrink, decay = real(1 - rates[k, group] * settings[group, 3]), real(0)
        for p in range(spans[n, 0], spans[n, 1]):
            g = grad[p] + decay * theta[p]
            m = moments[0, p] + of_grad * (g - moments[0, p])
            s = keep * moments[1, p] + of_square * g * g
            moments[0, p] = m
            moments[1, p] = s
            theta[p] = shrink * theta[p] - step * m / (math.sqrt(s) * root + eps)


@compiled
def line_sgd(first, last, theta, moments, x, y, indices, rates, spans, settings, loss, work):
    """Make the updates of a one-parameter model by SGD; f = theta x, where x is 1 for the constant model."""
    grad = work[0]
    for r in range(first, last):
        here, moment, batches = theta[r], moments[r], indices[r % indices.shape[0]]
        for k in range(rates.shape[0]):
            batch = batches[k % batches.shape[0]]
            loss[r] = _line(here, x, y, batch, grad)
            _sgd(here, grad, moment, rates, spans, settings, k)


@compiled
def line_adam(first, last, theta, moments, x, y, indices, rates, spans, settings, loss, work):
    """Make the updates of a one-parameter model by Adam or AdamW."""
    grad = work[0]
    for r in range(first, last):
        here, moment, batches = theta[r], moments[r], indices[r % indices.shape[0]]
        for k in range(rates.shape[0]):
            batch = batches[k % batches.shape[0]]
            loss[r] = _line(here, x, y, batch, grad)
            _adam(here, grad, moment, rates, spans, settings, k)


@compiled
def dense_sgd(first, last, theta, moments, x, y, indices, rates, spans, settings, loss, work):
    """Make the updates of the ReLU network by SGD, in O(B W) each."""
    grad, part, xs, rs = work[0], work[1], work[2], work[3]
    for r in range(first, last):
        here, moment, batches = theta[r], moments[r], indices[r % indices.shape[0]]
        for k in range(rates.shape[0]):
            batch = batches[k % batches.shape[0]]
            loss[r] = _dense(here, x, y, batch, grad, part, xs, rs)
            _sgd(here, grad, moment, rates, spans, settings, k)


@compiled
def dense_adam(first, last, theta, moments, x, y, indices, rates, spans, settings, loss, work):
    """Make the updates of the ReLU network by Adam or AdamW, in O(B W) each."""
    grad, part, xs, rs = work[0], work[1], work[2], work[3]
    for r in range(first, last):
        here, moment, batches = theta[r], moments[r], indices[r % indices.shape[0]]
        for k in range(rates.shape[0]):
            batch = batches[k % batches.shape[0]]
            loss[r] = _dense(here, x, y, batch, grad, part, xs, rs)
            _adam(here, grad, moment, rates, spans, settings, k)


@compiled
def sorted_sgd(
    first, last, theta, moments, x, y, indices, rates, spans, settings, loss, work, grid, shift, cells, edges
):
    """Make the updates of the ReLU network by SGD, in O(B + W) each; x and every batch are in order."""
    grad, ranks = work[0], np.empty(theta.shape[1] // 3, np.int64)
    entry, size = np.empty(2 * grid.shape[0] + 2, np.int64), indices.shape[2]
    change, sums = np.empty((2 * size + 2, LANES, 2)), np.empty((2 * size + 2, 2))
    for r in range(first, last):
        here, moment, batches = theta[r], moments[r], indices[r % indices.shape[0]]
        for k in range(rates.shape[0]):
            batch = batches[k % batches.shape[0]]
            loss[r] = _sorted(here, x, y, batch, grad, grid, shift, cells[r], edges[r], entry, ranks, change, sums)
            _sgd(here, grad, moment, rates, spans, settings, k)


@compiled
def sorted_adam(
    first, last, theta, moments, x, y, indices, rates, spans, settings, loss, work, grid, shift, cells, edges
):
    """Make the updates of the ReLU network by Adam or AdamW, in O(B + W) each; x and every batch are in order."""
    grad, ranks = work[0], np.empty(theta.shape[1] // 3, np.int64)
    entry, size = np.empty(2 * grid.shape[0] + 2, np.int64), indices.shape[2]
    change, sums = np.empty((2 * size + 2, LANES, 2)), np.empty((2 * size + 2, 2))
    for r in range(first, last):
        here, moment, batches = theta[r], moments[r], indices[r % indices.shape[0]]
        for k in range(rates.shape[0]):
            batch = batches[k % batches.shape[0]]
            loss[r] = _sorted(here, x, y, batch, grad, grid, shift, cells[r], edges[r], entry, ranks, change, sums)
            _adam(here, grad, moment, rates, spans, settings, k)
