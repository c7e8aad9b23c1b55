"""Going on with a run: its own configuration, its own folder, and the checkpoint where it stopped."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from reluviz.cli import config
from reluviz.errors import UserError
from reluviz.training.instantiate import callee
from reluviz.training.validation import check, plain, seeds_of


@dataclass(frozen=True)
class Resumed:
    """A run to go on with.

    Attributes:
        cfg: its configuration, with the new number of updates.
        folder: its folder.
        checkpoint: where it stopped.
    """

    cfg: DictConfig
    folder: Path
    checkpoint: Path


def find(path: str, overrides: Sequence[str]) -> Resumed:
    """Return the run that `ckpt_path` names, a folder or a checkpoint file in it.

    Args:
        path: the value of ckpt_path.
        overrides: what else was given; a larger `updates` prolongs the run, anything that differs is refused.

    Raises:
        UserError: if there is no such run, its checkpoint does not fit, or something differs.
    """
    where = f"ckpt_path={path}"
    place = Path(path)
    if not place.exists():
        raise UserError(f"{where}: no such file or folder")
    folder = place if place.is_dir() else place.resolve().parent.parent
    checkpoint = place / "checkpoints" / "last.ckpt" if place.is_dir() else place
    if not (folder / ".hydra" / "config.yaml").is_file():
        raise UserError(f"{where}: belongs to no run (there is no .hydra/config.yaml in {folder})")
    if not checkpoint.is_file():
        raise UserError(
            f"{where}: this run has left no checkpoint ({checkpoint.name} is missing; the first one comes after a"
            " second); start it again"
        )
    try:
        stored = OmegaConf.load(folder / ".hydra" / "config.yaml")
        chosen = OmegaConf.load(folder / ".hydra" / "hydra.yaml").hydra.runtime.choices
    except (OSError, UnicodeDecodeError, yaml.YAMLError, OmegaConfBaseException, AttributeError) as error:
        raise UserError(f"{where}: the run's own settings in {folder / '.hydra'} are damaged") from error
    if not isinstance(stored, DictConfig) or "model" not in stored:
        raise UserError(f"{where}: the run's own settings in {folder / '.hydra'} are damaged")
    cfg = stored.copy()
    for override in config.parse(overrides):
        if override.is_sweep_override():
            raise UserError(f"{override.input_line}: holds several values; ckpt_path goes on with one run")
        key, value = override.key_or_group, override.value()
        if key in ("ckpt_path", "hydra.run.dir"):
            continue
        if key == "updates" and override.package is None:
            cfg.updates = value
            continue
        has = chosen[key] if key in chosen else OmegaConf.select(stored, key, default="no such key")
        if OmegaConf.is_config(has):
            has = OmegaConf.to_container(has)
        if has != value:
            raise UserError(f"{override.input_line}: the run in {folder} has {has}; only updates can change")
    cfg = check(cfg)
    before, after = (dict(_leaves(plain(one))) for one in (check(stored), cfg))
    for key in after:
        if key != "updates" and before.get(key) != after[key]:
            raise UserError(f"updates={cfg.updates}: would change {key} from {before.get(key)} to {after[key]}")
    done = _check_checkpoint(where, checkpoint, cfg)
    if cfg.updates <= done:
        raise UserError(
            f"{where}: has made its {done:,} updates; a larger number prolongs it, as in updates={2 * done}"
        )
    return Resumed(cfg, folder, checkpoint)


def remember(resumed: Resumed) -> None:
    """Keep the new number of updates in the run's own configuration."""
    target = resumed.folder / ".hydra" / "config.yaml"
    beside = target.with_name(".config.yaml.part")
    stored = OmegaConf.load(target)
    stored.updates = resumed.cfg.updates
    beside.write_text(OmegaConf.to_yaml(stored), encoding="utf-8")
    beside.replace(target)


def _check_checkpoint(where: str, checkpoint: Path, cfg: DictConfig) -> int:
    """Return the updates a checkpoint stands at, if it belongs to a run like this."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:
        # a damaged file raises whatever torch's reader happens to meet
        raise UserError(f"{where}: {checkpoint.name} is not a checkpoint, or is damaged") from error
    try:
        done, _ = int(loaded["state_dict"]["updates_done"]), int(loaded["global_step"])
        kind, held = loaded["model"], dict(loaded["hyper_parameters"])
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(f"{where}: {checkpoint.name} is not a checkpoint of reluviz") from error
    settings = plain(cfg)
    own = callee(settings["model"], "model")
    if kind != (expected := getattr(own, "model", None)):
        raise UserError(f"{where}: holds a {kind} model, and the run beside it is a {expected} model")
    wanted = {f"model.{key}": value for key, value in settings["model"].items()}
    wanted |= {
        "seeds": seeds_of(cfg),
        "optimizer": settings["optimizer"],
        "scheduler": settings.get("scheduler") or None,
    }
    for key, value in wanted.items():
        name = key.removeprefix("model.")
        if name in held and held[name] != value:
            raise UserError(
                f"{where}: {checkpoint.name} is of a run with {key}={held[name]}, and the run beside it has {value}"
            )
    return done


def _leaves(node: Any, prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for name, value in node.items():
        found += _leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return found
