"""Real runs: each finding is earned by a run, and goes away in the run that follows its advice."""

import json
import sys
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch

from reluviz import Dataset, LinearModule, PiecewiseLinearData, ReLUModule, SegmentData, SnapshotLogger, load_run
from reluviz.__main__ import main
from reluviz.cli import config
from reluviz.core.findings import from_plain
from reluviz.data.schedules import EverySchedule
from reluviz.errors import Diverged
from reluviz.record import tags
from reluviz.record.event_file import event_files, read_events
from reluviz.record.reader import read_run
from reluviz.record.replica_reader import read_replicas
from reluviz.tab.wire_format import decode
from reluviz.training.facts import run_facts
from reluviz.training.lightning_startup import quiet
from reluviz.training.plan import plan_run

pytestmark = pytest.mark.long

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
    "still_falling": "+exp=relu updates=15000 snapshots.every=150",
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


@pytest.mark.parametrize("name", GOOD)
def test_a_run_that_succeeds_has_nothing_else_to_tell(name: str, tmp_path: Path) -> None:
    assert found(train(tmp_path / "run", GOOD[name])) == {name: ""}


@pytest.mark.parametrize(
    ("command", "updates"),
    # the linear experiment takes a snapshot after each update
    [("+exp=relu step_size=1.0", 3000), ("+exp=relu regime=output replicas=2", 3000), ("+exp=linear", 100)],
)
def test_a_prolonged_run_is_judged_as_one_that_was_longer_from_the_start(
    command: str, updates: int, tmp_path: Path
) -> None:
    keeps = ("callbacks=minimal", "callbacks.progress=null")
    folder, whole = tmp_path / "run", tmp_path / "whole"
    for words in (
        [*command.split(), f"updates={updates}", f"hydra.run.dir={folder}"],
        [f"ckpt_path={folder}", f"updates={3 * updates}"],
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["reluviz", "train", *words, *(keeps if command in " ".join(words) else ())])
            assert main() == 0
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["findings"] == train(whole, f"{command} updates={3 * updates}")["findings"]
    # what the first part had come to is gone from the record
    assert [one.plain() for one in load_run(folder).findings] == metrics["findings"]
    assert [*read_run(folder).findings] == [3 * updates]


def test_findings_are_recorded_and_read_back(tmp_path: Path) -> None:
    metrics = train(tmp_path, EARNED["still_falling"])
    run = load_run(tmp_path)
    assert [one.plain() for one in run.findings] == metrics["findings"] != []
    assert read_replicas(event_files(tmp_path)).findings == {15000: run.findings}
    (text,) = [
        value.tensor.string_val[0].decode()
        for event in read_events(event_files(tmp_path)[0])
        for value in event.summary.value
        if value.tag.startswith(tags.TEXT) and event.step == 15000
    ]
    assert f"- {run.findings[0].line}\n" in text
    assert decode(run.payload()["scalars"])[1]["findings"] == metrics["findings"]


def fit(callback: SnapshotLogger, module: Any, data: SegmentData, *others: L.Callback) -> None:
    """Train in Python, without a logger."""
    with quiet():
        trainer = L.Trainer(
            accelerator="cpu", max_epochs=1, callbacks=[callback, *others], logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module, data)


def names(callback: SnapshotLogger) -> list[str]:
    return [one.name for one in callback.findings]


def test_without_a_logger_findings_are_known_too(tmp_path: Path) -> None:
    with_logger = train(tmp_path / "with", EARNED["still_falling"])["findings"]
    assert train(tmp_path / "without", f"{EARNED['still_falling']} ~logger")["findings"] == with_logger
    callback = SnapshotLogger(pictures=0)
    fit(callback, ReLUModule(), PiecewiseLinearData(updates=15000, snapshots=EverySchedule(150)))
    assert callback.findings[0].plain() == with_logger[0]
    assert [one.text for one in callback.findings] == [one["text"] for one in with_logger]


def test_a_callback_can_judge_one_training_after_another() -> None:
    callback, again = SnapshotLogger(pictures=0), SnapshotLogger(pictures=0)
    data = PiecewiseLinearData(updates=300, snapshots=EverySchedule(10))
    fit(callback, ReLUModule(seeds=[3, 4]), data)
    fit(callback, ReLUModule(), data)
    fit(again, ReLUModule(), data)
    assert callback.findings == again.findings != ()


def test_of_several_replicas_one_diverges_and_the_others_stop() -> None:
    module, callback = (
        LinearModule(seeds=[0, 1], optimizer={"_target_": "torch.optim.SGD", "lr": 0.1}),
        SnapshotLogger(),
    )
    with torch.no_grad():
        module.theta[1] = float("inf")
    with pytest.raises(Diverged):
        fit(callback, module, PiecewiseLinearData(updates=50))
    first, second = callback.findings[:2]
    assert (first.name, first.replicas) == ("diverged", (1,))
    assert (
        first.advice == "optimizer.lr=0.1 is below the limit of full batches, 1/mean(x^2) = 3.04033; try a smaller one"
    )
    assert (second.name, second.replicas) == ("stopped_early", (0,))
    assert second.text == "stopped after 0 of 50 updates, when another replica diverged"


class Interrupt(L.Callback):
    def on_train_batch_end(self, *args: Any) -> None:
        raise KeyboardInterrupt


def test_an_interrupted_run_stopped_early_and_resuming_it_helps() -> None:
    callback, module, data = SnapshotLogger(pictures=0), LinearModule(), PiecewiseLinearData(updates=500)
    with pytest.raises(SystemExit):
        fit(callback, module, data, Interrupt())
    (stopped,) = [one for one in callback.findings if one.name == "stopped_early"]
    assert stopped.line == "stopped after 1 of 500 updates; resume the run"
    fit(callback, module, data)
    assert names(callback) == ["at_optimum"]


def test_data_far_from_one_are_to_blame_where_nothing_was_learned_and_scaling_helps() -> None:
    x = np.linspace(1.5e3, 1.6e3, 80)
    y = 2e4 + 500 * np.sin(x / 10)
    callback = SnapshotLogger(pictures=0)
    with pytest.raises(Diverged):
        fit(callback, ReLUModule(), SegmentData(Dataset("far", x, y, (1.5e3, 1.6e3)), updates=2000))
    assert callback.findings[0].name == "unscaled"
    assert callback.findings[0].text == (
        "nothing was learned, and x goes from 1500 to 1600 and y goes from 19500.9 to 20499.6,"
        " where step sizes suit values of about 1"
    )
    assert callback.findings[0].advice == 'try scale="auto" for the data set'
    scaled = Dataset("years", x, y, (1500.0, 1600.0), scale="auto")
    fit(callback, ReLUModule(), SegmentData(scaled, updates=20_000))
    assert names(callback) == ["learned"]


def test_equal_y_are_told() -> None:
    callback = SnapshotLogger(pictures=0)
    fit(
        callback,
        ReLUModule(),
        SegmentData(Dataset("flat", np.linspace(0, 1, 9), np.full(9, 0.1), (0.0, 1.0)), updates=99),
    )
    assert names(callback) == ["all_y_equal"]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ("+exp=relu", "step_size"),
        ("+exp=relu optimizer=momentum", "step_size"),
        ("+exp=relu optimizer=adam", "optimizer.lr"),
        ("+exp=relu optimizer.lr=0.02", "optimizer.lr"),
    ],
)
def test_advice_names_the_setting_that_has_an_effect(settings: str, name: str) -> None:
    assert plan_run(config.without_hydra(config.compose_checked(settings.split()))).setting_names.rate == name


def test_the_facts_of_theory_are_given_only_where_theory_holds() -> None:
    def known(module: Any) -> tuple[bool, bool]:
        callback = SnapshotLogger(pictures=0)
        fit(callback, module, data)
        assert callback.latest is not None
        assert callback.reference is not None
        facts = run_facts(
            module, data, callback.loss_history, callback.latest.stacked, np.array([True]), callback.reference
        )
        return facts.contraction is not None, facts.output_layer is not None

    data = PiecewiseLinearData(updates=2)
    sgd = {"_target_": "torch.optim.SGD", "lr": 0.1}
    halving = {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1, "gamma": 0.5}
    assert known(LinearModule(optimizer=sgd)) == (True, False)
    assert known(ReLUModule(train="output", optimizer=sgd)) == (False, True)
    for other in (sgd | {"momentum": 0.5}, sgd | {"weight_decay": 0.1}, {"_target_": "torch.optim.Adam", "lr": 0.1}):
        assert known(LinearModule(optimizer=other)) == (False, False)
        assert known(ReLUModule(train="output", optimizer=other)) == (False, False)
    assert known(LinearModule(optimizer=sgd, scheduler=halving)) == (False, False)
    assert known(ReLUModule(train="all", optimizer=sgd)) == (False, False)
    assert known(ReLUModule(train="ridge", optimizer=sgd)) == (False, False)


def test_the_output_layer_of_the_facts_is_that_of_the_run() -> None:
    module, data, callback = ReLUModule(train="output", seeds=[5, 6]), PiecewiseLinearData(updates=50), SnapshotLogger()
    fit(callback, module, data)
    assert callback.latest is not None
    assert callback.reference is not None
    history = callback.loss_history
    facts = run_facts(module, data, history, callback.latest.stacked, np.array([True, True]), callback.reference)
    assert facts.output_layer is not None
    for r in (0, 1):
        layer = facts.output_layer(r)
        loss = np.square(layer.phi @ layer.theta - layer.y).mean()
        assert loss == pytest.approx(callback.latest.loss_train[r], rel=1e-12)
    assert facts.dead is not None
    assert facts.linear is not None
    np.testing.assert_array_equal(facts.dead[-1], callback.latest.unit_counts["dead"])
    np.testing.assert_array_equal(facts.linear[-1], callback.latest.unit_counts["linear"])
    assert facts.updates.tolist() == data.schedule()
    assert facts.variance == pytest.approx(np.var(data.dataset.y))


def test_the_facts_of_a_run_on_scaled_data_have_its_output_layer_and_limits_in_the_units_of_training() -> None:
    x = np.linspace(1.5e3, 1.6e3, 80)
    dataset = Dataset("years", x, 2e4 + 500 * np.sin(x / 10), (1.5e3, 1.6e3), scale="auto")
    found = []
    for one in (dataset, Dataset("by hand", dataset.chosen_scaling().trained_x(x), by_hand(dataset), (0.0, 1.0))):
        module, data, callback = ReLUModule(train="output"), SegmentData(one, updates=50), SnapshotLogger(pictures=0)
        fit(callback, module, data)
        assert callback.latest is not None
        assert callback.reference is not None
        stacked = callback.latest.stacked
        facts = run_facts(module, data, callback.loss_history, stacked, np.array([True]), callback.reference)
        assert facts.output_layer is not None
        found.append((facts, facts.output_layer(0)))
    (facts, layer), (plain, plain_layer) = found
    assert (facts.scaled, plain.scaled) == (True, False)
    for name in ("phi", "y", "theta"):
        np.testing.assert_array_equal(getattr(layer, name), getattr(plain_layer, name))
    assert facts.stable_step() == plain.stable_step()
    np.testing.assert_allclose(facts.r_squared, plain.r_squared, rtol=1e-9, atol=1e-12)
    assert facts.x_range == (1.5e3, 1.6e3)


def by_hand(dataset: Dataset) -> np.ndarray:
    """Return the outputs in the units of training."""
    return (dataset.y - dataset.chosen_scaling().y_offset) / dataset.chosen_scaling().y_scale
