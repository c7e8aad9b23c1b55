"""The start of a run without torch: the same as with torch, and refused with the same words."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig

from reluviz.cli import config
from reluviz.errors import UserError
from reluviz.training.plan import plan_run
from reluviz.training.prepare import prepare
from reluviz.training.start import _start_with_torch, find_start, needs_torch

WITHOUT_TORCH = [
    "",
    "+exp=linear model.start=2.3",
    "+exp=constant trainer.precision=64-true",
    "seed=4294967295 replicas=2 model.width=3",
    "seeds=[7,3] model.elbows=even model.train=hidden",
    "model.elbows=at_data model.train=output sampler=full engine=exact",
    "model.elbows=at_data trainer.precision=64-true data=sine",
    "model.elbows=given model.width=2 model.positions=[1,2]",
    "model.elbows=torch +exp=ridge",
    "optimizer=adam optimizer.weight_decay=0.1 scheduler=cosine",
    "optimizer=adamw scheduler=exponential updates=7",
    "optimizer=nesterov optimizer.momentum=0.5 scheduler=step engine=fused",
    "optimizer=rmsprop optimizer.lr=0.1 callbacks=everything",
    "callbacks.snapshots.pictures=3 ~callbacks.progress ~logger",
    "callbacks.progress=null callbacks.checkpoints=null",
]
WITH_TORCH = [
    "optimizer._target_=torch.optim.Adagrad",
    "optimizer=adam optimizer.betas=[0.8,0.99]",
    "optimizer=nesterov optimizer.momentum=0",
    "optimizer=adam ~optimizer.lr",
    "+optimizer.foreach=true",
    "scheduler=cosine scheduler.T_max=7",
    "scheduler=step scheduler.gamma=0.5",
    "+scheduler._target_=torch.optim.lr_scheduler.LinearLR",
    "model.init_from=network.pt",
    "model._target_=reluviz.models.LinearModule",
    "trainer.accelerator=gpu",
    "trainer.accelerator=auto",
    "~trainer.precision",
    "+trainer.profiler=simple",
    "+callbacks.snapshots.foo=1",
    "callbacks.progress._target_=mine.Bar",
    "logger._target_=mine.Logger",
]
REFUSED = [
    "engine=exact",
    "engine=nonsense",
    "engine=fused optimizer=rmsprop",
    "model.elbows=given",
    "model.elbows=given model.positions=[1,2]",
    "model.positions=[0.5]",
    "sampler=epoch sampler.batch_size=201",
    "data=file",
    "data=file data.path=tiny.csv +exp=linear",
    "~callbacks.snapshots",
    "callbacks.snapshots=null",
    "callbacks.progress=3",
    "optimizer=nesterov optimizer.momentum=0",
    "+optimizer.foo=1",
    "seeds=[1,1]",
]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.csv").write_text("x,y\n0,1\n1e-200,2\n", encoding="utf-8")


def composed(words: str) -> tuple[DictConfig, Mapping[str, str]]:
    """Return a configuration and the choice of each config group."""
    cfg = config.compose_checked(words.split())
    return config.without_hydra(cfg), cfg.hydra.runtime.choices


@pytest.mark.parametrize("words", WITHOUT_TORCH)
def test_the_start_found_without_torch_is_the_modules(words: str) -> None:
    cfg, choices = composed(words)
    plan = plan_run(cfg)
    assert not needs_torch(plan.settings, choices)
    found, expected = find_start(cfg, choices), _start_with_torch(plan)
    assert list(found.parameters) == list(expected.parameters)
    for name, value in expected.parameters.items():
        np.testing.assert_array_equal(found.parameters[name], value, err_msg=name, strict=True)
    for name in ("settings", "seeds", "model", "trained", "lr", "precision", "sampler"):
        assert getattr(found, name) == getattr(expected, name), name


def test_a_callback_that_is_null_is_none() -> None:
    settings = prepare(composed("callbacks.progress=null callbacks.checkpoints=null")[0]).settings
    assert list(settings["callbacks"]) == ["snapshots"]


@pytest.mark.parametrize("words", WITH_TORCH)
def test_what_only_torch_or_lightning_can_check_needs_torch(words: str) -> None:
    cfg, choices = composed(words)
    assert needs_torch(plan_run(cfg).settings, choices)


def test_the_start_from_a_file_has_its_digits() -> None:
    state = {"0.weight": [[0.1], [1.0]], "0.bias": [1 / 3, 2 / 3], "2.weight": [[-0.7, 0.9]], "2.bias": [5e-324]}
    Path("network.json").write_text(json.dumps(state), encoding="utf-8")
    words = "model.width=2 model.init_from=network.json trainer.precision="
    found = find_start(*composed(words + "64-true")).parameters
    assert {name: value[0].tolist() for name, value in found.items()} == {
        "input_slope": [0.1, 1.0],
        "bias": [1 / 3, 2 / 3],
        "output_weight": [-0.7, 0.9],
        "output_bias": 5e-324,
    }
    rounded = find_start(*composed(words + "32-true")).parameters
    assert rounded["bias"][0].tolist() == [float(np.float32(1 / 3)), float(np.float32(2 / 3))]


def test_the_learning_rate_of_the_first_update_is_after_the_scheduler() -> None:
    words = "+scheduler._target_=torch.optim.lr_scheduler.LinearLR +scheduler.start_factor=0.5 optimizer.lr=0.1"
    assert find_start(*composed(words)).lr == 0.05


@pytest.mark.parametrize("words", REFUSED)
def test_the_refusals_are_those_of_a_run(words: str) -> None:
    cfg, choices = composed(words)
    with pytest.raises(UserError) as expected:
        prepare(cfg)
    with pytest.raises(UserError) as found:
        find_start(cfg, choices)
    assert str(found.value) == str(expected.value)
