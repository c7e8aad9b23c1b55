"""Callbacks: what is looked at, shown and kept while a model trains."""

from reluviz.training.callbacks.checkpoints import Checkpoints
from reluviz.training.callbacks.progress_bar import ProgressBar
from reluviz.training.callbacks.snapshot_logger import SnapshotLogger

__all__ = ["Checkpoints", "ProgressBar", "SnapshotLogger"]
