"""Compiled losses and votes of many networks equal those computed from the definitions."""

import numpy as np
import pytest
from numpy.typing import NDArray

from reluviz.core import snapshot
from reluviz.core import votes as core_votes
from reluviz.core.functions import PARAMETERS, mean_squared_error
from reluviz.core.votes import VOTE_ARRAYS
from reluviz.data import Dataset, piecewise_linear
from reluviz.engines import parallel, vote_kernels, votes
from reluviz.engines.compiled_votes import load_compiled_votes
from reluviz.models import ReLUModule

TRAINED = {
    "all": PARAMETERS["relu"],
    "output": ("output_weight", "output_bias"),
    "hidden": ("input_slope", "bias"),
    "one": ("bias",),
}
DATA = piecewise_linear(n=3 * vote_kernels.TILE + 5)
X, Y = DATA.x, DATA.y
Array = NDArray[np.float64]


def network(width: int, replicas: int = 3) -> dict[str, Array]:
    return ReLUModule(width, seeds=range(replicas)).parameter_copies()


def assert_close(found: Array, wanted: Array) -> None:
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 7, 40])
def test_losses_are_mean_squared_errors(width: int) -> None:
    p = network(width)
    assert_close(votes.losses(p, X, Y), mean_squared_error("relu", p, X, Y))
    assert_close(votes.losses(p, X[:1], Y[:1]), mean_squared_error("relu", p, X[:1], Y[:1]))


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("recorded", [None, np.array([3, 0, 700, 17])], ids=["all", "some"])
@pytest.mark.parametrize("width", [3, 40])
@pytest.mark.parametrize("trained", TRAINED)
def test_votes_follow_from_the_per_sample_gradients(
    trained: str, width: int, recorded: NDArray[np.int64] | None, precision: str
) -> None:
    p, names = network(width), TRAINED[trained]
    found = votes.summarize(p, X, Y, names, precision, recorded)
    g = core_votes.per_sample_gradients("relu", p, X, Y, names, precision)
    mean, kept = core_votes.mean_gradient(g), slice(None) if recorded is None else recorded
    assert list(found.gradient) == list(mean)
    for name, value in mean.items():
        assert_close(found.gradient[name], value)
    assert_close(found.gradient_norm, np.sqrt(core_votes.squared_gradient_norm(mean)))
    assert_close(found.noise_scale, core_votes.gradient_noise_scale(g))
    assert_close(found.effective, core_votes.effective_votes(g))
    assert_close(found.norm, np.sqrt(core_votes.squared_norms(g))[:, kept] / len(X))
    assert_close(found.share, core_votes.vote_share(g)[:, kept])


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("width", [20, 23])
def test_the_gate_of_a_point_on_an_elbow_is_decided_in_the_precision_of_the_run(width: int, precision: str) -> None:
    p = network(width)
    at = X[np.linspace(0, len(X) - 1, width).astype(int)]
    # as the initial state places elbows, in float32
    p["bias"] = (-(p["input_slope"] * at)).astype(np.float32).astype(float)
    for names in (("bias",), PARAMETERS["relu"]):
        found = votes.summarize(p, X, Y, names, precision)
        wanted = core_votes.summarize("relu", p, X, Y, names, precision=precision)
        assert_close(found.gradient["bias"], wanted.gradient["bias"])
        assert_close(found.norm, wanted.norm)
        assert_close(found.share, wanted.share)
    other = {"float32": "float64", "float64": "float32"}[precision]
    differs = core_votes.summarize("relu", p, X, Y, ("bias",), precision=other).gradient["bias"]
    assert np.abs(differs - votes.summarize(p, X, Y, ("bias",), precision).gradient["bias"]).max() > 1e-6


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_replica_with_nan_or_infinity_shows_it_and_does_not_affect_other_replicas(value: float) -> None:
    p = network(7)
    wanted = votes.losses(p, X, Y)
    p["output_weight"][1, 3] = value
    found = votes.losses(p, X, Y)
    assert not np.isfinite(found[1])
    assert found[[0, 2]].tolist() == wanted[[0, 2]].tolist()
    summary = votes.summarize(p, X, Y, PARAMETERS["relu"], "float32")
    assert not np.isfinite(summary.gradient_norm[1])
    assert np.isfinite(summary.gradient_norm[[0, 2]]).all()


def test_vote_shares_are_nan_if_the_gradient_is_zero() -> None:
    p = network(7)
    zeros = {name: np.zeros_like(value) for name, value in p.items()}
    assert np.isnan(votes.summarize(zeros, X, np.zeros_like(Y), PARAMETERS["relu"], "float64").share).all()


def test_threads_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    p = network(8, replicas=50)
    monkeypatch.setattr(parallel, "THREADS", 1)
    serial = votes.summarize(p, X, Y, PARAMETERS["relu"], "float32"), votes.losses(p, X, Y)
    monkeypatch.setattr(parallel, "THREADS", 4)
    monkeypatch.setattr(parallel, "MIN_PARALLEL_NANOSECONDS", 0.0)
    threaded = votes.summarize(p, X, Y, PARAMETERS["relu"], "float32"), votes.losses(p, X, Y)
    assert np.array_equal(serial[1], threaded[1])
    for name in VOTE_ARRAYS:
        assert np.array_equal(getattr(serial[0], name), getattr(threaded[0], name)), name


def take(p: dict[str, Array], data: Dataset, shown: int | None = None) -> snapshot.Snapshots:
    raw = snapshot.RawSnapshot(0, 0.0, p, np.full(len(p["bias"]), np.nan))
    (found,) = snapshot.compute_snapshots(
        "relu", [raw], PARAMETERS["relu"], data, shown, load_compiled_votes, "float32"
    )
    return found


@pytest.mark.parametrize("n", [60, snapshot.MAX_RECORDED_SAMPLES + 100])
def test_a_snapshot_is_the_same_with_and_without_compiled_code(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data, p = piecewise_linear(n=n), network(5)
    assert not snapshot.is_large("relu", p, len(data.x))
    wanted = take(p, data)
    monkeypatch.setattr(snapshot, "MIN_COMPILED_ACTIVATIONS", 1)
    assert snapshot.is_large("relu", p, len(data.x))
    found, part = take(p, data), take(p, data, shown=2)
    for one in (found, part):
        assert_close(one.loss_train, wanted.loss_train)
        assert one.loss_test is not None
        assert wanted.loss_test is not None
        assert_close(one.loss_test, wanted.loss_test)
        for name, value in wanted.contributions(2).items():
            assert_close(one.contributions(2)[name], value)
        assert len(one.contributions()["bias"][0]) == 3
    for name in VOTE_ARRAYS:
        assert_close(getattr(found.votes, name), getattr(wanted.votes, name))
        per_replica = name in ("gradient_norm", "noise_scale", "effective")
        assert_close(getattr(part.votes, name), getattr(wanted.votes, name)[:, : 3 if per_replica else 2])


def test_compiled_code_is_only_used_for_large_relu_networks() -> None:
    assert not snapshot.is_large("linear", {"theta": np.zeros(10**6)}, 10**6)
    large = {"bias": np.zeros((1000, 40))}
    assert snapshot.is_large("relu", large, 200)
    assert not snapshot.is_large("relu", {"bias": np.zeros((1, 40))}, 1400)
    assert np.prod(large["bias"].shape) * 200 >= snapshot.MIN_COMPILED_ACTIVATIONS
