"""What is said in the terminal when a run or a sweep has ended."""

import functools
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from reluviz.cli.sweep.results import ENDED, JobResult
from reluviz.console import Console
from reluviz.files import short
from reluviz.training.outcome import Outcome
from reluviz.training.prepare import Prepared

WHERE = ("sweep.resume=", "hydra.sweep.dir=")
"""Words of a sweep's command that the line which goes on with it replaces."""

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def outcome(done: Outcome, prepared: Prepared, brief: bool = False) -> None:
    """Tell how a run ended, in five lines: what, losses and reference, time, folder, command.

    Args:
        done: how it ended.
        prepared: what was run.
        brief: leave out folder and command, as within a sweep, whose own stand at its end.
    """
    folder = short(done.folder)
    if done.message:
        errors.print(Text(f"reluviz: {done.message}"))
    elif done.status != "finished":
        errors.print(Text(f"reluviz: {done.status} after update {done.metrics['updates']:,}"))
    stopped = done.status in ("interrupted", "terminated")
    command = f"train {shlex.quote(f'ckpt_path={folder}')}" if stopped else f"view {shlex.quote(folder)}"
    lines = {
        "trained": _what(prepared, done.metrics),
        "loss": _losses(done.metrics),
        "time": _time(done.metrics),
        "folder": folder,
        "go on" if stopped else "view": f"python -m reluviz {command}",
    }
    if brief and done.status in ("finished", "diverged"):
        del lines["folder"], lines["view"]
    for label, line in lines.items():
        console.print(Text.assemble((f"{label:8}", "dim"), line))


@functools.cache
def compiling() -> None:
    """Say, once, why the first run of all takes longer."""
    # not by a console of rich: a progress bar would wipe it away
    print("compiling the engine for such runs, once on this computer: a few seconds", file=sys.stderr)


def job(number: int, folder: Path) -> None:
    """Announce a job of a sweep."""
    console.print(Text.assemble("\n", (f"{number + 1}. ", "dim"), (folder.name, "bold")))


def failure(reason: str) -> None:
    """Tell why a job of a sweep could not be run."""
    errors.print(Text(f"reluviz: {reason}"))


def launching(jobs: int, launcher: str) -> None:
    """Tell that jobs have been handed over."""
    console.print(Text.assemble(("jobs    ", "dim"), f"{jobs:,} by launcher={launcher}"))


def ended(number: int, ending: JobResult) -> None:
    """Tell that a job elsewhere has ended."""
    told = ending.reason or ending.status
    if ending.status in ENDED and ending.loss is not None:
        told += f", loss {_median([ending.loss])}"
    console.print(Text.assemble((f"{number + 1:5}. ", "dim"), ending.folder.name, ("  " + told, "dim")))


def best(overrides: Sequence[str], loss: float, trials: int) -> None:
    """Tell what a search has found."""
    console.print(Text.assemble("\n", ("best    ", "dim"), f"{' '.join(overrides)}: loss {loss:.4g} ({trials} trials)"))


def sweep(folder: Path, before: int, endings: Sequence[JobResult], stopped: bool, seconds: float, command: str) -> None:
    """Tell how a sweep ended.

    Args:
        folder: the sweep's folder.
        before: how many jobs had ended in an earlier attempt.
        endings: how each of its jobs stands.
        stopped: whether a signal stopped it.
        seconds: how long it took.
        command: what was asked for, from `train` on.
    """
    counts = Counter(one.status for one in endings)
    open_ = [one for one in endings if not one.done and one.status != "failed"]
    words = [f"{counts['finished']:,} finished"]
    words += [f"{counts[status]:,} {status}" for status in ("diverged", "failed") if counts[status]]
    words += [f"{len(open_):,} not finished"] * bool(open_)
    words[0] += f" ({before:,} of them before)" * bool(before)
    said = f"{', '.join(words)} in {_seconds(seconds)}"
    console.print(Text.assemble("\n", ("sweep   ", "dim"), "stopped: " * stopped + said))
    for one in endings:
        if one.status == "failed":
            errors.print(Text(f"reluviz: {one.folder.name}: {one.reason}"))
        elif not one.done and not stopped:
            errors.print(Text(f"reluviz: {one.folder.name}: ended without a word: killed, or out of memory"))
    shown = shlex.quote(short(folder))
    if open_ or stopped:
        again = shlex.join(word for word in shlex.split(command) if not word.startswith(WHERE))
        console.print(Text.assemble(("go on   ", "dim"), f"python -m reluviz {again} sweep.resume={shown}"))
    elif len(endings) > 1:
        console.print(Text.assemble(("report  ", "dim"), f"python -m reluviz report {shown}"))
    console.print(Text.assemble(("view    ", "dim"), f"python -m reluviz view {shown}"))


def _what(prepared: Prepared, metrics: dict[str, Any]) -> str:
    settings, module = prepared.settings, prepared.module
    model = {"constant": "y = theta", "linear": "y = theta x"}.get(module.model) or _units(settings["model"]["width"])
    mode = getattr(module, "train_mode", "all")
    if mode == "ridge":
        return f"{model}, output layer solved by ridge regression, lambda {settings['model']['ridge']:g}"
    part = {"all": "", "output": ", output layer only", "hidden": ", hidden layer only"}[mode]
    optimizer = settings["optimizer"]
    how = f"{optimizer['_target_'].rpartition('.')[2]}, lr {optimizer.get('lr', 'default')}"
    how += "".join(f", {key} {optimizer[key]:g}" for key in ("momentum", "weight_decay") if optimizer.get(key))
    replicas = f", {len(module.seeds)} replicas" if len(module.seeds) > 1 else ""
    reason = f": {module.engine.reason}" if module.engine is not None and module.engine.reason else ""
    updates = f"{metrics['updates']:,} update{'s' * (metrics['updates'] > 1)}"
    return f"{model}{part}: {updates} by {how}{replicas} (engine {metrics['engine']}{reason})"


def _units(width: int) -> str:
    return f"{width:,} ReLU{'s' * (width > 1)}"


def _losses(metrics: dict[str, Any]) -> str:
    shown = f"train {_median(metrics['loss/train'])}"
    if metrics["loss/test"] is not None:
        shown += f", test {_median(metrics['loss/test'])}"
    reference = metrics["reference"]
    if "theta" in reference:
        shown += f"; theta {_median(metrics['theta'])}"
        shown += f"; optimum {_median(reference['theta'])} with {_median(reference['loss/train'])}"
    elif "least_squares" in reference:
        best = reference["least_squares"]
        shown += f"; least squares: train {_median(best['loss/train'])}"
        shown += f", test {_median(best['loss/test'])}" if "loss/test" in best else ""
    return shown


def _time(metrics: dict[str, Any]) -> str:
    seconds = metrics["seconds"]
    shown = f"{_seconds(seconds['total'])}, of which {_seconds(seconds['engine'])} making updates"
    return shown + (f"; {_seconds(seconds['pictures'])} drawing beside it" if seconds["pictures"] else "")


def _median(values: Sequence[float | None]) -> str:
    known = sorted(float("inf") if value is None else value for value in values)
    middle = len(known) // 2
    value = known[middle] if len(known) % 2 else (known[middle - 1] + known[middle]) / 2
    return f"{value:.4g}" if value < float("inf") else "not finite"


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 100 else f"{int(value // 60)} min {int(value % 60)} s"
