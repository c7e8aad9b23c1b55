"""The constant model f(x) = theta.

theta* is the mean of the y_i: every point asks for the value y_i, and all points have the same weight.

    r_i = theta - y_i,   L = (1/N) sum_i r_i^2 (mean, no 1/2)

Legend of shapes: R replicas (independent copies with their own seeds), N samples, T updates. theta is [R] or a scalar
[], y is [N]. A result [R] becomes a scalar for a scalar theta. Units: theta has that of y, L that of y^2, eta (`lr`)
has none.

Symbols: theta* the optimum, eta the learning rate, B the number of samples in a batch.
"""

import numpy as np

from reluviz.core.models import Array


def loss(theta: Array | float, y: Array) -> Array:
    """Return L = (1/N) sum_i (theta - y_i)^2 = Var(y) + (theta - mean y)^2, [R]."""
    found: Array = np.square(np.expand_dims(theta, -1) - y).mean(-1)
    return found


def gradient(theta: Array | float, y: Array) -> Array:
    """Return dL/dtheta = (2/N) sum_i (theta - y_i) = 2 (theta - mean y), [R]."""
    found: Array = 2 * (np.expand_dims(theta, -1) - y).mean(-1)
    return found


def optimum(y: Array) -> float:
    """Return theta* = (1/N) sum_i y_i, a scalar."""
    return float(y.mean())


def update(theta: Array | float, y: Array, lr: float) -> Array:
    """Return theta' = theta - eta dL/dtheta, one update of gradient descent, [R]."""
    return theta - lr * gradient(theta, y)


def contributions(theta: Array | float, y: Array) -> Array:
    """Return c_i = 2 (theta - y_i) / N, the vote of each point, [R, N]; sum_i c_i = dL/dtheta.

    A vote is the contribution of a point to the gradient.
    """
    return 2 * (np.expand_dims(theta, -1) - y) / len(y)


def candidate(y: Array) -> Array:
    """Return theta_i = y_i, the value of theta that makes r_i = 0, [N]."""
    return y


def weight(y: Array) -> Array:
    """Return h_i = 1, the weight of each point's candidate in theta*, [N]; c_i = 2 h_i (theta - theta_i) / N."""
    return np.ones_like(y)


def contraction_factor(lr: float) -> float:
    """Return rho = 1 - 2 eta, for any data: theta' - theta* = rho (theta - theta*).

    eta = 1/2 reaches theta* in one update, eta = 1 gives a two-cycle, eta > 1 diverges.
    """
    return 1 - 2 * lr


def largest_stable_step(momentum: float = 0.0) -> float:
    """Return eta = 2 (1 + mu) / lambda = 1 + mu, as the curvature is lambda = 2; GD diverges for a larger eta.

    Heavy-ball momentum mu as in torch.optim.SGD without dampening: m' = mu m + g, theta' = theta - eta m'.

    Raises:
        ValueError: unless 0 <= mu < 1.

    Source: B. T. Polyak, Some methods of speeding up the convergence of iteration methods, 1964.
    """
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must be at least 0 and below 1, not {momentum}")
    return 1 + momentum


def trajectory(theta0: Array | float, y: Array, lr: float, updates: int) -> Array:
    """Return theta_t = theta* + rho^t (theta_0 - theta*), t = 0 .. T, of full-batch gradient descent, [R, T + 1].

    Raises:
        ValueError: if `updates` is negative.
    """
    if updates < 0:
        raise ValueError(f"updates must not be negative, not {updates}")
    best = optimum(y)
    t = np.arange(updates + 1.0)
    found: Array = best + contraction_factor(lr) ** t * np.expand_dims(theta0 - best, -1)
    return found


def largest_mean_square_step() -> float:
    """Return eta = 1, beyond which E (theta - theta*)^2 grows under SGD, for any data and any batch size.

    V = rho^2 V + noise has a solution while |rho| = |1 - 2 eta| < 1: every batch has the same curvature, so that
    minibatches do not lower the limit.
    """
    return 1.0


def stationary_variance(y: Array, lr: float, batch_size: int, replacement: bool = True) -> float:
    """Return Var(theta) = eta s^2 / (B (1 - eta)) of SGD in the long run, s^2 = (1/N) sum_i (y_i - mean y)^2.

    The variance solves V = rho^2 V + 4 eta^2 s^2 / B. If each batch is drawn without replacement and independently of
    the batches before, multiply it by (N - B) / (N - 1). Neither formula holds for shuffled epochs: their batches
    depend on each other, and theta varies less.

    Raises:
        ValueError: unless 0 < eta < 1, since otherwise no stationary variance exists; if batch_size < 1, or > N without
            replacement.
    """
    if not 0 < lr < largest_mean_square_step():
        raise ValueError(f"SGD has a finite stationary variance only for a learning rate between 0 and 1, not {lr}")
    samples = len(y)
    if batch_size < 1 or (batch_size > samples and not replacement):
        raise ValueError(f"batch size {batch_size} cannot be drawn from {samples} points")
    spread = float(np.var(y)) / batch_size
    if not replacement:
        spread *= (samples - batch_size) / max(1, samples - 1)
    return lr * spread / (1 - lr)
