"""Runs reluviz's engines on cases of any size, as the LightningModule calls them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.measure import torch_threads
from benchmarks.plain_pytorch import PlainLightning, PlainLoop
from reluviz.data import Dataset, Full, Sampler, Segment, WithReplacement
from reluviz.data.segments import MAX_PIECE_UPDATES, Piece
from reluviz.data.targets import piecewise_linear_target
from reluviz.engines import fused
from reluviz.engines.choose import choose
from reluviz.models import ReLUModule

KERNEL_COSTS = {"dense": (0.0, 1.0), "sorted": (1.0, 0.0)}
"""Kernel -> costs of the dense and the sorted kernel with which `fused` chooses it."""


@cache
def dataset(samples: int) -> Dataset:
    """Return the course's data with this many training points, without test points."""
    generator = np.random.RandomState(1)
    x = np.sort(generator.uniform(size=samples))
    y = piecewise_linear_target(x) + generator.normal(scale=0.1, size=samples)
    return Dataset("benchmark", x, y, (0.0, 1.0))


@dataclass(frozen=True)
class Case:
    """A network, its data and the size of its minibatches; None for full batches."""

    width: int = 40
    batch: int | None = 40
    samples: int = 200
    replicas: int = 1
    precise: bool = False

    @property
    def activations(self) -> int:
        """Hidden activations of an update."""
        return self.replicas * self.width * (self.batch or self.samples)

    @property
    def lr(self) -> float:
        """The course's step size, smaller for wider networks, whose loss is steeper."""
        return 0.02 * min(1.0, 40 / self.width)

    def module(self) -> ReLUModule:
        """Return the network."""
        settings = {"_target_": "torch.optim.SGD", "lr": self.lr}
        module = ReLUModule(self.width, seeds=range(self.replicas), optimizer=settings)
        return module.double() if self.precise else module

    def sampler(self) -> Sampler:
        """Return the sampler of its minibatches."""
        return Full() if self.batch is None else WithReplacement(self.batch)

    def segment(self, start: int, stop: int) -> Segment:
        """Return the updates start .. stop - 1 of its replicas."""
        return Segment(dataset(self.samples), self.sampler(), range(self.replicas), start, stop)

    def plain(self, cores: int, ahead: bool = False) -> PlainLoop:
        """Return the plain loop on one replica of the case; `ahead` as for `EngineRunner`."""
        one = replace(self, replicas=1)
        drawn = next(one.segment(0, MAX_PIECE_UPDATES).pieces()).indices if ahead else None
        return PlainLoop(*one._parts(), self.batch, cores, None if drawn is None else drawn[0])

    def lightning(self, cores: int) -> PlainLightning:
        """Return a plain LightningModule on one replica of the case."""
        return PlainLightning(*replace(self, replicas=1)._parts(), self.batch, cores)

    def _parts(self) -> tuple[nn.Sequential, Optimizer, Tensor, Tensor]:
        module = self.module()
        network = module.to_sequential().to(module.input_slope.dtype)
        return (
            network,
            torch.optim.SGD(network.parameters(), lr=self.lr),
            *module.training_points(dataset(self.samples)),
        )


class EngineRunner:
    """One of reluviz's engines on a case.

    Args:
        case: the network and its data.
        engine: the name of the engine.
        cores: the number of threads it may use.
        ahead: whether minibatches are drawn before the measurement and then used repeatedly.
        kernel: the kernel of fused, dense or sorted; by default fused chooses it.
    """

    def __init__(self, case: Case, engine: str, cores: int = 1, ahead: bool = False, kernel: str | None = None) -> None:
        self.case, self.module = case, case.module()
        self.engine = choose(engine, self.module.requirements(case.sampler()))
        self.optimizer = self.module.configure_optimizers()
        self.x, self.y = self.module.training_points(dataset(case.samples))
        self.rates = np.full((MAX_PIECE_UPDATES, 1), case.lr)
        self.cores = cores
        self.cost = fused.cost if kernel is None else lambda *_: KERNEL_COSTS[kernel]
        self.done = 0
        self.last = torch.empty(0)
        self.drawn = next(case.segment(0, MAX_PIECE_UPDATES).pieces()).indices if ahead else None

    def run(self, updates: int) -> float:
        """Make updates and return the seconds they took."""
        with torch_threads(self.cores), mock.patch.object(fused, "cost", self.cost):
            started = time.perf_counter()
            for piece in self._pieces(updates):
                rates = self.rates[: len(piece)]
                self.last = self.engine.run(self.module.model_state(), self.optimizer, piece, rates, self.x, self.y)
            took = time.perf_counter() - started
        self.done += updates
        return took

    def loss(self) -> float:
        """Return the largest loss of the replicas' last minibatches."""
        return float(self.last.max())

    def _pieces(self, updates: int) -> Iterator[Piece]:
        if self.drawn is None:
            yield from self.case.segment(self.done, self.done + updates).pieces(self.engine.by_replica)
            return
        longest = self.drawn.shape[1]
        for start in range(0, updates, longest):
            stop = min(start + longest, updates)
            yield Piece(start, stop, self.drawn[:, : stop - start])
