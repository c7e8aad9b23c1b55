"""Compiled losses and votes of many networks are those of the definitions."""

import numpy as np
import pytest
import torch
from torch import Tensor

from reluviz.core import snapshot, snapshot_torch, votes_torch
from reluviz.core.functions_torch import PARAMETERS, mean_squared_error
from reluviz.core.votes import FIGURES
from reluviz.data import Dataset, piecewise_linear
from reluviz.engines import parallel, vote_kernels, votes
from reluviz.engines.compiled_votes import compiled_votes
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
    kept = None if recorded is None else recorded.numpy()
    return votes_torch.VoteSummary.of(votes.summarize(arrays(p), x.numpy(), y.numpy(), names, kept))


def network(width: int, replicas: int = 3) -> dict[str, Tensor]:
    return ReLUModule(width, seeds=range(replicas)).values()


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 7, 40])
def test_losses_are_the_mean_squared_errors(width: int) -> None:
    p = network(width)
    close(losses(p, X, Y), mean_squared_error("relu", p, X, Y))
    close(losses(p, X[:1], Y[:1]), mean_squared_error("relu", p, X[:1], Y[:1]))


@pytest.mark.parametrize("recorded", [None, torch.tensor([3, 0, 700, 17])], ids=["all", "some"])
@pytest.mark.parametrize("width", [3, 40])
@pytest.mark.parametrize("trained", TRAINED)
def test_votes_are_those_of_the_gradients_of_single_samples(trained: str, width: int, recorded: Tensor | None) -> None:
    p, names = network(width), TRAINED[trained]
    found = summarize(p, X, Y, names, recorded)
    g = votes_torch.per_sample_gradients("relu", p, X, Y, names)
    mean, kept = votes_torch.mean_gradient(g), slice(None) if recorded is None else recorded
    assert list(found.gradient) == list(mean)
    for name, value in mean.items():
        close(found.gradient[name], value)
    close(found.gradient_norm, votes_torch.squared_gradient_norm(mean).sqrt())
    close(found.noise_scale, votes_torch.gradient_noise_scale(g))
    close(found.effective, votes_torch.effective_votes(g))
    close(found.norm, votes_torch.squared_norms(g).sqrt()[:, kept] / len(X))
    close(found.share, votes_torch.vote_share(g)[:, kept])


def test_a_point_on_an_elbow_has_no_vote_on_it_as_in_torch() -> None:
    p = network(20)
    p["bias"] = -(p["input_slope"] * X[torch.linspace(0, len(X) - 1, 20).long()])
    on = (p["input_slope"][:, None] * X[:, None] + p["bias"][:, None] == 0).sum()
    assert on == 60
    found, wanted = (one(p, X, Y, ("bias",)) for one in (summarize, lambda *a: votes_torch.summarize("relu", *a)))
    close(found.gradient["bias"], wanted.gradient["bias"])
    close(found.norm, wanted.norm)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_replica_that_is_no_number_shows_it_and_spoils_no_other(value: float) -> None:
    p = network(7)
    wanted = losses(p, X, Y)
    p["output_weight"][1, 3] = value
    found = losses(p, X, Y)
    assert not found[1].isfinite()
    assert found[[0, 2]].tolist() == wanted[[0, 2]].tolist()
    summary = summarize(p, X, Y, PARAMETERS["relu"])
    assert not summary.gradient_norm[1].isfinite()
    assert summary.gradient_norm[[0, 2]].isfinite().all()


def test_where_nothing_is_left_to_learn_there_are_no_shares() -> None:
    p = network(7)
    silent = {name: torch.zeros_like(value) for name, value in p.items()}
    assert summarize(silent, X, torch.zeros_like(Y), PARAMETERS["relu"]).share.isnan().all()


def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    p = network(8, replicas=50)
    monkeypatch.setattr(parallel, "THREADS", 1)
    alone = summarize(p, X, Y, PARAMETERS["relu"]), losses(p, X, Y)
    monkeypatch.setattr(parallel, "THREADS", 4)
    monkeypatch.setattr(parallel, "SHORTEST_SHARED", 0.0)
    together = summarize(p, X, Y, PARAMETERS["relu"]), losses(p, X, Y)
    assert torch.equal(alone[1], together[1])
    for figure in FIGURES:
        assert torch.equal(getattr(alone[0], figure), getattr(together[0], figure)), figure


def take(p: dict[str, Tensor], data: Dataset, shown: int | None = None) -> snapshot_torch.Snapshot:
    unknown = torch.full((len(p["bias"]),), torch.nan)
    return snapshot_torch.take("relu", p, PARAMETERS["relu"], data, 0, unknown, shown, compiled_votes)


@pytest.mark.parametrize("n", [60, snapshot.MOST_RECORDED + 100])
def test_a_snapshot_is_the_same_either_way(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data, p = piecewise_linear(n=n), network(5)
    assert not snapshot.is_large("relu", arrays(p), len(data.x))
    wanted = take(p, data)
    monkeypatch.setattr(snapshot, "MANY", 1)
    assert snapshot.is_large("relu", arrays(p), len(data.x))
    found, part = take(p, data), take(p, data, shown=2)
    for one in (found, part):
        close(one.loss_train, wanted.loss_train)
        assert one.loss_test is not None
        assert wanted.loss_test is not None
        close(one.loss_test, wanted.loss_test)
        for name, value in wanted.contributions(2).items():
            close(one.contributions(2)[name], value)
        assert len(one.contributions()["bias"]) == 3
    for figure in FIGURES:
        close(getattr(found.votes, figure), getattr(wanted.votes, figure))
        many = figure in ("gradient_norm", "noise_scale", "effective")
        close(getattr(part.votes, figure), getattr(wanted.votes, figure)[: 3 if many else 2])


def test_other_models_are_never_compiled_for() -> None:
    assert not snapshot.is_large("linear", {"theta": np.zeros(10**6)}, 10**6)
    many = {"bias": np.zeros((1000, 40))}
    assert snapshot.is_large("relu", many, 200)
    assert not snapshot.is_large("relu", {"bias": np.zeros((1, 40))}, 1400)
    assert np.prod(many["bias"].shape) * 200 >= snapshot.MANY
