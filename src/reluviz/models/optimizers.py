"""Build optimisers and schedulers from plain settings (`_target_` and arguments), without Hydra."""

import copy
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from reluviz.errors import UserError
from reluviz.models.dotted_names import import_by_name

REPLICA_COUPLING_OPTIMIZERS = ("LBFGS", "Adafactor", "Muon")
"""Optimisers of torch whose update of a number depends on other numbers, which would couple the replicas."""
ARGUMENT_ERRORS = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RuntimeError)
"""Exceptions that classes of torch raise for invalid arguments."""


def build_optimizer(settings: Mapping[str, Any], named: Mapping[str, nn.Parameter], replicas: int) -> Optimizer:
    """Return the optimiser that `settings` describe, over the parameters `named`.

    With weight decay, the output bias gets a separate parameter group without it.

    Raises:
        UserError: if the class or an argument does not exist, or a value is invalid.
    """
    target, arguments = _split(settings, "optimizer")
    cls = _find_class(target, Optimizer, "optimizer._target_", "torch.optim.SGD")
    if replicas > 1 and cls.__name__ in REPLICA_COUPLING_OPTIMIZERS:
        raise UserError(f"optimizer._target_={target}: would couple the replicas; use replicas=1")
    if cls.__name__ == "SparseAdam":
        raise UserError(f"optimizer._target_={target}: needs sparse gradients, which these models do not have")
    groups: list[dict[str, Any]] = [{"params": list(named.values())}]
    if arguments.get("weight_decay") and "output_bias" in named and len(named) > 1:
        decayed = [value for name, value in named.items() if name != "output_bias"]
        groups = [{"params": decayed}, {"params": [named["output_bias"]], "weight_decay": 0.0}]
    optimizer: Optimizer = _build(cls, groups, arguments, "optimizer")
    return optimizer


def build_scheduler(settings: Mapping[str, Any], optimizer: Optimizer) -> LRScheduler:
    """Return the learning-rate scheduler that `settings` describe.

    Raises:
        UserError: if the class or an argument does not exist, a value is invalid, the scheduler needs a metric, or
            it changes more than the learning rate.
    """
    target, arguments = _split(settings, "scheduler")
    cls = _find_class(target, LRScheduler, "scheduler._target_", "torch.optim.lr_scheduler.CosineAnnealingLR")
    if cls is torch.optim.lr_scheduler.ReduceLROnPlateau:
        raise UserError(f"scheduler._target_={target}: needs a metric at every update; choose one that counts")
    before = [dict(group) for group in optimizer.param_groups]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler: LRScheduler = _build(cls, optimizer, arguments, "scheduler")
        state, rates = (
            copy.deepcopy(scheduler.state_dict()),
            [group["lr"] for group in optimizer.param_groups],
        )
        try:
            # many arguments are only checked by the first step
            scheduler.step()
        except ARGUMENT_ERRORS as error:
            raise _invalid_arguments(cls.__name__, arguments, "scheduler", error) from error
    for old, new, rate in zip(before, optimizer.param_groups, rates, strict=True):
        if any(old[name] is not new[name] and old[name] != new[name] for name in old.keys() - {"params", "lr"}):
            raise UserError(
                f"scheduler._target_={target}: changes more than the learning rate; where it is the momentum,"
                " add +scheduler.cycle_momentum=false"
            )
        new["lr"] = rate
    scheduler.load_state_dict(state)
    return scheduler


def _split(settings: Mapping[str, Any], key: str) -> tuple[str, dict[str, Any]]:
    arguments = dict(settings)
    target = arguments.pop("_target_", None)
    if not isinstance(target, str):
        raise UserError(f"{key}._target_ is missing: the name of a class")
    return target, arguments


def _find_class(target: str, base: type, key: str, example: str) -> Any:
    try:
        found = import_by_name(target)
    except LookupError:
        raise UserError(f"{key}={target}: there is no such class; for example {example}") from None
    if not (isinstance(found, type) and issubclass(found, base)) or found is base or inspect.isabstract(found):
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
    # YAML has no tuples, but betas must be a tuple
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in arguments.items()}
    try:
        return cls(first, **plain)
    except ARGUMENT_ERRORS as error:
        raise _invalid_arguments(cls.__name__, arguments, key, error) from error


def _invalid_arguments(name: str, arguments: dict[str, Any], key: str, error: Exception) -> UserError:
    shown = " ".join(f"{key}.{argument}={value}" for argument, value in arguments.items()) or key
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{shown}: {name} does not accept this: {reason}")
