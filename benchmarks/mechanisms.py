"""Measures the course job with and without each mechanism that exists only for speed.

The job is `train -m +exp=course` from shell to exit, in a fresh folder. A mechanism is switched off by a patch that a
`sitecustomize` applies in all processes of the job, when the module that has the mechanism is imported.
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
    "Lightning without a profiler": ("reluviz.training.lightning_startup", "no_profiler", "no_profiler = lambda: None"),
    "exit without Python's cleanup": (
        "reluviz.cli.interrupts",
        "raise_ignored_interrupts",
        "import atexit; register = atexit.register\n"
        "atexit.register = lambda f, *a, **k: f if f.__name__ == 'exit_without_cleanup' else register(f, *a, **k)",
    ),
    "cached views of tensors": (
        "reluviz.engines.array_views",
        "ArrayViews.get",
        "ArrayViews.get = lambda self, named, names: {name: named[name].detach().numpy() for name in names}",
    ),
    "text cache of pictures": (
        "reluviz.plots.text_cache",
        "CachedTextRenderer.draw_text",
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
JOB = ("train", "-m", "+exp=course")
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
        f"The job `{' '.join(JOB)}` from shell to exit, in seconds, with a warm cache. Runs of both, in turn: {times}."
    )
    rows = []
    with TemporaryDirectory() as place:
        for name, (module, _, code) in PATCHES.items():
            if args.only in (None, name):
                site = Path(place) / name.replace(" ", "_").replace("'", "")
                site.mkdir()
                (site / "sitecustomize.py").write_text(SITE.format(module=module, code=code))
                jobs = {True: functools.partial(_seconds, None, args.quick)}
                jobs[False] = functools.partial(_seconds, site, args.quick)
                found = in_turn(times, jobs)
                rows.append((name, str(found[True]), str(found[False])))
                report.add_ratio(f"without {name}", format_ratio(found[False].median / found[True].median))
    report.add_text(markdown_table(("mechanism", "with it", "without it"), rows))
    report.finish(args.write)


def _seconds(site: Path | None, quick: bool) -> float:
    """Return how long the job takes, with the patch of a folder if one is given."""
    environment = dict(os.environ)
    if site is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(site), *filter(None, [environment.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "reluviz", *JOB, *(QUICK if quick else ())]
    with TemporaryDirectory() as folder:
        started = time.perf_counter()
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started


if __name__ == "__main__":
    main()
