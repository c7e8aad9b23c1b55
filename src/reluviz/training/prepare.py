"""Builds and checks a run from its configuration, before anything is written."""

import copy
import functools
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import lightning as L
import numpy as np
import torch
from omegaconf import DictConfig

from reluviz.core.run_facts import SettingNames
from reluviz.data.datamodule import SegmentData
from reluviz.data.dataset import Dataset
from reluviz.data.samplers import Full
from reluviz.data.scaling import IDENTITY
from reluviz.data.segments import Piece
from reluviz.data.trainer_limits import UNSUPPORTED
from reluviz.engines.choose import choose
from reluviz.errors import UserError
from reluviz.models.module import RegressionModule
from reluviz.models.optimizers import build_optimizer, build_scheduler
from reluviz.training.instantiate import build, find_target, model_name
from reluviz.training.lightning_startup import quiet, without_gc
from reluviz.training.memory import check_memory
from reluviz.training.plan import Plan, check_callbacks, check_points, plan_run

RESERVED_TRAINER_ARGUMENTS = (
    "max_steps",
    "max_epochs",
    "logger",
    "callbacks",
    "log_every_n_steps",
    "num_sanity_val_steps",
    "enable_checkpointing",
    "enable_model_summary",
    "enable_progress_bar",
    "strategy",
    "num_nodes",
)
"""Arguments of Lightning's Trainer that reluviz sets; a configuration must leave them out."""
WARM_UP_POINTS = 64
"""The number of points of the warm-up update of full batches."""


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to start: everything is built and checked, and nothing is written.

    Attributes:
        settings: the configuration as plain values.
        dataset: the points.
        data: the data module.
        module: the model.
        engine: the name of the engine that makes the updates.
        notes: lines for the user; see `Plan`.
        setting_names: how advice writes settings.
    """

    settings: dict[str, Any]
    dataset: Dataset
    data: SegmentData
    module: RegressionModule
    engine: str
    setting_names: SettingNames
    notes: tuple[str, ...] = ()


def prepare(cfg: DictConfig, resumed: bool = False, step_given: bool = True) -> Prepared:
    """Check a composed configuration and build the run it describes; nothing is written to disk.

    Args:
        cfg: the configuration.
        resumed: whether the weights come from a checkpoint; `model.init_from` is ignored then.
        step_given: whether the user has given the step size; see `plan_run`.

    Raises:
        UserError: if the run could not be trained.
    """
    return prepare_plan(plan_run(cfg, step_given), resumed)


def prepare_plan(plan: Plan, resumed: bool = False) -> Prepared:
    """Build the run of a plan with torch and Lightning; arguments and errors as for `prepare`."""
    plan = plan.for_model(model_name(plan.settings["model"]) or "")
    settings, dataset = plan.settings, plan.dataset
    data = SegmentData(dataset, settings["updates"], plan.sampler, plan.snapshots)
    extra: dict[str, Any] = {
        "seeds": plan.seeds,
        "optimizer": settings["optimizer"],
        "scheduler": settings["scheduler"] or None,
        "engine": settings["engine"],
    }
    node = dict(settings["model"])
    if "elbows" in node:
        extra["domain"] = dataset.domain
        if resumed:
            node["init_from"] = None
    module = build(node, "model", **extra)
    check_points(module.model, dataset)
    _check_finite(module, dataset, settings["trainer"].get("precision"), resumed)
    engine = choose(module.engine_name, module.requirements(data.sampler)).name
    # once more, since `engine=auto` may mean PyTorch itself
    check_memory({**settings, "engine": engine}, len(dataset.x))
    # built only to raise errors early: the trainer later has the module build its own
    optimizer = build_optimizer(
        settings["optimizer"], {name: getattr(module, name) for name in module.trained}, len(module.seeds)
    )
    if scheduler := settings["scheduler"]:
        build_scheduler(scheduler, optimizer)
    trainer_arguments = inspect.signature(L.Trainer).parameters
    for name in settings["trainer"]:
        reserved = name in RESERVED_TRAINER_ARGUMENTS
        if name not in trainer_arguments or reserved:
            why = "is set by reluviz itself" if reserved else "is no argument of Lightning's Trainer"
            raise UserError(f"trainer.{name}: {why}; leave it out")
        if name in UNSUPPORTED and (value := settings["trainer"][name]) not in (None, trainer_arguments[name].default):
            raise UserError(f"trainer.{name}={value}: {UNSUPPORTED[name]}; leave it out")
    check_callbacks(settings)
    for name, node in settings["callbacks"].items():
        build(node, f"callbacks.{name}")
    if (logger := settings.get("logger")) is not None:
        find_target(logger, "logger")
    _check_trainer(json.dumps(settings["trainer"]))
    return Prepared(settings, dataset, data, module, engine, plan.setting_names, plan.notes)


def _check_finite(module: RegressionModule, dataset: Dataset, precision: Any, resumed: bool) -> None:
    """Check that the first parameters, and the points as trained, are finite in the numbers of the engine.

    Args:
        module: the model before its first update.
        dataset: the points.
        precision: the trainer's.
        resumed: whether the parameters come from a checkpoint, and are not checked.

    Raises:
        UserError: if one of them is not.
    """
    placed = copy.deepcopy(module)
    if not resumed:
        placed.place_on(dataset)
    for name, value in placed.named_parameters():
        if not bool(value.isfinite().all()):
            raise UserError(f"model: {name} is beyond float32 at the start; choose smaller numbers")
    dtype = np.float64 if precision == "64-true" else np.float32
    points = replace(dataset, scaling=dataset.chosen_scaling() if module.scalable else IDENTITY).as_trained
    for axis, values in (("x", points.x), ("y", points.y)):
        if (largest := float(np.abs(values).max())) > float(np.finfo(dtype).max):
            hint = "trainer.precision=64-true or data.scale=auto" if dataset.scale == "none" else "other units"
            raise UserError(
                f"data={dataset.name}: {axis} goes up to {largest:.3g}, beyond {dtype.__name__}; use {hint}"
            )


def warm_up(prepared: Prepared) -> None:
    """Load or compile the engine's code, by making one update of a copy of the model.

    Like the imports of packages, this runs once at the start of the process and without the garbage collector.
    """
    if prepared.engine not in ("fused", "exact"):
        return
    module, data = copy.deepcopy(prepared.module), prepared.data
    if prepared.settings["trainer"].get("precision") == "64-true":
        module.double()
    named = {name: getattr(module, name) for name in module.trained}
    optimizer = build_optimizer(module.optimizer_settings, named, len(module.seeds))
    rates = np.zeros((1, len(optimizer.param_groups)))
    x, y = module.training_points(prepared.dataset)
    with without_gc():
        engine = choose(prepared.engine, module.requirements(data.sampler))
        full = isinstance(data.sampler, Full)
        # full batches of any size use the same code
        some = slice(WARM_UP_POINTS) if full else slice(None)
        batch = None if full else torch.zeros(len(module.seeds), 1, data.sampler.batch(len(x)), dtype=torch.int64)
        engine.run(module.model_state(), optimizer, Piece(0, 1, batch), rates, x[some], y[some])


def make_trainer(settings: Mapping[str, Any], **reserved: Any) -> L.Trainer:
    """Return a Lightning trainer.

    Args:
        settings: the configuration's node `trainer`.
        reserved: arguments that reluviz sets for this run.

    Raises:
        UserError: if Lightning does not accept the settings.
    """
    disabled: dict[str, Any] = {"log_every_n_steps": 0, "num_sanity_val_steps": 0}
    disabled |= {"enable_checkpointing": False, "enable_model_summary": False}
    try:
        return L.Trainer(**settings, **reserved, **disabled)
    except (TypeError, ValueError, RuntimeError, L.fabric.utilities.exceptions.MisconfigurationException) as error:
        shown = " ".join(f"trainer.{name}={value}" for name, value in settings.items())
        raise UserError(f"{shown}: {' '.join(str(error).split())}") from error


@functools.cache
def _check_trainer(settings: str) -> None:
    """Raise a UserError if Lightning rejects the trainer's settings (as JSON); cached for the jobs of a sweep."""
    with quiet():
        make_trainer(json.loads(settings), max_steps=1, logger=False, enable_progress_bar=False)
