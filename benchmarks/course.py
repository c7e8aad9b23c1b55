"""The course job from the shell, start to exit, against the plain PyTorch loop: `train -m +exp=course`.

With --optimizers the job `+exp=optimizers` in its place; with --first what a first run needs beyond a later one, how
long --help and --cfg take, and the peak memory of `train +exp=relu`. The plain loop trains the same networks by the
same optimisers for some thousand updates a case, from which its time for all of them is extrapolated.
"""

import sys
from pathlib import Path

# Not this folder: its file logging.py would take the place of the standard library's.
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

from benchmarks import memory
from benchmarks.measure import Report, Times, figure, finite, in_turn, table, times, writes

if TYPE_CHECKING:
    from benchmarks.plain import PlainLoop
    from reluviz.training.prepare import Prepared

RELUVIZ = (sys.executable, "-m", "reluviz")
RELU = ("train", "+exp=relu")
QUICK = ("updates=2", "callbacks=minimal")


@dataclass(frozen=True)
class Job:
    """What a preset that sweeps is to take, as ratios of the plain loop's time.

    Attributes:
        shell: from shell to exit.
        fits: the sum of seconds.fit; None where nothing is asked of it.
        updates: that the plain loop makes in each case.
        runs: by default.
    """

    shell: int
    fits: int | None
    updates: int
    runs: int


JOBS = {"course": Job(40, 100, 5_000, 5), "optimizers": Job(100, None, 20_000, 3)}


def main() -> None:
    """Measure, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--optimizers", action="store_true", help="the job +exp=optimizers")
    what.add_argument("--first", action="store_true", help="a first run, the help, and peak memory")
    parser.add_argument("--quick", action="store_true", help="one run of few updates: only to see that it works")
    parser.add_argument("--runs", type=int, help="runs of each (5 of the course, else 3)")
    parser.add_argument("--updates", type=int, help="of the plain loop in each case (5000, with --optimizers 20000)")
    writes(parser)
    args = parser.parse_args()
    if args.first:
        report = _first(args.runs or (1 if args.quick else 3), args.quick)
    else:
        report = _job("optimizers" if args.optimizers else "course", args.runs, args.updates, args.quick)
    report.close(args.write)


def _job(name: str, runs: int | None, updates: int | None, quick: bool) -> Report:
    job = JOBS[name]
    runs, updates = runs or (1 if quick else job.runs), updates or (100 if quick else job.updates)
    short = list(QUICK) if quick else []
    command = ["train", "-m", f"+exp={name}", *short]
    report = Report(name, f"course.py: {' '.join(command)}")
    plain = Plain(name, short, updates)
    report.say(
        f"{plain.total:,} updates in {len(plain.cases)} runs, from shell to exit, with a warm cache, in a fresh folder."
        f" The plain loop makes {updates:,} updates a case, with as many threads as were faster in a tenth of"
        f" them; for all updates its time is extrapolated. Runs of both, in turn: {runs}."
    )
    if not quick:
        with TemporaryDirectory() as folder:
            # so that the compiled kernels lie on disk, and the packages in memory
            _shell([*command, "updates=10"], folder)
    fits: list[float] = []

    def shell() -> float:
        with TemporaryDirectory() as folder:
            took = _shell(command, folder).seconds
            fits.append(_fits(Path(folder), len(plain.cases)))
        return took

    found = in_turn(runs, {"shell": shell, "plain": plain.run})
    job_took, fit, loop = found["shell"], Times(tuple(fits)), found["plain"]
    named = {"the job, from shell to exit": job_took, "the sum of seconds.fit": fit, "the plain loop's training": loop}
    report.say(table(("", "seconds"), [(what, str(took)) for what, took in named.items()]))
    report.say("The plain loop by case, microseconds an update:")
    counts = [f"{cores} thread{'s' * (cores > 1)}" for cores in sorted(plain.tried[0])]
    rows = [
        (label, *(figure(tried[cores]) for cores in sorted(tried)), str(Times(tuple(each))))
        for label, tried, each in zip(plain.cases, plain.tried, plain.each, strict=True)
    ]
    report.say(table(("case", *counts, "the faster"), rows))
    report.ratio("plain loop / shell to exit", times(loop.median / job_took.median), f"at least {job.shell} x")
    wanted = f"at least {job.fits} x" if job.fits else ""
    report.ratio("plain loop / sum of seconds.fit", times(loop.median / fit.median), wanted)
    return report


class Plain:
    """The plain loop on each run of a preset that sweeps: the same start, optimiser, step size and batch size.

    Args:
        name: the preset.
        overrides: as on the command line.
        updates: that are made in each case.

    Attributes:
        cases: label -> the loop, with the number of threads that it is faster with.
        tried: microseconds an update with each number of threads, of each case.
        each: microseconds an update, of each case and run.
        weights: updates of each case, those of all replicas together.
    """

    def __init__(self, name: str, overrides: Sequence[str], updates: int) -> None:
        from omegaconf import OmegaConf

        from reluviz.cli import config

        preset = [f"+exp={name}", *overrides]
        swept: Any = OmegaConf.to_container(config.compose_checked(preset).hydra.sweeper.params)
        self.updates = updates
        self.cases: dict[str, PlainLoop] = {}
        self.tried: list[dict[int, float]] = []
        self.weights: list[int] = []
        for values in itertools.product(*(str(value).split(",") for value in swept.values())):
            varied = dict(zip(swept, values, strict=True))
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
        """Updates of the whole job."""
        return sum(self.weights)

    def run(self) -> float:
        """Return the seconds that the plain loop would take for all updates of the job."""
        seconds = 0.0
        for (label, loop), each, weight in zip(self.cases.items(), self.each, self.weights, strict=True):
            each.append(1e6 * loop.run(self.updates) / self.updates)
            finite(loop.loss(), f"plain loop, {label}")
            seconds += each[-1] / 1e6 * weight
        return seconds


def _prepared(overrides: Sequence[str]) -> "Prepared":
    from reluviz.cli import config
    from reluviz.training import prepare

    return prepare.prepare(config.task(config.compose_checked(overrides)))


def _default_threads() -> int:
    import torch

    return torch.get_num_threads()


def _loop(prepared: "Prepared", cores: int) -> "PlainLoop":
    """Return the plain loop for the first replica of a run."""
    import torch

    from benchmarks.plain import PlainLoop
    from reluviz.models import ReLUModule

    module = prepared.module
    assert isinstance(module, ReLUModule)
    network = module.to_sequential()
    if "input_slope" not in module.trained:
        next(network.children()).requires_grad_(False)
    settings = dict(prepared.settings["optimizer"])
    kind = getattr(torch.optim, settings.pop("_target_").rpartition(".")[2])
    optimizer = kind([value for value in network.parameters() if value.requires_grad], **settings)
    x, y = module.points(prepared.dataset)
    return PlainLoop(network, optimizer, x, y, prepared.data.sampler.batch(len(x)), cores)


def _fits(folder: Path, count: int) -> float:
    """Return the sum of seconds.fit over the runs of a sweep, whose losses must be finite."""
    metrics = [json.loads(path.read_text()) for path in folder.glob("logs/sweeps/*/*/metrics.json")]
    if len(metrics) != count or any(one["status"] != "finished" or None in one["loss/train"] for one in metrics):
        sys.exit(f"of {count} runs {[one['status'] for one in metrics]}")
    return float(sum(one["seconds"]["fit"] for one in metrics))


@dataclass(frozen=True)
class Process:
    """A process that has ended well.

    Attributes:
        seconds: from start to exit.
        said: what it printed.
        peak: its peak memory in MB; None where the system does not tell.
    """

    seconds: float
    said: str
    peak: float | None


def _shell(words: Sequence[str], folder: str, cache: str | None = None) -> Process:
    """Run reluviz in a folder."""
    environment = dict(os.environ) if cache is None else {**os.environ, "NUMBA_CACHE_DIR": cache}
    with TemporaryFile("w+") as output:
        started = time.perf_counter()
        # its peak counts as no smaller than that of this process, which has not imported torch with --first
        process = subprocess.Popen([*RELUVIZ, *words], cwd=folder, env=environment, stdout=output, stderr=output)
        peak = None
        if hasattr(os, "wait4"):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            peak = memory.mb(usage.ru_maxrss)
        process.wait()
        took = time.perf_counter() - started
        output.seek(0)
        said = output.read()
    if process.returncode:
        sys.exit(f"{' '.join(words)}: exit status {process.returncode}\n{said}")
    return Process(took, said, peak)


def _first(runs: int, quick: bool) -> Report:
    """Measure what the first run needs to compile, and what is over before training begins."""
    train = [*RELU, *(QUICK if quick else [])]
    report = Report("first", "course.py --first: before and around the training")
    first: list[Process] = []
    later: list[Process] = []
    with TemporaryDirectory() as folder:
        if not quick:
            # so that the packages lie in memory
            _shell(train, folder)

        def cold() -> float:
            first.append(_shell(train, folder, f"{folder}/cache-{len(first)}"))
            return first[-1].seconds

        def warm() -> float:
            # where the cold run before it has left what it compiled
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
    report.say(f"Runs of each, in turn: {runs}. Where nothing is compiled, NUMBA_CACHE_DIR is an empty folder.")
    report.say(table(("python -m reluviz", "seconds"), [(name, str(one)) for name, one in found.items()]))
    said = [line.strip() for line in first[-1].said.splitlines() if "compil" in line.lower()]
    report.say(f'The first run says: "{said[0]}"' if said else "The first run says nothing of compiling.")
    report.ratio("+exp=relu: first run - later run", f"{figure(took[0].median - took[1].median)} s", "at most 3 s")
    report.ratio("--help", f"{figure(took[2].median)} s", "at most 0.5 s")
    report.ratio("--cfg job", f"{figure(took[3].median)} s", "at most 1.5 s")
    for name, ended in (("later", later), ("first", first)):
        peaks = [one.peak for one in ended if one.peak is not None]
        if peaks:
            report.ratio(f"+exp=relu: peak memory, {name} run", f"{figure(max(peaks))} MB", "below 600 MB")
    return report


if __name__ == "__main__":
    main()
