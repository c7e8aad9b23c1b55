"""Callbacks that record, save and show a run while it trains."""

from reluviz.training.callbacks.checkpoints import Checkpoints
from reluviz.training.callbacks.progress_bar import ProgressBar
from reluviz.training.callbacks.snapshot_logger import SnapshotLogger

__all__ = ["Checkpoints", "ProgressBar", "SnapshotLogger"]
