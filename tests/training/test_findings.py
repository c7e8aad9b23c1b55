"""Real runs: each finding is earned by a run, and goes away in the run that follows its advice."""

import json
import sys
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest

from reluviz import Dataset, LinearModule, PiecewiseLinearData, ReLUModule, SegmentData, SnapshotLogger, load_run
from reluviz.__main__ import main
from reluviz.core.findings import ORDER, from_plain
from reluviz.data.schedules import EverySchedule
from reluviz.errors import Diverged
from reluviz.training.lightning_startup import quiet

QUICK = ("callbacks=minimal", "callbacks.progress=null", "callbacks.checkpoints=null")
EARNED = {
    "diverged": "+exp=linear optimizer.lr=5",
    "all_units_dead": "+exp=relu step_size=1.0 updates=20000",
    "higher_than_at_start": "+exp=linear step_size=3.1 updates=50",
    "no_better_than_constant": "+exp=relu step_size=0.00002 updates=2000 snapshots.every=50",
    "most_units_dead": "+exp=relu seed=1 step_size=0.2 updates=30000",
    "no_bent_unit": "+exp=relu regime=output model.width=2 model.elbows=given model.positions=[-1,-0.5] updates=1000",
    "fluctuating": "+exp=relu step_size=0.2 updates=30000",
    "far_from_optimum": "+exp=linear step_size=0.001",
    "far_above_least_squares": "+exp=relu regime=output updates=30000",
    "still_falling": "+exp=relu updates=5000 snapshots.every=50",
    "learned_in_part": "+exp=relu model.width=5 updates=50000",
}
"""Finding -> the command line of a run that earns it."""
FIRST = {name for name in EARNED if name not in ("no_bent_unit",)}
"""Findings that come first in their run of `EARNED`."""
GOOD = {
    "learned": "+exp=relu updates=60000",
    "at_optimum": "+exp=linear",
}
"""Finding that needs no advice -> a run that earns it."""


def train(folder: Path, command: str) -> dict[str, Any]:
    """Train, and return the content of metrics.json."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", "train", *command.split(), *QUICK, f"hydra.run.dir={folder}"])
        assert main() in (0, 3)
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return metrics


def found(metrics: dict[str, Any]) -> dict[str, str]:
    """Return the findings of a run by rank: name -> advice."""
    findings = from_plain(metrics["findings"])
    assert [one.rank for one in findings] == sorted(one.rank for one in findings)
    return {one.name: one.advice for one in findings}


@pytest.mark.parametrize("name", EARNED)
def test_following_the_advice_of_a_finding_makes_it_go_away(name: str, tmp_path: Path) -> None:
    before = found(train(tmp_path / "before", EARNED[name]))
    assert name in before, before
    assert (next(iter(before)) == name) == (name in FIRST)
    advice = before[name]
    if name == "diverged":
        # the advice is the limit itself
        assert advice == "optimizer.lr=5.0 is beyond the largest stable step size, 1/mean(x^2) = 3.04033"
        advice = "try optimizer.lr=3"
    word = advice.removeprefix("try ").partition(",")[0]
    assert advice.startswith("try ")
    after = found(train(tmp_path / "after", f"{EARNED[name]} {word}"))
    assert name not in after, (word, after)
    print(name, word, after)


@pytest.mark.parametrize("name", GOOD)
def test_a_run_that_succeeds_has_nothing_else_to_tell(name: str, tmp_path: Path) -> None:
    assert found(train(tmp_path / "run", GOOD[name])) == {name: ""}
