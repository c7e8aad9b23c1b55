"""The votes: each sample's contribution to the gradient, in closed form, for every model.

    r_i = f(x_i) - y_i,   L = (1/N) sum_i r_i^2 (mean, no 1/2)
    g_i = grad(r_i^2) = 2 r_i J_i,   G = (1/N) sum_i g_i

Note the scale: g_i is the gradient of one squared residual. The vote of a sample is its contribution to the gradient of
the mean, c_i = g_i / N (m_i g_i / B in a minibatch of B samples that holds it m_i times).

These functions take tensors; users call them as `reluviz.votes`. `core/votes.py` computes the same numbers with NumPy
and without the N x P gradients, for the recorded snapshots.

Legend of shapes: R replicas, N samples, n recorded samples, W hidden units. Gradients are a mapping from parameter name
to [R, N] or [R, N, W]. A parameter that is missing from the mapping counts as frozen.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reluviz.core import votes
from reluviz.core.elbows import elbow
from reluviz.core.functions_torch import Parameters, predict, tangent
from reluviz.core.votes import VOTE_ARRAYS, VoteTotals

Gradients = Mapping[str, Tensor]


def per_sample_gradients(
    model: str,
    p: Parameters,
    x: Tensor,
    y: Tensor,
    trained: Iterable[str] | None = None,
    residual: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return g_i = grad(r_i^2) = 2 r_i J_i for every sample.

    For the ReLU network, with a_ik = 1[w_k x_i + b_k > 0]:

        d/dw_k = 2 r_i v_k a_ik x_i          d/db_k = 2 r_i v_k a_ik
        d/dv_k = 2 r_i relu(w_k x_i + b_k)   d/dc   = 2 r_i

    Args:
        model: constant, linear or relu.
        p: the parameters.
        x: inputs, [N] or [R, N].
        y: targets, [N] or [R, N].
        trained: names of the trained parameters; all by default.
        residual: r_i [R, N], if the caller has computed it already.
    """
    features = tangent(model, p, x)
    twice = 2 * (predict(model, p, x) - y if residual is None else residual)
    names = features if trained is None else [name for name in features if name in set(trained)]
    return {name: _expand_to(twice, features[name]) * features[name] for name in names}


def contributions(g: Gradients, multiplicity: Tensor | None = None) -> dict[str, Tensor]:
    """Return c_i = m_i g_i / B, the vote of every sample; the votes sum to the gradient of the (mini)batch loss.

    Args:
        g: per-sample gradients.
        multiplicity: m_i, how often the minibatch holds sample i, [R, N], integer or float; B is their sum. By default
            every m_i is 1.
    """
    if multiplicity is None:
        return {name: value / value.shape[1] for name, value in g.items()}
    # torch divides integers in its default dtype: convert to the dtype of the gradients first
    count = multiplicity.to(next(iter(g.values())).dtype)
    share = count / count.sum(-1, keepdim=True)
    return {name: _expand_to(share, value) * value for name, value in g.items()}


def mean_gradient(g: Gradients) -> dict[str, Tensor]:
    """Return G = (1/N) sum_i g_i, name -> [R] or [R, W]."""
    return {name: value.mean(1) for name, value in g.items()}


def squared_norms(g: Gradients) -> Tensor:
    """Return |g_i|^2, the squared Euclidean norm over all trained parameters, [R, N]."""
    return _sum(value.square().reshape(*value.shape[:2], -1).sum(-1) for value in g.values())


def vote_share(g: Gradients, gradient: Gradients | None = None) -> Tensor:
    """Return <g_i, G> / (N |G|^2), the signed share of sample i in the gradient, [R, N].

    Shares sum to 1; NaN where G = 0.

    Args:
        g: per-sample gradients.
        gradient: G, the mean of g by default. Give it if g holds a part of the samples only. N is still the number of
            samples in g, so that the result must be rescaled.
    """
    mean = mean_gradient(g) if gradient is None else gradient
    along = _sum((value * mean[name].unsqueeze(1)).reshape(*value.shape[:2], -1).sum(-1) for name, value in g.items())
    norm = squared_gradient_norm(mean).unsqueeze(-1)
    return torch.where(norm > 0, along / (along.shape[1] * norm), torch.nan)


def squared_gradient_norm(gradient: Gradients) -> Tensor:
    """Return |G|^2 over all trained parameters, [R]."""
    return _sum(value.square().reshape(len(value), -1).sum(-1) for value in gradient.values())


def effective_votes(g: Gradients) -> Tensor:
    """Return (sum_i |c_i|)^2 / sum_i |c_i|^2, between 1 and N, [R]; NaN if every vote is 0.

    Kish's effective sample size with the norms of the votes as weights (L. Kish, Survey Sampling, 1965).
    """
    squares = squared_norms(g)
    return squares.sqrt().sum(-1).square() / squares.sum(-1)


def gradient_noise_scale(g: Gradients) -> Tensor:
    """Return tr(Sigma) / |G|^2, Sigma the covariance of g_i over the samples (divided by N), [R].

    For batches drawn with replacement E|G_B|^2 = |G|^2 + tr(Sigma)/B. At the batch size B = tr(Sigma)/|G|^2 noise and
    signal are equal (McCandlish et al., An Empirical Model of Large-Batch Training, 2018, eq. 2.9). Infinite or NaN
    where G = 0.
    """
    signal = squared_gradient_norm(mean_gradient(g))
    return (squared_norms(g).mean(-1) - signal).clamp(min=0) / signal


def elbow_votes(g: Gradients, w: Tensor, b: Tensor) -> Tensor:
    """Return (g_{i,b} + beta g_{i,w}) / (N w), how sample i moves an elbow under gradient flow, [R, N, W].

    The elbow votes sum over the samples to d beta/dt. NaN where w = 0. A parameter missing from `g` is frozen and
    counts 0.
    """
    beta = elbow(w, b)
    first = next(iter(g.values()))
    zero = first.new_zeros(())
    numerator = g.get("bias", zero) + beta.unsqueeze(1) * g.get("input_slope", zero)
    return (numerator / (first.shape[1] * w.unsqueeze(1))).expand(-1, first.shape[1], -1)


def balance(p: Parameters) -> Tensor:
    """Return w^2 + b^2 - v^2 of each unit, [R, W]; gradient flow conserves it if all layers are trained.

    A plain SGD update changes it by exactly eta^2 (g_w^2 + g_b^2 - g_v^2) (Du, Hu, Lee, Algorithmic
    Regularization in Learning Deep Homogeneous Models, 2018).
    """
    return p["input_slope"].square() + p["bias"].square() - p["output_weight"].square()


@dataclass(frozen=True)
class VoteSummary:
    """The votes at a snapshot: statistics over all samples, and the votes of the recorded samples.

    Attributes:
        gradient: G of all samples, name -> [R] or [R, W].
        gradient_norm: |G|, [R].
        noise_scale: tr(Sigma)/|G|^2, [R].
        effective: effective votes, [R].
        residual: r_i of the recorded samples, [R, n].
        norm: |c_i| = |g_i| / N of the recorded samples, [R, n].
        share: vote shares of the recorded samples, [R, n].
        per_sample: a function that returns g_i of the recorded samples as NumPy arrays, name -> [R, n] or [R, n, W];
            None if they are too large to keep.
    """

    gradient: dict[str, Tensor]
    gradient_norm: Tensor
    noise_scale: Tensor
    effective: Tensor
    residual: Tensor
    norm: Tensor
    share: Tensor
    per_sample: Callable[[], dict[str, NDArray[np.float64]]] | None = None

    @classmethod
    def from_arrays(cls, totals: VoteTotals) -> "VoteSummary":
        """Return the same numbers as tensors, which share the memory of the arrays."""
        gradient = {name: torch.from_numpy(value) for name, value in totals.gradient.items()}
        others = {name: torch.from_numpy(getattr(totals, name)) for name in VOTE_ARRAYS}
        return cls(gradient=gradient, **others, per_sample=totals.per_sample)


# shares and noise scale are NaN or infinite where the gradient is 0 or has overflowed
@np.errstate(all="ignore")
def summarize(
    model: str,
    p: Parameters,
    x: Tensor,
    y: Tensor,
    trained: Iterable[str],
    recorded: Tensor | None = None,
    entries: int = 2**24,
) -> VoteSummary:
    """Return a summary of the votes of all samples, in bounded memory: without the N x P gradients, see `core.votes`.

    Args:
        model: constant, linear or relu.
        p: the parameters.
        x: inputs [N].
        y: targets [N].
        trained: names of the trained parameters.
        recorded: indices of the samples whose residuals, norms and shares are returned; all by default.
        entries: the samples are processed in chunks whose gradients would hold at most this many numbers.
    """
    arrays, kept = {name: value.numpy() for name, value in p.items()}, None if recorded is None else recorded.numpy()
    return VoteSummary.from_arrays(votes.summarize(model, arrays, x.numpy(), y.numpy(), tuple(trained), kept, entries))


def _expand_to(per_sample: Tensor, value: Tensor) -> Tensor:
    """Append axes of size 1 to [R, N], so that it broadcasts against `value`."""
    return per_sample.reshape(*per_sample.shape, *(1,) * (value.ndim - per_sample.ndim))


def _sum(parts: Iterable[Tensor]) -> Tensor:
    first, *rest = parts
    return sum(rest, start=first)
