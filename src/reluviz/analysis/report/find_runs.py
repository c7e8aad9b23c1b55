"""Where the runs below a folder are."""

import os
from collections.abc import Sequence
from pathlib import Path

from reluviz.errors import UserError
from reluviz.record import event_reader
from reluviz.record.event_file import PREFIX

MARK = ".reluviz-report"
"""A folder with a file of this name is the work of a report: what is in it is no run, and may be replaced."""
OF_A_RUN = ("metrics.json", "failure.json")
MAKE_SOME = "make some with: python -m reluviz train +exp=optimizers"


def find_runs(folders: Sequence[Path]) -> list[Path]:
    """Return the folders of all runs at or below some folders, in the order of their paths; links are followed.

    A run is known by Hydra's folder, by its metrics or by its event files. An empty folder beside runs was to be one,
    and one that may not be read could be any. No run is named twice, whichever ways lead to it.

    Raises:
        UserError: if there is no such folder, it cannot be read, or holds no run.
    """
    seen: set[str] = set()
    found: list[Path] = []
    for folder in folders:
        # says in one line what is wrong with it
        event_reader.files(folder)
        here, again = _below(folder, seen)
        if not here and not again:
            raise UserError(f"{folder}: there are no runs of reluviz at or below it; {MAKE_SOME}")
        found += here
    return found


def _below(folder: Path, seen: set[str]) -> tuple[list[Path], bool]:
    """Return the runs at or below a folder, and whether some of what is there had been seen already."""
    runs: list[Path] = []
    empty: list[Path] = []
    again = False
    closed: list[Path] = []

    def shut(error: OSError) -> None:
        if isinstance(error, PermissionError):
            closed.append(Path(error.filename))

    for path, below, inside in os.walk(folder, onerror=shut, followlinks=True):
        real = os.path.realpath(path)
        if real in seen or MARK in inside:
            again |= real in seen
            below.clear()
            continue
        seen.add(real)
        ours = ".hydra" in below or "checkpoints" in below
        if ours or any(name in OF_A_RUN or name.startswith(PREFIX) for name in inside):
            runs.append(Path(path))
        elif not inside and not below:
            empty.append(Path(path))
        below[:] = sorted(name for name in below if not name.startswith(".") and name != "checkpoints")
    beside = {run.parent for run in runs}
    return sorted([*runs, *closed, *(one for one in empty if one.parent in beside)]), again
