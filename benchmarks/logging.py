"""What a snapshot costs, part by part, at W = 40, N = 200 with default logging: real runs under a stopwatch.

Each part counts what it does itself, without the parts within it, as processor time of the thread in which it runs:
one thread trains, one works out what was seen, and one draws it. (From the command line the last two do so in processes
of their own, which takes no more.)
"""

import sys
from pathlib import Path

# Not this folder: this very file would take the place of the standard library's logging.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory

from benchmarks.measure import Report, Times, figure, in_turn, table, writes
from benchmarks.stopwatch import Stopwatch
from reluviz.cli import config
from reluviz.training import prepare, run

SNAPSHOT = {
    "parameters copied": ["reluviz.models:RegressionModule.copies"],
    "handed over": ["reluviz.training.callbacks:SnapshotLogger._look"],
    "losses": ["reluviz.core.votes:losses"],
    "votes": ["reluviz.core.votes:summarize"],
    "geometry": [
        "reluviz.core.functions:elbow",
        "reluviz.core.functions:slope_jump",
        "reluviz.core.functions:unit_status",
    ],
    "history of votes": ["reluviz.training.vote_history:VoteHistory.add"],
    "scalars": [
        "reluviz.record.snapshot_events:SnapshotEvents._quantities",
        "reluviz.record.snapshot_events:SnapshotEvents._scalars",
    ],
    "histograms": ["reluviz.record.snapshot_events:SnapshotEvents._histograms"],
    "tensors": ["reluviz.record.snapshot_events:SnapshotEvents._tensors"],
    "events": ["reluviz.record.snapshot_events:SnapshotEvents.events"],
    "writing": ["reluviz.record.event_file:EventFile.add_records"],
    "the rest of it": [
        "reluviz.training.snapshot_worker:SnapshotWorker.develop",
        "reluviz.training.snapshot_queue:SnapshotQueue._develop",
    ],
}
"""Parts of a snapshot, and the functions that each consists of."""
DRAWN = "picture fit"
PICTURES = {
    DRAWN: ["reluviz.plots:FitPicture.png"],
    "picture votes": ["reluviz.plots:VotesPicture.png"],
    "picture votes/history": ["reluviz.plots:history_png"],
    "pictures encoded": ["reluviz.plots.encoding:Encoder.png"],
    "the rest of drawing": [
        "reluviz.training.snapshot_worker:SnapshotWorker.draw",
        "reluviz.training.snapshot_worker:SnapshotWorker.history",
        "reluviz.training.snapshot_queue:SnapshotQueue._draw",
        "reluviz.training.snapshot_queue:SnapshotQueue.draw_history",
    ],
}
SEGMENT = {
    "minibatches drawn": ["reluviz.data:WithReplacement.draw"],
    "updates": ["reluviz.engines.fused:Fused.run"],
    "state kept aside": ["reluviz.models:RegressionModule._state"],
    "checkpoints": ["reluviz.training.callbacks:Checkpoints._save"],
    "Lightning": ["lightning:Trainer.fit"],
}


def main() -> None:
    """Measure, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short run: only to see that it works")
    parser.add_argument("--runs", type=int, default=3, help="runs (%(default)s)")
    writes(parser)
    args = parser.parse_args()
    overrides = ["+exp=relu", "model.width=40", *(["updates=15000", "snapshots.every=500"] if args.quick else [])]
    report = Report("logging", "logging.py: milliseconds a snapshot")
    runs = [_run(overrides) for _ in range(1 if args.quick else args.runs)]
    _tell(report, overrides, runs)
    report.close(args.write)


@dataclass(frozen=True)
class Run:
    """A run under the stopwatch: what it told, seconds.fit, and how many snapshots it took."""

    watch: Stopwatch
    fit: float
    snapshots: int


def _run(overrides: Sequence[str]) -> Run:
    """Train under the stopwatch."""
    watch = Stopwatch()
    prepared = prepare.prepare(config.task(config.compose_checked(overrides)))
    with TemporaryDirectory() as folder, watch.watching({**SNAPSHOT, **PICTURES, **SEGMENT}):
        outcome = run.train(prepared, Path(folder))
    if outcome.status != "finished":
        sys.exit(f"the run has {outcome.status}: {outcome.message}")
    return Run(watch, float(outcome.metrics["seconds"]["fit"]), len(prepared.data.schedule()))


def _tell(report: Report, overrides: Sequence[str], runs: Sequence[Run]) -> None:
    """Say what each part takes each time, and in a whole run."""
    count = runs[0].snapshots
    fit = statistics.median(each.fit for each in runs)
    report.say(
        f"{len(runs)} runs of {' '.join(overrides)}, {count} snapshots each, in one process. Processor time of a run,"
        " its median over the runs with the smallest and the largest in brackets, divided by the snapshots; and how"
        f" often each part was called. A run takes {figure(fit)} s (seconds.fit), in which the threads work"
        " side by side where there are cores for them."
    )
    rows = []

    def row(part: str) -> Times:
        took = Times(tuple(1e3 * sum(each.watch.seconds[part]) for each in runs))
        calls = statistics.median(len(each.watch.seconds[part]) for each in runs)
        rows.append((part, str(took * (1 / count)), f"{took.median / 1e3:.3f}", f"{calls:.0f}"))
        return took

    took = [row(part) for part in SNAPSHOT]
    snapshot = Times(tuple(map(sum, zip(*(part.values for part in took), strict=True)))) * (1 / count)
    rows.append(("**a snapshot**", str(snapshot), f"{snapshot.median * count / 1e3:.3f}", str(count)))
    for part in (*PICTURES, *SEGMENT):
        row(part)
    report.say(table(("part", "ms a snapshot", "s a run", "calls"), rows))
    report.ratio("a snapshot, pictures aside", f"{figure(snapshot.median)} ms", "at most 2 ms")
    for part in (DRAWN, "picture votes"):
        report.ratio(
            f"a {part}, drawn and encoded", f"{figure(_picture(runs[-1].watch, part).median)} ms", "at most 15 ms"
        )


def _picture(watch: Stopwatch, part: str) -> Times:
    """Draw a run's last picture again, and encode it; milliseconds."""
    picture, *arguments = watch.calls[part]

    def draw() -> float:
        started = time.perf_counter()
        picture.png(*arguments)
        return 1e3 * (time.perf_counter() - started)

    return in_turn(20, {part: draw})[part]


if __name__ == "__main__":
    main()
