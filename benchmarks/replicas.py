"""Measures how close a run of many replicas comes to the speed of the engine alone on all cores."""

import sys
from pathlib import Path

# remove this folder, because its logging.py would hide the module of the standard library
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory

from benchmarks import peak_memory
from benchmarks.engine_runner import Case, EngineRunner
from benchmarks.measure import Measurements, Report, add_write_option, format_number, in_turn, markdown_table
from reluviz.cli import config
from reluviz.engines.parallel import THREADS
from reluviz.training import prepare, run

TARGET_RATIO = 0.8
"""The target for a whole run's rate divided by (number of cores x rate of the engine alone)."""
MAX_EVENTS_MB = 100
MAX_MEMORY_MB = 2000
WIDTH = 40


@dataclass
class Run:
    """Makes a run repeatedly, as `python -m reluviz train` does.

    Args:
        replicas: the number of replicas.
        updates: the number of updates of each replica.

    Attributes:
        engine: for each run, the updates of all replicas divided by seconds.engine.
        megabytes: the size of the last run's event files.
    """

    replicas: int
    updates: int
    engine: list[float] = field(default_factory=list)
    megabytes: float = 0.0

    def rate(self) -> float:
        """Train, and return the updates of all replicas divided by seconds.fit."""
        overrides = ["+exp=relu", f"model.width={WIDTH}", f"replicas={self.replicas}", f"updates={self.updates}"]
        prepared = prepare.prepare(config.without_hydra(config.compose_checked([*overrides, "engine=fused"])))
        with TemporaryDirectory() as folder:
            outcome = run.train(prepared, Path(folder))
            self.megabytes = sum(path.stat().st_size for path in Path(folder).glob("events*")) / 1e6
        if outcome.status != "finished":
            sys.exit(f"the run has {outcome.status}: {outcome.message}")
        made = self.replicas * self.updates
        self.engine.append(made / outcome.metrics["seconds"]["engine"])
        return float(made / outcome.metrics["seconds"]["fit"])


def main() -> None:
    """Measure and print, and write the results if the command line says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few replicas, few updates: only to check that it works")
    parser.add_argument("--runs", type=int, default=3, help="runs (%(default)s)")
    parser.add_argument("--replicas", type=int, default=1000, help="replicas (%(default)s)")
    parser.add_argument("--updates", type=int, default=30_000, help="updates of each (%(default)s)")
    add_write_option(parser)
    args = parser.parse_args()
    report = Report("replicas", "replicas.py: many replicas in one run")
    runs, replicas, updates = (1, 100, 1000) if args.quick else (args.runs, args.replicas, args.updates)
    _measure(report, runs, Run(replicas, updates), Run(1, updates), updates)
    report.finish(args.write)


def _measure(report: Report, runs: int, many: Run, one: Run, updates: int) -> None:
    """Compare whole runs of many replicas with the engine alone on one replica and one core."""
    alone, drawing = (EngineRunner(Case(width=WIDTH), "fused", cores=1, ahead=ahead) for ahead in (True, False))
    # the first runs compile and allocate
    alone.run(1000)
    drawing.run(1000)
    Run(many.replicas, 2).rate()
    rates = in_turn(
        runs,
        {
            "engine": lambda: updates / alone.run(updates),
            "drawing": lambda: updates / drawing.run(updates),
            "many": many.rate,
            "one": one.rate,
        },
    )
    of_one = Measurements(tuple(one.engine))
    report.add_text(
        f"Updates a second, summed over the replicas, at W = {WIDTH}, B = 40, N = 200 with default logging: {runs} runs"
        f" of each with {updates:,} updates. The engine alone makes the updates of one replica on one core, with"
        " minibatches drawn in advance or during the measurement. A whole run also takes snapshots, draws pictures and"
        " logs."
    )
    rows = [
        ("engine alone, 1 replica, 1 core", str(rates["engine"])),
        ("the same, minibatches drawn", str(rates["drawing"])),
        ("seconds.engine, 1 replica", str(of_one)),
        ("seconds.fit, 1 replica", str(rates["one"])),
        (f"seconds.engine, {many.replicas:,} replicas", str(Measurements(tuple(many.engine)))),
        (f"seconds.fit, {many.replicas:,} replicas", str(rates["many"])),
    ]
    report.add_text(markdown_table(("of", "updates a second"), rows))
    report.add_text(f"{THREADS} thread{'s' * (THREADS > 1)} share{'s' * (THREADS == 1)} the replicas.")
    whole = rates["many"].median / THREADS
    compared = {"engine alone": rates["engine"], "engine that draws": rates["drawing"], "seconds.engine": of_one}
    for what, rate in compared.items():
        ratio = format_number(whole / rate.median)
        report.add_ratio(f"whole run / (cores x {what})", ratio, f"at least {TARGET_RATIO}")
    report.add_ratio("event files", f"{format_number(many.megabytes)} MB", f"below {MAX_EVENTS_MB} MB")
    if (peak := _peak()) is not None:
        report.add_ratio("peak memory", f"{format_number(peak)} MB", f"below {MAX_MEMORY_MB:,} MB")


def _peak() -> float | None:
    """Return the peak memory of this process in MB; None if the system does not report it."""
    try:
        import resource
    except ImportError:
        return None
    return peak_memory.to_mb(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    main()
