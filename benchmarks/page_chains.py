"""Measures the page of a long run of a chain of several layers, in Chromium: until it opens, and its played frames.

The run is not trained: its parameters move from one random chain to another. A page keeps the parameters of as many
snapshots as 32 MB hold, and the kinks of all snapshots.
"""

import sys
from pathlib import Path

# remove this folder, because its logging.py would hide the module of the standard library
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import time
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.browser import Browser
from benchmarks.measure import Report, add_write_option
from reluviz.analysis.payload import payload
from reluviz.analysis.run_arrays import RunArrays
from reluviz.core.models.architecture import Architecture
from reluviz.data import piecewise_linear
from reluviz.tab import html_file

TIMEOUT_MILLISECONDS = 120_000
VIEWPORT = {"width": 1400, "height": 900}
FRAME_GOAL, OPEN_GOAL = 8, 3
PLAY = """(seconds) => new Promise((resolve) => {
  document.querySelector(".play").click();
  setTimeout(() => resolve([window.reluvizState.frames, window.reluvizState.kinks.length]), 1000 * seconds);
})"""


def main() -> None:
    """Measure and print, and write the results if the command line says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short: only to check that it works")
    parser.add_argument("--runs", type=int, help="the number of measurements (5)")
    parser.add_argument("--snapshots", type=int, help="of the run (2,000)")
    add_write_option(parser)
    args = parser.parse_args()
    times = args.runs or (1 if args.quick else 5)
    snapshots = args.snapshots or (30 if args.quick else 2_000)
    hidden = (6, 6) if args.quick else (50, 50, 50)
    report = Report("page_chains", "page_chains.py: the page of a chain of several layers")
    with TemporaryDirectory() as place, Browser() as browser:
        path = Path(place) / "page.html"
        path.write_text(html_file.html({"chain": payload(_run(Architecture(hidden), snapshots))}), "utf-8")
        found = [_measure(browser, path, 1 if args.quick else 5) for _ in range(times)]
        opened, middle, late, spent, kinks = (median(one[i] for one in found) for i in range(5))
        report.add_text(
            f"Chromium {browser.version}, headless, a window of {VIEWPORT['width']} x {VIEWPORT['height']}. A chain of"
            f" {' + '.join(map(str, hidden))} ReLUs, {snapshots:,} snapshots, N = 200; the page has"
            f" {path.stat().st_size / 1e6:.1f} MB. Runs: {times}."
        )
        report.add_ratio("from navigation to the first drawing", f"{opened:.2f} s", f"at most {OPEN_GOAL} s")
        report.add_ratio("script of a played frame, median", f"{middle:.1f} ms", "-")
        report.add_ratio("script of a played frame, 95th percentile", f"{late:.1f} ms", f"at most {FRAME_GOAL} ms")
        report.add_ratio("script of a played frame, processor time, mean", f"{spent:.1f} ms", "-")
        report.add_ratio("kinks at the end of the play", f"{kinks:.0f}", "-")
    report.finish(args.write)


def _run(architecture: Architecture, snapshots: int) -> RunArrays:
    """Return a run whose parameters move from one random chain to another."""
    start, end = (_random_chain(architecture, seed) for seed in (0, 1))
    way = np.linspace(0, 1, snapshots)[:, None]
    rows = (np.cos(way) * start + np.sin(way) * end).astype(np.float32)
    data = piecewise_linear()
    updates = 50 * np.arange(snapshots, dtype=np.int64)
    losses = {"loss/train": (updates, 1 / (1.0 + updates)), "loss/test": (updates, 1 / (2.0 + updates))}
    return RunArrays(
        folder=Path("chain"),
        name="chain",
        model=architecture.name,
        data=data,
        recorded=np.arange(len(data.x)),
        seeds=(0,),
        trained=tuple(architecture.shapes),
        settings={},
        metrics=None,
        updates=updates,
        walls=updates.astype(np.float64),
        rows=rows[:, None],
        fields=tuple((name, int(np.prod(shape))) for name, shape in architecture.shapes.items()),
        votes=np.zeros((snapshots, 1, 3, len(data.x)), np.float32),
        recorded_scalars=losses,
    )


def _random_chain(architecture: Architecture, seed: int) -> Any:
    """Return the parameters of a random chain with many kinks on [0, 1], [P]."""
    random = np.random.default_rng(seed)
    parts = []
    before = 0
    for (weight, bias), width in zip(architecture.names[:-1], architecture.hidden, strict=True):
        first = before == 0
        w = random.normal(size=architecture.shapes[weight]) * (3 if first else np.sqrt(2 / before))
        parts += [w, -w * random.uniform(size=width) if first else 0.3 * random.normal(size=architecture.shapes[bias])]
        before = width
    parts += [random.normal(size=before) * np.sqrt(2 / before), np.zeros(())]
    return np.concatenate([part.reshape(-1) for part in parts])


def _measure(browser: Any, path: Path, seconds: float) -> tuple[float, float, float, float, int]:
    """Return the seconds until the page is drawn, the frames of its play, and the number of kinks at the end.

    Frames are the median and the 95th percentile of their script in milliseconds, and the mean of its processor time,
    which other programs on the machine disturb less.
    """
    page = browser.new_page(viewport=VIEWPORT)
    page.set_default_timeout(TIMEOUT_MILLISECONDS)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    begun = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_function("window.reluvizState?.ready")
    opened = time.perf_counter() - begun
    page.wait_for_function("window.reluvizState.kinksDrawn?.missing === 0")
    before = _script_seconds(session)
    frames, kinks = page.evaluate(PLAY, seconds)
    spent = 1000 * (_script_seconds(session) - before) / max(1, frames["count"])
    page.close()
    return opened, frames["median"], frames["p95"], spent, kinks


def _script_seconds(session: Any) -> float:
    """Return the processor time of all scripts of a page so far."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "ScriptDuration"))


if __name__ == "__main__":
    main()
