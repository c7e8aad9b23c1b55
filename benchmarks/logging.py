"""What a snapshot costs, part by part, at W = 40, N = 200 with default logging: real runs under a stopwatch.

Each part counts what it does itself, without the parts within it.
"""

import sys
from pathlib import Path

# Not this folder: this very file would take the place of the standard library's logging.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from tempfile import TemporaryDirectory

from benchmarks.measure import Report, Times, figure, in_turn, table, writes
from benchmarks.stopwatch import Stopwatch
from reluviz import config, run

WHOLE = "the rest of it"
"""The part of which the others are parts."""
SNAPSHOT = {
    "parameters copied": ["reluviz.models:RegressionModule.values"],
    "losses": ["reluviz.snapshot:mean_squared_error"],
    "votes": ["reluviz.votes:summarize"],
    "geometry": ["reluviz.geometry:elbow", "reluviz.geometry:slope_jump", "reluviz.geometry:unit_status"],
    "history of votes": ["reluviz.callbacks.history:History.add"],
    "scalars": ["reluviz.record:Recorder._quantities", "reluviz.record:Recorder._scalars"],
    "histograms": ["reluviz.record:Recorder._histograms"],
    "tensors": ["reluviz.record:Recorder._replicas", "reluviz.record:Recorder._tensors"],
    "writing": ["reluviz.record:Recorder._write"],
    WHOLE: ["reluviz.callbacks:SnapshotLogger._look"],
}
"""Parts of a snapshot, and the functions that each consists of."""
DRAWN = "picture fit"
PICTURES = {
    DRAWN: ["reluviz.pictures:FitPicture.png", "reluviz.pictures:FitPicture.png_later"],
    "picture votes": ["reluviz.pictures:VotesPicture.png", "reluviz.pictures:VotesPicture.png_later"],
    "picture votes/history": ["reluviz.pictures:history_png"],
    "the rest of drawing": [
        "reluviz.callbacks:SnapshotLogger._draw",
        "reluviz.callbacks:SnapshotLogger._write_pictures",
    ],
}
SEGMENT = {
    "minibatches drawn": ["reluviz.data:WithReplacement.draw"],
    "updates": ["reluviz.engines.fused:Fused.run"],
    "state kept aside": ["reluviz.models:RegressionModule._state"],
    "checkpoints": ["reluviz.callbacks:Checkpoints._save"],
}
LIGHTNING = "Lightning, training step"


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
    _tell(report, overrides, [watch for watch, _ in runs], [fit for _, fit in runs])
    report.close(args.write)


def _run(overrides: Sequence[str]) -> tuple[Stopwatch, float]:
    """Train under the stopwatch; return it, and seconds.fit."""
    watch = Stopwatch(WHOLE)
    prepared = run.prepare(config.task(config.compose_checked(overrides)))
    with TemporaryDirectory() as folder, watch.watching({**SNAPSHOT, **PICTURES, **SEGMENT}):
        outcome = run.train(prepared, Path(folder))
    if outcome.status != "finished":
        sys.exit(f"the run has {outcome.status}: {outcome.message}")
    return watch, float(outcome.metrics["seconds"]["fit"])


def _tell(report: Report, overrides: Sequence[str], watches: Sequence[Stopwatch], fits: Sequence[float]) -> None:
    """Say what each part takes each time, and in a whole run."""
    for watch in watches:
        for lap, wall in zip(watch.laps, watch.walls, strict=True):
            lap[LIGHTNING] = wall - sum(lap.values())
    count = len(watches[0].laps) - 1
    fit = statistics.median(fits)
    report.say(
        f"{len(watches)} runs of {' '.join(overrides)}, {count} snapshots each, in one process. Medians over the"
        " snapshots without a picture (of pictures, over all but each run's first), quartiles in brackets; then how"
        f" often that is in a run, and how much of its {figure(fit)} s it takes in all. Work of other threads is not"
        " counted."
    )
    # the first lap begins with the building of trainer and logger; a picture may be written in the lap after its own
    middle = [lap for watch in watches for lap in watch.laps[1:-1]]
    pairs = [pair for watch in watches for pair in pairwise(watch.laps[:-1])]
    plain = [lap for before, lap in pairs if DRAWN not in before and DRAWN not in lap]
    rows = []

    def row(part: str, laps: Sequence[Mapping[str, float]]) -> None:
        each = [1e3 * lap[part] for lap in laps if part in lap]
        often = sum(part in lap for watch in watches for lap in watch.laps) / len(watches)
        total = statistics.median(sum(lap.get(part, 0.0) for lap in watch.laps) for watch in watches)
        rows.append((part, Times(tuple(each)).quartiles() if each else "", f"{often:.0f}", f"{total:.2f}"))

    for part in SNAPSHOT:
        row(part, plain)
    snapshot = Times(tuple(1e3 * sum(lap.get(part, 0.0) for part in SNAPSHOT) for lap in plain))
    rows.append(("**a snapshot**", snapshot.quartiles(), str(count), ""))
    for part in (DRAWN, "picture votes"):
        row(part, middle)
    row("picture votes/history", [watch.laps[-1] for watch in watches])
    row("the rest of drawing", middle)
    for part in (*SEGMENT, LIGHTNING):
        row(part, plain)
    report.say(table(("part", "ms each time", "times", "s a run"), rows))
    report.ratio("a snapshot, pictures aside", f"{figure(snapshot.median)} ms", "at most 2 ms")
    for part in (DRAWN, "picture votes"):
        report.ratio(
            f"a {part}, drawn and encoded", f"{figure(_picture(watches[-1], part).median)} ms", "at most 15 ms"
        )


def _picture(watch: Stopwatch, part: str) -> Times:
    """Draw a run's last picture again, and encode it, which in a run another thread may do; milliseconds."""
    picture, *arguments = watch.calls[part]

    def draw() -> float:
        started = time.perf_counter()
        picture.png(*arguments)
        return 1e3 * (time.perf_counter() - started)

    return in_turn(20, {part: draw})[part]


if __name__ == "__main__":
    main()
