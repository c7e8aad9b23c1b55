"""The settings that vary between runs, and the labels of groups."""

from pathlib import Path

import pytest

from reluviz.analysis.report import settings
from reluviz.analysis.report.groups import Value
from reluviz.analysis.report.labels import label_sort_key, varying_settings
from reluviz.analysis.report.settings import Settings, read_hydra_settings, recorded_settings


def run(
    choices: dict[str, str | None] | None = None, references: dict[str, str] | None = None, **leaves: Value
) -> Settings:
    return Settings(
        {key.replace("__", "."): value for key, value in leaves.items()}, references or {}, choices or {}, ()
    )


def optimizer(kind: str, lr: float, width: int = 10, momentum: float | None = None) -> Settings:
    node: dict[str, Value] = {"optimizer___target_": kind.upper(), "optimizer__lr": lr}
    return run({"optimizer": kind}, model__width=width, optimizer__momentum=momentum, **node)


def test_a_setting_that_differs_only_because_a_choice_differs_is_no_key() -> None:
    runs = [
        optimizer(kind, 0.02, width, momentum)
        for width in (10, 20, 40)
        for kind, momentum in (("sgd", None), ("momentum", 0.9), ("adam", None))
    ]
    found = varying_settings(runs)
    assert found.keys == ("model.width", "optimizer")
    assert found.labels[0] == {"model.width": 10, "optimizer": "sgd"}
    assert found.labels[-1] == {"model.width": 40, "optimizer": "adam"}


def test_a_setting_that_varies_while_the_choice_is_the_same_is_a_key() -> None:
    found = varying_settings([optimizer("sgd", 0.1), optimizer("sgd", 0.2), optimizer("adam", 0.001)])
    assert found.keys == ("optimizer", "optimizer.lr")
    assert found.labels[2] == {"optimizer": "adam", "optimizer.lr": 0.001}


def test_a_setting_outside_the_node_of_a_choice_is_a_key_even_if_it_varies_with_the_choice() -> None:
    found = varying_settings([optimizer("sgd", 0.1, width=10), optimizer("adam", 0.1, width=20)])
    assert found.keys == ("model.width", "optimizer")


def test_a_choice_without_a_node_stands_for_the_settings_that_it_sets() -> None:
    def regime(name: str | None, train: str, step: float, width: int = 10) -> Settings:
        reference = {"optimizer.lr": "${step_size}"}
        return run(
            {"regime": name}, reference, model__train=train, step_size=step, model__width=width, optimizer__lr=step
        )

    # read from conf/regime
    assert settings.group_leaves("regime", ["output", None]) == {"model.train", "step_size"}
    assert settings.group_leaves("regime", ["output", "ridge"]) == {"model.train", "step_size", "updates"}
    found = varying_settings(
        [regime("output", "output", 0.2, width) for width in (10, 20)] + [regime("all", "all", 0.02)]
    )
    assert found.keys == ("model.width", "regime")
    # None counts as a choice too
    found = varying_settings([regime("output", "output", 0.2), regime("all", "all", 0.02), regime(None, "all", 0.3)])
    assert found.keys == ("regime",)
    # that regime=ridge sets updates does not matter where it is not chosen
    longer = regime("all", "all", 0.02)
    longer = Settings({**longer.leaves, "updates": 9}, longer.references, longer.choices, ())
    found = varying_settings([regime("output", "output", 0.2), regime("all", "all", 0.02), longer])
    assert found.keys == ("regime", "updates")
    # a choice is no key if it does not explain all of its settings
    found = varying_settings([regime("output", "output", 0.2), regime("all", "all", 0.02), regime("all", "all", 0.3)])
    assert found.keys == ("model.train", "step_size")


def test_a_choice_that_changes_no_setting_is_no_key_and_splits_no_group() -> None:
    found = varying_settings([run({"regime": None}, model__train="all"), run({"regime": "all"}, model__train="all")])
    assert found.keys == ()
    assert found.labels == ({}, {})
    same = [optimizer("sgd", 0.1), Settings(optimizer("sgd", 0.1).leaves, {}, {}, ()), optimizer("adam", 0.1)]
    found = varying_settings(same)
    assert [label["optimizer"] for label in found.labels] == ["sgd", "sgd", "adam"]


def test_if_the_choices_of_a_run_are_unknown_settings_are_compared() -> None:
    without_choices = Settings(optimizer("sgd", 0.3, momentum=0.5).leaves, {}, {}, ())
    found = varying_settings([optimizer("sgd", 0.1), without_choices, optimizer("adam", 0.1)])
    assert found.keys == ("optimizer", "optimizer.lr", "optimizer.momentum")
    assert [label["optimizer"] for label in found.labels] == ["SGD", "SGD", "ADAM"]


def test_of_a_reference_and_the_setting_it_refers_to_only_one_is_a_key() -> None:
    reference = {"optimizer.lr": "${step_size}"}
    found = varying_settings([run({}, reference, step_size=step, optimizer__lr=step) for step in (0.1, 0.2)])
    assert found.keys == ("step_size",)
    runs = [run({}, reference, step_size=0.1, optimizer__lr=0.1), run({}, {}, step_size=0.3, optimizer__lr=0.2)]
    assert varying_settings(runs).keys == ("optimizer.lr",)


def test_the_snapshot_schedule_tells_no_groups_apart() -> None:
    def recorded(schedule: str, every: int) -> Settings:
        return settings.recorded_settings({"snapshots": schedule, "snapshots.every": every, "model.width": 10})

    found = varying_settings([recorded("Linear", 1000), recorded("Early", 1000), recorded("Early", 10)])
    assert (found.keys, found.labels) == ((), ({}, {}, {}))


def test_runs_with_equal_settings_are_one_group() -> None:
    found = varying_settings([run(model__width=10)] * 3)
    assert (found.keys, found.labels) == ((), ({}, {}, {}))


def test_labels_are_sorted_by_the_values_of_numbers() -> None:
    labels: list[dict[str, Value]] = [{"a": value} for value in (100, "x", 9, None, 1.5, "b")]
    assert [label["a"] for label in sorted(labels, key=label_sort_key)] == [None, 1.5, 9, 100, "b", "x"]


def test_settings_are_read_without_names_seeds_callbacks_and_sweeps(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "name: x\nseed: 3\nseeds: null\nreplicas: 2\nstep_size: 0.5\nsweep:\n  trials: 3\n"
        "optimizer:\n  _target_: torch.optim.SGD\n  lr: ${step_size}\n  betas: [0.9, 1]\ncallbacks:\n  progress: 1\n"
    )
    (tmp_path / "hydra.yaml").write_text(
        "hydra:\n  runtime:\n    choices:\n      exp: relu\n      optimizer: sgd\n      regime: null\n"
        "      launcher: joblib\n      hydra/launcher: basic\n  verbose: false\n"
    )
    found = read_hydra_settings(tmp_path)
    assert found.leaves == {
        "step_size": 0.5,
        "optimizer._target_": "SGD",
        "optimizer.lr": 0.5,
        "optimizer.betas": "[0.9, 1]",
    }
    assert found.choices == {"optimizer": "sgd", "regime": None}
    assert found.seeds == (3, 4)
    recorded = recorded_settings({"optimizer": "SGD", "optimizer.lr": 0.5, "step_size": 0.5, "seed": 3, "name": "x"})
    assert recorded.leaves == {key: value for key, value in found.leaves.items() if "betas" not in key}


@pytest.mark.parametrize("text", ["", "name: [\n", "- a\n", "name: x\nseed: 1"])
def test_damaged_settings_are_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"config\.yaml is (empty|damaged)"):
        read_hydra_settings(tmp_path)
