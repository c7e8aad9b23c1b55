"""Where the runs of a group lie: as links from a page, and as commands that show them."""

import os
import shlex
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from reluviz.analysis.report.groups import Replica

MOST_PAGES = 3


@dataclass(frozen=True)
class RunFolder:
    """A run.

    Attributes:
        folder: its folder.
        seeds: of the replicas that the group has from it.
        status: how it ended.
    """

    folder: Path
    seeds: tuple[int, ...]
    status: str


def run_folders(replicas: Iterable[Replica]) -> list[RunFolder]:
    """Return the runs that replicas come from, in their order."""
    found: dict[Path, list[Replica]] = {}
    for replica in replicas:
        found.setdefault(replica.folder, []).append(replica)
    return [
        RunFolder(folder, tuple(each.seed for each in several), several[0].status) for folder, several in found.items()
    ]


def link(target: Path, page: Path) -> str:
    """Return the address of a file or folder as seen from a page, which may be moved together with it."""
    try:
        there = os.path.relpath(target, page.parent)
    except ValueError:  # on another drive
        return Path(os.path.abspath(target)).as_uri()
    # a colon in the first part would make a scheme of it
    return "./" + quote(os.fsencode(Path(there).as_posix()))


def command(folder: Path) -> str:
    """Return the command that shows a run, as the shells of this system take it."""
    words = ["python", "-m", "reluviz", "view", str(folder)]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def pages(folder: Path) -> list[Path]:
    """Return HTML pages that were exported into a run's folder, a few of them."""
    try:
        return sorted(islice(folder.glob("*.html"), MOST_PAGES))
    except OSError:
        return []
