"""Paths as people like to read them."""

import os
from pathlib import Path


def short(path: Path) -> str:
    """Return a path from the current folder where it lies below it, else from the root."""
    try:
        short = os.path.relpath(path)
    except ValueError:
        # another drive of Windows
        return str(path)
    return short if not short.startswith("..") else str(path)
