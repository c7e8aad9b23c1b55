"""Per-sample gradients and votes, compared with autograd, torch.func and enumeration."""

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from oracle import close, gradient, per_sample_gradients, predict, tensors
from torch import Tensor
from torch.func import functional_call, grad, vmap

from reluviz.core import votes
from reluviz.core.elbows import elbow, is_active
from reluviz.core.functions import PARAMETERS, tangent
from reluviz.core.theory.relu import ntk

Array = NDArray[np.float64]
R, N, W = 3, 40, 7
MODELS = tuple(PARAMETERS)
TRAINED = {
    "all": PARAMETERS["relu"],
    "output": ("output_weight", "output_bias"),
    "hidden": ("input_slope", "bias"),
    "slopes": ("input_slope",),
}


def parameters(model: str, seed: int = 0) -> dict[str, Array]:
    """Return initial layers like torch's with elbows uniform on [0, 1], or theta uniform on [-1, 1]."""
    generator = np.random.default_rng(seed)
    if model != "relu":
        return {"theta": generator.uniform(-1, 1, R)}
    w = generator.uniform(-1, 1, (R, W))
    return {
        "input_slope": w,
        "bias": -generator.uniform(0, 1, (R, W)) * w,
        "output_weight": generator.uniform(-1, 1, (R, W)) / W**0.5,
        "output_bias": generator.uniform(-1, 1, R) / W**0.5,
    }


def data(n: int = N) -> tuple[Array, Array]:
    generator = np.random.default_rng(99)
    x = generator.uniform(0, 1, n)
    return x, np.sin(9 * x) + 0.1 * generator.normal(size=n)


def gradients(model: str = "relu", trained: tuple[str, ...] | None = None) -> dict[str, Array]:
    return votes.per_sample_gradients(model, parameters(model), *data(), trained)


def elbow_velocity(p: dict[str, Array], by_name: dict[str, Array]) -> Array:
    """Return d beta/dt under gradient flow, by the chain rule with torch's derivatives of the elbow, [R, W]."""
    w, b = (tensors(p)[name].requires_grad_() for name in ("input_slope", "bias"))
    by_w, by_b = (one.numpy() for one in torch.autograd.grad((-b / w).sum(), (w, b)))
    return -(by_w * by_name["input_slope"] + by_b * by_name["bias"])


@pytest.mark.parametrize("model", MODELS)
def test_per_sample_gradients_equal_those_of_torch_func(model: str) -> None:
    p, (x, y) = parameters(model), data()
    expected = per_sample_gradients(model, p, x, y)
    g = votes.per_sample_gradients(model, p, x, y)
    assert set(g) == set(p)
    for name, value in g.items():
        close(value, expected[name])


def test_relu_gradients_equal_those_of_a_torch_module() -> None:
    p, (x, y) = parameters("relu"), data()
    module = torch.nn.Sequential(torch.nn.Linear(1, W), torch.nn.ReLU(), torch.nn.Linear(W, 1)).double()

    def squared_residual(state: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return (functional_call(module, state, (x.reshape(1, 1),)) - y).square().sum()

    g, leaves = votes.per_sample_gradients("relu", p, x, y), tensors(p)
    for r in range(R):
        state = {
            "0.weight": leaves["input_slope"][r].unsqueeze(1),
            "0.bias": leaves["bias"][r],
            "2.weight": leaves["output_weight"][r].unsqueeze(0),
            "2.bias": leaves["output_bias"][r].unsqueeze(0),
        }
        expected = vmap(grad(squared_residual), (None, 0, 0))(state, torch.tensor(x), torch.tensor(y))
        for name, key in zip(PARAMETERS["relu"], state, strict=True):
            close(g[name][r].flatten(), expected[key].flatten().numpy())


@pytest.mark.parametrize("model", MODELS)
def test_contributions_sum_to_the_gradient(model: str) -> None:
    expected = gradient(model, parameters(model), *data())
    for name, value in votes.contributions(gradients(model)).items():
        close(value.sum(1), expected[name])


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
@pytest.mark.parametrize("model", MODELS)
def test_contributions_of_a_batch_with_repeated_samples_sum_to_its_gradient(model: str, dtype: type) -> None:
    x, y = data()
    batch = np.array([[0, 0, 0, 5, 39], [7, 8, 8, 20, 21], [1, 1, 1, 1, 1]])
    multiplicity = (batch[:, :, None] == np.arange(N)).sum(1).astype(dtype)
    expected = gradient(model, parameters(model), x[batch], y[batch])
    c = votes.contributions(gradients(model), multiplicity)
    for name, value in c.items():
        close(value.sum(1), expected[name])
        assert (value[multiplicity == 0] == 0).all()


def test_each_replica_may_have_different_inputs() -> None:
    p, (x, y) = parameters("relu"), data(R * N)
    together = votes.per_sample_gradients("relu", p, x.reshape(R, N), y.reshape(R, N))
    for r in range(R):
        one = {name: value[r : r + 1] for name, value in p.items()}
        alone = votes.per_sample_gradients("relu", one, x.reshape(R, N)[r], y.reshape(R, N)[r])
        for name, value in together.items():
            close(value[r], alone[name][0])


@pytest.mark.parametrize("trained", TRAINED)
def test_frozen_parameters_have_no_gradient_and_do_not_count_in_the_norms(trained: str) -> None:
    g, all_gradients = gradients(trained=TRAINED[trained]), gradients()
    assert set(g) == set(TRAINED[trained])
    squares = sum(np.square(all_gradients[name].reshape(R, N, -1)).sum(-1) for name in g)
    close(votes.squared_norms(g), squares)
    norm = np.linalg.norm(_flat(g).mean(1), axis=-1)
    close(np.sqrt(votes.squared_gradient_norm(votes.mean_gradient(g))), norm)


def test_a_sample_that_does_not_activate_a_unit_has_no_vote_on_it() -> None:
    p, (x, _) = parameters("relu"), data()
    inactive = p["input_slope"][:, None] * x[:, None] + p["bias"][:, None] <= 0
    assert inactive.any()
    for name in ("input_slope", "bias", "output_weight"):
        assert (gradients()[name][inactive] == 0).all()


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_gates_are_decided_in_the_precision_of_the_run_as_torch_decides_them(precision: str) -> None:
    x, y = data()
    p = parameters("relu")
    # an elbow on a point, as the initial state places it in float32
    p["input_slope"] = p["input_slope"].astype(np.float32).astype(float)
    p["bias"] = (-x[:W] * p["input_slope"]).astype(np.float32).astype(float)
    dtype = getattr(torch, precision)
    w, b = (torch.tensor(p[name]).to(dtype)[:, None] for name in ("input_slope", "bias"))
    expected = (w * torch.tensor(x).to(dtype)[:, None] + b > 0).numpy()
    found = is_active(p["input_slope"][:, None], p["bias"][:, None], x[:, None], precision)
    np.testing.assert_array_equal(found, expected)
    g = votes.per_sample_gradients("relu", p, x, y, precision=precision)
    np.testing.assert_array_equal(g["bias"] != 0, expected)
    summary = votes.summarize("relu", p, x, y, PARAMETERS["relu"], precision=precision)
    close(summary.gradient["bias"], g["bias"].mean(1))
    other = is_active(p["input_slope"][:, None], p["bias"][:, None], x[:, None])
    assert precision == "float64" or (other != expected).any()


def test_w_g_w_plus_b_g_b_equals_v_g_v_for_each_sample_and_unit() -> None:
    p, g = parameters("relu"), gradients()
    hidden = p["input_slope"][:, None] * g["input_slope"] + p["bias"][:, None] * g["bias"]
    close(hidden, p["output_weight"][:, None] * g["output_weight"])


@pytest.mark.parametrize("model", MODELS)
def test_vote_shares_sum_to_1(model: str) -> None:
    close(votes.vote_share(gradients(model)).sum(-1), np.ones(R))


def test_the_vote_share_is_the_projection_onto_the_gradient() -> None:
    g = _flat(gradients())
    mean = g.mean(1)
    expected = np.einsum("rnp,rp->rn", g, mean) / (N * np.square(mean).sum(-1, keepdims=True))
    close(votes.vote_share(gradients()), expected)


def test_the_vote_shares_of_a_part_of_the_samples_are_scaled_by_the_size_of_the_part() -> None:
    g = gradients()
    part = {name: value[:, :10] for name, value in g.items()}
    share = votes.vote_share(part, votes.mean_gradient(g)) * (10 / N)
    close(share, votes.vote_share(g)[:, :10])


def test_vote_share_is_nan_where_the_gradient_is_0() -> None:
    g = votes.per_sample_gradients("constant", {"theta": np.array([1.0, 2.0])}, np.zeros(2), np.array([0.0, 2.0]))
    share = votes.vote_share(g)
    assert np.isnan(share[0]).all()
    assert share[1].tolist() == [1, 0]


@pytest.mark.parametrize("trained", TRAINED)
def test_effective_votes_lie_between_1_and_n(trained: str) -> None:
    effective = votes.effective_votes(gradients(trained=TRAINED[trained]))
    assert (effective >= 1).all()
    assert (effective <= N).all()


def test_effective_votes_reach_both_bounds() -> None:
    theta, x = {"theta": np.zeros(1)}, np.ones(4)
    alike = votes.per_sample_gradients("constant", theta, x, np.array([1.0, -1.0, 1.0, -1.0]))
    alone = votes.per_sample_gradients("constant", theta, x, np.array([0.0, 0.0, 5.0, 0.0]))
    zero = votes.per_sample_gradients("constant", theta, x, np.zeros(4))
    assert votes.effective_votes(alike).tolist() == [4]
    assert votes.effective_votes(alone).tolist() == [1]
    assert np.isnan(votes.effective_votes(zero)).all()


def test_elbow_votes_sum_to_the_velocity_of_the_elbow_under_gradient_flow() -> None:
    p, (x, y) = parameters("relu"), data()
    velocity = elbow_velocity(p, gradient("relu", p, x, y))
    moved = votes.elbow_votes(gradients(), p["input_slope"], p["bias"])
    close(moved.sum(1), velocity)
    beta = elbow(p["input_slope"], p["bias"])[:, None]
    on = p["input_slope"][:, None] * x[:, None] + p["bias"][:, None] > 0
    r = (predict("relu", p, x) - y)[..., None]
    from_formula = 2 * (p["output_weight"] / (N * p["input_slope"]))[:, None] * on * r * (1 + beta * x[:, None])
    close(moved, from_formula)


@pytest.mark.parametrize("frozen", ["input_slope", "bias"])
def test_elbow_votes_count_a_frozen_parameter_as_0(frozen: str) -> None:
    p = parameters("relu")
    velocity = elbow_velocity(p, gradient("relu", p, *data()) | {frozen: np.zeros_like(p[frozen])})
    g = gradients(trained=tuple(name for name in p if name != frozen))
    close(votes.elbow_votes(g, p["input_slope"], p["bias"]).sum(1), velocity)


def test_elbows_do_not_move_when_only_the_output_layer_is_trained() -> None:
    p, g = parameters("relu"), gradients(trained=TRAINED["output"])
    moved = votes.elbow_votes(g, p["input_slope"], p["bias"])
    assert moved.shape == (R, N, W)
    assert (moved == 0).all()


@pytest.mark.parametrize("trained", ["all", "output"])
def test_elbow_votes_are_nan_where_w_is_0(trained: str) -> None:
    p = parameters("relu")
    p["input_slope"][:, 2] = 0
    g = votes.per_sample_gradients("relu", p, *data(), TRAINED[trained])
    missing = np.isnan(votes.elbow_votes(g, p["input_slope"], p["bias"]))
    assert missing[:, :, 2].all()
    assert missing.sum() == R * N


def test_the_noise_scale_gives_the_mean_squared_gradient_over_all_possible_batches() -> None:
    n, size = 5, 3
    x, y = data(n)
    g = votes.per_sample_gradients("relu", parameters("relu"), x, y)
    signal = votes.squared_gradient_norm(votes.mean_gradient(g))
    batches = np.array(list(itertools.product(range(n), repeat=size)))
    enumerated = np.square(_flat(g)[:, batches].mean(2)).sum(-1).mean(-1)
    close(signal * (1 + votes.gradient_noise_scale(g) / size), enumerated)


def test_gradient_diversity_is_1_plus_the_noise_scale_over_n() -> None:
    g = gradients()
    diversity = votes.squared_norms(g).sum(-1) / np.square(_flat(g).sum(1)).sum(-1)
    np.testing.assert_allclose(diversity, (1 + votes.gradient_noise_scale(g)) / N, rtol=1e-12)


def test_a_small_update_on_one_sample_changes_the_loss_of_another_by_the_inner_product_of_their_gradients() -> None:
    p, (x, y) = parameters("relu"), data()
    g, eta = gradients(), 1e-7
    inner = _flat(g) @ _flat(g).swapaxes(1, 2)
    before = np.square(predict("relu", p, x) - y)
    for i in (0, 13):
        after = np.square(predict("relu", {k: v - eta * g[k][:, i] for k, v in p.items()}, x) - y)
        close((before - after) / eta, inner[:, i], atol=1e-5)
    r = predict("relu", p, x) - y
    close(inner, 4 * r[:, :, None] * r[:, None] * ntk(tangent("relu", p, x)), atol=1e-11)


@pytest.mark.parametrize("entries", [1, 200, 10**6])
@pytest.mark.parametrize("trained", TRAINED)
def test_a_summary_computed_in_chunks_equals_the_definitions(trained: str, entries: int) -> None:
    p, (x, y) = parameters("relu"), data()
    names = TRAINED[trained]
    recorded = np.array([3, 0, 39, 17])
    g = votes.per_sample_gradients("relu", p, x, y, names)
    mean = votes.mean_gradient(g)
    summary = votes.summarize("relu", p, x, y, names, recorded, entries)
    assert set(summary.gradient) == set(names)
    for name, value in summary.gradient.items():
        close(value, mean[name])
    close(summary.gradient_norm, np.sqrt(votes.squared_gradient_norm(mean)))
    np.testing.assert_allclose(summary.noise_scale, votes.gradient_noise_scale(g), rtol=1e-9)
    close(summary.effective, votes.effective_votes(g), atol=1e-10)
    close(summary.residual, (predict("relu", p, x) - y)[:, recorded])
    close(summary.norm, np.linalg.norm(_flat(votes.contributions(g)), axis=-1)[:, recorded])
    close(summary.share, votes.vote_share(g)[:, recorded])


@pytest.mark.parametrize("model", MODELS)
def test_a_summary_has_every_sample_by_default(model: str) -> None:
    summary = votes.summarize(model, parameters(model), *data(), PARAMETERS[model])
    close(summary.share, votes.vote_share(gradients(model)))
    close(summary.share.sum(-1), np.ones(R))
    close(summary.effective, votes.effective_votes(gradients(model)), atol=1e-10)


def test_balance_is_w2_plus_b2_minus_v2() -> None:
    values = {"input_slope": [[3.0]], "bias": [[2.0]], "output_weight": [[5.0]], "output_bias": [0.0]}
    assert votes.balance({k: np.array(v) for k, v in values.items()}).tolist() == [[-12.0]]


def _flat(g: dict[str, Array]) -> Array:
    """Return all gradients of a sample concatenated, [R, n, P]."""
    return np.concatenate([value.reshape(*value.shape[:2], -1) for value in g.values()], -1)
