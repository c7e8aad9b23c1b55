"""Measures sweeps of short runs with each launcher: the time from shell to exit, and the memory of all processes.

For more than 200 jobs in one process (launcher `none`), it also measures the time of a job beyond making its updates,
and how much the memory of the process grows after the first 100 jobs.

By default it measures `none` and `joblib`. With --clusters it also starts Slurm and Ray with two nodes of one core
each; this needs root, the extras `slurm` and `ray`, and the programs that tests/cli/clusters/slurm.py names.
"""

import sys
from pathlib import Path

# remove this folder, because its logging.py would hide the module of the standard library
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import json
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from tempfile import TemporaryDirectory, TemporaryFile

from benchmarks.measure import (
    Measurements,
    Report,
    add_write_option,
    format_number,
    format_ratio,
    in_turn,
    markdown_table,
)
from benchmarks.memory_monitor import MemoryMonitor, of_session

PAGE = Path(__file__).parents[1] / "docs" / "sweeps.md"
TRAIN = (sys.executable, "-m", "reluviz", "train", "-m", "+exp=relu", "callbacks=minimal")
FIRST = 100
"""The number of jobs after which the memory of a process should stay constant."""
MAX_JOBS = {"slurm": 100}
"""The most jobs for a launcher. Each job of Slurm is a process that imports torch before it trains."""
MAX_OVERHEAD_MS = 250
MAX_GROWTH_PERCENT = 10
MARKS = re.compile(r"(?<=<!-- launchers -->\n).*?(?=<!-- end -->)", re.S)


@dataclass(frozen=True)
class Place:
    """How to start and monitor a launcher's sweeps, on this machine or on a cluster.

    Attributes:
        start: starts a command in a folder, with its output written to a file descriptor.
        pids: returns the ids of all processes that work for the started command, given its process id.
    """

    start: Callable[[Sequence[str], Path, int], "subprocess.Popen[bytes]"]
    pids: Callable[[int], Iterable[int]]


@dataclass(frozen=True)
class SweepResult:
    """The memory of a sweep, and the time of its jobs beyond making updates.

    Attributes:
        leader_peak: the peak memory of the process that was started, in MB.
        total_peak: the peak memory of all processes together, in MB.
        overheads: for each job but the first, the milliseconds from the end of the job before to its own end, without
            the time of its updates.
        growth: the relative growth of the started process's memory from the first jobs to the last; None if there are
            too few jobs.
    """

    leader_peak: float
    total_peak: float
    overheads: list[float]
    growth: float | None


def main() -> None:
    """Measure and print, and write the results if the command line says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", default="8,100,1000", help="numbers of jobs of the sweeps (8,100,1000)")
    parser.add_argument("--launchers", default="none,joblib", help="launchers on this machine (none,joblib)")
    parser.add_argument("--clusters", action="store_true", help="also measure Slurm and Ray")
    parser.add_argument("--updates", type=int, default=300, help="updates of each job (300)")
    parser.add_argument("--runs", type=int, default=1, help="runs of each sweep (1)")
    parser.add_argument("--quick", action="store_true", help="sweeps of 2 jobs: only to check that it works")
    parser.add_argument("--page", action="store_true", help="also write the table into docs/sweeps.md")
    add_write_option(parser)
    args = parser.parse_args()
    counts = [2] if args.quick else [int(word) for word in args.jobs.split(",")]
    report = Report("launchers", "launchers.py: sweeps of short runs by each launcher")
    report.add_text(
        f"`train -m +exp=relu updates={args.updates} callbacks=minimal seed=range(N)` with N jobs: the time from shell"
        " to exit, the peak memory of the process that was started, and the peak memory of all processes of the sweep"
        " together. The memory of the clusters' own programs and the time to start them do not count. Runs of each, in"
        f" turn: {args.runs}."
    )
    with ExitStack() as stack:
        places = {name: Place(_start, of_session) for name in args.launchers.split(",")}
        if args.clusters:
            places |= _clusters(stack)
        rows = []
        for jobs in counts:
            swept: dict[str, list[SweepResult]] = {name: [] for name in places}
            measured = {
                name: lambda name=name, jobs=jobs, kept=kept: _sweep(name, places[name], jobs, args.updates, kept)
                for name, kept in swept.items()
                if jobs <= MAX_JOBS.get(name, jobs)
            }
            took = in_turn(args.runs, measured)
            rows += [_row(jobs, name, took[name], swept[name]) for name in took]
            rows += [[f"{jobs:,}", name, *4 * "-"] for name in places if name not in took]
            _ratios(report, jobs, took)
            _one_process(report, jobs, swept.get("none", []))
    if any("-" in row for row in rows):
        report.add_text(
            "A dash: not measured. Slurm starts a process for each job, so its time grows with the number of jobs."
        )
    found = markdown_table(("jobs", "launcher", "seconds", "ms a job", "MB, first process", "MB, all"), rows)
    report.add_text(found)
    report.finish(args.write)
    if args.page:
        fill(PAGE, found)


def fill(page: Path, found: str) -> None:
    """Write a table between the marks of a page."""
    text = page.read_text(encoding="utf-8")
    # a function, because backslashes of a replacement string would be interpreted
    page.write_text(MARKS.sub(lambda _: f"{found}\n", text, count=1), encoding="utf-8")


def _row(jobs: int, name: str, took: Measurements, swept: Sequence[SweepResult]) -> list[str]:
    peaks = max(result.leader_peak for result in swept), max(result.total_peak for result in swept)
    shown = [format_number(peak) if peak else "" for peak in peaks]
    return [f"{jobs:,}", name, str(took), format_number(1e3 * took.median / jobs), *shown]


def _ratios(report: Report, jobs: int, took: dict[str, Measurements]) -> None:
    for name in took:
        if name != "none" and "none" in took:
            report.add_ratio(f"none / {name}, {jobs:,} jobs", format_ratio(took["none"].median / took[name].median))


def _one_process(report: Report, jobs: int, swept: Sequence[SweepResult]) -> None:
    growths = [result.growth for result in swept if result.growth is not None]
    if not growths:
        return
    overhead = Measurements(tuple(ms for result in swept for ms in result.overheads))
    report.add_text(
        f"none, {jobs:,} jobs in one process: from the end of a job to the end of the next one, {overhead.quartiles()}"
        " ms, median and quartiles, pass without making updates. Growth is the growth of the process's memory from the"
        f" {FIRST // 2} jobs after the first {FIRST} to the last {FIRST // 2}."
    )
    found, target = f"{format_number(overhead.median)} ms", f"at most {MAX_OVERHEAD_MS} ms"
    report.add_ratio(f"none, {jobs:,} jobs: beyond making updates", found, target)
    growth = f"{100 * max(growths):.1f} %"
    report.add_ratio(f"none, {jobs:,} jobs: growth after the first {FIRST}", growth, f"at most {MAX_GROWTH_PERCENT} %")


def _growth(monitor: MemoryMonitor, ends: Sequence[float]) -> float | None:
    if len(ends) < 2 * FIRST + 1:
        return None
    spans = (ends[FIRST - 1], ends[FIRST + FIRST // 2]), (ends[-FIRST // 2], ends[-1])
    early, late = (monitor.between(*span) for span in spans)
    return statistics.median(late) / statistics.median(early) - 1 if early and late else None


def _sweep(name: str, place: Place, jobs: int, updates: int, kept: list[SweepResult]) -> float:
    """Return the seconds of a sweep, and append its other results to `kept`."""
    with TemporaryDirectory() as folder, TemporaryFile() as output:
        words = [f"launcher={name}", f"updates={updates}", f"seed=range({jobs})", "hydra.sweep.dir=sweep"]
        started = time.perf_counter()
        process = place.start([*TRAIN, *words], Path(folder), output.fileno())
        monitor = MemoryMonitor(process.pid, lambda: place.pids(process.pid))
        monitor.start()
        process.wait()
        took = time.perf_counter() - started
        monitor.stop()
        output.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(words)}: exit status {process.returncode}\n{output.read().decode()}")
        files = sorted(Path(folder).glob("sweep/*/metrics.json"), key=lambda path: path.stat().st_mtime)
        ends = [path.stat().st_mtime for path in files]
        metrics = [json.loads(path.read_text()) for path in files]
    statuses = [result["status"] for result in metrics]
    if statuses != ["finished"] * jobs:
        sys.exit(f"{' '.join(words)}: {statuses.count('finished')} of {jobs} jobs have finished")
    engine = [result["seconds"]["engine"] for result in metrics]
    overheads = [1e3 * (end - before - made) for (before, end), made in zip(pairwise(ends), engine[1:], strict=True)]
    kept.append(SweepResult(monitor.leader_peak, monitor.total_peak, overheads, _growth(monitor, ends)))
    return took


def _start(words: Sequence[str], folder: Path, output: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(words, cwd=folder, stdout=output, stderr=output, start_new_session=True)


def _clusters(stack: ExitStack) -> dict[str, Place]:
    from tests.cli.clusters.cluster import Cluster
    from tests.cli.clusters.ray_cluster import ray_cluster
    from tests.cli.clusters.slurm import slurm_cluster

    def place(cluster: Cluster) -> Place:
        def start(words: Sequence[str], folder: Path, output: int) -> "subprocess.Popen[bytes]":
            return subprocess.Popen(
                cluster.command(*words), env=cluster.environment, cwd=folder, stdout=output, stderr=output
            )

        return Place(start, lambda _: cluster.job_processes())

    places = {}
    for name, cluster in (("slurm", slurm_cluster), ("ray", ray_cluster)):
        folder = stack.enter_context(TemporaryDirectory(prefix="cl"))
        places[name] = place(stack.enter_context(cluster(Path(folder))))
    return places


if __name__ == "__main__":
    main()
