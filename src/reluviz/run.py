"""One run: built from its configuration, trained in its folder, and told about at the end."""

import copy
import functools
import inspect
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig

from reluviz import describe, tags
from reluviz.callbacks import SnapshotLogger
from reluviz.checks import check, seeds_of
from reluviz.config import plain
from reluviz.data.dataset import Dataset
from reluviz.data.module import SegmentData
from reluviz.data.samplers import Full
from reluviz.data.segments import Piece
from reluviz.distribution import distribution
from reluviz.engines import choose
from reluviz.errors import Diverged, UserError
from reluviz.imports import undisturbed
from reluviz.models.base import RegressionModule
from reluviz.models.optimizers import build_optimizer, build_scheduler
from reluviz.profiling import Unprofiled
from reluviz.quiet import quiet
from reluviz.reference import reference
from reluviz.settings import build, callee
from reluviz.snapshot import Snapshot
from reluviz.sweeps.outcomes import median_loss

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
MANY = 2**20
"""Numbers in the hidden layers of a minibatch from which torch's threads help; below, waiting for each other costs
up to fifty times the work."""


@dataclass(frozen=True)
class Prepared:
    """A run that could start: everything is built and checked, nothing is written."""

    settings: dict[str, Any]
    dataset: Dataset
    data: SegmentData
    module: RegressionModule
    engine: str


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: finished, diverged, interrupted or terminated.
        folder: the run's folder.
        metrics: what metrics.json holds.
        message: why it diverged.
    """

    status: str
    folder: Path
    metrics: dict[str, Any]
    message: str = ""

    @property
    def exit_status(self) -> int:
        """The process's exit status: 0, 3, 130 or 143."""
        return {"finished": 0, "diverged": 3, "interrupted": 130, "terminated": 143}[self.status]

    @property
    def loss(self) -> float:
        """The median test loss over the replicas, or training loss without test points, for sweepers."""
        return median_loss(self.metrics)


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
    engine = choose(module.engine_name, module, data.sampler).name
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


def train(prepared: Prepared, folder: Path, checkpoint: Path | None = None) -> Outcome:
    """Train a prepared run in its folder, from the start or from a checkpoint.

    Args:
        prepared: the run.
        folder: where it writes; exists.
        checkpoint: the checkpoint to go on from.
    """
    started = time.perf_counter()
    threads = torch.get_num_threads()
    numbers = len(prepared.module.seeds) * prepared.data.sampler.batch(len(prepared.dataset.x))
    # an engine with threads of its own leaves torch little to do
    if prepared.engine == "fused" or numbers * getattr(prepared.module, "width", 1) < MANY:
        torch.set_num_threads(1)
    try:
        return _train(prepared, folder, checkpoint, started)
    finally:
        torch.set_num_threads(threads)


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
    with undisturbed():
        engine = choose(prepared.engine, module, data.sampler)
        full = isinstance(data.sampler, Full)
        # of full batches any points will do
        some = slice(FEW) if full else slice(None)
        batch = None if full else torch.zeros(len(module.seeds), 1, data.sampler.batch(len(x)), dtype=torch.int64)
        engine.run(module, optimizer, Piece(0, 1, batch), rates, x[some], y[some])


def _train(prepared: Prepared, folder: Path, checkpoint: Path | None, started: float) -> Outcome:
    settings, data, module = prepared.settings, prepared.data, prepared.module
    done, steps = (0, 0) if checkpoint is None else _position(checkpoint)
    callbacks = [
        build(
            node,
            f"callbacks.{name}",
            **({"folder": str(folder / "checkpoints")} if name == "checkpoints" else {}),
        )
        for name, node in settings["callbacks"].items()
    ]
    looker = next(cb for cb in callbacks if isinstance(cb, SnapshotLogger))
    hidden = ("callbacks", "logger", "trainer", "ckpt_path", "sweep")
    looker.settings = describe.flat({key: value for key, value in settings.items() if key not in hidden})
    logger = False
    if (chosen := settings.get("logger")) is not None:
        # what an interrupted run wrote at or after this snapshot is written again; a fresh run says so too,
        # since TensorBoard takes the first mark of this kind that it meets for the beginning
        logger = build(chosen, "logger", folder=str(folder), purge_step=done)
    with quiet():
        trainer = _trainer(
            settings["trainer"],
            max_steps=steps + len(data.remaining(done)),
            logger=logger,
            callbacks=callbacks,
            enable_progress_bar=any(isinstance(cb, L.pytorch.callbacks.ProgressBar) for cb in callbacks),
        )
        status, message = "finished", ""
        fit_started = time.perf_counter()
        try:
            # weights_only: a checkpoint is data that somebody may have handed over
            trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
        except Diverged as error:
            status, message = "diverged", str(error)
        except SystemExit:
            # Lightning turns Ctrl-C and SIGTERM into this
            status = "terminated" if trainer.received_sigterm else "interrupted"
        fit = time.perf_counter() - fit_started
    last = looker.latest
    if last is None or looker.sound is None:
        raise KeyboardInterrupt
    seconds = {
        "fit": fit,
        "engine": module.engine_seconds,
        "pictures": looker.picture_seconds,
        "total": time.perf_counter() - started,
    }
    metrics = _metrics(prepared, last, looker.sound, status, seconds)
    write_json(folder / "metrics.json", metrics)
    return Outcome(status, folder, metrics, message)


def _trainer(chosen: Mapping[str, Any], **ours: Any) -> L.Trainer:
    quietly: dict[str, Any] = {"log_every_n_steps": 0, "num_sanity_val_steps": 0}
    quietly |= {"enable_checkpointing": False, "enable_model_summary": False}
    profiler = {} if chosen.get("profiler") else {"profiler": Unprofiled()}
    try:
        return L.Trainer(**{**chosen, **profiler}, **ours, **quietly)
    except (TypeError, ValueError, RuntimeError, L.fabric.utilities.exceptions.MisconfigurationException) as error:
        shown = " ".join(f"trainer.{name}={value}" for name, value in chosen.items())
        raise UserError(f"{shown}: {' '.join(str(error).split())}") from error


@functools.cache
def _try_trainer(chosen: str) -> None:
    """See whether there can be such a trainer; the jobs of a sweep have mostly the same."""
    with quiet():
        _trainer(json.loads(chosen), max_steps=1, logger=False, enable_progress_bar=False)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON in one move: a reader sees the old file or the new one."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(beside, path)


def _position(checkpoint: Path) -> tuple[int, int]:
    """Return how many updates and how many of Lightning's steps a checkpoint stands at."""
    loaded = torch.load(checkpoint, map_location="cpu", weights_only=True)
    return int(loaded["state_dict"]["updates_done"]), int(loaded["global_step"])


def _metrics(
    prepared: Prepared, last: Snapshot, sound: NDArray[np.bool_], status: str, seconds: dict[str, float]
) -> dict[str, Any]:
    module = prepared.module
    found: dict[str, Any] = {
        "name": prepared.settings["name"],
        "status": status,
        "engine": module.engine.name if module.engine is not None else None,
        "updates": last.update,
        "seeds": module.seeds,
        "loss/train": last.loss_train,
        "loss/test": last.loss_test,
        "reference": reference(prepared.dataset, last, getattr(module, "ridge", None)),
    }
    if module.model == "relu":
        found |= {
            "elbow": last.elbow,
            "input_slope": last.parameters["input_slope"],
            "bias": last.parameters["bias"],
            "output_weight": last.parameters["output_weight"],
            "output_bias": last.parameters["output_bias"],
            "units": last.unit_counts,
        }
    else:
        found |= {"theta": last.parameters["theta"], "theta/optimum": found["reference"]["theta"]}
    found["seconds"] = {name: round(value, 3) for name, value in seconds.items()}
    found["versions"] = dict(_versions())
    losses = {tags.LOSS_TRAIN: last.loss_train, tags.LOSS_TEST: last.loss_test}
    found["distribution"] = {
        tag: None if loss is None else distribution(loss.numpy(), sound) for tag, loss in losses.items()
    }
    return {key: json_ready(value) for key, value in found.items()}


@functools.cache
def _versions() -> dict[str, str]:
    packages = ("reluviz", "torch", "lightning", "hydra-core", "tensorboard", "numpy")
    return {name: version(name) for name in packages}


def json_ready(value: Any) -> Any:
    """Return tensors as lists, and numbers that JSON does not have as null."""
    if isinstance(value, torch.Tensor):
        # most hold nothing that JSON does not have, and a thousand replicas have very many numbers
        return value.tolist() if bool(value.isfinite().all()) else json_ready(value.tolist())
    if isinstance(value, Mapping):
        return {key: json_ready(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(one) for one in value]
    if isinstance(value, float) and not (-float("inf") < value < float("inf")):
        return None
    return value
