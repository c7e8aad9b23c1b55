"""The settings of a run, read from the files that Hydra wrote or from the event files, without Hydra."""

import functools
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reluviz.analysis.report.groups import Value
from reluviz.files import conf_folder, read_plain_yaml
from reluviz.record.settings import TARGET, leaves

# the C parser is ten times as fast, if PyYAML was built with it
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
IGNORED_KEYS = (
    "callbacks",
    "ckpt_path",
    "exp",
    "hydra",
    "launcher",
    "logger",
    "name",
    "replicas",
    "seed",
    "seeds",
    "snapshots",
    "sweep",
    "sweeper",
)
"""Keys that do not distinguish groups: names, seeds, logging, where a run is computed, and at which updates it is
recorded, which does not change its training. An experiment is ignored too, since the settings that it makes are in the
configuration."""
TARGET_NODES = ("data", "model", "optimizer", "sampler", "scheduler")
"""Keys of nodes with a `_target_`."""
CHOICES_BLOCK = re.compile(r"^    choices:\n((?:      .*\n)*)", re.MULTILINE)
REFERENCE = re.compile(r"\$\{([\w.]+)\}")
MAX_REFERENCE_DEPTH = 8
MAX_REPLICAS = 10**7


@dataclass(frozen=True)
class Settings:
    """The settings of a run.

    Attributes:
        leaves: dotted key -> value, with references resolved; for a `_target_` only the name of the class.
        references: the settings that were written as references to other keys: key -> ${other key}.
        choices: config group -> choice; empty if they were not recorded.
        seeds: the configured seeds.
    """

    leaves: Mapping[str, Value]
    references: Mapping[str, str]
    choices: Mapping[str, str | None]
    seeds: tuple[int, ...]


def read_hydra_settings(folder: Path) -> Settings:
    """Return the settings of a run from its folder .hydra.

    Raises:
        OSError: if a file cannot be read.
        ValueError: if a file is damaged.
    """
    config = _read_yaml(folder / "config.yaml")
    first_seed, replicas = int(config.get("seed", 0)), int(config.get("replicas", 1))
    if replicas > MAX_REPLICAS:
        # a damaged number must not exhaust the memory
        raise ValueError(f".hydra/config.yaml is damaged: replicas: {replicas}")
    seeds = config.get("seeds") or range(first_seed, first_seed + replicas)
    found = {
        key: str(value).rpartition(".")[2] if key.rpartition(".")[2] == TARGET else _value(value)
        for key, value in leaves({key: value for key, value in config.items() if key not in IGNORED_KEYS})
    }
    references = {key: value for key, value in found.items() if isinstance(value, str) and REFERENCE.fullmatch(value)}
    for key in references:
        found[key] = _resolve(found, found[key], MAX_REFERENCE_DEPTH)
    return Settings(found, references, _choices(folder / "hydra.yaml"), tuple(map(int, seeds)))


def recorded_settings(settings: Mapping[str, Any]) -> Settings:
    """Return the settings from the event files of a run, where they are recorded as a flat mapping."""
    found = {f"{key}.{TARGET}" if key in TARGET_NODES else str(key): _value(value) for key, value in settings.items()}
    found = {key: value for key, value in found.items() if key.partition(".")[0] not in IGNORED_KEYS}
    return Settings(found, {}, {}, ())


def group_leaves(group: str, choices: Collection[str | None]) -> frozenset[str]:
    """Return the keys that some choices of a config group without a node of its own set, such as those of regime."""
    return frozenset(
        key
        for path in (conf_folder() / group).glob("*.yaml")
        if path.stem in choices
        for key, _ in leaves(yaml.load(path.read_bytes(), LOADER) or {})
        if key != "defaults"
    )


def _choices(path: Path) -> dict[str, str | None]:
    if not path.exists():
        return {}
    # parse only these few lines of the file
    block = CHOICES_BLOCK.search(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else None
    if block is None:
        raise ValueError(f".hydra/{path.name} is damaged")
    return {key: choice for key, choice in _parsed_choices(block[1]) if key not in IGNORED_KEYS and "/" not in key}


@functools.lru_cache(maxsize=1024)
def _parsed_choices(block: str) -> tuple[tuple[str, str | None], ...]:
    # cached: many runs share few combinations of choices
    try:
        found = yaml.load(block, LOADER)
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(".hydra/hydra.yaml is damaged")
    return tuple((str(key), None if choice is None else str(choice)) for key, choice in found.items())


def _read_yaml(path: Path) -> dict[str, Any]:
    name = f"{path.parent.name}/{path.name}"
    try:
        text = read_plain_yaml(path) if path.exists() else path.read_bytes()
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
    try:
        # a file that is cut off in the middle of a line can still be a valid mapping
        found = yaml.load(text, LOADER) if text.endswith(b"\n") else None
    except (yaml.YAMLError, ValueError, TypeError, LookupError, OverflowError):
        found = None
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{name} is {'damaged' if text else 'empty'}")
    return found


def _value(value: object) -> Value:
    return value if value is None or isinstance(value, str | float | int | bool) else str(value)


def _resolve(leaves: Mapping[str, Value], value: Value, max_depth: int) -> Value:
    found = REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if found is None or found[1] not in leaves or max_depth == 0:
        return value
    return _resolve(leaves, leaves[found[1]], max_depth - 1)
