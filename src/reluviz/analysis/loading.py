"""Find the runs below folders, and read them into memory."""

import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from reluviz.analysis import last
from reluviz.analysis.recorded_run import Run
from reluviz.core.models import MODELS
from reluviz.core.snapshot import MAX_SHOWN_REPLICAS
from reluviz.errors import UserError
from reluviz.files import EVENT_FILE_PREFIX, FolderWalk
from reluviz.record import event_file, reader, tags
from reluviz.record.recorded_data import recorded_dataset

MIN_VOTE_BYTES = 2**26
"""Votes that snapshots lack are filled with NaN up to this size; beyond it, most snapshots must have votes."""
TIME_STAMP = re.compile(r"\d{4}-\d\d-\d\d[_T]\d\d[-.]\d\d[-.]\d\d")
"""The name that `train` gives to a run's folder."""


def load_run(folder: str | os.PathLike[str]) -> Run:
    """Return a run from its folder: parameters and quantities as arrays over its snapshots.

    A run that is still training, or was killed, has the snapshots that it has recorded so far. A run that was resumed
    from a checkpoint has every snapshot once.

    Args:
        folder: the run's folder; or `last`, for the newest run below ./logs.

    Raises:
        UserError: if the folder holds no run, or the run cannot be read. The message is one line that names the folder.
    """
    path = Path(last.run_folder(folder))
    return _read(path, run_name(path))


def load_runs(folder: str | os.PathLike[str]) -> list[Run]:
    """Return all runs at or below a folder, in the order of their paths, each with a different name.

    Args:
        folder: a folder; or `last`, for the newest run below ./logs.

    Raises:
        UserError: if there is no run, or one of the runs cannot be read.
    """
    folder = last.run_folder(folder)
    paths = runs_below(folder)
    if not paths:
        raise UserError(f"{folder}: there are no runs of reluviz at or below it")
    return [_read(path, name) for path, name in zip(paths, run_names(paths), strict=True)]


def runs_below(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the folders of all runs at or below a folder, in the order of their paths; links are followed.

    Raises:
        UserError: if the folder does not exist, or cannot be read.
    """
    folder = last.run_folder(folder)
    # raises a UserError of one line if the folder cannot be read
    event_file.event_files(Path(folder))
    return sorted(path for path in _folders_with_events(folder) if reader.is_run(path))


def run_name(folder: Path) -> str:
    """Return the name of a run: its folder's name, preceded by the parent's name if it is only a time stamp."""
    return run_names([folder])[0]


def run_names(folders: Sequence[Path]) -> list[str]:
    """Return a different name for each run: the last parts of its path, as few as possible."""
    parts = [[part for part in Path(os.path.abspath(folder)).parts if part.strip("/\\:")] for folder in folders]
    lengths = [2 if len(one) > 1 and TIME_STAMP.fullmatch(one[-1]) else 1 for one in parts]
    while True:
        found = ["-".join(one[-length:]) for one, length in zip(parts, lengths, strict=True)]
        longer = [
            min(length + (found.count(name) > 1), len(one) or 1)
            for one, length, name in zip(parts, lengths, found, strict=True)
        ]
        if longer == lengths:
            return [name or "run" for name in found]
        lengths = longer


def _folders_with_events(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the folders at or below a folder that hold event files."""
    for path, _, files in FolderWalk(folder):
        if any(name.startswith(EVENT_FILE_PREFIX) for name in files):
            yield Path(path)


def _read(folder: Path, name: str) -> Run:
    """Return the run in a folder, under the given name."""
    recorded_run = reader.read_run(folder)
    content = recorded_run.content
    assert content is not None
    updates = sorted(recorded_run.parameters)
    try:
        data, recorded = recorded_dataset(content, recorded_run.values)
        seeds = tuple(int(seed) for seed in content["seeds"])
        rows = np.stack([recorded_run.parameters[update] for update in updates])
        # a resumed run may have been started by a version that recorded the votes of more replicas
        counts = map(len, recorded_run.votes.values())
        shown = min([len(seeds), *counts] if recorded_run.votes else [len(seeds), MAX_SHOWN_REPLICAS])
        no_votes = np.full((shown, 3, len(recorded)), np.nan, np.float32)
        held = max([MIN_VOTE_BYTES, 2 * sum(one.nbytes for one in recorded_run.votes.values())])
        if recorded_run.votes and len(updates) * no_votes.nbytes > held:
            raise ValueError(f"most snapshots have no {tags.VOTE_SERIES}")
        votes = (
            np.stack([recorded_run.votes.get(update, no_votes)[:shown] for update in updates])
            if recorded_run.votes
            else np.broadcast_to(no_votes, (len(updates), *no_votes.shape))
        )
        record, counts_of = MODELS[content["model"]], dict(recorded_run.fields)
        complete = counts_of.keys() == record.parameters.keys() and len(counts_of) == len(recorded_run.fields)
        fit = complete and all(
            math.prod(record.shape(parameter, count)) == count for parameter, count in counts_of.items()
        )
        if rows.shape[1:] != (len(seeds), sum(counts_of.values())) or not fit:
            raise ValueError(f"{tags.PARAMS} does not hold the parameters of {len(seeds)} {content['model']} models")
        return Run(
            folder=folder,
            name=name,
            model=content["model"],
            data=data,
            recorded=recorded,
            seeds=seeds,
            trained=tuple(str(parameter) for parameter in content["trained"]),
            settings=dict(content["settings"]),
            metrics=reader.read_metrics(folder, updates[-1]),
            updates=np.array(updates, dtype=np.int64),
            walls=np.array([recorded_run.wall_times[update] for update in updates]),
            rows=rows,
            fields=tuple(recorded_run.fields),
            votes=votes,
            recorded_scalars={
                tag: (np.array(sorted(series), dtype=np.int64), np.array([series[at] for at in sorted(series)]))
                for tag, series in recorded_run.scalars.items()
                if series
            },
            findings=recorded_run.findings.get(updates[-1], ()),
            damaged=tuple(recorded_run.damaged),
        )
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        what = " ".join(str(error).split())
        raise UserError(f"{folder}: holds a run that this version of reluviz cannot read ({what})") from error
