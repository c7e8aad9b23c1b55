"""The built-in data sets and the data modules."""

import math

import numpy as np
import pytest

from reluviz.data import (
    Dataset,
    EarlySchedule,
    Epoch,
    EverySchedule,
    Full,
    WithoutReplacement,
    WithReplacement,
    piecewise_linear,
    sine,
)
from reluviz.data.datamodule import PiecewiseLinearData, SegmentData, SineData
from reluviz.data.targets import piecewise_linear_target
from reluviz.errors import UserError


def from_pieces(x: float) -> float:
    """Compute the course's target from the slope and the intercept of each of its ten pieces."""
    k = min(int(x * 10), 9)
    left, right = math.sin(12345 * k), math.sin(12345 * (k + 1))
    slope = (right - left) / 0.1
    return slope * x + (left - slope * k / 10)


def test_the_training_points_are_drawn_by_random_state_1() -> None:
    generator = np.random.RandomState(1)
    x = np.sort(generator.rand(200))
    noise = 0.1 * generator.randn(200)
    data = piecewise_linear()
    assert data.x.dtype == data.y.dtype == np.float64
    assert data.x.tolist() == x.tolist()
    assert data.y.tolist() == (piecewise_linear_target(x) + noise).tolist()
    assert (data.name, data.domain, data.sigma) == ("piecewise linear", (0.0, 1.0), 0.1)


def test_the_first_training_points_have_their_documented_values() -> None:
    data = piecewise_linear()
    np.testing.assert_allclose(data.x[:3], [0.00011437, 0.00287033, 0.01255598], atol=5e-9)
    np.testing.assert_allclose(data.y[:3], [0.00664549, 0.03331353, -0.10152831], atol=5e-9)


def test_the_target_interpolates_linearly_between_the_corners() -> None:
    x = np.random.default_rng(0).random(2000)
    np.testing.assert_allclose(piecewise_linear_target(x), [from_pieces(value) for value in x], atol=1e-10)


@pytest.mark.parametrize("k", range(11))
def test_the_target_goes_through_the_corners(k: int) -> None:
    corner = math.sin(12345 * k)
    assert piecewise_linear_target(np.array([k / 10]))[0] == pytest.approx(corner, abs=1e-12)
    nearby = piecewise_linear_target(np.clip([k / 10 - 1e-9, k / 10 + 1e-9], 0, 1))
    np.testing.assert_allclose(nearby, corner, atol=1e-7)


def test_the_formula_of_the_course_is_wrong_at_the_last_test_point_alone() -> None:
    """With floor and ceil the formula is 0 at every k/10, where both are k; of the test points these are 0 and 1."""
    data = piecewise_linear()
    assert data.x_test is not None
    assert data.y_test is not None
    k = 10 * data.x_test
    low, high = np.floor(k), np.ceil(k)
    formula = np.sin(12345 * low) * (high - k) + np.sin(12345 * high) * (k - low)
    wrong = np.flatnonzero(np.abs(formula - data.y_test) > 1e-6)
    assert data.x_test[wrong].tolist() == [1.0]
    assert (formula[-1], data.y_test[-1]) == (0.0, pytest.approx(-0.90, abs=0.005))


def test_the_target_at_1_is_the_last_corner() -> None:
    end = piecewise_linear_target(np.array([1.0]))[0]
    assert end == math.sin(123450)
    assert end == pytest.approx(-0.899, abs=5e-4)


@pytest.mark.parametrize("make", [piecewise_linear, sine])
def test_the_test_points_are_the_training_inputs_and_1000_even_points_without_noise(make) -> None:
    data: Dataset = make()
    assert data.x_test is not None
    assert data.target is not None
    assert data.x_test.shape == data.y_test.shape == (1200,)
    assert (np.diff(data.x_test) >= 0).all()
    assert (data.x_test[0], data.x_test[-1]) == (0.0, 1.0)
    assert np.isin(data.x, data.x_test).all()
    assert np.isin(np.linspace(0, 1, 1000), data.x_test).all()
    assert data.y_test.tolist() == data.target(data.x_test).tolist()
    if make is piecewise_linear:
        np.testing.assert_allclose(data.y_test, [from_pieces(x) for x in data.x_test], atol=1e-10)


def test_the_sine_data_are_sin_20_x_on_the_same_inputs() -> None:
    data = sine(noise=0)
    np.testing.assert_allclose(data.y, [math.sin(20 * x) for x in data.x], atol=1e-14)
    assert data.x.tolist() == piecewise_linear().x.tolist()
    assert (data.name, data.sigma) == ("sine", 0.0)


@pytest.mark.parametrize("make", [piecewise_linear, sine])
def test_noise_is_the_difference_from_the_target(make) -> None:
    generator = np.random.RandomState(5)
    generator.rand(1000)
    data = make(n=1000, noise=0.3, seed=5)
    np.testing.assert_allclose(data.noise, 0.3 * generator.randn(1000), atol=1e-14)
    # the mean square of 1,000 draws has standard deviation 0.09 sqrt(2 / 1000)
    assert np.mean(data.noise**2) == pytest.approx(0.09, abs=4 * 0.09 * math.sqrt(2 / 1000))


def test_the_noise_of_user_data_is_unknown() -> None:
    assert Dataset("user", np.array([0.0, 1.0]), np.array([1.0, 2.0]), (0.0, 1.0)).noise is None


@pytest.mark.parametrize("make", [piecewise_linear, sine])
def test_n_noise_and_seed_change_the_data_as_documented(make) -> None:
    assert make(n=7).x.shape == make(n=7).y.shape == (7,)
    assert make(n=7).x_test.shape == (1007,)
    assert (make(noise=0).noise == 0).all()
    np.testing.assert_allclose(make(noise=0.2).noise, 2 * make(noise=0.1).noise, atol=1e-14)
    assert make(noise=0.2).x.tolist() == make(noise=0.1).x.tolist()
    assert not np.isin(make(seed=0).x, make(seed=1).x).any()
    assert make(seed=0).y.tolist() == make(seed=0).y.tolist()


def test_the_data_modules_have_the_same_points() -> None:
    assert PiecewiseLinearData(n=9, noise=0.5, seed=3).dataset.y.tolist() == piecewise_linear(9, 0.5, 3).y.tolist()
    assert SineData(n=9, noise=0.5, seed=3).dataset.y.tolist() == sine(9, 0.5, 3).y.tolist()


def test_the_defaults_of_a_data_module_are_those_of_the_course() -> None:
    data = PiecewiseLinearData()
    assert (data.updates, data.sampler, data.snapshots) == (150_000, WithReplacement(40), EarlySchedule(1000))


def test_the_remaining_segments_lead_from_the_current_update_to_the_last_one() -> None:
    data = PiecewiseLinearData(updates=50, snapshots=EverySchedule(20))
    assert data.schedule() == [0, 1, 20, 40, 50]
    assert data.remaining(0) == [(0, 1), (1, 20), (20, 40), (40, 50)]
    assert data.remaining(20) == [(20, 40), (40, 50)]
    assert data.remaining(7) == [(7, 20), (20, 40), (40, 50)]
    assert data.remaining(50) == []
    assert data.remaining(60) == []


@pytest.mark.parametrize("sampler", [WithoutReplacement(10), Epoch(10)])
def test_a_batch_without_replacement_cannot_exceed_the_data_set(sampler) -> None:
    PiecewiseLinearData(n=10, sampler=sampler)
    with pytest.raises(UserError, match=rf"^sampler.batch_size=10: more than the 9 points.*{sampler.name}"):
        PiecewiseLinearData(n=9, sampler=sampler)


def test_a_batch_with_replacement_may_exceed_the_data_set() -> None:
    assert PiecewiseLinearData(n=9, sampler=WithReplacement(10)).sampler.batch(9) == 10
    assert PiecewiseLinearData(n=9, sampler=Full()).sampler.batch(9) == 9


@pytest.mark.parametrize("settings", [{"updates": 0}, {"updates": -5}, {"sampler": WithReplacement(0)}])
def test_invalid_settings_are_refused_in_one_line(settings) -> None:
    with pytest.raises(UserError) as caught:
        SegmentData(piecewise_linear(), **settings)
    assert "must be a whole number of at least 1" in str(caught.value)
    assert "\n" not in str(caught.value)
