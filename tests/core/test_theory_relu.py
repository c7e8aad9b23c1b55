"""The closed forms of the ReLU network, compared with autograd, training and sampling."""

from collections.abc import Callable

import pytest
import torch
from reluviz.core.functions_torch import PARAMETERS, features, predict, tangent
from torch import Tensor

from reluviz.core import votes_torch
from reluviz.core.elbows import STATUS, elbow, unit_status
from reluviz.core.theory import relu

R, N, W = 3, 60, 6
NAMES = PARAMETERS["relu"]
TRAINED: dict[str, tuple[str, ...]] = {
    "all": NAMES,
    "output": ("output_weight", "output_bias"),
    "hidden": ("input_slope", "bias"),
    "slope and weight": ("output_weight", "input_slope"),
    "biases": ("output_bias", "bias"),
}


def uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)


def network(seed: int = 0, width: int = W, replicas: int = R, elbows: bool = True) -> dict[str, Tensor]:
    """Return torch's default initial layers; with `elbows`, the biases put the elbows uniformly on [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    w = uniform(generator, -1, 1, replicas, width)
    default_bias = uniform(generator, -1, 1, replicas, width)
    return {
        "input_slope": w,
        "bias": -(default_bias + 1) / 2 * w if elbows else default_bias,
        "output_weight": uniform(generator, -1, 1, replicas, width) / width**0.5,
        "output_bias": uniform(generator, -1, 1, replicas) / width**0.5,
    }


def uniform_inputs() -> Tensor:
    return uniform(torch.Generator().manual_seed(1), 0, 1, 200).sort().values


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(99)
    x = uniform(generator, 0, 1, N)
    return x, torch.sin(9 * x) + 0.1 * torch.randn(N, generator=generator, dtype=torch.float64)


def well_conditioned() -> Tensor:
    """Return features with a small condition number, [R, N, 4]."""
    return torch.randn(R, N, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def rank_deficient() -> Tensor:
    """Return the features of a network with two equal units and a dead one, [R, N, W + 1], of rank at most W - 1."""
    p = network(5)
    for name in ("input_slope", "bias"):
        p[name][:, 1] = p[name][:, 0]
    p["bias"][:, 2] = -2
    return features(p, data()[0])


def outputs(p: dict[str, Tensor]) -> Tensor:
    """Return (v, c) in the order of the columns of Phi, [R, W + 1]."""
    return torch.cat([p["output_weight"], p["output_bias"].unsqueeze(-1)], -1)


def train(
    p: dict[str, Tensor],
    x: Tensor,
    y: Tensor,
    updates: int,
    optimizer: Callable[[list[Tensor]], torch.optim.Optimizer],
    trained: tuple[str, ...] = NAMES,
) -> dict[str, Tensor]:
    """Return the parameters after full-batch training with torch's autograd and optimiser."""
    leaves = {name: value.clone().requires_grad_(name in trained) for name, value in p.items()}
    step = optimizer([leaves[name] for name in trained])
    for _ in range(updates):
        step.zero_grad()
        (predict("relu", leaves, x) - y).square().mean(-1).sum().backward()
        step.step()
    return {name: leaf.detach() for name, leaf in leaves.items()}


def close(actual: Tensor, expected: Tensor, atol: float = 1e-12, rtol: float = 0.0) -> None:
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol)


def test_an_sgd_update_changes_the_balance_by_eta_squared_times_the_balance_of_the_gradient() -> None:
    (x, y), lr, p = data(), 0.05, network()
    generator = torch.Generator().manual_seed(2)
    for _ in range(20):
        batch = torch.randint(N, (R, 5), generator=generator)
        batch[:, 1] = batch[:, 0]
        leaves = {name: value.clone().requires_grad_() for name, value in p.items()}
        (predict("relu", leaves, x[batch]) - y[batch]).square().mean(-1).sum().backward()
        g = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
        after = {name: value - lr * g[name] for name, value in p.items()}
        close(votes_torch.balance(after) - votes_torch.balance(p), lr**2 * votes_torch.balance(g), atol=1e-14)
        p = after


def test_the_change_of_the_balance_over_a_fixed_time_is_proportional_to_the_learning_rate() -> None:
    (x, y), p = data(), network()
    changes = [
        (votes_torch.balance(train(p, x, y, updates, lambda v, lr=lr: torch.optim.SGD(v, lr))) - votes_torch.balance(p))
        .abs()
        .max()
        .item()
        for lr, updates in [(0.02, 50), (0.01, 100)]
    ]
    assert changes[0] / changes[1] == pytest.approx(2, rel=0.1)


def test_with_weight_decay_the_balance_decays_exponentially() -> None:
    (x, y), p, lr, decay, updates = data(), network(), 1e-3, 0.5, 400
    after = train(p, x, y, updates, lambda v: torch.optim.SGD(v, lr, weight_decay=decay))
    expected = votes_torch.balance(p) * torch.exp(torch.tensor(-2 * decay * lr * updates, dtype=torch.float64))
    close(votes_torch.balance(after), expected, atol=1e-3)


def test_momentum_and_adam_change_the_balance_much_more_than_sgd() -> None:
    (x, y), p = data(), network()
    optimizers: dict[str, Callable[[list[Tensor]], torch.optim.Optimizer]] = {
        "sgd": lambda v: torch.optim.SGD(v, 0.01),
        "momentum": lambda v: torch.optim.SGD(v, 0.01, momentum=0.9),
        "adam": lambda v: torch.optim.Adam(v, 0.01),
    }
    change = {
        name: (votes_torch.balance(train(p, x, y, 300, make)) - votes_torch.balance(p)).abs().max().item()
        for name, make in optimizers.items()
    }
    assert change["sgd"] < 0.02
    assert change["momentum"] > 5 * change["sgd"]
    assert change["adam"] > 5 * change["momentum"]


def test_gradient_is_the_tangent_applied_to_the_residual() -> None:
    (x, y), p = data(), network()
    residual = predict("relu", p, x) - y
    mean = votes_torch.mean_gradient(votes_torch.per_sample_gradients("relu", p, x, y))
    for name, j in tangent("relu", p, x).items():
        close(mean[name], 2 / N * torch.einsum("rn,rn...->r...", residual, j))


def test_rank_of_the_tangent_is_at_most_2w_plus_1() -> None:
    j = tangent("relu", network(3, width=4), data()[0])
    flat = torch.cat([value.reshape(R, N, -1) for value in j.values()], -1)
    assert flat.shape[-1] == 3 * 4 + 1
    assert (torch.linalg.matrix_rank(flat) <= 2 * 4 + 1).all()


def test_a_small_update_changes_f_by_the_tangent_kernel_applied_to_the_residual() -> None:
    (x, y), p, lr = data(), network(), 1e-7
    kernel = relu.ntk(tangent("relu", p, x))
    before = predict("relu", p, x)
    after = predict("relu", train(p, x, y, 1, lambda v: torch.optim.SGD(v, lr)), x)
    predicted = -2 / N * torch.einsum("rnm,rm->rn", kernel, before - y)
    close((after - before) / lr, predicted, atol=1e-5)


def test_the_tangent_kernel_equals_that_of_torch_func() -> None:
    p, (x, _) = network(), data()
    one = {name: value[0] for name, value in p.items()}

    def f(q: dict[str, Tensor]) -> Tensor:
        return predict("relu", {name: value.unsqueeze(0) for name, value in q.items()}, x)[0]

    jacobian = torch.func.jacrev(f)(one)
    expected = sum(j.reshape(N, -1) @ j.reshape(N, -1).T for j in jacobian.values())
    close(relu.ntk(tangent("relu", p, x))[0], torch.as_tensor(expected))


@pytest.mark.parametrize("trained", TRAINED)
def test_the_hessian_equals_that_of_autograd(trained: str) -> None:
    (x, y), p, names = data(), network(), TRAINED[trained]
    h = relu.hessian(p, x, y, names)
    for r in range(R):
        one = {name: value[r : r + 1] for name, value in p.items()}

        def loss(*values: Tensor, one: dict[str, Tensor] = one) -> Tensor:
            q = one | dict(zip(names, values, strict=True))
            return (predict("relu", q, x) - y).square().mean()

        start = tuple(one[name] for name in names)
        blocks = torch.autograd.functional.hessian(loss, start)
        rows = [torch.cat([block.reshape(start[i].numel(), -1) for block in row], -1) for i, row in enumerate(blocks)]
        close(h[r], torch.cat(rows))
    close(relu.hessian_sharpness(p, x, y, names), torch.linalg.eigvalsh(h).max(-1).values)


def test_the_residual_term_of_the_hessian_couples_only_parameters_of_the_same_unit() -> None:
    (x, y), p = data(), network()
    j = torch.cat([value.reshape(R, N, -1) for value in tangent("relu", p, x).values()], -1)
    rest = relu.hessian(p, x, y, NAMES) - 2 / N * j.mT @ j
    unit = torch.cat([torch.arange(W).repeat(3), torch.tensor([-1])])
    kind = [*torch.arange(3).repeat_interleave(W).tolist(), 3]
    allowed = torch.tensor(
        [
            [unit[a] == unit[b] and {kind[a], kind[b]} in ({0, 2}, {1, 2}) for b in range(3 * W + 1)]
            for a in range(3 * W + 1)
        ]
    )
    assert rest[:, ~allowed].abs().max() < 1e-14
    assert rest[:, allowed].abs().max() > 1e-3


def test_the_largest_stable_step_of_the_output_layer_is_2_over_its_sharpness() -> None:
    (x, y), p = data(), network()
    limit = relu.largest_stable_step_output(features(p, x))
    close(2 / relu.hessian_sharpness(p, x, y, TRAINED["output"]), limit, atol=1e-10)


@pytest.mark.parametrize("lr", [0.1, 0.9])
def test_the_output_trajectory_equals_that_of_gradient_descent(lr: float) -> None:
    (x, y), p = data(), network()
    phi = features(p, x)
    lr *= relu.largest_stable_step_output(phi).min().item()
    counts = [0, 1, 7, 60]
    path = relu.output_trajectory(phi, y, outputs(p), lr, counts)
    assert path.shape == (R, len(counts), W + 1)
    for t, count in enumerate(counts):
        after = train(p, x, y, count, lambda v: torch.optim.SGD(v, lr), TRAINED["output"])
        close(path[:, t], outputs(after), atol=1e-11)


def test_functions_of_the_features_work_without_a_replica_axis() -> None:
    (x, y), p = data(), network()
    phi = features(p, x)
    assert relu.least_squares(phi[0], y).solution.shape == (W + 1,)
    together = relu.output_trajectory(phi, y, outputs(p), 0.1, [5])
    close(relu.output_trajectory(phi[0], y, outputs(p)[0], 0.1, [5]), together[0])
    close(relu.ridge(phi[0, :, :-1], y, 0.1)[0], relu.ridge(phi[..., :-1], y, 0.1)[0][0])


def test_gradient_descent_converges_to_the_solution_nearest_to_its_start() -> None:
    y, phi = data()[1], well_conditioned()
    phi = torch.cat([phi, phi[..., :1] + phi[..., 1:2]], -1)
    start = torch.randn(R, 5, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    lr = 0.5 * relu.largest_stable_step_output(phi).min().item()
    end = relu.output_trajectory(phi, y, start, lr, [10_000])[:, 0]
    pinv = torch.linalg.pinv(phi)
    residual = y - torch.einsum("rnf,rf->rn", phi, start)
    close(end, start + torch.einsum("rfn,rn->rf", pinv, residual), atol=1e-10)
    from_zero = relu.output_trajectory(phi, y, torch.zeros_like(start), lr, [10_000])[:, 0]
    close(from_zero, relu.least_squares(phi, y).solution, atol=1e-10)
    assert ((end - from_zero).norm(dim=-1) > 1e-2).all()


def test_the_null_space_component_of_the_start_never_changes() -> None:
    y, phi = data()[1], rank_deficient()
    null = torch.linalg.svd(phi).Vh[:, -2:]
    start = torch.ones(R, W + 1, dtype=torch.float64)
    moved = relu.output_trajectory(phi, y, start, 0.2, [10, 1000]) - start.unsqueeze(1)
    close(torch.einsum("rjf,rtf->rtj", null, moved), torch.zeros(R, 2, 2, dtype=torch.float64), atol=1e-11)


@pytest.mark.parametrize(("factor", "converges"), [(0.99, True), (1.01, False)])
def test_the_output_layer_converges_below_its_largest_stable_step_and_diverges_above_it(
    factor: float, converges: bool
) -> None:
    y, phi = data()[1], well_conditioned()[:1]
    lr = factor * relu.largest_stable_step_output(phi).item()
    best = relu.least_squares(phi, y).solution
    theta = torch.zeros_like(best)
    for _ in range(1500):
        theta = theta + 2 * lr / N * torch.einsum("rnf,rn->rf", phi, y - torch.einsum("rnf,rf->rn", phi, theta))
    distance = (theta - best).norm().item()
    assert distance < 1e-6 if converges else distance > 1e2
    close(relu.output_trajectory(phi, y, torch.zeros_like(best), lr, [1500])[:, 0], theta, rtol=1e-6)


def test_training_with_weight_decay_on_v_converges_to_ridge_regression() -> None:
    y, phi, lr, decay = data()[1], well_conditioned(), 0.1, 0.3
    v, c = torch.zeros(R, 4, dtype=torch.float64), torch.zeros(R, dtype=torch.float64)
    for _ in range(500):
        r = torch.einsum("rnf,rf->rn", phi, v) + c.unsqueeze(-1) - y
        v = v - lr * (2 / N * torch.einsum("rnf,rn->rf", phi, r) + decay * v)
        c = c - lr * 2 * r.mean(-1)
    expected_v, expected_c = relu.ridge(phi, y, N * decay / 2)
    close(v, expected_v)
    close(c, expected_c)


@pytest.mark.parametrize("case", ["well conditioned", "rank deficient"])
def test_least_squares_equals_the_pseudo_inverse(case: str) -> None:
    y = data()[1]
    phi = well_conditioned() if case == "well conditioned" else rank_deficient()
    found = relu.least_squares(phi, y)
    tolerance = max(phi.shape[1:]) * torch.finfo(torch.float64).eps
    expected = torch.einsum("rfn,n->rf", torch.linalg.pinv(phi, rtol=tolerance), y)
    close(found.solution, expected, rtol=1e-8)
    assert found.rank.tolist() == torch.linalg.matrix_rank(phi).tolist()
    assert (found.rank < phi.shape[-1]).all() == (case == "rank deficient")


def test_ridge_solves_its_normal_equations_with_c_not_penalised() -> None:
    y, p, lam = data()[1], network(), 0.3
    hidden = features(p, data()[0])[..., :-1]
    v, c = relu.ridge(hidden, y, lam)
    r = torch.einsum("rnw,rw->rn", hidden, v) + c.unsqueeze(-1) - y
    close(torch.einsum("rnw,rn->rw", hidden, r) + lam * v, torch.zeros_like(v), atol=1e-11)
    close(r.sum(-1), torch.zeros_like(c), atol=1e-11)


def test_ridge_without_penalty_is_the_least_squares_solution_with_the_smallest_v() -> None:
    y, phi = data()[1], rank_deficient()
    v, c = relu.ridge(phi[..., :-1], y, 0.0)
    plain = relu.least_squares(phi, y).solution
    fit = torch.einsum("rnw,rw->rn", phi[..., :-1], v) + c.unsqueeze(-1)
    close(fit, torch.einsum("rnf,rf->rn", phi, plain), atol=1e-9)
    assert (v.norm(dim=-1) <= plain[:, :-1].norm(dim=-1) * (1 + 1e-9)).all()
    close(relu.ridge(phi[..., :-1], y, 1e-12)[0], v, rtol=1e-4, atol=1e-4)


def test_a_large_penalty_leaves_the_mean() -> None:
    y = data()[1]
    v, c = relu.ridge(well_conditioned(), y, 1e15)
    close(v, torch.zeros_like(v))
    close(c, y.mean().expand(R))


def test_effective_condition_number_ignores_the_null_space() -> None:
    generator = torch.Generator().manual_seed(6)
    left = torch.linalg.qr(torch.randn(N, 4, generator=generator, dtype=torch.float64)).Q
    right = torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.float64)).Q
    phi = left * torch.tensor([8.0, 4.0, 0.5, 0.0], dtype=torch.float64) @ right
    assert relu.effective_condition_number(phi).item() == pytest.approx(16, rel=1e-12)
    assert relu.effective_condition_number(torch.stack([phi, 3 * phi])).tolist() == pytest.approx([16, 16])


def test_the_output_layer_is_badly_conditioned_for_200_points_and_uniform_elbows() -> None:
    x = uniform_inputs()
    hessian = {
        width: relu.effective_condition_number(features(network(11, width, replicas=21), x)).square()
        for width in (3, 20)
    }
    assert hessian[3].min() > 1e3
    assert 1e9 < hessian[20].median() < 1e12


def test_the_noise_floor_is_the_realised_noise_and_the_expected_error_of_least_squares() -> None:
    floor = relu.noise_floor(torch.tensor([0.3, -0.1], dtype=torch.float64), rank=1, sigma=0.2)
    assert floor.training == pytest.approx(0.05)
    assert floor.test == pytest.approx(0.02)
    assert relu.noise_floor(torch.ones(2), rank=1).test is None


def test_least_squares_has_the_expected_training_and_noise_free_errors() -> None:
    generator, sigma = torch.Generator().manual_seed(12), 0.3
    phi = rank_deficient()[0]
    target = phi @ torch.linspace(-1, 1, W + 1, dtype=torch.float64)
    eps = sigma * torch.randn(4000, N, generator=generator, dtype=torch.float64)
    found = relu.least_squares(phi, target + eps)
    rank, fitted = int(found.rank), found.solution @ phi.T
    training = (fitted - target - eps).square().mean().item()
    noise_free = (fitted - target).square().mean().item()
    assert training == pytest.approx(relu.expected_training_error(sigma, rank, N), rel=0.03)
    assert noise_free == pytest.approx(relu.noise_floor(eps[0], rank, sigma).test, rel=0.03)
    assert noise_free < training


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_dead_units_stay_the_same_bit_for_bit(momentum: float) -> None:
    (x, y), p = data(), network(elbows=False, width=20)
    dead = unit_status(p["input_slope"], p["bias"], x) == STATUS.index("dead")
    assert dead.any()
    after = train(p, x, y, 50, lambda v: torch.optim.SGD(v, 0.01, momentum=momentum))
    for name in ("input_slope", "bias", "output_weight"):
        assert torch.equal(after[name][dead], p[name][dead])
        assert not torch.equal(after[name], p[name])


def test_weight_decay_shrinks_dead_units_but_does_not_move_their_elbows() -> None:
    (x, y), p, lr, decay = data(), network(elbows=False, width=20), 0.01, 0.5
    dead = unit_status(p["input_slope"], p["bias"], x) == STATUS.index("dead")
    after = train(p, x, y, 50, lambda v: torch.optim.SGD(v, lr, weight_decay=decay))
    for name in ("input_slope", "bias", "output_weight"):
        close(after[name][dead], p[name][dead] * (1 - lr * decay) ** 50)
    elbows = [elbow(q["input_slope"], q["bias"])[dead] for q in (p, after)]
    close(elbows[0], elbows[1], rtol=1e-12)


def test_a_quarter_of_the_units_of_torch_default_layers_have_their_elbow_inside_the_interval() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(1, 100_000)
    w, b = layer.weight.detach().T, layer.bias.detach().unsqueeze(0)
    share = unit_status(w, b, torch.tensor([0.0, 1.0])).flatten().bincount() / 100_000
    expected = {"dead": 0.375, "linear": 0.375, "bent": 0.25}
    assert share.tolist() == pytest.approx([expected[name] for name in STATUS], abs=0.01)


Y = torch.zeros(N, dtype=torch.float64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: relu.ridge(well_conditioned(), Y, -1.0), "lambda"),
        (lambda: relu.expected_training_error(0.1, 61, 60), "rank"),
        (lambda: relu.output_trajectory(well_conditioned(), Y, Y[:4], 0.1, [3, -1]), "not -1"),
        (lambda: relu.hessian(network(), *data(), ("output_weights",)), "output_weights"),
        (lambda: relu.hessian_sharpness(network(), *data(), ()), "trained must name"),
    ],
)
def test_bad_arguments_raise_an_error_of_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
