"""Compares the engine `fused` with a plain PyTorch loop on chains of several layers; measures their snapshots."""

import sys
from pathlib import Path

# remove this folder, because its logging.py would hide the module of the standard library
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.engine_runner import dataset
from benchmarks.measure import (
    Report,
    add_write_option,
    exit_if_not_finite,
    format_number,
    format_ratio,
    in_turn,
    markdown_table,
    torch_threads,
    updates_that_take,
)
from benchmarks.plain_pytorch import PlainLoop
from reluviz.core.initial_state import initial_state
from reluviz.core.kinks import chain_pieces
from reluviz.core.models.architecture import Architecture
from reluviz.core.votes import summarize
from reluviz.data import Segment, WithReplacement
from reluviz.engines import predict
from reluviz.engines.engine import ModelState
from reluviz.engines.fused import Fused

CHAINS = ((20, 20), (50, 50, 50), (100, 100, 100))
BATCH = 40
SAMPLES = (200, 2000)
"""Numbers of training points of the measured snapshots."""
OPTIMIZERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], float, int]] = {
    "SGD": (torch.optim.SGD, 0.01, 40),
    "Adam": (torch.optim.Adam, 0.001, 30),
}
"""Name -> class, learning rate, and the target for the ratio on the smallest chain."""


def network(hidden: tuple[int, ...]) -> nn.Sequential:
    """Return the chain as plain PyTorch."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in pairwise((1, *hidden)):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden[-1], 1))


def points() -> tuple[Tensor, Tensor]:
    """Return the training points in float32."""
    data = dataset(200)
    return torch.from_numpy(data.x).float(), torch.from_numpy(data.y).float()


class FusedRunner:
    """The engine `fused` on the chain of `network`.

    Args:
        hidden: widths of the hidden layers.
        optimizer: a name of `OPTIMIZERS`.
    """

    def __init__(self, hidden: tuple[int, ...], optimizer: str) -> None:
        architecture = Architecture(hidden)
        values = [value.detach().clone() for value in network(hidden).parameters()]
        names = [name for pair in architecture.names for name in pair]
        shapes = architecture.shapes
        self.parameters = {
            name: value.reshape(1, *shapes[name]).requires_grad_() for name, value in zip(names, values, strict=True)
        }
        self.state = ModelState(
            architecture.name, self.parameters, partial(predict.chain, architecture, self.parameters), 1
        )
        kind, lr, _ = OPTIMIZERS[optimizer]
        self.optimizer = kind(list(self.parameters.values()), lr=lr)
        self.lr, self.engine, self.points = lr, Fused(), points()
        self.done = 0
        self.last = torch.empty(0)

    def run(self, updates: int) -> float:
        """Make updates and return the processor time they took."""
        started = time.process_time()
        segment = Segment(dataset(200), WithReplacement(BATCH), (0,), self.done, self.done + updates)
        for piece in segment.pieces(self.engine.by_replica):
            rates = np.full((len(piece), 1), self.lr)
            self.last = self.engine.run(self.state, self.optimizer, piece, rates, *self.points)
        self.done += updates
        return time.process_time() - started

    def loss(self) -> float:
        """Return the loss of the last minibatch."""
        return float(self.last.max())


class PlainRunner(PlainLoop):
    """The plain loop, measured in processor time."""

    def __init__(self, hidden: tuple[int, ...], optimizer: str) -> None:
        chain = network(hidden)
        kind, lr, _ = OPTIMIZERS[optimizer]
        super().__init__(chain, kind(chain.parameters(), lr=lr), *points(), BATCH)

    def run(self, updates: int) -> float:
        """Make updates and return the processor time they took."""
        started = time.process_time()
        super().run(updates)
        return time.process_time() - started


def snapshot_rows(report: Report, runs: int, seconds: float, chains: Sequence[tuple[int, ...]]) -> None:
    """Measure the kinks and the votes of a snapshot, in processor time, and the memory of the votes."""
    rows = []
    for hidden in chains:
        architecture, state = Architecture(hidden), initial_state(hidden, "uniform", 0, (0.0, 1.0), None, np.zeros(1))
        p = {name: value.astype(np.float64) for name, value in state.items()}
        replica = {name: value[None] for name, value in p.items()}
        cases: dict[str, Callable[[], object]] = {"kinks": partial(chain_pieces, architecture, p, 0.0, 1.0)}
        for samples in SAMPLES:
            data = dataset(samples)
            cases[f"votes, N = {samples:,}"] = partial(
                summarize, architecture.name, replica, data.x, data.y, tuple(architecture.shapes)
            )
        times = in_turn(runs, {name: partial(processor_time, work, seconds) for name, work in cases.items()})
        tracemalloc.start()
        cases[f"votes, N = {SAMPLES[-1]:,}"]()
        megabytes = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        chain = " + ".join(map(str, hidden))
        rows.append((chain, *(str(times[name] * 1e3) for name in cases), f"{megabytes:.1f}"))
        wanted = {CHAINS[0]: "at most 1", CHAINS[-1]: "at most 20"}.get(hidden, "")
        total = sum(times[name].median for name in ("kinks", f"votes, N = {SAMPLES[0]:,}"))
        report.add_ratio(
            f"milliseconds of a snapshot, {chain} ReLUs, N = {SAMPLES[0]}", format_number(1e3 * total), wanted
        )
        if hidden == CHAINS[-1]:
            report.add_ratio(f"MB of its votes at N = {SAMPLES[-1]:,}", format_number(megabytes), "below 100")
    report.add_text("Milliseconds of processor time of the kinks and the votes of one snapshot, and MB of the votes:")
    report.add_text(markdown_table(("hidden units", *cases, "MB"), rows))


def processor_time(work: Callable[[], object], seconds: float) -> float:
    """Return the processor time of one call, in seconds, from as many calls as take this long."""
    started, calls = time.process_time(), 0
    while (took := time.process_time() - started) < seconds or not calls:
        work()
        calls += 1
    return took / calls


def main() -> None:
    """Measure and print, and write the results if the command line says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one chain and short runs: only to check that it works")
    parser.add_argument("--runs", type=int, default=9, help="runs of each case (%(default)s)")
    add_write_option(parser)
    args = parser.parse_args()
    runs, seconds = (2, 0.01) if args.quick else (args.runs, 0.3)
    report = Report("chains", "chains.py: chains of several layers")
    report.add_text(
        f"Microseconds of processor time of an update in float32 with 1 thread, B = {BATCH}, N = 200, including the"
        f" drawing of minibatches. Runs of each case, in turn: {runs}, each of about {seconds} s."
    )
    rows = []
    for hidden in CHAINS[:1] if args.quick else CHAINS:
        for optimizer, (_, _, wanted) in OPTIMIZERS.items():
            runners = {"plain loop": PlainRunner(hidden, optimizer), "fused": FusedRunner(hidden, optimizer)}
            with torch_threads(1):
                updates = {name: updates_that_take(seconds, runner.run) for name, runner in runners.items()}
                measured = in_turn(runs, {name: partial(runner.run, updates[name]) for name, runner in runners.items()})
            times = {name: took * (1e6 / updates[name]) for name, took in measured.items()}
            for name, runner in runners.items():
                exit_if_not_finite(runner.loss(), f"{name}, {hidden}, {optimizer}")
            ratio = times["plain loop"].median / times["fused"].median
            chain = " + ".join(map(str, hidden))
            rows.append((chain, optimizer, str(times["plain loop"]), str(times["fused"]), format_ratio(ratio)))
            target = f"at least {wanted}" if hidden == CHAINS[0] else ""
            report.add_ratio(f"plain loop / fused, {chain} ReLUs, {optimizer}", format_number(ratio), target)
    report.add_text(markdown_table(("hidden units", "optimizer", "plain loop", "fused", "ratio"), rows))
    snapshot_rows(report, runs, seconds, CHAINS[:1] if args.quick else CHAINS)
    report.finish(args.write)


if __name__ == "__main__":
    main()
