"""Handing over to Hydra: by its entry point, or with a configuration that has been composed already."""

import functools
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from reluviz.cli import composed_configs, config
from reluviz.cli.sweep.job import FULL, set_full
from reluviz.errors import UserError
from reluviz.files import conf_folder


def entry(flags: Sequence[str], overrides: Sequence[str], job: Any) -> None:
    """Do what `hydra.main` does with a command line; exceptions come back as they are."""
    argv = sys.argv
    GlobalHydra.instance().clear()
    sys.argv = ["reluviz train", *flags, *overrides]
    try:
        with _ours(overrides, job) as restored:
            hydra.main(version_base="1.3", config_path=str(conf_folder().resolve()), config_name="config")(restored)()
    finally:
        sys.argv = argv


def run(cfg: DictConfig, overrides: Sequence[str], job: Any) -> None:
    """Do what `hydra.main` does for a single run.

    Args:
        cfg: composed from all but the last of the overrides, which sets a value of Hydra's own.
        overrides: of the run.
        job: called with the configuration.
    """
    cfg = composed_configs.extended(cfg, [overrides[-1], *(["hydra.mode=RUN"] if cfg.hydra.mode is None else [])])
    with _ours(overrides, job) as restored, config.initialized() as known:
        known.config_loader = composed_configs.FixedLoader(known, cfg)
        known.run("config", restored, list(overrides))


def multirun(overrides: Sequence[str], own: Sequence[str], job: Any, cfg: DictConfig | None = None) -> None:
    """Do what `hydra.main` does with --multirun; the jobs' configurations are composed as they begin.

    Args:
        overrides: of the sweep.
        own: more of them, which set values of Hydra's own.
        job: called with the configuration of each job.
        cfg: composed from `overrides`; None where they hold several values for a key.
    """
    every = [*overrides, *own]
    with _ours(every, job) as restored, config.initialized() as known:
        if cfg is None:
            cfg = known.config_loader.load_configuration("config", every, RunMode.MULTIRUN)
        else:
            cfg = composed_configs.extended(cfg, own)
        if cfg.hydra.mode is None:
            cfg = composed_configs.extended(cfg, ["hydra.mode=MULTIRUN"])
        known.config_loader = composed_configs.FixedLoader(known, cfg)
        known.multirun("config", restored, every)


@contextmanager
def _ours(overrides: Sequence[str], job: Any) -> Iterator[Any]:
    """Have Hydra tell of errors by raising them; the job sees the user's own setting."""
    before = os.environ.get(FULL)
    os.environ[FULL] = "1"

    @functools.wraps(job)
    def restored(cfg: DictConfig) -> Any:
        set_full(before)
        try:
            return job(cfg)
        finally:
            os.environ[FULL] = "1"

    try:
        yield restored
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(config.why(list(overrides), error)) from error
    finally:
        set_full(before)
