"""Measures the cost of a snapshot, part by part, in real runs at W = 40, N = 200 with default logging.

The time of a part is the processor time of its functions without that of other parts they call. One thread trains, one
computes and records the snapshots, and one draws them. (Runs from the command line compute and draw in two helper
processes, which takes no more time.)
"""

import sys
from pathlib import Path

# remove this folder, because this file would hide the module of the standard library
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory

from benchmarks.measure import Measurements, Report, add_write_option, format_number, in_turn, markdown_table
from benchmarks.stopwatch import Stopwatch
from reluviz.cli import config
from reluviz.training import prepare, run

SNAPSHOT = {
    "parameters copied": ["reluviz.models:RegressionModule.parameter_copies"],
    "handed over": ["reluviz.training.callbacks:SnapshotLogger._take_snapshot"],
    "losses": ["reluviz.core.snapshot:mean_squared_error"],
    "votes": ["reluviz.core.votes:summarize"],
    "geometry": [
        "reluviz.core.elbows:elbow",
        "reluviz.core.elbows:slope_jump",
        "reluviz.core.elbows:unit_status",
    ],
    "history of votes": ["reluviz.training.vote_history:VoteHistory.add"],
    "scalars": [
        "reluviz.record.snapshot_events:_quantities",
        "reluviz.record.snapshot_events:SnapshotEvents._scalars",
    ],
    "histograms": [
        "reluviz.record.snapshot_events:SnapshotEvents._histograms",
        "reluviz.record.snapshot_events:histograms",
    ],
    "tensors": ["reluviz.record.snapshot_events:SnapshotEvents._tensors"],
    "events": ["reluviz.record.snapshot_events:SnapshotEvents.events"],
    "writing": ["reluviz.record.event_file:EventFile.add_records"],
    "the rest of it": [
        "reluviz.training.snapshot_worker:SnapshotWorker.compute",
        "reluviz.training.snapshot_queue:SnapshotQueue._compute",
        "reluviz.training.snapshot_queue:SnapshotQueue._compute_together",
    ],
}
"""Parts of a snapshot -> their functions."""
PICTURE_FIT = "picture fit"
PICTURES = {
    PICTURE_FIT: ["reluviz.plots:FitPicture.png"],
    "picture votes": ["reluviz.plots:VotesPicture.png"],
    "picture votes/history": ["reluviz.plots:history_png"],
    "pictures encoded": ["reluviz.plots.canvas:encode_png"],
    "the rest of drawing": [
        "reluviz.training.snapshot_worker:SnapshotWorker.draw_pictures",
        "reluviz.training.snapshot_worker:SnapshotWorker.draw_vote_history",
        "reluviz.training.snapshot_queue:SnapshotQueue._draw",
        "reluviz.training.snapshot_queue:SnapshotQueue.draw_vote_history",
    ],
}
SEGMENT = {
    "minibatches drawn": ["reluviz.data:WithReplacement.draw"],
    "updates": ["reluviz.engines.fused:Fused.run"],
    "state kept aside": ["reluviz.models:RegressionModule._save_state"],
    "checkpoints": ["reluviz.training.callbacks:Checkpoints._save"],
    "Lightning": ["lightning:Trainer.fit"],
}


def main() -> None:
    """Measure and print, and write the results if the command line says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short run: only to check that it works")
    parser.add_argument("--runs", type=int, default=3, help="runs (%(default)s)")
    add_write_option(parser)
    args = parser.parse_args()
    overrides = ["+exp=relu", "model.width=40", *(["updates=15000", "snapshots.every=500"] if args.quick else [])]
    report = Report("logging", "logging.py: milliseconds a snapshot")
    runs = [_run(overrides) for _ in range(1 if args.quick else args.runs)]
    _report(report, overrides, runs)
    report.finish(args.write)


@dataclass(frozen=True)
class Run:
    """A measured run: the stopwatch, seconds.fit, and the number of snapshots."""

    watch: Stopwatch
    fit: float
    snapshots: int


def _run(overrides: Sequence[str]) -> Run:
    """Train under the stopwatch."""
    watch = Stopwatch()
    prepared = prepare.prepare(config.without_hydra(config.compose_checked(overrides)))
    with TemporaryDirectory() as folder, watch.watching({**SNAPSHOT, **PICTURES, **SEGMENT}):
        outcome = run.train(prepared, Path(folder))
    if outcome.status != "finished":
        sys.exit(f"the run has {outcome.status}: {outcome.message}")
    return Run(watch, float(outcome.metrics["seconds"]["fit"]), len(prepared.data.schedule()))


def _report(report: Report, overrides: Sequence[str], runs: Sequence[Run]) -> None:
    """Add the time of each part for one snapshot and for a whole run."""
    count = runs[0].snapshots
    fit = statistics.median(each.fit for each in runs)
    report.add_text(
        f"{len(runs)} runs of {' '.join(overrides)}, {count} snapshots each, in one process. Processor time of a run"
        " (median over the runs, smallest and largest in brackets) divided by the number of snapshots, and the number"
        f" of calls. A run takes {format_number(fit)} s (seconds.fit), with the threads in parallel if there are cores"
        " for them."
    )
    rows = []

    def row(part: str) -> Measurements:
        took = Measurements(tuple(1e3 * sum(each.watch.seconds[part]) for each in runs))
        calls = statistics.median(len(each.watch.seconds[part]) for each in runs)
        rows.append((part, str(took * (1 / count)), f"{took.median / 1e3:.3f}", f"{calls:.0f}"))
        return took

    took = [row(part) for part in SNAPSHOT]
    snapshot = Measurements(tuple(map(sum, zip(*(part.values for part in took), strict=True)))) * (1 / count)
    rows.append(("**a snapshot**", str(snapshot), f"{snapshot.median * count / 1e3:.3f}", str(count)))
    for part in (*PICTURES, *SEGMENT):
        row(part)
    report.add_text(markdown_table(("part", "ms a snapshot", "s a run", "calls"), rows))
    report.add_ratio("a snapshot, pictures aside", f"{format_number(snapshot.median)} ms", "at most 2 ms")
    for part in (PICTURE_FIT, "picture votes"):
        took_ms = _time_picture(runs[-1].watch, part).median
        report.add_ratio(f"a {part}, drawn and encoded", f"{format_number(took_ms)} ms", "at most 15 ms")


def _time_picture(watch: Stopwatch, part: str) -> Measurements:
    """Return the milliseconds to draw and encode the last picture of a run."""
    picture, *arguments = watch.calls[part]

    def draw() -> float:
        started = time.perf_counter()
        picture.png(*arguments)
        return 1e3 * (time.perf_counter() - started)

    return in_turn(20, {part: draw})[part]


if __name__ == "__main__":
    main()
