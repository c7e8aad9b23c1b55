"""Read one run for a report: its settings, how it ended, its losses and unit counts; or why it cannot be read.

Legend of shapes: R replicas, T snapshots, F fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from reluviz.analysis.report import settings
from reluviz.analysis.report.groups import ListedRun
from reluviz.analysis.report.settings import Settings
from reluviz.core.findings import first_labels, from_plain
from reluviz.core.snapshot import largest_loss
from reluviz.errors import UserError
from reluviz.files import CONFIG_FOLDER, FAILURE_FILE, METRICS_FILE, parse_json
from reluviz.record import event_file, replica_reader, tags
from reluviz.record.event_file import EVENT_FILE_PREFIX

ENDED = ("finished", "diverged")
REQUIRED_METRICS = ("status", "updates", "seeds", tags.LOSS_TRAIN, tags.LOSS_TEST)
"""Keys that metrics.json must have."""


@dataclass(frozen=True)
class RunSummary:
    """One run as the report reads it.

    Attributes:
        folder: its folder.
        settings: its settings.
        status: finished, diverged, interrupted, terminated or unfinished.
        seeds: the seeds of its replicas, [R].
        final: metric -> value at the end, [R]; empty if the run has not ended.
        became: the label of each replica's first finding, [R]; empty where nothing is known.
        stopped: which replicas were stopped only because another one diverged, [R].
        fields: tags of the curves, [F].
        updates: updates of the kept snapshots, [T].
        curves: values of the fields, [T, R, F].
        stride: one in this many snapshots is kept, and the last one.
    """

    folder: Path
    settings: Settings
    status: str
    seeds: tuple[int, ...]
    final: Mapping[str, NDArray[np.float64]]
    became: tuple[str, ...]
    stopped: NDArray[np.bool_]
    fields: tuple[str, ...]
    updates: NDArray[np.int64]
    curves: NDArray[np.float64]
    stride: int


class _Damaged(Exception):
    """A run is damaged; the message says how."""


def read_run(folder: Path, max_values: int) -> tuple[RunSummary | None, ListedRun | None]:
    """Return the summary of a run, and a note if the run is not complete.

    A damaged or failed run has a note and no summary, a finished one a summary and no note, an unfinished or diverged
    one both. A folder without files of reluviz has neither.

    Args:
        folder: the folder of the run.
        max_values: about how many values of its curves to keep; of longer curves only every second, fourth, ...
            snapshot is kept.
    """
    try:
        # raises a UserError of one line if the folder cannot be read
        paths = event_file.event_files(folder)
        if (failure := folder / FAILURE_FILE).exists():
            return None, ListedRun(folder, "failed", _one_line(_json(failure).get("reason")))
        return _read_run(folder, paths, max_values)
    except _Damaged as error:
        reason = str(error)
    except OSError as error:
        reason = f"{error.filename}: cannot be read ({error.strerror or error})"
    except UserError as error:
        reason = _one_line(error)
    except Exception as error:
        # an unforeseen kind of damage must not stop a report on ten thousand other runs
        reason = f"cannot be understood ({type(error).__name__}: {_one_line(error)})"
    return None, ListedRun(folder, "damaged", reason.removeprefix(f"{folder}: ").removeprefix(f"{folder}/"))


def _read_run(folder: Path, paths: list[Path], max_values: int) -> tuple[RunSummary | None, ListedRun | None]:
    has_hydra, has_metrics = (folder / CONFIG_FOLDER).is_dir(), (folder / METRICS_FILE).exists()
    metrics = _json(folder / METRICS_FILE) if has_metrics else {}
    if has_metrics and (missing := [key for key in REQUIRED_METRICS if key not in metrics]):
        raise _Damaged(f"metrics.json does not hold what it should ({missing[0]} is missing)")
    if not paths and (other := next(folder.glob(f"{EVENT_FILE_PREFIX}*"), None)):
        raise _Damaged(f"{other.name} is no file")
    recorded = _replicas(paths)
    if recorded.content is None and not has_hydra and not has_metrics:
        if paths and recorded.empty:
            raise _Damaged("its event file is empty")
        if not paths:
            raise _Damaged("there is nothing in it")
        return None, None
    chosen = _settings(folder, recorded)
    status, seeds, reached = _end_of_run(metrics, chosen, recorded, has_hydra)
    if status in ENDED and has_hydra and paths and recorded.last < reached:
        at = f"after update {recorded.last:,}" if recorded.last >= 0 else "before the first snapshot"
        raise _Damaged(f"its event file ends {at}, and the run went to {reached:,}")
    if status in ENDED and has_hydra and not recorded.complete:
        raise _Damaged("the last record of its event file is cut off")
    count = len(seeds)
    curves = recorded.values if recorded.series else np.zeros((0, count, 0))
    if recorded.series and curves.shape[1] != count:
        raise _Damaged(f"its event file has {curves.shape[1]} replicas, and its metrics {count}")
    final = _final_values(metrics, recorded, count) if status in ENDED else {}
    diverged = _diverged_replicas(final, recorded, count) if status == "diverged" else np.zeros(count, dtype=bool)
    for metric, value in final.items():
        value[diverged] = np.nan if metric.startswith(f"{tags.UNITS}/") else np.inf
    stride = 1
    while curves[::stride].size > max_values and stride < len(curves):
        # with powers of two the kept snapshots of one run are a subset of those of another one
        stride *= 2
    kept = sorted({*range(0, len(curves), stride), *range(len(curves))[-1:]})
    summary = RunSummary(
        folder=folder,
        settings=chosen,
        status=status,
        seeds=seeds,
        final=final,
        became=_became(metrics, recorded, status, count),
        stopped=~diverged & (status == "diverged"),
        fields=recorded.fields,
        updates=recorded.updates[kept],
        curves=curves[kept],
        stride=stride,
    )
    return summary, _listed_run(summary, reached, diverged)


def _listed_run(summary: RunSummary, reached: int, diverged: NDArray[np.bool_]) -> ListedRun | None:
    """Return the entry of a run that did not finish in the list of incomplete runs; None if it finished."""
    if summary.status == "finished":
        return None
    wanted = summary.settings.leaves.get("updates")
    detail = f"at update {reached:,}{f' of {wanted:,}' if isinstance(wanted, int) else ''}"
    if summary.status == "diverged":
        if len(summary.seeds) > 1:
            seeds = [seed for seed, one_diverged in zip(summary.seeds, diverged, strict=True) if one_diverged]
            shown = ", ".join(map(str, seeds[:6])) + ", ..." * (len(seeds) > 6)
            detail += f": seed{'s' * (len(seeds) > 1)} {shown}"
            if count := int(summary.stopped.sum()):
                detail += f"; the other {count} stopped there"
        return ListedRun(summary.folder, "diverged", detail)
    return ListedRun(
        summary.folder, "unfinished", detail if summary.status == "unfinished" else f"{summary.status} {detail}"
    )


def _replicas(paths: list[Path]) -> replica_reader.ReplicaSeries:
    try:
        return replica_reader.read_replicas(paths)
    except event_file.DamagedRecord:
        raise _Damaged("a record of its event file is damaged") from None
    except (LookupError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise _Damaged(f"its event file cannot be understood ({_one_line(error)})") from None


def _settings(folder: Path, recorded: replica_reader.ReplicaSeries) -> Settings:
    try:
        in_events = None if recorded.content is None else settings.recorded_settings(recorded.content["settings"])
        if in_events is not None and not (folder / CONFIG_FOLDER / "config.yaml").exists():
            return in_events
        found = settings.read_hydra_settings(folder / CONFIG_FOLDER)
        if in_events is not None and (missing := in_events.leaves.keys() - found.leaves.keys()):
            raise ValueError(f".hydra/config.yaml is damaged: {min(missing)} is missing")
        return found
    except (LookupError, TypeError, ValueError) as error:
        raise _Damaged(_one_line(error)) from None


def _end_of_run(
    metrics: Mapping[str, Any], chosen: Settings, recorded: replica_reader.ReplicaSeries, has_hydra: bool
) -> tuple[str, tuple[int, ...], int]:
    """Return the status, the seeds and the last update of a run."""
    last = max(0, recorded.last)
    try:
        if metrics:
            status, reached = str(metrics["status"]), int(metrics["updates"])
            wanted = chosen.leaves.get("updates")
            unfinished = reached < last or (status == "finished" and isinstance(wanted, int) and reached < wanted)
            return "unfinished" if unfinished else status, _seeds(metrics["seeds"]), max(last, reached)
        # a run trained without the command line has no metrics.json, so it counts as finished
        status = "unfinished" if has_hydra else "finished"
        return status, tuple(map(int, chosen.seeds if recorded.content is None else recorded.content["seeds"])), last
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise _Damaged(f"metrics.json does not hold what it should ({_one_line(error)})") from None


def _seeds(value: Any) -> tuple[int, ...]:
    if not (isinstance(value, list) and value and all(type(seed) is int for seed in value)):
        raise ValueError("seeds is no list of whole numbers")
    return tuple(value)


def _final_values(
    metrics: Mapping[str, Any], recorded: replica_reader.ReplicaSeries, count: int
) -> dict[str, NDArray[np.float64]]:
    """Return metric -> value for each replica, [R], from metrics.json or, without the file, the last snapshot."""
    if not metrics:
        return (
            {tag: recorded.values[-1, :, at].copy() for at, tag in enumerate(recorded.fields)}
            if recorded.series
            else {}
        )
    named = {key: metrics.get(key) for key in (tags.LOSS_TRAIN, tags.LOSS_TEST, tags.THETA)}
    units = metrics.get(tags.UNITS, {})
    if not isinstance(units, Mapping):
        raise _Damaged(f"metrics.json does not hold what it should ({tags.UNITS}: {units!r})")
    named |= {f"{tags.UNITS}/{key}": value for key, value in units.items()}
    found = {key: _numbers(key, value) for key, value in named.items() if value is not None}
    if tags.LOSS_TRAIN not in found or any(len(value) != count for value in found.values()):
        raise _Damaged(f"metrics.json does not hold a loss for each of {count} seeds")
    if metrics["status"] == "finished" and np.isinf(found[tags.LOSS_TRAIN]).any():
        raise _Damaged("metrics.json does not hold what it should (finished without a loss)")
    return found


def _became(
    metrics: Mapping[str, Any], recorded: replica_reader.ReplicaSeries, status: str, count: int
) -> tuple[str, ...]:
    """Return the label of each replica's first finding, from metrics.json or, without the file, the events."""
    if status == "unfinished":
        return ("",) * count
    try:
        found = from_plain(metrics.get("findings", ())) if metrics else recorded.findings.get(recorded.last, ())
        return first_labels(found, count)
    except (LookupError, TypeError, ValueError) as error:
        raise _Damaged(f"metrics.json does not hold what it should (findings: {_one_line(error)})") from None


def _numbers(key: str, value: Any) -> NDArray[np.float64]:
    """Return a list of JSON numbers as an array, with infinity for null."""
    is_list = isinstance(value, list) and all(number is None or type(number) in (int, float) for number in value)
    if not is_list:
        raise _Damaged(f"metrics.json does not hold what it should ({key} is no list of numbers)")
    return np.array([np.inf if number is None else number for number in value], dtype=np.float64)


def _diverged_replicas(
    final: Mapping[str, NDArray[np.float64]], recorded: replica_reader.ReplicaSeries, count: int
) -> NDArray[np.bool_]:
    """Return which replicas of a diverged run have diverged, rather than been stopped, [R]."""
    loss = final[tags.LOSS_TRAIN]
    diverged = ~np.isfinite(loss)
    if recorded.series and tags.LOSS_TRAIN in recorded.fields:
        first = recorded.series[min(recorded.series)][:, recorded.fields.index(tags.LOSS_TRAIN)]
        diverged |= loss > largest_loss(first, recorded.variance)
    # if the files do not show it, the replica with the largest loss
    return diverged if diverged.any() else loss == loss.max()


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        # reading from a pipe would block
        raise _Damaged(f"{path.name} is no file")
    try:
        found = parse_json(path.read_bytes(), _refuse_constant)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise _Damaged(f"{path.name} is {'empty' if path.stat().st_size == 0 else 'damaged'}")
    return found


def _refuse_constant(word: str) -> NoReturn:
    # NaN and Infinity: Python reads them, but reluviz never writes them
    raise ValueError(word)


def _one_line(text: object) -> str:
    # text from files may contain terminal control characters
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(str(text).split()))
