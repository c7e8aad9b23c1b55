"""Early snapshots: how they divide the paths of the elbows, and what they leave as it is with the linear schedule."""

import sys
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reluviz import Run, load_run
from reluviz.__main__ import main
from reluviz.data import EverySchedule

pytestmark = pytest.mark.long

LARGEST_SHARE = 0.06
"""The largest part of the paths of all elbows between two neighbouring snapshots."""
RUNS = {
    "fused": "",
    "fused, Adam, replicas": "optimizer=adam replicas=3",
    "fused, momentum, schedule": "optimizer=momentum scheduler=cosine model.width=3",
    "reference": "engine=reference model.width=5",
    "reference, RMSprop, epochs": "engine=reference optimizer=rmsprop sampler=epoch model.width=5",
    "output layer": "regime=output",
    "exact in float64": "engine=exact sampler=full trainer.precision=64-true",
    "y = theta x": "model=linear",
}
"""Runs whose trajectory depends on no bit on the schedule."""
LONG = ("fused, Adam, replicas", "reference", "output layer", "y = theta x")
"""The `RUNS` whose tests are long; each of the others has another engine or optimiser."""


def recorded(folder: Path, words: str, schedule: str) -> Run:
    """Train the course's network with a schedule, and return what was recorded."""
    arguments = ["train", "+exp=relu", *words.split(), f"snapshots={schedule}", f"hydra.run.dir={folder / schedule}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", *arguments])
        assert main() == 0
    return load_run(folder / schedule)


@pytest.mark.long
def test_no_two_neighbouring_snapshots_of_exp_relu_hold_more_than_6_percent_of_the_path_of_all_elbows(
    tmp_path: Path,
) -> None:
    run = recorded(tmp_path, "callbacks=minimal", "early")
    assert len(run.updates) == 178

    def largest_share(updates: list[int]) -> float:
        moved = np.abs(np.diff(run.elbow[[run.at(update) for update in updates], 0], axis=0)).sum(axis=1)
        return float(moved.max() / moved.sum())

    assert largest_share(run.updates.tolist()) <= LARGEST_SHARE
    # what the linear schedule records of the same run
    assert largest_share(EverySchedule().schedule(150_000)) == pytest.approx(0.295, abs=0.005)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] * (name in LONG)) for name in RUNS])
def test_parameters_losses_and_votes_are_those_of_the_linear_schedule_bit_for_bit(tmp_path: Path, name: str) -> None:
    words = f"{RUNS[name]} updates=250 snapshots.every=100 callbacks=minimal"
    linear, early = (recorded(tmp_path, words, schedule) for schedule in ("linear", "early"))
    assert linear.updates.tolist() == [0, 1, 100, 200, 250]
    assert len(early.updates) > 20
    at = [early.at(update) for update in linear.updates]
    for parameter, values in linear.parameters.items():
        np.testing.assert_array_equal(early.parameters[parameter][at], values)
    np.testing.assert_array_equal(early.votes[at], linear.votes)
    for which in ("train", "test"):
        np.testing.assert_array_equal(early.loss(which)[at], linear.loss(which))
        assert linear.metrics is not None
        assert early.metrics is not None
        assert early.metrics[f"loss/{which}"] == linear.metrics[f"loss/{which}"]
    for tag in linear.tags:
        updates, values = linear.scalars(tag)
        all_updates, all_values = early.scalars(tag)
        np.testing.assert_array_equal(all_values[np.isin(all_updates, updates)], values, err_msg=tag)


def test_the_exact_engine_in_float32_rounds_at_each_snapshot_and_agrees_to_a_millionth(tmp_path: Path) -> None:
    # up to update 2,000: later a point comes to lie on another side of an elbow, and the runs slowly part
    words = "engine=exact sampler=full updates=2000 callbacks=minimal"
    linear, early = (recorded(tmp_path, words, schedule) for schedule in ("linear", "early"))
    at = [early.at(update) for update in linear.updates]
    for parameter, values in linear.parameters.items():
        np.testing.assert_allclose(early.parameters[parameter][at], values, rtol=0, atol=1e-6)


def test_the_pictures_are_at_the_updates_of_the_linear_schedule(tmp_path: Path) -> None:
    found = {}
    for schedule in ("linear", "early"):
        folder = recorded(tmp_path, "model.width=3 updates=900 snapshots.every=100", schedule).folder
        events = EventAccumulator(str(folder), size_guidance={"images": 0})
        events.Reload()
        found[schedule] = [event.step for event in events.Images("fit")]
    # ten of the eleven updates 0, 1, 100, ..., 900
    assert found["early"] == found["linear"]
    assert len(found["early"]) == 10
    assert set(found["early"]) < {0, 1, *range(100, 901, 100)}
