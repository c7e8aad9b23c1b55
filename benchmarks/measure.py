"""Repeated measurements, a description of the machine, and results as Markdown with lines of at most 80 columns."""

import argparse
import math
import os
import platform
import re
import statistics
import sys
import textwrap
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

RESULTS = Path(__file__).with_name("RESULTS.md")
SECTIONS = (
    "course",
    "optimizers",
    "first",
    "engines",
    "chains",
    "replicas",
    "logging",
    "report",
    "launchers",
    "memory",
    "mechanisms",
    "page_training",
    "page_playing",
)
"""The sections of RESULTS.md, in their order."""
INTRODUCTION = """\
# How fast

Written by the programs in this folder; each section names the command that
writes it. A number is the median over the runs, with the smallest and the
largest in brackets; k stands for thousands. A ratio is one of medians that were
measured in turn. The *plain loop* is the obvious PyTorch program:
`nn.Sequential`, `torch.optim`, one minibatch at a time, with one thread or
torch's default number of threads, whichever is faster.
"""
PACKAGES = ("torch", "lightning", "numba", "numpy", "tensorboard", "reluviz")
PAGE_WIDTH = 80
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Measurements:
    """The value measured in each run, in seconds or another unit."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median over the runs."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        return f"{format_number(self.median)} ({format_number(min(self.values))}-{format_number(max(self.values))})"

    def quartiles(self) -> str:
        """Return the median with the quartiles in brackets, for many values with outliers."""
        low, _, high = (
            statistics.quantiles(self.values, n=4, method="inclusive") if len(self.values) > 1 else self.values * 3
        )
        return f"{format_number(self.median)} ({format_number(low)}-{format_number(high)})"

    def __mul__(self, factor: float) -> "Measurements":
        return Measurements(tuple(value * factor for value in self.values))


def in_turn(runs: int, measured: Mapping[K, Callable[[], float]]) -> dict[K, Measurements]:
    """Call each function in turn, `runs` times over, so that a slower phase of the machine affects all of them."""
    found: dict[K, list[float]] = {name: [] for name in measured}
    for _ in range(runs):
        for name, measure in measured.items():
            found[name].append(measure())
    return {name: Measurements(tuple(values)) for name, values in found.items()}


def updates_that_take(seconds: float, run: Callable[[int], float]) -> int:
    """Return how many updates take about this many seconds, at least 1; `run` makes updates and returns the seconds."""
    # the first call compiles and allocates
    run(1)
    updates, took = 1, run(1)
    while took < seconds / 4:
        updates *= max(2, min(50, int(seconds / 3 / max(took, 1e-9))))
        took = run(updates)
    return max(1, round(updates * seconds / took))


def exit_if_not_finite(loss: float, what: str) -> None:
    """End the program if a loss is not finite, because a diverged run may be faster."""
    if not math.isfinite(loss):
        sys.exit(f"{what}: the loss is {loss}; the step size is too large")


def format_number(value: float) -> str:
    """Return a number with three significant digits: 0.0457, 3.00, 330, 2,170, 12.3k."""
    if abs(value) >= 9999.5:
        return f"{value / 1e3:#.3g}k" if abs(value) < 99_950 else f"{value / 1e3:,.0f}k"
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def format_ratio(ratio: float) -> str:
    """Return a ratio in the form "330 x"."""
    return f"{format_number(ratio)} x"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns: numbers to the right, text and the first column to the left."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(3, *map(len, column)) for column in columns]
    right = [all(re.match(r"[-\d.]|$", cell) for cell in column[1:]) for column in columns]
    lines = [_row(header, widths, right), "|" + "|".join(_rule(w, r) for w, r in zip(widths, right, strict=True)) + "|"]
    return "\n".join([*lines, *(_row(row, widths, right) for row in rows)])


def _row(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    placed = [
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    ]
    return f"| {' | '.join(placed)} |"


def _rule(width: int, right: bool) -> str:
    return "-" * (width + 1) + (":" if right else "-")


def add_write_option(parser: argparse.ArgumentParser) -> None:
    """Add the option --write, which all programs have."""
    parser.add_argument(
        "--write",
        nargs="?",
        const=str(RESULTS),
        metavar="FILE",
        help="also write the results to this file, by default benchmarks/RESULTS.md",
    )


def describe_machine() -> list[str]:
    """Return lines on the processor, the load and the versions of packages, without the names of hosts or folders."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load average before {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return [
        f"{_processor()}, {cores} cores, {platform.system()} {platform.machine()}{load};",
        f"Python {platform.python_version()}, {packages}.",
    ]


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use `count` threads within this context."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass
class Report:
    """The results of a program: printed one by one, and written to RESULTS.md at the end, with the ratios first.

    Args:
        section: the name of its section in RESULTS.md.
        title: the section's heading.

    Attributes:
        ratios: name, measured value and target value of each ratio.
        lines: the other results.
        machine: the description of the machine.
    """

    section: str
    title: str
    ratios: list[tuple[str, str, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    machine: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.machine = textwrap.wrap(" ".join(describe_machine()), PAGE_WIDTH)
        self._print("\n".join([self.title, "", *self.machine]))

    def add_text(self, text: str) -> None:
        """Print and keep a table, or a paragraph with its lines filled."""
        shown = text if text.startswith("|") else textwrap.fill(" ".join(text.split()), PAGE_WIDTH)
        self._print(f"\n{shown}")
        self.lines += ["", shown]

    def add_ratio(self, what: str, found: str, wanted: str = "") -> None:
        """Keep a ratio and its target value."""
        self.ratios.append((what, found, wanted))

    def finish(self, results: str | None) -> None:
        """Print the ratios, and write the section to the file `results` unless it is None."""
        ratios = markdown_table(("", "found", "wanted"), self.ratios)
        self._print(f"\n{ratios}")
        if results is not None:
            # the command in the section leaves out the file, which contains the section
            options = [word for word in sys.argv[1:] if results not in word and word != "--write"]
            words = ["python", f"benchmarks/{Path(sys.argv[0]).name}", *options, "--write"]
            command = f"```console\n{' '.join(words)}\n```"
            parts = [f"## {self.title}", "", command, "", ratios, "", *self.machine, *self.lines]
            write_section(Path(results), self.section, "\n".join(parts))
            self._print(f"\nwritten to {Path(results).name}")

    def _print(self, text: str) -> None:
        print(text, flush=True)


def write_section(path: Path, section: str, body: str) -> None:
    """Write a section of the results, replacing its earlier version."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    known = {name: text.strip() for name, text in re.findall(r"<!-- (\w+) -->\n(.*?)\n<!-- end -->", before, re.S)}
    known[section] = body.strip()
    parts = [f"<!-- {name} -->\n{known[name]}\n<!-- end -->\n" for name in SECTIONS if name in known]
    path.write_text("\n".join([INTRODUCTION, *parts]), encoding="utf-8")
