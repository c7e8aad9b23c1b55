"""What a run will train, from its configuration: everything that can be built and checked without torch."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from reluviz.core.models import MODELS
from reluviz.core.run_facts import SettingNames
from reluviz.data.dataset import Dataset
from reluviz.data.samplers import Sampler, checked_batch
from reluviz.data.schedules import Schedule
from reluviz.errors import UserError
from reluviz.models.automatic_step import STEP_FRACTION, automatic_step
from reluviz.training.instantiate import build
from reluviz.training.memory import check_memory
from reluviz.training.validation import check, plain, seeds_of

SCALED_NOTE = "trains with x scaled to [0, 1] and y to mean 0 and deviation 1"
"""What `data.scale=auto` does for networks; see `data.scaling`."""


@dataclass(frozen=True)
class Plan:
    """The parts of a run that need no torch.

    Attributes:
        settings: the configuration as plain values, each of them within its rule.
        dataset: the points.
        sampler: which points each update uses.
        snapshots: after which updates a snapshot is taken.
        seeds: one seed for each replica.
        step_given: whether the user has given the step size, so that it is kept.
        notes: lines for the user about the data, and about what `data.scale=auto` has chosen.
        setting_names: how advice writes settings.
    """

    settings: dict[str, Any]
    dataset: Dataset
    sampler: Sampler
    snapshots: Schedule
    seeds: list[int]
    setting_names: SettingNames
    step_given: bool = True
    notes: tuple[str, ...] = ()

    def for_model(self, model: str) -> "Plan":
        """Return the plan with what `data.scale=auto` chooses for a model of this name: scaled data, or a step size."""
        record, optimizer = MODELS.get(model), self.settings["optimizer"]
        if self.dataset.scale == "auto" and record is not None and record.in_user_units is not None:
            return replace(self, notes=(*self.notes, SCALED_NOTE))
        step = None if self.step_given else automatic_step(model, self.dataset, self.sampler, optimizer)
        if step is None:
            return self
        settings = self.settings | {"step_size": step, "optimizer": optimizer | {"lr": step}}
        note = f"step size {step:.3g}, {100 * STEP_FRACTION:.0f} % of the largest stable one for these points"
        return replace(self, settings=settings, notes=(*self.notes, note))


def plan_run(cfg: DictConfig, step_given: bool = True) -> Plan:
    """Check a composed configuration and build the parts of its run that need no torch.

    Args:
        cfg: the configuration.
        step_given: whether the user has given the step size, on the command line or as a value of a sweep.

    Raises:
        UserError: if the run could not be trained.
    """
    cfg = check(cfg)
    settings: dict[str, Any] = plain(cfg)
    settings.setdefault("scheduler", None)
    settings["callbacks"] = _callbacks(settings["callbacks"])
    check_memory(settings)
    dataset = build(settings["data"], "data")
    sampler = build(settings["sampler"], "sampler")
    snapshots = build(settings["snapshots"], "snapshots")
    checked_batch(sampler, len(dataset.x))
    check_memory(settings, len(dataset.x))
    node = settings["model"]
    if "train" in node and "positions" in node and node["elbows"] != "given" and node["positions"] is not None:
        raise UserError(f"model.positions={node['positions']}: goes with model.elbows=given, not {node['elbows']}")
    return Plan(
        settings, dataset, sampler, snapshots, seeds_of(cfg), _setting_names(cfg), step_given, _notes(node, dataset)
    )


def _notes(model: dict[str, Any], dataset: Dataset) -> tuple[str, ...]:
    """Return lines about how the points were read, and about elbows that the user has placed far from them."""
    positions, low, high = model.get("positions"), float(dataset.x.min()), float(dataset.x.max())
    if model.get("elbows") != "given" or not positions or any(low <= beta <= high for beta in positions):
        return dataset.notes
    return (
        *dataset.notes,
        f"no elbow of model.positions lies within the data, where x goes from {low:.6g} to {high:.6g}",
    )


def _setting_names(cfg: DictConfig) -> SettingNames:
    """Return how a command line writes settings; `step_size` counts only where the optimiser's `lr` refers to it."""
    optimizer = OmegaConf.to_container(cfg.optimizer, resolve=False)
    refers = isinstance(optimizer, dict) and optimizer.get("lr") == "${step_size}"
    return SettingNames("step_size" if refers else "optimizer.lr", "model.", "data.scale=auto", "null")


def _callbacks(nodes: dict[str, Any]) -> dict[str, Any]:
    """Return the nodes of the callbacks without those that are null, which means none.

    Raises:
        UserError: if a node is neither null nor the settings of a callback.
    """
    for name, node in nodes.items():
        if node is not None and not isinstance(node, dict):
            raise UserError(f"callbacks.{name}={node}: must be null (none) or have callbacks.{name}._target_, a class")
    return {name: node for name, node in nodes.items() if node is not None}


def check_points(model: str, dataset: Dataset) -> None:
    """Check that gradient descent can train a model on the points.

    Raises:
        UserError: if the model is f = theta phi(x), and the curvature 2 mean(phi^2) of its loss is 0.
    """
    record = MODELS.get(model)
    if record is None or record.feature is None:
        return
    with np.errstate(all="ignore"):
        curved = bool(np.square(record.feature(dataset.x)).any())
    if not curved:
        phi = record.formula.removeprefix("y = theta ")
        raise UserError(f"data={dataset.name}: {phi}^2 is 0 for every x in floating point; use other units")


def check_callbacks(settings: dict[str, Any]) -> None:
    """Check that the run is recorded.

    Raises:
        UserError: if the callback that takes the snapshots is missing.
    """
    if "snapshots" not in settings["callbacks"]:
        raise UserError("callbacks.snapshots is missing: it records the run; callbacks=minimal records the least")
