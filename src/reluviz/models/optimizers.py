"""Build optimisers and schedulers from plain settings (`_target_` and arguments), without Hydra."""

import copy
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from reluviz.errors import UserError
from reluviz.models.target_nodes import ARGUMENT_ERRORS, Kind, build, find_target, refusal

REPLICA_COUPLING_OPTIMIZERS = ("LBFGS", "Adafactor", "Muon")
"""Optimisers of torch whose update of a number depends on other numbers, which would couple the replicas."""
OPTIMIZER = Kind(Optimizer, "torch.optim.SGD")
SCHEDULER = Kind(LRScheduler, "torch.optim.lr_scheduler.CosineAnnealingLR")


def build_optimizer(settings: Mapping[str, Any], named: Mapping[str, nn.Parameter], replicas: int) -> Optimizer:
    """Return the optimiser that `settings` describe, over the parameters `named`.

    With weight decay, the output bias gets a separate parameter group without it.

    Raises:
        UserError: if the class or an argument does not exist, or a value is invalid.
    """
    cls, target = find_target(settings, "optimizer", OPTIMIZER), settings["_target_"]
    if replicas > 1 and cls.__name__ in REPLICA_COUPLING_OPTIMIZERS:
        raise UserError(f"optimizer._target_={target}: would couple the replicas; use replicas=1")
    if cls.__name__ == "SparseAdam":
        raise UserError(f"optimizer._target_={target}: needs sparse gradients, which these models do not have")
    groups: list[dict[str, Any]] = [{"params": list(named.values())}]
    if settings.get("weight_decay") and "output_bias" in named and len(named) > 1:
        decayed = [value for name, value in named.items() if name != "output_bias"]
        groups = [{"params": decayed}, {"params": [named["output_bias"]], "weight_decay": 0.0}]
    optimizer: Optimizer = build(settings, "optimizer", groups, kind=OPTIMIZER)
    return optimizer


def build_scheduler(settings: Mapping[str, Any], optimizer: Optimizer) -> LRScheduler:
    """Return the learning-rate scheduler that `settings` describe.

    Raises:
        UserError: if the class or an argument does not exist, a value is invalid, the scheduler needs a metric, or
            it changes more than the learning rate.
    """
    cls, target = find_target(settings, "scheduler", SCHEDULER), settings["_target_"]
    if cls is torch.optim.lr_scheduler.ReduceLROnPlateau:
        raise UserError(f"scheduler._target_={target}: needs a metric at every update; choose one that counts")
    before = [dict(group) for group in optimizer.param_groups]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler: LRScheduler = build(settings, "scheduler", optimizer, kind=SCHEDULER)
        state, rates = (
            copy.deepcopy(scheduler.state_dict()),
            [group["lr"] for group in optimizer.param_groups],
        )
        try:
            # many arguments are only checked by the first step
            scheduler.step()
        except ARGUMENT_ERRORS as error:
            raise refusal(cls, settings, "scheduler", error) from error
    for old, new, rate in zip(before, optimizer.param_groups, rates, strict=True):
        if any(old[name] is not new[name] and old[name] != new[name] for name in old.keys() - {"params", "lr"}):
            raise UserError(
                f"scheduler._target_={target}: changes more than the learning rate; where it is the momentum,"
                " add +scheduler.cycle_momentum=false"
            )
        new["lr"] = rate
    scheduler.load_state_dict(state)
    return scheduler
