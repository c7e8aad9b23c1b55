"""The engine `fused` follows the reference engine on chains of any depth and width."""

import copy
import functools
import hashlib
import inspect
import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reluviz.core.models import MODELS
from reluviz.core.models.architecture import Architecture
from reluviz.core.models.mlp import predict as predict_in_numpy
from reluviz.data import Dataset, Epoch, Full, Sampler, Segment, WithoutReplacement, WithReplacement
from reluviz.engines import chain_kernels, fused, minibatch_kernels, parallel
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
    found += [replace(base, model=m) for m in ("mlp-20-20-abs", "mlp-20-20-leaky0.3", "mlp-20-20-leaky1.5")]
    found += [replace(base, model=f"mlp-{w}") for w in ("1-1", "1-1-1-1", "3-1-2", "4-5-6", "2-33-4")]
    # the block of samples is full, has one more, or is cut into several, and batches fill a vector or not
    found += [replace(base, B=B, N=N, updates=300) for B, N in ((1, 30), (72, 90), (73, 90), (40, 200), (145, 160))]
    found += [replace(base, sampler="full", N=N, updates=300) for N in (1, 2, 200)]
    found += [replace(base, model="mlp-130-70", updates=100), replace(base, model="mlp-6-300-5-abs", updates=100)]
    first_layers = ("input_slope", "bias", "weight_2", "bias_2")
    found += [replace(base, frozen=first_layers, optimizer=o) for o in ("decay", "nesterov", "adamw")]
    found += [replace(base, frozen=("weight_2", "output_bias")), replace(base, frozen=("input_slope", "bias"))]
    found += [replace(base, decayed=("weight_2", "output_weight"), optimizer=o) for o in ("decay", "nesterov", "adamw")]
    return found


CASES = cases()


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


def test_numpy_and_torch_predict_alike() -> None:
    for case in CASES:
        network = Network(case)
        x = np.linspace(-1, 1, 7)
        wanted = predict_in_numpy(case.architecture, {k: v.numpy() for k, v in network.values().items()}, x)
        found = network.state.predict(torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


KINDS = {"relu": ("", 0.0), "leaky": ("-leaky0.25", 0.25), "abs": ("-abs", 0.0)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", [1, 2])
def test_the_gate_of_a_pre_activation_of_0_is_that_of_torch(kind: str, layer: int) -> None:
    """At x = 0 with a bias of 0, z is exactly 0: phi' is 0 for relu and abs, and the slope for leaky."""
    suffix, gate = KINDS[kind]
    case = Case(model=f"mlp-5-6{suffix}", sampler="full", N=1)
    gradient = {}
    for engine in (Fused(), Reference()):
        network = Network(case)
        bias, weight = (("bias", "input_slope"), ("bias_2", "weight_2"))[layer - 1]
        with torch.no_grad():
            network.parameters[bias][0, 3] = 0.0
            # z = 0 x + 0
            network.parameters[weight][0, 3] = 0.0
        before = network.values()[bias]
        network.train(engine, (0, 1))
        gradient[engine.name] = (before - network.values()[bias])[0] / 0.02
    torch.testing.assert_close(gradient["fused"], gradient["reference"], rtol=1e-12, atol=1e-14)
    # and it is the gate times the gradient with respect to h, which differs from 0
    network = Network(case)
    with torch.no_grad():
        network.parameters[bias][0, 3] = 1e-12
        network.parameters[weight][0, 3] = 0.0
    before = network.values()[bias]
    network.train(Fused(), (0, 1))
    of_positive = (before - network.values()[bias])[0, 3] / 0.02
    assert abs(float(of_positive)) > 1e-3
    torch.testing.assert_close(gradient["fused"][3], gate * of_positive, rtol=1e-3, atol=1e-12)


def test_kinks_of_the_first_layer_on_points_are_decided_as_by_torch() -> None:
    """b = -(w x), rounded, so that w x + b is exactly 0 if it is rounded twice, and not if it is rounded once."""
    case = Case(model="mlp-20-20", sampler="full", updates=3)
    x = torch.from_numpy(case.dataset.x)
    networks = [Network(case), Network(case)]
    for network, engine in zip(networks, (Fused(), Reference()), strict=True):
        with torch.no_grad():
            network.parameters["bias"].copy_(-(network.parameters["input_slope"] * x[5:25]))
        network.train(engine, (0, 1))
    assert_close(*networks, 1e-14)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_engine_can_change_during_a_run(optimizer: str) -> None:
    case = Case(optimizer=optimizer, seeds=(0, 3))
    wanted, network = Network(case), Network(case)
    wanted.train(Reference(), (0, 300))
    for engine, span in ((Reference(), (0, 100)), (Fused(), (100, 200)), (Reference(), (200, 300))):
        # as if restored from a checkpoint
        state = copy.deepcopy(network.optimizer.state_dict())
        network.optimizer = OPTIMIZERS[optimizer](list(network.parameters.values()))
        network.optimizer.load_state_dict(state)
        network.train(engine, span)
    assert_close(network, wanted, 1e-9)
    assert_same_state(network, wanted, 1e-7)


@pytest.mark.parametrize("model", ["mlp-20-20", "mlp-7-12-5-9-abs", "mlp-3"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
def test_pieces_and_other_replicas_do_not_change_the_result(
    optimizer: str, dtype: torch.dtype, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "MIN_PARALLEL_NANOSECONDS", 0.0)
    monkeypatch.setattr(parallel, "THREADS", 3)
    case = Case(model=model, optimizer=optimizer, dtype=dtype, seeds=(2, 0, 7, 8, 9), B=40)
    whole, alone, engine = Network(case), Network(replace(case, seeds=(7,))), Fused()
    whole_loss = whole.train(Fused(), (0, 200))
    for span in ((0, 1), (1, 2), (2, 90), (90, 200)):
        loss = alone.train(engine, span)
    assert torch.equal(loss[0], whole_loss[2])
    for name, value in alone.values().items():
        assert torch.equal(value[0], whole.values()[name][2])


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam"])
def test_every_update_and_group_has_its_own_learning_rate(optimizer: str) -> None:
    case = Case(optimizer=optimizer, decayed=("weight_2", "bias_2"))
    wanted, network = Network(case), Network(case)
    rates = 0.01 * np.random.default_rng(0).uniform(size=(200, 2))
    wanted.train(Reference(), (0, 200), rates)
    network.train(Fused(), (0, 200), rates)
    assert_close(network, wanted, 1e-9)


def test_weight_decay_applies_to_its_group_only() -> None:
    """With learning rate 0 in the other group, only the decay can move what the first group holds."""
    case = Case(optimizer="decay", decayed=("weight_2",), sampler="full", N=1)
    network = Network(case)
    with torch.no_grad():
        # f = 0 for all parameters below, so that no gradient reaches weight_2
        network.parameters["output_weight"].fill_(0.0)
    before = network.values()
    network.train(Fused(), (0, 10), np.tile([0.02, 0.0], (10, 1)))
    after = network.values()
    torch.testing.assert_close(after["weight_2"], before["weight_2"] * (1 - 0.02 * 0.1) ** 10)
    assert all(torch.equal(after[name], before[name]) for name in after if name != "weight_2")


@pytest.mark.parametrize(
    "frozen", [("input_slope", "bias"), ("weight_2", "bias_2"), ("output_weight", "output_bias"), ("bias", "weight_2")]
)
def test_frozen_parameters_do_not_change(frozen: Sequence[str]) -> None:
    network = Network(Case(frozen=tuple(frozen), optimizer="adamw"))
    before = network.values()
    network.train(Fused(), (0, 20))
    assert {name for name, value in network.values().items() if torch.equal(value, before[name])} == set(frozen)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_divergence_shows_in_the_loss_and_the_parameters(optimizer: str, dtype: torch.dtype) -> None:
    case = Case(model="mlp-20-20-abs", optimizer=optimizer, dtype=dtype, seeds=(0, 1))
    network = Network(case)
    loss = network.train(Fused(), (0, 2000), np.full((2000, 1), 1e30))
    assert not loss.isfinite().any()
    assert not network.values()["output_bias"].isfinite().any()


@pytest.mark.parametrize("name", ["input_slope", "bias", "weight_2", "bias_2", "output_weight", "output_bias"])
def test_nan_in_one_parameter_shows_in_the_loss_of_its_replica_alone(name: str) -> None:
    network = Network(Case(seeds=(0, 1)))
    with torch.no_grad():
        network.parameters[name].view(2, -1)[1, 0] = torch.nan
    loss = network.train(Fused(), (0, 1))
    assert loss.isnan().tolist() == [False, True]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_loss_is_that_of_the_last_minibatch_before_its_update(dtype: torch.dtype) -> None:
    case = Case(dtype=dtype, B=75)
    network = Network(case)
    before = network.train(Fused(), (0, 1))
    (piece,) = Segment(case.dataset, WithReplacement(75), (0,), 0, 1).pieces()
    assert piece.indices is not None
    x, y = (values[piece.indices[0, 0]] for values in (case.dataset.x, case.dataset.y))
    start = {name: value.double().numpy() for name, value in Network(case).values().items()}
    wanted = np.square(predict_in_numpy(case.architecture, start, x) - y).mean()
    assert float(before[0]) == pytest.approx(wanted, rel=1e-6 if dtype == torch.float32 else 1e-13)


def test_batches_of_every_size_have_the_gradient_of_autograd() -> None:
    """The samples fill up a part of a vector, or of a block."""
    for size, dtype in itertools.product((*range(1, 19), 71, 72, 73, 100, 144, 145), (torch.float32, torch.float64)):
        case = Case(model="mlp-5-3", B=size, N=200, dtype=dtype)
        networks = [Network(case), Network(case)]
        for network, engine in zip(networks, (Fused(), Reference()), strict=True):
            network.train(engine, (0, 1), np.full((1, 1), 1.0))
        assert_close(*networks, 2e-6 if dtype == torch.float32 else 1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_layers_of_every_width_have_the_gradient_of_autograd(dtype: torch.dtype) -> None:
    for widths in itertools.product(range(1, 10), (1, 2, 3, 4, 7)):
        case = Case(model=f"mlp-{widths[0]}-{widths[1]}-abs", dtype=dtype, B=3)
        networks = [Network(case), Network(case)]
        for network, engine in zip(networks, (Fused(), Reference()), strict=True):
            network.train(engine, (0, 1), np.full((1, 1), 1.0))
        assert_close(*networks, 2e-6 if dtype == torch.float32 else 1e-14)


def test_one_kernel_serves_all_architectures_optimisers_and_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[set[str]] = []

    def recorded(*args: Any) -> None:
        arrays = [value for value in args if isinstance(value, np.ndarray)]
        assert all(value.flags.c_contiguous and value.flags.writeable for value in arrays)
        calls.append({str([(str(value.dtype), value.ndim) for value in arrays])})
        updates(*args)

    updates = chain_kernels.chain_updates
    monkeypatch.setattr(chain_kernels, "chain_updates", recorded)
    for case in (Case(), Case(model="mlp-3-2-1-abs"), Case(optimizer="adam", sampler="full"), Case(decayed=("bias",))):
        Network(case).train(Fused(), (0, 2))
    assert len(set.union(*calls)) == 1
    assert len(calls) == 4


def test_a_change_of_the_steps_compiles_the_kernel_anew() -> None:
    """The steps are in another file, whose changes numba does not notice; it notices changes of a function's cells."""
    source = Path(minibatch_kernels.__file__).read_bytes()
    cells = inspect.unwrap(chain_kernels.chain_updates).__closure__
    assert cells is not None
    assert hashlib.sha256(source).hexdigest() in [cell.cell_contents for cell in cells]


def test_the_estimated_time_grows_with_the_products_of_an_update() -> None:
    small, wide = fused.chain_cost(481, 40, False), fused.chain_cost(20_501, 40, False)
    large = fused.chain_cost(20_501, 400, False)
    assert small < wide < large < 11 * wide
    assert fused.chain_cost(20_501, 40, True) > 1.5 * wide


@pytest.mark.long
def test_the_process_that_compiles_gets_the_same_bits_as_later_ones(tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r});"
        " from test_chain_kernels import *;"
        " network = Network(Case(optimizer='adam', dtype=torch.float32, seeds=(0, 1)));"
        " network.train(Fused(), (0, 300));"
        " print([value.tolist() for value in network.values().values()])"
    )
    found = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found.append(done.stdout)
        # one file for one precision
        assert len(list(tmp_path.rglob("*.nbc"))) == 1
    assert found[0] == found[1]
