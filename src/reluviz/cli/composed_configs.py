"""Configurations that follow from one that Hydra has composed: composing takes 70 ms, following from it a tenth."""

import copy
import os
from collections.abc import Sequence
from typing import Any

from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

MOST = 32
"""Configurations that are kept: a sweep may well vary something else than plain values."""


def extended(cfg: DictConfig, lines: Sequence[str]) -> DictConfig:
    """Return a configuration as it would be with more overrides at the end, which set values of Hydra's own."""
    found, parser = copy.deepcopy(cfg), OverridesParser.create()
    for override in parser.parse_overrides(list(lines)):
        OmegaConf.update(found, override.key_or_group, override.value())
        found.hydra.overrides.hydra.append(override.input_line)
    _name(found, parser.parse_overrides(list(found.hydra.overrides.task)))
    return found


class Loader:
    """What a ConfigLoader of Hydra's does, by one of Hydra's own."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)


class FixedLoader(Loader):
    """Loads the one configuration that is known already, and leaves its place to Hydra's own loader.

    Launchers are not to meet it: they take the loader along to other processes.

    Args:
        hydra: what asks its loader for a configuration once.
        cfg: the configuration.
    """

    def __init__(self, hydra: Any, cfg: DictConfig) -> None:
        super().__init__(hydra.config_loader)
        self.hydra = hydra
        self.cfg = cfg

    def load_configuration(self, *args: Any, **kwargs: Any) -> DictConfig:
        """Return the configuration."""
        self.hydra.config_loader = self.loader
        return self.cfg


class ReusingLoader(Loader):
    """Composes the jobs of a sweep, once for those that differ in nothing but plain values.

    The last thing that Hydra does with a composed configuration is to set the values that were given, one after
    another, and to note what was given. For a job with the same keys it is done to a copy of what is there.
    """

    def __init__(self, loader: Any) -> None:
        super().__init__(loader)
        self.groups: set[str] | None = None
        self.composed: dict[tuple[str, ...], DictConfig] = {}

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """Return the configuration of a job.

        Args:
            master_config: the sweep's.
            sweep_overrides: the job's own overrides.
        """
        name, fixed = master_config.hydra.job.config_name, list(map(str, master_config.hydra.overrides.hydra))
        if self.groups is None:
            # those that hydra.searchpath adds among them
            self.groups = set(self.loader.get_group_options("", ObjectType.GROUP, name, fixed))
        lines = [*fixed, *sweep_overrides]
        parsed = OverridesParser.create().parse_overrides(lines)
        free = [_free(override, parsed, self.groups) for override in parsed]
        kind = tuple(one.key_or_group if may else f"={one.input_line}" for one, may in zip(parsed, free, strict=True))
        if kind in self.composed:
            cfg = copy.deepcopy(self.composed[kind])
            _set(cfg, [one for one, may in zip(parsed, free, strict=True) if may], parsed)
        else:
            cfg = self.loader.load_configuration(name, lines, RunMode.RUN)
            if len(self.composed) == MOST:
                del self.composed[next(iter(self.composed))]
            self.composed[kind] = copy.deepcopy(cfg)
        # so that they have the same time, for one
        OmegaConf.copy_cache(from_config=master_config, to_config=cfg)
        return cfg


def _free(override: Override, among: Sequence[Override], groups: set[str]) -> bool:
    """Whether an override does nothing but set a value that no other one touches."""
    key, value = override.key_or_group, override.value()
    if override.type != OverrideType.CHANGE or override.is_hydra_override() or override.package is not None:
        return False
    if "/" in key or key in groups or not isinstance(value, str | int | float | None):
        return False
    # a choice is made before any value is set
    others = [one for one in among if one is not override]
    keys = [one.key_or_group for one in others if one.key_or_group not in groups or not isinstance(one.value(), str)]
    return not any(f"{key}.".startswith(f"{one}.") or f"{one}.".startswith(f"{key}.") for one in keys)


def _set(cfg: DictConfig, values: Sequence[Override], given: Sequence[Override]) -> None:
    """Set values, and note what was given, as Hydra does."""
    for override in values:
        OmegaConf.update(cfg, override.key_or_group, override.value())
    task = [override for override in given if not override.is_hydra_override()]
    for number, override in enumerate(task):
        cfg.hydra.overrides.task[number] = override.input_line
    _name(cfg, task)
    cfg.hydra.runtime.cwd = os.getcwd()


def _name(cfg: DictConfig, task: list[Override]) -> None:
    """Write what was given as one word, as Hydra does."""
    names = cfg.hydra.job.config.override_dirname
    cfg.hydra.job.override_dirname = get_overrides_dirname(
        task, exclude_keys=names.exclude_keys, item_sep=names.item_sep, kv_sep=names.kv_sep
    )
