"""Compiled kernels: losses and votes of one-hidden-layer ReLU networks; a twin of `core/models/relu.py`.

    r_i = f(x_i) - y_i,   g_i = 2 r_i J_i,   G = (1/N) sum_i g_i

No N x P matrix of gradients is made. With a_ik = 1[h_ik > 0], h_ik = w_k x_i + b_k, sums over the units give

    |J_i|^2  = sum_k a_ik v_k^2 (x_i^2 + 1) + sum_k relu(h_ik)^2 + 1
    <J_i, G> = sum_k a_ik v_k (x_i G_w + G_b) + sum_k relu(h_ik) G_v + G_c

where the terms of frozen parameters are 0. The gates a_ik are decided in the precision of the run: they are computed
from copies of w, b and x in that precision.

Legend of shapes: R replicas, N samples, n recorded samples, W hidden units. Every entry point works on replicas
first .. last - 1:

    w, b, v [R, W], c [R]: the parameters
    run_w, run_b [R, W], run_x [N] or [n]: w, b and x in the precision of the run
    x, y [N] or [n]
    trained [4]: 1 for each of w, b, v, c that is trained, else 0
    gradient [R, 3W + 1]: G, in the order w, b, v, c

All functions are in one file, because the cache on disk only notices changes of the file of an entry point.
"""

import functools

import numpy as np

from reluviz.engines import compile

TILE = 256
"""Samples processed at a time; they stay in the fastest cache."""
FASTMATH = {"reassoc", "nsz"}
"""Without "contract", except where no gate is computed: w x + b > 0 must round as in PyTorch."""
compiled = functools.partial(compile.compiled, fastmath=FASTMATH)
inlined = functools.partial(compile.inlined, fastmath=FASTMATH)


@functools.partial(compile.inlined, fastmath={*FASTMATH, "contract"})
def _residuals(w, b, v, c, x, y, count, r):
    """Write r_i of `count` samples into r."""
    width = w.shape[0]
    for i in range(count):
        r[i] = c - y[i]
    # four units at a time, since reading and writing a sample costs as much as one unit
    for k in range(0, width - 3, 4):
        w0, w1, w2, w3 = w[k], w[k + 1], w[k + 2], w[k + 3]
        b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
        v0, v1, v2, v3 = v[k], v[k + 1], v[k + 2], v[k + 3]
        for i in range(count):
            h0, h1, h2, h3 = w0 * x[i] + b0, w1 * x[i] + b1, w2 * x[i] + b2, w3 * x[i] + b3
            # comparing in this order preserves NaN
            f0 = v0 * (0.0 if h0 < 0.0 else h0) + v1 * (0.0 if h1 < 0.0 else h1)
            f2 = v2 * (0.0 if h2 < 0.0 else h2) + v3 * (0.0 if h3 < 0.0 else h3)
            r[i] += f0 + f2
    for k in range(width - width % 4, width):
        slope, bias, weight = w[k], b[k], v[k]
        for i in range(count):
            h = slope * x[i] + bias
            r[i] += weight * (0.0 if h < 0.0 else h)


@inlined
def _squared_jacobian_norms(w, b, v, run_w, run_b, trained, x, run_x, count, q):
    """Write |J_i|^2 of `count` samples into q."""
    width = w.shape[0]
    for i in range(count):
        q[i] = trained[3]
    for k in range(0, width - 3, 4):
        w0, w1, w2, w3 = w[k], w[k + 1], w[k + 2], w[k + 3]
        b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
        v0, v1, v2, v3 = v[k] * v[k], v[k + 1] * v[k + 1], v[k + 2] * v[k + 2], v[k + 3] * v[k + 3]
        p0, p1, p2, p3 = run_w[k], run_w[k + 1], run_w[k + 2], run_w[k + 3]
        q0, q1, q2, q3 = run_b[k], run_b[k + 1], run_b[k + 2], run_b[k + 3]
        for i in range(count):
            h0, h1, h2, h3 = w0 * x[i] + b0, w1 * x[i] + b1, w2 * x[i] + b2, w3 * x[i] + b3
            a0, a1 = v0 if p0 * run_x[i] + q0 > 0 else 0.0, v1 if p1 * run_x[i] + q1 > 0 else 0.0
            a2, a3 = v2 if p2 * run_x[i] + q2 > 0 else 0.0, v3 if p3 * run_x[i] + q3 > 0 else 0.0
            h0, h1, h2, h3 = max(h0, 0.0), max(h1, 0.0), max(h2, 0.0), max(h3, 0.0)
            hidden = h0 * h0 + h1 * h1 + h2 * h2 + h3 * h3
            q[i] += (trained[0] * x[i] * x[i] + trained[1]) * (a0 + a1 + a2 + a3) + trained[2] * hidden
    for k in range(width - width % 4, width):
        slope, bias = w[k], b[k]
        of_slope, of_bias = trained[0] * v[k] * v[k], trained[1] * v[k] * v[k]
        for i in range(count):
            h = max(slope * x[i] + bias, 0.0)
            of_gate = of_slope * x[i] * x[i] + of_bias if run_w[k] * run_x[i] + run_b[k] > 0 else 0.0
            q[i] += of_gate + trained[2] * h * h


@compiled
def losses(first, last, w, b, v, c, x, y, loss):
    """Write the mean of r_i^2 into `loss`, [R]."""
    r = np.empty(TILE)
    for j in range(first, last):
        total = 0.0
        for start in range(0, x.shape[0], TILE):
            count = min(TILE, x.shape[0] - start)
            _residuals(w[j], b[j], v[j], c[j], x[start : start + count], y[start : start + count], count, r)
            for i in range(count):
                total += r[i] * r[i]
        loss[j] = total / x.shape[0]


@compiled
def votes(first, last, w, b, v, c, run_w, run_b, x, run_x, y, trained, gradient, sums):
    """Write G into `gradient`, [R, 3W + 1], and the sums of |g_i| and of |g_i|^2 into `sums`, [R, 2]."""
    width = w.shape[1]
    r, q = np.empty(TILE), np.empty(TILE)
    for j in range(first, last):
        g, norms, squares = gradient[j], 0.0, 0.0
        for start in range(0, x.shape[0], TILE):
            count = min(TILE, x.shape[0] - start)
            xs, run_xs = x[start : start + count], run_x[start : start + count]
            _residuals(w[j], b[j], v[j], c[j], xs, y[start : start + count], count, r)
            _squared_jacobian_norms(w[j], b[j], v[j], run_w[j], run_b[j], trained, xs, run_xs, count, q)
            for i in range(count):
                r[i] *= 2.0
                squared = r[i] * r[i] * q[i]
                norms += np.sqrt(squared)
                squares += squared
                g[3 * width] += r[i]
            for k in range(width):
                slope, bias, s1, sx, sh = w[j, k], b[j, k], 0.0, 0.0, 0.0
                for i in range(count):
                    h = slope * xs[i] + bias
                    a = r[i] if run_w[j, k] * run_xs[i] + run_b[j, k] > 0 else 0.0
                    s1 += a
                    sx += a * xs[i]
                    sh += r[i] * max(h, 0.0)
                g[k] += v[j, k] * sx
                g[width + k] += v[j, k] * s1
                g[2 * width + k] += sh
        for k in range(width):
            g[k] *= trained[0] / x.shape[0]
            g[width + k] *= trained[1] / x.shape[0]
            g[2 * width + k] *= trained[2] / x.shape[0]
        g[3 * width] *= trained[3] / x.shape[0]
        sums[j, 0], sums[j, 1] = norms, squares


@compiled
def recorded_votes(
    first, last, w, b, v, c, run_w, run_b, x, run_x, y, trained, gradient, residual, norm, inner_product
):
    """Write r_i, |g_i| and <g_i, G> of the recorded samples into the last three arguments, [R, n] each."""
    width = w.shape[1]
    for j in range(first, last):
        g, r, q, t = gradient[j], residual[j], norm[j], inner_product[j]
        for start in range(0, x.shape[0], TILE):
            count = min(TILE, x.shape[0] - start)
            chunk = slice(start, start + count)
            xs, run_xs, rs, qs, ts = x[chunk], run_x[chunk], r[chunk], q[chunk], t[chunk]
            _residuals(w[j], b[j], v[j], c[j], xs, y[chunk], count, rs)
            _squared_jacobian_norms(w[j], b[j], v[j], run_w[j], run_b[j], trained, xs, run_xs, count, qs)
            for i in range(count):
                ts[i] = g[3 * width]
            for k in range(width):
                slope, bias = w[j, k], b[j, k]
                of_slope, of_bias, of_weight = v[j, k] * g[k], v[j, k] * g[width + k], g[2 * width + k]
                for i in range(count):
                    h = slope * xs[i] + bias
                    of_gate = of_slope * xs[i] + of_bias if run_w[j, k] * run_xs[i] + run_b[j, k] > 0 else 0.0
                    ts[i] += of_gate + of_weight * max(h, 0.0)
            for i in range(count):
                qs[i] = 2.0 * abs(rs[i]) * np.sqrt(qs[i])
                ts[i] *= 2.0 * rs[i]
