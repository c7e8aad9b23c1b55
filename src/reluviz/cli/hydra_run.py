"""Runs jobs through Hydra: by its entry point, or from a configuration that is composed already.

Hydra takes 70 ms to compose a configuration. To derive one from a composed one takes a tenth of that.
"""

import copy
import functools
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
import hydra.core.utils
from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from reluviz.cli import config
from reluviz.cli.sweep.job import FULL_ERROR_VARIABLE, set_hydra_full_error
from reluviz.errors import UserError
from reluviz.files import CONFIG_FILE, atomic_write, conf_folder

LAST_SETTINGS_FILE = "overrides.yaml"
"""The file of a run's settings that Hydra writes last."""
MAX_CACHED_CONFIGS = 32
"""Of one sweep. A sweep may vary more than plain values, and then each job has a configuration to cache."""


def run_entry_point(flags: Sequence[str], overrides: Sequence[str], job: Any) -> None:
    """Call `hydra.main` with a command line; exceptions are raised unchanged."""
    argv = sys.argv
    GlobalHydra.instance().clear()
    sys.argv = ["reluviz train", *flags, *overrides]
    try:
        with _raising_errors(overrides, job) as wrapped:
            hydra.main(version_base="1.3", config_path=str(conf_folder().resolve()), config_name="config")(wrapped)()
    finally:
        sys.argv = argv


def run_single(cfg: DictConfig, overrides: Sequence[str], job: Any) -> None:
    """Do what `hydra.main` does for a single run.

    Args:
        cfg: composed from all overrides except the last one, which sets a value in Hydra's own node.
        overrides: of the run.
        job: called with the configuration.
    """
    cfg = with_overrides(cfg, [overrides[-1], *(["hydra.mode=RUN"] if cfg.hydra.mode is None else [])])
    with _raising_errors(overrides, job) as wrapped, config.initialized_hydra() as instance:
        instance.config_loader = PresetLoader(instance, cfg)
        instance.run("config", wrapped, list(overrides))


def run_multirun(
    overrides: Sequence[str], hydra_overrides: Sequence[str], job: Any, cfg: DictConfig | None = None
) -> None:
    """Do what `hydra.main --multirun` does; the configuration of a job is composed when the job starts.

    Args:
        overrides: of the sweep.
        hydra_overrides: further overrides, which set values in Hydra's own node.
        job: called with the configuration of each job.
        cfg: composed from `overrides`; None if an override holds several values.
    """
    every = [*overrides, *hydra_overrides]
    with _raising_errors(every, job) as wrapped, config.initialized_hydra() as instance:
        if cfg is None:
            cfg = instance.config_loader.load_configuration("config", every, RunMode.MULTIRUN)
        else:
            cfg = with_overrides(cfg, hydra_overrides)
        if cfg.hydra.mode is None:
            cfg = with_overrides(cfg, ["hydra.mode=MULTIRUN"])
        instance.config_loader = PresetLoader(instance, cfg)
        instance.multirun("config", wrapped, every)


def with_overrides(cfg: DictConfig, lines: Sequence[str]) -> DictConfig:
    """Return a copy of a composed configuration with further overrides of values in Hydra's own node."""
    extended, parser = copy.deepcopy(cfg), OverridesParser.create()
    for override in parser.parse_overrides(list(lines)):
        OmegaConf.update(extended, override.key_or_group, override.value())
        extended.hydra.overrides.hydra.append(override.input_line)
    _set_override_dirname(extended, parser.parse_overrides(list(extended.hydra.overrides.task)))
    return extended


class WrappedLoader:
    """A ConfigLoader of Hydra's that passes every call to another one."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)


class PresetLoader(WrappedLoader):
    """Returns a configuration that is composed already, and then puts Hydra's own loader back.

    Launchers must not receive this loader, because they send their loader to other processes.

    Args:
        instance: Hydra's own object, which loads a configuration once.
        cfg: the configuration.
    """

    def __init__(self, instance: Any, cfg: DictConfig) -> None:
        super().__init__(instance.config_loader)
        self.instance = instance
        self.cfg = cfg

    def load_configuration(self, *args: Any, **kwargs: Any) -> DictConfig:
        """Return the configuration."""
        self.instance.config_loader = self.loader
        return self.cfg


class CachingLoader(WrappedLoader):
    """Composes the configurations of a sweep's jobs, once for all jobs that differ only in plain values.

    Hydra's last step in composing is to set the overridden values one after another and to record the overrides. For
    a job with the same keys this loader repeats that step on a copy of the cached configuration.
    """

    def __init__(self, loader: Any) -> None:
        super().__init__(loader)
        self.groups: set[str] | None = None
        self.cache: dict[tuple[str, ...], DictConfig] = {}

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """Return the configuration of a job.

        Args:
            master_config: of the sweep.
            sweep_overrides: the overrides of this job.
        """
        name, fixed = master_config.hydra.job.config_name, list(map(str, master_config.hydra.overrides.hydra))
        if self.groups is None:
            # includes groups that hydra.searchpath adds
            self.groups = set(self.loader.get_group_options("", ObjectType.GROUP, name, fixed))
        lines = [*fixed, *sweep_overrides]
        parsed = OverridesParser.create().parse_overrides(lines)
        plain = [_only_sets_a_value(override, parsed, self.groups) for override in parsed]
        key = tuple(one.key_or_group if p else f"={one.input_line}" for one, p in zip(parsed, plain, strict=True))
        if key in self.cache:
            cfg = copy.deepcopy(self.cache[key])
            _set_values(cfg, [one for one, p in zip(parsed, plain, strict=True) if p], parsed)
        else:
            cfg = self.loader.load_configuration(name, lines, RunMode.RUN)
            if len(self.cache) == MAX_CACHED_CONFIGS:
                del self.cache[next(iter(self.cache))]
            self.cache[key] = copy.deepcopy(cfg)
        # so that all jobs have the same ${now:...}
        OmegaConf.copy_cache(from_config=master_config, to_config=cfg)
        return cfg


def _only_sets_a_value(override: Override, overrides: Sequence[Override], groups: set[str]) -> bool:
    """Return True if an override only sets a value that no other override changes."""
    key, value = override.key_or_group, override.value()
    if override.type != OverrideType.CHANGE or override.is_hydra_override() or override.package is not None:
        return False
    if "/" in key or key in groups or not isinstance(value, str | int | float | None):
        return False
    # choices of groups are not compared: Hydra applies them before it sets any value
    rest = [one for one in overrides if one is not override]
    keys = [one.key_or_group for one in rest if one.key_or_group not in groups or not isinstance(one.value(), str)]
    return not any(f"{key}.".startswith(f"{one}.") or f"{one}.".startswith(f"{key}.") for one in keys)


def _set_values(cfg: DictConfig, values: Sequence[Override], overrides: Sequence[Override]) -> None:
    """Set values and record all overrides, as Hydra does."""
    for override in values:
        OmegaConf.update(cfg, override.key_or_group, override.value())
    task = [override for override in overrides if not override.is_hydra_override()]
    for number, override in enumerate(task):
        cfg.hydra.overrides.task[number] = override.input_line
    _set_override_dirname(cfg, task)
    cfg.hydra.runtime.cwd = os.getcwd()


def _set_override_dirname(cfg: DictConfig, task: list[Override]) -> None:
    """Record the overrides as one word, as Hydra does."""
    names = cfg.hydra.job.config.override_dirname
    cfg.hydra.job.override_dirname = get_overrides_dirname(
        task, exclude_keys=names.exclude_keys, item_sep=names.item_sep, kv_sep=names.kv_sep
    )


@contextmanager
def _raising_errors(overrides: Sequence[str], job: Any) -> Iterator[Any]:
    """Make Hydra raise its errors instead of printing them; the job sees the user's own HYDRA_FULL_ERROR."""
    before, jobs = os.environ.get(FULL_ERROR_VARIABLE), 0
    os.environ[FULL_ERROR_VARIABLE] = "1"

    @functools.wraps(job)
    def wrapped(cfg: DictConfig) -> Any:
        nonlocal jobs
        jobs += 1
        set_hydra_full_error(before)
        try:
            return job(cfg)
        finally:
            os.environ[FULL_ERROR_VARIABLE] = "1"

    try:
        with _settings_written_atomically():
            yield wrapped
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(config.composition_error(list(overrides), error)) from error
    except config.COMPOSITION_ERRORS as error:
        if jobs or isinstance(error, UserError):
            raise
        # such as Python's logging, which Hydra configures
        raise UserError(f"hydra: its settings are refused: {' '.join(str(error).split())}") from error
    finally:
        set_hydra_full_error(before)


@contextmanager
def _settings_written_atomically() -> Iterator[None]:
    """Have Hydra write each file of a run's settings as a whole, and config.yaml last.

    A process may be killed meanwhile. A folder that has config.yaml has all the settings of its run.
    """
    texts: dict[str, str] = {}

    def save(cfg: DictConfig, filename: str, output_dir: Path) -> None:
        texts[filename] = OmegaConf.to_yaml(cfg)
        if filename == LAST_SETTINGS_FILE:
            for one in sorted(texts, key=lambda one: one == CONFIG_FILE):
                with atomic_write(output_dir / one) as partial:
                    partial.write_text(texts[one], encoding="utf-8")

    before = hydra.core.utils._save_config
    hydra.core.utils._save_config = save
    try:
        yield
    finally:
        hydra.core.utils._save_config = before
