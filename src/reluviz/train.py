"""The verb `train`: compose, check, train, tell."""

import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from reluviz import arguments, config
from reluviz.errors import UserError
from reluviz.imports import undisturbed

FULL = "HYDRA_FULL_ERROR"


def main(argv: list[str]) -> int:
    """Train what the command line describes; return the exit status.

    Raises:
        UserError: for bad input; nothing has been created then.
    """
    args = arguments.split(argv)
    overrides = [config.with_plus(text) for text in args.overrides]
    if args.tells:
        # whoever reads may stop reading, as in: --info | head
        logging.raiseExceptions = False
        try:
            return _hydra(args.flags, overrides, lambda cfg: None)
        except SystemExit as done:
            # how Hydra ends after --help
            return int(done.code or 0)
    parsed = config.parse(overrides)
    given = {override.key_or_group: override for override in parsed}
    checkpoint = given["ckpt_path"].value() if "ckpt_path" in given else None
    if checkpoint is not None:
        if args.multirun:
            raise UserError(f"ckpt_path={checkpoint}: goes on with one run; leave out -m")
        return _resume(str(checkpoint), overrides)
    cfg = config.compose_checked(overrides)
    sweeps = [override for override in parsed if override.is_sweep_override()]
    many = args.multirun or cfg.hydra.mode == RunMode.MULTIRUN
    if sweeps and not many:
        raise UserError(f"{sweeps[0].input_line}: several values need -m (a run for each)")
    if not many:
        return _single(args, overrides, cfg)
    return _sweep(args, overrides, cfg, sweeps)


@contextmanager
def _heavy() -> Iterator[None]:
    """Import here what takes two seconds, once there is something to train."""
    with undisturbed():
        yield
        from reluviz import engines, terminal

        engines.listeners[:] = [terminal.compiling]


def _single(args: arguments.Arguments, overrides: list[str], cfg: DictConfig) -> int:
    with _heavy():
        from reluviz import run, terminal
    prepared = run.prepare(config.task(cfg))
    folder = _claim(Path(cfg.hydra.run.dir), "hydra.run.dir", given=_gives(overrides, "hydra.run.dir"))
    ended: list[run.Outcome | Exception] = []

    def job(_: DictConfig) -> None:
        try:
            ended.append(run.train(prepared, Path(HydraConfig.get().runtime.output_dir)))
        except Exception as error:
            # raised below: here Hydra would add words of its own
            ended.append(error)

    _hydra(args.flags, [*overrides, f"hydra.run.dir={_quoted(folder)}"], job)
    outcome = ended[0]
    if isinstance(outcome, Exception):
        raise outcome
    terminal.outcome(outcome, prepared)
    return outcome.exit_status


def _resume(checkpoint: str, overrides: list[str]) -> int:
    with _heavy():
        from reluviz import resume, run, terminal

    resumed = resume.find(checkpoint, overrides)
    prepared = run.prepare(resumed.cfg, resumed=True)
    resume.remember(resumed)
    outcome = run.train(prepared, resumed.folder, resumed.checkpoint)
    terminal.outcome(outcome, prepared)
    return outcome.exit_status


def _sweep(args: arguments.Arguments, overrides: list[str], cfg: DictConfig, sweeps: Sequence[Any]) -> int:
    with _heavy():
        from reluviz import run, terminal
    for sweep in sweeps:
        values = [config.parse([f"key={text}"])[0].value() for text in sweep.sweep_string_iterator()]
        if any(value in values[:i] for i, value in enumerate(values)):
            raise UserError(f"{sweep.input_line}: holds a value twice; each would be the same run")
    preset = OmegaConf.select(cfg, "hydra.sweeper.params") or {}
    moving = {sweep.get_key_element().lstrip("+~") for sweep in sweeps} | set(preset)
    fixed = sorted({override.get_key_element().lstrip("+~") for override in config.parse(overrides)} - moving)
    run.prepare(config.task(cfg))
    folder = _claim(Path(cfg.hydra.sweep.dir), "hydra.sweep.dir", given=_gives(overrides, "hydra.sweep.dir"))
    outcomes: list[run.Outcome] = []
    failures: list[tuple[str, str]] = []
    started = time.perf_counter()

    def job(cfg: DictConfig) -> float | None:
        output = Path(HydraConfig.get().runtime.output_dir)
        terminal.job(HydraConfig.get().job.num, output)
        try:
            prepared = run.prepare(cfg)
            outcome = run.train(prepared, output)
        except UserError as error:
            failures.append((output.name, str(error)))
            terminal.failure(str(error))
            return None
        except Exception as error:
            if os.environ.get(FULL) == "1":
                raise
            failures.append((output.name, f"{type(error).__name__}: {' '.join(str(error).split())}"))
            terminal.failure(failures[-1][1])
            return None
        outcomes.append(outcome)
        terminal.outcome(outcome, prepared, brief=True)
        if outcome.exit_status >= 128:
            # Hydra would go on with the next job
            raise KeyboardInterrupt
        return outcome.loss

    flags = args.flags if args.multirun else ["--multirun", *args.flags]
    settings = [
        f"hydra.sweep.dir={_quoted(folder)}",
        f"hydra.job.config.override_dirname.exclude_keys=[{','.join(map(_quoted, fixed))}]",
    ]
    stopped = False
    try:
        _hydra(flags, [*overrides, *settings], job)
    except KeyboardInterrupt:
        stopped = True
    terminal.sweep(folder, outcomes, failures, stopped, time.perf_counter() - started)
    if stopped:
        return outcomes[-1].exit_status if outcomes and outcomes[-1].exit_status >= 128 else 130
    return 2 if failures else 0


def _hydra(flags: Sequence[str], overrides: Sequence[str], job: Any) -> int:
    """Hand over to Hydra's own entry point, whose exceptions come back as they are."""
    before, argv = os.environ.get(FULL), sys.argv
    GlobalHydra.instance().clear()
    sys.argv = [
        "reluviz train",
        *flags,
        *overrides,
    ]
    os.environ[FULL] = "1"

    def restored(cfg: DictConfig) -> Any:
        # the user's own setting, for whoever asks while the job runs
        _set_full(before)
        try:
            return job(cfg)
        finally:
            os.environ[FULL] = "1"

    try:
        hydra.main(version_base="1.3", config_path=str(config.folder().resolve()), config_name="config")(restored)()
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(config.why(list(overrides), error)) from error
    finally:
        sys.argv = argv
        _set_full(before)
    return 0


def _set_full(value: str | None) -> None:
    if value is None:
        os.environ.pop(FULL, None)
    else:
        os.environ[FULL] = value


def _claim(folder: Path, key: str, given: bool) -> Path:
    """Create a folder that no other run has; one that the user named must not hold a run.

    Raises:
        UserError: if it cannot be created, or holds a run already.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if given:
            folder.mkdir(exist_ok=True)
            if (folder / ".hydra").exists() or (folder / "multirun.yaml").exists():
                raise UserError(f"{key}={folder}: holds a run already; ckpt_path={folder} goes on with it")
            _try_writing(folder)
            return folder
        for number in range(1, 10_000):
            # two runs may well begin in the same second
            free = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
            try:
                free.mkdir()
            except FileExistsError:
                if not free.parent.is_dir():
                    raise
                continue
            return free
    except OSError as error:
        raise UserError(f"{key}={folder}: cannot be written to ({error.strerror or error})") from error
    raise UserError(f"{key}={folder}: is taken, and so are its neighbours")


def _try_writing(folder: Path) -> None:
    probe = folder / f".{datetime.now():%H%M%S%f}"
    probe.touch()
    probe.unlink()


def _gives(overrides: Sequence[str], key: str) -> bool:
    return any(text.lstrip("+").startswith(f"{key}=") for text in overrides)


def _quoted(value: object) -> str:
    """Quote a value for Hydra's grammar."""
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"
