"""What a run was set to, read from what Hydra left of it, without Hydra."""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reluviz.analysis.report.groups import Value
from reluviz.files import conf_folder

# compiled, where PyYAML was built with it: ten times as fast
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
NOT_SETTINGS = (
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
    "sweep",
    "sweeper",
)
"""What makes no other run of it: names, seeds, how it is watched and where it is computed. (What an experiment sets
stands in the settings themselves.)"""
NODES = ("data", "model", "optimizer", "sampler", "scheduler", "snapshots")
"""What has a `_target_`."""
CHOICES = re.compile(r"^    choices:\n((?:      .*\n)*)", re.MULTILINE)
REFERENCE = re.compile(r"\$\{([\w.]+)\}")
TARGET = "_target_"
DEEPEST = 8
MOST_REPLICAS = 10**7


@dataclass(frozen=True)
class Settings:
    """The settings of a run.

    Attributes:
        leaves: dotted key -> value; of a `_target_`, the name of the class alone. References are resolved.
        written: the leaves that were written as references to others: key -> ${other}.
        choices: config group -> choice; empty where the run does not tell.
        seeds: as they were asked for.
    """

    leaves: Mapping[str, Value]
    written: Mapping[str, str]
    choices: Mapping[str, str | None]
    seeds: tuple[int, ...]


def composed(folder: Path) -> Settings:
    """Return the settings of a run from its folder .hydra.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is damaged.
    """
    config = _yaml(folder / "config.yaml")
    first, replicas = int(config.get("seed", 0)), int(config.get("replicas", 1))
    if replicas > MOST_REPLICAS:
        # a digit too many would take all memory there is
        raise ValueError(f".hydra/config.yaml is damaged: replicas: {replicas}")
    seeds = config.get("seeds") or range(first, first + replicas)
    leaves = dict(_leaves({key: value for key, value in config.items() if key not in NOT_SETTINGS}))
    written = {key: value for key, value in leaves.items() if isinstance(value, str) and REFERENCE.fullmatch(value)}
    for key in written:
        leaves[key] = _resolved(leaves, leaves[key], DEEPEST)
    return Settings(leaves, written, _choices(folder / "hydra.yaml"), tuple(map(int, seeds)))


def told(settings: Mapping[str, Any]) -> Settings:
    """Return the settings that a run has told TensorBoard of, which are flat."""
    leaves = {f"{key}.{TARGET}" if key in NODES else str(key): _value(one) for key, one in settings.items()}
    leaves = {key: one for key, one in leaves.items() if key.partition(".")[0] not in NOT_SETTINGS}
    return Settings(leaves, {}, {}, ())


def global_leaves(group: str) -> frozenset[str]:
    """Return the leaves that the choices of a group without a node of its own set, such as those of regime."""
    return frozenset(
        key
        for path in (conf_folder() / group).glob("*.yaml")
        for key, _ in _leaves(yaml.load(path.read_bytes(), LOADER) or {})
        if key != "defaults"
    )


def _choices(path: Path) -> dict[str, str | None]:
    if not path.exists():
        return {}
    # a hundred lines stand before these few
    block = CHOICES.search(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else None
    if block is None:
        raise ValueError(f".hydra/{path.name} is damaged")
    return {key: one for key, one in _parsed_choices(block[1]) if key not in NOT_SETTINGS and "/" not in key}


@functools.lru_cache(maxsize=1024)
def _parsed_choices(block: str) -> tuple[tuple[str, str | None], ...]:
    # few combinations of choices are in many runs
    try:
        found = yaml.load(block, LOADER)
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(".hydra/hydra.yaml is damaged")
    return tuple((str(key), None if one is None else str(one)) for key, one in found.items())


def _yaml(path: Path) -> dict[str, Any]:
    if path.exists() and not path.is_file():
        # a pipe would be waited for
        raise ValueError(f"{path.parent.name}/{path.name} is no file")
    try:
        text = path.read_bytes()
        # cut off in the middle of a line, it may well be a mapping still
        found = yaml.load(text, LOADER) if text.endswith(b"\n") else None
    except (yaml.YAMLError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{path.parent.name}/{path.name} is {'empty' if not path.stat().st_size else 'damaged'}")
    return found


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Value]]:
    for name, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value).rpartition(".")[2] if name == TARGET else _value(value)


def _value(value: object) -> Value:
    return value if value is None or isinstance(value, str | float | int | bool) else str(value)


def _resolved(leaves: Mapping[str, Value], value: Value, deepest: int) -> Value:
    found = REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if found is None or found[1] not in leaves or deepest == 0:
        return value
    return _resolved(leaves, leaves[found[1]], deepest - 1)
