"""Our engines against a plain PyTorch loop and a plain Lightning module, all in one process.

One axis at a time around W = 40, B = 40, N = 200, one replica: microseconds an update and a replica, ratios to the
plain loop on the same work, peak memory. Then the kernels of `fused`. Nothing fails for being slow; a loss that is
not finite does.
"""

import sys
from pathlib import Path

# Not this folder: its file logging.py would take the place of the standard library's.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import torch

from benchmarks import memory
from benchmarks.measure import Report, Times, figure, finite, in_turn, table, times, updates_that_take, writes
from benchmarks.ours import Case, Ours, dataset
from reluviz.engines import fused

ALL_CORES = torch.get_num_threads()
THREADS = sorted({1, ALL_CORES})
"""How many threads autograd is tried with; the faster counts."""
MOST_AUTOGRAD = 1e8
"""Hidden activations of an update beyond which autograd is left out: minutes, and tens of GB."""
PLAIN, LIGHTNING = "plain loop", "Lightning"
AUTOGRAD: dict[str, Callable[[Case, int], "Runner"]] = {
    PLAIN: Case.plain,
    LIGHTNING: Case.lightning,
    "reference": lambda case, cores: Ours(case, "reference", cores),
}
COMPILED: dict[str, Callable[[Case], "Runner"]] = {
    "fused": lambda case: Ours(case, "fused"),
    "fused, all cores": lambda case: Ours(case, "fused", ALL_CORES),
    "exact": lambda case: Ours(case, "exact"),
}


class Runner(Protocol):
    """Something that trains."""

    def run(self, updates: int) -> float:
        """Make so many updates and return the seconds they took."""

    def loss(self) -> float:
        """Return the loss of the last minibatch."""


@dataclass(frozen=True)
class Axis:
    """What is varied, and who runs there on minibatches and on full batches."""

    title: str
    letter: str
    key: str
    values: tuple[int, ...]
    quick: tuple[int, ...]
    minibatch: tuple[str, ...]
    full: tuple[str, ...]

    def cases(self, value: int) -> list[tuple[Case, tuple[str, ...]]]:
        """Return the cases at one value, and who runs each."""
        changed: dict[str, Any] = {self.key: value}
        case = replace(Case(), **changed)
        pairs = [(case, self.minibatch), (replace(case, batch=None), self.full)]
        return [(case, tuple(name for name in names if _bearable(case, name))) for case, names in pairs if names]


def _bearable(case: Case, name: str) -> bool:
    one = case if name == "reference" else replace(case, replicas=1)
    return name not in AUTOGRAD or one.activations <= MOST_AUTOGRAD


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
class Found:
    """What was measured of one runner on one case: microseconds an update and a replica, and MB."""

    value: int
    case: Case
    name: str
    times: Times
    ratio: float | None
    peak: float | None

    @property
    def label(self) -> str:
        """The runner's name, with the word that tells full batches from minibatches."""
        return f"{self.name}, full batch" if self.case.batch is None else self.name


def main() -> None:
    """Measure, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few points, short runs: only to see that it works")
    parser.add_argument("--runs", type=int, default=5, help="runs of each case (%(default)s)")
    writes(parser)
    args = parser.parse_args()
    runs, seconds = (2, 0.01) if args.quick else (args.runs, 0.15)
    report = Report("engines", "engines.py: microseconds an update")
    report.say(
        "Microseconds an update and a replica, in float32, the drawing of minibatches included; x says how many times"
        " faster than the plain loop, which takes one replica at a time. The plain loop, Lightning and reference are"
        f" measured with 1 thread and with torch's default, here {ALL_CORES}, and the faster counts; the others use 1,"
        " unless they say so. MB is the peak memory of a process of its own, beyond what imports and data need. Runs"
        f" of each case, in turn: {runs}, of about {seconds} s."
    )
    axes = {axis: axis.quick if args.quick else axis.values for axis in AXES}
    peaks = _peaks([pair for axis, values in axes.items() for value in values for pair in axis.cases(value)])
    found: dict[Axis, list[Found]] = {}
    for axis, values in axes.items():
        found[axis] = [one for value in values for one in _along(axis, value, runs, seconds, peaks)]
        report.say(f"{axis.title} {axis.letter}:")
        report.say(_axis_table(axis, found[axis]))
    _headline(report, runs, seconds)
    _kernels(report, (40, 2560) if args.quick else (10, 20, 40, 80, 160, 320, 640, 1280, 2560), runs, seconds / 2)
    _exact(report, found[AXES[2]])
    if args.write is not None:
        from benchmarks.picture import draw

        draw(found, Path(args.write).with_name("engines.png"))
        report.say("![An update by width, batch, samples and replicas](engines.png)")
    report.close(args.write)


def _along(
    axis: Axis, value: int, runs: int, seconds: float, peaks: Mapping[tuple[Case, str], float | None]
) -> list[Found]:
    """Measure everybody at one value of an axis."""
    found = []
    for case, names in axis.cases(value):
        measured = _race(case, names, runs, seconds)
        plain = measured.get(PLAIN)
        for name, took in measured.items():
            ratio = None if plain is None else plain.median / took.median
            found.append(Found(value, case, name, took, ratio, peaks[case, name]))
    return found


def _race(case: Case, names: Sequence[str], runs: int, seconds: float) -> dict[str, Times]:
    """Return microseconds an update and a replica of each, measured in turn; of autograd with the better threads."""
    runners: dict[tuple[str, int], Runner] = {}
    for name in names:
        if name in AUTOGRAD:
            runners |= {(name, cores): AUTOGRAD[name](case, cores) for cores in THREADS}
        else:
            runners[name, 1] = COMPILED[name](case)
    return _best(_timed(case, runners, runs, seconds))


def _timed(
    case: Case, runners: Mapping[tuple[str, int], Runner], runs: int, seconds: float
) -> dict[tuple[str, int], Times]:
    """Return microseconds an update and a replica of each; the key names it and tells its variants apart."""
    updates = {key: updates_that_take(seconds, runner.run) for key, runner in runners.items()}
    measured = in_turn(runs, {key: partial(runner.run, updates[key]) for key, runner in runners.items()})
    found = {}
    for key, runner in runners.items():
        finite(runner.loss(), f"{key[0]}, {case}")
        replicas = len(runner.module.seeds) if isinstance(runner, Ours) else 1
        found[key] = measured[key] * (1e6 / updates[key] / replicas)
    return found


def _best(measured: Mapping[tuple[str, int], Times]) -> dict[str, Times]:
    """Return the faster variant of each."""
    found: dict[str, Times] = {}
    for (name, _), took in measured.items():
        if name not in found or took.median < found[name].median:
            found[name] = took
    return found


def _peaks(pairs: Sequence[tuple[Case, tuple[str, ...]]]) -> dict[tuple[Case, str], float | None]:
    """Return the peak memory of each runner on each case; first, while this process has not used torch's threads."""
    with_kernels = Case(), Case(batch=None)
    for case, name in zip(with_kernels, ("fused", "exact"), strict=True):
        # imports and compiled code belong to the process that holds nothing yet
        COMPILED[name](case).run(1)
    found = {}
    for case, names in pairs:
        dataset(case.samples)
        for name in names:
            found[case, name] = memory.of_function(partial(_work, case, name))
    return found


def _work(case: Case, name: str) -> None:
    if name in AUTOGRAD:
        AUTOGRAD[name](case, 1).run(3)
    else:
        COMPILED[name](case).run(1000)


def _axis_table(axis: Axis, found: Sequence[Found]) -> str:
    rows = []
    last = None
    for one in found:
        value = f"{one.value:,}" if one.value != last else ""
        ratio = "" if one.ratio is None else figure(one.ratio)
        peak = "" if one.peak is None else f"{one.peak:,.0f}"
        rows.append((value, one.label, ratio, str(one.times), peak))
        last = one.value
    return table((axis.letter, "", "x", "microseconds", "MB"), rows)


def _headline(report: Report, runs: int, seconds: float) -> None:
    """Measure fused against the plain loop at W = B = 40, in both precisions, with and without drawing."""
    rows = []
    for precise in (False, True):
        case = Case(precise=precise)
        for ahead in (False, True):
            runners: dict[tuple[str, int], Runner] = {(PLAIN, cores): case.plain(cores, ahead) for cores in THREADS}
            runners["fused", 1] = Ours(case, "fused", ahead=ahead)
            plain, fast = _best(_timed(case, runners, 2 * runs, seconds)).values()
            kind = "float64" if precise else "float32"
            drawing = "drawn ahead" if ahead else "drawing included"
            rows.append((kind, drawing, figure(plain.median / fast.median), str(plain), str(fast)))
            wanted = "at least 300 x" if not precise else ""
            report.ratio(f"plain loop / fused, {kind}, {drawing}", times(plain.median / fast.median), wanted)
    report.say("W = B = 40, SGD, fused on one core against the plain loop, microseconds an update:")
    report.say(table(("", "minibatches", "x", PLAIN, "fused"), rows))


def _kernels(report: Report, widths: Sequence[int], runs: int, seconds: float) -> None:
    """Measure the dense against the sorted kernel of fused."""
    report.say(
        "The kernels of fused, minibatches drawn ahead. The last column is the time of the one that is taken,"
        " divided by W and by the same at W = 40: beyond 1 the work would grow faster than W."
    )
    for batch in (40, 400):
        for precise in (False, True):
            found = {}
            for width in widths:
                case = Case(width=width, batch=batch, precise=precise)
                runners = {(name, 1): Ours(case, "fused", ahead=True, kernel=name) for name in ("dense", "sorted")}
                found[width] = _best(_timed(case, runners, runs, seconds))
            taken = {width: ("dense", "sorted")[_sorted_wins(width, batch, precise)] for width in widths}
            share = {width: found[width][taken[width]].median / width for width in widths}
            kind = "float64" if precise else "float32"
            rows = [
                (
                    f"{width:,}",
                    str(took["dense"]),
                    str(took["sorted"]),
                    figure(took["dense"].median / took["sorted"].median),
                    taken[width],
                    figure(share[width] / share[40]),
                )
                for width, took in found.items()
            ]
            report.say(f"Kernels, B = {batch}, {kind}:")
            report.say(table(("W", "dense", "sorted", "x", "taken", "growth"), rows))
            if batch == 40:
                widest = found[2560]
                report.ratio(
                    f"dense / sorted kernel, {kind}, W = 2,560",
                    times(widest["dense"].median / widest["sorted"].median),
                    "at least 3 x",
                )
                report.ratio(
                    f"fused, {kind}, time / W: W = 2,560 / W = 40",
                    times(share[2560] / share[40]),
                    "at most 1 x",
                )


def _sorted_wins(width: int, batch: int, precise: bool) -> bool:
    dense, ordered = fused.cost(width, batch, 200, precise)
    return ordered < dense


def _exact(report: Report, found: Sequence[Found]) -> None:
    """Keep the ratios of the axis of samples."""
    full = {(one.value, one.name): one.times.median for one in found if one.case.batch is None}
    largest = max(n for n, name in full if name == PLAIN)
    exact, plain = full[largest, "exact"], full[largest, PLAIN]
    wanted = ("at most 10 x", "at least 10,000 x") if largest == 1_000_000 else ("", "")
    report.ratio(f"exact: N = {largest:,} / N = 200", times(exact / full[200, "exact"]), wanted[0])
    report.ratio(f"plain loop / exact, full batch, N = {largest:,}", times(plain / exact), wanted[1])


if __name__ == "__main__":
    main()
