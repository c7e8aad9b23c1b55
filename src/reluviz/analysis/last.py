"""`last` in place of a folder: the newest run, or the newest sweep, below ./logs.

This file does not import torch, Hydra or TensorBoard, so that help texts do not wait for them.
"""

import itertools
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from reluviz.errors import UserError
from reluviz.files import CHECKPOINTS_FOLDER, CONFIG_FOLDER, EVENT_FILE_PREFIX, SWEEP_FILE, FolderWalk
from reluviz.record import tags

T = TypeVar("T")

LAST = "last"
LOGS = "logs"
MAKE_A_RUN = "make a run with: python -m reluviz train +exp=relu"
MAKE_A_SWEEP = "make a sweep with: python -m reluviz train -m +exp=relu seed=0,1,2"
RECORDED_DATA = tags.DATA.encode()
"""The tag that every run of reluviz records once, near the beginning of its first event file."""
SEARCHED_BYTES = 2**20
LATEST_TIME = 2.0**40
"""Seconds since the epoch; a later time comes from a damaged file."""


def run_folder(folder: str | os.PathLike[str]) -> str:
    """Return the path unchanged; for `last`, unless there is a folder ./last, the newest run below ./logs.

    Raises:
        UserError: if there is no run below ./logs.
    """
    return _newest_run() if is_last(folder) else os.fspath(folder)


def sweep_folder(folder: str | os.PathLike[str]) -> str:
    """Return the path unchanged; for `last`, unless there is a folder ./last, the newest sweep below ./logs.

    Raises:
        UserError: if there is no sweep below ./logs.
    """
    return _newest_sweep() if is_last(folder) else os.fspath(folder)


def is_last(folder: str | os.PathLike[str]) -> bool:
    """Return whether a path is the word `last`, with no folder ./last that it could name."""
    return os.fspath(folder) == LAST and not os.path.exists(LAST)


@dataclass(frozen=True)
class _Folder:
    """A folder below ./logs.

    Attributes:
        path: its path.
        names: the names of its files and subfolders.
    """

    path: str
    names: frozenset[str]

    @cached_property
    def event_files(self) -> list[str]:
        """The sorted names of its event files."""
        return sorted(name for name in self.names if name.startswith(EVENT_FILE_PREFIX))

    @property
    def may_be_run(self) -> bool:
        """Whether the names in it are those of a run; a run without a logger has no event files."""
        return bool(self.event_files) or {CONFIG_FOLDER, CHECKPOINTS_FOLDER} <= self.names

    @property
    def is_run(self) -> bool:
        """Whether `train` made it, or reluviz wrote its events; other programs write event files too."""
        return CONFIG_FOLDER in self.names or any(
            RECORDED_DATA in _beginning(os.path.join(self.path, name), SEARCHED_BYTES) for name in self.event_files
        )

    @cached_property
    def second(self) -> int:
        """The second in which the run started, from the names of its event files if possible: the first one counts."""
        seconds = (name.removeprefix(EVENT_FILE_PREFIX).partition(".")[0] for name in self.event_files)
        return min((int(one) for one in seconds if one.isdecimal()), default=int(self.time))

    @cached_property
    def time(self) -> float:
        """The time at which the run started, from its first event; 0 if that cannot be read."""
        if self.event_files:
            times = (_first_event_time(os.path.join(self.path, name)) for name in self.event_files)
            return min((one for one in times if one is not None), default=0.0)
        return _oldest_file(os.path.join(self.path, CONFIG_FOLDER))


def _newest_run() -> str:
    runs = sorted((one for one in _folders(LOGS) if one.may_be_run), key=lambda run: run.second, reverse=True)
    for _, same_second in itertools.groupby(runs, key=lambda run: run.second):
        for run in sorted(same_second, key=lambda run: (run.time, run.path), reverse=True):
            if run.is_run:
                return run.path
    raise UserError(f"{LAST}: there is no run below {LOGS}; {MAKE_A_RUN}")


def _newest_sweep() -> str:
    folders = list(_folders(LOGS))
    jobs: dict[str, list[_Folder]] = {one.path: [] for one in folders if SWEEP_FILE in one.names}
    if not jobs:
        raise UserError(f"{LAST}: there is no sweep below {LOGS}; {MAKE_A_SWEEP}")
    for run in (one for one in folders if one.may_be_run):
        above = os.path.dirname(run.path)
        while above:
            if above in jobs:
                jobs[above].append(run)
            above = os.path.dirname(above)

    def start(sweep: str) -> tuple[float, float, str]:
        if not jobs[sweep]:
            # used only if no job has started, since resuming a sweep writes this file again
            time = _modified(os.path.join(sweep, SWEEP_FILE))
            return int(time), time, sweep
        second = min(run.second for run in jobs[sweep])
        return second, min(run.time for run in jobs[sweep] if run.second == second), sweep

    return max(jobs, key=start)


def _folders(root: str) -> Iterator[_Folder]:
    """Yield a folder and those below it that may be runs or contain runs."""
    for path, subfolders, files in FolderWalk(root):
        yield _Folder(path, frozenset((*subfolders, *files)))


def _first_event_time(path: str) -> float | None:
    """Return the wall time of the first event of a file; None if it cannot be read."""
    # a record's length (8 bytes) and checksum (4), then the event, whose first field is the time: tag 9 and a double
    head = _beginning(path, 21)
    if len(head) < 21 or head[12] != 9:
        return None
    (time,) = struct.unpack("<d", head[13:])
    return float(time) if 0 <= time < LATEST_TIME else None


def _beginning(path: str, count: int) -> bytes:
    """Return the first bytes of a file; none if it cannot be read."""
    if not os.path.isfile(path):
        # reading from a pipe would block
        return b""

    def read() -> bytes:
        with open(path, "rb") as file:
            return file.read(count)

    return _or_default(read, b"")


def _oldest_file(folder: str) -> float:
    """Return the time of the oldest file in a folder; 0 if there is none."""
    names: list[str] = _or_default(lambda: os.listdir(folder), [])
    return min((_modified(os.path.join(folder, name)) for name in names), default=0.0)


def _modified(path: str) -> float:
    return _or_default(lambda: os.stat(path).st_mtime, 0.0)


def _or_default(read: Callable[[], T], default: T) -> T:
    """Return what a function reads from disk, or the default if that fails."""
    try:
        return read()
    except OSError:
        return default
