"""reluviz: watch how gradient descent learns.

Modules are `ConstantModule`, `LinearModule`, `ReLUModule`; data modules `PiecewiseLinearData`, `SineData`,
`FileData`, `SegmentData`; callbacks `SnapshotLogger`, `Checkpoints`, `ProgressBar`. `load_run(folder)` reads a
recorded `Run` back. Pure functions of tensors live in `geometry`, `votes`, `theory` and `functions`, pictures in
`pictures`.

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
    "RegressionModule": "reluviz.models",
    "PiecewiseLinearData": "reluviz.data.module",
    "SineData": "reluviz.data.module",
    "FileData": "reluviz.data.module",
    "SegmentData": "reluviz.data.module",
    "Dataset": "reluviz.data",
    "Full": "reluviz.data",
    "WithReplacement": "reluviz.data",
    "WithoutReplacement": "reluviz.data",
    "Epoch": "reluviz.data",
    "Linear": "reluviz.data",
    "Log": "reluviz.data",
    "Checkpoints": "reluviz.callbacks",
    "ProgressBar": "reluviz.callbacks",
    "SnapshotLogger": "reluviz.callbacks",
    "Run": "reluviz.runs",
    "load_run": "reluviz.runs",
    "Diverged": "reluviz.errors",
    "UserError": "reluviz.errors",
}
MODULES = ("functions", "geometry", "pictures", "theory", "votes")

__all__ = [*PUBLIC, *MODULES]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `--help` need not wait for torch."""
    if name in PUBLIC:
        return getattr(importlib.import_module(PUBLIC[name]), name)
    if name in MODULES:
        return importlib.import_module(f"reluviz.{name}")
    raise AttributeError(f"module 'reluviz' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
