"""Compares reluviz's engines with a plain PyTorch loop and a plain Lightning module, all in one process.

It varies one axis at a time around W = 40, B = 40, N = 200 and one replica, and measures microseconds per update and
replica, their ratio to the plain loop, and peak memory. Then it compares the kernels of `fused`. The program fails if
a loss is not finite, but not if something is slow.
"""

import sys
from pathlib import Path

# remove this folder, because its logging.py would hide the module of the standard library
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import torch

from benchmarks import peak_memory
from benchmarks.engine_runner import Case, EngineRunner, dataset
from benchmarks.measure import (
    Measurements,
    Report,
    add_write_option,
    exit_if_not_finite,
    format_number,
    format_ratio,
    in_turn,
    markdown_table,
    updates_that_take,
)
from reluviz.engines import fused

ALL_CORES = torch.get_num_threads()
THREADS = sorted({1, ALL_CORES})
"""The numbers of threads tried with autograd; the faster one counts."""
MAX_AUTOGRAD_ACTIVATIONS = 1e8
"""The most hidden activations of an update for autograd, which would take minutes and tens of GB beyond it."""
PLAIN, LIGHTNING = "plain loop", "Lightning"
AUTOGRAD: dict[str, Callable[[Case, int], "Runner"]] = {
    PLAIN: Case.plain,
    LIGHTNING: Case.lightning,
    "reference": lambda case, cores: EngineRunner(case, "reference", cores),
}
COMPILED: dict[str, Callable[[Case], "Runner"]] = {
    "fused": lambda case: EngineRunner(case, "fused"),
    "fused, all cores": lambda case: EngineRunner(case, "fused", ALL_CORES),
    "exact": lambda case: EngineRunner(case, "exact"),
}


class Runner(Protocol):
    """An engine, or one of the plain programs, on a case."""

    def run(self, updates: int) -> float:
        """Make updates and return the seconds they took."""

    def loss(self) -> float:
        """Return the loss of the last minibatch."""


@dataclass(frozen=True)
class Axis:
    """A quantity that is varied, and the names of the runners on minibatches and on full batches."""

    title: str
    letter: str
    key: str
    values: tuple[int, ...]
    quick: tuple[int, ...]
    minibatch: tuple[str, ...]
    full: tuple[str, ...]

    def cases(self, value: int) -> list[tuple[Case, tuple[str, ...]]]:
        """Return the cases at one value, and the names of the runners of each."""
        changed: dict[str, Any] = {self.key: value}
        case = replace(Case(), **changed)
        pairs = [(case, self.minibatch), (replace(case, batch=None), self.full)]
        return [(case, tuple(name for name in names if _is_feasible(case, name))) for case, names in pairs if names]


def _is_feasible(case: Case, name: str) -> bool:
    one = case if name == "reference" else replace(case, replicas=1)
    return name not in AUTOGRAD or one.activations <= MAX_AUTOGRAD_ACTIVATIONS


AXES = (
    Axis(
        "Hidden units",
        "W",
        "width",
        (10, 40, 160, 640, 2560),
        (10, 40),
        (PLAIN, LIGHTNING, "reference", "fused"),
        (PLAIN, "exact"),
    ),
    Axis(
        "Points of a minibatch",
        "B",
        "batch",
        (1, 10, 40, 400, 4096),
        (1,),
        (PLAIN, LIGHTNING, "reference", "fused"),
        (),
    ),
    Axis(
        "Training points",
        "N",
        "samples",
        (200, 10_000, 100_000, 1_000_000, 10_000_000),
        (200, 10_000),
        (PLAIN, "fused"),
        (PLAIN, LIGHTNING, "reference", "exact"),
    ),
    Axis(
        "Replicas",
        "R",
        "replicas",
        (1, 10, 100, 1000),
        (10,),
        (PLAIN, "reference", "fused", "fused, all cores"),
        (PLAIN, "exact"),
    ),
)


@dataclass(frozen=True)
class Result:
    """The measurements of one runner on one case.

    Attributes:
        value: the value on the axis.
        case: the network and its data.
        name: the name of the runner.
        times: microseconds an update and a replica.
        ratio: how many times faster than the plain loop; None without a plain loop.
        peak: peak memory in MB; None if it could not be measured.
    """

    value: int
    case: Case
    name: str
    times: Measurements
    ratio: float | None
    peak: float | None

    @property
    def label(self) -> str:
        """The runner's name, followed by "full batch" for full batches."""
        return f"{self.name}, full batch" if self.case.batch is None else self.name


def main() -> None:
    """Measure and print, and write the results if the command line says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few cases and short runs: only to check that it works")
    parser.add_argument("--runs", type=int, default=5, help="runs of each case (%(default)s)")
    add_write_option(parser)
    args = parser.parse_args()
    runs, seconds = (2, 0.01) if args.quick else (args.runs, 0.15)
    report = Report("engines", "engines.py: microseconds an update")
    report.add_text(
        "Microseconds an update and a replica, in float32, including the drawing of minibatches; x is how many times"
        " faster than the plain loop, which trains one replica at a time. The plain loop, Lightning and reference are"
        f" measured with 1 thread and with torch's default, {ALL_CORES}, and the faster counts; the other engines use"
        " 1 thread unless their name says otherwise. MB is the peak memory of a separate process, beyond what imports"
        f" and data need. Runs of each case, in turn: {runs}, each of about {seconds} s."
    )
    axes = {axis: axis.quick if args.quick else axis.values for axis in AXES}
    peaks = _peaks([pair for axis, values in axes.items() for value in values for pair in axis.cases(value)])
    found: dict[Axis, list[Result]] = {}
    for axis, values in axes.items():
        found[axis] = [one for value in values for one in _along(axis, value, runs, seconds, peaks)]
        report.add_text(f"{axis.title} {axis.letter}:")
        report.add_text(_axis_table(axis, found[axis]))
    _headline(report, runs, seconds)
    _kernels(report, (40, 2560) if args.quick else (10, 20, 40, 80, 160, 320, 640, 1280, 2560), runs, seconds / 2)
    _exact(report, found[AXES[2]])
    if args.write is not None:
        from benchmarks.engines_plot import draw

        draw(found, Path(args.write).with_name("engines.png"))
        report.add_text("![An update by width, batch, samples and replicas](engines.png)")
    report.finish(args.write)


def _along(
    axis: Axis, value: int, runs: int, seconds: float, peaks: Mapping[tuple[Case, str], float | None]
) -> list[Result]:
    """Measure all runners at one value of an axis."""
    found = []
    for case, names in axis.cases(value):
        measured = _measure(case, names, runs, seconds)
        plain = measured.get(PLAIN)
        for name, took in measured.items():
            ratio = None if plain is None else plain.median / took.median
            found.append(Result(value, case, name, took, ratio, peaks[case, name]))
    return found


def _measure(case: Case, names: Sequence[str], runs: int, seconds: float) -> dict[str, Measurements]:
    """Return microseconds an update and a replica of each runner; for autograd with the faster number of threads."""
    runners: dict[tuple[str, int], Runner] = {}
    for name in names:
        if name in AUTOGRAD:
            runners |= {(name, cores): AUTOGRAD[name](case, cores) for cores in THREADS}
        else:
            runners[name, 1] = COMPILED[name](case)
    return _fastest(_time(case, runners, runs, seconds))


def _time(
    case: Case, runners: Mapping[tuple[str, int], Runner], runs: int, seconds: float
) -> dict[tuple[str, int], Measurements]:
    """Return microseconds an update and a replica of each runner; the keys are its name and the number of threads."""
    updates = {key: updates_that_take(seconds, runner.run) for key, runner in runners.items()}
    measured = in_turn(runs, {key: partial(runner.run, updates[key]) for key, runner in runners.items()})
    found = {}
    for key, runner in runners.items():
        exit_if_not_finite(runner.loss(), f"{key[0]}, {case}")
        replicas = len(runner.module.seeds) if isinstance(runner, EngineRunner) else 1
        found[key] = measured[key] * (1e6 / updates[key] / replicas)
    return found


def _fastest(measured: Mapping[tuple[str, int], Measurements]) -> dict[str, Measurements]:
    """Return the measurements of each runner with its faster number of threads."""
    found: dict[str, Measurements] = {}
    for (name, _), took in measured.items():
        if name not in found or took.median < found[name].median:
            found[name] = took
    return found


def _peaks(pairs: Sequence[tuple[Case, tuple[str, ...]]]) -> dict[tuple[Case, str], float | None]:
    """Return the peak memory of each runner on each case; call it before this process uses torch's threads."""
    for case, name in ((Case(), "fused"), (Case(batch=None), "exact")):
        # imports and compiled code should not count for the first case
        COMPILED[name](case).run(1)
    found = {}
    for case, names in pairs:
        dataset(case.samples)
        for name in names:
            found[case, name] = peak_memory.of_function(partial(_run_briefly, case, name))
    return found


def _run_briefly(case: Case, name: str) -> None:
    if name in AUTOGRAD:
        AUTOGRAD[name](case, 1).run(3)
    else:
        COMPILED[name](case).run(1000)


def _axis_table(axis: Axis, found: Sequence[Result]) -> str:
    rows = []
    last = None
    for one in found:
        value = f"{one.value:,}" if one.value != last else ""
        ratio = "" if one.ratio is None else format_number(one.ratio)
        peak = "" if one.peak is None else f"{one.peak:,.0f}"
        rows.append((value, one.label, ratio, str(one.times), peak))
        last = one.value
    return markdown_table((axis.letter, "", "x", "microseconds", "MB"), rows)


def _headline(report: Report, runs: int, seconds: float) -> None:
    """Compare fused with the plain loop at W = B = 40, in both precisions, with and without drawing minibatches."""
    rows = []
    for precise in (False, True):
        case = Case(precise=precise)
        for ahead in (False, True):
            runners: dict[tuple[str, int], Runner] = {(PLAIN, cores): case.plain(cores, ahead) for cores in THREADS}
            runners["fused", 1] = EngineRunner(case, "fused", ahead=ahead)
            plain, fast = _fastest(_time(case, runners, 2 * runs, seconds)).values()
            kind = "float64" if precise else "float32"
            drawing = "drawn ahead" if ahead else "drawing included"
            rows.append((kind, drawing, format_number(plain.median / fast.median), str(plain), str(fast)))
            target = "at least 300 x" if not precise else ""
            report.add_ratio(f"plain loop / fused, {kind}, {drawing}", format_ratio(plain.median / fast.median), target)
    report.add_text("The plain loop and fused on one core at W = B = 40 with SGD, microseconds an update:")
    report.add_text(markdown_table(("", "minibatches", "x", PLAIN, "fused"), rows))


def _kernels(report: Report, widths: Sequence[int], runs: int, seconds: float) -> None:
    """Compare the dense and the sorted kernel of fused."""
    report.add_text(
        "The kernels of fused, with minibatches drawn ahead. The last column is the time of the kernel that fused"
        " takes, divided by W and by the same ratio at W = 40: above 1 the time would grow faster than W."
    )
    for batch in (40, 400):
        for precise in (False, True):
            found = {}
            for width in widths:
                case = Case(width=width, batch=batch, precise=precise)
                runners = {
                    (name, 1): EngineRunner(case, "fused", ahead=True, kernel=name) for name in ("dense", "sorted")
                }
                found[width] = _fastest(_time(case, runners, runs, seconds))
            taken = {width: ("dense", "sorted")[_sorted_wins(width, batch, precise)] for width in widths}
            time_by_width = {width: found[width][taken[width]].median / width for width in widths}
            kind = "float64" if precise else "float32"
            rows = [
                (
                    f"{width:,}",
                    str(took["dense"]),
                    str(took["sorted"]),
                    format_number(took["dense"].median / took["sorted"].median),
                    taken[width],
                    format_number(time_by_width[width] / time_by_width[40]),
                )
                for width, took in found.items()
            ]
            report.add_text(f"Kernels, B = {batch}, {kind}:")
            report.add_text(markdown_table(("W", "dense", "sorted", "x", "taken", "growth"), rows))
            if batch == 40:
                widest = found[2560]
                report.add_ratio(
                    f"dense / sorted kernel, {kind}, W = 2,560",
                    format_ratio(widest["dense"].median / widest["sorted"].median),
                    "at least 3 x",
                )
                report.add_ratio(
                    f"fused, {kind}, time / W: W = 2,560 / W = 40",
                    format_ratio(time_by_width[2560] / time_by_width[40]),
                    "at most 1 x",
                )


def _sorted_wins(width: int, batch: int, precise: bool) -> bool:
    dense_cost, sorted_cost = fused.cost(width, batch, 200, precise)
    return sorted_cost < dense_cost


def _exact(report: Report, found: Sequence[Result]) -> None:
    """Add the ratios of exact along the axis of training points."""
    full = {(one.value, one.name): one.times.median for one in found if one.case.batch is None}
    largest = max(n for n, name in full if name == PLAIN)
    exact, plain = full[largest, "exact"], full[largest, PLAIN]
    targets = ("at most 10 x", "at least 10,000 x") if largest == 1_000_000 else ("", "")
    report.add_ratio(f"exact: N = {largest:,} / N = 200", format_ratio(exact / full[200, "exact"]), targets[0])
    report.add_ratio(f"plain loop / exact, full batch, N = {largest:,}", format_ratio(plain / exact), targets[1])


if __name__ == "__main__":
    main()
