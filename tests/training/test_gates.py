"""On which side of an elbow a point lies is decided once: the record, `load_run` and `explain` say what the run did."""

import json
from pathlib import Path

import numpy as np
import pytest

from reluviz import load_run
from reluviz.cli.explain import explanation
from reluviz.cli.train import main

RATE = 0.25
"""A power of two: multiplying by it is exact."""


def overrides(width: int, precision: str, placement: str) -> list[str]:
    words = ["model=relu", f"model.width={width}", f"model.elbows={placement}", "sampler=full", "optimizer=sgd"]
    words += [f"optimizer.lr={RATE}", "updates=1", f"trainer.precision={precision}", "callbacks=minimal", "seed=3"]
    if placement == "given":
        # every elbow on a point; several on the same one
        x = np.sort(np.random.RandomState(1).uniform(size=200))
        words.append(f"model.positions=[{','.join(repr(float(at)) for at in x[np.arange(width) * 7 % 200])}]")
    return words


@pytest.mark.parametrize("placement", ["at_data", "given"])
@pytest.mark.parametrize("width", [7, 40])
@pytest.mark.parametrize(
    ("engine", "precision"),
    [(engine, precision) for engine in ("reference", "fused") for precision in ("32-true", "64-true")]
    + [("exact", "64-true")],
)
def test_the_first_update_is_lr_times_the_recorded_gradient_with_elbows_on_the_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, precision: str, width: int, placement: str
) -> None:
    monkeypatch.chdir(tmp_path)
    words = overrides(width, precision, placement)
    assert main([*words, f"engine={engine}", "name=run"]) == 0
    (folder,) = Path("logs/run").iterdir()
    run = load_run(folder)
    assert json.loads((folder / "metrics.json").read_text())["engine"] == engine
    gradient = run.snapshot(0).votes.gradient
    rounding = float(np.finfo(run.precision).eps)
    for name, value in run.parameters.items():
        moved = (value[0] - value[1]) / RATE
        # the rounding of the parameters and of a sum over 200 points
        tolerance = 4 * rounding * (np.abs(value[0]).max() / RATE + 20 * np.abs(gradient[name]).max())
        np.testing.assert_allclose(moved, gradient[name], rtol=0, atol=tolerance, err_msg=name)
    # a gate decided in the other precision would be seen
    if precision == "32-true":
        other = run.snapshot(0)
        from reluviz.core.votes import per_sample_gradients

        p = {name: value[0] for name, value in run.parameters.items()}
        wrong = per_sample_gradients("relu", p, run.data.x, run.data.y)["bias"].mean(1)
        assert np.abs(wrong - other.votes.gradient["bias"]).max() > 100 * tolerance
    norm = np.sqrt(sum(np.sum(np.square(value)) for value in gradient.values()))
    assert run.scalars("grad/norm")[1][0] == pytest.approx(norm, rel=1e-6)


@pytest.mark.parametrize("precision", ["32-true", "64-true"])
def test_explain_says_what_the_first_snapshot_of_the_run_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.chdir(tmp_path)
    words = overrides(20, precision, "at_data")
    assert main([*words, "name=run"]) == 0
    (folder,) = Path("logs/run").iterdir()
    first, found = load_run(folder).snapshot(0), explanation(words)
    assert found["unit_counts"] == {name: int(count[0]) for name, count in first.unit_counts.items()}
    for name, value in first.votes.gradient.items():
        np.testing.assert_allclose(found["gradient"][name], value[0], rtol=1e-12, atol=1e-15)
    assert found["gradient_norm"] == pytest.approx(float(first.votes.gradient_norm[0]), rel=1e-12)
    assert found["effective_votes"] == pytest.approx(float(first.votes.effective[0]), rel=1e-12)
    np.testing.assert_allclose(found["points"]["vote_share"], first.votes.share[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found["points"]["contribution_norm"], first.votes.norm[0], rtol=1e-9, atol=1e-15)
