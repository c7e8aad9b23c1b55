"""Files and folders: names on disk, conf/, short paths, atomic writing, the walk for runs, JSON and YAML."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence, ValuesView
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reluviz.errors import UserError
from reluviz.folder_lock import check_held

EVENT_FILE_PREFIX = "events.out.tfevents."
"""The beginning of the name of an event file."""
CONFIG_FOLDER, CHECKPOINTS_FOLDER = ".hydra", "checkpoints"
"""In a run's folder: its configuration, its checkpoints."""
LAST_CHECKPOINT = "last.ckpt"
"""In `CHECKPOINTS_FOLDER`: the newest checkpoint."""
CONFIG_FILE = "config.yaml"
"""In `CONFIG_FOLDER`: the run's settings. It is written after the other files there."""
METRICS_FILE, FAILURE_FILE = "metrics.json", "failure.json"
"""In a run's folder: its results, or why it could not be run."""
RESULTS = {METRICS_FILE, FAILURE_FILE}
"""The files that tell what became of a run."""
SWEEP_FILE = "multirun.yaml"
"""In a sweep's folder: its configuration."""
MAX_DEPTH = 50
"""JSON and YAML that is nested more deeply than this is refused: what reads it calls itself at each level."""
MAX_YAML_BYTES = 2**22
"""A larger YAML file is refused: its parser needs some 200 bytes of memory a byte."""
MAX_REFERENCES = 32
"""YAML with more references `${key}` is refused: each can hold several others, and so on."""
REPORT_MARKER = ".reluviz-report"
"""A folder with a file of this name was written by `report`: it holds no runs, and a new report may replace it."""


def conf_folder() -> Path:
    """Return the path of conf/: inside an installed package, or at the top of a checkout of the repository."""
    inside = Path(__file__).parent / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "conf"


def typed_path(text: str | os.PathLike[str]) -> Path:
    """Return the path that a user typed: ~ stands for the home folder, unless something here has this very name."""
    path = Path(text)
    # os.path.exists is false for a name that is too long, where Path.exists raises
    if os.path.exists(path):
        return path
    try:
        return path.expanduser()
    except RuntimeError:
        # there is no such user
        return path


def short_path(path: Path) -> str:
    """Return the path relative to the current folder if it lies below it, else the path unchanged."""
    try:
        relative = os.path.relpath(path)
    except ValueError:
        # the path is on another drive (Windows)
        return str(path)
    return relative if not relative.startswith("..") else str(path)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`, and rename it to `path` when the context ends without an exception.

    So a reader sees the old file or the whole new one. The folder is created if it does not exist.

    Raises:
        UserError: if it cannot be written, or this process has lost the lock of a folder above it.
    """
    check_held(path)
    partial = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON atomically."""
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def remove_unless_recorded(paths: Sequence[Path]) -> None:
    """Remove files and folders if no run has recorded anything in them: no events, checkpoints or results."""
    names = {path.name for path in paths}
    names |= {name for path in paths for _, _, files in os.walk(path) for name in files}
    if any(name.startswith(EVENT_FILE_PREFIX) or name.endswith(".ckpt") for name in names) or names & RESULTS:
        return
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def parse_json(text: bytes | str, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """Return what a JSON text of unknown origin holds.

    Args:
        text: the text.
        parse_constant: as for `json.loads`.

    Raises:
        ValueError: if it is not JSON, or is nested more deeply than `MAX_DEPTH`.
    """
    try:
        found = json.loads(text, parse_constant=parse_constant)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    level = [found]
    for _ in range(MAX_DEPTH):
        inside = (value.values() if isinstance(value, dict) else value for value in level)
        level = [one for values in inside if isinstance(values, list | ValuesView) for one in values]
        if not level:
            return found
    raise ValueError("is nested too deeply")


def read_plain_yaml(path: Path) -> bytes:
    """Return the text of a YAML file of unknown origin that no reader can expand to much more than its length.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no file, is not YAML or too long, has aliases (whose content can grow exponentially) or too
            many references, or is nested more deeply than `MAX_DEPTH`.
    """
    import yaml

    if not path.is_file():
        # reading from a pipe would block
        raise ValueError("is no file")
    if path.stat().st_size > MAX_YAML_BYTES:
        raise ValueError(f"is longer than {MAX_YAML_BYTES:,} bytes")
    text = path.read_bytes()
    depth = 0
    try:
        for event in yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("has YAML aliases")
            if depth > MAX_DEPTH:
                raise ValueError("is nested too deeply")
    except yaml.YAMLError:
        raise ValueError("is damaged") from None
    if text.count(b"${") > MAX_REFERENCES:
        raise ValueError("has too many references")
    return text


class FolderWalk:
    """Visits a folder and all folders below it that may be runs or contain runs; iterate over it once.

    Links are followed, and each folder is visited once. Hidden folders, `CHECKPOINTS_FOLDER` and reports are left out,
    unless the walk visits everything.

    Args:
        root: the first folder.
        seen: identities of folders that were visited before, by earlier walks too; the walk adds its own.
        everything: whether no folder is left out.

    Attributes:
        unreadable: the folders for which this process has no permission.
        met_seen: whether the walk has met a folder that an earlier walk visited.
    """

    def __init__(
        self, root: str | os.PathLike[str], seen: set[tuple[int, int]] | None = None, everything: bool = False
    ) -> None:
        self.root = root
        self.everything = everything
        self.unreadable: list[Path] = []
        self.met_seen = False
        self._seen = set() if seen is None else seen

    def __iter__(self) -> Iterator[tuple[str, list[str], list[str]]]:
        """Yield each folder with the names of its subfolders and of its files."""
        for path, subfolders, files in os.walk(self.root, onerror=self._note_error, followlinks=True):
            try:
                status = os.stat(path)
            except OSError:
                subfolders.clear()
                continue
            identity = status.st_dev, status.st_ino
            if identity in self._seen or (REPORT_MARKER in files and not self.everything):
                self.met_seen |= identity in self._seen
                subfolders.clear()
                continue
            self._seen.add(identity)
            yield path, list(subfolders), files
            subfolders[:] = sorted(name for name in subfolders if self.everything or not _belongs_to_run(name))

    def _note_error(self, error: OSError) -> None:
        if isinstance(error, PermissionError):
            self.unreadable.append(Path(error.filename))


def _belongs_to_run(name: str) -> bool:
    """Return whether a subfolder of this name is part of a run, so that no runs are below it."""
    return name.startswith(".") or name == CHECKPOINTS_FOLDER
