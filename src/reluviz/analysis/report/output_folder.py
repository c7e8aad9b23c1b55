"""The folder of a report: files are replaced atomically, and files that no report wrote are never overwritten."""

import os
from pathlib import Path

from reluviz.errors import UserError
from reluviz.files import REPORT_MARKER


def check_replaceable(folder: Path, what: str) -> None:
    """Check that a report may write to a folder: it does not exist, is empty, or was written by a report.

    Args:
        folder: the folder.
        what: the option that names it, for the error message.

    Raises:
        UserError: if it holds other files, is a file, or cannot be read.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise UserError(f"{what}: {folder} is a file; name a folder") from None
    except OSError as error:
        raise UserError(f"{what}: {folder} cannot be read ({error.strerror or error})") from None
    if names and REPORT_MARKER not in names:
        raise UserError(f"{what}: {folder} holds what no report has written; --out names another folder")


def mark_as_report(folder: Path) -> None:
    """Create a folder, with the marker that it was written by a report.

    Raises:
        UserError: if it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / REPORT_MARKER).touch()
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to ({error.strerror or error})") from error
