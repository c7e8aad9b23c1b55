"""Closed forms for f(x) = c + sum_k v_k relu(w_k x + b_k): output layer, tangent kernel and Hessian.

    Phi = [relu(w_k x_i + b_k), 1] (`functions.features`),  J = df/dtheta (`functions.tangent`),
    r_i = f(x_i) - y_i,  L = (1/N) sum_i r_i^2 (mean, no 1/2)

Per-sample gradients in closed form are in `votes`.

Legend of shapes: R replicas, N samples, W hidden units, F columns of Phi (W + 1), P trained parameters, T counts of
updates. y is [N] or [R, N]. Functions of Phi also accept [N, F], without the replica axis; then their results have no
replica axis either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reluviz.core.functions import predict, tangent
from reluviz.core.models import Array, Parameters
from reluviz.core.models.relu import gates


@dataclass(frozen=True)
class LeastSquares:
    """The least-squares solution of minimum norm, [R, F], and the numerical rank of Phi, [R]."""

    solution: Array
    rank: NDArray[np.int64]


def least_squares(phi: Array, y: Array, samples: int | None = None) -> LeastSquares:
    """Return theta = Phi^+ y, the minimiser of |Phi theta - y|^2 with the smallest norm, and the rank of Phi.

    Singular values up to max(N, F) eps sigma_max count as 0 (G. H. Golub, C. F. Van Loan, Matrix
    Computations, section 5.5). If Phi is badly conditioned, the norm of the solution can be very large.

    Args:
        phi: features, or the rows that stand for them; see `output_problem`.
        y: targets, or what stands for them.
        samples: N, if it is not the number of rows of phi; so in the other functions of this module.
    """
    left, s, right = np.linalg.svd(phi, full_matrices=False)
    kept = s > _tolerance(phi, s, samples)
    inverse = np.divide(1.0, s, out=np.zeros_like(s), where=kept)
    return LeastSquares(_combine(right, inverse * _project(left, y)), kept.sum(-1))


def ridge(phi_hidden: Array, y: Array, lam: float) -> tuple[Array, Array]:
    """Return v [R, W] and c [R] that minimise sum_i r_i^2 + lambda |v|^2; c is not penalised.

    At the minimum c = mean y - v . mean Phi, so that v solves the problem with centred data:
    v = V s / (s^2 + lambda) U^T (y - mean y). lambda = 0 gives the least-squares solution with minimum |v|.

    Args:
        phi_hidden: the hidden features without the column of ones, [R, N, W].
        y: targets.
        lam: lambda, in units of Phi^2; weight decay wd on v in training is equivalent to lambda = N wd / 2.

    Raises:
        ValueError: if lambda is negative.

    Source: A. E. Hoerl, R. W. Kennard, Ridge Regression, Technometrics 12, 1970.
    """
    if lam < 0:
        raise ValueError(f"lambda must not be negative, not {lam}")
    centre, level = phi_hidden.mean(-2), y.mean(-1)
    v = penalized(phi_hidden - np.expand_dims(centre, -2), y - np.expand_dims(level, -1), lam)
    return v, level - (v * centre).sum(-1)


def penalized(centred: Array, y: Array, lam: float, samples: int | None = None) -> Array:
    """Return v = V s / (s^2 + lambda) U^T y for centred features U s V^T and centred y; see `ridge`, [R, W]."""
    left, s, right = np.linalg.svd(centred, full_matrices=False)
    kept = s > _tolerance(centred, s, samples)
    shrink = np.divide(s, np.square(s) + lam, out=np.zeros_like(s), where=kept)
    return _combine(right, shrink * _project(left, y))


def effective_condition_number(phi: Array, samples: int | None = None) -> Array:
    """Return sigma_max / sigma_min over the singular values above the rank tolerance of `least_squares`, [R].

    The speed of gradient descent on the output layer depends on the Hessian (2/N) Phi^T Phi. Its condition number is
    the *square* of that of Phi. Example: features of 200 points with uniform elbows and the column of ones. At W = 20
    the condition number of Phi is a few 1e5, and that of the Hessian about 1e11 (median over 20 seeds 4e10). At W = 3
    that of the Hessian already ranges from 4e3 to 2e10, because two elbows close together suffice to make it large.
    """
    s = np.linalg.svd(phi, compute_uv=False).astype(np.float64, copy=False)
    found: Array = s[..., 0] / np.where(s > _tolerance(phi, s, samples), s, np.inf).min(-1)
    return found


@dataclass(frozen=True)
class NoiseFloor:
    """Errors caused by noise in the training outputs.

    Attributes:
        training: the realised mean(eps_i^2), which is the loss of the target function on the training points.
        test: sigma^2 rank / N, the expected error of least squares against the noise-free target; None if sigma is
            unknown.
    """

    training: float
    test: float | None


def noise_floor(eps: Array, rank: int, sigma: float | None = None) -> NoiseFloor:
    """Return mean(eps^2) and sigma^2 rank / N, the latter an expected value at the training inputs.

    Args:
        eps: the noise y_i - target(x_i), [N].
        rank: the rank of the fitted features.
        sigma: the standard deviation of the distribution that the noise was drawn from.
    """
    return NoiseFloor(float(np.square(eps).mean()), None if sigma is None else sigma**2 * rank / len(eps))


def expected_training_error(sigma: float, rank: int, samples: int) -> float:
    """Return E L = sigma^2 (1 - q/N) after least squares of rank q, for a target in the span of the features.

    Raises:
        ValueError: unless 0 <= q <= N.

    Source: T. Hastie, R. Tibshirani, J. Friedman, The Elements of Statistical Learning, 2009, section 7.4.
    """
    if not 0 <= rank <= samples:
        raise ValueError(f"the rank must lie between 0 and the {samples} samples, not at {rank}")
    return sigma**2 * (1 - rank / samples)


def output_trajectory(phi: Array, y: Array, theta0: Array, lr: float, updates: Sequence[int]) -> Array:
    """Return theta_t of gradient descent on the output layer alone, at given update counts, [R, T, F].

    With Phi = U S V^T, every update multiplies the error of the j-th mode by rho_j = 1 - 2 eta sigma_j^2 / N:

        theta_t = theta_0 + V [(1 - rho^t) / sigma] U^T (y - Phi theta_0)

    If eta is stable, theta_t tends to theta_0 + Phi^+ (y - Phi theta_0). The component of theta_0 in the null space of
    Phi never changes.

    Args:
        phi: features, [R, N, F].
        y: targets.
        theta0: initial output weights and bias in the order of the columns of phi, [R, F].
        lr: eta.
        updates: the counts t.

    Raises:
        ValueError: if a count is negative.
    """
    if any(count < 0 for count in updates):
        raise ValueError(f"update counts must not be negative, not {min(updates)}")
    left, s, right = np.linalg.svd(phi, full_matrices=False)
    target = _project(left, y - np.einsum("...nf,...f->...n", phi, theta0))
    step = np.expand_dims(2 * lr / phi.shape[-2] * np.square(s), -2)
    t = np.array(updates, dtype=np.float64)[:, None]
    # 1 - rho^t loses all digits for rho^t close to 1: use expm1 and log1p there
    slow = -np.expm1(t * np.log1p(-np.minimum(step, 0.5)))
    moved = np.where(step < 0.5, slow, 1 - (1 - step) ** t)
    gain = np.expand_dims(np.divide(target, s, out=np.zeros_like(target), where=s > 0), -2) * moved
    found: Array = np.expand_dims(theta0, -2) + np.einsum("...jf,...tj->...tf", right, gain)
    return found


def updates_to_reach(phi: Array, y: Array, theta: Array, lr: float, excess: float, samples: int | None = None) -> float:
    """Return after how many updates of gradient descent on the output layer L - L_min <= excess.

    With a_j = u_j . (y - Phi theta) and rho_j as in `output_trajectory`,

        L_t - L_min = (1/N) sum_j a_j^2 rho_j^(2 t),

    where L_min is the loss of `least_squares`, which leaves out modes that count as 0. For minibatches drawn with
    replacement it is the loss of the expected parameters.

    Args:
        phi: features, [N, F].
        y: targets, [N].
        theta: output weights and bias now, [F].
        lr: eta.
        excess: the largest difference of the losses, above 0.
        samples: see `least_squares`.

    Returns:
        the number, rounded up; 0 if the difference is smaller already, infinity if it is never reached.
    """
    samples = samples or len(y)
    left, s, _ = np.linalg.svd(phi, full_matrices=False)
    kept = s > _tolerance(phi, s, samples)
    a = _project(left, y - phi @ theta)[kept]
    share = a * a / samples
    with np.errstate(divide="ignore"):
        # log1p keeps the digits of slow modes, whose rho is close to 1
        step = 2 * lr / samples * np.square(s[kept])
        decay = np.where(step < 0.5, np.log1p(-np.minimum(step, 0.5)), np.log(np.abs(1 - step)))

    def left_after(updates: float) -> float:
        with np.errstate(over="ignore"):
            # the product of 0 updates and an infinite decay is not defined
            return float((share * np.exp(2 * updates * decay) if updates else share).sum())

    if left_after(0) <= excess:
        return 0.0
    if (decay >= 0).any() and share[decay >= 0].sum() > excess:
        return np.inf
    low, high = 0.0, 1.0
    while left_after(high) > excess:
        low, high = high, 2 * high
        if np.isinf(high):
            return np.inf
    # all numbers of this search are whole, up to 1e9
    while high - low > max(1.0, 1e-9 * high):
        middle = np.floor((low + high) / 2)
        low, high = (middle, high) if left_after(middle) > excess else (low, middle)
    return float(high)


def largest_stable_step_output(phi: Array, momentum: float = 0.0, samples: int | None = None) -> Array:
    """Return eta = (1 + mu) N / sigma_max(Phi)^2, beyond which gradient descent on the output layer diverges, [R].

    Heavy-ball momentum mu as in `linear.largest_stable_step`.
    """
    s = np.linalg.svd(phi, compute_uv=False).astype(np.float64, copy=False)
    with np.errstate(divide="ignore"):
        found: Array = (1 + momentum) * (samples or phi.shape[-2]) / np.square(s[..., 0])
        return found


def largest_stable_step_local(sharpness: Array, momentum: float = 0.0) -> Array:
    """Return eta = 2 (1 + mu) / lambda_max, beyond which gradient descent leaves a minimum with this Hessian, [R].

    Args:
        sharpness: the result of `hessian_sharpness`, [R].
        momentum: heavy-ball momentum mu as in `linear.largest_stable_step`.
    """
    with np.errstate(divide="ignore"):
        found: Array = 2 * (1 + momentum) / sharpness
        return found


def ntk(features: Mapping[str, Array]) -> Array:
    """Return K = J J^T, the tangent kernel K_ij = <df(x_i)/dtheta, df(x_j)/dtheta>, [R, N, N].

    A small update changes f by -(2 eta / N) K r (A. Jacot et al., Neural Tangent Kernel, 2018).

    Args:
        features: the result of `functions.tangent`. A parameter that is missing counts as frozen.
    """
    j = _jacobian(features)
    return j @ j.swapaxes(-1, -2)


def hessian(p: Parameters, x: Array, y: Array, trained: Sequence[str], precision: str = "float64") -> Array:
    """Return H = (2/N) (J^T J + sum_i r_i d^2f_i), the Hessian of L in closed form, [R, P, P].

    The second term couples v_k with the w_k and b_k of the same unit only: with a_ik = 1[w_k x_i + b_k > 0],
    d^2f_i/dv_k dw_k = a_ik x_i and d^2f_i/dv_k db_k = a_ik.

    Args:
        p: parameters of the ReLU network.
        x: inputs, [N] or [R, N].
        y: targets, [N] or [R, N].
        trained: names of the trained parameters, in the order of the rows of H.
        precision: the precision in which a run decides on the gates; see `geometry.is_active`.

    Raises:
        ValueError: if `trained` is empty or names no parameter of the network.
    """
    features = tangent("relu", p, x, precision)
    if not trained or not set(trained) <= set(features):
        raise ValueError(f"trained must name some of {', '.join(features)}, not {', '.join(trained)!r}")
    residual = predict("relu", p, x) - y
    j = _jacobian({name: features[name] for name in trained})
    h = j.swapaxes(-1, -2) @ j
    active = gates(p, x, precision)
    cross = {
        "input_slope": np.einsum("rn,rn,rnw->rw", residual, np.broadcast_to(x, residual.shape), active),
        "bias": np.einsum("rn,rnw->rw", residual, active),
    }
    start, first_row = 0, {}
    for name in trained:
        first_row[name] = start
        start += 1 if name == "output_bias" else active.shape[-1]
    unit = np.arange(active.shape[-1])
    if "output_weight" in first_row:
        v = first_row["output_weight"] + unit
        for name in cross.keys() & first_row.keys():
            h[:, first_row[name] + unit, v] += cross[name]
            h[:, v, first_row[name] + unit] += cross[name]
    found: Array = 2 / active.shape[-2] * h
    return found


def hessian_sharpness(p: Parameters, x: Array, y: Array, trained: Sequence[str], precision: str = "float64") -> Array:
    """Return lambda_max(H), [R]: gradient descent is unstable where eta lambda_max / 2 > 1.

    It costs O(P^3), and is infinite where H is not finite. Arguments and errors are those of `hessian`. The term
    sharpness is from J. Cohen et al., Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability,
    2021.
    """
    h = hessian(p, x, y, trained, precision)
    finite = np.isfinite(h.sum((-1, -2), keepdims=True))
    largest = np.linalg.eigvalsh(np.where(finite, h, 0))[..., -1].astype(np.float64)
    found: Array = np.where(finite[..., 0, 0], largest, np.inf)
    return found


def _jacobian(features: Mapping[str, Array]) -> Array:
    """Return J, the tangent features of all parameters concatenated, [R, N, P]."""
    return np.concatenate([value.reshape(*value.shape[:2], -1) for value in features.values()], axis=-1)


def _tolerance(phi: Array, s: Array, samples: int | None = None) -> Array:
    """Return the largest singular value that counts as 0."""
    found: Array = max(samples or 0, *phi.shape[-2:]) * float(np.finfo(phi.dtype).eps) * s[..., :1]
    return found


def _project(left: Array, y: Array) -> Array:
    """Return U^T y; y may have no replica axis."""
    found: Array = np.einsum("...nj,...n->...j", left, y)
    return found


def _combine(right: Array, coordinates: Array) -> Array:
    """Return V a, given V^T."""
    found: Array = np.einsum("...jf,...j->...f", right, coordinates)
    return found
