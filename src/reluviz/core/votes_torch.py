"""Who votes for what: each sample's contribution to the gradient, for any of the models, in closed form.

    r_i = f(x_i) - y_i,   L = (1/N) sum_i r_i^2 (mean, no 1/2)
    g_i = grad(r_i^2) = 2 r_i J_i,   G = (1/N) sum_i g_i

Note the scale: g_i is the gradient of one squared residual, and a sample's contribution to the gradient of
the mean is g_i / N (m_i g_i / B in a minibatch that holds it m_i times).

Legend of shapes: R replicas, N samples, W hidden units. Gradients are a mapping from parameter name to
[R, N] or [R, N, W]; leave a parameter out of the mapping and it counts as frozen.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reluviz.core import votes
from reluviz.core.functions_torch import Parameters, predict, tangent
from reluviz.core.votes import FIGURES, VoteTotals

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
        trained: names of the parameters that are trained; all by default.
        residual: r_i [R, N], where it is known already.
    """
    features = tangent(model, p, x)
    twice = 2 * (predict(model, p, x) - y if residual is None else residual)
    names = features if trained is None else [name for name in features if name in set(trained)]
    return {name: _along(twice, features[name]) * features[name] for name in names}


def contributions(g: Gradients, multiplicity: Tensor | None = None) -> dict[str, Tensor]:
    """Return c_i = m_i g_i / B, the vote of every sample; they sum to the gradient of the (mini)batch loss.

    Args:
        g: per-sample gradients.
        multiplicity: m_i, how often the minibatch holds sample i, [R, N], integers or not; B is their sum.
            Once each by default.
    """
    if multiplicity is None:
        return {name: value / value.shape[1] for name, value in g.items()}
    # a quotient of integers would have torch's default precision, whatever that of the gradients
    count = multiplicity.to(next(iter(g.values())).dtype)
    share = count / count.sum(-1, keepdim=True)
    return {name: _along(share, value) * value for name, value in g.items()}


def mean_gradient(g: Gradients) -> dict[str, Tensor]:
    """Return G = (1/N) sum_i g_i, name -> [R] or [R, W]."""
    return {name: value.mean(1) for name, value in g.items()}


def squared_norms(g: Gradients) -> Tensor:
    """Return |g_i|^2, the Euclidean norm over all trained parameters, [R, N]."""
    return _total(value.square().reshape(*value.shape[:2], -1).sum(-1) for value in g.values())


def vote_share(g: Gradients, gradient: Gradients | None = None) -> Tensor:
    """Return <g_i, G> / (N |G|^2), the signed share of sample i in the gradient, [R, N].

    Shares sum to 1; NaN where G = 0.

    Args:
        g: per-sample gradients.
        gradient: G, where g holds only some of the samples; the mean of g by default. N is then still the
            number of samples in g, so scale the result yourself.
    """
    mean = mean_gradient(g) if gradient is None else gradient
    along = _total((value * mean[name].unsqueeze(1)).reshape(*value.shape[:2], -1).sum(-1) for name, value in g.items())
    norm = squared_gradient_norm(mean).unsqueeze(-1)
    return torch.where(norm > 0, along / (along.shape[1] * norm), torch.nan)


def squared_gradient_norm(gradient: Gradients) -> Tensor:
    """Return |G|^2 over all trained parameters, [R]."""
    return _total(value.square().reshape(len(value), -1).sum(-1) for value in gradient.values())


def effective_votes(g: Gradients) -> Tensor:
    """Return (sum_i |c_i|)^2 / sum_i |c_i|^2, between 1 and N, [R]; NaN where every vote is 0.

    Kish's effective sample size with the norms of the votes as weights (L. Kish, Survey Sampling, 1965).
    """
    squares = squared_norms(g)
    return squares.sqrt().sum(-1).square() / squares.sum(-1)


def gradient_noise_scale(g: Gradients) -> Tensor:
    """Return tr(Sigma) / |G|^2, Sigma the covariance of g_i over the samples (divided by N), [R].

    With replacement E|G_B|^2 = |G|^2 + tr(Sigma)/B, so this is the batch size at which noise and signal are
    even (McCandlish et al., An Empirical Model of Large-Batch Training, 2018, eq. 2.9). Infinite or NaN where
    G = 0.
    """
    signal = squared_gradient_norm(mean_gradient(g))
    return (squared_norms(g).mean(-1) - signal).clamp(min=0) / signal


def elbow_votes(g: Gradients, w: Tensor, b: Tensor) -> Tensor:
    """Return (g_{i,b} + beta g_{i,w}) / (N w), how a sample moves an elbow under gradient flow, [R, N, W].

    They sum over the samples to d beta/dt. NaN where w = 0; a parameter missing from `g` is frozen and
    counts 0.
    """
    beta = torch.where(w == 0, torch.nan, -b / w)
    known = next(value for value in g.values())
    zero = known.new_zeros(())
    numerator = g.get("bias", zero) + beta.unsqueeze(1) * g.get("input_slope", zero)
    return (numerator / (known.shape[1] * w.unsqueeze(1))).expand(-1, known.shape[1], -1)


def balance(p: Parameters) -> Tensor:
    """Return w^2 + b^2 - v^2 of each unit, [R, W]; gradient flow conserves it when all layers are trained.

    A plain SGD update changes it by exactly eta^2 (g_w^2 + g_b^2 - g_v^2) (Du, Hu, Lee, Algorithmic
    Regularization in Learning Deep Homogeneous Models, 2018).
    """
    return p["input_slope"].square() + p["bias"].square() - p["output_weight"].square()


@dataclass(frozen=True)
class VoteSummary:
    """What a snapshot keeps of the votes.

    Attributes:
        gradient: G of all samples, name -> [R] or [R, W].
        gradient_norm: |G|, [R].
        noise_scale: tr(Sigma)/|G|^2, [R].
        effective: effective votes, [R].
        residual: r_i of the recorded samples, [R, n].
        norm: |c_i|, the norm of their contributions g_i / N, [R, n].
        share: their vote shares, [R, n].
        each: returns g_i of the recorded samples, name -> [R, n] or [R, n, W], as arrays, where they are few enough.
    """

    gradient: dict[str, Tensor]
    gradient_norm: Tensor
    noise_scale: Tensor
    effective: Tensor
    residual: Tensor
    norm: Tensor
    share: Tensor
    each: Callable[[], dict[str, NDArray[np.float64]]] | None = None

    @classmethod
    def of(cls, poll: VoteTotals) -> "VoteSummary":
        """Return a summary of the same numbers."""
        gradient = {name: torch.from_numpy(value) for name, value in poll.gradient.items()}
        figures = {name: torch.from_numpy(getattr(poll, name)) for name in FIGURES}
        return cls(gradient=gradient, **figures, each=poll.each)


# what has diverged, or has learned all there is, has no shares and no scale
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
    """Summarize the votes of all samples in bounded memory: the N x P gradients are never made, see `ballots`.

    Args:
        model: constant, linear or relu.
        p: the parameters.
        x: inputs [N].
        y: targets [N].
        trained: names of the trained parameters.
        recorded: indices of the samples whose own figures are kept; all by default.
        entries: how many numbers the gradients of a chunk would hold, were they made.
    """
    arrays, kept = {name: value.numpy() for name, value in p.items()}, None if recorded is None else recorded.numpy()
    return VoteSummary.of(votes.summarize(model, arrays, x.numpy(), y.numpy(), tuple(trained), kept, entries))


def _along(per_sample: Tensor, value: Tensor) -> Tensor:
    """Give [R, N] the trailing axes of `value`, so that the two multiply."""
    return per_sample.reshape(*per_sample.shape, *(1,) * (value.ndim - per_sample.ndim))


def _total(parts: Iterable[Tensor]) -> Tensor:
    first, *rest = parts
    return sum(rest, start=first)
