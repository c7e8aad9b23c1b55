"""Find the runs below folders."""

import os
from collections.abc import Sequence
from pathlib import Path

from reluviz.errors import UserError
from reluviz.files import EVENT_FILE_PREFIX
from reluviz.files import REPORT_MARKER as REPORT_MARKER
from reluviz.record import event_file

RUN_FILES = ("metrics.json", "failure.json")
"""A folder with one of these is a run."""
HOW_TO_MAKE_RUNS = "make some with: python -m reluviz train +exp=optimizers"


def find_runs(folders: Sequence[Path]) -> list[Path]:
    """Return the folders of all runs at or below some folders, in the order of their paths; links are followed.

    A run has Hydra's folder, metrics or event files. An empty folder next to runs and a folder that may not be read
    are returned too, since they may be runs that went wrong. A run that several links lead to is returned once.

    Raises:
        UserError: if a folder does not exist, cannot be read, or holds no run.
    """
    seen: set[str] = set()
    found: list[Path] = []
    for folder in folders:
        # raises a UserError of one line if the folder cannot be read
        event_file.event_files(folder)
        runs, seen_before = _runs_below(folder, seen)
        if not runs and not seen_before:
            raise UserError(f"{folder}: there are no runs of reluviz at or below it; {HOW_TO_MAKE_RUNS}")
        found += runs
    return found


def _runs_below(folder: Path, seen: set[str]) -> tuple[list[Path], bool]:
    """Return the runs at or below a folder that are not in `seen`, and whether a folder below it was; extend `seen`."""
    runs: list[Path] = []
    empty: list[Path] = []
    seen_before = False
    unreadable: list[Path] = []

    def note_unreadable(error: OSError) -> None:
        if isinstance(error, PermissionError):
            unreadable.append(Path(error.filename))

    for path, subfolders, files in os.walk(folder, onerror=note_unreadable, followlinks=True):
        real = os.path.realpath(path)
        if real in seen or REPORT_MARKER in files:
            seen_before |= real in seen
            subfolders.clear()
            continue
        seen.add(real)
        is_run = ".hydra" in subfolders or "checkpoints" in subfolders
        if is_run or any(name in RUN_FILES or name.startswith(EVENT_FILE_PREFIX) for name in files):
            runs.append(Path(path))
        elif not files and not subfolders:
            empty.append(Path(path))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith(".") and name != "checkpoints")
    parents = {run.parent for run in runs}
    return sorted([*runs, *unreadable, *(path for path in empty if path.parent in parents)]), seen_before
