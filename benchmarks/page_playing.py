"""Measures how TensorBoard's tab opens and plays four long runs, in Chromium: the time to open, and that of a frame.

Four runs of 2,000 snapshots each are trained, and shown together. A frame is the time that the page spends to draw all
panels while it plays.
"""

import sys
from pathlib import Path

# remove this folder, because its logging.py would hide the module of the standard library
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import contextlib
import json
import re
import subprocess
import time
from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

from benchmarks.browser import Browser
from benchmarks.measure import Measurements, Report, add_write_option, format_number, markdown_table

RUNS = 4
EVERY = 100
"""Updates from one snapshot to the next."""
SHOWN = "(last) => window.reluvizState?.ready && window.reluvizState.update === last"
TIMEOUT_MILLISECONDS = 120_000
VIEWPORT = {"width": 1600, "height": 900}


def main() -> None:
    """Measure and print, and write the results if the command line says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short: only to check that it works")
    parser.add_argument("--runs", type=int, help="the number of measurements (5)")
    add_write_option(parser)
    args = parser.parse_args()
    times = args.runs or (1 if args.quick else 5)
    snapshots = 50 if args.quick else 2000
    last = EVERY * (snapshots - 1)
    report = Report("page_playing", "page_playing.py: long runs in TensorBoard's tab")
    with TemporaryDirectory() as place, Browser() as browser:
        logs = Path(place)
        for seed in range(RUNS):
            _train(logs, seed, last)
        report.add_text(
            f"Chromium {browser.version}, headless, a window of {VIEWPORT['width']} x {VIEWPORT['height']}."
            f" {RUNS} runs of {snapshots:,} snapshots, W = 20. Measurements: {times}."
        )
        with _tensorboard(logs, last) as address:
            found = [_open_and_play(browser, address, last) for _ in range(times)]
    opened, frame, slow = (Measurements(values) for values in zip(*found, strict=True))
    rows = [("open, s", str(opened)), ("a frame, ms, median", str(frame)), ("a frame, ms, 95 %", str(slow))]
    report.add_text(markdown_table(("", "measured"), rows))
    report.add_ratio(f"{RUNS} runs open", f"{format_number(opened.median)} s", "at most 10 s")
    report.add_ratio("a frame while they play", f"{format_number(frame.median)} ms", "at most 30 ms")
    report.finish(args.write)


def _train(logs: Path, seed: int, last: int) -> None:
    """Train a run with a snapshot every EVERY updates, and at update 1."""
    options = [f"seed={seed}", f"updates={last}", "snapshots=linear", f"snapshots.every={EVERY}", "callbacks=minimal"]
    command = [sys.executable, "-m", "reluviz", "train", "+exp=relu", *options, f"hydra.run.dir=r{seed}"]
    subprocess.run(command, cwd=logs, check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def _tensorboard(logs: Path, last: int) -> Iterator[str]:
    """Run TensorBoard until the end of the block, from when it has read all runs on."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logs), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        address = next(found[0] for line in process.stderr if (found := re.search(r"http://\S+", line)))
        while True:
            with urlopen(f"{address}data/plugin/reluviz/runs") as answer:
                listed = json.load(answer)["runs"]
            if len(listed) == RUNS and all(entry["last"] == last for entry in listed):
                break
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait()


def _open_and_play(browser: Any, address: str, last: int) -> tuple[float, float, float]:
    """Return the seconds until all runs are shown, and the median and 95 % quantile of the milliseconds of a frame."""
    page = browser.new_page(viewport=VIEWPORT)
    page.set_default_timeout(TIMEOUT_MILLISECONDS)
    begun = time.perf_counter()
    names = ",".join(f"r{seed}" for seed in range(RUNS))
    page.goto(f"{address}data/plugin_entry.html?name=reluviz#runs={names}")
    page.wait_for_function(SHOWN, arg=last)
    took = time.perf_counter() - begun
    page.locator(".play").click()
    page.wait_for_timeout(2500)
    frames = page.evaluate("window.reluvizState.frames")
    page.close()
    return took, float(frames["median"]), float(frames["p95"])


if __name__ == "__main__":
    main()
