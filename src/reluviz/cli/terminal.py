"""Messages in the terminal about runs and sweeps."""

import functools
import shlex
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from reluviz.cli.sweep.results import DONE_STATUSES, JobResult
from reluviz.console import Console
from reluviz.core.findings import Finding, count_labels, first_findings, from_plain
from reluviz.core.models import MODELS
from reluviz.files import short_path
from reluviz.record import tags
from reluviz.training.outcome import Outcome
from reluviz.training.prepare import Prepared

FOLDER_KEYS = ("sweep.resume=", "hydra.sweep.dir=")
"""Keys that are left out of the printed command that resumes a sweep; it has a sweep.resume of its own."""

MAX_FINDINGS = 3
"""The most findings that the end of a run shows; metrics.json has all."""

NO_BREAK_EQUALS = "\u00a0=\u00a0"

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def print_outcome(outcome: Outcome, prepared: Prepared, brief: bool = False) -> None:
    """Print how a run ended: training, losses and reference, what became of it, time, folder, command.

    Args:
        outcome: how the run ended.
        prepared: the run.
        brief: leave out folder and command, as within a sweep, which prints its own at its end.
    """
    folder = short_path(outcome.folder)
    if outcome.message:
        errors.print(Text(f"reluviz: {outcome.message}"))
    elif outcome.status != "finished":
        errors.print(Text(f"reluviz: {outcome.status} after update {outcome.metrics['updates']:,}"))
    stopped = outcome.status in ("interrupted", "terminated")
    command = f"train {shlex.quote(f'ckpt_path={folder}')}" if stopped else f"view {shlex.quote(folder)}"
    lines = {
        "trained": _training(prepared, outcome.metrics),
        "loss": _losses(outcome.metrics),
        "time": _time(outcome.metrics),
        "folder": folder,
        "resume" if stopped else "view": f"python -m reluviz {command}",
    }
    if brief and outcome.status in ("finished", "diverged"):
        del lines["folder"], lines["view"]
    for label, line in lines.items():
        console.print(Text.assemble((f"{label:8}", "dim"), line))
        if label == "loss":
            _print_findings(outcome)


def _print_findings(outcome: Outcome) -> None:
    """Print the first finding; with several replicas, those that come first for most of them, at most three."""
    first = first_findings(from_plain(outcome.metrics["findings"]))
    # the error message has said that the run diverged, and why
    shown = [finding for finding in first if not (outcome.message and finding.name == "diverged")]
    most = sorted(shown, key=lambda finding: -len(finding.replicas))[:MAX_FINDINGS]
    for finding in sorted(most, key=lambda finding: finding.rank):
        for i, line in enumerate(_wrap(finding)):
            console.print(Text.assemble(("        " if i else "result  ", "dim"), line))


def _wrap(finding: Finding) -> list[str]:
    """Return a finding as lines that fit next to the label, the advice on a line of its own if it would be broken."""
    width = max(20, console.width - 8)
    if len(finding.line) <= width:
        return [finding.line]
    # no line break within "R^2 = 0.95"
    sentence = finding.sentence.replace(" = ", NO_BREAK_EQUALS)
    lines = [*textwrap.wrap(sentence, width), *textwrap.wrap(finding.advice, width)]
    return [line.replace(NO_BREAK_EQUALS, " = ") for line in lines]


def print_complete(folder: Path, updates: int) -> None:
    """Print that a run needs no resuming."""
    line = f"finished: all {updates:,} updates are made; a larger number prolongs it, as in updates={2 * updates}"
    console.print(Text.assemble(("result  ", "dim"), line))
    console.print(Text.assemble(("view    ", "dim"), f"python -m reluviz view {shlex.quote(short_path(folder))}"))


def print_anew(folder: Path) -> None:
    """Print that a run without a checkpoint starts anew."""
    console.print(Text.assemble(("resume  ", "dim"), f"{short_path(folder)} has no checkpoint: it starts anew"))


def print_notes(notes: Sequence[str]) -> None:
    """Print how the points were read."""
    for note in notes:
        console.print(Text.assemble(("data    ", "dim"), note))


def print_hint(hint: str | None) -> None:
    """Print what another setting would do, if there is such a hint."""
    if hint is not None:
        console.print(Text.assemble(("hint    ", "dim"), hint))


@functools.cache
def print_compiling() -> None:
    """Print, once, why the first run on this computer takes longer."""
    # not with a console of rich, because a progress bar would erase the line
    print("compiling the engine for such runs, once on this computer: a few seconds", file=sys.stderr)


def print_job(number: int, folder: Path) -> None:
    """Print that a job of a sweep begins."""
    console.print(Text.assemble("\n", (f"{number + 1}. ", "dim"), (folder.name, "bold")))


def print_failure(reason: str) -> None:
    """Print why a job of a sweep could not be run."""
    errors.print(Text(f"reluviz: {reason}"))


def print_launch(jobs: int, launcher: str) -> None:
    """Print that a launcher has received jobs."""
    console.print(Text.assemble(("jobs    ", "dim"), f"{jobs:,} by launcher={launcher}"))


def print_job_result(number: int, result: JobResult) -> None:
    """Print the result of a job that ran in another process."""
    line = result.reason or result.status
    if result.status in DONE_STATUSES and result.loss is not None:
        line += f", loss {_median([result.loss])}"
        line += "".join(f", {became}" for became in _count(result.findings))
    console.print(Text.assemble((f"{number + 1:5}. ", "dim"), result.folder.name, ("  " + line, "dim")))


def _count(labels: Sequence[str]) -> list[str]:
    """Return what became of replicas, in words: "7 learned"; without the number if there is one replica."""
    return [label if len(labels) == 1 else f"{count:,} {label}" for label, count in count_labels(labels).items()]


def print_best(overrides: Sequence[str], loss: float, trials: int) -> None:
    """Print the best trial of a search."""
    console.print(Text.assemble("\n", ("best    ", "dim"), f"{' '.join(overrides)}: loss {loss:.4g} ({trials} trials)"))


def print_sweep(
    folder: Path, done_before: int, results: Sequence[JobResult], stopped: bool, seconds: float, command: str
) -> None:
    """Print how a sweep ended.

    Args:
        folder: the sweep's folder.
        done_before: the number of jobs that were done in an earlier attempt.
        results: the state of each job.
        stopped: whether a signal stopped the sweep.
        seconds: how long the sweep took.
        command: the user's command, from `train` on.
    """
    counts = Counter(one.status for one in results)
    unfinished = [one for one in results if not one.done and one.status != "failed"]
    parts = [f"{counts['finished']:,} finished"]
    parts += [f"{counts[status]:,} {status}" for status in ("diverged", "failed") if counts[status]]
    parts += [f"{len(unfinished):,} not finished"] * bool(unfinished)
    parts[0] += f" ({done_before:,} of them before)" * bool(done_before)
    line = f"{', '.join(parts)} in {_duration(seconds)}"
    console.print(Text.assemble("\n", ("sweep   ", "dim"), "stopped: " * stopped + line))
    if len(results) > 1 and (became := _count([label for one in results for label in one.findings])):
        text = ", ".join(became)
        for i, part in enumerate(textwrap.wrap(text, max(20, console.width - 8))):
            console.print(Text.assemble(("        " if i else "result  ", "dim"), part))
    for one in results:
        if one.status == "failed":
            errors.print(Text(f"reluviz: {one.folder.name}: {one.reason}"))
        elif not one.done and not stopped:
            errors.print(Text(f"reluviz: {one.folder.name}: ended without a result: killed, or out of memory"))
    shown = shlex.quote(short_path(folder))
    if unfinished or stopped:
        again = shlex.join(word for word in shlex.split(command) if not word.startswith(FOLDER_KEYS))
        console.print(Text.assemble(("resume  ", "dim"), f"python -m reluviz {again} sweep.resume={shown}"))
    elif len(results) > 1:
        console.print(Text.assemble(("report  ", "dim"), f"python -m reluviz report {shown}"))
    console.print(Text.assemble(("view    ", "dim"), f"python -m reluviz view {shown}"))


def _training(prepared: Prepared, metrics: dict[str, Any]) -> str:
    """Return the model and the way it was trained, in words."""
    settings, module = prepared.settings, prepared.module
    record = MODELS[module.model]
    model = _units(int(getattr(module, "width", 0))) if record.has_units else record.formula
    hidden = "hidden layer"
    if record.architecture is not None:
        model, hidden = record.architecture.in_words(), "hidden layers"
    mode = getattr(module, "train_mode", "all")
    if mode == "ridge":
        penalty = settings["model"]["ridge"]
        return f"{model}, output layer solved by " + (
            f"ridge regression, lambda {penalty:g}" if penalty else "least squares"
        )
    part = {"all": "", "output": ", output layer only", "hidden": f", {hidden} only"}[mode]
    optimizer = settings["optimizer"]
    lr = optimizer.get("lr", "default")
    how = f"{optimizer['_target_'].rpartition('.')[2]}, lr {lr if isinstance(lr, str) else f'{lr:.4g}'}"
    how += "".join(f", {key} {optimizer[key]:g}" for key in ("momentum", "weight_decay") if optimizer.get(key))
    replicas = f", {len(module.seeds)} replicas" if len(module.seeds) > 1 else ""
    reason = f": {module.engine.reason}" if module.engine is not None and module.engine.reason else ""
    updates = f"{metrics['updates']:,} update{'s' * (metrics['updates'] > 1)}"
    return f"{model}{part}: {updates} by {how}{replicas} (engine {metrics['engine']}{reason})"


def _units(width: int) -> str:
    return f"{width:,} ReLU{'s' * (width > 1)}"


def _losses(metrics: dict[str, Any]) -> str:
    shown = f"train {_median(metrics[tags.LOSS_TRAIN])}"
    if metrics[tags.LOSS_TEST] is not None:
        shown += f", test {_median(metrics[tags.LOSS_TEST])}"
    reference = metrics["reference"]
    if "theta" in reference:
        shown += f"; theta {_median(metrics['theta'])}"
        shown += f"; optimum {_median(reference['theta'])} with {_median(reference[tags.LOSS_TRAIN])}"
    elif "least_squares" in reference:
        best = reference["least_squares"]
        shown += f"; least squares: train {_median(best[tags.LOSS_TRAIN])}"
        shown += f", test {_median(best[tags.LOSS_TEST])}" if tags.LOSS_TEST in best else ""
    return shown


def _time(metrics: dict[str, Any]) -> str:
    seconds = metrics["seconds"]
    shown = f"{_duration(seconds['total'])}, {_duration(seconds['engine'])} of it making updates"
    return shown + (f"; {_duration(seconds['pictures'])} drawing in parallel" if seconds["pictures"] else "")


def _median(values: Sequence[float | None]) -> str:
    known = sorted(float("inf") if value is None else value for value in values)
    middle = len(known) // 2
    value = known[middle] if len(known) % 2 else (known[middle - 1] + known[middle]) / 2
    return f"{value:.4g}" if value < float("inf") else "not finite"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{int(seconds // 60)} min {int(seconds % 60)} s"
