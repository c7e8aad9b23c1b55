"""Pictures as files, each written in one move and always with the same bytes; it says itself what it shows."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context

from reluviz.analysis.report.pictures.picture import Picture
from reluviz.errors import UserError
from reluviz.plots.style import DPI, RC

FORMATS = ("png", "svg", "pdf")


def checked(formats: Sequence[str]) -> tuple[str, ...]:
    """Return the formats, each once.

    Raises:
        UserError: for one that is not known.
    """
    for kind in formats:
        if kind not in FORMATS:
            raise UserError(f"format {kind}: must be one of {', '.join(FORMATS)}")
    return tuple(dict.fromkeys(formats))


def save(picture: Picture, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Write a picture in some formats and return its files.

    Raises:
        UserError: where a file cannot be written.
    """
    found = []
    settings: Any = {**RC, "svg.hashsalt": "reluviz", "pdf.fonttype": 42}
    for kind in formats:
        target = folder / f"{picture.name}.{kind}"
        beside = folder / f".{picture.name}.part.{kind}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                with rc_context(settings):
                    picture.figure.savefig(beside, dpi=2 * DPI, metadata=_told(picture, kind))
                os.replace(beside, target)
            finally:
                beside.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"{target}: cannot be written ({error.strerror or error})") from error
        found.append(target)
    return found


def _told(picture: Picture, kind: str) -> dict[str, Any]:
    if kind == "pdf":
        return {"Title": picture.title, "Subject": picture.words, "CreationDate": None}
    told: dict[str, Any] = {"Title": picture.title, "Description": picture.words}
    return told | ({"Date": None} if kind == "svg" else {})
