"""What each key may hold. Whatever is wrong is said before anything is created."""

import math
import re
from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from reluviz.errors import UserError

Rule = Callable[[Any], Any]
LARGEST_SEED = 2**32 - 1


def whole(least: int, most: float = math.inf) -> Rule:
    """Return a rule for whole numbers; 1e5 counts as one."""
    said = f"a whole number of at least {least}" + (f" and at most {most:,.0f}" if most < math.inf else "")
    said = str(least) if least == most else said

    def rule(value: Any) -> int:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or value != value
            or value in (math.inf, -math.inf)
        ):
            raise ValueError(said)
        if value != int(value) or not least <= value <= most:
            raise ValueError(said)
        return int(value)

    return rule


def number(least: float = -math.inf, above: float = -math.inf, below: float = math.inf) -> Rule:
    """Return a rule for finite numbers."""
    said = "a finite number"
    said += f" of at least {least:g}" if least > -math.inf else ""
    said += f" above {above:g}" if above > -math.inf else ""
    said += f" and below {below:g}" if below < math.inf else ""

    def rule(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(said)
        if value < least or value <= above or value >= below:
            raise ValueError(said)
        return float(value)

    return rule


def one_of(*words: str) -> Rule:
    """Return a rule for a choice of words."""

    def rule(value: Any) -> str:
        if value not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return str(value)

    return rule


def truth(value: Any) -> bool:
    """Accept true and false."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def name(value: Any) -> str:
    """Accept what can be a folder: letters, digits, and . _ - + within."""
    if not isinstance(value, str | int) or not re.fullmatch(r"[\w+-][\w.+-]*", str(value)):
        raise ValueError("a name of letters, digits, '.', '_', '-' and '+'")
    return str(value)


def path(value: Any) -> str:
    """Accept the name of a file, which may be a number."""
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
    return [number()(one) for one in value]


def seeds(value: Any) -> list[int]:
    """Accept a list of different seeds."""
    if not isinstance(value, list) or not value or len(set(map(str, value))) < len(value):
        raise ValueError("a list of different whole numbers, as in [0,5,17]")
    return [whole(0, LARGEST_SEED)(one) for one in value]


RULES: dict[str, Rule] = {
    "name": name,
    "seed": whole(0, LARGEST_SEED),
    "seeds": optional(seeds),
    "replicas": whole(1),
    "updates": whole(1),
    "step_size": number(above=0),
    "data.n": whole(2, 1e8),
    "data.noise": number(least=0),
    "data.seed": whole(0, LARGEST_SEED),
    "data.path": optional(path),
    "data.test_path": optional(path),
    "sampler.batch_size": whole(1),
    "snapshots.every": whole(1),
    "snapshots.per_decade": whole(1),
    "model.width": whole(1, 1e5),
    "model.start": number(),
    "model.positions": optional(positions),
    "model.elbows": one_of("uniform", "even", "at_data", "given", "torch"),
    "model.train": one_of("all", "output", "hidden", "ridge"),
    "model.ridge": number(least=0),
    "model.init_from": optional(path),
    "optimizer.lr": number(above=0),
    "optimizer.momentum": number(least=0, below=1),
    "optimizer.weight_decay": number(least=0),
    "optimizer.nesterov": truth,
    "callbacks.snapshots.pictures": whole(0),
    "callbacks.snapshots.histograms": truth,
    "callbacks.snapshots.contributions": truth,
    "callbacks.snapshots.most_units": whole(1),
    "callbacks.checkpoints.seconds": number(least=0),
    "callbacks.checkpoints.every": whole(0),
    "trainer.accelerator": one_of("cpu", "gpu", "auto"),
    "trainer.devices": whole(1, 1),
    "trainer.precision": one_of("32-true", "64-true"),
    "sweep.resume": optional(path),
    "sweep.trials": whole(1),
    "sweep.together": whole(1),
}

TOP = {key.partition(".")[0] for key in RULES} | {"regime", "scheduler", "engine", "logger", "ckpt_path"}
"""Keys that may stand at the top of a configuration."""
NEEDED = TOP - {"regime", "scheduler", "logger", "sweep"}
"""Those of them that must."""


def check(cfg: DictConfig) -> DictConfig:
    """Return the configuration with every value checked, and numbers as the types they mean.

    Raises:
        UserError: in one line that names the key, the value and what would be right.
    """
    if unknown := sorted(set(cfg) - TOP):
        raise UserError(f"{unknown[0]}={cfg[unknown[0]]}: there is no such key; --cfg job shows all keys")
    if missing_keys := sorted(NEEDED - set(cfg)):
        raise UserError(f"{missing_keys[0]}: is missing, and no run goes without")
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
            try:
                checked = rule(value)
            except ValueError as error:
                raise UserError(f"{key}={'null' if value is None else value}: must be {error}") from None
            if checked != value or type(checked) is not type(value):
                OmegaConf.update(cfg, key, checked)
        if cfg.seeds is not None and cfg.replicas not in (1, len(cfg.seeds)):
            raise UserError(f"replicas={cfg.replicas}: seeds={list(cfg.seeds)} has {len(cfg.seeds)}; leave one out")
    return cfg


def plain(node: Any) -> Any:
    """Return a node as plain Python values, interpolations resolved."""
    try:
        return OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(" ".join(str(error).split())) from error


def seeds_of(cfg: DictConfig) -> list[int]:
    """Return one seed for each replica: `seeds`, or seed, seed + 1, ..."""
    return list(cfg.seeds) if cfg.seeds is not None else [cfg.seed + r for r in range(cfg.replicas)]
