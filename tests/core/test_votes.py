"""Per-sample gradients and votes, compared with autograd, torch.func and enumeration."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from reluviz.core import votes_torch
from reluviz.core.elbows import elbow
from reluviz.core.functions_torch import PARAMETERS, Parameters, predict, tangent
from reluviz.core.theory.relu import ntk

R, N, W = 3, 40, 7
MODELS = tuple(PARAMETERS)
TRAINED = {
    "all": PARAMETERS["relu"],
    "output": ("output_weight", "output_bias"),
    "hidden": ("input_slope", "bias"),
    "slopes": ("input_slope",),
}


def uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)


def parameters(model: str, seed: int = 0) -> dict[str, Tensor]:
    """Return torch's default initial layers with elbows uniform on [0, 1], or theta uniform on [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    if model != "relu":
        return {"theta": uniform(generator, -1, 1, R)}
    w = uniform(generator, -1, 1, R, W)
    return {
        "input_slope": w,
        "bias": -uniform(generator, 0, 1, R, W) * w,
        "output_weight": uniform(generator, -1, 1, R, W) / W**0.5,
        "output_bias": uniform(generator, -1, 1, R) / W**0.5,
    }


def data(n: int = N) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(99)
    x = uniform(generator, 0, 1, n)
    return x, torch.sin(9 * x) + 0.1 * torch.randn(n, generator=generator, dtype=torch.float64)


def gradients(model: str = "relu", trained: tuple[str, ...] | None = None) -> dict[str, Tensor]:
    return votes_torch.per_sample_gradients(model, parameters(model), *data(), trained)


def autograd(model: str, p: Parameters, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Return the gradient of the mean squared residual over the last axis of x and y, by torch's autograd."""
    leaves = {name: value.clone().requires_grad_() for name, value in p.items()}
    (predict(model, leaves, x) - y).square().mean(-1).sum().backward()
    return {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}


def elbow_velocity(p: Parameters, gradient: Parameters) -> Tensor:
    """Return d beta/dt under gradient flow, by the chain rule with torch's derivatives of the elbow, [R, W]."""
    w, b = p["input_slope"].clone().requires_grad_(), p["bias"].clone().requires_grad_()
    by_w, by_b = torch.autograd.grad(elbow(w, b).sum(), (w, b))
    return -(by_w * gradient["input_slope"] + by_b * gradient["bias"])


def close(actual: Tensor, expected: Tensor, atol: float = 1e-12) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("model", MODELS)
def test_per_sample_gradients_equal_those_of_torch_func(model: str) -> None:
    p, (x, y) = parameters(model), data()

    def squared_residual(p: Parameters, x: Tensor, y: Tensor) -> Tensor:
        one = {name: value.unsqueeze(0) for name, value in p.items()}
        return (predict(model, one, x.unsqueeze(0)) - y).square().sum()

    expected = vmap(vmap(grad(squared_residual), (None, 0, 0)), (0, None, None))(p, x, y)
    g = votes_torch.per_sample_gradients(model, p, x, y)
    assert set(g) == set(p)
    for name, value in g.items():
        close(value, expected[name])


def test_relu_gradients_equal_those_of_a_torch_module() -> None:
    p, (x, y) = parameters("relu"), data()
    module = torch.nn.Sequential(torch.nn.Linear(1, W), torch.nn.ReLU(), torch.nn.Linear(W, 1)).double()

    def squared_residual(state: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return (functional_call(module, state, (x.reshape(1, 1),)) - y).square().sum()

    g = votes_torch.per_sample_gradients("relu", p, x, y)
    for r in range(R):
        state = {
            "0.weight": p["input_slope"][r].unsqueeze(1),
            "0.bias": p["bias"][r],
            "2.weight": p["output_weight"][r].unsqueeze(0),
            "2.bias": p["output_bias"][r].unsqueeze(0),
        }
        expected = vmap(grad(squared_residual), (None, 0, 0))(state, x, y)
        for name, key in zip(PARAMETERS["relu"], state, strict=True):
            close(g[name][r].flatten(), expected[key].flatten())


@pytest.mark.parametrize("model", MODELS)
def test_contributions_sum_to_the_gradient(model: str) -> None:
    expected = autograd(model, parameters(model), *data())
    for name, value in votes_torch.contributions(gradients(model)).items():
        close(value.sum(1), expected[name])


@pytest.mark.parametrize("dtype", [torch.int64, torch.float64])
@pytest.mark.parametrize("model", MODELS)
def test_contributions_of_a_batch_with_repeated_samples_sum_to_its_gradient(model: str, dtype: torch.dtype) -> None:
    x, y = data()
    batch = torch.tensor([[0, 0, 0, 5, 39], [7, 8, 8, 20, 21], [1, 1, 1, 1, 1]])
    multiplicity = torch.nn.functional.one_hot(batch, N).sum(1).to(dtype)
    expected = autograd(model, parameters(model), x[batch], y[batch])
    c = votes_torch.contributions(gradients(model), multiplicity)
    for name, value in c.items():
        close(value.sum(1), expected[name])
        assert (value[multiplicity == 0] == 0).all()


def test_each_replica_may_have_different_inputs() -> None:
    p, (x, y) = parameters("relu"), data(R * N)
    together = votes_torch.per_sample_gradients("relu", p, x.reshape(R, N), y.reshape(R, N))
    for r in range(R):
        one = {name: value[r : r + 1] for name, value in p.items()}
        alone = votes_torch.per_sample_gradients("relu", one, x.reshape(R, N)[r], y.reshape(R, N)[r])
        for name, value in together.items():
            close(value[r], alone[name][0])


@pytest.mark.parametrize("trained", TRAINED)
def test_frozen_parameters_have_no_gradient_and_do_not_count_in_the_norms(trained: str) -> None:
    g, all_gradients = gradients(trained=TRAINED[trained]), gradients()
    assert set(g) == set(TRAINED[trained])
    squares = torch.stack([all_gradients[name].reshape(R, N, -1).square().sum(-1) for name in g]).sum(0)
    close(votes_torch.squared_norms(g), squares)
    close(votes_torch.squared_gradient_norm(votes_torch.mean_gradient(g)).sqrt(), _flat(g).mean(1).norm(dim=-1))


def test_a_sample_that_does_not_activate_a_unit_has_no_vote_on_it() -> None:
    p, (x, _) = parameters("relu"), data()
    inactive = p["input_slope"].unsqueeze(1) * x[:, None] + p["bias"].unsqueeze(1) <= 0
    assert inactive.any()
    for name in ("input_slope", "bias", "output_weight"):
        assert (gradients()[name][inactive] == 0).all()


def test_w_g_w_plus_b_g_b_equals_v_g_v_for_each_sample_and_unit() -> None:
    p, g = parameters("relu"), gradients()
    hidden = sum(p[name].unsqueeze(1) * g[name] for name in ("input_slope", "bias"))
    close(torch.as_tensor(hidden), p["output_weight"].unsqueeze(1) * g["output_weight"])


@pytest.mark.parametrize("model", MODELS)
def test_vote_shares_sum_to_1(model: str) -> None:
    close(votes_torch.vote_share(gradients(model)).sum(-1), torch.ones(R, dtype=torch.float64))


def test_the_vote_share_is_the_projection_onto_the_gradient() -> None:
    g = _flat(gradients())
    mean = g.mean(1)
    expected = torch.einsum("rnp,rp->rn", g, mean) / (N * mean.square().sum(-1, keepdim=True))
    close(votes_torch.vote_share(gradients()), expected)


def test_vote_share_is_nan_where_the_gradient_is_0() -> None:
    g = votes_torch.per_sample_gradients(
        "constant", {"theta": torch.tensor([1.0, 2.0])}, torch.zeros(2), torch.tensor([0.0, 2.0])
    )
    share = votes_torch.vote_share(g)
    assert share[0].isnan().all()
    assert share[1].tolist() == [1, 0]


@pytest.mark.parametrize("trained", TRAINED)
def test_effective_votes_lie_between_1_and_n(trained: str) -> None:
    effective = votes_torch.effective_votes(gradients(trained=TRAINED[trained]))
    assert (effective >= 1).all()
    assert (effective <= N).all()


def test_effective_votes_reach_both_bounds() -> None:
    theta, x = {"theta": torch.zeros(1)}, torch.ones(4)
    alike = votes_torch.per_sample_gradients("constant", theta, x, torch.tensor([1.0, -1.0, 1.0, -1.0]))
    alone = votes_torch.per_sample_gradients("constant", theta, x, torch.tensor([0.0, 0.0, 5.0, 0.0]))
    zero = votes_torch.per_sample_gradients("constant", theta, x, torch.zeros(4))
    assert votes_torch.effective_votes(alike).tolist() == [4]
    assert votes_torch.effective_votes(alone).tolist() == [1]
    assert votes_torch.effective_votes(zero).isnan().all()


def test_elbow_votes_sum_to_the_velocity_of_the_elbow_under_gradient_flow() -> None:
    p, (x, y) = parameters("relu"), data()
    velocity = elbow_velocity(p, autograd("relu", p, x, y))
    moved = votes_torch.elbow_votes(gradients(), p["input_slope"], p["bias"])
    close(moved.sum(1), velocity)
    beta = elbow(p["input_slope"], p["bias"]).unsqueeze(1)
    on = p["input_slope"].unsqueeze(1) * x[:, None] + p["bias"].unsqueeze(1) > 0
    r = (predict("relu", p, x) - y).unsqueeze(-1)
    from_formula = 2 * (p["output_weight"] / (N * p["input_slope"])).unsqueeze(1) * on * r * (1 + beta * x[:, None])
    close(moved, from_formula)


@pytest.mark.parametrize("frozen", ["input_slope", "bias"])
def test_elbow_votes_count_a_frozen_parameter_as_0(frozen: str) -> None:
    p = parameters("relu")
    velocity = elbow_velocity(p, autograd("relu", p, *data()) | {frozen: torch.zeros_like(p[frozen])})
    g = gradients(trained=tuple(name for name in p if name != frozen))
    close(votes_torch.elbow_votes(g, p["input_slope"], p["bias"]).sum(1), velocity)


def test_elbows_do_not_move_when_only_the_output_layer_is_trained() -> None:
    p, g = parameters("relu"), gradients(trained=TRAINED["output"])
    moved = votes_torch.elbow_votes(g, p["input_slope"], p["bias"])
    assert moved.shape == (R, N, W)
    assert (moved == 0).all()


@pytest.mark.parametrize("trained", ["all", "output"])
def test_elbow_votes_are_nan_where_w_is_0(trained: str) -> None:
    p = parameters("relu")
    p["input_slope"][:, 2] = 0
    g = votes_torch.per_sample_gradients("relu", p, *data(), TRAINED[trained])
    missing = votes_torch.elbow_votes(g, p["input_slope"], p["bias"]).isnan()
    assert missing[:, :, 2].all()
    assert missing.sum() == R * N


def test_the_noise_scale_gives_the_mean_squared_gradient_over_all_possible_batches() -> None:
    n, size = 5, 3
    x, y = data(n)
    g = votes_torch.per_sample_gradients("relu", parameters("relu"), x, y)
    signal = votes_torch.squared_gradient_norm(votes_torch.mean_gradient(g))
    batches = torch.tensor(list(itertools.product(range(n), repeat=size)))
    enumerated = _flat(g)[:, batches].mean(2).square().sum(-1).mean(-1)
    close(signal * (1 + votes_torch.gradient_noise_scale(g) / size), enumerated)


def test_gradient_diversity_is_1_plus_the_noise_scale_over_n() -> None:
    g = gradients()
    diversity = votes_torch.squared_norms(g).sum(-1) / _flat(g).sum(1).square().sum(-1)
    torch.testing.assert_close(diversity, (1 + votes_torch.gradient_noise_scale(g)) / N, rtol=1e-12, atol=0)


def test_a_small_update_on_one_sample_changes_the_loss_of_another_by_the_inner_product_of_their_gradients() -> None:
    p, (x, y) = parameters("relu"), data()
    g, eta = gradients(), 1e-7
    inner = _flat(g) @ _flat(g).mT
    before = (predict("relu", p, x) - y).square()
    for i in (0, 13):
        after = (predict("relu", {k: v - eta * g[k][:, i] for k, v in p.items()}, x) - y).square()
        close((before - after) / eta, inner[:, i], atol=1e-5)
    r = predict("relu", p, x) - y
    close(inner, 4 * r.unsqueeze(-1) * r.unsqueeze(-2) * ntk(tangent("relu", p, x)), atol=1e-11)


@pytest.mark.parametrize("entries", [1, 200, 10**6])
@pytest.mark.parametrize("trained", TRAINED)
def test_a_summary_computed_in_chunks_equals_the_definitions(trained: str, entries: int) -> None:
    p, (x, y) = parameters("relu"), data()
    names = TRAINED[trained]
    recorded = torch.tensor([3, 0, 39, 17])
    g = votes_torch.per_sample_gradients("relu", p, x, y, names)
    mean = votes_torch.mean_gradient(g)
    summary = votes_torch.summarize("relu", p, x, y, names, recorded, entries)
    assert set(summary.gradient) == set(names)
    for name, value in summary.gradient.items():
        close(value, mean[name])
    close(summary.gradient_norm, votes_torch.squared_gradient_norm(mean).sqrt())
    torch.testing.assert_close(summary.noise_scale, votes_torch.gradient_noise_scale(g), rtol=1e-9, atol=0)
    close(summary.effective, votes_torch.effective_votes(g), atol=1e-10)
    close(summary.residual, (predict("relu", p, x) - y)[:, recorded])
    close(summary.norm, _flat(votes_torch.contributions(g)).norm(dim=-1)[:, recorded])
    close(summary.share, votes_torch.vote_share(g)[:, recorded])


@pytest.mark.parametrize("model", MODELS)
def test_a_summary_has_every_sample_by_default(model: str) -> None:
    summary = votes_torch.summarize(model, parameters(model), *data(), PARAMETERS[model])
    close(summary.share, votes_torch.vote_share(gradients(model)))
    close(summary.share.sum(-1), torch.ones(R, dtype=torch.float64))


def test_balance_is_w2_plus_b2_minus_v2() -> None:
    values = {"input_slope": [[3.0]], "bias": [[2.0]], "output_weight": [[5.0]], "output_bias": [0.0]}
    assert votes_torch.balance({k: torch.tensor(v) for k, v in values.items()}).tolist() == [[-12.0]]


def _flat(g: dict[str, Tensor]) -> Tensor:
    """Return all gradients of a sample concatenated, [R, n, P]."""
    return torch.cat([value.reshape(*value.shape[:2], -1) for value in g.values()], -1)
