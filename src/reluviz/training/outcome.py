"""How a run ended. This module imports no heavy packages."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reluviz.record import tags


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: finished, diverged, interrupted or terminated.
        folder: the run's folder.
        metrics: the content of metrics.json.
        message: the error message of a diverged run; empty otherwise.
    """

    status: str
    folder: Path
    metrics: dict[str, Any]
    message: str = ""

    @property
    def exit_status(self) -> int:
        """The exit status of the process: 0, 3, 130 or 143."""
        return {"finished": 0, "diverged": 3, "interrupted": 130, "terminated": 143}[self.status]

    @property
    def loss(self) -> float:
        """The loss that sweepers minimise: the median over the replicas of the test loss; see `median_loss`."""
        return median_loss(self.metrics)


def median_loss(metrics: Mapping[str, Any]) -> float:
    """Return the median over the replicas of the test loss, or of the training loss without test points.

    The loss of a diverged replica counts as infinite.
    """
    losses: Sequence[float | None] = metrics.get(tags.LOSS_TEST) or metrics.get(tags.LOSS_TRAIN) or [None]
    return statistics.median(math.inf if loss is None else loss for loss in losses)
