"""Recorded runs: read back from their folders, shown in notebooks, exported to files, and compared in reports."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reluviz.analysis.loading import load_run, load_runs, run_name, run_names, runs_below
    from reluviz.analysis.recorded_run import Run

__all__ = ["Run", "load_run", "load_runs", "run_name", "run_names", "runs_below"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use: reading event files alone does not need torch."""
    if name not in __all__:
        raise AttributeError(f"module 'reluviz.analysis' has no attribute {name!r}")
    module = "reluviz.analysis.recorded_run" if name == "Run" else "reluviz.analysis.loading"
    return getattr(importlib.import_module(module), name)
