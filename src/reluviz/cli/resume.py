"""Resuming a run: finds its folder, its configuration and its checkpoint, and checks that they fit together."""

import functools
import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from reluviz.cli import config
from reluviz.cli.sweep import results
from reluviz.data.decimal_marks import EITHER
from reluviz.errors import UserError
from reluviz.files import (
    CHECKPOINTS_FOLDER,
    CONFIG_FILE,
    CONFIG_FOLDER,
    EVENT_FILE_PREFIX,
    LAST_CHECKPOINT,
    METRICS_FILE,
    atomic_write,
    conf_folder,
    read_plain_yaml,
    typed_path,
)
from reluviz.models import target_nodes
from reluviz.record.settings import TARGET, leaves
from reluviz.training.checkpoint_file import misfit, read_checkpoint
from reluviz.training.instantiate import current_name, model_name
from reluviz.training.plan import Plan, plan_run
from reluviz.training.prepare import prepare_plan
from reluviz.training.validation import check, plain


@dataclass(frozen=True)
class ResumedRun:
    """A run to resume.

    Attributes:
        plan: the parts of the run that need no torch, with the new number of updates.
        folder: the run's folder.
        checkpoint: the file from which to resume; None to start anew, since the run has none.
        complete: whether the run has made all its updates and written its results.
    """

    plan: Plan
    folder: Path
    checkpoint: Path | None
    complete: bool


def run_folder(path: str) -> Path:
    """Return the folder of the run that `ckpt_path` names.

    Raises:
        UserError: if there is no such run.
    """
    setting, place = f"ckpt_path={path}", typed_path(path)
    if not os.path.exists(place):
        raise UserError(f"{setting}: no such file or folder")
    folder = place if place.is_dir() else place.resolve().parent.parent
    if not (folder / CONFIG_FOLDER / CONFIG_FILE).is_file():
        raise UserError(f"{setting}: belongs to no run (there is no .hydra/config.yaml in {folder})")
    return folder


def find_run(path: str, overrides: Sequence[str], own: DictConfig | None = None) -> ResumedRun:
    """Return the run that `ckpt_path` names.

    Args:
        path: the value of ckpt_path: a run's folder, or a checkpoint file in it.
        overrides: of the command line. A larger `updates` prolongs the run; any other difference is refused.
        own: settings that the user has composed for this run, if any: code that they name is the user's.

    Raises:
        UserError: if there is no such run, if its checkpoint does not fit, or if an override differs.
    """
    setting = f"ckpt_path={path}"
    folder, place = run_folder(path), typed_path(path)
    last = folder / CHECKPOINTS_FOLDER / LAST_CHECKPOINT
    for written in (folder / METRICS_FILE, last, *sorted(folder.glob(f"{EVENT_FILE_PREFIX}*"))):
        if os.path.lexists(written) and not os.path.isfile(written):
            # the run would be trained, and could not be recorded
            raise UserError(f"{setting}: {written} is no file")
    damaged = f"{setting}: the run's settings in {folder / CONFIG_FOLDER} are damaged"
    try:
        stored = _load(folder / CONFIG_FOLDER / CONFIG_FILE)
        hydra = _load(folder / CONFIG_FOLDER / "hydra.yaml").hydra
        choices, step_given = dict(hydra.runtime.choices), config.step_is_given(hydra.overrides.task)
        if not isinstance(stored, DictConfig) or "model" not in stored:
            raise ValueError("has no model")
        if config.trained_unscaled(stored):
            stored.data.scale = "none"
        _read_files_as_recorded(stored)
        recorded = check(stored)
    except UserError as error:
        raise UserError(f"{damaged} ({error})") from error
    except Exception as error:
        # OmegaConf raises errors of many kinds for what no run has stored
        raise UserError(f"{damaged} ({_printable(str(error))})") from error
    parsed = config.parse(overrides)
    named = {} if own is None else dict(leaves(OmegaConf.to_container(own, resolve=False)))  # type: ignore[arg-type]
    _refuse_other_code(setting, stored, named | {one.key_or_group: one.value() for one in parsed})
    checkpoint = _newest_checkpoint(folder / CHECKPOINTS_FOLDER) if place.is_dir() else place
    cfg = stored.copy()
    for override in parsed:
        if override.is_sweep_override():
            raise UserError(f"{override.input_line}: holds several values; ckpt_path resumes a single run")
        key, value = override.key_or_group, override.value()
        if key in ("ckpt_path", "hydra.run.dir"):
            continue
        if key == "updates" and override.package is None:
            cfg.updates = value
            continue
        earlier = choices[key] if key in choices else OmegaConf.select(stored, key, default="no such key")
        if OmegaConf.is_config(earlier):
            earlier = OmegaConf.to_container(earlier)
        if earlier != value:
            raise UserError(f"{override.input_line}: the run in {folder} has {earlier}; only updates can change")
    cfg = check(cfg)
    before, after = (dict(leaves(plain(one))) for one in (recorded, cfg))
    for key in after:
        if key != "updates" and before.get(key) != after[key]:
            raise UserError(f"updates={cfg.updates}: would change {key} from {before.get(key)} to {after[key]}")
    plan = plan_run(cfg, step_given)
    plan_for_model = plan.for_model(model_name(plan.settings["model"]) or "")
    done = 0 if checkpoint is None else _check_checkpoint(setting, checkpoint, plan_for_model)
    if cfg.updates < done:
        raise UserError(f"{setting}: has made {done:,} updates; a larger number prolongs it, as in updates={2 * done}")
    # an earlier checkpoint that the user names is resumed also if the run has finished
    complete = results.finished_updates(folder) == cfg.updates and (place.is_dir() or done == cfg.updates)
    return ResumedRun(plan, folder, checkpoint, complete)


def _newest_checkpoint(folder: Path) -> Path | None:
    """Return last.ckpt, or without it the checkpoint after the most updates; None if there is none."""
    kept = sorted(folder.glob("update-*.ckpt"), key=lambda path: (len(path.name), path.name))
    return next((path for path in (folder / LAST_CHECKPOINT, *reversed(kept)) if path.is_file()), None)


def _load(path: Path) -> Any:
    """Return the content of a file of settings; raises an OSError, a ValueError or an error of YAML or OmegaConf."""
    return OmegaConf.load(io.BytesIO(read_plain_yaml(path)))


def _printable(text: str) -> str:
    """Return the beginning of a text from a file as one line that cannot control a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split())[:200])


def _refuse_other_code(setting: str, stored: DictConfig, given: Mapping[str, Any]) -> None:
    """Refuse stored settings that name code which the user has not named.

    A folder from another person could have any function called so. Allowed are the classes and functions in conf/, and
    classes of the kinds that torch.optim holds, which are checked again when they are built.

    Args:
        setting: the value of ckpt_path, for the message.
        stored: the stored settings.
        given: key -> value of what the user has named.

    Raises:
        UserError: if there is such a name.
    """
    for key, value in leaves(OmegaConf.to_container(stored, resolve=False)):  # type: ignore[arg-type]
        node, _, name = key.rpartition(".")
        if name != TARGET or value is None or given.get(key) == value or node in given:
            continue
        target = current_name(str(value))
        known = re.fullmatch(r"torch\.optim(\.lr_scheduler)?\.[A-Za-z]+", target) or (
            target.startswith("reluviz.") and target_nodes.find_target({TARGET: target}, key) in _own_targets()
        )
        if not known:
            raise UserError(
                f"{setting}: the run's settings name code that is not reluviz's; if you trust it, add"
                f" {key}={_printable(str(value))}"
            )


@functools.cache
def _own_targets() -> frozenset[Callable[..., Any]]:
    """Return the classes and functions of reluviz that conf/ names for runs."""
    texts = (path.read_text(encoding="utf-8") for path in conf_folder().glob("*/*.yaml"))
    names = {name for text in texts for name in re.findall(r"^ *_target_: *(reluviz\.\S+)", text, re.MULTILINE)}
    return frozenset(target_nodes.find_target({TARGET: name}, name) for name in names)


def _read_files_as_recorded(stored: DictConfig) -> None:
    """Give the settings of a run of version 0.2.0 or earlier, which have no data.decimal, the marks that it read."""
    if str(OmegaConf.select(stored, "data._target_")).endswith(".file") and "decimal" not in stored.data:
        stored.data.decimal = EITHER


def store_updates(resumed: ResumedRun) -> None:
    """Write the new number of updates to the run's configuration file, atomically."""
    store_setting(resumed.folder, "updates", resumed.plan.settings["updates"])


def store_setting(folder: Path, key: str, value: object) -> None:
    """Change one setting in the configuration file of a run's folder, atomically."""
    target = folder / CONFIG_FOLDER / CONFIG_FILE
    stored = OmegaConf.load(target)
    OmegaConf.update(stored, key, value)
    with atomic_write(target) as partial:
        partial.write_text(OmegaConf.to_yaml(stored), encoding="utf-8")


def _check_checkpoint(setting: str, checkpoint: Path, plan: Plan) -> int:
    """Return the number of updates that a checkpoint has made.

    Raises:
        UserError: if it is damaged, or if it belongs to a run with other settings.
    """
    try:
        loaded = read_checkpoint(checkpoint)
    except UserError as error:
        raise UserError(f"{setting}: {error}") from error
    done, model, held = int(loaded["state_dict"]["updates_done"]), loaded["model"], loaded["hyper_parameters"]
    settings = plan.settings
    if model != (expected := model_name(settings["model"])):
        raise UserError(
            f"{setting}: holds a {_printable(model)} model, but the run in this folder is a {expected} model"
        )
    wanted = {f"model.{key}": value for key, value in settings["model"].items()}
    wanted |= {
        "seeds": plan.seeds,
        "optimizer": settings["optimizer"],
        "scheduler": settings.get("scheduler") or None,
    }
    for key, value in wanted.items():
        name = key.removeprefix("model.")
        if name in held and held[name] != value:
            raise UserError(
                f"{setting}: {checkpoint.name} is of a run with {key}={held[name]!r:.200}, but the run in this folder"
                f" has {value}"
            )
    if (wrong := misfit(loaded, prepare_plan(plan, resumed=True))) is not None:
        raise UserError(f"{setting}: {checkpoint.name} does not fit this run ({wrong})")
    return done
