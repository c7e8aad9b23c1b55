"""The rules for each key of a configuration. A wrong value is reported before anything is created."""

import re
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from reluviz.data import ranges
from reluviz.data.ranges import Rule, check_value, number, one_of, whole_number
from reluviz.errors import UserError
from reluviz.models import relu_settings

MAX_SEED = 2**32 - 1


def boolean(value: Any) -> bool:
    """Accept true and false."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def folder_name(value: Any) -> str:
    """Accept a name for a folder: letters, digits, '.', '_', '-' and '+', not starting with '.'."""
    if not isinstance(value, str | int) or not re.fullmatch(r"[\w+-][\w.+-]*", str(value)):
        raise ValueError("a name of letters, digits, '.', '_', '-' and '+'")
    return str(value)


def file_name(value: Any) -> str:
    """Accept the name of a file, including one that YAML reads as a number."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("the name of a file")
    return str(value)


def optional(rule: Rule) -> Rule:
    """Return a rule that also accepts null."""
    return lambda value: None if value is None else rule(value)


def positions(value: Any) -> list[float]:
    """Accept a list of finite numbers."""
    if not isinstance(value, list) or not value:
        raise ValueError("a list of numbers, as in [0.1,0.5]")
    return [number()(item) for item in value]


def seeds(value: Any) -> list[int]:
    """Accept a list of different seeds."""
    if not isinstance(value, list) or not value or len(set(map(str, value))) < len(value):
        raise ValueError("a list of different whole numbers, as in [0,5,17]")
    return [whole_number(0, MAX_SEED)(item) for item in value]


RULES: dict[str, Rule] = {
    "name": folder_name,
    "seed": whole_number(0, MAX_SEED),
    "seeds": optional(seeds),
    "replicas": whole_number(1),
    "step_size": number(above=0),
    "data.n": whole_number(2, 1e8),
    "data.noise": number(least=0),
    "data.seed": whole_number(0, MAX_SEED),
    "data.path": optional(file_name),
    "data.test_path": optional(file_name),
    **ranges.RULES,
    "snapshots.every": whole_number(1),
    "snapshots.per_decade": whole_number(1),
    "model.start": number(),
    "model.positions": optional(positions),
    **relu_settings.RULES,
    "model.init_from": optional(file_name),
    "optimizer.lr": number(above=0),
    "optimizer.momentum": number(least=0, below=1),
    "optimizer.weight_decay": number(least=0),
    "optimizer.nesterov": boolean,
    "callbacks.snapshots.pictures": whole_number(0),
    "callbacks.snapshots.histograms": boolean,
    "callbacks.snapshots.contributions": boolean,
    "callbacks.snapshots.most_units": whole_number(1),
    "callbacks.checkpoints.seconds": number(least=0),
    "callbacks.checkpoints.every": whole_number(0),
    "trainer.accelerator": one_of("cpu", "gpu", "auto"),
    "trainer.devices": whole_number(1, 1),
    "trainer.precision": one_of("32-true", "64-true"),
    "sweep.resume": optional(file_name),
    "sweep.trials": whole_number(1),
    "sweep.together": whole_number(1),
}

TOP_LEVEL_KEYS = {key.partition(".")[0] for key in RULES} | {"regime", "scheduler", "engine", "logger", "ckpt_path"}
"""The keys allowed at the top level of a configuration."""
REQUIRED_KEYS = TOP_LEVEL_KEYS - {"regime", "scheduler", "logger", "sweep"}
"""The top-level keys that every configuration must have."""


def check(cfg: DictConfig) -> DictConfig:
    """Return a copy of the configuration with every value checked and converted to its type.

    Raises:
        UserError: if a key or value is wrong; the message is one line with the key, the value and what it must be.
    """
    if unknown := sorted(set(cfg) - TOP_LEVEL_KEYS):
        raise UserError(f"{unknown[0]}={cfg[unknown[0]]}: there is no such key; --cfg job shows all keys")
    if missing_keys := sorted(REQUIRED_KEYS - set(cfg)):
        raise UserError(f"{missing_keys[0]}: is missing, and every run needs it")
    cfg = cfg.copy()
    with open_dict(cfg):
        for key, rule in RULES.items():
            missing = object()
            try:
                value = OmegaConf.select(cfg, key, default=missing)
                if OmegaConf.is_config(value):
                    value = OmegaConf.to_container(value, resolve=True)
            except OmegaConfBaseException as error:
                raise UserError(f"{key}: {str(error).splitlines()[0]}") from error
            if value is missing:
                continue
            checked = check_value(key, value, rule)
            if checked != value or type(checked) is not type(value):
                OmegaConf.update(cfg, key, checked)
        if cfg.seeds is not None and cfg.replicas not in (1, len(cfg.seeds)):
            raise UserError(f"replicas={cfg.replicas}: seeds={list(cfg.seeds)} has {len(cfg.seeds)}; leave one out")
    return cfg


def plain(node: Any) -> Any:
    """Return a node as plain Python values, with interpolations resolved."""
    try:
        return OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(" ".join(str(error).split())) from error


def seeds_of(cfg: DictConfig) -> list[int]:
    """Return one seed for each replica: `seeds`, or seed, seed + 1, ..."""
    return list(cfg.seeds) if cfg.seeds is not None else [cfg.seed + r for r in range(cfg.replicas)]
