"""Snapshots: losses, divergence, recorded samples and reference values."""

import math

import numpy as np
import pytest
import torch

from reluviz.core.functions import features, mean_squared_error, predict
from reluviz.core.snapshot import MAX_RECORDED_SAMPLES, RawSnapshot, compute_snapshots, recorded_samples
from reluviz.core.theory.baselines import reference_values
from reluviz.data import Dataset, piecewise_linear
from reluviz.models import ConstantModule, LinearModule, ReLUModule

DATA = piecewise_linear()


def snapshot(module, dataset=DATA, **parameters):
    raw = RawSnapshot(0, 0.0, {**module.parameter_copies(), **parameters}, np.full(len(module.seeds), np.nan))
    (found,) = compute_snapshots(module.model, [raw], module.trained, dataset)
    return found


def test_the_loss_does_not_depend_on_the_chunk_size() -> None:
    p = ReLUModule(width=7, seeds=[0, 1]).parameter_copies()
    whole = np.square(predict("relu", p, DATA.x) - DATA.y).mean(-1)
    for entries in (1, 44, 1000, 10**6):
        np.testing.assert_allclose(mean_squared_error("relu", p, DATA.x, DATA.y, entries), whole, rtol=1e-14)


def test_losses_are_over_all_training_points_and_over_the_test_points() -> None:
    module = ReLUModule(width=5, seeds=[0, 3])
    found = snapshot(module)
    for r in range(2):
        network = module.to_sequential(r).double()
        for loss, x, y in ((found.loss_train, DATA.x, DATA.y), (found.loss_test, DATA.x_test, DATA.y_test)):
            f = network(torch.from_numpy(x)[:, None])[:, 0].detach().numpy()
            assert float(loss[0, r]) == pytest.approx(np.mean((f - y) ** 2), rel=1e-12)


def test_without_test_points_there_is_no_test_loss() -> None:
    dataset = Dataset("own", DATA.x, DATA.y, (0.0, 1.0))
    assert snapshot(LinearModule(), dataset).loss_test is None


@pytest.mark.parametrize(
    ("theta", "diverged"),
    [(0.0, False), (1e2, False), (-1e3, True), (math.nan, True), (math.inf, True)],
)
def test_a_replica_has_diverged_if_its_loss_is_too_large_or_its_parameter_is_not_finite(
    theta: float, diverged: bool
) -> None:
    initial = snapshot(ConstantModule()).loss_train[0]
    found = snapshot(ConstantModule(), theta=np.array([theta])).divergence(initial)
    assert (found == (0, "theta")) if diverged else found is None


def test_the_largest_loss_is_a_million_times_the_initial_loss_or_the_variance() -> None:
    initial = snapshot(ConstantModule()).loss_train[0]
    bound = 1e6 * max(float(initial[0]), float(np.var(DATA.y)))
    mean, spread = DATA.y.mean(), np.var(DATA.y)
    for factor, diverged in ((0.999, False), (1.001, True)):
        theta = mean + math.sqrt(factor * bound - spread)
        found = snapshot(ConstantModule(), theta=np.array([theta])).divergence(initial)
        assert (found is not None) == diverged


def test_divergence_names_the_replica_and_its_largest_parameter() -> None:
    module = ReLUModule(width=4, seeds=[0, 1, 2])
    initial = snapshot(module).loss_train[0]
    bias = module.parameter_copies()["bias"]
    bias[1, 2] = math.nan
    assert snapshot(module, bias=bias).divergence(initial) == (1, "bias")


def test_more_than_two_thousand_samples_are_recorded_as_an_even_subsample_with_both_ends() -> None:
    assert recorded_samples(MAX_RECORDED_SAMPLES).tolist() == list(range(MAX_RECORDED_SAMPLES))
    kept = recorded_samples(10**6)
    assert len(kept) == MAX_RECORDED_SAMPLES
    assert (kept[0], kept[-1]) == (0, 10**6 - 1)
    assert set(np.diff(kept)) <= {500, 501}


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


def test_the_bound_that_excludes_a_divergence_is_the_square_of_the_largest_residual() -> None:
    raw = RawSnapshot(1, 0.0, {"theta": np.array([2.0, -2.0])}, np.zeros(2))
    # |f| <= 2 * 1.5 and |y| <= 4, so that no squared residual exceeds 49
    assert raw.cannot_have_diverged("linear", 1.5, 4.0, np.array([49.0, 49.0]))
    assert not raw.cannot_have_diverged("linear", 1.5, 4.0, np.array([49.0, 48.9]))
    p = {"input_slope": [[2.0]], "bias": [[-1.0]], "output_weight": [[-3.0]], "output_bias": [0.5]}
    network = RawSnapshot(1, 0.0, {name: np.array(value) for name, value in p.items()}, np.zeros(1))
    # |c| + |v| (|w| max |x| + |b|) = 0.5 + 3 (2 * 1.5 + 1) = 12.5
    assert network.cannot_have_diverged("relu", 1.5, 0.5, np.array([169.0]))
    assert not network.cannot_have_diverged("relu", 1.5, 0.5, np.array([168.9]))
