"""Hydra's configuration: its groups and choices, composing it, error messages, and names of folders."""

import difflib
import hashlib
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override, Quote, QuotedString, Sweep
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from reluviz.errors import UserError
from reluviz.files import conf_folder, typed_path
from reluviz.models.target_nodes import ARGUMENT_ERRORS
from reluviz.record.settings import leaves

PATH_KEYS = ("data.path", "data.test_path", "ckpt_path", "sweep.resume", "model.init_from")
"""Keys whose values are names of files or folders."""
COLUMN_KEYS = ("data.x", "data.y")
"""Keys whose values are names of columns."""
STEP_KEYS = ("step_size", "optimizer.lr")
"""Keys whose value is the step size."""
UNSCALED_TARGETS = (".file", ".points")
"""The data sets of users, which versions up to 0.2.0 did not scale."""
FILE_WORDS = ("data.file", "data.csv", "data.filename", "file", "csv", "path")
"""Keys that do not exist, but by which people try to name their file."""
COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, *ARGUMENT_ERRORS, AssertionError, YAMLError)
"""What Hydra raises for overrides that it cannot compose; not all of it is meant as a message."""
MOST_JOBS = 100_000
"""The largest number of values of an override."""
UPDATE_WORDS = ("epochs", "max_epochs", "num_epochs", "epoch", "steps", "max_steps", "iterations")
"""Keys that do not exist, but by which people try to say how long to train."""


def choices(group: str) -> list[str]:
    """Return the choices of a config group."""
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))


def groups() -> list[str]:
    """Return the config groups."""
    return sorted(path.name for path in conf_folder().iterdir() if path.is_dir())


def with_plus(text: str) -> str:
    """Return an override as Hydra needs it: an experiment is added to the defaults list, which takes a plus."""
    return f"+{text}" if text.startswith("exp=") else text


def as_typed(overrides: Sequence[str], multirun: bool = False) -> list[str]:
    """Return overrides as Hydra needs them: names of files and of columns may hold what its grammar does not allow.

    Args:
        overrides: of the command line.
        multirun: whether a comma may stand between several names of columns.

    Raises:
        UserError: for a file as the name of a data set; the message has the line to type.
    """
    return [with_plus(_typed_name(text, multirun)) for text in overrides]


def _typed_name(text: str, multirun: bool) -> str:
    key, equals, value = text.partition("=")
    name = key.lstrip("+")
    is_file = any(mark in value for mark in "./\\") or os.path.isfile(value)
    if equals and (name in FILE_WORDS or (name == "data" and is_file and value not in choices("data"))):
        line = f"data=file {shlex.quote(f'data.path={value}')}"
        raise UserError(f"{' '.join(text.split())}: is no data set of this name; for a file of your own: {line}")
    if not equals or name not in (*PATH_KEYS, *COLUMN_KEYS):
        return text
    exists = name in PATH_KEYS and value != "" and os.path.exists(typed_path(value))
    quoted = f"{key}={_quoted(value)}"
    try:
        (override,) = OverridesParser.create().parse_overrides([text])
    except HydraException:
        parts = value.split(",")
        each = multirun and not exists and name in PATH_KEYS and all(os.path.isfile(typed_path(part)) for part in parts)
        return f"{key}={','.join(map(_quoted, parts))}" if each else quoted
    if override.is_sweep_override():
        return text if not exists and (multirun or name in PATH_KEYS) else quoted
    meant = override.value()
    is_same = "${" not in value and (meant == value or (type(meant) is int and str(meant) == value))
    if is_same or (not exists and (meant is None or isinstance(meant, str))):
        return text
    # a list stays one among paths, so that it is refused as what it is
    return text if name in PATH_KEYS and not exists and not isinstance(meant, float) else quoted


def _quoted(value: str) -> str:
    """Return a text in quotes of Hydra's grammar, in which ${ stands for itself."""
    return QuotedString(text=value.replace("${", "\\${"), quote=Quote.single).with_quotes()


def parse(overrides: Sequence[str]) -> list[Override]:
    """Parse overrides as Hydra does; `exp=NAME` means `+exp=NAME`.

    Raises:
        UserError: for a text that is not an override.
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
                " (quote values with special characters: 'key=\"a b\"')"
            ) from None
    return parsed


def compose_checked(overrides: Sequence[str]) -> DictConfig:
    """Compose a configuration, with its `hydra` node.

    Args:
        overrides: of one job; of an override with several values, the first one is used.

    Raises:
        UserError: in one line that names the wrong key or choice, and similar ones that exist.
    """
    parsed = parse(overrides)
    for override in parsed:
        group = override.key_or_group
        if group in groups() and not (
            _is_choice(override.value()) or (override.is_delete() and override.value() is None)
        ):
            hint = "; ~logger leaves it out" if group == "logger" else ""
            raise UserError(f"{override.input_line}: must be one of {', '.join(choices(group))}{hint}")
    first = [_with_first_value(override) for override in parsed]
    try:
        return _compose(first)
    except COMPOSITION_ERRORS as error:
        raise UserError(composition_error(first, error)) from error


def _is_choice(value: Any) -> bool:
    """Return whether a value may name choices of a group: a word, a list of words, or several values of a sweep."""
    return isinstance(value, str | Sweep | Glob) or (
        isinstance(value, list) and all(isinstance(one, str) for one in value)
    )


def _compose(overrides: Sequence[str]) -> DictConfig:
    with initialized_hydra():
        return compose("config", list(overrides), return_hydra_config=True)


def step_size_hint(overrides: Sequence[str], cfg: DictConfig) -> str | None:
    """Return a line for a run that trains the output layer with the step size of all layers, which is smaller.

    Args:
        overrides: of the command line.
        cfg: composed of them, with its `hydra` node.
    """
    given = {override.key_or_group: override for override in parse(overrides)}
    chosen = given.get("model.train")
    if chosen is None or given.keys() & {"regime", *STEP_KEYS}:
        return None
    values = sweep_words(chosen) if chosen.is_sweep_override() else [chosen.value()]
    wanted = _load(conf_folder() / "regime" / "output.yaml")["step_size"]
    varied = OmegaConf.select(cfg, "hydra.sweeper.params") or {}
    by_default = OmegaConf.is_interpolation(cfg.optimizer, "lr") and not varied.keys() & {"regime", *STEP_KEYS}
    if "output" not in values or not by_default or cfg.step_size >= wanted:
        return None
    return (
        f"model.train=output keeps step_size={cfg.step_size}, which suits all layers; regime=output sets both,"
        f" step_size={wanted}"
    )


@contextmanager
def initialized_hydra() -> Iterator[Any]:
    """Initialize Hydra with conf/ within this context; yields Hydra's own object."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_folder().resolve()), version_base="1.3", job_name="train"):
        yield GlobalHydra.instance().hydra


def without_hydra(cfg: DictConfig) -> DictConfig:
    """Return a copy of the configuration without its `hydra` node."""
    rest = cfg.copy()
    OmegaConf.set_struct(rest, False)
    rest.pop("hydra")
    OmegaConf.set_struct(rest, True)
    return rest


def step_is_given(overrides: Sequence[str] | ListConfig) -> bool:
    """Return whether the overrides in a configuration's node hydra.overrides.task set the step size."""
    # a value may refer to a key that does not exist, which is refused elsewhere
    lines = OmegaConf.to_container(overrides, resolve=False) if isinstance(overrides, ListConfig) else overrides
    assert isinstance(lines, Sequence)
    return any(override.key_or_group in STEP_KEYS for override in parse(lines))


def trained_unscaled(stored: Any) -> bool:
    """Return whether a stored configuration is of a run on a user's data by a version that did not scale them."""
    return str(stored["data"]["_target_"]).endswith(UNSCALED_TARGETS) and "scale" not in stored["data"]


def _with_first_value(override: Override) -> str:
    """Return an override as text, with its first value if it has several."""
    if not override.is_sweep_override():
        return str(override.input_line)
    value = override.value()
    if isinstance(value, IntervalSweep):
        return f"{override.get_key_element()}={value.start}"
    return f"{override.get_key_element()}={sweep_words(override)[0]}"


def sweep_words(override: Override) -> list[str]:
    """Return the values of an override with several values, as text.

    Raises:
        UserError: if it has none, or more than `MOST_JOBS`.
    """
    value: Any = override.value()
    if isinstance(value, Glob):
        group = override.key_or_group
        if group not in groups():
            raise UserError(f"{override.input_line}: glob takes choices of a group, and {group} is a key; list values")
        found = value.filter(choices(group))
    else:
        try:
            found = list(islice(override.sweep_string_iterator(), MOST_JOBS + 1))
        except COMPOSITION_ERRORS as error:
            raise UserError(f"{override.input_line}: {' '.join(str(error).split())}") from error
    if not found:
        raise UserError(f"{override.input_line}: holds no value")
    if len(found) > MOST_JOBS:
        raise UserError(f"{override.input_line}: holds more than {MOST_JOBS:,} values; a sweep needs a folder for each")
    return found


def composition_error(overrides: list[str], error: Exception) -> str:
    """Return one line that says why a configuration could not be composed.

    Args:
        overrides: from which Hydra tried to compose it.
        error: raised by Hydra or OmegaConf.
    """
    text = str(error)
    if found := re.search(r"Could not find '([^']+)'", text):
        group, _, choice = found[1].rpartition("/")
        return f"{group}={choice}: must be one of {', '.join(choices(group))}{_suggestion(choice, choices(group))}"
    if found := re.search(r"[Cc]ould not override '([^']+)'", text):
        key = found[1].partition("@")[0]
        override = next((text for text in overrides if text.lstrip("+~").startswith(f"{key}=")), key)
        return _unknown_key(key, override, overrides)
    if found := re.search(r"Multiple values for (\S+?)\.", text):
        return f"{found[1]}: is chosen twice; give it once, without +"
    reason = " ".join(text.split()) or type(error).__name__
    return f"{culprit}: {reason}" if (culprit := _culprit(overrides)) and culprit not in reason else reason


def _culprit(overrides: Sequence[str]) -> str | None:
    """Return the one override without which the others can be composed; None if there is none."""
    with suppress(*COMPOSITION_ERRORS):
        _compose(overrides)
        return None
    for place, override in enumerate(overrides):
        with suppress(*COMPOSITION_ERRORS):
            _compose([*overrides[:place], *overrides[place + 1 :]])
            return override
    return None


def _unknown_key(key: str, override: str, overrides: list[str]) -> str:
    """Return a message that says to which choices an unknown key belongs, or which known key is most similar."""
    if key in UPDATE_WORDS:
        return f"{override}: there is no key {key}; did you mean updates? An update is one minibatch"
    group = key.partition(".")[0]
    owners = [one for one in choices(group) if key in _keys_of_choice(group, one)] if group in groups() else []
    if owners:
        rest = [text for text in overrides if text != override]
        try:
            now = str(compose_checked(rest).hydra.runtime.choices.get(group))
        except UserError:
            now = "another choice"
        wanted = " or ".join(f"{group}={owner}" for owner in owners)
        return f"{override}: {group}={now} has no {key.partition('.')[2]}; it belongs to {wanted}"
    known = [k for k, _ in leaves(_load(conf_folder() / "config.yaml")) if not k.startswith(("hydra", "defaults"))]
    known += [k for name in groups() if name != "exp" for one in choices(name) for k in _keys_of_choice(name, one)]
    hint = _suggestion(key, [*known, *groups()]) or "; --cfg job shows all keys"
    return f"{override}: there is no key {key}{hint}"


def _suggestion(word: str, known: Sequence[str]) -> str:
    """Return "; did you mean ...?" with the most similar known word, or nothing."""
    # a key that lacks only its group, such as lr or width, comes before a key with a similar spelling
    near = [k for k in sorted(set(known)) if "." in k and k.rpartition(".")[2] == word.rpartition(".")[2]]
    near = near or difflib.get_close_matches(word, sorted(set(known)), 1, 0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _keys_of_choice(group: str, choice: str) -> list[str]:
    node = _load(conf_folder() / group / f"{choice}.yaml")
    return [k for k, _ in leaves(node, "" if group == "regime" else f"{group}.") if not k.endswith("_target_")]


def _load(path: Path) -> Any:
    return OmegaConf.to_container(OmegaConf.load(path), resolve=False)


def job_folder_name(overrides: Sequence[str], fixed_keys: Sequence[str]) -> str:
    """Return the name of a job's folder within its sweep: the overrides that vary, without '=' and ','.

    Args:
        overrides: of the job.
        fixed_keys: keys that do not vary between the jobs.
    """
    varying = [text.lstrip("+").partition("=") for text in overrides]
    varying = [part for part in varying if part[0] not in fixed_keys]
    short = [key.rpartition(".")[2] for key, _, _ in varying]
    parts = [
        f"{re.sub(r'[^A-Za-z0-9_.+]', '-', last if short.count(last) == 1 else key)}-{_safe(value)}"
        for (key, _, value), last in zip(varying, short, strict=True)
    ]
    name = "_".join(parts) or "job"
    # file systems allow 255 bytes
    return name if len(name) <= 120 else f"{name[:113]}-{_digest(name)}"


def _safe(text: str) -> str:
    """Return a value with safe characters only; a digest of the original keeps different values different."""
    safe = re.sub(r"[^A-Za-z0-9_.+-]+", "-", text).strip(".")
    return safe if safe == text else f"{safe}-{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]


OmegaConf.register_new_resolver("reluviz_varies", job_folder_name, replace=True)
