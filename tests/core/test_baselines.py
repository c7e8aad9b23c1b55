"""Reference values: theta* of one-parameter models, solved output layers, and the noise floor."""

import dataclasses
import math

import numpy as np
import pytest

from reluviz.core.functions import features
from reluviz.core.snapshot import MAX_SHOWN_REPLICAS
from reluviz.core.theory.baselines import reference_values
from reluviz.data import Dataset, piecewise_linear
from reluviz.models import ReLUModule

DATA = piecewise_linear()
WITHOUT_TEST_POINTS = Dataset("own", DATA.x, DATA.y, (0.0, 1.0))


@pytest.mark.parametrize("model", ["constant", "linear"])
def test_the_reference_values_of_a_one_parameter_model_are_its_optimum_and_the_losses_there(model: str) -> None:
    found = reference_values(model, {"theta": np.zeros(3)}, DATA, None)
    phi, phi_test = (np.ones_like(x) if model == "constant" else x for x in (DATA.x, DATA.x_test))
    (best,), *_ = np.linalg.lstsq(phi[:, None], DATA.y, rcond=None)
    np.testing.assert_allclose(found.optimum, np.full(3, best), rtol=1e-13)
    losses = found.optimum_losses
    np.testing.assert_allclose(losses.train, np.full(3, np.mean((best * phi - DATA.y) ** 2)), rtol=1e-13)
    np.testing.assert_allclose(losses.test, np.full(3, np.mean((best * phi_test - DATA.y_test) ** 2)), rtol=1e-13)
    assert found.least_squares is found.ridge_losses is None
    # the noise of these data is known, but no features are fitted
    assert found.noise_train == pytest.approx(np.mean(DATA.noise**2))
    assert found.noise_test is None


def test_a_model_whose_feature_is_0_at_every_point_has_no_reference_values() -> None:
    with pytest.raises(ValueError, match="every x is 0"):
        reference_values("linear", {"theta": np.zeros(1)}, Dataset("zeros", np.zeros(3), np.ones(3), (0.0, 1.0)), None)


def test_the_reference_values_of_a_network_are_least_squares_and_ridge_on_its_features() -> None:
    module = ReLUModule(width=3, seeds=[0, 1])
    found = reference_values("relu", module.parameter_copies(), DATA, 0.1)
    phi, test = (features(module.parameter_copies(), x) for x in (DATA.x, DATA.x_test))
    for r in range(2):
        best, *_ = np.linalg.lstsq(phi[r], DATA.y, rcond=None)
        assert float(found.least_squares.losses.train[r]) == pytest.approx(np.mean((phi[r] @ best - DATA.y) ** 2))
        assert float(found.least_squares.losses.test[r]) == pytest.approx(np.mean((test[r] @ best - DATA.y_test) ** 2))
        # the penalty adds three equations, for v but not for c, the last column
        rows = np.vstack([phi[r], math.sqrt(0.1) * np.eye(3, 4)])
        ridge, *_ = np.linalg.lstsq(rows, np.append(DATA.y, np.zeros(3)), rcond=None)
        assert float(found.ridge_losses.train[r]) == pytest.approx(np.mean((phi[r] @ ridge - DATA.y) ** 2))
    assert found.noise_train == pytest.approx(np.mean(DATA.noise**2))
    assert found.noise_test == [pytest.approx(0.01 * rank / 200) for rank in found.least_squares.rank]


def test_without_test_points_noise_or_ridge_these_reference_values_are_missing() -> None:
    found = reference_values("relu", ReLUModule(width=3).parameter_copies(), WITHOUT_TEST_POINTS, None)
    assert found.least_squares.losses.test is None
    assert found.ridge_losses is found.noise_train is found.noise_test is None
    assert found.optimum is found.optimum_losses is None


def test_noise_of_unknown_standard_deviation_has_no_expected_test_error() -> None:
    found = reference_values(
        "relu", ReLUModule(width=3).parameter_copies(), dataclasses.replace(DATA, sigma=None), None
    )
    assert found.noise_train == pytest.approx(np.mean(DATA.noise**2))
    assert found.noise_test == [None]


def test_only_the_shown_replicas_of_a_network_are_solved() -> None:
    shown = reference_values("relu", ReLUModule(width=3, seeds=range(50)).parameter_copies(), DATA, 0.1)
    p = ReLUModule(width=3, seeds=range(52)).parameter_copies()
    p["bias"][MAX_SHOWN_REPLICAS] = np.nan
    found = reference_values("relu", p, DATA, 0.1)
    assert MAX_SHOWN_REPLICAS == 50
    assert found.least_squares.rank == shown.least_squares.rank
    assert np.array_equal(found.least_squares.condition_number, shown.least_squares.condition_number)
    assert np.array_equal(found.least_squares.losses.train, shown.least_squares.losses.train)
    assert np.array_equal(found.ridge_losses.test, shown.ridge_losses.test)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_network_with_a_parameter_that_is_not_finite_is_not_solved(value: float) -> None:
    p = ReLUModule(width=3, seeds=[0, 1]).parameter_copies()
    p["bias"][1, 2] = value
    found = reference_values("relu", p, DATA, 0.1)
    assert found.least_squares is found.ridge_losses is found.noise_test is None
    assert found.noise_train == pytest.approx(np.mean(DATA.noise**2))


@pytest.mark.parametrize("represents", [True, False])
def test_the_noise_floor_is_what_least_squares_leaves_if_the_features_represent_the_target(represents: bool) -> None:
    """With an elbow at 0 and at every corner the mean test error is sigma^2 rank/N; half a step beside it is above."""
    elbows = np.arange(10) / 10 + (0 if represents else 0.05)
    p = {"input_slope": np.ones((1, 10)), "bias": -elbows[np.newaxis], "output_weight": np.zeros((1, 10))}
    p["output_bias"] = np.zeros(1)
    ratios = []
    for seed in range(300):
        noisy = piecewise_linear(n=100, seed=seed)
        assert noisy.noise is not None
        # test points without noise at the training inputs, for which the formula holds
        data = dataclasses.replace(noisy, x_test=noisy.x, y_test=noisy.y - noisy.noise)
        found = reference_values("relu", p, data, None)
        assert found.least_squares is not None
        assert found.least_squares.losses.test is not None
        assert found.noise_test is not None
        ratios.append(found.least_squares.losses.test[0] / found.noise_test[0])
    mean = float(np.mean(ratios))
    assert abs(mean - 1) < 0.1 if represents else mean > 3
