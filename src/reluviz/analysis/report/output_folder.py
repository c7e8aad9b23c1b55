"""The files of a report: each is written in one move, and none that a report did not write is lost."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reluviz.analysis.report.find_runs import MARK
from reluviz.errors import UserError


def check(folder: Path, what: str) -> None:
    """See to it that a folder can be a report's own: it is new, empty, or made by a report.

    Args:
        folder: the folder.
        what: how it was named, for the error message.

    Raises:
        UserError: if it holds something else.
    """
    try:
        inside = os.listdir(folder)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise UserError(f"{what}: {folder} is a file; name a folder") from None
    except OSError as error:
        raise UserError(f"{what}: {folder} cannot be read ({error.strerror or error})") from None
    if inside and MARK not in inside:
        raise UserError(f"{what}: {folder} holds what no report has written; --out names another folder")


def claim(folder: Path) -> None:
    """Make a folder a report's own, which is no run and may be written again.

    Raises:
        UserError: if it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).touch()
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to ({error.strerror or error})") from error


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which takes the place of `path` at the end, or is gone if anything fails.

    Raises:
        UserError: if it cannot be written.
    """
    beside = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        try:
            yield beside
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
