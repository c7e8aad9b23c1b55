"""Find the runs below folders."""

from collections.abc import Sequence
from pathlib import Path

from reluviz.errors import UserError
from reluviz.files import CHECKPOINTS_FOLDER, CONFIG_FOLDER, EVENT_FILE_PREFIX, METRICS_FILE, FolderWalk
from reluviz.record import event_file

RUN_FILES, RUN_FOLDERS = (METRICS_FILE, "failure.json"), (CONFIG_FOLDER, CHECKPOINTS_FOLDER)
"""A folder that contains one of these, or an event file, is a run."""
HOW_TO_MAKE_RUNS = "make some with: python -m reluviz train +exp=optimizers"


def find_runs(folders: Sequence[Path]) -> list[Path]:
    """Return the folders of all runs at or below the given folders, those of the first given folder first.

    Below each given folder the runs are sorted by their paths.

    A run is a folder that contains metrics.json, failure.json, an event file, .hydra/ or checkpoints/. An empty folder
    next to runs and a folder without read permission are returned too, since they may be runs that failed. Links are
    followed; a run that several links lead to is returned once. Reports, hidden folders and checkpoints/ are not
    searched.

    Raises:
        UserError: if a folder does not exist, cannot be read, or holds no run. A folder without new runs is accepted
            if it overlaps an earlier one.
    """
    seen: set[tuple[int, int]] = set()
    found: list[Path] = []
    for folder in folders:
        # only for its UserError: os.walk would ignore a folder that does not exist or cannot be read
        event_file.event_files(folder)
        runs, overlaps_seen = _runs_below(folder, seen)
        if not runs and not overlaps_seen:
            raise UserError(f"{folder}: there are no runs of reluviz at or below it; {HOW_TO_MAKE_RUNS}")
        found += runs
    return found


def _runs_below(folder: Path, seen: set[tuple[int, int]]) -> tuple[list[Path], bool]:
    """Return the new runs at or below `folder`, and whether an earlier walk has visited a folder there.

    Adds the visited folders to `seen`.
    """
    runs: list[Path] = []
    empty: list[Path] = []
    walk = FolderWalk(folder, seen)
    for path, subfolders, files in walk:
        is_run = any(name in RUN_FOLDERS for name in subfolders)
        if is_run or any(name in RUN_FILES or name.startswith(EVENT_FILE_PREFIX) for name in files):
            runs.append(Path(path))
        elif not files and not subfolders:
            empty.append(Path(path))
    parents = {run.parent for run in runs}
    return sorted([*runs, *walk.unreadable, *(path for path in empty if path.parent in parents)]), walk.met_seen
