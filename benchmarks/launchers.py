"""Sweeps of short runs by each launcher: from shell to exit, and the memory of all their processes.

Of many runs in one process, `none` of more than 200 jobs, also what a run costs beyond making its updates, and by how
much the process grows after the first 100.

`none` and `joblib` run here. With --clusters Slurm and Ray are started for it, with two nodes of one core each: needs
root, the extras `slurm` and `ray`, and what tests/cli/clusters/slurm.py names.
"""

import sys
from pathlib import Path

# Not this folder: its file logging.py would take the place of the standard library's.
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

from benchmarks.measure import Report, Times, figure, in_turn, table, times, writes
from benchmarks.tree import Watched, of_session

PAGE = Path(__file__).parents[1] / "docs" / "sweeps.md"
TRAIN = (sys.executable, "-m", "reluviz", "train", "-m", "+exp=relu", "callbacks=minimal")
FIRST = 100
"""Jobs after which a process in which nothing is kept has its size."""
MOST = {"slurm": 100}
"""Jobs beyond which a launcher is not measured: each of Slurm's is a process, which imports torch before it trains."""
MOST_MS = 250
MOST_GROWTH = 10
MARKS = re.compile(r"(?<=<!-- launchers -->\n).*?(?=<!-- end -->)", re.S)


@dataclass(frozen=True)
class Place:
    """Where a launcher's sweeps are measured.

    Attributes:
        start: starts a command, in a folder.
        pids: of a command that has been started, and of all that works for it.
    """

    start: Callable[[Sequence[str], Path, int], "subprocess.Popen[bytes]"]
    pids: Callable[[int], Iterable[int]]


@dataclass(frozen=True)
class Swept:
    """What a sweep took.

    Attributes:
        leads: memory of the process that was started, at most, in MB.
        all: of all processes together.
        beyond: milliseconds of each job but the first in which no updates were made, from the end of the one before.
        growth: of the process that was started, from after the first jobs to the last, as a part; None of few jobs.
    """

    leads: float
    all: float
    beyond: list[float]
    growth: float | None


def main() -> None:
    """Measure, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", default="8,100,1000", help="of each sweep (8,100,1000)")
    parser.add_argument("--launchers", default="none,joblib", help="to be measured here (none,joblib)")
    parser.add_argument("--clusters", action="store_true", help="Slurm and Ray too")
    parser.add_argument("--updates", type=int, default=300, help="of each job (300)")
    parser.add_argument("--runs", type=int, default=1, help="of each sweep (1)")
    parser.add_argument("--quick", action="store_true", help="sweeps of 2 jobs: only to see that it works")
    parser.add_argument("--page", action="store_true", help="put the table into docs/sweeps.md")
    writes(parser)
    args = parser.parse_args()
    counts = [2] if args.quick else [int(word) for word in args.jobs.split(",")]
    report = Report("launchers", "launchers.py: sweeps of short runs by each launcher")
    report.say(
        f"`train -m +exp=relu updates={args.updates} callbacks=minimal seed=range(N)`, N jobs, from shell to exit; the"
        " greatest memory of the process that was started, and of all that worked for it together. The clusters'"
        f" own programs are not counted, nor the time to start them. Runs of each, in turn: {args.runs}."
    )
    with ExitStack() as stack:
        places = {name: Place(_here, of_session) for name in args.launchers.split(",")}
        if args.clusters:
            places |= _clusters(stack)
        rows = []
        for jobs in counts:
            swept: dict[str, list[Swept]] = {name: [] for name in places}
            measured = {
                name: lambda name=name, jobs=jobs, kept=kept: _sweep(name, places[name], jobs, args.updates, kept)
                for name, kept in swept.items()
                if jobs <= MOST.get(name, jobs)
            }
            took = in_turn(args.runs, measured)
            rows += [_row(jobs, name, took[name], swept[name]) for name in took]
            rows += [[f"{jobs:,}", name, *4 * "-"] for name in places if name not in took]
            _ratios(report, jobs, took)
            _one_process(report, jobs, swept.get("none", []))
    if any("-" in row for row in rows):
        report.say("A dash: not measured. What Slurm takes grows with the number of jobs, each of which is a process.")
    found = table(("jobs", "launcher", "seconds", "ms a job", "MB, first process", "MB, all"), rows)
    report.say(found)
    report.close(args.write)
    if args.page:
        fill(PAGE, found)


def fill(page: Path, found: str) -> None:
    """Put a table between the marks of a page."""
    text = page.read_text(encoding="utf-8")
    # a function: a backslash of the table's is none of the pattern's
    page.write_text(MARKS.sub(lambda _: f"{found}\n", text, count=1), encoding="utf-8")


def _row(jobs: int, name: str, took: Times, swept: Sequence[Swept]) -> list[str]:
    peaks = max(one.leads for one in swept), max(one.all for one in swept)
    shown = [figure(one) if one else "" for one in peaks]
    return [f"{jobs:,}", name, str(took), figure(1e3 * took.median / jobs), *shown]


def _ratios(report: Report, jobs: int, took: dict[str, Times]) -> None:
    for name in took:
        if name != "none" and "none" in took:
            report.ratio(f"none / {name}, {jobs:,} jobs", times(took["none"].median / took[name].median))


def _one_process(report: Report, jobs: int, swept: Sequence[Swept]) -> None:
    growths = [one.growth for one in swept if one.growth is not None]
    if not growths:
        return
    beyond = Times(tuple(ms for one in swept for ms in one.beyond))
    report.say(
        f"none, {jobs:,} jobs in one process: {beyond.quartiles()} ms a job, median and quartiles, in which no updates"
        f" are made, from the end of the job before it to its own. Growth is that of the process's memory from the"
        f" {FIRST // 2} jobs after the first {FIRST} to the last {FIRST // 2}."
    )
    report.ratio(f"none, {jobs:,} jobs: beyond making updates", f"{figure(beyond.median)} ms", f"at most {MOST_MS} ms")
    growth = f"{100 * max(growths):.1f} %"
    report.ratio(f"none, {jobs:,} jobs: growth after the first {FIRST}", growth, f"at most {MOST_GROWTH} %")


def _growth(watched: Watched, ends: Sequence[float]) -> float | None:
    if len(ends) < 2 * FIRST + 1:
        return None
    spans = (ends[FIRST - 1], ends[FIRST + FIRST // 2]), (ends[-FIRST // 2], ends[-1])
    early, late = (watched.between(*span) for span in spans)
    return statistics.median(late) / statistics.median(early) - 1 if early and late else None


def _sweep(name: str, place: Place, jobs: int, updates: int, kept: list[Swept]) -> float:
    """Return the seconds of a sweep, and keep what else it took."""
    with TemporaryDirectory() as folder, TemporaryFile() as output:
        words = [f"launcher={name}", f"updates={updates}", f"seed=range({jobs})", "hydra.sweep.dir=sweep"]
        started = time.perf_counter()
        process = place.start([*TRAIN, *words], Path(folder), output.fileno())
        watched = Watched(process.pid, lambda: place.pids(process.pid))
        watched.start()
        process.wait()
        took = time.perf_counter() - started
        watched.stop()
        output.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(words)}: exit status {process.returncode}\n{output.read().decode()}")
        files = sorted(Path(folder).glob("sweep/*/metrics.json"), key=lambda path: path.stat().st_mtime)
        ends = [path.stat().st_mtime for path in files]
        metrics = [json.loads(path.read_text()) for path in files]
    ended = [one["status"] for one in metrics]
    if ended != ["finished"] * jobs:
        sys.exit(f"{' '.join(words)}: {ended.count('finished')} of {jobs} jobs have finished")
    engine = [one["seconds"]["engine"] for one in metrics]
    beyond = [1e3 * (end - before - made) for (before, end), made in zip(pairwise(ends), engine[1:], strict=True)]
    kept.append(Swept(watched.leads, watched.all, beyond, _growth(watched, ends)))
    return took


def _here(words: Sequence[str], folder: Path, output: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(words, cwd=folder, stdout=output, stderr=output, start_new_session=True)


def _clusters(stack: ExitStack) -> dict[str, Place]:
    from tests.clusters.cluster import Cluster
    from tests.clusters.ray_cluster import ray_cluster
    from tests.clusters.slurm import slurm_cluster

    def place(cluster: Cluster) -> Place:
        def start(words: Sequence[str], folder: Path, output: int) -> "subprocess.Popen[bytes]":
            return subprocess.Popen(
                cluster.command(*words), env=cluster.environment, cwd=folder, stdout=output, stderr=output
            )

        return Place(start, lambda _: cluster.guests())

    places = {}
    for name, cluster in (("slurm", slurm_cluster), ("ray", ray_cluster)):
        folder = stack.enter_context(TemporaryDirectory(prefix="cl"))
        places[name] = place(stack.enter_context(cluster(Path(folder))))
    return places


if __name__ == "__main__":
    main()
