"""Measures training in the page, in Chromium: updates and frames a second with all panels drawn, and its memory.

An exported page of a short run is opened without a window. The branch that is measured grows beside the run, from the
run's first snapshot. All panels are drawn in every frame.
"""

import sys
from pathlib import Path

# remove this folder, because its logging.py would hide the module of the standard library
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import subprocess
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.browser import Browser
from benchmarks.measure import Measurements, Report, add_write_option, format_number, markdown_table

OPTIONS = ("--enable-precise-memory-info", "--js-flags=--expose-gc")
TIMEOUT_MILLISECONDS = 120_000
VIEWPORT = {"width": 1400, "height": 900}
COUNT_FRAMES = """(milliseconds) => new Promise((resolve) => {
  const updates = () => window.reluvizState.branches[0].update;
  const begun = performance.now(), first = updates();
  let frames = 0;
  const frame = () => {
    frames += 1;
    const spent = performance.now() - begun;
    if (spent < milliseconds) requestAnimationFrame(frame);
    else resolve([(updates() - first) / spent * 1000, frames / spent * 1000]);
  };
  requestAnimationFrame(frame);
})"""
TIME_UPDATES = """(count) => new Promise((resolve) => {
  const begun = performance.now(), first = window.reluvizState.branches[0].update;
  const frame = () => {
    if (window.reluvizState.branches[0].update - first >= count) resolve(performance.now() - begun);
    else requestAnimationFrame(frame);
  };
  document.querySelector(".train").click();
  requestAnimationFrame(frame);
})"""
CASES = {
    "W = 20": (20, "wasm", "300,000, 50 frames"),
    "W = 100": (100, "wasm", "60,000"),
    "W = 20, no WebAssembly": (20, "javascript", "60,000"),
}


def main() -> None:
    """Measure and print, and write the results if the command line says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short: only to check that it works")
    parser.add_argument("--runs", type=int, help="the number of measurements (5)")
    parser.add_argument("--seconds", type=float, help="of each measurement (3)")
    parser.add_argument("--memory-updates", type=float, help="updates of the measurement of memory (20 million)")
    add_write_option(parser)
    args = parser.parse_args()
    times = args.runs or (1 if args.quick else 5)
    seconds = args.seconds or (0.5 if args.quick else 3)
    many = args.memory_updates or (20_000 if args.quick else 2e7)
    report = Report("page_training", "page_training.py: training in the page")
    with TemporaryDirectory() as place, Browser(*OPTIONS) as browser:
        report.add_text(
            f"Chromium {browser.version}, headless, a window of {VIEWPORT['width']} x {VIEWPORT['height']}."
            f" Runs: {times}, of {format_number(seconds)} s. Rates are those of a second. The minibatches have"
            " 40 of 200 points, drawn in the page."
        )
        rows = []
        pages = {width: _page(Path(place), width) for width in {width for width, _, _ in CASES.values()}}
        for name, (width, engine, goal) in CASES.items():
            found = [_rates(browser, pages[width], engine, seconds) for _ in range(times)]
            updates, frames = (Measurements(tuple(one[i] for one in found)) for i in (0, 1))
            rows.append((name, str(updates), str(frames)))
            report.add_ratio(f"{name}, a second", f"{updates.median:,.0f}, {frames.median:.0f} frames", goal)
        report.add_text(markdown_table(("", "updates", "frames"), rows))
        took = median(_time(browser, pages[20], 2_000 if args.quick else 150_000) for _ in range(times))
        report.add_ratio("150,000 updates at W = 20", f"{took:.2f} s", "at most 1 s")
        early, late = _memory(browser, pages[20], many)
        sizes = f"{late / 1e6:.1f} MB / {early / 1e6:.1f} MB = {late / early:.3g} x"
        report.add_ratio(f"memory after {many / 1e6:.3g} million updates / after a tenth", sizes, "about 1 x")
    report.finish(args.write)


def _page(place: Path, width: int) -> Path:
    """Train a short run and export its page."""
    folder, pages = f"logs/width_{width}", place / f"page_{width}"
    command = [sys.executable, "-m", "reluviz"]
    train = [*command, "train", "+exp=relu", "updates=2000", f"model.width={width}", f"hydra.run.dir={folder}"]
    subprocess.run(train, cwd=place, check=True, stdout=subprocess.DEVNULL)
    export = [*command, "export", folder, "--html", "--out", str(pages)]
    subprocess.run(export, cwd=place, check=True, stdout=subprocess.DEVNULL)
    return next(pages.glob("*.html"))


def _open(browser: Any, path: Path, engine: str) -> Any:
    """Open the page at the run's first snapshot, and have the branch begun and the kernel compiled."""
    page = browser.new_page(viewport=VIEWPORT)
    page.set_default_timeout(TIMEOUT_MILLISECONDS)
    page.goto(f"{path.as_uri()}#step=0&engine={engine}")
    page.wait_for_function("window.reluvizState?.ready")
    page.get_by_role("button", name="1 update", exact=True).click()
    page.wait_for_function("window.reluvizState.branches.length === 1 && window.reluvizState.branches[0].update === 1")
    found = page.evaluate("window.reluvizState.engine")
    if found != engine:
        sys.exit(f"the page trains with {found}, not with {engine}")
    return page


def _rates(browser: Any, path: Path, engine: str, seconds: float) -> tuple[float, float]:
    """Return updates and frames a second, after half a second of warming up."""
    page = _open(browser, path, engine)
    page.click(".train")
    page.wait_for_timeout(500)
    updates, frames = page.evaluate(COUNT_FRAMES, 1000 * seconds)
    page.close()
    return updates, frames


def _time(browser: Any, path: Path, count: int) -> float:
    """Return the seconds from the press of the button until so many updates are made and drawn."""
    page = _open(browser, path, "wasm")
    took = page.evaluate(TIME_UPDATES, count)
    page.close()
    return float(took) / 1000


def _memory(browser: Any, path: Path, count: float) -> tuple[float, float]:
    """Return the bytes of the page's JavaScript after a tenth of so many updates, and after all of them."""
    page = _open(browser, path, "wasm")
    page.click(".train")
    sizes = []
    for part in (count / 10, count):
        page.wait_for_function(f"window.reluvizState.branches[0].update >= {part}", timeout=600_000)
        page.evaluate("window.gc()")
        sizes.append(page.evaluate("performance.memory.usedJSHeapSize"))
    page.close()
    return sizes[0], sizes[1]


if __name__ == "__main__":
    main()
