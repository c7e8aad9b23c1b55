"""The result of a job, read from its folder. Imports nothing heavy."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reluviz.core.findings import first_labels, from_plain
from reluviz.files import CONFIG_FOLDER, FAILURE_FILE, METRICS_FILE, parse_json
from reluviz.training.outcome import median_loss

DONE_STATUSES = ("finished", "diverged")
"""Of jobs that a resumed sweep does not run again."""


@dataclass(frozen=True)
class JobResult:
    """The state of a job.

    Attributes:
        folder: the job's folder.
        status: finished, diverged, interrupted or terminated, as in metrics.json; failed if the job could not be run;
            unfinished if it was begun and left neither file; missing if it was not begun.
        reason: why the job failed.
        loss: `median_loss` of the job's metrics; None without metrics.
        findings: the label of each replica's first finding; empty without metrics.
    """

    folder: Path
    status: str
    reason: str = ""
    loss: float | None = None
    findings: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Return True if the job does not have to be run again."""
        return self.status in DONE_STATUSES


def read_result(folder: Path) -> JobResult:
    """Return the state of the job in a folder."""
    failure = _load_object(folder / FAILURE_FILE)
    if failure is not None:
        return JobResult(folder, "failed", str(failure.get("reason", "")))
    metrics = _load_object(folder / METRICS_FILE)
    if metrics is not None and isinstance(metrics.get("status"), str):
        return JobResult(folder, metrics["status"], loss=median_loss(metrics), findings=_findings(metrics))
    return JobResult(folder, "unfinished" if (folder / CONFIG_FOLDER).is_dir() else "missing")


def finished_updates(folder: Path) -> int | None:
    """Return the number of updates after which the run in a folder has finished; None if it has not."""
    metrics = _load_object(folder / METRICS_FILE)
    finished = metrics is not None and metrics.get("status") == "finished"
    return metrics.get("updates") if metrics is not None and finished else None


def _findings(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the labels of the first findings; none for runs of versions that recorded none."""
    try:
        return first_labels(from_plain(metrics.get("findings", ())), len(metrics["seeds"]))
    except (LookupError, TypeError, ValueError):
        return ()


def _load_object(path: Path) -> dict[str, Any] | None:
    """Return a JSON object, or None if the file is missing, damaged or holds something else."""
    try:
        found = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
