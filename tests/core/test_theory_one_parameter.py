"""The closed forms of the constant and the linear model, compared with autograd, training and enumeration."""

import inspect
import itertools
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from reluviz.core import theory, votes
from reluviz.core.theory import constant, linear

Array = NDArray[np.float64]
N = 30
RATES = [0.05, 0.3, 0.5, 0.9]


def data() -> tuple[Array, Array]:
    generator = np.random.default_rng(7)
    x = 0.3 + 1.5 * generator.uniform(size=N)
    return x, 0.7 * x + 0.4 * generator.normal(size=N)


def thetas() -> Array:
    return np.array([-1.5, 0.0, 0.3, 4.0])


X, Y = data()
M2, M4 = float((X**2).mean()), float((X**4).mean())

# functions of theta for each model, with the data filled in: one test checks the same fact for both models
FunctionOfTheta = Callable[[Array], Array]
LOSS: dict[str, FunctionOfTheta] = {
    "constant": lambda theta: constant.loss(theta, Y),
    "linear": lambda theta: linear.loss(theta, X, Y),
}
GRADIENT: dict[str, FunctionOfTheta] = {
    "constant": lambda theta: constant.gradient(theta, Y),
    "linear": lambda theta: linear.gradient(theta, X, Y),
}
CONTRIBUTIONS: dict[str, FunctionOfTheta] = {
    "constant": lambda theta: constant.contributions(theta, Y),
    "linear": lambda theta: linear.contributions(theta, X, Y),
}
UPDATE: dict[str, Callable[[Array, float], Array]] = {
    "constant": lambda theta, lr: constant.update(theta, Y, lr),
    "linear": lambda theta, lr: linear.update(theta, X, Y, lr),
}
TRAJECTORY: dict[str, Callable[[Array, float, int], Array]] = {
    "constant": lambda theta, lr, updates: constant.trajectory(theta, Y, lr, updates),
    "linear": lambda theta, lr, updates: linear.trajectory(theta, X, Y, lr, updates),
}
LARGEST_STABLE_STEP: dict[str, Callable[[float], float]] = {
    "constant": constant.largest_stable_step,
    "linear": lambda momentum: linear.largest_stable_step(X, momentum),
}
OPTIMUM = {"constant": constant.optimum(Y), "linear": linear.optimum(X, Y)}
CANDIDATE = {"constant": constant.candidate(Y), "linear": linear.candidate(X, Y)}
WEIGHT = {"constant": constant.weight(Y), "linear": linear.weight(X)}
both = pytest.mark.parametrize("model", ["constant", "linear"])


def close(actual: Array | float, expected: Array | float, rtol: float = 1e-12, atol: float = 1e-12) -> None:
    assert np.shape(actual) == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


def sgd(model: str, theta: Array, lr: float, updates: int, momentum: float = 0.0) -> Array:
    """Return theta after training with torch's autograd and optimiser; every entry of theta is a replica."""
    x, y = torch.tensor(X if model == "linear" else np.ones_like(X)), torch.tensor(Y)
    leaf = torch.tensor(theta, requires_grad=True)
    optimizer = torch.optim.SGD([leaf], lr=lr, momentum=momentum)
    for _ in range(updates):
        optimizer.zero_grad()
        (leaf.unsqueeze(-1) * x - y).square().mean(-1).sum().backward()
        optimizer.step()
    return leaf.detach().numpy()


@both
def test_the_gradient_equals_that_of_autograd(model: str) -> None:
    x, theta = torch.tensor(X if model == "linear" else np.ones_like(X)), torch.tensor(thetas(), requires_grad=True)
    loss = (theta[:, None] * x - torch.tensor(Y)).square().mean(-1)
    close(LOSS[model](thetas()), loss.detach().numpy())
    close(GRADIENT[model](thetas()), torch.autograd.grad(loss.sum(), theta)[0].numpy())


@both
def test_a_scalar_theta_gives_scalars(model: str) -> None:
    for function in (LOSS[model], GRADIENT[model]):
        close(function(thetas()[0]), function(thetas())[0])
    close(CONTRIBUTIONS[model](thetas()[0]), CONTRIBUTIONS[model](thetas())[0])
    close(TRAJECTORY[model](thetas()[0], 0.1, 4), TRAJECTORY[model](thetas(), 0.1, 4)[0])


def test_the_constant_loss_is_the_variance_plus_the_squared_distance_from_the_mean() -> None:
    close(constant.loss(thetas(), Y), Y.var() + (thetas() - Y.mean()) ** 2)


def test_constant_optimum_is_the_mean() -> None:
    close(OPTIMUM["constant"], Y.mean())


def test_linear_optimum_is_the_least_squares_solution() -> None:
    close(OPTIMUM["linear"], float(np.linalg.lstsq(X[:, None], Y, rcond=None)[0][0]))


@both
def test_gradient_vanishes_at_the_optimum(model: str) -> None:
    close(GRADIENT[model](OPTIMUM[model]), 0.0)


@both
def test_the_optimum_is_the_weighted_mean_of_the_candidates(model: str) -> None:
    close((WEIGHT[model] * CANDIDATE[model]).sum() / WEIGHT[model].sum(), OPTIMUM[model])


@both
def test_contribution_is_weight_times_distance_from_the_candidate(model: str) -> None:
    c = CONTRIBUTIONS[model](thetas())
    close(c, 2 * WEIGHT[model] * (thetas()[:, None] - CANDIDATE[model]) / N)
    close(c.sum(-1), GRADIENT[model](thetas()))


@both
def test_contributions_equal_those_of_the_votes_module(model: str) -> None:
    g = votes.per_sample_gradients(model, {"theta": thetas()}, X, Y)
    close(CONTRIBUTIONS[model](thetas()), votes.contributions(g)["theta"])


def test_a_point_moves_the_linear_optimum_by_x_over_the_sum_of_squares() -> None:
    # the optimum is linear in y
    moved = [linear.optimum(X, Y + one) - linear.optimum(X, Y) for one in np.eye(N)]
    close(np.array(moved), X / (X**2).sum())


def test_a_point_at_0_has_weight_0_and_no_candidate() -> None:
    x, y = np.array([0.0, 2.0]), np.array([3.0, 1.0])
    assert np.isnan(linear.candidate(x, y)[0])
    assert linear.candidate(x, y)[1] == 0.5
    assert linear.weight(x).tolist() == [0, 4]
    assert linear.optimum(x, y) == 0.5


@both
@pytest.mark.parametrize("lr", RATES)
def test_the_trajectory_equals_that_of_gradient_descent(model: str, lr: float) -> None:
    path = TRAJECTORY[model](thetas(), lr, 12)
    assert path.shape == (4, 13)
    close(path[:, 0], thetas())
    for t in range(12):
        close(UPDATE[model](path[:, t], lr), path[:, t + 1], rtol=1e-11, atol=1e-11)
    close(path[:, -1], sgd(model, thetas(), lr, 12), rtol=1e-11, atol=1e-11)


@both
def test_a_trajectory_of_no_updates_is_its_start(model: str) -> None:
    close(TRAJECTORY[model](thetas(), 0.3, 0), thetas()[:, None])


@both
@pytest.mark.parametrize("lr", RATES)
def test_an_update_multiplies_the_error_by_the_contraction_factor(model: str, lr: float) -> None:
    rho = {"constant": constant.contraction_factor(lr), "linear": linear.contraction_factor(X, lr)}[model]
    assert rho == pytest.approx({"constant": 1 - 2 * lr, "linear": 1 - 2 * lr * M2}[model], rel=1e-12)
    close(UPDATE[model](thetas(), lr) - OPTIMUM[model], rho * (thetas() - OPTIMUM[model]))


@both
def test_half_the_largest_stable_step_reaches_the_optimum_in_one_update(model: str) -> None:
    close(UPDATE[model](thetas(), LARGEST_STABLE_STEP[model](0.0) / 2), np.full(4, OPTIMUM[model]))


@both
def test_the_largest_stable_step_gives_a_two_cycle(model: str) -> None:
    lr = LARGEST_STABLE_STEP[model](0.0)
    once = UPDATE[model](thetas(), lr)
    close(once, 2 * OPTIMUM[model] - thetas())
    close(UPDATE[model](once, lr), thetas())


def test_the_largest_stable_steps_are_1_and_1_over_the_mean_square() -> None:
    assert LARGEST_STABLE_STEP["constant"](0.0) == 1
    assert LARGEST_STABLE_STEP["linear"](0.0) == pytest.approx(1 / M2, rel=1e-12)


@both
@pytest.mark.parametrize("momentum", [0.0, pytest.param(0.5, marks=pytest.mark.long), 0.9])
def test_gradient_descent_converges_below_the_largest_stable_step_and_diverges_above_it(
    model: str, momentum: float
) -> None:
    start = OPTIMUM[model] + np.ones(1)
    for factor, converges in [(0.99, True), (1.01, False)]:
        end = sgd(model, start, factor * LARGEST_STABLE_STEP[model](momentum), 1500, momentum)
        distance = float(np.abs(end - OPTIMUM[model])[0])
        assert distance < 1e-2 if converges else distance > 1e2


def test_the_stationary_variance_equals_its_formula() -> None:
    variance = float(Y.var())
    expected = 0.2 * variance / (4 * (1 - 0.2))
    assert constant.stationary_variance(Y, 0.2, 4) == pytest.approx(expected, rel=1e-12)
    noise = float(np.square(X * (Y - OPTIMUM["linear"] * X)).mean())
    expected = 0.2 * noise / 4 / (M2 - 0.2 * (M2**2 + (M4 - M2**2) / 4))
    assert linear.stationary_variance(X, Y, 0.2, 4) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("lr", [0.05, 0.4])
@pytest.mark.parametrize("replacement", [True, False])
@both
def test_stationary_variance_is_a_fixed_point_of_the_exact_average_over_batches(
    model: str, replacement: bool, lr: float
) -> None:
    x, y = X[:5], Y[:5]
    if model == "constant":
        x, best = np.ones_like(y), constant.optimum(y)
        variance = constant.stationary_variance(y, lr, 2, replacement)
    else:
        best = linear.optimum(x, y)
        variance = linear.stationary_variance(x, y, lr, 2, replacement)
    pairs = itertools.product(range(5), repeat=2) if replacement else itertools.permutations(range(5), 2)
    batch = np.array(list(pairs))
    shrink = 1 - 2 * lr * np.square(x[batch]).mean(-1)
    kick = 2 * lr * (x * (y - best * x))[batch].mean(-1)
    close(np.square(shrink).mean() * variance + np.square(kick).mean(), variance)


def chains(x: Array, lr: float, draw: Callable[[], NDArray[np.int64]], start: Array, updates: int) -> Array:
    """Return theta of many independent SGD chains after each update, [updates, chains]."""
    theta, path = start, []
    for _ in range(updates):
        batch = draw()
        xb = x[batch]
        theta = theta - 2 * lr * ((theta[:, None] * xb - Y[batch]) * xb).mean(-1)
        path.append(theta)
    return np.stack(path)


@pytest.mark.parametrize("replacement", [True, False])
@both
def test_the_stationary_variance_equals_that_of_thousands_of_sgd_chains(model: str, replacement: bool) -> None:
    generator, lr, size = np.random.default_rng(3), 0.2, 6

    def draw() -> NDArray[np.int64]:
        if replacement:
            return generator.integers(N, size=(4000, size))
        return generator.uniform(size=(4000, N)).argsort(-1)[:, :size]

    x = X if model == "linear" else np.ones_like(X)
    path = chains(x, lr, draw, np.full(4000, OPTIMUM[model]), 50)[20::5]
    if model == "constant":
        expected = constant.stationary_variance(Y, lr, size, replacement)
    else:
        expected = linear.stationary_variance(X, Y, lr, size, replacement)
    assert float(path.var()) == pytest.approx(expected, rel=0.05)


def test_a_full_batch_without_replacement_has_no_variance() -> None:
    assert constant.stationary_variance(Y, 0.3, N, replacement=False) == 0
    assert linear.stationary_variance(X, Y, 0.3, N, replacement=False) == 0
    assert linear.largest_mean_square_step(X, N, replacement=False) == pytest.approx(1 / M2, rel=1e-12)


@pytest.mark.parametrize("samples", [2, 5])
def test_batches_of_one_point_are_the_same_with_and_without_replacement(samples: int) -> None:
    x, y = X[:samples], Y[:samples]
    found = [
        (
            constant.stationary_variance(y, 0.2, 1, replacement),
            linear.stationary_variance(x, y, 0.2, 1, replacement),
            linear.largest_mean_square_step(x, 1, replacement),
        )
        for replacement in (True, False)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-12)


def test_shuffled_epochs_vary_less_than_the_formula() -> None:
    generator = np.random.default_rng(5)
    lr, size, runs = 0.1, 10, 10_000
    y = generator.normal(size=200)
    theta, path = np.full(runs, y.mean()), []
    for _ in range(3):
        order = generator.uniform(size=(runs, 200)).argsort(-1)
        path = []
        for batch in np.split(order, 200 // size, axis=-1):
            theta = theta - 2 * lr * (theta - y[batch].mean(-1))
            path.append(np.square(theta - y.mean()).mean())
    formula = constant.stationary_variance(y, lr, size)
    assert np.mean(path) / formula == pytest.approx(0.65, abs=0.03)
    assert path[-1] / formula == pytest.approx(0.56, abs=0.03)


def test_the_constant_and_the_linear_model_have_the_same_functions_in_the_same_order() -> None:
    names = [
        [name for name, value in vars(module).items() if inspect.isfunction(value) and not name.startswith("_")]
        for module in (constant, linear)
    ]
    assert names[0] == names[1]
    table = theory.__doc__.partition("linear  f(x)")[0]
    assert re.findall(r"`(\w+)`", table) == names[0]


def test_the_linear_model_on_ones_is_the_constant_model() -> None:
    one, theta, lr = np.ones(N), thetas(), 0.3
    # products with 1 are exact, so that both have the same bits
    assert np.array_equal(linear.loss(theta, one, Y), constant.loss(theta, Y))
    assert np.array_equal(linear.gradient(theta, one, Y), constant.gradient(theta, Y))
    assert linear.optimum(one, Y) == constant.optimum(Y)
    assert np.array_equal(linear.update(theta, one, Y, lr), constant.update(theta, Y, lr))
    assert np.array_equal(linear.contributions(theta, one, Y), constant.contributions(theta, Y))
    assert np.array_equal(linear.candidate(one, Y), constant.candidate(Y))
    assert np.array_equal(linear.weight(one), constant.weight(Y))
    assert np.array_equal(linear.trajectory(theta, one, Y, lr, 5), constant.trajectory(theta, Y, lr, 5))
    assert linear.contraction_factor(one, lr) == constant.contraction_factor(lr)
    for replacement in (True, False):
        found = linear.stationary_variance(one, Y, lr, 4, replacement)
        assert found == pytest.approx(constant.stationary_variance(Y, lr, 4, replacement), rel=1e-12)
        assert linear.largest_mean_square_step(one, 4, replacement) == constant.largest_mean_square_step()
    for momentum in (0.0, 0.9):
        assert linear.largest_stable_step(one, momentum) == constant.largest_stable_step(momentum)


def test_the_mean_squared_distance_of_the_constant_shrinks_below_a_step_of_1_and_grows_above_it() -> None:
    for factor, shrinks in [(0.99, True), (1.01, False)]:
        growth = constant.contraction_factor(factor * constant.largest_mean_square_step()) ** 2
        assert (growth < 1) is shrinks
    with pytest.raises(ValueError, match="between 0 and 1"):
        constant.stationary_variance(Y, constant.largest_mean_square_step(), 4)


def test_the_linear_model_has_no_stationary_variance_at_the_largest_mean_square_step_itself() -> None:
    with pytest.raises(ValueError, match="finite stationary variance"):
        linear.stationary_variance(X, Y, linear.largest_mean_square_step(X, 4), 4)


def test_largest_mean_square_step_is_m2_over_m4_for_a_batch_of_1() -> None:
    assert linear.largest_mean_square_step(X, 1) == pytest.approx(M2 / M4, rel=1e-12)
    assert linear.largest_mean_square_step(X, 1) < linear.largest_stable_step(X)
    assert linear.largest_mean_square_step(X, 10**9) == pytest.approx(1 / M2, rel=1e-6)


@pytest.mark.parametrize("size", [1, 2])
def test_the_mean_squared_distance_shrinks_below_the_largest_mean_square_step_and_grows_above_it(size: int) -> None:
    batch = np.array(list(itertools.product(range(N), repeat=size)))
    for factor, shrinks in [(0.99, True), (1.01, False)]:
        lr = factor * linear.largest_mean_square_step(X, size)
        growth = float(np.square(1 - 2 * lr * np.square(X[batch]).mean(-1)).mean())
        assert (growth < 1) is shrinks


ZERO = np.zeros(3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linear.optimum(ZERO, ZERO), "every x is 0"),
        (lambda: linear.largest_stable_step(ZERO), "every x is 0"),
        (lambda: linear.largest_mean_square_step(ZERO, 1), "every x is 0"),
        (lambda: linear.trajectory(ZERO, ZERO, ZERO, 0.1, 3), "every x is 0"),
        (lambda: constant.largest_stable_step(1.0), "momentum"),
        (lambda: constant.largest_stable_step(-0.1), "momentum"),
        (lambda: linear.largest_stable_step(X, 1.0), "momentum"),
        (lambda: linear.largest_stable_step(X, -0.1), "momentum"),
        (lambda: constant.trajectory(ZERO, Y, 0.1, -1), "updates"),
        (lambda: constant.stationary_variance(Y, 1.0, 4), "between 0 and 1, not 1.0"),
        (lambda: constant.stationary_variance(Y, 0.0, 4), "between 0 and 1, not 0.0"),
        (lambda: linear.stationary_variance(X, Y, 5.0, 4), "between 0 and 0"),
        (lambda: linear.stationary_variance(X, Y, 0.0, 4), "not 0.0"),
        (lambda: constant.stationary_variance(Y, 0.1, N + 1, replacement=False), "batch size 31"),
        (lambda: linear.stationary_variance(X, Y, 0.1, 0), "batch size 0"),
    ],
)
def test_bad_arguments_raise_an_error_of_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
