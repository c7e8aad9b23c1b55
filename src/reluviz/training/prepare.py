"""A run before it starts: built from its configuration and checked. Nothing is written."""

import copy
import functools
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightning as L
import numpy as np
import torch
from omegaconf import DictConfig

from reluviz.data.datamodule import SegmentData
from reluviz.data.dataset import Dataset
from reluviz.data.samplers import Full
from reluviz.data.segments import Piece
from reluviz.engines.choose import choose
from reluviz.errors import UserError
from reluviz.models.module import RegressionModule
from reluviz.models.optimizers import build_optimizer, build_scheduler
from reluviz.training.instantiate import build, callee
from reluviz.training.lightning_startup import no_profiler, quiet, without_gc
from reluviz.training.validation import check, plain, seeds_of

OURS = (
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
"""Arguments of the Trainer that a run decides."""
FEW = 64
"""Points of an update that is thrown away."""


@dataclass(frozen=True)
class Prepared:
    """A run that could start: everything is built and checked, nothing is written."""

    settings: dict[str, Any]
    dataset: Dataset
    data: SegmentData
    module: RegressionModule
    engine: str


def prepare(cfg: DictConfig, resumed: bool = False) -> Prepared:
    """Check a composed configuration and build what it describes; nothing is created on disk.

    Args:
        cfg: the configuration.
        resumed: whether the weights come from a checkpoint, so that `model.init_from` is not read again.

    Raises:
        UserError: for anything that could not be trained.
    """
    settings: dict[str, Any] = plain(check(cfg))
    settings.setdefault("scheduler", None)
    dataset = build(settings["data"], "data")
    data = SegmentData(
        dataset,
        settings["updates"],
        build(settings["sampler"], "sampler"),
        build(settings["snapshots"], "snapshots"),
    )
    extra: dict[str, Any] = {
        "seeds": seeds_of(cfg),
        "optimizer": settings["optimizer"],
        "scheduler": settings["scheduler"] or None,
        "engine": settings["engine"],
    }
    node = dict(settings["model"])
    if "width" in node:
        extra["domain"] = dataset.domain
        if resumed:
            node["init_from"] = None
    if "train" in node and "positions" in node and node["elbows"] != "given" and node["positions"] is not None:
        raise UserError(f"model.positions={node['positions']}: goes with model.elbows=given, not {node['elbows']}")
    module = build(node, "model", **extra)
    largest = float(abs(dataset.x).max())
    if module.model == "linear" and largest * largest == 0:
        raise UserError(f"data={dataset.name}: x^2 is 0 for every x in floating point; use other units")
    engine = choose(module.engine_name, module.requirements(data.sampler)).name
    # a trial, whose outcome is thrown away: the trainer asks the module again
    optimizer = build_optimizer(
        settings["optimizer"], {name: getattr(module, name) for name in module.trained}, len(module.seeds)
    )
    if scheduler := settings["scheduler"]:
        build_scheduler(scheduler, optimizer)
    known = inspect.signature(L.Trainer).parameters
    for name in settings["trainer"]:
        if name not in known or name in OURS:
            why = "is set by reluviz itself" if name in OURS else "is no argument of Lightning's Trainer"
            raise UserError(f"trainer.{name}: {why}; leave it out")
    if "snapshots" not in settings["callbacks"]:
        raise UserError("callbacks.snapshots is missing: it watches the run; callbacks=minimal has the least")
    for name, node in settings["callbacks"].items():
        build(node, f"callbacks.{name}")
    if (chosen := settings.get("logger")) is not None:
        callee(chosen, "logger")
    _try_trainer(json.dumps(settings["trainer"]))
    return Prepared(settings, dataset, data, module, engine)


def warm_up(prepared: Prepared) -> None:
    """Load the engine's compiled code, or compile it: by one update of a copy of the model, which is thrown away.

    It belongs to the start of the process, with the imports of packages, and like them goes on without the garbage
    collector.
    """
    if prepared.engine not in ("fused", "exact"):
        return
    module, data = copy.deepcopy(prepared.module), prepared.data
    if prepared.settings["trainer"].get("precision") == "64-true":
        module.double()
    named = {name: getattr(module, name) for name in module.trained}
    optimizer = build_optimizer(module.optimizer_settings, named, len(module.seeds))
    rates = np.zeros((1, len(optimizer.param_groups)))
    x, y = module.points(prepared.dataset)
    with without_gc():
        engine = choose(prepared.engine, module.requirements(data.sampler))
        full = isinstance(data.sampler, Full)
        # of full batches any points will do
        some = slice(FEW) if full else slice(None)
        batch = None if full else torch.zeros(len(module.seeds), 1, data.sampler.batch(len(x)), dtype=torch.int64)
        engine.run(module.state(), optimizer, Piece(0, 1, batch), rates, x[some], y[some])


def make_trainer(chosen: Mapping[str, Any], **ours: Any) -> L.Trainer:
    """Return a Lightning trainer from the settings `trainer` and the arguments that a run decides itself.

    Raises:
        UserError: if Lightning does not accept the settings.
    """
    quietly: dict[str, Any] = {"log_every_n_steps": 0, "num_sanity_val_steps": 0}
    quietly |= {"enable_checkpointing": False, "enable_model_summary": False}
    profiler = {} if chosen.get("profiler") else {"profiler": no_profiler()}
    try:
        return L.Trainer(**{**chosen, **profiler}, **ours, **quietly)
    except (TypeError, ValueError, RuntimeError, L.fabric.utilities.exceptions.MisconfigurationException) as error:
        shown = " ".join(f"trainer.{name}={value}" for name, value in chosen.items())
        raise UserError(f"{shown}: {' '.join(str(error).split())}") from error


@functools.cache
def _try_trainer(chosen: str) -> None:
    """See whether there can be such a trainer; the jobs of a sweep have mostly the same."""
    with quiet():
        make_trainer(json.loads(chosen), max_steps=1, logger=False, enable_progress_bar=False)
