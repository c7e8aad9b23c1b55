"""Repeated timing, the machine it happened on, and figures as Markdown tables of at most 80 columns."""

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
SECTIONS = ("course", "optimizers", "first", "engines", "replicas", "logging", "report", "launchers")
"""The order of sections in the results, whichever is measured first."""
INTRODUCTION = """\
# How fast

Written by the programs in this folder; each section names the command that
renews it. A figure is the median over the runs, with the smallest and the
largest in brackets; k stands for thousands. A ratio is one of medians that were
measured in turn. The *plain loop* is the obvious PyTorch program:
`nn.Sequential`, `torch.optim`, one minibatch at a time, with as many threads as
suit it better, one or torch's default.
"""
PACKAGES = ("torch", "lightning", "numba", "numpy", "tensorboard", "reluviz")
WIDTH = 80
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Times:
    """Seconds, or whatever was measured, of each run."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median over the runs."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        return f"{figure(self.median)} ({figure(min(self.values))}-{figure(max(self.values))})"

    def quartiles(self) -> str:
        """Return the median with the quartiles in brackets, for many values of which some always stand out."""
        low, _, high = (
            statistics.quantiles(self.values, n=4, method="inclusive") if len(self.values) > 1 else self.values * 3
        )
        return f"{figure(self.median)} ({figure(low)}-{figure(high)})"

    def __mul__(self, factor: float) -> "Times":
        return Times(tuple(value * factor for value in self.values))


def in_turn(runs: int, measured: Mapping[K, Callable[[], float]]) -> dict[K, Times]:
    """Measure one after the other, `runs` times over, so that a machine that slows down does so for all."""
    found: dict[K, list[float]] = {name: [] for name in measured}
    for _ in range(runs):
        for name, measure in measured.items():
            found[name].append(measure())
    return {name: Times(tuple(values)) for name, values in found.items()}


def updates_that_take(seconds: float, run: Callable[[int], float]) -> int:
    """Return how many updates take about so long; at least 1. `run` makes some and returns its seconds."""
    # the first call compiles and allocates
    run(1)
    updates, took = 1, run(1)
    while took < seconds / 4:
        updates *= max(2, min(50, int(seconds / 3 / max(took, 1e-9))))
        took = run(updates)
    return max(1, round(updates * seconds / took))


def finite(loss: float, what: str) -> None:
    """End the program where a loss is not finite: what has diverged may well be faster."""
    if not math.isfinite(loss):
        sys.exit(f"{what}: the loss is {loss}; the step size is too large")


def figure(value: float) -> str:
    """Return a number with three digits: 0.0457, 3.00, 330, 2,170, 12.3k."""
    if abs(value) >= 9999.5:
        return f"{value / 1e3:#.3g}k" if abs(value) < 99_950 else f"{value / 1e3:,.0f}k"
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def times(ratio: float) -> str:
    """Return a ratio as in "330 x"."""
    return f"{figure(ratio)} x"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns are aligned; the first column, and words, to the left."""
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


def writes(parser: argparse.ArgumentParser) -> None:
    """Add the option that all programs have."""
    parser.add_argument(
        "--write",
        nargs="?",
        const=str(RESULTS),
        metavar="FILE",
        help="put the figures into this file too, by default benchmarks/RESULTS.md",
    )


def machine() -> list[str]:
    """Return what the figures depend on, in lines; neither names nor folders."""
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
def threads(count: int) -> Iterator[None]:
    """Let torch use so many threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass
class Report:
    """What a program found: printed as it comes, and kept for RESULTS.md with the ratios first.

    Args:
        section: its section there.
        title: the section's heading.
    """

    section: str
    title: str
    ratios: list[tuple[str, str, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.started = textwrap.wrap(" ".join(machine()), WIDTH)
        self._print("\n".join([self.title, "", *self.started]))

    def say(self, text: str) -> None:
        """Print and keep a paragraph, filled to the width of a page, or a table as it is."""
        shown = text if text.startswith("|") else textwrap.fill(" ".join(text.split()), WIDTH)
        self._print(f"\n{shown}")
        self.lines += ["", shown]

    def ratio(self, what: str, found: str, wanted: str = "") -> None:
        """Keep a ratio, with what the project wants it to be."""
        self.ratios.append((what, found, wanted))

    def close(self, results: str | None) -> None:
        """Print the ratios; write the section where that is asked for."""
        ratios = table(("", "found", "wanted"), self.ratios)
        self._print(f"\n{ratios}")
        if results is not None:
            # what the section is written to is known to whoever reads it
            options = [word for word in sys.argv[1:] if results not in word and word != "--write"]
            words = ["python", f"benchmarks/{Path(sys.argv[0]).name}", *options, "--write"]
            command = f"```console\n{' '.join(words)}\n```"
            parts = [f"## {self.title}", "", command, "", ratios, "", *self.started, *self.lines]
            write(Path(results), self.section, "\n".join(parts))
            self._print(f"\nwritten to {Path(results).name}")

    def _print(self, text: str) -> None:
        print(text, flush=True)


def write(path: Path, section: str, body: str) -> None:
    """Put a section into the results, in the place of an earlier one."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    known = {name: text.strip() for name, text in re.findall(r"<!-- (\w+) -->\n(.*?)\n<!-- end -->", before, re.S)}
    known[section] = body.strip()
    parts = [f"<!-- {name} -->\n{known[name]}\n<!-- end -->\n" for name in SECTIONS if name in known]
    path.write_text("\n".join([INTRODUCTION, *parts]), encoding="utf-8")
