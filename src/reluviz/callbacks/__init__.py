"""Callbacks: what is looked at, shown and kept while a model trains."""

from reluviz.callbacks.checkpoints import Checkpoints
from reluviz.callbacks.progress import ProgressBar
from reluviz.callbacks.snapshots import SnapshotLogger

__all__ = ["Checkpoints", "ProgressBar", "SnapshotLogger"]
