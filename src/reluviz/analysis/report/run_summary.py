"""One run as a report takes it in: what it was set to, how it ended, and its losses; or why it cannot be taken in.

Legend of shapes: R replicas, T snapshots, F fields.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from reluviz.analysis.report import settings
from reluviz.analysis.report.groups import Skipped
from reluviz.analysis.report.settings import Settings
from reluviz.errors import UserError
from reluviz.record import event_reader, replica_reader, tags
from reluviz.record.event_file import PREFIX

ENDED = ("finished", "diverged")
REQUIRED = ("status", "updates", "seeds", tags.LOSS_TRAIN, tags.LOSS_TEST)
"""Of metrics.json."""
LIMIT = 1e6
"""A loss beyond this many times the larger of the first one and var(y) has diverged, as `snapshot.LIMIT` says."""


@dataclass(frozen=True)
class RunSummary:
    """A run that a report takes in.

    Attributes:
        folder: its folder.
        settings: what it was set to.
        status: finished, diverged, interrupted, terminated or unfinished.
        seeds: of its replicas, [R].
        final: metric -> value at the end, [R]; empty where the run has not come to its end.
        cut: which replicas were stopped only because another one diverged, [R].
        fields: tags of the curves.
        updates: of its snapshots, [T].
        curves: [T, R, F].
        stride: of so many snapshots, the first is kept; and the last one of all.
    """

    folder: Path
    settings: Settings
    status: str
    seeds: tuple[int, ...]
    final: Mapping[str, NDArray[np.float64]]
    cut: NDArray[np.bool_]
    fields: tuple[str, ...]
    updates: NDArray[np.int64]
    curves: NDArray[np.float64]
    stride: int


class _Damaged(Exception):
    """What is wrong with a run, in a few words."""


def take(folder: Path, most: int) -> tuple[RunSummary | None, Skipped | None]:
    """Return a run, and what is to be said of it: of a damaged or failed one only that, of a finished one nothing.

    A folder that holds nothing of reluviz is neither.

    Args:
        folder: the run's folder.
        most: numbers of its curves to keep, about; with more, only every second, fourth, ... snapshot.
    """
    try:
        # says in one line what is wrong with a folder that cannot be read
        paths = event_reader.files(folder)
        if (failure := folder / "failure.json").exists():
            return None, Skipped(folder, "failed", _line(_json(failure).get("reason")))
        return _take(folder, paths, most)
    except _Damaged as error:
        why = str(error)
    except OSError as error:
        why = f"{error.filename}: cannot be read ({error.strerror or error})"
    except UserError as error:
        why = _line(error)
    except Exception as error:
        # damage that nobody has thought of; ten thousand other runs are not to be lost for it
        why = f"cannot be understood ({type(error).__name__}: {_line(error)})"
    return None, Skipped(folder, "damaged", why.removeprefix(f"{folder}: ").removeprefix(f"{folder}/"))


def _take(folder: Path, paths: list[Path], most: int) -> tuple[RunSummary | None, Skipped | None]:
    composed, ended = (folder / ".hydra").is_dir(), (folder / "metrics.json").exists()
    metrics = _json(folder / "metrics.json") if ended else {}
    if ended and (lost := [key for key in REQUIRED if key not in metrics]):
        raise _Damaged(f"metrics.json does not hold what it should ({lost[0]} is missing)")
    if not paths and (odd := next(folder.glob(f"{PREFIX}*"), None)):
        raise _Damaged(f"{odd.name} is no file")
    seen = _replicas(paths)
    if seen.told is None and not composed and not ended:
        if paths and seen.empty:
            raise _Damaged("its event file is empty")
        if not paths:
            raise _Damaged("there is nothing in it")
        return None, None
    chosen = _settings(folder, seen)
    status, seeds, reached = _ending(metrics, chosen, seen, composed)
    if status in ENDED and composed and paths and seen.last < reached:
        at = f"after update {seen.last:,}" if seen.last >= 0 else "before the first snapshot"
        raise _Damaged(f"its event file ends {at}, and the run went to {reached:,}")
    if status in ENDED and composed and not seen.whole:
        raise _Damaged("the last record of its event file is cut off")
    count = len(seeds)
    curves = seen.values if seen.series else np.zeros((0, count, 0))
    if seen.series and curves.shape[1] != count:
        raise _Damaged(f"its event file has {curves.shape[1]} replicas, and its metrics {count}")
    final = _final(metrics, seen, count) if status in ENDED else {}
    gone = _diverged(final, seen, count) if status == "diverged" else np.zeros(count, dtype=bool)
    for metric, value in final.items():
        value[gone] = np.nan if metric.startswith(f"{tags.UNITS}/") else np.inf
    stride = 1
    while curves[::stride].size > most and stride < len(curves):
        # the snapshots of one run are then those of another one, or some of them
        stride *= 2
    kept = sorted({*range(0, len(curves), stride), *range(len(curves))[-1:]})
    one = RunSummary(
        folder=folder,
        settings=chosen,
        status=status,
        seeds=seeds,
        final=final,
        cut=~gone & (status == "diverged"),
        fields=seen.fields,
        updates=seen.updates[kept],
        curves=curves[kept],
        stride=stride,
    )
    return one, _left(one, reached, gone)


def _left(one: RunSummary, reached: int, gone: NDArray[np.bool_]) -> Skipped | None:
    """Say what is to be said of a run that did not finish."""
    if one.status == "finished":
        return None
    wanted = one.settings.leaves.get("updates")
    detail = f"at update {reached:,}{f' of {wanted:,}' if isinstance(wanted, int) else ''}"
    if one.status == "diverged":
        if len(one.seeds) > 1:
            seeds = [seed for seed, out in zip(one.seeds, gone, strict=True) if out]
            shown = ", ".join(map(str, seeds[:6])) + ", ..." * (len(seeds) > 6)
            detail += f": seed{'s' * (len(seeds) > 1)} {shown}"
            if count := int(one.cut.sum()):
                detail += f"; the other {count} stopped there"
        return Skipped(one.folder, "diverged", detail)
    return Skipped(one.folder, "unfinished", detail if one.status == "unfinished" else f"{one.status} {detail}")


def _replicas(paths: list[Path]) -> replica_reader.Replicas:
    try:
        return replica_reader.read(paths)
    except event_reader.Damaged:
        raise _Damaged("a record of its event file is damaged") from None
    except (LookupError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise _Damaged(f"its event file cannot be understood ({_line(error)})") from None


def _settings(folder: Path, seen: replica_reader.Replicas) -> Settings:
    try:
        told = None if seen.told is None else settings.told(seen.told["settings"])
        if told is not None and not (folder / ".hydra" / "config.yaml").exists():
            return told
        found = settings.composed(folder / ".hydra")
        if told is not None and (lost := told.leaves.keys() - found.leaves.keys()):
            raise ValueError(f".hydra/config.yaml is damaged: {min(lost)} is missing")
        return found
    except (LookupError, TypeError, ValueError) as error:
        raise _Damaged(_line(error)) from None


def _ending(
    metrics: Mapping[str, Any], chosen: Settings, seen: replica_reader.Replicas, composed: bool
) -> tuple[str, tuple[int, ...], int]:
    """Return status, seeds and the last update of a run."""
    last = max(0, seen.last)
    try:
        if metrics:
            status, reached = str(metrics["status"]), int(metrics["updates"])
            wanted = chosen.leaves.get("updates")
            going_on = reached < last or (status == "finished" and isinstance(wanted, int) and reached < wanted)
            return "unfinished" if going_on else status, _seeds(metrics["seeds"]), max(last, reached)
        # whoever trains without the command line leaves no word of the end
        status = "unfinished" if composed else "finished"
        return status, tuple(map(int, chosen.seeds if seen.told is None else seen.told["seeds"])), last
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise _Damaged(f"metrics.json does not hold what it should ({_line(error)})") from None


def _seeds(value: Any) -> tuple[int, ...]:
    if not (isinstance(value, list) and value and all(type(one) is int for one in value)):
        raise ValueError("seeds is no list of whole numbers")
    return tuple(value)


def _final(metrics: Mapping[str, Any], seen: replica_reader.Replicas, count: int) -> dict[str, NDArray[np.float64]]:
    """Return what metrics.json has one number of for each replica; without it, the last snapshot."""
    if not metrics:
        return {tag: seen.values[-1, :, at].copy() for at, tag in enumerate(seen.fields)} if seen.series else {}
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


def _numbers(key: str, value: Any) -> NDArray[np.float64]:
    """Return a list of numbers, null for those that JSON does not have."""
    whether = isinstance(value, list) and all(one is None or type(one) in (int, float) for one in value)
    if not whether:
        raise _Damaged(f"metrics.json does not hold what it should ({key} is no list of numbers)")
    return np.array([np.inf if one is None else one for one in value], dtype=np.float64)


def _diverged(final: Mapping[str, NDArray[np.float64]], seen: replica_reader.Replicas, count: int) -> NDArray[np.bool_]:
    """Return which replicas of a diverged run are those that diverged, [R]."""
    loss = final[tags.LOSS_TRAIN]
    gone = ~np.isfinite(loss)
    if seen.series and tags.LOSS_TRAIN in seen.fields:
        first = seen.series[min(seen.series)][:, seen.fields.index(tags.LOSS_TRAIN)]
        gone |= loss > LIMIT * np.fmax(first, seen.variance)
    # files that do not tell: then the one that has come farthest
    return gone if gone.any() else loss == loss.max()


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        # a pipe would be waited for
        raise _Damaged(f"{path.name} is no file")
    try:
        found = json.loads(path.read_bytes(), parse_constant=_no_number)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _Damaged(f"{path.name} is {'empty' if path.stat().st_size == 0 else 'damaged'}")
    return found


def _no_number(word: str) -> NoReturn:
    # NaN and Infinity, which Python reads and reluviz never writes
    raise ValueError(word)


def _line(what: object) -> str:
    # what others wrote may hold commands to a terminal
    return "".join(one if one.isprintable() else "?" for one in " ".join(str(what).split()))
