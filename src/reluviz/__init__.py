"""reluviz: watch how gradient descent learns.

Modules are `ConstantModule`, `LinearModule`, `ReLUModule`, `MLPModule`; data modules `PiecewiseLinearData`, `SineData`,
`FileData`, `SegmentData`; callbacks `SnapshotLogger`, `Checkpoints`, `ProgressBar`. `load_run(folder)` reads a
recorded `Run` back. Functions of NumPy arrays are in `geometry`, `votes`, `theory` and `functions`; `pictures` draws.

    import lightning as L
    from reluviz import PiecewiseLinearData, ReLUModule, SnapshotLogger

    L.Trainer(max_epochs=1, callbacks=[SnapshotLogger()]).fit(ReLUModule(width=20), PiecewiseLinearData(updates=10_000))
"""

import importlib
from typing import Any

PUBLIC = {
    "ConstantModule": "reluviz.models",
    "LinearModule": "reluviz.models",
    "ReLUModule": "reluviz.models",
    "MLPModule": "reluviz.models",
    "RegressionModule": "reluviz.models",
    "PiecewiseLinearData": "reluviz.data.datamodule",
    "SineData": "reluviz.data.datamodule",
    "FileData": "reluviz.data.datamodule",
    "SegmentData": "reluviz.data.datamodule",
    "Dataset": "reluviz.data",
    "Full": "reluviz.data",
    "WithReplacement": "reluviz.data",
    "WithoutReplacement": "reluviz.data",
    "Epoch": "reluviz.data",
    "EarlySchedule": "reluviz.data",
    "EverySchedule": "reluviz.data",
    "LogSchedule": "reluviz.data",
    "Early": "reluviz.data",
    "Linear": "reluviz.data",
    "Log": "reluviz.data",
    "Checkpoints": "reluviz.training.callbacks",
    "ProgressBar": "reluviz.training.callbacks",
    "SnapshotLogger": "reluviz.training.callbacks",
    "Run": "reluviz.analysis",
    "load_run": "reluviz.analysis",
    "Diverged": "reluviz.errors",
    "UserError": "reluviz.errors",
}
"""Public names and the modules that define them. `Early`, `Linear` and `Log` are the schedules' names in conf/."""
MODULES = {
    "functions": "reluviz.core.functions",
    "geometry": "reluviz.core.elbows",
    "pictures": "reluviz.plots",
    "theory": "reluviz.core.theory",
    "votes": "reluviz.core.votes",
}
"""Public modules: `from reluviz import votes`."""

__all__ = [*PUBLIC, *MODULES]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `--help` does not wait for torch."""
    if name in PUBLIC:
        return getattr(importlib.import_module(PUBLIC[name]), name)
    if name in MODULES:
        return importlib.import_module(MODULES[name])
    raise AttributeError(f"module 'reluviz' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
