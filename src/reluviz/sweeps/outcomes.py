"""What became of a job, read from its folder. Imports nothing heavy."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

METRICS = "metrics.json"
FAILURE = "failure.json"
ENDED = ("finished", "diverged")
"""Statuses of runs that have nothing left to do."""


@dataclass(frozen=True)
class Ending:
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


def read(folder: Path) -> Ending:
    """Return how the job of a folder stands."""
    failure = _load(folder / FAILURE)
    if failure is not None:
        return Ending(folder, "failed", str(failure.get("reason", "")))
    metrics = _load(folder / METRICS)
    if metrics is not None and isinstance(metrics.get("status"), str):
        return Ending(folder, metrics["status"], loss=median_loss(metrics))
    return Ending(folder, "unfinished" if (folder / ".hydra").is_dir() else "missing")


def median_loss(metrics: Mapping[str, Any]) -> float:
    """Return the median over the replicas of the test loss, or of the training loss where nothing is tested.

    A replica that diverged counts as infinitely bad.
    """
    losses: Sequence[float | None] = metrics.get("loss/test") or metrics.get("loss/train") or [None]
    return statistics.median(math.inf if loss is None else loss for loss in losses)


def _load(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
