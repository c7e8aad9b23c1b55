"""What the Trainer is told and cannot do here: said in one line, or refused."""

import re

import lightning as L
import pytest
import torch

from reluviz import ReLUModule, SineData, UserError
from reluviz.console import say_once
from reluviz.training.lightning_startup import quiet

pytestmark = pytest.mark.filterwarnings("ignore:The number of training batches", "ignore:`max_epochs` was not set")
SEGMENTS = "counts segments, from one snapshot to the next, so this run ends after update"


@pytest.fixture(autouse=True)
def nothing_said_before():
    say_once.cache_clear()


def fit(module, updates=3000, checkpoint=None, **arguments):
    """Train, and return the number of updates made."""
    silent = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    with quiet():
        trainer = L.Trainer(accelerator="cpu", enable_checkpointing=False, **silent, **arguments)
        trainer.fit(module, SineData(updates=updates), ckpt_path=checkpoint, weights_only=True)
    return int(module.updates_done), trainer


@pytest.mark.parametrize(
    ("arguments", "updates"),
    [
        ({"max_steps": 5}, 5),
        ({"max_steps": 0}, 0),
        ({"limit_train_batches": 2, "max_epochs": 1}, 2),
        ({"limit_train_batches": 2, "max_epochs": 3}, 6),
        ({"limit_train_batches": 0.5, "max_epochs": 1}, 50),
        ({"overfit_batches": 2, "max_epochs": 1}, 2),
        ({"fast_dev_run": True}, 1),
    ],
)
def test_a_line_says_where_a_limit_ends_the_run(arguments, updates, capsys):
    done, _ = fit(ReLUModule(width=3), **arguments)
    assert done == updates
    name, value = next(iter(arguments.items()))
    line = capsys.readouterr().err.replace(", with nothing recorded", "")
    wanted = f"Trainer({name}={value}): {SEGMENTS} {updates} of 3,000; leave it out: updates sets the length of a run\n"
    assert wanted in line


@pytest.mark.parametrize("arguments", [{}, {"max_epochs": 1}, {"max_steps": 30}, {"max_steps": 500}, {"max_epochs": 7}])
def test_a_trainer_that_does_not_end_the_run_early_says_nothing(arguments, capsys):
    done, _ = fit(ReLUModule(width=3), **arguments)
    assert done == 3000
    assert "Trainer(" not in capsys.readouterr().err


def test_a_finished_run_that_max_epochs_stops_says_how_to_prolong_it(tmp_path, capsys):
    _, trainer = fit(ReLUModule(width=3), max_epochs=1)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    module = ReLUModule(width=3)
    done, _ = fit(module, 5000, tmp_path / "last.ckpt", max_epochs=1)
    assert done == 3000
    assert (
        "Trainer(max_epochs=1): a run is one epoch, which ended after update 3,000; leave max_epochs out to go on to"
        " update 5,000\n"
    ) in capsys.readouterr().err
    assert fit(ReLUModule(width=3), 5000, tmp_path / "last.ckpt")[0] == 5000


def test_a_run_whose_updates_are_made_says_so(capsys):
    module = ReLUModule(width=3)
    fit(module)
    assert "Trainer" not in capsys.readouterr().err
    fit(module, max_epochs=1)
    line = "Trainer: all 3,000 updates are made; a larger number prolongs the run, as in updates=6000\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("arguments", [{"val_check_interval": 2}, {"check_val_every_n_epoch": 2}])
def test_a_line_says_that_there_is_no_validation(arguments, capsys):
    fit(ReLUModule(width=3), **arguments)
    line = "Trainer: there is no validation; the test error is recorded at every snapshot, so val_check_interval"
    assert line in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [{"accumulate_grad_batches": 2}, {"gradient_clip_val": 1.0}])
def test_what_lightning_refuses_names_the_argument(arguments):
    (name,) = arguments
    with pytest.raises(L.fabric.utilities.exceptions.MisconfigurationException, match=rf"Trainer\({name}="):
        fit(ReLUModule(width=3), **arguments)


def test_a_compiled_module_is_refused():
    module = torch.compile(ReLUModule(width=3), backend="eager")
    silent = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    with quiet():
        trainer = L.Trainer(accelerator="cpu", enable_checkpointing=False, **silent)
        with pytest.raises(UserError, match=re.escape("torch.compile(module): leave it out; the engine")):
            trainer.fit(module, SineData(updates=10))


def test_several_devices_are_refused(monkeypatch):
    monkeypatch.setattr(L.Trainer, "world_size", property(lambda self: 2))
    monkeypatch.setattr(L.Trainer, "num_devices", property(lambda self: 2))
    with pytest.raises(UserError, match=r"^Trainer\(devices=2\): a run is trained on one device; seeds=\[0,1\] trains"):
        fit(ReLUModule(width=3))
