"""The engine `fused` follows the reference engine on chains of any depth and width."""

import copy
import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reluviz.core.models import MODELS
from reluviz.core.models.architecture import Architecture
from reluviz.core.models.mlp import predict as predict_in_numpy
from reluviz.data import Dataset, Epoch, Full, Sampler, Segment, WithoutReplacement, WithReplacement
from reluviz.engines import chain_kernels, fused, parallel
from reluviz.engines import predict as predictions
from reluviz.engines.engine import Engine, ModelState
from reluviz.engines.fused import Fused
from reluviz.engines.reference import Reference

OPTIMIZERS: dict[str, Any] = {
    "sgd": functools.partial(torch.optim.SGD, lr=0.02),
    "decay": functools.partial(torch.optim.SGD, lr=0.02, weight_decay=0.1),
    "momentum": functools.partial(torch.optim.SGD, lr=0.002, momentum=0.9, dampening=0.2, weight_decay=0.01),
    "nesterov": functools.partial(torch.optim.SGD, lr=0.002, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": functools.partial(torch.optim.Adam, lr=0.001, betas=(0.8, 0.99)),
    "adam-decay": functools.partial(torch.optim.Adam, lr=0.001, weight_decay=0.1),
    "adamw": functools.partial(torch.optim.AdamW, lr=0.001, weight_decay=0.1),
}
SAMPLERS: dict[str, Any] = {
    "full": lambda batch: Full(),
    "with": WithReplacement,
    "without": WithoutReplacement,
    "epoch": Epoch,
}


@dataclass(frozen=True)
class Case:
    """A chain, its optimiser and its minibatches."""

    model: str = "mlp-20-20"
    optimizer: str = "sgd"
    sampler: str = "with"
    dtype: torch.dtype = torch.float64
    seeds: tuple[int, ...] = (0,)
    B: int = 8
    N: int = 30
    updates: int = 1000
    frozen: tuple[str, ...] = ()
    decayed: tuple[str, ...] | None = None

    def __str__(self) -> str:
        words = [
            self.model,
            self.optimizer,
            self.sampler,
            str(self.dtype).removeprefix("torch."),
            f"B{self.B}-N{self.N}",
        ]
        return "-".join([*words, f"R{len(self.seeds)}"])

    @functools.cached_property
    def architecture(self) -> Architecture:
        found = MODELS[self.model].architecture
        assert found is not None
        return found

    @property
    def dataset(self) -> Dataset:
        generator = np.random.default_rng(3)
        x = np.sort(generator.uniform(-0.5, 1, self.N))
        return Dataset("test", x, np.sin(7 * x) + 0.1 * generator.normal(size=self.N), (-0.5, 1.0))


@dataclass
class Network:
    """A chain that is trained."""

    case: Case
    parameters: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Draw weights and biases as torch does: uniform up to 1 / sqrt(inputs)."""
        case, inputs = self.case, 1
        generators = [np.random.default_rng(seed) for seed in case.seeds]
        for (weight, bias), width in zip(case.architecture.names, [*case.architecture.hidden, 1], strict=True):
            for name in (weight, bias):
                shape = case.architecture.shapes[name]
                drawn = np.stack([g.uniform(-1, 1, shape) for g in generators]) / np.sqrt(inputs)
                self.parameters[name] = torch.from_numpy(drawn).to(case.dtype)
            inputs = width
        for name, value in self.parameters.items():
            value.requires_grad_(name not in case.frozen)
        trained = {name: value for name, value in self.parameters.items() if name not in case.frozen}
        groups: list[dict[str, Any]] = [{"params": list(trained.values())}]
        if case.decayed is not None:
            groups = [
                {"params": [value for name, value in trained.items() if name in case.decayed]},
                {"params": [v for name, v in trained.items() if name not in case.decayed], "weight_decay": 0.0},
            ]
        self.optimizer: torch.optim.Optimizer = OPTIMIZERS[case.optimizer](groups)
        predict = functools.partial(predictions.chain, case.architecture, self.parameters)
        self.state = ModelState(case.model, self.parameters, predict, len(case.seeds))

    def train(self, engine: Engine, span: tuple[int, int], rates: np.ndarray | None = None) -> Tensor:
        case = self.case
        data = case.dataset
        x, y = (torch.from_numpy(values).to(case.dtype) for values in (data.x, data.y))
        lr = [group["lr"] for group in self.optimizer.param_groups]
        if rates is None:
            rates = np.broadcast_to(np.array(lr, dtype=float), (span[1], len(lr)))
        sampler: Sampler = SAMPLERS[case.sampler](case.B)
        loss = torch.tensor([])
        for piece in Segment(data, sampler, case.seeds, *span).pieces():
            loss = engine.run(self.state, self.optimizer, piece, rates[piece.start : piece.stop], x, y)
        for group, before in zip(self.optimizer.param_groups, lr, strict=True):
            group["lr"] = before
        self.optimizer.zero_grad(set_to_none=True)
        return loss

    def values(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.parameters.items()}


def assert_close(found: Network, wanted: Network, tolerance: float) -> None:
    """Compare the parameters: the largest difference of each replica with its largest parameter."""
    for r in range(len(wanted.case.seeds)):
        largest = max(float(value[r].abs().max()) for value in wanted.values().values())
        for name, value in wanted.values().items():
            assert found.values()[name].isfinite().all()
            assert float((found.values()[name][r] - value[r]).abs().max()) <= tolerance * largest, name


def assert_same_state(found: Network, wanted: Network, tolerance: float) -> None:
    a, b = found.optimizer.state_dict(), wanted.optimizer.state_dict()
    assert a["param_groups"] == b["param_groups"]
    assert a["state"].keys() == b["state"].keys()
    for i, state in b["state"].items():
        assert a["state"][i].keys() == state.keys()
        for name, value in state.items():
            if value is None:
                assert a["state"][i][name] is None
                continue
            one = a["state"][i][name]
            assert (one.dtype, one.shape) == (value.dtype, value.shape)
            torch.testing.assert_close(one, value, rtol=tolerance, atol=tolerance * float(value.abs().max()))


def cases() -> list[Case]:
    base = Case()
    found = [replace(base, optimizer=o, seeds=(0, 5)) for o in OPTIMIZERS]
    found += [replace(base, sampler=s, optimizer="momentum") for s in SAMPLERS]
    found += [
        replace(base, model=f"mlp-{widths}{kind}", optimizer="adamw" if kind else "decay")
        for widths, kind in itertools.product(("20", "10-20-10", "7-12-5-9"), ("", "-abs", "-leaky0.01"))
    ]
    found += [replace(base, model=m) for m in ("mlp-20-20-abs", "mlp-20-20-leaky0.3", "mlp-20-20-leaky-0.5")]
    found += [replace(base, model=f"mlp-{w}") for w in ("1-1", "1-1-1-1", "3-1-2", "4-5-6", "2-33-4")]
    # the block of samples is full, has one more, or is cut into several, and batches fill a vector or not
    found += [replace(base, B=B, N=N, updates=300) for B, N in ((1, 30), (72, 90), (73, 90), (40, 200), (145, 160))]
    found += [replace(base, sampler="full", N=N, updates=300) for N in (1, 2, 200)]
    found += [replace(base, model="mlp-130-70", updates=100), replace(base, model="mlp-6-300-5-abs", updates=100)]
    found += [replace(base, frozen=("input_slope", "bias", "weight_2", "bias_2"), optimizer=o) for o in OPTIMIZERS]
    found += [replace(base, frozen=("weight_2", "output_bias")), replace(base, frozen=("input_slope", "bias"))]
    found += [replace(base, decayed=("weight_2", "output_weight"), optimizer=o) for o in ("decay", "nesterov", "adamw")]
    return found


def known(case: Case) -> bool:
    return Architecture.of_name(case.model) is not None


CASES = [case for case in cases() if known(case)]


@functools.cache
def by_reference(case: Case) -> tuple[Network, Tensor]:
    network = Network(case)
    return network, network.train(Reference(), (0, case.updates))


@pytest.mark.parametrize(
    "case", [*CASES, *(replace(case, dtype=torch.float32, updates=100) for case in CASES[::3])], ids=str
)
def test_it_follows_the_reference_engine(case: Case) -> None:
    tolerance = 1e-9 if case.dtype == torch.float64 else 1e-4
    network = Network(case)
    loss = network.train(Fused(), (0, case.updates))
    wanted, wanted_loss = by_reference(case)
    assert (loss.shape, loss.dtype) == (wanted_loss.shape, case.dtype)
    torch.testing.assert_close(loss, wanted_loss, rtol=100 * tolerance, atol=100 * tolerance)
    assert_close(network, wanted, tolerance)
    # gradients are differences, which lose digits, and the second moment squares them
    assert_same_state(network, wanted, 100 * tolerance)
