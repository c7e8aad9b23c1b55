"""Training for tests: reluviz's modules and data in Lightning, in float64."""

from typing import Any

import lightning as L
import numpy as np
from numpy.typing import NDArray

from reluviz.data.datamodule import SegmentData
from reluviz.models import RegressionModule
from reluviz.training.lightning_startup import quiet

Array = NDArray[np.float64]
Trajectory = dict[int, dict[str, Array]]
"""The parameters at the snapshots: update -> name -> [R] or [R, W]."""


class TrajectoryRecorder(L.Callback):
    """Records the parameters at every snapshot."""

    def __init__(self) -> None:
        self.at: Trajectory = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._record(pl_module)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        self._record(pl_module)

    def _record(self, module: L.LightningModule) -> None:
        assert isinstance(module, RegressionModule)
        self.at[int(module.updates_done)] = module.parameter_copies()


def fit(module: RegressionModule, data: SegmentData) -> Trajectory:
    """Train as `reluviz train` does, in float64, and return the parameters at the snapshots."""
    recorder = TrajectoryRecorder()
    with quiet():
        L.Trainer(
            accelerator="cpu",
            precision="64-true",
            max_steps=len(data.schedule()) - 1,
            logger=False,
            callbacks=[recorder],
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            log_every_n_steps=0,
        ).fit(module, data)
    assert list(recorder.at) == data.schedule()
    return recorder.at


def series(at: Trajectory, name: str) -> Array:
    """Return the values of one parameter at all snapshots, [S, R] or [S, R, W]."""
    return np.stack([values[name] for values in at.values()])


def same(a: dict[str, Array], b: dict[str, Array]) -> bool:
    """Return True if two states are equal bit for bit."""
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
