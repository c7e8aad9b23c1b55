"""The files of the browser interface (TensorBoard tab and HTML page): JavaScript modules and a stylesheet.

A file is named by its path below static/, such as `core/models/relu.js`.
"""

import posixpath
from collections.abc import Iterator
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

STATIC = resources.files("reluviz.tab") / "static"
CONTENT_TYPES = {".js": "text/javascript", ".css": "text/css"}


@cache
def static_files() -> dict[str, bytes]:
    """Return all .js and .css files below static/, path -> content."""
    return dict(_walk(STATIC, ""))


def content_type(path: str) -> str:
    """Return the content type with which a .js or .css file is served."""
    return CONTENT_TYPES[posixpath.splitext(path)[1]]


def read_static(path: str) -> str:
    """Return the text of a .js or .css file below static/.

    Raises:
        ValueError: if there is no such file.
    """
    if path not in static_files():
        raise ValueError(f"there is no {path} in static/")
    return static_files()[path].decode("utf-8")


def resolve_import(importer: str, target: str) -> str:
    """Resolve a relative import to a path below static/.

    Args:
        importer: path of the module with the import, such as `views/votes.js`.
        target: the import's specifier, relative to `importer`, such as `../core/votes.js`.

    Raises:
        ValueError: if the target lies outside static/.
    """
    path = posixpath.normpath(posixpath.join(posixpath.dirname(importer), target))
    if path.startswith(("/", "..")):
        raise ValueError(f"{importer} imports {target}, which lies outside of static/")
    return path


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _walk(entry, f"{path}/")
        elif entry.name.endswith(tuple(CONTENT_TYPES)):
            yield path, entry.read_bytes()
