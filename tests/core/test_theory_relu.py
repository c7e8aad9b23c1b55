"""The closed forms of the ReLU network, compared with autograd, training and sampling."""

from collections.abc import Callable

import numpy as np
import oracle
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from reluviz.core import votes
from reluviz.core.elbows import STATUS, elbow, unit_status
from reluviz.core.functions import PARAMETERS, features, predict, tangent
from reluviz.core.theory import relu
from reluviz.engines import predict as functions

Array = NDArray[np.float64]
R, N, W = 3, 60, 6
NAMES = PARAMETERS["relu"]
TRAINED: dict[str, tuple[str, ...]] = {
    "all": NAMES,
    "output": ("output_weight", "output_bias"),
    "hidden": ("input_slope", "bias"),
    "slope and weight": ("output_weight", "input_slope"),
    "biases": ("output_bias", "bias"),
    "output bias first": ("output_bias", "output_weight", "bias"),
}


def network(seed: int = 0, width: int = W, replicas: int = R, elbows: bool = True) -> dict[str, Array]:
    """Return initial layers like torch's; with `elbows`, the biases put the elbows uniformly on [0, 1]."""
    generator = np.random.default_rng(seed)
    w = generator.uniform(-1, 1, (replicas, width))
    default_bias = generator.uniform(-1, 1, (replicas, width))
    return {
        "input_slope": w,
        "bias": -(default_bias + 1) / 2 * w if elbows else default_bias,
        "output_weight": generator.uniform(-1, 1, (replicas, width)) / width**0.5,
        "output_bias": generator.uniform(-1, 1, replicas) / width**0.5,
    }


def uniform_inputs() -> Array:
    return np.sort(np.random.default_rng(1).uniform(0, 1, 200))


def data() -> tuple[Array, Array]:
    generator = np.random.default_rng(99)
    x = generator.uniform(0, 1, N)
    return x, np.sin(9 * x) + 0.1 * generator.normal(size=N)


def well_conditioned() -> Array:
    """Return features with a small condition number, [R, N, 4]."""
    return np.random.default_rng(4).normal(size=(R, N, 4))


def rank_deficient() -> Array:
    """Return the features of a network with two equal units and a dead one, [R, N, W + 1], of rank at most W - 1."""
    p = network(5)
    for name in ("input_slope", "bias"):
        p[name][:, 1] = p[name][:, 0]
    p["bias"][:, 2] = -2
    return features(p, data()[0])


def outputs(p: dict[str, Array]) -> Array:
    """Return (v, c) in the order of the columns of Phi, [R, W + 1]."""
    return np.concatenate([p["output_weight"], p["output_bias"][:, None]], -1)


def train(
    p: dict[str, Array],
    x: Array,
    y: Array,
    updates: int,
    optimizer: Callable[[list[Tensor]], torch.optim.Optimizer],
    trained: tuple[str, ...] = NAMES,
) -> dict[str, Array]:
    """Return the parameters after full-batch training with torch's autograd and optimiser."""
    leaves = {name: value.requires_grad_(name in trained) for name, value in oracle.tensors(p).items()}
    step = optimizer([leaves[name] for name in trained])
    for _ in range(updates):
        step.zero_grad()
        (functions.relu(leaves, torch.tensor(x)) - torch.tensor(y)).square().mean(-1).sum().backward()
        step.step()
    return {name: leaf.detach().numpy() for name, leaf in leaves.items()}


def close(actual: Array | float, expected: Array | float, atol: float = 1e-12, rtol: float = 0.0) -> None:
    assert np.shape(actual) == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


def test_an_sgd_update_changes_the_balance_by_eta_squared_times_the_balance_of_the_gradient() -> None:
    (x, y), lr, p = data(), 0.05, network()
    generator = np.random.default_rng(2)
    for _ in range(20):
        batch = generator.integers(N, size=(R, 5))
        batch[:, 1] = batch[:, 0]
        g = oracle.gradient("relu", p, x[batch], y[batch])
        after = {name: value - lr * g[name] for name, value in p.items()}
        close(votes.balance(after) - votes.balance(p), lr**2 * votes.balance(g), atol=1e-14)
        p = after


def test_the_change_of_the_balance_over_a_fixed_time_is_proportional_to_the_learning_rate() -> None:
    (x, y), p = data(), network()
    changes = [
        np.abs(votes.balance(train(p, x, y, updates, lambda v, lr=lr: torch.optim.SGD(v, lr))) - votes.balance(p)).max()
        for lr, updates in [(0.02, 50), (0.01, 100)]
    ]
    assert changes[0] / changes[1] == pytest.approx(2, rel=0.1)


def test_with_weight_decay_the_balance_decays_exponentially() -> None:
    (x, y), p, lr, decay, updates = data(), network(), 1e-3, 0.5, 400
    after = train(p, x, y, updates, lambda v: torch.optim.SGD(v, lr, weight_decay=decay))
    expected = votes.balance(p) * np.exp(-2 * decay * lr * updates)
    close(votes.balance(after), expected, atol=1e-3)


def test_momentum_and_adam_change_the_balance_much_more_than_sgd() -> None:
    (x, y), p = data(), network()
    optimizers: dict[str, Callable[[list[Tensor]], torch.optim.Optimizer]] = {
        "sgd": lambda v: torch.optim.SGD(v, 0.01),
        "momentum": lambda v: torch.optim.SGD(v, 0.01, momentum=0.9),
        "adam": lambda v: torch.optim.Adam(v, 0.01),
    }
    change = {
        name: np.abs(votes.balance(train(p, x, y, 300, make)) - votes.balance(p)).max()
        for name, make in optimizers.items()
    }
    assert change["sgd"] < 0.02
    assert change["momentum"] > 5 * change["sgd"]
    assert change["adam"] > 5 * change["momentum"]


def test_gradient_is_the_tangent_applied_to_the_residual() -> None:
    (x, y), p = data(), network()
    residual = predict("relu", p, x) - y
    mean = votes.mean_gradient(votes.per_sample_gradients("relu", p, x, y))
    for name, j in tangent("relu", p, x).items():
        close(mean[name], 2 / N * np.einsum("rn,rn...->r...", residual, j))


def test_rank_of_the_tangent_is_at_most_2w_plus_1() -> None:
    j = tangent("relu", network(3, width=4), data()[0])
    flat = np.concatenate([value.reshape(R, N, -1) for value in j.values()], -1)
    assert flat.shape[-1] == 3 * 4 + 1
    assert (np.linalg.matrix_rank(flat) <= 2 * 4 + 1).all()


def test_a_small_update_changes_f_by_the_tangent_kernel_applied_to_the_residual() -> None:
    (x, y), p, lr = data(), network(), 1e-7
    kernel = relu.ntk(tangent("relu", p, x))
    before = predict("relu", p, x)
    after = predict("relu", train(p, x, y, 1, lambda v: torch.optim.SGD(v, lr)), x)
    predicted = -2 / N * np.einsum("rnm,rm->rn", kernel, before - y)
    close((after - before) / lr, predicted, atol=1e-5)


def test_the_tangent_kernel_equals_that_of_torch_func() -> None:
    p, (x, _) = network(), data()
    one = {name: value[0] for name, value in oracle.tensors(p).items()}

    def f(q: dict[str, Tensor]) -> Tensor:
        return functions.relu({name: value.unsqueeze(0) for name, value in q.items()}, torch.tensor(x))[0]

    jacobian = [j.reshape(N, -1).numpy() for j in torch.func.jacrev(f)(one).values()]
    close(relu.ntk(tangent("relu", p, x))[0], sum(j @ j.T for j in jacobian))


@pytest.mark.parametrize("trained", TRAINED)
def test_the_hessian_equals_that_of_autograd(trained: str) -> None:
    (x, y), p, names = data(), network(), TRAINED[trained]
    h = relu.hessian(p, x, y, names)
    for r in range(R):
        one = oracle.tensors({name: value[r : r + 1] for name, value in p.items()})

        def loss(*values: Tensor, one: dict[str, Tensor] = one) -> Tensor:
            q = one | dict(zip(names, values, strict=True))
            return (functions.relu(q, torch.tensor(x)) - torch.tensor(y)).square().mean()

        start = tuple(one[name] for name in names)
        blocks = torch.autograd.functional.hessian(loss, start)
        rows = [torch.cat([block.reshape(start[i].numel(), -1) for block in row], -1) for i, row in enumerate(blocks)]
        close(h[r], torch.cat(rows).numpy())
    close(relu.hessian_sharpness(p, x, y, names), np.linalg.eigvalsh(h).max(-1))


def test_the_residual_term_of_the_hessian_couples_only_parameters_of_the_same_unit() -> None:
    (x, y), p = data(), network()
    j = np.concatenate([value.reshape(R, N, -1) for value in tangent("relu", p, x).values()], -1)
    rest = relu.hessian(p, x, y, NAMES) - 2 / N * j.swapaxes(1, 2) @ j
    unit = [*np.tile(np.arange(W), 3).tolist(), -1]
    kind = [*np.repeat(np.arange(3), W).tolist(), 3]
    allowed = np.array(
        [
            [unit[a] == unit[b] and {kind[a], kind[b]} in ({0, 2}, {1, 2}) for b in range(3 * W + 1)]
            for a in range(3 * W + 1)
        ]
    )
    assert np.abs(rest[:, ~allowed]).max() < 1e-14
    assert np.abs(rest[:, allowed]).max() > 1e-3


def test_the_largest_stable_step_of_the_output_layer_is_2_over_its_sharpness() -> None:
    (x, y), p = data(), network()
    limit = relu.largest_stable_step_output(features(p, x))
    close(2 / relu.hessian_sharpness(p, x, y, TRAINED["output"]), limit, atol=1e-10)


@pytest.mark.parametrize("lr", [0.1, 0.9])
def test_the_output_trajectory_equals_that_of_gradient_descent(lr: float) -> None:
    (x, y), p = data(), network()
    phi = features(p, x)
    lr *= float(relu.largest_stable_step_output(phi).min())
    counts = [0, 1, 7, 60]
    path = relu.output_trajectory(phi, y, outputs(p), lr, counts)
    assert path.shape == (R, len(counts), W + 1)
    for t, count in enumerate(counts):
        after = train(p, x, y, count, lambda v: torch.optim.SGD(v, lr), TRAINED["output"])
        close(path[:, t], outputs(after), atol=1e-11)


def test_each_mode_of_the_output_layer_shrinks_by_its_own_factor() -> None:
    # a diagonal Phi has its modes on its axes; N = 7 and eta = 1 give the steps 2 sigma^2 / 7
    step = np.array([1.9, 1.2, 0.9, 0.62, 0.51, 0.49, 1e-9])
    sigma = np.sqrt(step * 7 / 2)
    counts = [0, 1, 2, 9]
    y, start = np.linspace(1, 2, 7), np.linspace(-1, 1, 7)
    path = relu.output_trajectory(np.diag(sigma), y, start, 1.0, counts)
    for t, count in enumerate(counts):
        # an exact product for the slow mode, 1 - (1 - s)^t = t s for s t far below 1
        moved = np.where(step < 1e-6, count * step, 1 - (1 - step) ** count)
        np.testing.assert_allclose(path[t] - start, moved * (y / sigma - start), rtol=1e-7, atol=1e-14)


def test_functions_of_the_features_work_without_a_replica_axis() -> None:
    (x, y), p = data(), network()
    phi = features(p, x)
    assert relu.least_squares(phi[0], y).solution.shape == (W + 1,)
    together = relu.output_trajectory(phi, y, outputs(p), 0.1, [5])
    close(relu.output_trajectory(phi[0], y, outputs(p)[0], 0.1, [5]), together[0])
    close(relu.ridge(phi[0, :, :-1], y, 0.1)[0], relu.ridge(phi[..., :-1], y, 0.1)[0][0])


def test_gradient_descent_converges_to_the_solution_nearest_to_its_start() -> None:
    y, phi = data()[1], well_conditioned()
    phi = np.concatenate([phi, phi[..., :1] + phi[..., 1:2]], -1)
    start = np.random.default_rng(8).normal(size=(R, 5))
    lr = 0.5 * float(relu.largest_stable_step_output(phi).min())
    end = relu.output_trajectory(phi, y, start, lr, [10_000])[:, 0]
    pinv = np.linalg.pinv(phi)
    residual = y - np.einsum("rnf,rf->rn", phi, start)
    close(end, start + np.einsum("rfn,rn->rf", pinv, residual), atol=1e-10)
    from_zero = relu.output_trajectory(phi, y, np.zeros_like(start), lr, [10_000])[:, 0]
    close(from_zero, relu.least_squares(phi, y).solution, atol=1e-10)
    assert (np.linalg.norm(end - from_zero, axis=-1) > 1e-2).all()


def test_the_null_space_component_of_the_start_never_changes() -> None:
    y, phi = data()[1], rank_deficient()
    null = np.linalg.svd(phi).Vh[:, -2:]
    start = np.ones((R, W + 1))
    moved = relu.output_trajectory(phi, y, start, 0.2, [10, 1000]) - start[:, None]
    close(np.einsum("rjf,rtf->rtj", null, moved), np.zeros((R, 2, 2)), atol=1e-11)


@pytest.mark.parametrize(("factor", "converges"), [(0.99, True), (1.01, False)])
def test_the_output_layer_converges_below_its_largest_stable_step_and_diverges_above_it(
    factor: float, converges: bool
) -> None:
    y, phi = data()[1], well_conditioned()[:1]
    lr = factor * float(relu.largest_stable_step_output(phi)[0])
    best = relu.least_squares(phi, y).solution
    theta = np.zeros_like(best)
    for _ in range(1500):
        theta = theta + 2 * lr / N * np.einsum("rnf,rn->rf", phi, y - np.einsum("rnf,rf->rn", phi, theta))
    distance = float(np.linalg.norm(theta - best))
    assert distance < 1e-6 if converges else distance > 1e2
    close(relu.output_trajectory(phi, y, np.zeros_like(best), lr, [1500])[:, 0], theta, rtol=1e-6)


def test_training_with_weight_decay_on_v_converges_to_ridge_regression() -> None:
    y, phi, lr, decay = data()[1], well_conditioned(), 0.1, 0.3
    v, c = np.zeros((R, 4)), np.zeros(R)
    for _ in range(500):
        r = np.einsum("rnf,rf->rn", phi, v) + c[:, None] - y
        v = v - lr * (2 / N * np.einsum("rnf,rn->rf", phi, r) + decay * v)
        c = c - lr * 2 * r.mean(-1)
    expected_v, expected_c = relu.ridge(phi, y, N * decay / 2)
    close(v, expected_v)
    close(c, expected_c)


@pytest.mark.parametrize("case", ["well conditioned", "rank deficient"])
def test_least_squares_equals_the_pseudo_inverse(case: str) -> None:
    y = data()[1]
    phi = well_conditioned() if case == "well conditioned" else rank_deficient()
    found = relu.least_squares(phi, y)
    tolerance = max(phi.shape[1:]) * np.finfo(float).eps
    expected = np.einsum("rfn,n->rf", np.linalg.pinv(phi, rcond=tolerance), y)
    close(found.solution, expected, rtol=1e-8)
    assert found.rank.tolist() == np.linalg.matrix_rank(phi).tolist()
    assert (found.rank < phi.shape[-1]).all() == (case == "rank deficient")


def test_ridge_solves_its_normal_equations_with_c_not_penalised() -> None:
    y, p, lam = data()[1], network(), 0.3
    hidden = features(p, data()[0])[..., :-1]
    v, c = relu.ridge(hidden, y, lam)
    r = np.einsum("rnw,rw->rn", hidden, v) + c[:, None] - y
    close(np.einsum("rnw,rn->rw", hidden, r) + lam * v, np.zeros_like(v), atol=1e-11)
    close(r.sum(-1), np.zeros_like(c), atol=1e-11)


def test_ridge_without_penalty_is_the_least_squares_solution_with_the_smallest_v() -> None:
    y, phi = data()[1], rank_deficient()
    v, c = relu.ridge(phi[..., :-1], y, 0.0)
    plain = relu.least_squares(phi, y).solution
    fit = np.einsum("rnw,rw->rn", phi[..., :-1], v) + c[:, None]
    close(fit, np.einsum("rnf,rf->rn", phi, plain), atol=1e-9)
    assert (np.linalg.norm(v, axis=-1) <= np.linalg.norm(plain[:, :-1], axis=-1) * (1 + 1e-9)).all()
    close(relu.ridge(phi[..., :-1], y, 1e-12)[0], v, rtol=1e-4, atol=1e-4)


def test_a_large_penalty_leaves_the_mean() -> None:
    y = data()[1]
    v, c = relu.ridge(well_conditioned(), y, 1e15)
    close(v, np.zeros_like(v))
    close(c, np.full(R, y.mean()))


def test_effective_condition_number_ignores_the_null_space() -> None:
    generator = np.random.default_rng(6)
    left, right = (np.linalg.qr(generator.normal(size=(rows, 4))).Q for rows in (N, 4))
    phi = left * np.array([8.0, 4.0, 0.5, 0.0]) @ right
    assert float(relu.effective_condition_number(phi)) == pytest.approx(16, rel=1e-12)
    assert relu.effective_condition_number(np.stack([phi, 3 * phi])).tolist() == pytest.approx([16, 16])


@pytest.mark.parametrize(("factor", "rank"), [(0.5, 3), (2.0, 4)])
def test_a_singular_value_counts_as_0_up_to_the_larger_side_times_the_rounding_error(factor: float, rank: int) -> None:
    generator = np.random.default_rng(6)
    for rows, columns in ((N, 4), (4, N)):
        left, right = (np.linalg.qr(generator.normal(size=(size, 4))).Q for size in (rows, columns))
        smallest = factor * max(rows, columns) * np.finfo(float).eps * 8.0
        # every value but the last is far from the tolerance; the last is computed to a few rounding errors of 8
        phi = left * np.array([8.0, 4.0, 0.5, smallest]) @ right.T
        assert int(relu.least_squares(phi, np.ones(rows)).rank) == rank
        kept = 8.0 / (0.5 if rank == 3 else smallest)
        assert float(relu.effective_condition_number(phi)) == pytest.approx(kept, rel=0.2)
        # the number of replicas is no side of Phi
        assert (relu.least_squares(np.stack([phi] * 3 * N), np.ones(rows)).rank == rank).all()


def test_a_singular_value_equal_to_the_tolerance_counts_as_0() -> None:
    # the singular values of a diagonal matrix are exact
    phi = np.diag([1.0, 2 * np.finfo(float).eps])
    found = relu.least_squares(phi, np.ones(2))
    assert int(found.rank) == 1
    close(found.solution, np.array([1.0, 0.0]))
    assert float(relu.effective_condition_number(phi)) == 1


@pytest.mark.parametrize("lam", [0.0, 0.3])
def test_features_that_are_all_0_leave_the_mean(lam: float) -> None:
    y, phi = data()[1], np.zeros((R, N, W + 1))
    found = relu.least_squares(phi, y)
    assert found.rank.tolist() == [0] * R
    close(found.solution, np.zeros((R, W + 1)))
    v, c = relu.ridge(phi[..., :-1], y, lam)
    close(v, np.zeros((R, W)))
    close(c, np.full(R, y.mean()))
    phi[..., -1] = 1
    found = relu.least_squares(phi, y)
    assert found.rank.tolist() == [1] * R
    close(found.solution, np.append(np.zeros(W), y.mean()) * np.ones((R, 1)))
    close(relu.effective_condition_number(phi), np.ones(R))


def test_the_output_layer_is_badly_conditioned_for_200_points_and_uniform_elbows() -> None:
    x = uniform_inputs()
    hessian = {
        width: np.square(relu.effective_condition_number(features(network(11, width, replicas=21), x)))
        for width in (3, 20)
    }
    assert hessian[3].min() > 1e3
    assert 1e9 < np.median(hessian[20]) < 1e12


def test_the_noise_floor_is_the_realised_noise_and_the_expected_error_of_least_squares() -> None:
    floor = relu.noise_floor(np.array([0.3, -0.1]), rank=1, sigma=0.2)
    assert floor.training == pytest.approx(0.05)
    assert floor.test == pytest.approx(0.02)
    assert relu.noise_floor(np.ones(2), rank=1).test is None


def test_least_squares_has_the_expected_training_and_noise_free_errors() -> None:
    generator, sigma = np.random.default_rng(12), 0.3
    phi = rank_deficient()[0]
    target = phi @ np.linspace(-1, 1, W + 1)
    eps = sigma * generator.normal(size=(4000, N))
    found = relu.least_squares(phi, target + eps)
    rank, fitted = int(found.rank), found.solution @ phi.T
    training = float(np.square(fitted - target - eps).mean())
    noise_free = float(np.square(fitted - target).mean())
    assert training == pytest.approx(relu.expected_training_error(sigma, rank, N), rel=0.03)
    assert noise_free == pytest.approx(relu.noise_floor(eps[0], rank, sigma).test, rel=0.03)
    assert noise_free < training


def test_the_expected_training_error_falls_from_the_variance_of_the_noise_at_rank_0_to_0_at_rank_n() -> None:
    assert [relu.expected_training_error(0.3, rank, 60) for rank in (0, 20, 60)] == pytest.approx([0.09, 0.06, 0])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_dead_units_stay_the_same_bit_for_bit(momentum: float) -> None:
    (x, y), p = data(), network(elbows=False, width=20)
    dead = unit_status(p["input_slope"], p["bias"], x) == STATUS.index("dead")
    assert dead.any()
    after = train(p, x, y, 50, lambda v: torch.optim.SGD(v, 0.01, momentum=momentum))
    for name in ("input_slope", "bias", "output_weight"):
        assert np.array_equal(after[name][dead], p[name][dead])
        assert not np.array_equal(after[name], p[name])


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
    w, b = layer.weight.detach().T.double().numpy(), layer.bias.detach()[None].double().numpy()
    share = np.bincount(unit_status(w, b, np.array([0.0, 1.0])).flatten()) / 100_000
    expected = {"dead": 0.375, "linear": 0.375, "bent": 0.25}
    assert share.tolist() == pytest.approx([expected[name] for name in STATUS], abs=0.01)


Y = np.zeros(N)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: relu.ridge(well_conditioned(), Y, -1.0), "lambda"),
        (lambda: relu.expected_training_error(0.1, 61, 60), "rank"),
        (lambda: relu.expected_training_error(0.1, -1, 60), "rank"),
        (lambda: relu.output_trajectory(well_conditioned(), Y, Y[:4], 0.1, [3, -1]), "not -1"),
        (lambda: relu.hessian(network(), *data(), ("output_weights",)), "output_weights"),
        (lambda: relu.hessian_sharpness(network(), *data(), ()), "trained must name"),
    ],
)
def test_bad_arguments_raise_an_error_of_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("excess", [1e-1, 1e-3, 1e-6])
def test_the_updates_to_reach_an_excess_are_those_of_the_trajectory(excess: float) -> None:
    x, y = data()
    phi = features(network(), x)[0]
    theta = np.zeros(W + 1)
    lr = 0.5 * float(relu.largest_stable_step_output(phi))
    least = np.square(y - phi @ relu.least_squares(phi, y).solution).mean()
    count = relu.updates_to_reach(phi, y, theta, lr, excess)
    before, after = relu.output_trajectory(phi, y, theta, lr, [int(count) - 1, int(count)])
    losses = [np.square(y - phi @ found).mean() - least for found in (before, after)]
    assert losses[1] <= excess * (1 + 1e-6)
    # a count of many digits is rounded
    assert losses[0] > excess * (1 - 1e-6) or count > 1e9


def test_an_excess_that_is_reached_already_needs_no_update_and_an_unstable_step_never_reaches_it() -> None:
    x, y = data()
    phi = features(network(), x)[0]
    best = relu.least_squares(phi, y).solution
    limit = float(relu.largest_stable_step_output(phi))
    assert relu.updates_to_reach(phi, y, best, 0.5 * limit, 1e-9) == 0
    assert relu.updates_to_reach(phi, y, 0 * best, 1.01 * limit, 1e-9) == np.inf
    # one mode, which a step of half its limit removes at once
    assert relu.updates_to_reach(np.ones((4, 1)), np.arange(4.0), np.zeros(1), 0.5, 1e-9) == 1


def test_the_sharpness_is_infinite_where_the_hessian_is_not_finite() -> None:
    p, (x, y) = network(), data()
    with np.errstate(all="ignore"):
        broken = {name: np.where(name == "bias", np.inf, value) for name, value in p.items()}
        assert np.isinf(relu.hessian_sharpness(broken, x, y, TRAINED["all"])).all()
    assert np.isfinite(relu.hessian_sharpness(p, x, y, TRAINED["all"])).all()
