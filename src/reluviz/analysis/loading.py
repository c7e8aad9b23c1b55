"""Runs found in folders and loaded whole."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from reluviz.analysis.recorded_run import Run
from reluviz.core.functions_torch import PARAMETERS
from reluviz.core.snapshot import MOST_SHOWN
from reluviz.errors import UserError
from reluviz.record import event_reader, reader, tags
from reluviz.record.recorded_data import dataset

TIME = re.compile(r"\d{4}-\d\d-\d\d[_T]\d\d[-.]\d\d[-.]\d\d")


def load_run(folder: str | os.PathLike[str]) -> Run:
    """Return a run from its folder: parameters and quantities as arrays over its snapshots.

    A run that is still training, or was killed, is read as far as it has come; one that went on from a checkpoint
    has every snapshot once.

    Raises:
        UserError: if there is no run there, or it cannot be read; one line that names the folder.
    """
    place = Path(folder)
    return _run(place, name(place))


def load_runs(folder: str | os.PathLike[str]) -> list[Run]:
    """Return all runs at or below a folder, in the order of their paths, with names that tell them apart.

    Raises:
        UserError: if there is none, or one of them cannot be read.
    """
    found = runs_below(folder)
    if not found:
        raise UserError(f"{folder}: there are no runs of reluviz at or below it")
    return [_run(place, label) for place, label in zip(found, names(found), strict=True)]


def runs_below(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the folders of all runs at or below a folder, in the order of their paths; links are followed.

    Raises:
        UserError: if there is no such folder, or it cannot be read.
    """
    event_reader.files(Path(folder))
    return sorted(place for place in _folders(folder) if reader.is_run(place))


def name(folder: Path) -> str:
    """Return what a run is called: its folder's name, after that of the parent where it is only a time stamp."""
    return names([folder])[0]


def names(folders: Sequence[Path]) -> list[str]:
    """Return names that tell runs apart: the last parts of their paths, no more of them than are needed."""
    parts = [[part for part in Path(os.path.abspath(folder)).parts if part.strip("/\\:")] for folder in folders]
    lengths = [2 if len(one) > 1 and TIME.fullmatch(one[-1]) else 1 for one in parts]
    while True:
        found = ["-".join(one[-length:]) for one, length in zip(parts, lengths, strict=True)]
        longer = [
            min(length + (found.count(label) > 1), len(one) or 1)
            for one, length, label in zip(parts, lengths, found, strict=True)
        ]
        if longer == lengths:
            return [label or "run" for label in found]
        lengths = longer


def _folders(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a folder and those below it; a loop of links ends where it comes back."""
    seen: set[str] = set()
    for path, below, inside in os.walk(folder, followlinks=True):
        real = os.path.realpath(path)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        if any(one.startswith(event_reader.PREFIX) for one in inside):
            yield Path(path)


def _run(folder: Path, label: str) -> Run:
    found = reader.read_run(folder)
    content = found.content
    assert content is not None
    updates = sorted(found.parameters)
    try:
        data, recorded = dataset(content, found.values)
        seeds = tuple(int(seed) for seed in content["seeds"])
        rows = np.stack([found.parameters[update] for update in updates])
        # a run may have been begun by a version that recorded those of more replicas
        shown = min([len(seeds), *map(len, found.votes.values())] if found.votes else [len(seeds), MOST_SHOWN])
        silent = np.full((shown, 3, len(recorded)), np.nan, np.float32)
        votes = np.stack([found.votes.get(update, silent)[:shown] for update in updates])
        named = tuple(field for field, _ in found.fields)
        fit = rows.shape[1:] == (len(seeds), sum(count for _, count in found.fields))
        if not fit or set(named) != set(PARAMETERS[content["model"]]):
            raise ValueError(f"{tags.PARAMS} does not hold the parameters of {len(seeds)} {content['model']} models")
        return Run(
            folder=folder,
            name=label,
            model=content["model"],
            data=data,
            recorded=recorded,
            seeds=seeds,
            trained=tuple(str(parameter) for parameter in content["trained"]),
            settings=dict(content["settings"]),
            metrics=reader.metrics(folder, updates[-1]),
            updates=np.array(updates, dtype=np.int64),
            walls=np.array([found.walls[update] for update in updates]),
            rows=rows,
            fields=tuple(found.fields),
            votes=votes,
            recorded_scalars={
                tag: (np.array(sorted(series), dtype=np.int64), np.array([series[at] for at in sorted(series)]))
                for tag, series in found.scalars.items()
                if series
            },
            damaged=tuple(found.damaged),
        )
    except (LookupError, TypeError, ValueError) as error:
        what = " ".join(str(error).split())
        raise UserError(f"{folder}: holds a run that this version of reluviz cannot read ({what})") from error
