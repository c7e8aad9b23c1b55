"""The output layer's least-squares problem of many points, from one pass in bounded memory, is that of all points."""

import tracemalloc

import numpy as np
import pytest

from reluviz.core.functions import features
from reluviz.core.theory import output_problem, relu
from reluviz.core.theory.baselines import reference_values
from reluviz.core.theory.output_problem import OutputProblem
from reluviz.data import piecewise_linear
from reluviz.models import ReLUModule

DATA = piecewise_linear()


def start(width: int, seed: int) -> dict[str, np.ndarray]:
    return ReLUModule(width=width, seeds=[seed]).parameter_copies()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("width", [10, 20, 40])
def test_on_the_course_runs_the_streamed_reference_values_are_those_of_all_points(
    width: int, seed: int, monkeypatch
) -> None:
    p = start(width, seed)
    before = reference_values("relu", p, DATA, 0.01)
    monkeypatch.setattr(output_problem, "MAX_DENSE_SAMPLES", 0)
    # several small matrices at once, and a rest
    monkeypatch.setattr(output_problem, "MAX_ENTRIES", 3 * (width + 2) ** 2)
    after = reference_values("relu", p, DATA, 0.01)
    for one, other in (
        (before.least_squares.losses, after.least_squares.losses),
        (before.ridge_losses, after.ridge_losses),
    ):
        np.testing.assert_allclose(other.train, one.train, rtol=1e-8)
        np.testing.assert_allclose(other.test, one.test, rtol=1e-8)
    assert after.least_squares.rank == before.least_squares.rank
    np.testing.assert_allclose(after.least_squares.condition_number, before.least_squares.condition_number, rtol=1e-3)


@pytest.mark.parametrize("lam", [0.0, 1e-3, 1.0])
def test_predictions_are_those_of_all_points(lam: float) -> None:
    p = start(20, 1)
    dense, streamed = (OutputProblem.of(p, DATA.x, DATA.y, limit) for limit in (1000, 0))
    phi = features(p, DATA.x)[0]
    assert dense.phi.shape == (200, 21)
    assert streamed.phi.shape == (22, 21)
    one, other = (phi @ problem.least_squares().solution for problem in (dense, streamed))
    np.testing.assert_allclose(other, one, atol=1e-8)
    one, other = (phi[:, :-1] @ v + c for v, c in (problem.ridge(lam) for problem in (dense, streamed)))
    np.testing.assert_allclose(other, one, atol=1e-8)


def test_dead_and_equal_units_lower_the_rank_as_with_all_points() -> None:
    p = start(8, 0)
    p["bias"][0, 0] = -1e3
    for name in ("input_slope", "bias"):
        p[name][0, 1] = p[name][0, 2]
    dense, streamed = (OutputProblem.of(p, DATA.x, DATA.y, limit).least_squares() for limit in (1000, 0))
    assert dense.rank == streamed.rank < 8
    # of all solutions the one with the smallest norm
    np.testing.assert_allclose(streamed.solution, dense.solution, atol=1e-8)


def test_the_updates_to_reach_and_the_largest_stable_step_are_those_of_all_points() -> None:
    p = start(5, 0)
    dense, streamed = (OutputProblem.of(p, DATA.x, DATA.y, limit) for limit in (1000, 0))
    limits = [relu.largest_stable_step_output(one.phi, samples=one.samples) for one in (dense, streamed)]
    assert limits[1] == pytest.approx(limits[0], rel=1e-10)
    counts = [
        relu.updates_to_reach(one.phi, one.y, np.zeros(6), 0.5 * limits[0], 1e-2, one.samples)
        for one in (dense, streamed)
    ]
    assert counts[1] == pytest.approx(counts[0], rel=1e-6)
    assert counts[0] > 10


def test_the_reference_values_of_a_million_points_take_little_memory() -> None:
    data = piecewise_linear(n=10**6)
    p = start(20, 0)
    assert reference_values("relu", p, data, None).least_squares.rank == [21]
    tracemalloc.start()
    problem = OutputProblem.of(p, data.x, data.y)
    assert tracemalloc.get_traced_memory()[1] < 4e6
    tracemalloc.stop()
    assert problem.phi.shape == (22, 21)
