"""Measures whole commands with and without each mechanism that exists only for speed.

The command is `train -m +exp=course` in a fresh folder, or for drawing `export last --gif`, from shell to exit. A
mechanism is switched off by a patch that a `sitecustomize` applies in all processes of the command, when the module
that has the mechanism is imported.
"""

import sys
from pathlib import Path

# remove this folder, because its logging.py would hide the module of the standard library
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import functools
import os
import subprocess
import time
from collections.abc import Sequence
from tempfile import TemporaryDirectory

from benchmarks.measure import Report, add_write_option, format_ratio, in_turn, markdown_table

PATCHES = {
    "helper processes": ("reluviz.training.helper_processes", "start", "start = lambda: None"),
    "lazy imports": ("reluviz.cli.lazy_imports", "install_lazy_imports", "install_lazy_imports = lambda: None"),
    "no garbage collection during imports": (
        "reluviz.training.lightning_startup",
        "without_gc",
        "from contextlib import nullcontext as without_gc",
    ),
    "exit without Python's cleanup": (
        "reluviz.cli.interrupts",
        "raise_ignored_interrupts",
        "import atexit; register = atexit.register\n"
        "atexit.register = lambda f, *a, **k: f if f.__name__ == 'exit_without_cleanup' else register(f, *a, **k)",
    ),
    "text cache of pictures": (
        "reluviz.plots.text_cache",
        "CachedTextRenderer.draw_text",
        "PlainText.draw = Text.draw\n"
        "CachedTextRenderer.draw_text = backend_agg.RendererAgg.draw_text\n"
        "CachedTextRenderer.get_text_width_height_descent = backend_agg.RendererAgg.get_text_width_height_descent",
    ),
    "figure cache": (
        "reluviz.plots.figure_cache",
        "for_run",
        "for_run = lambda model, dataset, seed, precision='float64': "
        "(FitPicture(model, dataset, seed, precision), VotesPicture(model, dataset, seed))",
    ),
    "isal for PNG files": ("reluviz.plots.encoding", "compress", "from zlib import compress"),
    "google-crc32c for event files": (
        "reluviz.record.event_file",
        "masked_checksum",
        "from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c\n"
        "masked_checksum = lambda data: struct.pack('<I', masked_crc32c(data))",
    ),
}
"""Mechanism -> module, a name in it, and code that switches the mechanism off when it runs in the module."""

SITE = """
import importlib.abc, importlib.machinery, sys

class Patch(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name != {module!r}:
            return None
        self.spec = importlib.machinery.PathFinder.find_spec(name, path)
        return importlib.machinery.ModuleSpec(name, self, origin=self.spec.origin)

    def exec_module(self, module):
        module.__file__ = self.spec.origin
        self.spec.loader.exec_module(module)
        exec({code!r}, vars(module))

sys.meta_path.insert(0, Patch())
"""
COURSE = ("train", "-m", "+exp=course")
GIF = ("export", "last", "--gif", "--force")
DRAWING = {"text cache of pictures"}
"""Mechanisms that are measured on `GIF`: a run draws while it trains, an animation only draws."""
QUICK = ("updates=2000",)


def main() -> None:
    """Measure and print, and write the results if the command line says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short runs, once: only to check that it works")
    parser.add_argument("--runs", type=int, help="the number of measurements (5)")
    parser.add_argument("--only", choices=PATCHES, metavar="MECHANISM", help="one of them, as the table names it")
    add_write_option(parser)
    args = parser.parse_args()
    times = args.runs or (1 if args.quick else 5)
    report = Report("mechanisms", "mechanisms.py: with and without each mechanism")
    report.add_text(
        f"Seconds from shell to exit of `{' '.join(COURSE)}`, and of `{' '.join(GIF[:3])}` where GIF is named, with a"
        f" warm cache. Runs of both, in turn: {times}."
    )
    rows = []
    updates = QUICK if args.quick else ()
    with TemporaryDirectory() as place, TemporaryDirectory() as recorded:
        for name, (module, _, code) in PATCHES.items():
            if args.only not in (None, name):
                continue
            site = Path(place) / name.replace(" ", "_").replace("'", "")
            site.mkdir()
            (site / "sitecustomize.py").write_text(SITE.format(module=module, code=code))
            if name in DRAWING:
                _seconds((*COURSE, *updates), None, recorded)
                command, folder = GIF, recorded
            else:
                command, folder = (*COURSE, *updates), None
            places = {True: None, False: site}
            found = in_turn(times, {on: functools.partial(_seconds, command, at, folder) for on, at in places.items()})
            rows.append((f"{name} (GIF)" if name in DRAWING else name, str(found[True]), str(found[False])))
            report.add_ratio(f"{name}: without / with", format_ratio(found[False].median / found[True].median))
    report.add_text(markdown_table(("mechanism", "with it", "without it"), rows))
    report.finish(args.write)


def _seconds(command: Sequence[str], site: Path | None, folder: str | None) -> float:
    """Return how long a command takes.

    Args:
        command: the words after `python -m reluviz`.
        site: the folder of a patch, or None.
        folder: where it runs; None stands for a new folder.
    """
    environment = dict(os.environ)
    if site is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(site), *filter(None, [environment.get("PYTHONPATH")])])
    with TemporaryDirectory() as new:
        started = time.perf_counter()
        words = [sys.executable, "-m", "reluviz", *command]
        subprocess.run(words, cwd=folder or new, env=environment, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started


if __name__ == "__main__":
    main()
