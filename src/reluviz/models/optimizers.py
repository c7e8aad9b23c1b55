"""Optimisers and schedulers from plain settings: `_target_` and arguments, without Hydra."""

import importlib
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from reluviz.errors import UserError

COUPLED = ("LBFGS", "Adafactor", "Muon")
"""Optimisers of torch whose update of one number depends on others, and so would couple the replicas."""


def build_optimizer(settings: Mapping[str, Any], named: Mapping[str, nn.Parameter], replicas: int) -> Optimizer:
    """Return the optimiser that `settings` describe, over the parameters `named`.

    With weight decay the output bias stands in a group of its own without it.

    Raises:
        UserError: for a class or an argument that does not exist or does not fit.
    """
    target, arguments = _split(settings, "optimizer")
    cls = _find(target, Optimizer, "optimizer._target_", "torch.optim.SGD")
    if replicas > 1 and cls.__name__ in COUPLED:
        raise UserError(f"optimizer._target_={target}: would couple the replicas; use replicas=1")
    groups: list[dict[str, Any]] = [{"params": list(named.values())}]
    if arguments.get("weight_decay") and "output_bias" in named and len(named) > 1:
        decayed = [value for name, value in named.items() if name != "output_bias"]
        groups = [{"params": decayed}, {"params": [named["output_bias"]], "weight_decay": 0.0}]
    return _build(cls, groups, arguments, "optimizer")


def build_scheduler(settings: Mapping[str, Any], optimizer: Optimizer) -> LRScheduler:
    """Return the learning-rate scheduler that `settings` describe.

    Raises:
        UserError: for a class or an argument that does not exist or does not fit, a scheduler that needs a
            metric, or one that changes more than the learning rate.
    """
    target, arguments = _split(settings, "scheduler")
    cls = _find(target, LRScheduler, "scheduler._target_", "torch.optim.lr_scheduler.CosineAnnealingLR")
    if cls is torch.optim.lr_scheduler.ReduceLROnPlateau:
        raise UserError(f"scheduler._target_={target}: needs a metric at every update; choose one that counts")
    before = _without_rate(optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = _build(cls, optimizer, arguments, "scheduler")
    if _without_rate(optimizer) != before:
        raise UserError(f"scheduler._target_={target}: changes the momentum too; add +scheduler.cycle_momentum=false")
    return scheduler


def _split(settings: Mapping[str, Any], key: str) -> tuple[str, dict[str, Any]]:
    arguments = dict(settings)
    target = arguments.pop("_target_", None)
    if not isinstance(target, str):
        raise UserError(f"{key}._target_ is missing: the name of a class")
    return target, arguments


def _find(target: str, base: type, key: str, example: str) -> Any:
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        raise UserError(f"{key}={target}: there is no such class; for example {example}") from None
    if not (isinstance(found, type) and issubclass(found, base)) or inspect.isabstract(found):
        raise UserError(f"{key}={target}: is not a class of the kind of {example}")
    return found


def _build(cls: Any, first: Any, arguments: dict[str, Any], key: str) -> Any:
    known = inspect.signature(cls).parameters
    for name in arguments:
        if name not in known:
            takes = ", ".join(list(known)[1:])
            raise UserError(
                f"{key}.{name}: {cls.__name__} has no such argument (it takes {takes}); leave it out with ~{key}.{name}"
            )
    # YAML has no tuples, and betas must be one
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in arguments.items()}
    try:
        return cls(first, **plain)
    except (TypeError, ValueError) as error:
        shown = " ".join(f"{key}.{name}={value}" for name, value in arguments.items())
        raise UserError(f"{shown}: {cls.__name__} does not accept this: {' '.join(str(error).split())}") from error


def _without_rate(optimizer: Optimizer) -> list[dict[str, Any]]:
    rates = ("params", "lr", "initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum")
    return [{k: v for k, v in group.items() if k not in rates} for group in optimizer.param_groups]
