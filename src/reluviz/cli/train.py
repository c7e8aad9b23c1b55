"""The verb `train`: composes and checks a configuration, trains, and prints the outcome."""

import logging
import os
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from reluviz.analysis import last
from reluviz.cli import command_line, config, hydra_run, wall_clock
from reluviz.cli.sweep import launchers
from reluviz.errors import UserError
from reluviz.files import (
    CHECKPOINTS_FOLDER,
    CONFIG_FILE,
    CONFIG_FOLDER,
    EVENT_FILE_PREFIX,
    METRICS_FILE,
    SWEEP_FILE,
    remove_unless_recorded,
    typed_path,
)
from reluviz.folder_lock import FolderLock
from reluviz.training import helper_processes
from reluviz.training.lightning_startup import without_gc
from reluviz.training.outcome import Outcome

if TYPE_CHECKING:
    from reluviz.training.prepare import Prepared


def main(argv: list[str]) -> int:
    """Train the run or the sweep that the command line describes, and return the exit status.

    Raises:
        UserError: for bad input, before any folder or file is created.
    """
    started = wall_clock.command_start()
    args = command_line.split(argv)
    if any(flag.startswith("--experimental-rerun") for flag in args.flags):
        raise UserError("--experimental-rerun: reads a pickle, which can run code; ckpt_path resumes a run")
    overrides = config.as_typed(args.overrides, args.multirun)
    if args.prints_only:
        # the reader of the output may stop reading, as in: --info | head
        logging.raiseExceptions = False
        try:
            hydra_run.run_entry_point(args.flags, overrides, lambda cfg: None)
        except SystemExit as done:
            # Hydra exits so after --help, and with 1 for a package that does not exist
            return 2 if done.code else 0
        except (UserError, OSError):
            raise
        except Exception as error:
            # Hydra's own, of any kind: nothing of reluviz runs here
            raise UserError(f"{' '.join(args.flags)}: {' '.join(str(error).split())}") from error
        return 0
    parsed = config.parse(overrides)
    by_key = {override.key_or_group: override for override in parsed}
    checkpoint = by_key["ckpt_path"].value() if "ckpt_path" in by_key else None
    if checkpoint is not None:
        if args.multirun:
            raise UserError(f"ckpt_path={checkpoint}: resumes a single run; leave out -m")
        return _resume(last.run_folder(str(checkpoint)), overrides, started)
    for group in ("launcher", "sweeper"):
        # Hydra's own message would only say that it does not know the plugin
        if group in by_key and (message := launchers.missing_package(group, str(by_key[group].value()))):
            raise UserError(message)
    cfg = config.compose_checked(overrides)
    sweeps = [override for override in parsed if override.is_sweep_override()]
    multirun = args.multirun or cfg.hydra.mode == RunMode.MULTIRUN
    if sweeps and not multirun:
        raise UserError(f"{sweeps[0].input_line}: several values need -m (a run for each)")
    if not multirun:
        if (resume := OmegaConf.select(cfg, "sweep.resume")) is not None:
            raise UserError(f"sweep.resume={resume}: resumes a sweep, and needs -m; ckpt_path resumes a single run")
        return _train_single(args, overrides, cfg, started)
    return _train_sweep(args, overrides, cfg, sweeps, started)


@contextmanager
def _training_imports(in_this_process: bool = True) -> Iterator[None]:
    """Import large packages within this context (two seconds), once it is known that something will be trained.

    Args:
        in_this_process: whether this process trains.
    """
    with without_gc():
        if in_this_process:
            # first, because the helper processes need half a second to start
            helper_processes.start()
        yield
        from reluviz.cli import terminal
        from reluviz.engines.engine import compile_listeners

        compile_listeners[:] = [terminal.print_compiling]


def _train_single(args: command_line.CommandLine, overrides: list[str], cfg: DictConfig, started: float) -> int:
    """Train one run from its start, and return the exit status.

    Args:
        args: the command line.
        overrides: all overrides of the command line.
        cfg: the composed configuration.
        started: when the command started, as `time.perf_counter` counts.
    """
    with _training_imports():
        from reluviz.cli import terminal
        from reluviz.training import prepare, run
    prepared = prepare.prepare(config.without_hydra(cfg), step_given=config.step_is_given(cfg.hydra.overrides.task))
    terminal.print_notes(prepared.notes)
    terminal.print_hint(config.step_size_hint(overrides, cfg))
    prepare.warm_up(prepared)
    user_named = _sets_key(overrides, "hydra.run.dir")
    outcomes: list[Outcome | Exception] = []

    def job(_: DictConfig) -> None:
        try:
            outcomes.append(run.train(prepared, Path(HydraConfig.get().runtime.output_dir), started=started))
        except Exception as error:
            # raised below, because Hydra would add messages of its own
            outcomes.append(error)

    with _new_folder(Path(cfg.hydra.run.dir), "hydra.run.dir", user_named) as folder:
        overrides = [*overrides, f"hydra.run.dir={_quoted(folder)}"]
        if args.flags:
            hydra_run.run_entry_point(args.flags, overrides, job)
        else:
            hydra_run.run_single(cfg, overrides, job)
        outcome = outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
    terminal.print_outcome(outcome, prepared)
    return outcome.exit_status


def _resume(checkpoint: str, overrides: list[str], started: float) -> int:
    """Complete or prolong one run, and return the exit status."""
    with _training_imports():
        from reluviz.cli import resume, terminal
        from reluviz.training import prepare, run

    with FolderLock(resume.run_folder(checkpoint), f"ckpt_path={checkpoint}"):
        resumed = resume.find_run(checkpoint, overrides)
        updates = resumed.plan.settings["updates"]
        if resumed.complete:
            terminal.print_complete(resumed.folder, updates)
            return 0
        prepared = prepare.prepare_plan(resumed.plan, resumed=resumed.checkpoint is not None)
        terminal.print_notes(prepared.notes)
        if resumed.checkpoint is None:
            terminal.print_anew(resumed.folder)
        resume.store_updates(resumed)
        prepare.warm_up(prepared)
        outcome = run.train(prepared, resumed.folder, resumed.checkpoint, started)
    terminal.print_outcome(outcome, prepared)
    return outcome.exit_status


def _train_sweep(
    args: command_line.CommandLine, overrides: list[str], cfg: DictConfig, sweeps: Sequence[Any], started: float
) -> int:
    """Train the runs of a sweep, and return the exit status.

    Args:
        args: the command line.
        overrides: all overrides of the command line.
        cfg: composed with the first value of each override that holds several.
        sweeps: the parsed overrides that hold several values.
        started: when the command started, as `time.perf_counter` counts.
    """
    launcher = str(cfg.hydra.runtime.choices.get("launcher"))
    with _training_imports(in_this_process=launcher == "none"):
        from reluviz.cli import terminal
        from reluviz.training import prepare
    for part in ("sweeper", "launcher"):
        if "_target_" not in (cfg.hydra[part] or {}):
            raise UserError(f"hydra.{part}={cfg.hydra[part]}: has no _target_; choose one by {part}=")
    _check_sweep(overrides, sweeps, str(cfg.hydra.runtime.choices.get("sweeper")))
    prepared = prepare.prepare(config.without_hydra(cfg), step_given=config.step_is_given(cfg.hydra.overrides.task))
    terminal.print_notes(prepared.notes)
    terminal.print_hint(config.step_size_hint(overrides, cfg))
    if (stopped := prepared.settings["sweep"]["resume"]) is not None:
        folder, lock = _stopped_sweep(stopped)
        with lock:
            return _run_sweep(args, overrides, cfg, sweeps, prepared, folder, started)
    user_named = _sets_key(overrides, "hydra.sweep.dir")
    with _new_folder(Path(cfg.hydra.sweep.dir), "hydra.sweep.dir", user_named) as folder:
        return _run_sweep(args, overrides, cfg, sweeps, prepared, folder, started)


def _run_sweep(
    args: command_line.CommandLine,
    overrides: list[str],
    cfg: DictConfig,
    sweeps: Sequence[Any],
    prepared: "Prepared",
    folder: Path,
    started: float,
) -> int:
    """Train the runs of a sweep in its folder, which this process has locked; the rest as for `_train_sweep`."""
    from reluviz.cli import terminal
    from reluviz.cli.sweep.job import hydra_full_error
    from reluviz.cli.sweep.sweep import Sweep
    from reluviz.training import prepare

    settings = prepared.settings["sweep"]
    sweep = Sweep(
        folder=folder.resolve(),
        fixed_keys=_fixed_keys(overrides, cfg, sweeps),
        launcher_name=str(cfg.hydra.runtime.choices.get("launcher")),
        resuming=settings["resume"] is not None,
        hydra_full_error=hydra_full_error(),
        trials=settings["trials"],
        parallel_trials=settings["together"],
    )
    if sweep.in_this_process:
        prepare.warm_up(prepared)

    def job(_: DictConfig) -> None:
        """Do nothing. Hydra passes this function to the sweeper, which reads the sweep from its attribute."""

    job.sweep = sweep  # type: ignore[attr-defined]
    hydra_overrides = [
        f"hydra.sweep.dir={_quoted(sweep.folder)}",
        f"hydra.job.config.override_dirname.exclude_keys=[{','.join(map(_quoted, sweep.fixed_keys))}]",
    ]
    stopped = False
    try:
        if set(args.flags) <= {"-m", "--multirun"} and cfg.hydra.mode != RunMode.RUN:
            hydra_run.run_multirun(overrides, hydra_overrides, job, None if sweeps else cfg)
        else:
            flags = args.flags if args.multirun else ["--multirun", *args.flags]
            hydra_run.run_entry_point(flags, [*overrides, *hydra_overrides], job)
    except KeyboardInterrupt:
        stopped = True
    seconds = time.perf_counter() - started
    command = shlex.join(["train", *(["-m"] if args.multirun else []), *args.overrides])
    results = sweep.job_results()
    terminal.print_sweep(sweep.folder, sweep.done_before, results, stopped, seconds, command)
    if stopped:
        # jobs in other processes do not count: their scheduler ends them by SIGTERM also after Ctrl-C
        job_terminated = sweep.in_this_process and any(one.status == "terminated" for one in results)
        return 143 if sweep.terminated or job_terminated else 130
    return 0 if all(one.done for one in results) else 2


def _check_sweep(overrides: Sequence[str], sweeps: Sequence[Any], sweeper: str) -> None:
    """Refuse a sweep with an error that can be found before its first job.

    Raises:
        UserError: for a value that is given twice, a choice that does not exist, or another way to name folders.
    """
    from reluviz.cli.sweep.sweep import SWEEP_KEY_PREFIXES

    for sweep in sweeps:
        group = sweep.key_or_group
        if group.startswith(SWEEP_KEY_PREFIXES):
            raise UserError(f"{sweep.input_line}: is for the sweep as a whole; give it one value")
        if group.partition("/")[0].partition(".")[0] == "hydra":
            raise UserError(f"{sweep.input_line}: is for the sweep as a whole; give it one value")
        if not sweep.is_discrete_sweep():
            if sweeper != "optuna":
                raise UserError(f"{sweep.input_line}: an interval needs sweeper=optuna")
            continue
        words = config.sweep_words(sweep)
        values = [config.parse([f"key={text}"])[0].value() for text in words]
        if any(value in values[:i] for i, value in enumerate(values)):
            raise UserError(f"{sweep.input_line}: holds a value twice; each would be the same run")
        unknown = [word for word in words if word not in config.choices(group)] if group in config.groups() else []
        if unknown:
            raise UserError(f"{group}={unknown[0]}: must be one of {', '.join(config.choices(group))}")
    if _sets_key(overrides, "hydra.sweep.subdir"):
        raise UserError("hydra.sweep.subdir: leave it out; folders are named after the values that vary")


def _fixed_keys(overrides: Sequence[str], cfg: DictConfig, sweeps: Sequence[Any]) -> list[str]:
    """Return the keys that do not vary between the jobs."""
    preset = OmegaConf.select(cfg, "hydra.sweeper.params") or {}
    varying = {sweep.get_key_element().lstrip("+~") for sweep in sweeps} | set(preset)
    return sorted({one.get_key_element().lstrip("+~") for one in config.parse(overrides)} - varying)


def _stopped_sweep(name: str) -> tuple[Path, FolderLock]:
    """Return the folder of the sweep to resume, and its lock.

    Raises:
        UserError: if the folder does not exist, holds no sweep, or another process is writing to it.
    """
    folder = typed_path(last.sweep_folder(name))
    if not os.path.isdir(folder):
        raise UserError(f"sweep.resume={name}: there is no such folder")
    if not (folder / SWEEP_FILE).is_file():
        raise UserError(f"sweep.resume={name}: holds no sweep (no multirun.yaml)")
    return folder, FolderLock(folder, f"sweep.resume={name}")


@contextmanager
def _new_folder(folder: Path, key: str, user_named: bool) -> Iterator[Path]:
    """Create and lock a folder as `_create_folder` does, and yield its path.

    If an error comes before a run has recorded anything there, what is new is removed.
    """
    missing = [path for path in folder.parents if not os.path.exists(path)]
    is_new = not user_named or not os.path.exists(folder)
    created = folder
    try:
        created, lock = _create_folder(folder, key, user_named)
        with lock:
            earlier = set(os.listdir(created))
            try:
                yield created
            except Exception:
                with suppress(OSError, UserError):
                    # another process may have taken the folder over
                    lock.check()
                    remove_unless_recorded([created / name for name in set(os.listdir(created)) - earlier])
                raise
    except Exception:
        with suppress(OSError):
            for path in [created] * is_new + missing:
                # only where nothing is in it
                path.rmdir()
        raise


def _create_folder(folder: Path, key: str, user_named: bool) -> tuple[Path, FolderLock]:
    """Create a new folder for a run or a sweep, and return its path and its lock.

    Args:
        folder: its path; a number is appended if the path exists already and the user did not choose it.
        key: the configuration key of the path.
        user_named: whether the user chose the path; then the folder may exist, but must not hold a run.

    Raises:
        UserError: if the folder cannot be created, holds a run already, or another process is writing to it.
    """
    what = f"{key}={folder}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if user_named:
            folder.mkdir(exist_ok=True)
            lock = FolderLock(folder, what)
            if _holds_run(folder):
                lock.release()
                raise UserError(f"{what}: holds a run already; ckpt_path={folder} resumes it")
            return folder, lock
        for number in range(1, 10_000):
            # two runs may begin in the same second
            free = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
            try:
                free.mkdir()
            except FileExistsError:
                if not free.parent.is_dir():
                    raise
                continue
            return free, FolderLock(free, what)
    except OSError as error:
        raise UserError(f"{what}: cannot be written to ({error.strerror or error})") from error
    raise UserError(f"{what}: exists already, like all numbered names for it")


def _holds_run(folder: Path) -> bool:
    """Return whether a folder holds a run or a sweep: its settings, or something that it wrote.

    config.yaml is written last, so a process that was killed while it wrote the settings leaves no run.
    """
    names = {path.name for path in folder.iterdir()}
    return (
        bool(names & {SWEEP_FILE, METRICS_FILE, CHECKPOINTS_FOLDER})
        or any(name.startswith(EVENT_FILE_PREFIX) for name in names)
        or (folder / CONFIG_FOLDER / CONFIG_FILE).exists()
    )


def _sets_key(overrides: Sequence[str], key: str) -> bool:
    """Return True if an override sets this key."""
    return any(text.lstrip("+").startswith(f"{key}=") for text in overrides)


def _quoted(value: object) -> str:
    """Quote a value for Hydra's grammar."""
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"
