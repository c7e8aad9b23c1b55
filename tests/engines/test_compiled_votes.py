"""Compiled losses and votes of many networks equal those computed from the definitions."""

import numpy as np
import pytest
import torch
from torch import Tensor

from reluviz.core import snapshot, snapshot_torch, votes_torch
from reluviz.core.functions_torch import PARAMETERS, mean_squared_error
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
X, Y = torch.from_numpy(DATA.x), torch.from_numpy(DATA.y)


def arrays(p: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in p.items()}


def losses(p: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
    return torch.from_numpy(votes.losses(arrays(p), x.numpy(), y.numpy()))


def summarize(
    p: dict[str, Tensor], x: Tensor, y: Tensor, names: tuple[str, ...], recorded: Tensor | None = None
) -> votes_torch.VoteSummary:
    indices = None if recorded is None else recorded.numpy()
    return votes_torch.VoteSummary.from_arrays(votes.summarize(arrays(p), x.numpy(), y.numpy(), names, indices))


def network(width: int, replicas: int = 3) -> dict[str, Tensor]:
    return ReLUModule(width, seeds=range(replicas)).values()


def assert_close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 7, 40])
def test_losses_are_mean_squared_errors(width: int) -> None:
    p = network(width)
    assert_close(losses(p, X, Y), mean_squared_error("relu", p, X, Y))
    assert_close(losses(p, X[:1], Y[:1]), mean_squared_error("relu", p, X[:1], Y[:1]))


@pytest.mark.parametrize("recorded", [None, torch.tensor([3, 0, 700, 17])], ids=["all", "some"])
@pytest.mark.parametrize("width", [3, 40])
@pytest.mark.parametrize("trained", TRAINED)
def test_votes_follow_from_the_per_sample_gradients(trained: str, width: int, recorded: Tensor | None) -> None:
    p, names = network(width), TRAINED[trained]
    found = summarize(p, X, Y, names, recorded)
    g = votes_torch.per_sample_gradients("relu", p, X, Y, names)
    mean, kept = votes_torch.mean_gradient(g), slice(None) if recorded is None else recorded
    assert list(found.gradient) == list(mean)
    for name, value in mean.items():
        assert_close(found.gradient[name], value)
    assert_close(found.gradient_norm, votes_torch.squared_gradient_norm(mean).sqrt())
    assert_close(found.noise_scale, votes_torch.gradient_noise_scale(g))
    assert_close(found.effective, votes_torch.effective_votes(g))
    assert_close(found.norm, votes_torch.squared_norms(g).sqrt()[:, kept] / len(X))
    assert_close(found.share, votes_torch.vote_share(g)[:, kept])


def test_a_point_on_an_elbow_does_not_vote_on_it_as_in_torch() -> None:
    p = network(20)
    p["bias"] = -(p["input_slope"] * X[torch.linspace(0, len(X) - 1, 20).long()])
    on = (p["input_slope"][:, None] * X[:, None] + p["bias"][:, None] == 0).sum()
    assert on == 60
    found, wanted = (one(p, X, Y, ("bias",)) for one in (summarize, lambda *a: votes_torch.summarize("relu", *a)))
    assert_close(found.gradient["bias"], wanted.gradient["bias"])
    assert_close(found.norm, wanted.norm)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_replica_with_nan_or_infinity_shows_it_and_does_not_affect_other_replicas(value: float) -> None:
    p = network(7)
    wanted = losses(p, X, Y)
    p["output_weight"][1, 3] = value
    found = losses(p, X, Y)
    assert not found[1].isfinite()
    assert found[[0, 2]].tolist() == wanted[[0, 2]].tolist()
    summary = summarize(p, X, Y, PARAMETERS["relu"])
    assert not summary.gradient_norm[1].isfinite()
    assert summary.gradient_norm[[0, 2]].isfinite().all()


def test_vote_shares_are_nan_if_the_gradient_is_zero() -> None:
    p = network(7)
    zeros = {name: torch.zeros_like(value) for name, value in p.items()}
    assert summarize(zeros, X, torch.zeros_like(Y), PARAMETERS["relu"]).share.isnan().all()


def test_threads_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    p = network(8, replicas=50)
    monkeypatch.setattr(parallel, "THREADS", 1)
    serial = summarize(p, X, Y, PARAMETERS["relu"]), losses(p, X, Y)
    monkeypatch.setattr(parallel, "THREADS", 4)
    monkeypatch.setattr(parallel, "MIN_PARALLEL_NANOSECONDS", 0.0)
    threaded = summarize(p, X, Y, PARAMETERS["relu"]), losses(p, X, Y)
    assert torch.equal(serial[1], threaded[1])
    for name in VOTE_ARRAYS:
        assert torch.equal(getattr(serial[0], name), getattr(threaded[0], name)), name


def take(p: dict[str, Tensor], data: Dataset, shown: int | None = None) -> snapshot_torch.Snapshot:
    unknown = torch.full((len(p["bias"]),), torch.nan)
    return snapshot_torch.compute_snapshot("relu", p, PARAMETERS["relu"], data, 0, unknown, shown, load_compiled_votes)


@pytest.mark.parametrize("n", [60, snapshot.MAX_RECORDED_SAMPLES + 100])
def test_a_snapshot_is_the_same_with_and_without_compiled_code(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data, p = piecewise_linear(n=n), network(5)
    assert not snapshot.is_large("relu", arrays(p), len(data.x))
    wanted = take(p, data)
    monkeypatch.setattr(snapshot, "MIN_COMPILED_ACTIVATIONS", 1)
    assert snapshot.is_large("relu", arrays(p), len(data.x))
    found, part = take(p, data), take(p, data, shown=2)
    for one in (found, part):
        assert_close(one.loss_train, wanted.loss_train)
        assert one.loss_test is not None
        assert wanted.loss_test is not None
        assert_close(one.loss_test, wanted.loss_test)
        for name, value in wanted.contributions(2).items():
            assert_close(one.contributions(2)[name], value)
        assert len(one.contributions()["bias"]) == 3
    for name in VOTE_ARRAYS:
        assert_close(getattr(found.votes, name), getattr(wanted.votes, name))
        per_replica = name in ("gradient_norm", "noise_scale", "effective")
        assert_close(getattr(part.votes, name), getattr(wanted.votes, name)[: 3 if per_replica else 2])


def test_compiled_code_is_only_used_for_large_relu_networks() -> None:
    assert not snapshot.is_large("linear", {"theta": np.zeros(10**6)}, 10**6)
    large = {"bias": np.zeros((1000, 40))}
    assert snapshot.is_large("relu", large, 200)
    assert not snapshot.is_large("relu", {"bias": np.zeros((1, 40))}, 1400)
    assert np.prod(large["bias"].shape) * 200 >= snapshot.MIN_COMPILED_ACTIVATIONS
