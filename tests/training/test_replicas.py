"""A run of a thousand replicas: each replica equals the run with its seed alone, and the run's files stay small."""

import json
import sys

import numpy as np
import pytest

from reluviz import load_run
from reluviz.__main__ import main
from reluviz.core.functions import mean_squared_error
from reluviz.core.snapshot import MAX_SHOWN_REPLICAS
from reluviz.data import WithReplacement
from reluviz.engines.fused import Fused

R, UPDATES = 1000, 20
WORDS = [
    "+exp=relu",
    "model.width=8",
    f"updates={UPDATES}",
    "snapshots=linear",
    "snapshots.every=10",
    "trainer.precision=64-true",
    "callbacks.snapshots.pictures=2",
]


def train(folder, *words):
    """Train, and return the minibatches that were drawn, [R, K, B]."""
    drawn, original = [], Fused.run

    def run(self, state, optimizer, piece, *rest):
        drawn.append(piece.replica_indices(0, state.replicas, _philox()).copy())
        return original(self, state, optimizer, piece, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fused, "run", run)
        # the warm-up would add an update of a copy of the model
        patch.setattr("reluviz.training.prepare.warm_up", lambda prepared: None)
        patch.setattr(sys, "argv", ["reluviz", "train", *WORDS, *words, f"hydra.run.dir={folder}"])
        assert main() == 0
    return np.concatenate(drawn, axis=1)


def _philox():
    from reluviz.engines import philox

    return philox.fill_random


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many") / "run"
    return folder, train(folder, f"replicas={R}")


@pytest.fixture(scope="module")
def last(tmp_path_factory):
    folder = tmp_path_factory.mktemp("last") / "run"
    return folder, train(folder, f"seed={R - 1}")


def test_the_last_replica_is_the_run_with_its_seed(many, last):
    """Its start and minibatches are equal bit for bit, its parameters to rounding."""
    together, alone = load_run(many[0]), load_run(last[0])
    assert many[1].shape == (R, UPDATES, 40)
    assert (many[1][-1] == last[1][0]).all()
    assert (last[1] == WithReplacement(40).draw([R - 1], 0, UPDATES, 200)).all()
    assert (many[1][-1] != many[1][0]).any()
    assert together.updates.tolist() == alone.updates.tolist() == [0, 1, 10, 20]
    assert together.seeds == tuple(range(R))
    for name, value in alone.parameters.items():
        assert (together.parameters[name][0, -1] == value[0, 0]).all()
        np.testing.assert_allclose(together.parameters[name][:, -1], value[:, 0], rtol=0, atol=1e-12)
        assert (value[-1] != value[0]).any()


def test_the_parameters_of_all_replicas_and_the_votes_of_the_first_are_recorded(many):
    run = load_run(many[0])
    assert run.rows.shape == (4, R, 25)
    assert len(np.unique(run.rows[-1], axis=0)) == R
    assert run.votes.shape == (4, MAX_SHOWN_REPLICAS, 3, 200)
    computed = run.snapshot(10).votes
    assert computed.share.shape == (R, 200)
    for name, recorded in (("residual", run.residual), ("norm", run.norm), ("share", run.vote_share)):
        np.testing.assert_allclose(getattr(computed, name)[:MAX_SHOWN_REPLICAS], recorded[2], rtol=1e-6, atol=1e-12)
    assert run.contributions(10)["bias"].shape == (R, 200, 8)


def test_the_losses_of_all_replicas_follow_from_the_recorded_parameters(many):
    run, metrics = load_run(many[0]), json.loads((many[0] / "metrics.json").read_text())
    for which in ("train", "test"):
        np.testing.assert_allclose(run.loss(which)[-1], metrics[f"loss/{which}"], rtol=1e-12)
    p = {name: value[-1] for name, value in run.parameters.items()}
    loss = mean_squared_error("relu", p, run.data.x, run.data.y)
    np.testing.assert_allclose(loss, metrics["loss/train"], rtol=1e-12)


def test_metrics_end_with_the_distribution_of_the_losses(many):
    metrics = json.loads((many[0] / "metrics.json").read_text())
    assert list(metrics)[-1] == "distribution"
    for tag in ("loss/train", "loss/test"):
        found, values = metrics["distribution"][tag], metrics[tag]
        assert len(values) == R
        assert (found["n"], found["diverged"]) == (R, 0)
        assert found["mean"] == pytest.approx(np.mean(values), rel=1e-12)
        quartiles = [found[name] for name in ("min", "q25", "median", "q75", "max")]
        np.testing.assert_allclose(quartiles, np.percentile(values, [0, 25, 50, 75, 100]), rtol=1e-15)
        assert quartiles == sorted(set(quartiles))


def test_median_and_quartiles_are_logged(many):
    run, metrics = load_run(many[0]), json.loads((many[0] / "metrics.json").read_text())
    for tag, name in (("loss/test", "median"), ("loss/test/q25", "q25"), ("loss/test/q75", "q75")):
        updates, values = run.scalars(tag)
        assert updates[-1] == UPDATES
        assert values[-1] == pytest.approx(metrics["distribution"]["loss/test"][name], rel=1e-6)


def test_references_are_solved_for_the_shown_replicas_only(many):
    metrics = json.loads((many[0] / "metrics.json").read_text())
    best = metrics["reference"]["least_squares"]["loss/train"]
    assert len(best) == MAX_SHOWN_REPLICAS
    assert all(least <= loss for least, loss in zip(best, metrics["loss/train"][:MAX_SHOWN_REPLICAS], strict=True))


def test_the_event_files_hold_little_more_than_the_parameters_and_votes(many):
    size = sum(path.stat().st_size for path in many[0].glob("events*"))
    parameters = 4 * R * 25 * 8
    votes = 4 * MAX_SHOWN_REPLICAS * 3 * 200 * 4
    assert parameters + votes < size < parameters + votes + 1_000_000
