"""Measures what large runs take: peak memory with 10^7 points and with a snapshot after every update, and the processor
time of the reference values of 10^6 points. It also compares the printed time with that from shell to exit.

The peak of the process that was started is the kernel's own figure. That of all processes together is measured from
outside at intervals, on Linux only.
"""

import sys
from pathlib import Path

# remove this folder, because its logging.py would hide the module of the standard library
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryDirectory, TemporaryFile

from benchmarks import memory_monitor, peak_memory
from benchmarks.measure import Report, add_write_option, format_number, markdown_table

FILE = "points.npz"
WRITE_POINTS = """
import sys
import numpy as np
generator = np.random.default_rng(0)
x = generator.random(int(sys.argv[2]))
np.savez(sys.argv[1], x=x, y=np.sin(6 * x) + 0.1 * generator.standard_normal(len(x)))
"""
"""In a process of its own: the kernel counts the peak of a process to that of each process that it starts."""
MAX_FILE_MB, MAX_QUEUE_MB, MAX_SECONDS, MAX_DIFFERENCE = 1800, 700, 1, 0.3


@dataclass(frozen=True)
class Took:
    """What a command took.

    Attributes:
        seconds: from shell to exit.
        printed: the seconds that it printed.
        leader_peak: the peak memory of the process that was started, in MB.
        total_peak: the peak memory of all its processes together, in MB; 0 if it is unknown.
    """

    seconds: float
    printed: float
    leader_peak: float
    total_peak: float


def main() -> None:
    """Measure and print, and write the results if the command line says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few points and updates: only to check that it works")
    add_write_option(parser)
    args = parser.parse_args()
    points, updates, samples = (10**4, 200, 10**4) if args.quick else (10**7, 20_000, 10**6)
    cases = {
        f"{points:,} points, {sampler}": ["data=file", f"data.path={FILE}", f"sampler={sampler}", "updates=2000"]
        for sampler in ("full", "with_replacement")
    }
    every = f"{updates:,} snapshots"
    cases[every] = ["snapshots.every=1", f"updates={updates}"]
    report = Report("memory", "memory.py: what large runs take")
    report.add_text(
        "`train +exp=relu` on an NPZ file of float64 numbers, and with a snapshot after every update. MB is the peak"
        " memory of the process that was started, and of all its processes together."
    )
    with TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", WRITE_POINTS, str(Path(folder) / FILE), str(points)], check=True)
        found = {name: _train(Path(folder), words) for name, words in cases.items()}
    rows = [
        (name, *map(format_number, (took.seconds, took.printed, took.leader_peak, took.total_peak)))
        for name, took in found.items()
    ]
    report.add_text(markdown_table(("", "seconds", "printed", "MB", "MB, all"), rows))
    for name, took in found.items():
        limit = MAX_QUEUE_MB if name == every else MAX_FILE_MB
        peak = max(took.leader_peak, took.total_peak)
        report.add_ratio(f"{name}: peak memory", f"{format_number(peak)} MB", f"at most {limit} MB")
    difference = max(abs(took.seconds - took.printed) for took in found.values())
    report.add_ratio("printed and real time differ", f"{format_number(difference)} s", f"at most {MAX_DIFFERENCE} s")
    used = f"{format_number(_reference_seconds(samples))} s"
    report.add_ratio(f"reference values of {samples:,} points, processor time", used, f"at most {MAX_SECONDS} s")
    report.finish(args.write)


def _reference_seconds(samples: int) -> float:
    """Return the processor time of the reference values of a network of width 20."""
    # torch would count to the memory of the runs
    from reluviz.core.theory.baselines import reference_values
    from reluviz.data import piecewise_linear
    from reluviz.models import ReLUModule

    data, parameters = piecewise_linear(n=samples), ReLUModule(width=20).parameter_copies()
    started = time.process_time()
    reference_values("relu", parameters, data, None)
    return time.process_time() - started


def _train(folder: Path, words: Sequence[str]) -> Took:
    """Return what a run took."""
    with TemporaryFile() as output:
        started = time.perf_counter()
        command = [sys.executable, "-m", "reluviz", "train", "+exp=relu", *words]
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, start_new_session=True)
        monitor = memory_monitor.MemoryMonitor(process.pid, partial(memory_monitor.of_session, process.pid))
        monitor.start()
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        monitor.stop()
        output.seek(0)
        text = output.read().decode()
    printed = re.search(r"^time +(?:(\d+) min )?([0-9.]+) s", text, re.MULTILINE)
    if process.returncode or printed is None:
        sys.exit(f"{' '.join(words)}: exit status {process.returncode}\n{text}")
    seconds = 60 * int(printed[1] or 0) + float(printed[2])
    return Took(took, seconds, peak_memory.to_mb(usage.ru_maxrss), monitor.total_peak)


if __name__ == "__main__":
    main()
