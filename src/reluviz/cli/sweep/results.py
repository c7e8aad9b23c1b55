"""What became of a job, read from its folder. Imports nothing heavy."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reluviz.training.outcome import median_loss

METRICS = "metrics.json"
FAILURE = "failure.json"
ENDED = ("finished", "diverged")
"""Statuses of runs that have nothing left to do."""


@dataclass(frozen=True)
class JobResult:
    """How a job stands.

    Attributes:
        folder: the job's folder.
        status: finished, diverged, interrupted or terminated as in metrics.json; failed: it could not be run;
            unfinished: it was begun and left no word; missing: it was not begun.
        reason: why it failed.
        loss: `median_loss` of its metrics; None without metrics.
    """

    folder: Path
    status: str
    reason: str = ""
    loss: float | None = None

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.status in ENDED


def read(folder: Path) -> JobResult:
    """Return how the job of a folder stands."""
    failure = _load(folder / FAILURE)
    if failure is not None:
        return JobResult(folder, "failed", str(failure.get("reason", "")))
    metrics = _load(folder / METRICS)
    if metrics is not None and isinstance(metrics.get("status"), str):
        return JobResult(folder, metrics["status"], loss=median_loss(metrics))
    return JobResult(folder, "unfinished" if (folder / ".hydra").is_dir() else "missing")


def _load(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
