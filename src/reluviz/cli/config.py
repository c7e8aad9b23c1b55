"""Hydra's configuration: where it lies, how it is composed, and what is said of one that cannot be."""

import difflib
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, Sweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from reluviz.errors import UserError
from reluviz.files import conf_folder


def choices(group: str) -> list[str]:
    """Return the choices of a config group."""
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))


def groups() -> list[str]:
    """Return the config groups."""
    return sorted(path.name for path in conf_folder().iterdir() if path.is_dir())


def with_plus(text: str) -> str:
    """Return an override as Hydra wants it: an experiment is added to the defaults, so it needs a plus."""
    return f"+{text}" if text.startswith("exp=") else text


def parse(overrides: Sequence[str]) -> list[Override]:
    """Parse overrides as Hydra does; `exp=NAME` stands for `+exp=NAME`.

    Raises:
        UserError: for something that is no override.
    """
    parser = OverridesParser.create()
    parsed = []
    for text in overrides:
        try:
            if not text.lstrip("+~").partition("=")[0]:
                raise HydraException
            parsed += parser.parse_overrides([with_plus(text)])
        except HydraException:
            raise UserError(
                f"{' '.join(text.split())}: is not of the form key=value"
                " (quote what has special characters: 'key=\"a b\"')"
            ) from None
    return parsed


def compose_checked(overrides: Sequence[str]) -> DictConfig:
    """Compose a configuration, with its `hydra` node.

    Args:
        overrides: of one job; a sweep counts with its first value.

    Raises:
        UserError: in one line that names the key and the nearest right one.
    """
    parsed = parse(overrides)
    for override in parsed:
        group = override.key_or_group
        if group in groups() and not (override.is_delete() or isinstance(override.value(), str | list | Sweep)):
            hint = "; ~logger leaves it out" if group == "logger" else ""
            raise UserError(f"{override.input_line}: must be one of {', '.join(choices(group))}{hint}")
    first = [_first(override) for override in parsed]
    with initialized():
        try:
            cfg = compose("config", first, return_hydra_config=True)
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(why(first, error)) from error
    return cfg


@contextmanager
def initialized() -> Iterator[Any]:
    """Have Hydra look into conf/ within this context, which is Hydra's own object."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_folder().resolve()), version_base="1.3", job_name="train"):
        yield GlobalHydra.instance().hydra


def task(cfg: DictConfig) -> DictConfig:
    """Return the configuration without Hydra's own part."""
    own = cfg.copy()
    OmegaConf.set_struct(own, False)
    own.pop("hydra")
    OmegaConf.set_struct(own, True)
    return own


def keys_of(node: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all leaves below a node."""
    for name, value in node.items():
        if isinstance(value, dict):
            yield from keys_of(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _first(override: Override) -> str:
    if not override.is_sweep_override():
        return str(override.input_line)
    value = override.value()
    if isinstance(value, IntervalSweep):
        return f"{override.get_key_element()}={value.start}"
    return f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}"


def why(overrides: list[str], error: Exception) -> str:
    """Say in one line why a configuration could not be composed."""
    text = str(error)
    if found := re.search(r"Could not find '([^']+)'", text):
        group, _, choice = found[1].rpartition("/")
        return f"{group}={choice}: must be one of {', '.join(choices(group))}{_near(choice, choices(group))}"
    if found := re.search(r"[Cc]ould not override '([^']+)'", text):
        key = found[1].partition("@")[0]
        given = next((text for text in overrides if text.lstrip("+~").startswith(f"{key}=")), key)
        return _unknown(key, given, overrides)
    if found := re.search(r"Multiple values for (\S+?)\.", text):
        return f"{found[1]}: is chosen twice; give it once, without +"
    return " ".join(text.split())


def _unknown(key: str, given: str, overrides: list[str]) -> str:
    """Say where an unknown key belongs, or which known one is nearest."""
    group = key.partition(".")[0]
    homes = [choice for choice in choices(group) if key in _keys_in(group, choice)] if group in groups() else []
    if homes:
        rest = [text for text in overrides if text != given]
        try:
            now = str(compose_checked(rest).hydra.runtime.choices.get(group))
        except UserError:
            now = "another choice"
        wanted = " or ".join(f"{group}={home}" for home in homes)
        return f"{given}: {group}={now} has no {key.partition('.')[2]}; it belongs to {wanted}"
    known = [k for k in keys_of(_load(conf_folder() / "config.yaml")) if not k.startswith(("hydra", "defaults"))]
    known += [k for name in groups() if name != "exp" for choice in choices(name) for k in _keys_in(name, choice)]
    return f"{given}: there is no key {key}{_near(key, [*known, *groups()]) or '; --cfg job shows all keys'}"


def _near(word: str, known: Sequence[str]) -> str:
    # a key without its group, such as lr or width, comes before one that is spelt alike
    near = [k for k in sorted(set(known)) if "." in k and k.rpartition(".")[2] == word.rpartition(".")[2]]
    near = near or difflib.get_close_matches(word, sorted(set(known)), 1, 0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _keys_in(group: str, choice: str) -> list[str]:
    node = _load(conf_folder() / group / f"{choice}.yaml")
    return [k for k in keys_of(node, "" if group == "regime" else f"{group}.") if not k.endswith("_target_")]


def _load(path: Path) -> Any:
    return OmegaConf.to_container(OmegaConf.load(path), resolve=False)


def varies(task: Sequence[str], fixed: Sequence[str]) -> str:
    """Return the name of a sweep's folder for one job: the overrides that vary, without '=' and ','.

    Args:
        task: the job's overrides.
        fixed: keys that do not vary between the jobs.
    """
    moving = [text.lstrip("+").partition("=") for text in task]
    moving = [part for part in moving if part[0] not in fixed]
    short = [key.rpartition(".")[2] for key, _, _ in moving]
    named = [
        f"{re.sub(r'[^A-Za-z0-9_.+]', '-', last if short.count(last) == 1 else key)}-{_safe(value)}"
        for (key, _, value), last in zip(moving, short, strict=True)
    ]
    name = "_".join(named) or "job"
    # file systems take 255 bytes
    return name if len(name) <= 120 else f"{name[:113]}-{_digest(name)}"


def _safe(text: str) -> str:
    safe = re.sub(r"[^A-Za-z0-9_.+-]+", "-", text).strip(".")
    # what is not shown must still tell two values apart
    return safe if safe == text else f"{safe}-{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]


OmegaConf.register_new_resolver("reluviz_varies", varies, replace=True)
