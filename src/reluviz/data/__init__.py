"""Data sets, the minibatches drawn from them, and the segments between snapshots."""

import functools
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # so that type checkers know what `__getattr__` returns
    from reluviz.data.dataset import Dataset as Dataset
    from reluviz.data.point_files import file as file
    from reluviz.data.point_files import points as points
    from reluviz.data.samplers import Epoch as Epoch
    from reluviz.data.samplers import Full as Full
    from reluviz.data.samplers import Sampler as Sampler
    from reluviz.data.samplers import WithoutReplacement as WithoutReplacement
    from reluviz.data.samplers import WithReplacement as WithReplacement
    from reluviz.data.schedules import EarlySchedule as EarlySchedule
    from reluviz.data.schedules import EverySchedule as EverySchedule
    from reluviz.data.schedules import LogSchedule as LogSchedule
    from reluviz.data.schedules import Schedule as Schedule
    from reluviz.data.segments import Piece as Piece
    from reluviz.data.segments import Segment as Segment
    from reluviz.data.targets import piecewise_linear as piecewise_linear
    from reluviz.data.targets import sine as sine

PUBLIC = {
    "Dataset": "dataset",
    "EarlySchedule": "schedules",
    "Epoch": "samplers",
    "Full": "samplers",
    "EverySchedule": "schedules",
    "LogSchedule": "schedules",
    "Piece": "segments",
    "Sampler": "samplers",
    "Segment": "segments",
    "Schedule": "schedules",
    "WithReplacement": "samplers",
    "WithoutReplacement": "samplers",
    "file": "point_files",
    "piecewise_linear": "targets",
    "points": "point_files",
    "sine": "targets",
}

RECORDED_NAMES = {"Early": "EarlySchedule", "Linear": "EverySchedule", "Log": "LogSchedule"}
"""The schedules' names in conf/ and in recorded runs."""

__all__ = [*PUBLIC]


def __getattr__(name: str) -> Any:
    """Import a public name on first use: a process that only draws pictures needs no torch.

    Every other name in `targets.TARGETS` is a function that draws a data set of this target, as `sine` does.
    """
    name = RECORDED_NAMES.get(name, name)
    if name in PUBLIC:
        return getattr(importlib.import_module(f"reluviz.data.{PUBLIC[name]}"), name)
    targets = importlib.import_module("reluviz.data.targets")
    if name in targets.TARGETS:
        return functools.partial(targets.noisy_samples, name)
    raise AttributeError(f"module 'reluviz.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
