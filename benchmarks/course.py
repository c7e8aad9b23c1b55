"""Compares the job `train -m +exp=course`, from start to exit of the process, with the plain PyTorch loop.

With --optimizers it measures the job `+exp=optimizers` instead. With --first it measures how much longer a first run
takes than a later one, how long --help and --cfg take, and the peak memory of `train +exp=relu`. The plain loop trains
the same networks with the same optimisers for a few thousand updates a case; its time for all updates is extrapolated.
"""

import sys
from pathlib import Path

# remove this folder, because its logging.py would hide the module of the standard library
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import itertools
import json
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory, TemporaryFile
from typing import TYPE_CHECKING, Any

from benchmarks import peak_memory
from benchmarks.measure import (
    Measurements,
    Report,
    add_write_option,
    exit_if_not_finite,
    format_number,
    format_ratio,
    in_turn,
    markdown_table,
)

if TYPE_CHECKING:
    from benchmarks.plain_pytorch import PlainLoop
    from reluviz.training.prepare import Prepared

RELUVIZ = (sys.executable, "-m", "reluviz")
RELU = ("train", "+exp=relu")
QUICK = ("updates=2", "callbacks=minimal")


@dataclass(frozen=True)
class Job:
    """How often a job is measured, and the targets for the plain loop's time divided by the job's time.

    Attributes:
        shell: the target for the time from shell to exit.
        fits: the target for the sum of seconds.fit; None for no target.
        updates: how many updates the plain loop makes in each case.
        runs: how often the job is measured by default.
    """

    shell: int
    fits: int | None
    updates: int
    runs: int


JOBS = {"course": Job(40, 100, 5_000, 5), "optimizers": Job(100, None, 20_000, 3)}


def main() -> None:
    """Measure and print, and write the results if the command line says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--optimizers", action="store_true", help="the job +exp=optimizers")
    choice.add_argument("--first", action="store_true", help="the first run, --help, --cfg, and peak memory")
    parser.add_argument("--quick", action="store_true", help="one short run: only to check that it works")
    parser.add_argument("--runs", type=int, help="runs of each (5 of the course job, otherwise 3)")
    parser.add_argument(
        "--updates", type=int, help="updates of the plain loop in each case (5000, or 20000 with --optimizers)"
    )
    add_write_option(parser)
    args = parser.parse_args()
    if args.first:
        report = _first(args.runs or (1 if args.quick else 3), args.quick)
    else:
        report = _job("optimizers" if args.optimizers else "course", args.runs, args.updates, args.quick)
    report.finish(args.write)


def _job(name: str, runs: int | None, updates: int | None, quick: bool) -> Report:
    job = JOBS[name]
    runs, updates = runs or (1 if quick else job.runs), updates or (100 if quick else job.updates)
    short = list(QUICK) if quick else []
    command = ["train", "-m", f"+exp={name}", *short]
    report = Report(name, f"course.py: {' '.join(command)}")
    plain = PlainLoops(name, short, updates)
    report.add_text(
        f"{plain.total:,} updates in {len(plain.cases)} runs, from shell to exit, with a warm cache, in a fresh folder."
        f" The plain loop makes {updates:,} updates a case, with the number of threads that was faster for a tenth of"
        f" them; its time for all updates is extrapolated. Runs of both, in turn: {runs}."
    )
    if not quick:
        with TemporaryDirectory() as folder:
            # so that the compiled kernels are on disk and the packages in memory
            _shell([*command, "updates=10"], folder)
    fits: list[float] = []

    def shell() -> float:
        with TemporaryDirectory() as folder:
            took = _shell(command, folder).seconds
            fits.append(_fits(Path(folder), len(plain.cases)))
        return took

    found = in_turn(runs, {"shell": shell, "plain": plain.run})
    job_took, fit, loop = found["shell"], Measurements(tuple(fits)), found["plain"]
    named = {"the job, from shell to exit": job_took, "the sum of seconds.fit": fit, "the plain loop's training": loop}
    report.add_text(markdown_table(("", "seconds"), [(what, str(took)) for what, took in named.items()]))
    report.add_text("The plain loop by case, microseconds an update:")
    counts = [f"{cores} thread{'s' * (cores > 1)}" for cores in sorted(plain.tried[0])]
    rows = [
        (label, *(format_number(tried[cores]) for cores in sorted(tried)), str(Measurements(tuple(each))))
        for label, tried, each in zip(plain.cases, plain.tried, plain.each, strict=True)
    ]
    report.add_text(markdown_table(("case", *counts, "the faster"), rows))
    report.add_ratio(
        "plain loop / shell to exit", format_ratio(loop.median / job_took.median), f"at least {job.shell} x"
    )
    wanted = f"at least {job.fits} x" if job.fits else ""
    report.add_ratio("plain loop / sum of seconds.fit", format_ratio(loop.median / fit.median), wanted)
    return report


class PlainLoops:
    """Runs the plain loop on each case of a job, with the same initial weights, optimiser, step size and batch size.

    Args:
        name: the job's preset.
        overrides: as on the command line.
        updates: how many updates to make in each case.

    Attributes:
        cases: label -> the loop with the faster number of threads.
        tried: for each case, number of threads -> microseconds an update.
        each: for each case, microseconds an update in each run.
        weights: for each case, the number of updates of all replicas together.
    """

    def __init__(self, name: str, overrides: Sequence[str], updates: int) -> None:
        from omegaconf import OmegaConf

        from reluviz.cli import config

        preset = [f"+exp={name}", *overrides]
        sweep: Any = OmegaConf.to_container(config.compose_checked(preset).hydra.sweeper.params)
        self.updates = updates
        self.cases: dict[str, PlainLoop] = {}
        self.tried: list[dict[int, float]] = []
        self.weights: list[int] = []
        for values in itertools.product(*(str(value).split(",") for value in sweep.values())):
            varied = dict(zip(sweep, values, strict=True))
            prepared = _prepared([*preset, *(f"{key}={value}" for key, value in varied.items())])
            loops = {cores: _loop(prepared, cores) for cores in sorted({1, _default_threads()})}
            for loop in loops.values():
                loop.run(100)
            few = max(50, updates // 10)
            tried = {cores: 1e6 * loop.run(few) / few for cores, loop in loops.items()}
            self.tried.append(tried)
            label = ", ".join(f"{key.rpartition('.')[2]}={value}" for key, value in varied.items())
            self.cases[label] = loops[min(tried, key=lambda cores: tried[cores])]
            self.weights.append(len(prepared.module.seeds) * prepared.settings["updates"])
        self.each: list[list[float]] = [[] for _ in self.cases]

    @property
    def total(self) -> int:
        """The number of updates of the whole job."""
        return sum(self.weights)

    def run(self) -> float:
        """Return the seconds that the plain loop would take for all updates of the job."""
        seconds = 0.0
        for (label, loop), each, weight in zip(self.cases.items(), self.each, self.weights, strict=True):
            each.append(1e6 * loop.run(self.updates) / self.updates)
            exit_if_not_finite(loop.loss(), f"plain loop, {label}")
            seconds += each[-1] / 1e6 * weight
        return seconds


def _prepared(overrides: Sequence[str]) -> "Prepared":
    from reluviz.cli import config
    from reluviz.training import prepare

    return prepare.prepare(config.without_hydra(config.compose_checked(overrides)))


def _default_threads() -> int:
    import torch

    return torch.get_num_threads()


def _loop(prepared: "Prepared", cores: int) -> "PlainLoop":
    """Return the plain loop for the first replica of a run."""
    import torch

    from benchmarks.plain_pytorch import PlainLoop
    from reluviz.models import ReLUModule

    module = prepared.module
    assert isinstance(module, ReLUModule)
    network = module.to_sequential()
    if "input_slope" not in module.trained:
        next(network.children()).requires_grad_(False)
    settings = dict(prepared.settings["optimizer"])
    kind = getattr(torch.optim, settings.pop("_target_").rpartition(".")[2])
    optimizer = kind([value for value in network.parameters() if value.requires_grad], **settings)
    x, y = module.training_points(prepared.dataset)
    return PlainLoop(network, optimizer, x, y, prepared.data.sampler.batch(len(x)), cores)


def _fits(folder: Path, count: int) -> float:
    """Return the sum of seconds.fit over the runs of a sweep; end the program unless all have finished."""
    metrics = [json.loads(path.read_text()) for path in folder.glob("logs/sweeps/*/*/metrics.json")]
    if len(metrics) != count or any(one["status"] != "finished" or None in one["loss/train"] for one in metrics):
        sys.exit(f"{count} runs expected, found {[one['status'] for one in metrics]}")
    return float(sum(one["seconds"]["fit"] for one in metrics))


@dataclass(frozen=True)
class Process:
    """A process that has ended with exit status 0.

    Attributes:
        seconds: the time from start to exit.
        output: the text it printed.
        peak: its peak memory in MB; None if the system does not report it.
    """

    seconds: float
    output: str
    peak: float | None


def _shell(words: Sequence[str], folder: str, cache: str | None = None) -> Process:
    """Run reluviz in a folder, and end the program if it fails."""
    environment = dict(os.environ) if cache is None else {**os.environ, "NUMBA_CACHE_DIR": cache}
    with TemporaryFile("w+") as file:
        started = time.perf_counter()
        # the peak of this process is a lower bound of the measured one; with --first it has not imported torch
        process = subprocess.Popen([*RELUVIZ, *words], cwd=folder, env=environment, stdout=file, stderr=file)
        peak = None
        if hasattr(os, "wait4"):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            peak = peak_memory.to_mb(usage.ru_maxrss)
        process.wait()
        took = time.perf_counter() - started
        file.seek(0)
        output = file.read()
    if process.returncode:
        sys.exit(f"{' '.join(words)}: exit status {process.returncode}\n{output}")
    return Process(took, output, peak)


def _first(runs: int, quick: bool) -> Report:
    """Measure the first run, which compiles the kernels, a later run, --help and --cfg."""
    train = [*RELU, *(QUICK if quick else [])]
    report = Report("first", "course.py --first: before and around the training")
    first: list[Process] = []
    later: list[Process] = []
    with TemporaryDirectory() as folder:
        if not quick:
            # so that the packages are in memory
            _shell(train, folder)

        def cold() -> float:
            first.append(_shell(train, folder, f"{folder}/cache-{len(first)}"))
            return first[-1].seconds

        def warm() -> float:
            # with the kernels that the last cold run has compiled
            later.append(_shell(train, folder, f"{folder}/cache-{len(later)}"))
            return later[-1].seconds

        measured = {
            f"{' '.join(RELU)}, nothing compiled": cold,
            f"{' '.join(RELU)}, warm": warm,
            "--help": lambda: _shell(["--help"], folder).seconds,
            f"{' '.join(RELU)} --cfg job": lambda: _shell([*RELU, "--cfg", "job"], folder).seconds,
        }
        found = in_turn(runs, measured)
    took = list(found.values())
    report.add_text(f"Runs of each, in turn: {runs}. Before a first run, NUMBA_CACHE_DIR is an empty folder.")
    report.add_text(markdown_table(("python -m reluviz", "seconds"), [(name, str(one)) for name, one in found.items()]))
    lines = [line.strip() for line in first[-1].output.splitlines() if "compil" in line.lower()]
    report.add_text(f'The first run says: "{lines[0]}"' if lines else "The first run prints nothing about compiling.")
    report.add_ratio(
        "+exp=relu: first run - later run", f"{format_number(took[0].median - took[1].median)} s", "at most 3 s"
    )
    report.add_ratio("--help", f"{format_number(took[2].median)} s", "at most 0.5 s")
    report.add_ratio("--cfg job", f"{format_number(took[3].median)} s", "at most 1.5 s")
    for name, ended in (("later", later), ("first", first)):
        peaks = [one.peak for one in ended if one.peak is not None]
        if peaks:
            report.add_ratio(f"+exp=relu: peak memory, {name} run", f"{format_number(max(peaks))} MB", "below 600 MB")
    return report


if __name__ == "__main__":
    main()
