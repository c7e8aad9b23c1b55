"""The engine `fused` follows the reference engine, with every kernel and optimiser."""

import copy
import functools
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reluviz.core.functions import PARAMETERS
from reluviz.data import Dataset, Full, Sampler, Segment, WithReplacement
from reluviz.data.segments import Piece
from reluviz.engines import fused, minibatch_kernels, parallel
from reluviz.engines.choose import choose
from reluviz.engines.engine import Engine
from reluviz.engines.fused import Fused
from reluviz.engines.reference import Reference
from reluviz.engines.support import FUSED
from reluviz.errors import UserError
from reluviz.models import ConstantModule, LinearModule, RegressionModule, ReLUModule

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"_target_": "torch.optim.SGD", "lr": 0.02},
    "decay": {"_target_": "torch.optim.SGD", "lr": 0.02, "weight_decay": 0.1},
    "momentum": {"_target_": "torch.optim.SGD", "lr": 0.002, "momentum": 0.9, "dampening": 0.2, "weight_decay": 0.01},
    "nesterov": {"_target_": "torch.optim.SGD", "lr": 0.002, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "adam": {"_target_": "torch.optim.Adam", "lr": 0.001, "betas": [0.8, 0.99]},
    "adam-decay": {"_target_": "torch.optim.Adam", "lr": 0.001, "weight_decay": 0.1, "foreach": True},
    "adamw": {"_target_": "torch.optim.adamw.AdamW", "lr": 0.001, "weight_decay": 0.1},
}


@dataclass(frozen=True)
class Case:
    """A model, its optimiser and its minibatches; B = 0 means full batch."""

    model: str = "relu"
    optimizer: str = "sgd"
    train: str = "all"
    dtype: torch.dtype = torch.float64
    replicas: int = 1
    W: int = 10
    B: int = 8
    N: int = 30
    kernel: str = "dense"
    start: str = "course"
    updates: int = 1000

    def __str__(self) -> str:
        changed = [f"{value}".removeprefix("torch.") for value in (self.train, self.dtype, self.start)]
        return "-".join(
            [self.model, self.kernel, self.optimizer, *changed, f"R{self.replicas}-W{self.W}-B{self.B}-N{self.N}"]
        )

    @property
    def dataset(self) -> Dataset:
        """Random points; every fifth point occurs twice."""
        generator = np.random.default_rng(3)
        x = generator.uniform(-0.5, 1, self.N)
        x[::5] = x[1::5][: len(x[::5])] if self.N > 5 else x[::5]
        x = np.sort(x)
        return Dataset("test", x, np.sin(7 * x) + 0.1 * generator.normal(size=self.N), (-0.5, 1.0))

    @property
    def sampler(self) -> Sampler:
        return WithReplacement(self.B) if self.B else Full()

    def module(self, scheduler: dict[str, Any] | None = None) -> RegressionModule:
        settings = dict(OPTIMIZERS[self.optimizer])
        if self.W > 100:
            settings["lr"] = settings["lr"] / 20
        common: dict[str, Any] = {"seeds": list(range(self.replicas)), "optimizer": settings, "scheduler": scheduler}
        if self.model == "constant":
            return ConstantModule(0.3, **common).to(self.dtype)
        if self.model == "linear":
            return LinearModule(0.3, **common).to(self.dtype)
        module = ReLUModule(self.W, train=self.train, domain=(-0.5, 1.0), **common).to(self.dtype)
        with torch.no_grad():
            STARTS[self.start](module, torch.from_numpy(self.dataset.x).to(self.dtype))
        return module

    def points(self) -> tuple[Tensor, Tensor]:
        data = self.dataset
        return torch.from_numpy(data.x).to(self.dtype), torch.from_numpy(data.y).to(self.dtype)

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        yield from Segment(self.dataset, self.sampler, range(self.replicas), start, stop).pieces()


def all_dead(module: ReLUModule, x: Tensor) -> None:
    module.bias.fill_(-3.0)
    module.input_slope[:, ::2] *= -1


def no_slope(module: ReLUModule, x: Tensor) -> None:
    """Set w = 0 in half of the units; some of them are constant, some are inactive."""
    module.input_slope[:, ::2] = 0.0
    module.bias[:, ::4] = 0.5
    module.bias[:, 2::4] = -0.5
    module.bias[:, 4] = 0.0


def elbows_on_points(module: ReLUModule, x: Tensor) -> None:
    """Set h = w x + b to exactly 0 at data points, where the derivative counts as 0, for both orientations."""
    at = x[torch.linspace(0, len(x) - 1, module.width).long()]
    module.bias.copy_(-(module.input_slope * at))


def linear_units(module: ReLUModule, x: Tensor) -> None:
    module.bias.fill_(5.0)
    module.output_weight *= 0.1


STARTS = {
    "course": lambda module, x: None,
    "dead": all_dead,
    "flat": no_slope,
    "at-points": elbows_on_points,
    "linear": linear_units,
}


def cases() -> list[Case]:
    base = Case()
    found = [Case(model=m, optimizer=o, W=1) for m in ("constant", "linear") for o in ("sgd", "nesterov", "adamw")]
    found += [Case(model="linear", W=1, B=0), Case(model="constant", replicas=3, W=1, B=1)]
    found += [replace(base, optimizer=o, replicas=2) for o in OPTIMIZERS]
    found += [replace(base, optimizer=o, kernel="sorted") for o in ("decay", "nesterov", "adam", "adamw")]
    found += [
        replace(base, train=t, optimizer=o, kernel=k)
        for t, (o, k) in itertools.product(("output", "hidden"), (("decay", "dense"), ("adamw", "sorted")))
    ]
    shapes = [
        (1, 1, 30),
        (3, 2, 5),
        (40, 40, 200),
        (10, 5, 1),
        (10, 0, 30),
        (7, 33, 2000),
        (300, 40, 200),
        (5, 1100, 30),
    ]
    found += [
        replace(base, W=W, B=B, N=N, kernel=k, replicas=2 if W == 3 else 1)
        for (W, B, N), k in itertools.product(shapes, ("dense", "sorted"))
    ]
    found += [replace(base, start=s, kernel=k) for s in list(STARTS)[1:] for k in ("dense", "sorted")]
    return found


def in_float32(case: Case) -> Case:
    return replace(case, dtype=torch.float32, updates=100)


def force_kernel(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the engine use the dense or the sorted kernel."""
    monkeypatch.setattr(fused, "cost", lambda *_: (0.0, 1.0) if kernel == "dense" else (1.0, 0.0))


def train(
    engine: Engine,
    module: RegressionModule,
    optimizer: torch.optim.Optimizer,
    case: Case,
    span: tuple[int, int],
    rates: np.ndarray | None = None,
) -> Tensor:
    x, y = case.points()
    lr = [group["lr"] for group in optimizer.param_groups]
    if rates is None:
        rates = np.broadcast_to(np.array(lr, dtype=float), (span[1], len(lr)))
    loss = torch.tensor([])
    for piece in case.pieces(*span):
        loss = engine.run(module.model_state(), optimizer, piece, rates[piece.start : piece.stop], x, y)
    for group, before in zip(optimizer.param_groups, lr, strict=True):
        group["lr"] = before
    optimizer.zero_grad(set_to_none=True)
    return loss


def assert_close(module: RegressionModule, wanted: RegressionModule, tolerance: float) -> None:
    for name in PARAMETERS[module.model]:
        a, b = getattr(module, name).detach(), getattr(wanted, name).detach()
        assert a.isfinite().all()
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * float(b.abs().max()))


def assert_same_state(optimizer: torch.optim.Optimizer, wanted: torch.optim.Optimizer, tolerance: float) -> None:
    a, b = optimizer.state_dict(), wanted.state_dict()
    assert a["param_groups"] == b["param_groups"]
    assert a["state"].keys() == b["state"].keys()
    for i, state in b["state"].items():
        assert a["state"][i].keys() == state.keys()
        for name, value in state.items():
            found = a["state"][i][name]
            if value is None:
                assert found is None
                continue
            assert (found.dtype, found.shape, found.stride()) == (value.dtype, value.shape, value.stride())
            assert not found.requires_grad
            largest = float(value.abs().max())
            torch.testing.assert_close(found, value, rtol=tolerance, atol=tolerance * largest)


@functools.cache
def by_reference(case: Case) -> tuple[RegressionModule, torch.optim.Optimizer, Tensor]:
    """Return a case trained by the reference engine, for which the kernel makes no difference."""
    module = case.module()
    optimizer = module.configure_optimizers()
    return module, optimizer, train(Reference(), module, optimizer, case, (0, case.updates))


def with_marks(case: Case) -> Any:
    """Mark a case `exhaustive` if it varies neither optimiser nor model: float32 needs a tenth of its updates."""
    short = case.optimizer != "sgd" or case.model != "relu" or case.replicas > 1 or case.updates < 1000
    return case if short else pytest.param(case, marks=pytest.mark.exhaustive)


@pytest.mark.parametrize("case", [with_marks(case) for case in [*cases(), *map(in_float32, cases())]], ids=str)
def test_it_follows_the_reference_engine(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    force_kernel(case.kernel, monkeypatch)
    module = case.module()
    assert FUSED.unsupported(module.requirements(None)) is None
    tolerance = 1e-9 if case.dtype == torch.float64 else 1e-4
    optimizer = module.configure_optimizers()
    loss = train(Fused(), module, optimizer, case, (0, case.updates))
    wanted, wanted_optimizer, wanted_loss = by_reference(replace(case, kernel="any"))
    assert loss.shape == (case.replicas,)
    assert loss.dtype == case.dtype
    torch.testing.assert_close(loss, wanted_loss, rtol=100 * tolerance, atol=100 * tolerance)
    assert_close(module, wanted, tolerance)
    # gradients are differences, which lose digits, and the second moment squares them
    assert_same_state(optimizer, wanted_optimizer, tolerance=100 * tolerance)


@pytest.mark.long
def test_the_sorted_kernels_stay_within_their_arrays(tmp_path: Path) -> None:
    # numba checks bounds only if this is set before it compiles
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    cases = "test_it_follows_the_reference_engine and sorted and all-float64-course and (sgd or adam-all)"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "-m",
        "",
        "-p",
        "no:cacheprovider",
        __file__,
        "-k",
        cases,
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("train_mode", ["all", "output", "hidden"])
def test_only_trained_parameters_change(train_mode: str) -> None:
    module = Case(train=train_mode).module()
    before = module.values()
    train(Fused(), module, module.configure_optimizers(), Case(train=train_mode), (0, 20))
    moved = {name for name, value in module.values().items() if not torch.equal(value, before[name])}
    assert moved == set(module.trained)


@pytest.mark.parametrize("kernel", ["dense", "sorted"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_engine_can_change_during_a_run(optimizer: str, kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    force_kernel(kernel, monkeypatch)
    case = Case(optimizer=optimizer, replicas=2)
    wanted, module = case.module(), case.module()
    uninterrupted, resumed = wanted.configure_optimizers(), module.configure_optimizers()
    train(Reference(), wanted, uninterrupted, case, (0, 300))
    for engine, span in ((Reference(), (0, 100)), (Fused(), (100, 200)), (Reference(), (200, 300))):
        # as if restored from a checkpoint
        again = module.configure_optimizers()
        again.load_state_dict(copy.deepcopy(resumed.state_dict()))
        resumed = again
        train(engine, module, resumed, case, span)
    assert_close(module, wanted, 1e-9)
    assert_same_state(resumed, uninterrupted, 1e-7)


@pytest.mark.parametrize("kernel", ["dense", "sorted"])
@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
def test_pieces_and_other_replicas_do_not_change_the_result(
    optimizer: str, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    force_kernel(kernel, monkeypatch)
    monkeypatch.setattr(parallel, "MIN_PARALLEL_NANOSECONDS", 0.0)
    monkeypatch.setattr(parallel, "THREADS", 3)
    case = Case(optimizer=optimizer, replicas=3, W=20)
    whole = case.module()
    train(Fused(), whole, whole.configure_optimizers(), case, (0, 200))
    alone = replace(case, replicas=1).module()
    optimizing = alone.configure_optimizers()
    engine = Fused()
    for span in ((0, 1), (1, 2), (2, 90), (90, 200)):
        train(engine, alone, optimizing, replace(case, replicas=1), span)
    for name, value in alone.values().items():
        assert torch.equal(value[0], whole.values()[name][0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("samples", [30, 2000])
@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 0.02), ("momentum", 0.002), ("adam", 0.003), ("adam", 0.1)])
def test_moving_single_units_gives_the_same_order_as_sorting_all(
    optimizer: str, lr: float, samples: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece begins by sorting all units; within a piece, units that leave their cells (few or most) are moved."""
    force_kernel("sorted", monkeypatch)
    case = Case(optimizer=optimizer, W=70, B=33, N=samples, dtype=dtype)
    whole, cut = case.module(), case.module()
    optimizing = cut.configure_optimizers()
    rates = np.full((60, len(optimizing.param_groups)), lr)
    train(Fused(), whole, whole.configure_optimizers(), case, (0, 60), rates)
    for start in range(60):
        train(Fused(), cut, optimizing, case, (start, start + 1), rates)
    for name, value in whole.values().items():
        assert value.isfinite().all()
        assert torch.equal(value, cut.values()[name])


@pytest.mark.parametrize("kernel", ["dense", "sorted"])
def test_elbows_that_move_far_and_units_that_change_orientation_are_followed(
    kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    force_kernel(kernel, monkeypatch)
    case = Case(optimizer="adam", W=40, B=40, N=200)
    wanted, module = case.module(), case.module()
    before = wanted.input_slope.detach().sign()
    rates = np.full((30, 1), 0.2)
    for engine, one in ((Fused(), module), (Reference(), wanted)):
        train(engine, one, one.configure_optimizers(), case, (0, 30), rates)
    assert (wanted.input_slope.detach().sign() != before).sum() > 3
    assert_close(module, wanted, 1e-9)


@pytest.mark.parametrize("side", [-1.0, 1.0])
@pytest.mark.parametrize("parameter", ["input_slope", "bias", "output_weight"])
def test_nan_in_one_unit_shows_in_the_loss(parameter: str, side: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the unit is active on no sample: 0 times NaN is NaN."""
    force_kernel("sorted", monkeypatch)
    module = Case().module()
    with torch.no_grad():
        module.input_slope.fill_(side)
        module.bias.fill_(-5.0)
        getattr(module, parameter)[0, 3] = torch.nan
    loss = train(Fused(), module, module.configure_optimizers(), Case(), (0, 1))
    assert loss.isnan().all()


@pytest.mark.parametrize("optimizer", ["nesterov", "adam"])
def test_every_update_and_group_has_its_own_learning_rate(optimizer: str) -> None:
    case = Case(optimizer=optimizer)
    wanted, module = case.module(), case.module()
    groups = len(wanted.configure_optimizers().param_groups)
    rates = 0.01 * np.random.default_rng(0).uniform(size=(200, groups))
    train(Reference(), wanted, wanted.configure_optimizers(), case, (0, 200), rates)
    train(Fused(), module, module.configure_optimizers(), case, (0, 200), rates)
    assert_close(module, wanted, 1e-9)


def test_weight_decay_does_not_apply_to_the_output_bias() -> None:
    case = Case(optimizer="decay")
    wanted, module = case.module(), case.module()
    # far from 0, so that decay would show; its group has learning rate 0
    for one in (wanted, module):
        with torch.no_grad():
            one.output_bias.fill_(10.0)
    rates = np.tile([0.02, 0.0], (50, 1))
    train(Reference(), wanted, wanted.configure_optimizers(), case, (0, 50), rates)
    train(Fused(), module, module.configure_optimizers(), case, (0, 50), rates)
    assert module.output_bias.tolist() == [10.0]
    assert_close(module, wanted, 1e-9)


@pytest.mark.parametrize("kernel", ["dense", "sorted"])
def test_nan_in_a_network_shows_in_its_loss_and_parameters(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    force_kernel(kernel, monkeypatch)
    case = Case()
    module = case.module()
    with torch.no_grad():
        module.output_weight[0, 3] = torch.nan
    loss = train(Fused(), module, module.configure_optimizers(), case, (0, 3))
    assert not loss.isfinite().any()
    assert not module.output_bias.isfinite().any()


def test_the_sorted_kernel_is_not_used_for_unsorted_points(monkeypatch: pytest.MonkeyPatch) -> None:
    force_kernel("sorted", monkeypatch)
    case = Case()
    wanted, module = case.module(), case.module()
    x, y = (values.flip(0) for values in case.points())
    (piece,) = case.pieces(0, 100)
    for engine, one in ((Fused(), module), (Reference(), wanted)):
        engine.run(one.model_state(), one.configure_optimizers(), piece, np.full((100, 1), 0.02), x, y)
    assert_close(module, wanted, 1e-9)


def test_the_sorted_kernel_is_faster_for_large_widths() -> None:
    for precise, batch, narrow, wide in ((True, 40, 60, 320), (False, 40, 160, 640), (False, 400, 20, 160)):
        dense, ordered = fused.cost(narrow, batch, 200, precise)
        assert dense < ordered
        dense, ordered = fused.cost(wide, batch, 200, precise)
        assert ordered < dense


def test_adam_with_eps_0_is_not_supported() -> None:
    """The padding has gradient 0, so its update would be 0 / 0 = NaN."""
    settings = {"_target_": "torch.optim.Adam", "lr": 0.001, "eps": 0.0}
    assert FUSED.unsupported(ReLUModule(3, optimizer=settings).requirements(None)) == "optimizer.eps=0.0"


def test_an_eps_that_is_not_a_number_is_left_for_the_optimizer_to_refuse() -> None:
    assert (
        FUSED.unsupported(ReLUModule(3, optimizer={"_target_": "torch.optim.Adam", "eps": "small"}).requirements(None))
        is None
    )


def test_the_cost_of_an_update_grows_at_most_linearly_with_the_width() -> None:
    for precise in (False, True):
        fast = [min(fused.cost(width, 40, 200, precise)) for width in (40, 640, 10_240)]
        assert fast[1] < 16 * fast[0]
        assert fast[2] < 16 * fast[1]


class CustomForward(ConstantModule):
    """A model that overrides `forward`."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    ("make_module", "feature"),
    [
        (lambda: ReLUModule(3, optimizer={"_target_": "torch.optim.RMSprop"}), "optimizer._target_=torch.optim.RMS"),
        (lambda: ReLUModule(3, optimizer={"_target_": "mine.SGD"}), "optimizer._target_=mine.SGD"),
        (lambda: ReLUModule(3, optimizer=OPTIMIZERS["adam"] | {"amsgrad": True}), "optimizer.amsgrad=True"),
        (lambda: ReLUModule(3, optimizer=OPTIMIZERS["sgd"] | {"maximize": True}), "optimizer.maximize=True"),
        (lambda: ReLUModule(3).to("meta"), "the device meta"),
        (lambda: ReLUModule(3).half(), "torch.float16"),
        (lambda: CustomForward(), "the model CustomForward"),
    ],
    ids=["rmsprop", "foreign", "amsgrad", "maximize", "device", "half", "model"],
)
def test_an_unsupported_feature_is_named_before_training(make_module: Any, feature: str) -> None:
    module = make_module()
    with pytest.raises(UserError, match=r"engine=fused: .* is not supported") as caught:
        choose("fused", module.requirements(None))
    assert feature in str(caught.value)
    engine = choose("auto", module.requirements(None))
    assert engine.name == "reference"
    assert feature in engine.reason


def test_auto_chooses_it_if_the_run_is_supported() -> None:
    engine = choose("auto", ReLUModule(3).requirements(WithReplacement(40)))
    assert (engine.name, engine.reason) == ("fused", "")
    assert choose("reference", ReLUModule(3).requirements(None)).reason == ""
    with pytest.raises(UserError, match="must be one of"):
        choose("fastest", ReLUModule(3).requirements(None))


def test_an_unsupported_optimizer_is_refused_at_the_first_update() -> None:
    case = Case()
    module = case.module()
    with pytest.raises(UserError, match="the optimizer RMSprop is not supported"):
        train(Fused(), module, torch.optim.RMSprop(module.parameters()), case, (0, 1))


@pytest.mark.parametrize(("replicas", "moments", "size"), [(1, 0, 4), (3, 2, 145), (2, 1, 5000)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_do_not_write_to_adjacent_memory(dtype, replicas, moments, size) -> None:
    given = np.random.default_rng(0).normal(size=(replicas, 1 + moments, size)).astype(dtype)
    loss = np.arange(replicas, dtype=dtype)
    rows, loss_copies, work = minibatch_kernels.padded_copy(given, loss)
    np.testing.assert_array_equal(rows, given)
    np.testing.assert_array_equal(loss_copies, loss)
    assert work.shape[0] == 4
    assert work.shape[1] >= max(size, minibatch_kernels.TILE + 8)
    assert not work.any()
    memory = rows
    while memory.base is not None:
        memory = memory.base
    begin, end = np.lib.array_utils.byte_bounds(memory)
    ends = [np.lib.array_utils.byte_bounds(part) for part in (rows, loss_copies, work)]
    assert min(first for first, _ in ends) - begin >= minibatch_kernels.CACHE_LINE_BYTES
    assert end - max(last for _, last in ends) >= minibatch_kernels.CACHE_LINE_BYTES
    assert all(last <= first for (_, last), (first, _) in itertools.pairwise(ends))
    assert not any(np.shares_memory(part, other) for part in (rows, loss_copies) for other in (given, loss, work))
