"""The one-parameter linear model f(x) = theta x.

theta* is the mean of y_i/x_i weighted by x_i^2: every point asks for the slope y_i/x_i.

    r_i = theta x_i - y_i,   L = (1/N) sum_i r_i^2 (mean, no 1/2),   m2 = mean x^2,   m4 = mean x^4

Legend of shapes: R replicas (independent copies with their own seeds), N samples, T updates. theta is [R] or a scalar
[], x and y are [N]. A result [R] becomes a scalar for a scalar theta. Units: theta has that of y/x, L that of y^2,
eta (`lr`) that of 1/x^2.

Symbols: theta* the optimum, eta the learning rate, lambda = 2 m2 the curvature of L, B the number of samples in a
batch, mean_B the mean over a batch, E the expectation over random batches.
"""

import numpy as np

from reluviz.core.models import Array


def loss(theta: Array | float, x: Array, y: Array) -> Array:
    """Return L = (1/N) sum_i (theta x_i - y_i)^2, [R]."""
    found: Array = np.square(np.expand_dims(theta, -1) * x - y).mean(-1)
    return found


def gradient(theta: Array | float, x: Array, y: Array) -> Array:
    """Return dL/dtheta = (2/N) sum_i (theta x_i - y_i) x_i = 2 m2 (theta - theta*), [R]."""
    found: Array = 2 * ((np.expand_dims(theta, -1) * x - y) * x).mean(-1)
    return found


def optimum(x: Array, y: Array) -> float:
    """Return theta* = sum_i x_i y_i / sum_i x_i^2, the mean of y_i / x_i weighted by x_i^2, a scalar.

    So d theta*/d y_i = x_i / sum_j x_j^2: a point far from 0 has the most influence.

    Raises:
        ValueError: if every x_i is 0, since then every theta has the same loss.
    """
    return float((x * y).sum()) / (len(x) * _mean_square(x))


def update(theta: Array | float, x: Array, y: Array, lr: float) -> Array:
    """Return theta' = theta - eta dL/dtheta, one update of gradient descent, [R]."""
    return theta - lr * gradient(theta, x, y)


def contributions(theta: Array | float, x: Array, y: Array) -> Array:
    """Return c_i = 2 (theta x_i - y_i) x_i / N, the vote of each point, [R, N]; sum_i c_i = dL/dtheta.

    A vote is the contribution of a point to the gradient.
    """
    return 2 * (np.expand_dims(theta, -1) * x - y) * x / len(x)


def candidate(x: Array, y: Array) -> Array:
    """Return theta_i = y_i / x_i, the value of theta that makes r_i = 0, [N]; NaN where x_i = 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(x == 0, np.nan, y / x)


def weight(x: Array) -> Array:
    """Return h_i = x_i^2, the weight of each point's candidate in theta*, [N]; c_i = 2 h_i (theta - theta_i) / N.

    Divided by their sum, the weights are the leverages of the points.
    """
    return np.square(x)


def contraction_factor(x: Array, lr: float) -> float:
    """Return rho = 1 - 2 eta m2: theta' - theta* = rho (theta - theta*)."""
    return 1 - 2 * lr * float(np.square(x).mean())


def largest_stable_step(x: Array, momentum: float = 0.0) -> float:
    """Return eta = 2 (1 + mu) / lambda = (1 + mu) / m2, as lambda = 2 m2; GD diverges for a larger eta.

    Heavy-ball momentum mu as in torch.optim.SGD without dampening: m' = mu m + g, theta' = theta - eta m'.

    Raises:
        ValueError: unless 0 <= mu < 1, or if every x_i is 0.

    Source: B. T. Polyak, Some methods of speeding up the convergence of iteration methods, 1964.
    """
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must be at least 0 and below 1, not {momentum}")
    return (1 + momentum) / _mean_square(x)


def trajectory(theta0: Array | float, x: Array, y: Array, lr: float, updates: int) -> Array:
    """Return theta_t = theta* + rho^t (theta_0 - theta*), t = 0 .. T, of full-batch gradient descent, [R, T + 1].

    Raises:
        ValueError: if `updates` is negative or every x_i is 0.
    """
    if updates < 0:
        raise ValueError(f"updates must not be negative, not {updates}")
    best = optimum(x, y)
    t = np.arange(updates + 1.0)
    found: Array = best + contraction_factor(x, lr) ** t * np.expand_dims(theta0 - best, -1)
    return found


def largest_mean_square_step(x: Array, batch_size: int, replacement: bool = True) -> float:
    """Return eta = m2 / (m2^2 + (m4 - m2^2) / B), beyond which E (theta - theta*)^2 grows; m2/m4 for B = 1.

    It is smaller than 1/m2, because the curvature of a batch, 2 mean_B x^2, fluctuates. It tends to 1/m2 for large B.

    Raises:
        ValueError: if batch_size < 1, or > N without replacement; if every x_i is 0.
    """
    m2, m4 = _mean_square(x), float(np.square(np.square(x)).mean())
    return m2 / (m2**2 + (m4 - m2**2) * _inverse_batch(len(x), batch_size, replacement))


def stationary_variance(x: Array, y: Array, lr: float, batch_size: int, replacement: bool = True) -> float:
    """Return Var(theta) = (eta / B) mean(x^2 eps^2) / (m2 - eta (m2^2 + (m4 - m2^2) / B)) of SGD in the long run.

    eps_i = y_i - theta* x_i is the residual at the optimum. The variance solves
    V = (1 - 4 eta m2 + 4 eta^2 E[(mean_B x^2)^2]) V + 4 eta^2 Var(mean_B x eps). If each batch is drawn without
    replacement and independently of the batches before, replace both 1/B by (N - B) / (N - 1) / B.

    Raises:
        ValueError: unless 0 < eta < `largest_mean_square_step`; if batch_size < 1, or > N without replacement; if every
            x_i is 0.
    """
    limit = largest_mean_square_step(x, batch_size, replacement)
    if not 0 < lr < limit:
        raise ValueError(
            f"SGD has a finite stationary variance only for a learning rate between 0 and {limit:.6g}, not {lr}"
        )
    eps = y - optimum(x, y) * x
    noise = float(np.square(x * eps).mean()) * _inverse_batch(len(x), batch_size, replacement)
    m2 = _mean_square(x)
    return lr * noise / (m2 * (1 - lr / limit))


def _inverse_batch(samples: int, batch_size: int, replacement: bool) -> float:
    """Return Var(mean of a batch) / Var(one sample): 1/B, or (N - B) / (N - 1) / B without replacement."""
    if batch_size < 1 or (batch_size > samples and not replacement):
        raise ValueError(f"batch size {batch_size} cannot be drawn from {samples} points")
    return 1 / batch_size if replacement else (samples - batch_size) / (max(1, samples - 1) * batch_size)


def _mean_square(x: Array) -> float:
    """Return m2, after checking that it is not 0."""
    m2 = float(np.square(x).mean())
    if m2 == 0:
        raise ValueError("every x is 0: the linear model y = theta x has no optimum")
    return m2
