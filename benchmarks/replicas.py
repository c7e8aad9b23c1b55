"""Many replicas in one run: how much of what the processor's cores could do at most a whole run gets out of them."""

import sys
from pathlib import Path

# Not this folder: its file logging.py would take the place of the standard library's.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory

from benchmarks.measure import Report, Times, figure, in_turn, table, writes
from benchmarks.ours import Case, Ours
from reluviz.cli import config
from reluviz.engines.parallel import THREADS
from reluviz.training import prepare, run

WANTED = 0.8
"""The part of cores x engine that is to be left."""
MOST_EVENTS = 100
MOST_MEMORY = 2000
WIDTH = 40


@dataclass
class Run:
    """A run as `python -m reluviz train` makes it, again and again.

    Args:
        replicas: how many.
        updates: of each.

    Attributes:
        engine: updates of all replicas a second of seconds.engine, of each run.
        megabytes: what the run's event files take.
    """

    replicas: int
    updates: int
    engine: list[float] = field(default_factory=list)
    megabytes: float = 0.0

    def rate(self) -> float:
        """Train, and return the updates of all replicas a second of seconds.fit."""
        overrides = ["+exp=relu", f"model.width={WIDTH}", f"replicas={self.replicas}", f"updates={self.updates}"]
        prepared = prepare.prepare(config.task(config.compose_checked([*overrides, "engine=fused"])))
        with TemporaryDirectory() as folder:
            outcome = run.train(prepared, Path(folder))
            self.megabytes = sum(path.stat().st_size for path in Path(folder).glob("events*")) / 1e6
        if outcome.status != "finished":
            sys.exit(f"the run has {outcome.status}: {outcome.message}")
        made = self.replicas * self.updates
        self.engine.append(made / outcome.metrics["seconds"]["engine"])
        return float(made / outcome.metrics["seconds"]["fit"])


def main() -> None:
    """Measure, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few replicas, few updates: only to see that it works")
    parser.add_argument("--runs", type=int, default=3, help="runs (%(default)s)")
    parser.add_argument("--replicas", type=int, default=1000, help="replicas (%(default)s)")
    parser.add_argument("--updates", type=int, default=30_000, help="updates of each (%(default)s)")
    writes(parser)
    args = parser.parse_args()
    report = Report("replicas", "replicas.py: many replicas in one run")
    runs, replicas, updates = (1, 100, 1000) if args.quick else (args.runs, args.replicas, args.updates)
    _measure(report, runs, Run(replicas, updates), Run(1, updates), updates)
    report.close(args.write)


def _measure(report: Report, runs: int, many: Run, one: Run, updates: int) -> None:
    """Compare whole runs of many replicas with the engine on one, with one core to itself."""
    alone, drawing = (Ours(Case(width=WIDTH), "fused", cores=1, ahead=ahead) for ahead in (True, False))
    # the first of each compiles and allocates
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
    of_one = Times(tuple(one.engine))
    report.say(
        f"Updates a second, summed over the replicas, at W = {WIDTH}, B = 40, N = 200 with default logging: {runs} runs"
        f" of each, {updates:,} updates long. The engine alone makes the updates of one replica, on one core, with"
        " minibatches that were drawn before, or with their drawing; a whole run draws them, and takes snapshots, draws"
        " pictures and logs."
    )
    rows = [
        ("engine alone, 1 replica, 1 core", str(rates["engine"])),
        ("the same, minibatches drawn", str(rates["drawing"])),
        ("seconds.engine, 1 replica", str(of_one)),
        ("seconds.fit, 1 replica", str(rates["one"])),
        (f"seconds.engine, {many.replicas:,} replicas", str(Times(tuple(many.engine)))),
        (f"seconds.fit, {many.replicas:,} replicas", str(rates["many"])),
    ]
    report.say(table(("of", "updates a second"), rows))
    report.say(f"{THREADS} thread{'s' * (THREADS > 1)} share{'s' * (THREADS == 1)} the replicas.")
    whole = rates["many"].median / THREADS
    compared = {"engine alone": rates["engine"], "engine that draws": rates["drawing"], "seconds.engine": of_one}
    for what, rate in compared.items():
        report.ratio(f"whole run / (cores x {what})", figure(whole / rate.median), f"at least {WANTED}")
    report.ratio("event files", f"{figure(many.megabytes)} MB", f"below {MOST_EVENTS} MB")
    if (peak := _peak()) is not None:
        report.ratio("peak memory", f"{figure(peak)} MB", f"below {MOST_MEMORY:,} MB")


def _peak() -> float | None:
    """Return the most memory that this process has used so far, in MB, where the system tells."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    main()
