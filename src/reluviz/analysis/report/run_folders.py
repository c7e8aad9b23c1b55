"""The run folders of a group, as links from the HTML page and as commands that show them."""

import os
import shlex
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from reluviz.analysis.report.groups import Replica

MAX_PAGES = 3


@dataclass(frozen=True)
class RunFolder:
    """A run of a group.

    Attributes:
        folder: its folder.
        seeds: the seeds of its replicas in the group.
        status: its status.
    """

    folder: Path
    seeds: tuple[int, ...]
    status: str


def run_folders(replicas: Iterable[Replica]) -> list[RunFolder]:
    """Return the runs that contain these replicas, in order of first appearance."""
    by_folder: dict[Path, list[Replica]] = {}
    for replica in replicas:
        by_folder.setdefault(replica.folder, []).append(replica)
    return [
        RunFolder(folder, tuple(replica.seed for replica in members), members[0].status)
        for folder, members in by_folder.items()
    ]


def relative_link(target: Path, page: Path) -> str:
    """Return the URL of a file or folder relative to a page, so that both can be moved together."""
    try:
        path = os.path.relpath(target, page.parent)
    except ValueError:  # on another drive
        return Path(os.path.abspath(target)).as_uri()
    # without ./ a colon in the first part would make it a URL scheme
    return "./" + quote(os.fsencode(Path(path).as_posix()))


def view_command(folder: Path) -> str:
    """Return the command that shows a run, quoted for the shell of this system."""
    words = ["python", "-m", "reluviz", "view", str(folder)]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def exported_pages(folder: Path) -> list[Path]:
    """Return up to `MAX_PAGES` HTML pages that were exported into the folder of a run."""
    try:
        return sorted(islice(folder.glob("*.html"), MAX_PAGES))
    except OSError:
        return []
