"""Files and folders: names on disk, the path of conf/, short paths for messages, atomic writing of JSON."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

EVENT_FILE_PREFIX = "events.out.tfevents."
"""The beginning of the name of an event file."""
REPORT_MARKER = ".reluviz-report"
"""A folder with a file of this name was written by `report`: it holds no runs, and a new report may replace it."""


def conf_folder() -> Path:
    """Return the path of conf/: inside an installed package, or at the top of a checkout of the repository."""
    inside = Path(__file__).parent / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "conf"


def short_path(path: Path) -> str:
    """Return the path relative to the current folder if it lies below it, else the path unchanged."""
    try:
        relative = os.path.relpath(path)
    except ValueError:
        # the path is on another drive (Windows)
        return str(path)
    return relative if not relative.startswith("..") else str(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON atomically: a reader sees either the old file or the new one."""
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(partial, path)
