"""Percentiles are NumPy's, ignore NaN and are infinite next to infinity; a diverged replica has an infinite loss."""

import numpy as np
import pytest

from reluviz.core.distribution import distribution, percentiles

Q = (25, 50, 75)
INF = np.inf


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 30, 101])
def test_percentiles_of_numbers_equal_those_of_numpy_exactly(n: int) -> None:
    values = np.random.default_rng(n).lognormal(size=(n, 7))
    np.testing.assert_array_equal(percentiles(values, Q), np.percentile(values, Q, axis=0))
    np.testing.assert_array_equal(percentiles(values[:, 0], Q), np.percentile(values[:, 0], Q))


def test_percentiles_ignore_nan_in_each_column() -> None:
    values = np.random.default_rng(0).normal(size=(9, 4))
    values[2:5, 1] = values[:8, 2] = values[:, 3] = np.nan
    found = percentiles(values, Q)
    np.testing.assert_array_equal(found[:, :3], np.nanpercentile(values[:, :3], Q, axis=0))
    assert np.isnan(found[:, 3]).all()
    none = percentiles(np.zeros((0, 2)), Q)
    assert none.shape == (3, 2)
    assert np.isnan(none).all()


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([1.0, INF], [INF, INF, INF]),
        ([INF, INF, INF], [INF, INF, INF]),
        ([1.0, 2.0, 3.0, 4.0, INF], [2.0, 3.0, 4.0]),
        ([1.0, 2.0, 3.0, INF, INF], [2.0, 3.0, INF]),
        ([1.0, 2.0, 3.0, 4.0, 5.0, INF], [2.25, 3.5, 4.75]),
        ([INF, np.nan, 1.0, 1.0], [1.0, 1.0, INF]),
        ([-INF, 1.0, 2.0], [1.0, 1.0, 1.5]),
        ([-INF, INF], [INF, INF, INF]),
    ],
)
def test_interpolation_between_a_number_and_infinity_is_infinite_without_warnings(
    values: list[float], wanted: list[float]
) -> None:
    # pytest turns warnings into errors
    assert percentiles(np.array(values), Q).tolist() == wanted


def test_the_loss_of_a_diverged_replica_counts_as_infinite() -> None:
    losses = np.array([3.0, np.nan, 1.0, 2.0, np.inf])
    found = distribution(losses, np.array([True, False, True, True, False]))
    assert found == {
        "n": 5,
        "diverged": 2,
        "mean": np.inf,
        "min": 1.0,
        "q25": 2.0,
        "median": 3.0,
        "q75": np.inf,
        "max": np.inf,
    }
    one = distribution(np.array([0.5]), np.array([True]))
    assert {name for name, value in one.items() if value == 0.5} == {"mean", "min", "q25", "median", "q75", "max"}
