"""Runs read back from their folders: what `record` wrote, as arrays over updates."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reluviz.analysis.loading import load_run, load_runs, name, names, runs_below
    from reluviz.analysis.recorded_run import Run

__all__ = ["Run", "load_run", "load_runs", "name", "names", "runs_below"]


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for: who only reads event files need not wait for torch."""
    if name not in __all__:
        raise AttributeError(f"module 'reluviz.analysis' has no attribute {name!r}")
    return getattr(
        importlib.import_module("reluviz.analysis.recorded_run" if name == "Run" else "reluviz.analysis.loading"), name
    )
