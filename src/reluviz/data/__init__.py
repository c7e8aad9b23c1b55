"""Data: the sets of points, the minibatches drawn from them, and the segments between snapshots."""

import importlib
from typing import Any

PUBLIC = {
    "Dataset": "dataset",
    "Epoch": "samplers",
    "Full": "samplers",
    "Linear": "snapshots",
    "Log": "snapshots",
    "Piece": "segments",
    "Sampler": "samplers",
    "Segment": "segments",
    "Snapshots": "snapshots",
    "WithReplacement": "samplers",
    "WithoutReplacement": "samplers",
    "file": "files",
    "piecewise_linear": "targets",
    "sine": "targets",
}

__all__ = [*PUBLIC]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: a process that only draws needs no torch."""
    if name in PUBLIC:
        return getattr(importlib.import_module(f"reluviz.data.{PUBLIC[name]}"), name)
    raise AttributeError(f"module 'reluviz.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
