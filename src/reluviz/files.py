"""Files and folders: where conf/ lies, paths for people, and files that are written whole or not at all."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def conf_folder() -> Path:
    """Return conf/: inside the package once installed, at the top of the repository in a checkout."""
    inside = Path(__file__).parent / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "conf"


def short(path: Path) -> str:
    """Return a path relative to the current folder if it lies below it, else as it is."""
    try:
        relative = os.path.relpath(path)
    except ValueError:
        # another drive of Windows
        return str(path)
    return relative if not relative.startswith("..") else str(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON in one move: a reader sees the old file or the new one."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(beside, path)
