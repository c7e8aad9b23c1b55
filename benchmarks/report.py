"""What `report` takes for many runs, one in twenty damaged: time from shell to exit, and memory of all its processes.

The runs are copies of nine short real ones, with seeds and losses of their own.
"""

import sys
from pathlib import Path

# Not this folder: its file logging.py would take the place of the standard library's.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import csv
import subprocess
import time
from collections import Counter
from functools import partial
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks import synthetic, tree
from benchmarks.measure import Report, Times, figure, table, writes

SHORT = ("updates=2000", "snapshots.every=100")
QUICK = ("updates=20", "snapshots.every=10")


def main() -> None:
    """Measure, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few and short runs: only to see that it works")
    parser.add_argument("--count", type=int, help="how many runs there are to report on (10000)")
    parser.add_argument("--runs", type=int, help="how often it is measured (3)")
    writes(parser)
    args = parser.parse_args()
    count, times = args.count or (360 if args.quick else 10_000), args.runs or (1 if args.quick else 3)
    report = Report("report", f"report.py: report on {count:,} runs")
    with TemporaryDirectory() as place:
        originals = synthetic.templates(Path(place), *(QUICK if args.quick else SHORT))
        written = synthetic.write(Path(place) / "runs", originals, count)
        damaged = ", ".join(f"{many:,} {why}" for why, many in sorted(written.counts().items()))
        report.say(
            f"{count:,} runs in {len(written.final)} groups, {figure(written.size / 1e6)} MB of files: {damaged}. Runs"
            f" of the program: {times}. Memory is that of all its processes together."
        )
        rows = []
        seconds: dict[str, list[float]] = {}
        peaks: dict[str, list[float]] = {}
        for _ in range(times):
            for name, options in {"all of it": [], "without pictures": ["--pictures", "none"]}.items():
                took, peak = _measure(Path(place), options)
                seconds.setdefault(name, []).append(took)
                peaks.setdefault(name, []).append(peak)
                _check(Path(place) / "runs" / "report", written)
        for name, each in seconds.items():
            took = Times(tuple(each))
            memories = str(Times(tuple(peaks[name]))) if peaks[name][0] else ""
            rows.append((name, str(took), memories, figure(1e3 * took.median / count)))
        report.say(table(("", "seconds", "MB", "ms a run"), rows))
        whole = Times(tuple(seconds["all of it"]))
        report.ratio(f"report on {count:,} runs", f"{figure(whole.median)} s", "at most 120 s" * (count == 10_000))
        if peaks["all of it"][0]:
            peak = Times(tuple(peaks["all of it"])).median
            report.ratio("peak memory of all its processes", f"{figure(peak)} MB", "at most 2000 MB")
    report.close(args.write)


def _measure(place: Path, options: list[str]) -> tuple[float, float]:
    """Return seconds and peak memory in MB of the verb, from shell to exit; of memory 0 where it is not known."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "reluviz", "report", "runs", *options]
    process = subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL, start_new_session=True)
    watched = tree.Watched(process.pid, partial(tree.of_session, process.pid))
    watched.start()
    status = process.wait()
    took = time.perf_counter() - started
    watched.stop()
    if status:
        sys.exit(f"the report failed with status {status}")
    return took, watched.all


def _check(folder: Path, written: synthetic.Tree) -> None:
    """End the program where the table or the runs left out are not those that were written."""
    with (folder / "table.csv").open(encoding="utf-8", newline="") as file:
        found = [row for row in csv.DictReader(file) if row["metric"] == "loss/test"]
    wanted = sorted((len(losses), float(np.median(losses))) for losses in written.final.values())
    if not np.allclose(sorted((int(row["n"]), float(row["median"])) for row in found), wanted, rtol=1e-12):
        sys.exit("the medians are not those of the runs")
    lines = (folder / "findings.md").read_text(encoding="utf-8").splitlines()
    said = Counter(why for line in lines for why in written.counts() if line.startswith(f"- {why}: "))
    if said != written.counts():
        sys.exit(f"the runs left out are {dict(said)} and should be {dict(written.counts())}")


if __name__ == "__main__":
    main()
