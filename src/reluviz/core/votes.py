"""The votes: each sample's contribution to the gradient, in closed form, for every model.

    r_i = f(x_i) - y_i,   L = (1/N) sum_i r_i^2 (mean, no 1/2)
    g_i = grad(r_i^2) = 2 r_i J_i,   G = (1/N) sum_i g_i

Note the scale: g_i is the gradient of one squared residual. The vote of a sample is its contribution to the gradient of
the mean, c_i = g_i / N (m_i g_i / B in a minibatch of B samples that holds it m_i times).

These functions take NumPy arrays (float64); users call them as `reluviz.votes`. `summarize` computes the votes that a
run records, without the N x P matrix of gradients.

Legend of shapes: R replicas, N samples, n recorded samples, W hidden units, P trained parameters. Gradients are a
mapping from parameter name to [R, N] or [R, N, W]. A parameter that is missing from the mapping counts as frozen.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from reluviz.core.elbows import elbow
from reluviz.core.models import MODELS, Array, Parameters

MAX_KEPT_GRADIENT_VALUES = 2**18
"""A summary keeps its per-sample gradients if they hold at most this many numbers."""

LAYER_STATISTICS = ("gradient_norm", "noise_scale", "effective")
"""Names of the statistics of `VoteTotals` that `VoteTotals.layers` has of the parameters of each layer."""
VOTE_ARRAYS = ("gradient_norm", "noise_scale", "effective", "residual", "norm", "share")
"""Names of the arrays of `VoteTotals`, except for `gradient`."""

Gradients = Mapping[str, Array]


def per_sample_gradients(
    model: str,
    p: Parameters,
    x: Array,
    y: Array,
    trained: Iterable[str] | None = None,
    precision: str = "float64",
) -> dict[str, Array]:
    """Return g_i = grad(r_i^2) = 2 r_i J_i for every sample.

    For the ReLU network, with a_ik = 1[w_k x_i + b_k > 0]:

        d/dw_k = 2 r_i v_k a_ik x_i          d/db_k = 2 r_i v_k a_ik
        d/dv_k = 2 r_i relu(w_k x_i + b_k)   d/dc   = 2 r_i

    Args:
        model: the model's name.
        p: the parameters.
        x: inputs, [N] or [R, N].
        y: targets, [N] or [R, N].
        trained: names of the trained parameters; all by default.
        precision: the precision in which a run decides on the gates; see `geometry.is_active`.

    Raises:
        KeyError: if there is no such model.
    """
    record = MODELS[model]
    names = record.parameters if trained is None else tuple(trained)
    return record.per_sample_gradients(p, x, y, names, precision).gradients()


def contributions(g: Gradients, multiplicity: NDArray[np.integer] | Array | None = None) -> dict[str, Array]:
    """Return c_i = m_i g_i / B, the vote of every sample; the votes sum to the gradient of the (mini)batch loss.

    Args:
        g: per-sample gradients.
        multiplicity: m_i, how often the minibatch holds sample i, [R, N]; B is their sum. By default every m_i is 1.
    """
    if multiplicity is None:
        return {name: value / value.shape[1] for name, value in g.items()}
    share = multiplicity / multiplicity.sum(-1, keepdims=True)
    return {name: _expand_to(share, value) * value for name, value in g.items()}


def mean_gradient(g: Gradients) -> dict[str, Array]:
    """Return G = (1/N) sum_i g_i, name -> [R] or [R, W]."""
    return {name: value.mean(1) for name, value in g.items()}


def squared_norms(g: Gradients) -> Array:
    """Return |g_i|^2, the squared Euclidean norm over all trained parameters, [R, N]."""
    return _sum(np.square(value).reshape(*value.shape[:2], -1).sum(-1) for value in g.values())


def squared_gradient_norm(gradient: Gradients) -> Array:
    """Return |G|^2 over all trained parameters, [R]."""
    return _sum(np.square(value).reshape(len(value), -1).sum(-1) for value in gradient.values())


def vote_share(g: Gradients, gradient: Gradients | None = None) -> Array:
    """Return <g_i, G> / (N |G|^2), the signed share of sample i in the gradient, [R, N].

    Shares sum to 1; NaN where G = 0.

    Args:
        g: per-sample gradients.
        gradient: G, the mean of g by default. Give it if g holds a part of the samples only. N is still the number of
            samples in g, so that the result must be rescaled.
    """
    mean = mean_gradient(g) if gradient is None else gradient
    along = _sum((value * mean[name][:, None]).reshape(*value.shape[:2], -1).sum(-1) for name, value in g.items())
    return vote_shares(along, squared_gradient_norm(mean), along.shape[1])


def vote_shares(inner_products: Array, squared_norm: Array, samples: int) -> Array:
    """Return the vote shares <g_i, G> / (N |G|^2), [R, n], from <g_i, G> [R, n] and |G|^2 [R]; NaN where G = 0."""
    norm = squared_norm[..., None]
    with np.errstate(all="ignore"):
        return np.where(norm > 0, inner_products / (samples * norm), np.nan)


def effective_votes(g: Gradients) -> Array:
    """Return (sum_i |c_i|)^2 / sum_i |c_i|^2, between 1 and N, [R]; NaN if every vote is 0.

    Kish's effective sample size with the norms of the votes as weights (L. Kish, Survey Sampling, 1965).
    """
    squares = squared_norms(g)
    return effective_number(np.sqrt(squares).sum(-1), squares.sum(-1))


def effective_number(sum_of_norms: Array, sum_of_squares: Array) -> Array:
    """Return the effective votes from sum_i |g_i| and sum_i |g_i|^2, [R]; NaN where both are 0."""
    with np.errstate(all="ignore"):
        found: Array = np.square(sum_of_norms) / sum_of_squares
    return found


def gradient_noise_scale(g: Gradients) -> Array:
    """Return tr(Sigma) / |G|^2, Sigma the covariance of g_i over the samples (divided by N), [R].

    For batches drawn with replacement E|G_B|^2 = |G|^2 + tr(Sigma)/B. At the batch size B = tr(Sigma)/|G|^2 noise and
    signal are equal (McCandlish et al., An Empirical Model of Large-Batch Training, 2018, eq. 2.9). Infinite or NaN
    where G = 0.
    """
    return noise_to_signal(squared_norms(g).mean(-1), squared_gradient_norm(mean_gradient(g)))


def noise_to_signal(mean_square: Array, signal: Array) -> Array:
    """Return tr(Sigma) / |G|^2 from mean_i |g_i|^2 and |G|^2, [R], as tr(Sigma) = mean_i |g_i|^2 - |G|^2."""
    with np.errstate(all="ignore"):
        found: Array = np.maximum(mean_square - signal, 0) / signal
    return found


def elbow_votes(g: Gradients, w: Array, b: Array) -> Array:
    """Return (g_{i,b} + beta g_{i,w}) / (N w), how sample i moves an elbow under gradient flow, [R, N, W].

    The elbow votes sum over the samples to d beta/dt. NaN where w = 0. A parameter missing from `g` is frozen and
    counts 0.
    """
    beta = elbow(w, b)
    samples = next(iter(g.values())).shape[1]
    numerator = g.get("bias", 0.0) + beta[:, None] * g.get("input_slope", 0.0)
    with np.errstate(all="ignore"):
        votes: Array = numerator / (samples * w[:, None])
    return np.broadcast_to(votes, (len(w), samples, w.shape[-1]))


def balance(p: Parameters) -> Array:
    """Return w^2 + b^2 - v^2 of each unit, [R, W]; gradient flow conserves it if all layers are trained.

    A plain SGD update changes it by exactly eta^2 (g_w^2 + g_b^2 - g_v^2) (Du, Hu, Lee, Algorithmic
    Regularization in Learning Deep Homogeneous Models, 2018).
    """
    found: Array = np.square(p["input_slope"]) + np.square(p["bias"]) - np.square(p["output_weight"])
    return found


@dataclass(frozen=True)
class VoteTotals:
    """The votes at a snapshot: statistics over all samples, and the votes of the recorded samples.

    All arrays may have a leading axis of S snapshots.

    Attributes:
        gradient: G of all samples, name -> [R] or [R, W].
        gradient_norm: |G|, [R].
        noise_scale: tr(Sigma)/|G|^2, [R].
        effective: effective votes, [R].
        residual: r_i of the recorded samples, [R, n].
        norm: |c_i| = |g_i| / N of the recorded samples, [R, n].
        share: vote shares of the recorded samples, [R, n].
        per_sample: a function that returns g_i of the recorded samples, name -> [R, n] or [R, n, W]; None if they are
            too large to keep.
        layers: for each layer of a chain with several hidden layers, the `LAYER_STATISTICS` of its parameters alone,
            [R].
    """

    gradient: dict[str, Array]
    gradient_norm: Array
    noise_scale: Array
    effective: Array
    residual: Array
    norm: Array
    share: Array
    per_sample: Callable[[], dict[str, Array]] | None = None
    layers: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)

    @classmethod
    def from_sums(
        cls,
        gradient: dict[str, Array],
        signal: Array,
        sum_of_norms: Array,
        sum_of_squares: Array,
        residual: Array,
        norm: Array,
        inner_products: Array,
        samples: int,
        per_sample: Callable[[], dict[str, Array]] | None = None,
        layers: Mapping[str, Mapping[str, Array]] | None = None,
    ) -> "VoteTotals":
        """Return the votes from sums over all N samples and values of the recorded ones.

        Args:
            gradient: G, name -> [R] or [R, W].
            signal: |G|^2, [R].
            sum_of_norms: sum_i |g_i|, [R].
            sum_of_squares: sum_i |g_i|^2, [R].
            residual: r_i of the recorded samples, [R, n].
            norm: |g_i| of the recorded samples, [R, n].
            inner_products: <g_i, G> of the recorded samples, [R, n].
            samples: N.
            per_sample: see the attribute.
            layers: see the attribute.
        """
        shown = len(inner_products)
        return cls(
            gradient=gradient,
            gradient_norm=np.sqrt(signal),
            noise_scale=noise_to_signal(sum_of_squares / samples, signal),
            effective=effective_number(sum_of_norms, sum_of_squares),
            residual=residual,
            norm=norm / samples,
            share=vote_shares(inner_products, signal[:shown], samples),
            per_sample=per_sample,
            layers=layers or {},
        )

    def with_snapshot_axis(self, snapshots: int) -> "VoteTotals":
        """Return S R replicas as R replicas of S snapshots: [S R, ...] becomes [S, R, ...]."""
        return self._map_arrays(lambda value: value.reshape(snapshots, -1, *value.shape[1:]))

    def subset(self, chosen: slice | int) -> "VoteTotals":
        """Return the chosen entries of the first axis; without this axis for a single one."""
        return self._map_arrays(lambda value: value[chosen])

    def _map_arrays(self, change: Callable[[Array], Array]) -> "VoteTotals":
        def change_all(named: Mapping[str, Array]) -> dict[str, Array]:
            return {name: change(value) for name, value in named.items()}

        per_sample = self.per_sample
        return VoteTotals(
            gradient=change_all(self.gradient),
            **{name: change(getattr(self, name)) for name in VOTE_ARRAYS},
            per_sample=None if per_sample is None else functools.cache(lambda: change_all(per_sample())),
            layers={key: change_all(statistics) for key, statistics in self.layers.items()},
        )


# shares and noise scale are NaN or infinite where the gradient is 0 or has overflowed
@np.errstate(all="ignore")
def summarize(
    model: str,
    p: Parameters,
    x: Array,
    y: Array,
    trained: Sequence[str],
    recorded: NDArray[np.int64] | None = None,
    entries: int = 2**24,
    precision: str = "float64",
) -> VoteTotals:
    """Return a summary of the votes of all samples, in bounded memory: without the N x P gradients.

    Args:
        model: the model's name.
        p: the parameters.
        x: inputs [N].
        y: targets [N].
        trained: names of the trained parameters.
        recorded: indices of the samples whose residuals, norms and shares are returned; all by default.
        entries: the samples are processed in chunks whose gradients would hold at most this many numbers.
        precision: the precision in which the run decides on the gates; see `geometry.is_active`.
    """
    record = MODELS[model]
    samples = len(x)
    step = max(1, entries // sum(value.size for value in p.values()))
    total, norms, squares = np.zeros(()), np.zeros(()), np.zeros(())
    layer_sums: dict[str, tuple[Array, Array]] = {}
    for start in range(0, samples, step):
        at = slice(start, start + step)
        chunk = record.per_sample_gradients(p, x[at], y[at], trained, precision)
        squared = chunk.squared_norms()
        total = total + chunk.total()
        norms, squares = norms + np.sqrt(squared).sum(-1), squares + squared.sum(-1)
        for key, part in chunk.squared_norms_by_layer().items():
            before = layer_sums.get(key, (np.zeros(()), np.zeros(())))
            layer_sums[key] = before[0] + np.sqrt(part).sum(-1), before[1] + part.sum(-1)
    mean = total / samples
    if recorded is not None or samples > step:
        kept = slice(None) if recorded is None else recorded
        chunk = record.per_sample_gradients(p, x[kept], y[kept], trained, precision)
        squared = chunk.squared_norms()
    gradient = chunk.by_name(mean)
    return VoteTotals.from_sums(
        gradient=gradient,
        signal=np.square(mean).sum(-1),
        sum_of_norms=norms,
        sum_of_squares=squares,
        residual=chunk.residual,
        norm=np.sqrt(squared),
        inner_products=chunk.inner_products(mean),
        samples=samples,
        per_sample=chunk.gradients if chunk.residual.size * mean.shape[-1] <= MAX_KEPT_GRADIENT_VALUES else None,
        layers={
            key: _layer_statistics([gradient[name] for name in names if name in gradient], *layer_sums[key], samples)
            for key, names in (record.architecture.layer_names.items() if record.architecture else ())
            if key in layer_sums
        },
    )


def _layer_statistics(
    gradient: Sequence[Array], sum_of_norms: Array, sum_of_squares: Array, samples: int
) -> dict[str, Array]:
    """Return the statistics of the parameters of one layer, [R], from their mean gradient and the sums over samples."""
    signal = _sum(np.square(value).reshape(len(value), -1).sum(-1) for value in gradient)
    found = (
        np.sqrt(signal),
        noise_to_signal(sum_of_squares / samples, signal),
        effective_number(sum_of_norms, sum_of_squares),
    )
    return dict(zip(LAYER_STATISTICS, found, strict=True))


def _expand_to(per_sample: Array, value: Array) -> Array:
    """Append axes of size 1 to [R, N], so that it broadcasts against `value`."""
    return per_sample.reshape(*per_sample.shape, *(1,) * (value.ndim - per_sample.ndim))


def _sum(parts: Iterable[Array]) -> Array:
    first, *rest = parts
    return sum(rest, start=first)
