"""The verb `train`: compose, check, train, tell."""

import logging
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from reluviz.cli import command_line, config, hydra_run
from reluviz.cli.sweep import launchers
from reluviz.errors import UserError
from reluviz.training import helper_processes
from reluviz.training.lightning_startup import without_gc
from reluviz.training.outcome import Outcome


def main(argv: list[str]) -> int:
    """Train what the command line describes; return the exit status.

    Raises:
        UserError: for bad input; nothing has been created then.
    """
    args = command_line.split(argv)
    overrides = [config.with_plus(text) for text in args.overrides]
    if args.tells:
        # whoever reads may stop reading, as in: --info | head
        logging.raiseExceptions = False
        try:
            hydra_run.entry(args.flags, overrides, lambda cfg: None)
        except SystemExit as done:
            # how Hydra ends after --help
            return int(done.code or 0)
        return 0
    parsed = config.parse(overrides)
    given = {override.key_or_group: override for override in parsed}
    checkpoint = given["ckpt_path"].value() if "ckpt_path" in given else None
    if checkpoint is not None:
        if args.multirun:
            raise UserError(f"ckpt_path={checkpoint}: goes on with one run; leave out -m")
        return _resume(str(checkpoint), overrides)
    for group in ("launcher", "sweeper"):
        # Hydra would only say that it does not know the plugin
        if group in given and (why := launchers.missing(group, str(given[group].value()))):
            raise UserError(why)
    cfg = config.compose_checked(overrides)
    sweeps = [override for override in parsed if override.is_sweep_override()]
    many = args.multirun or cfg.hydra.mode == RunMode.MULTIRUN
    if sweeps and not many:
        raise UserError(f"{sweeps[0].input_line}: several values need -m (a run for each)")
    if not many:
        if (resume := OmegaConf.select(cfg, "sweep.resume")) is not None:
            raise UserError(
                f"sweep.resume={resume}: goes on with a sweep, and needs -m; ckpt_path goes on with one run"
            )
        return _single(args, overrides, cfg)
    return _sweep(args, overrides, cfg, sweeps)


@contextmanager
def _heavy(here: bool = True) -> Iterator[None]:
    """Import here what takes two seconds, once there is something to train.

    Args:
        here: whether this process trains.
    """
    with without_gc():
        if here:
            # first, since they take half a second until they can be of use
            helper_processes.start()
        yield
        from reluviz.cli import terminal
        from reluviz.engines.engine import compile_listeners

        compile_listeners[:] = [terminal.compiling]


def _single(args: command_line.CommandLine, overrides: list[str], cfg: DictConfig) -> int:
    with _heavy():
        from reluviz.cli import terminal
        from reluviz.training import prepare, run
    prepared = prepare.prepare(config.task(cfg))
    prepare.warm_up(prepared)
    folder = _claim(Path(cfg.hydra.run.dir), "hydra.run.dir", given=_gives(overrides, "hydra.run.dir"))
    ended: list[Outcome | Exception] = []

    def job(_: DictConfig) -> None:
        try:
            ended.append(run.train(prepared, Path(HydraConfig.get().runtime.output_dir)))
        except Exception as error:
            # raised below: here Hydra would add words of its own
            ended.append(error)

    overrides = [*overrides, f"hydra.run.dir={_quoted(folder)}"]
    if args.flags:
        hydra_run.entry(args.flags, overrides, job)
    else:
        hydra_run.run(cfg, overrides, job)
    outcome = ended[0]
    if isinstance(outcome, Exception):
        raise outcome
    terminal.outcome(outcome, prepared)
    return outcome.exit_status


def _resume(checkpoint: str, overrides: list[str]) -> int:
    with _heavy():
        from reluviz.cli import resume, terminal
        from reluviz.training import prepare, run

    resumed = resume.find(checkpoint, overrides)
    prepared = prepare.prepare(resumed.cfg, resumed=True)
    resume.remember(resumed)
    prepare.warm_up(prepared)
    outcome = run.train(prepared, resumed.folder, resumed.checkpoint)
    terminal.outcome(outcome, prepared)
    return outcome.exit_status


def _sweep(args: command_line.CommandLine, overrides: list[str], cfg: DictConfig, sweeps: Sequence[Any]) -> int:
    launcher = str(cfg.hydra.runtime.choices.get("launcher"))
    with _heavy(launcher == "none"):
        from reluviz.cli import terminal
        from reluviz.cli.sweep.sweep import Sweep, environment
        from reluviz.training import prepare
    _check_values(overrides, sweeps, str(cfg.hydra.runtime.choices.get("sweeper")))
    prepared = prepare.prepare(config.task(cfg))
    settings = prepared.settings["sweep"]
    goes_on = settings["resume"] is not None
    if goes_on:
        folder = _stopped(settings["resume"])
    else:
        folder = _claim(Path(cfg.hydra.sweep.dir), "hydra.sweep.dir", given=_gives(overrides, "hydra.sweep.dir"))
    sweep = Sweep(
        folder=folder.resolve(),
        fixed=_fixed(overrides, cfg, sweeps),
        launcher=launcher,
        goes_on=goes_on,
        full=environment(),
        trials=settings["trials"],
        together=settings["together"],
    )
    if sweep.here:
        prepare.warm_up(prepared)

    def job(_: DictConfig) -> None:
        """Stand where Hydra wants a task; the sweeper takes the sweep from it."""

    job.sweep = sweep  # type: ignore[attr-defined]
    settings = [
        f"hydra.sweep.dir={_quoted(sweep.folder)}",
        f"hydra.job.config.override_dirname.exclude_keys=[{','.join(map(_quoted, sweep.fixed))}]",
    ]
    stopped = False
    started = time.perf_counter()
    try:
        if set(args.flags) <= {"-m", "--multirun"} and cfg.hydra.mode != RunMode.RUN:
            hydra_run.multirun(overrides, settings, job, None if sweeps else cfg)
        else:
            flags = args.flags if args.multirun else ["--multirun", *args.flags]
            hydra_run.entry(flags, [*overrides, *settings], job)
    except KeyboardInterrupt:
        stopped = True
    command = shlex.join(["train", *(["-m"] if args.multirun else []), *args.overrides])
    endings = sweep.endings()
    terminal.sweep(sweep.folder, sweep.before, endings, stopped, time.perf_counter() - started, command)
    if stopped:
        # elsewhere it is the scheduler that ends jobs by SIGTERM, also after Ctrl-C
        here = sweep.here and any(one.status == "terminated" for one in endings)
        return 143 if sweep.terminated or here else 130
    return 0 if all(one.done for one in endings) else 2


def _check_values(overrides: Sequence[str], sweeps: Sequence[Any], sweeper: str) -> None:
    """Refuse what can be seen to be wrong with a sweep before its first job.

    Raises:
        UserError: for a value that is given twice, a choice that does not exist, or folders named otherwise.
    """
    from reluviz.cli.sweep.sweep import APART

    for sweep in sweeps:
        group = sweep.key_or_group
        if group.startswith(APART):
            raise UserError(f"{sweep.input_line}: is for the sweep as a whole; give it one value")
        if not sweep.is_discrete_sweep():
            if sweeper != "optuna":
                raise UserError(f"{sweep.input_line}: an interval goes with sweeper=optuna")
            continue
        words = list(sweep.sweep_string_iterator())
        values = [config.parse([f"key={text}"])[0].value() for text in words]
        if any(value in values[:i] for i, value in enumerate(values)):
            raise UserError(f"{sweep.input_line}: holds a value twice; each would be the same run")
        unknown = [word for word in words if word not in config.choices(group)] if group in config.groups() else []
        if unknown:
            raise UserError(f"{group}={unknown[0]}: must be one of {', '.join(config.choices(group))}")
    if _gives(overrides, "hydra.sweep.subdir"):
        raise UserError("hydra.sweep.subdir: leave it out; folders are named by what varies")


def _fixed(overrides: Sequence[str], cfg: DictConfig, sweeps: Sequence[Any]) -> list[str]:
    """Return the keys that do not vary between the jobs."""
    preset = OmegaConf.select(cfg, "hydra.sweeper.params") or {}
    moving = {sweep.get_key_element().lstrip("+~") for sweep in sweeps} | set(preset)
    return sorted({one.get_key_element().lstrip("+~") for one in config.parse(overrides)} - moving)


def _stopped(name: str) -> Path:
    """Return the folder of the sweep to go on with."""
    folder = Path(name)
    if not folder.is_dir():
        raise UserError(f"sweep.resume={name}: there is no such folder")
    if not (folder / "multirun.yaml").is_file():
        raise UserError(f"sweep.resume={name}: holds no sweep (no multirun.yaml)")
    _try_writing(folder)
    return folder


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
