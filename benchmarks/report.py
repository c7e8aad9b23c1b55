"""Measures `report` on many runs, one in twenty of them damaged: the time from shell to exit, and its peak memory.

The runs are copies of nine short real runs, with different seeds and losses.
"""

import sys
from pathlib import Path

# remove this folder, because its logging.py would hide the module of the standard library
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

from benchmarks import memory_monitor, synthetic
from benchmarks.measure import Measurements, Report, add_write_option, format_number, markdown_table

DEFAULT_RUN = ("updates=2000", "snapshots.every=100")
QUICK_RUN = ("updates=20", "snapshots.every=10")


def main() -> None:
    """Measure and print, and write the results if the command line says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few and short runs: only to check that it works")
    parser.add_argument("--count", type=int, help="the number of runs in the report (10000)")
    parser.add_argument("--runs", type=int, help="the number of measurements (3)")
    add_write_option(parser)
    args = parser.parse_args()
    count, times = args.count or (360 if args.quick else 10_000), args.runs or (1 if args.quick else 3)
    report = Report("report", f"report.py: report on {count:,} runs")
    with TemporaryDirectory() as place:
        originals = synthetic.templates(Path(place), *(QUICK_RUN if args.quick else DEFAULT_RUN))
        written = synthetic.write(Path(place) / "runs", originals, count)
        damaged = ", ".join(f"{many:,} {why}" for why, many in sorted(written.counts().items()))
        report.add_text(
            f"{count:,} runs in {len(written.final)} groups, {format_number(written.size / 1e6)} MB of files:"
            f" {damaged}. Runs of the program: {times}. Memory is the total of all its processes."
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
            took = Measurements(tuple(each))
            memories = str(Measurements(tuple(peaks[name]))) if peaks[name][0] else ""
            rows.append((name, str(took), memories, format_number(1e3 * took.median / count)))
        report.add_text(markdown_table(("", "seconds", "MB", "ms a run"), rows))
        whole = Measurements(tuple(seconds["all of it"]))
        report.add_ratio(
            f"report on {count:,} runs", f"{format_number(whole.median)} s", "at most 120 s" * (count == 10_000)
        )
        if peaks["all of it"][0]:
            peak = Measurements(tuple(peaks["all of it"])).median
            report.add_ratio("peak memory of all its processes", f"{format_number(peak)} MB", "at most 2000 MB")
    report.finish(args.write)


def _measure(place: Path, options: list[str]) -> tuple[float, float]:
    """Return the seconds of the command from shell to exit and its peak memory in MB, 0 if it is unknown."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "reluviz", "report", "runs", *options]
    process = subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL, start_new_session=True)
    monitor = memory_monitor.MemoryMonitor(process.pid, partial(memory_monitor.of_session, process.pid))
    monitor.start()
    status = process.wait()
    took = time.perf_counter() - started
    monitor.stop()
    if status:
        sys.exit(f"the report failed with status {status}")
    return took, monitor.total_peak


def _check(folder: Path, written: synthetic.Tree) -> None:
    """End the program if the medians, or the runs left out, differ from those that were written."""
    with (folder / "table.csv").open(encoding="utf-8", newline="") as file:
        found = [row for row in csv.DictReader(file) if row["metric"] == "loss/test"]
    wanted = sorted((len(losses), float(np.median(losses))) for losses in written.final.values())
    if not np.allclose(sorted((int(row["n"]), float(row["median"])) for row in found), wanted, rtol=1e-12):
        sys.exit("the medians in the report are wrong")
    lines = (folder / "findings.md").read_text(encoding="utf-8").splitlines()
    reported = Counter(why for line in lines for why in written.counts() if line.startswith(f"- {why}: "))
    if reported != written.counts():
        sys.exit(f"the runs left out are {dict(reported)} and should be {dict(written.counts())}")


if __name__ == "__main__":
    main()
