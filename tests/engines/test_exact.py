"""The engine `exact` follows full-batch autograd in float64, for all kinds of data and positions of the elbows."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numba
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from reluviz.core import theory
from reluviz.core.functions import PARAMETERS
from reluviz.data.dataset import Dataset
from reluviz.data.samplers import Epoch, Full, Sampler
from reluviz.data.segments import Piece, Segment
from reluviz.data.targets import piecewise_linear
from reluviz.engines.engine import Engine
from reluviz.engines.exact import Exact
from reluviz.engines.reference import Reference
from reluviz.engines.support import EXACT
from reluviz.errors import UserError
from reluviz.models import ConstantModule, LinearModule, RegressionModule, ReLUModule

Settings = dict[str, Any]
Rates = NDArray[np.float64]

SGD: dict[str, Settings] = {
    "sgd": {},
    "decay": {"weight_decay": 0.01},
    "momentum": {"momentum": 0.9},
    "dampening": {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01},
    "nesterov": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
}
ADAM: dict[str, Settings] = {
    "adam": {},
    "adam-decay": {"weight_decay": 0.01, "betas": (0.8, 0.99), "eps": 1e-6},
    "adamw": {"weight_decay": 0.1},
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    # on a busy machine, threads waiting for each other would take a hundred times as long as the updates
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def settings(name: str, lr: float | None = None) -> Settings:
    if name in SGD:
        return {"_target_": "torch.optim.SGD", "lr": lr or 0.02, **SGD[name]}
    cls = "AdamW" if name == "adamw" else "Adam"
    return {"_target_": f"torch.optim.{cls}", "lr": lr or 0.003, **ADAM[name]}


def make_dataset(x: Any, y: Any = None) -> Dataset:
    x = np.sort(np.asarray(x, dtype=float))
    y = np.sin(5 * (x - x[0])) + np.random.RandomState(2).normal(scale=0.1, size=len(x)) if y is None else np.array(y)
    return Dataset("points", x, y, (float(x[0]), float(x[-1])))


uniform = np.random.RandomState(3).uniform(size=60)
DATA = {
    "course": piecewise_linear(50),
    "repeated": make_dataset(np.repeat([0.0, 0.25, 0.5, 0.75, 1.0], 7)),
    "one-place": make_dataset(np.full(5, 0.7)),
    "two": make_dataset([0.2, 0.9]),
    "one": make_dataset([0.4]),
    "symmetric": make_dataset(4 * uniform - 2),
    "steps": make_dataset(np.arange(9) / 8),
    "far": make_dataset(1e6 + uniform),
    "far-y": make_dataset(uniform, 1e4 + np.sin(5 * np.sort(uniform))),
    "wide": make_dataset(1e3 * (uniform - 0.5), np.sin(5 * np.sort(uniform))),
}


def network(
    data: Dataset,
    width: int = 6,
    seeds: tuple[int, ...] = (0,),
    optimizer: Settings | None = None,
    elbows: str = "",
    **more: Any,
) -> ReLUModule:
    """Return a float64 network with elbows on the data's domain, or at the special positions that `elbows` names."""
    domain = data.domain if data.domain[0] < data.domain[1] else None
    placed = "torch" if elbows == "torch" else "uniform"
    module = ReLUModule(width, placed, domain=domain, seeds=seeds, optimizer=optimizer, **more).double()
    w, b = module.input_slope.data, module.bias.data
    if elbows == "flat":
        # w = 0: always active, never active, and on the boundary; also -0.0
        w[:, :4] = torch.tensor([0.0, 0.0, 0.0, -0.0], dtype=torch.float64)
        b[:, :4] = torch.tensor([0.3, -0.3, 0.0, 0.2], dtype=torch.float64)
    elif elbows not in ("", "torch"):
        x = torch.from_numpy(data.x)
        low, high, middle = x[0], x[-1], x[len(x) // 2]
        length = high - low
        at = {
            "outside": [low - length, high + length, low - 0.01 * length, high + 0.01 * length],
            "equal": [middle, middle, middle, middle + 0.1],
            "on-data": [low, high, middle, middle],
        }[elbows]
        # powers of two, so that w x + b is exactly 0 at the elbows
        w[:, :4] = torch.tensor([0.5, -1.0, -0.25, 1.0], dtype=torch.float64)
        b[:, :4] = -w[:, :4] * torch.stack(at)
        w[:, 4:], b[:, 4:] = 1.0, -high - length
    return module


def train(
    engine: Engine,
    module: RegressionModule,
    data: Dataset,
    updates: int,
    start: int = 0,
    optimizer: Optimizer | None = None,
    rates: Callable[[int], float] | None = None,
) -> tuple[Optimizer, Tensor]:
    optimizer = optimizer or module.configure_optimizers()
    assert isinstance(optimizer, Optimizer)
    loss = torch.tensor([])
    x, y = module.training_points(data)
    for piece in Segment(data, Full(), module.seeds, start, start + updates).pieces():
        table = np.array([[g["lr"] for g in optimizer.param_groups] for _ in range(piece.start, piece.stop)])
        if rates is not None:
            # also a different rate for each group
            table *= np.outer([rates(k) for k in range(piece.start, piece.stop)], 1 + np.arange(table.shape[1]))
        loss = engine.run(module.model_state(), optimizer, piece, table, x, y)
    return optimizer, loss


def largest_difference(a: RegressionModule, b: RegressionModule) -> float:
    """Return the largest difference between two modules' parameters, relative to the largest value in that tensor."""
    worst = 0.0
    for name in PARAMETERS[a.model]:
        one, two = a.values()[name], b.values()[name]
        assert torch.isfinite(two).all()
        one, two = one.reshape(len(one), -1), two.reshape(len(two), -1)
        worst = max(worst, float(((one - two).abs().amax(1) / two.abs().amax(1).clamp(min=1e-300)).max()))
    return worst


@dataclass
class Case:
    name: str
    build: Callable[[], RegressionModule]
    data: str
    updates: int = 500
    bound: float = 1e-10
    rates: Callable[[int], float] | None = None
    repeats: bool = False
    """Whether a test of it is `exhaustive`, since two other optimisers are tested in the same way."""


def cases() -> list[Case]:
    found = []

    def relu(name: str, data: str = "course", optimizer: Settings | None = None, **more: Any) -> None:
        case_arguments = {key: more.pop(key) for key in ("updates", "bound", "rates", "repeats") if key in more}
        chosen = optimizer or settings("momentum")
        found.append(Case(name, lambda: network(DATA[data], optimizer=chosen, **more), data, **case_arguments))

    for name in (*SGD, *ADAM):
        repeats = name not in ("nesterov", "adam")
        for mode in ("all", "output", "hidden"):
            relu(f"{name}-{mode}", optimizer=settings(name), train=mode, repeats=repeats and mode != "all")
        relu(f"{name}-3-replicas", optimizer=settings(name), seeds=(0, 5, 17), repeats=repeats)
        for model in (ConstantModule, LinearModule):
            chosen = settings(name)
            found.append(
                Case(
                    f"{model.model}-{name}",
                    lambda model=model, chosen=chosen: model(0.3, seeds=(0, 1), optimizer=chosen).double(),
                    "symmetric",
                    repeats=repeats,
                )
            )
    for width in (1, 2, 40, 300):
        for name in ("nesterov", "adam"):
            relu(f"width-{width}-{name}", optimizer=settings(name, 0.001), width=width)
    for elbows in ("outside", "equal", "on-data", "flat"):
        for name, data in (("sgd", "steps"), ("adam", "steps"), ("momentum", "symmetric"), ("adamw", "symmetric")):
            relu(f"{elbows}-{name}-{data}", data, settings(name), elbows=elbows)
    for data in ("repeated", "one-place", "two", "one", "symmetric"):
        for name in ("nesterov", "adam"):
            relu(f"{data}-{name}", data, settings(name))
    relu("dead-and-linear-units", elbows="torch", width=12)
    relu("wide", "wide", settings("momentum", 1e-9))
    relu("far-y-sgd", "far-y", settings("sgd", 1e-6))
    relu("far-sgd", "far", settings("sgd", 1e-14))
    relu("far-momentum", "far", settings("momentum", 1e-14))
    relu("far-output", "far", settings("momentum", 1e-2), train="output")
    relu("far-adam", "far", settings("adam", 1e-9))
    relu("changing-rate", optimizer=settings("dampening"), rates=lambda k: 1.5 + np.cos(k / 30))
    relu("changing-rate-adam", optimizer=settings("adamw"), rates=lambda k: 1.5 + np.cos(k / 30))
    return found


CASES = cases()


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=[pytest.mark.exhaustive] * case.repeats) for case in CASES]
)
def test_follows_autograd(case: Case) -> None:
    one, two = case.build(), case.build()
    data = DATA[case.data]
    _, loss = train(Exact(), one, data, case.updates, rates=case.rates)
    _, true_loss = train(Reference(), two, data, case.updates, rates=case.rates)
    assert largest_difference(case.build(), two) > 0
    assert largest_difference(one, two) < case.bound
    # the loss of a perfect fit is only rounding errors
    assert torch.allclose(loss, true_loss, rtol=1e-9, atol=1e-20)


def test_elbows_far_from_zero_follow_autograd() -> None:
    data = DATA["far"]
    one, two = (network(data, optimizer=settings("momentum", 1e-14)) for _ in range(2))
    before = -one.bias.detach() / one.input_slope.detach()
    train(Exact(), one, data, 500)
    train(Reference(), two, data, 500)
    exact, autograd = (-m.bias.detach() / m.input_slope.detach() for m in (one, two))
    assert (exact - before).abs().max() > 0.1
    # b is about 1e6, so its last digit is about 1e-10
    assert (exact - autograd).abs().max() < 1e-8


def test_far_from_zero_the_exact_engine_keeps_digits_that_autograd_loses() -> None:
    # w x + b is a difference of numbers near 1e6, which autograd rounds for every sample
    data = DATA["far"]
    one, two = (network(data, train="output", optimizer=settings("sgd")) for _ in range(2))
    w, b, v, c = (one.values()[name][0].tolist() for name in PARAMETERS["relu"])
    hidden = [
        [max(Fraction(w_k) * Fraction(x_i) + Fraction(b_k), 0) for w_k, b_k in zip(w, b, strict=True)] for x_i in data.x
    ]
    phi, v = np.array(hidden, dtype=float), np.array(v)
    for _ in range(500):
        residual = phi @ v + c - data.y
        v, c = v - 0.02 * 2 * (residual @ phi) / len(data.x), c - 0.02 * 2 * residual.mean()
    train(Exact(), one, data, 500)
    train(Reference(), two, data, 500)
    exact, autograd = (float(np.abs(m.output_weight.detach()[0].numpy() - v).max()) for m in (one, two))
    assert exact < 1e-14
    assert 1000 * exact < autograd < 1e-9


def test_follows_autograd_on_many_points() -> None:
    data = piecewise_linear(200_000)
    one, two = (network(data, 40, optimizer=settings("momentum")) for _ in range(2))
    _, loss = train(Exact(), one, data, 3)
    _, true_loss = train(Reference(), two, data, 3)
    assert largest_difference(one, two) < 1e-13
    torch.testing.assert_close(loss, true_loss, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", [*SGD, *ADAM])
@pytest.mark.parametrize("mode", ["all", "output", "hidden"])
def test_follows_autograd_in_float32(name: str, mode: str) -> None:
    course = DATA["course"]
    data = make_dataset(course.x.astype(np.float32), course.y.astype(np.float32))
    # for gradients as small as Adam's epsilon, larger steps would amplify float32's rounding to 1e-3
    chosen = settings(name, 0.001 if name in ADAM else None)
    one, two, truth = (network(data, 10, (0, 1), chosen, train=mode).float() for _ in range(3))
    _, loss = train(Exact(), one, data, 100)
    train(Reference(), two, data, 100)
    assert loss.dtype == one.bias.dtype == torch.float32
    largest = max(float(value.abs().max()) for value in two.values().values())
    assert max(float((one.values()[name] - two.values()[name]).abs().max()) for name in two.trained) < 1e-4 * largest
    # it rounds once, while autograd rounds at every update
    train(Reference(), truth.double(), data, 100)
    assert largest_difference(one, truth) < 1e-7


def assert_same_state(one: Optimizer, two: Optimizer, rtol: float) -> None:
    states = [optimizer.state_dict()["state"] for optimizer in (one, two)]
    assert states[0].keys() == states[1].keys()
    for key, expected in states[1].items():
        assert states[0][key].keys() == expected.keys()
        for name, value in expected.items():
            found = states[0][key][name]
            assert (found.dtype, found.shape, found.requires_grad) == (value.dtype, value.shape, value.requires_grad)
            torch.testing.assert_close(found, value, rtol=rtol, atol=rtol * float(value.abs().max()))


@pytest.mark.parametrize("name", [*SGD, *ADAM])
@pytest.mark.parametrize(
    ("first", "second"),
    [(Exact, Exact), (Exact, Reference), (Reference, Exact)],
    ids=["exact-exact", "exact-reference", "reference-exact"],
)
def test_the_engine_can_change_during_a_run(name: str, first: type[Engine], second: type[Engine]) -> None:
    data = DATA["course"]
    one, two = (network(data, seeds=(0, 1), optimizer=settings(name)) for _ in range(2))
    optimizer, _ = train(first(), one, data, 100)
    resumed = one.configure_optimizers()
    resumed.load_state_dict(optimizer.state_dict())
    train(second(), one, data, 100, start=100, optimizer=resumed)
    expected, _ = train(Reference(), two, data, 200)
    assert largest_difference(one, two) < 1e-12
    assert_same_state(resumed, expected, 1e-11)


def test_the_division_into_pieces_does_not_change_the_result_in_float64() -> None:
    data = DATA["course"]
    one, two = (network(data, seeds=(0, 1), optimizer=settings("adamw")) for _ in range(2))
    train(Exact(), one, data, 60)
    optimizer, engine = None, Exact()
    for start in range(0, 60, 6):
        optimizer, _ = train(engine, two, data, 6, start, optimizer)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_replica_equals_the_run_with_its_seed_alone() -> None:
    data = DATA["course"]
    together, alone = (network(data, seeds=seeds, optimizer=settings("adam")) for seeds in ((0, 5, 17), (5,)))
    train(Exact(), together, data, 200)
    train(Exact(), alone, data, 200)
    for a, b in zip(together.parameters(), alone.parameters(), strict=True):
        assert torch.equal(a[1], b[0])


def test_an_engine_can_be_used_for_several_data_sets() -> None:
    engine = Exact()
    for data in (DATA["course"], DATA["steps"]):
        for seeds in ((0,), (0, 1)):
            one, two = (network(data, seeds=seeds, optimizer=settings("sgd")) for _ in range(2))
            train(engine, one, data, 5)
            train(Reference(), two, data, 5)
            assert largest_difference(one, two) < 1e-14


def test_unsorted_points_give_the_same_result() -> None:
    data = DATA["course"]
    order = np.random.RandomState(4).permutation(len(data.x))
    shuffled = Dataset("shuffled", data.x[order], data.y[order], data.domain)
    one, two = (network(data, optimizer=settings("sgd")) for _ in range(2))
    train(Exact(), one, shuffled, 20)
    train(Reference(), two, data, 20)
    assert largest_difference(one, two) < 1e-13


def test_dead_units_do_not_change() -> None:
    data = DATA["steps"]
    module = network(data, elbows="outside", optimizer=settings("momentum"))
    before = module.values()
    train(Exact(), module, data, 50)
    after = module.values()
    dead = [4, 5]
    for name in ("input_slope", "bias", "output_weight"):
        assert torch.equal(before[name][:, dead], after[name][:, dead])
        assert not torch.equal(before[name], after[name])


@pytest.mark.parametrize(("model", "facts"), [(ConstantModule, theory.constant), (LinearModule, theory.linear)])
@pytest.mark.parametrize("lr", [0.1, 0.5, 0.7])
def test_one_parameter_models_follow_theory(model: type[RegressionModule], facts: Any, lr: float) -> None:
    data = DATA["course"]
    module = model(-2.0, seeds=(0, 1), optimizer={"_target_": "torch.optim.SGD", "lr": lr}).double()  # type: ignore[call-arg]
    given = (data.y,) if model is ConstantModule else (data.x, data.y)
    path = facts.trajectory(module.theta.detach().numpy().copy(), *given, lr, 40)
    for updates in range(1, 41):
        _, loss = train(Exact(), module, data, 1, updates - 1)
        np.testing.assert_allclose(module.theta.detach(), path[:, updates], rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(loss, facts.loss(path[:, updates - 1], *given), rtol=1e-12)


def test_the_loss_of_a_nearly_perfect_fit_is_accurate() -> None:
    data = make_dataset(np.linspace(0, 1, 101), 1e3 + np.maximum(np.linspace(0, 1, 101) - 0.5, 0))
    module = network(data, 2, optimizer=settings("sgd", 1e-12))
    with torch.no_grad():
        module.input_slope[:], module.bias[:] = 1.0, -0.5
        module.output_weight[:], module.output_bias[:] = 0.5, 1e3 + 2.0**-20
    _, loss = train(Exact(), module, data, 1)
    torch.testing.assert_close(loss, torch.full_like(loss, 2.0**-40), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_a_diverging_run_ends_with_a_non_finite_loss_as_in_autograd(name: str) -> None:
    data = DATA["course"]
    one, two = (network(data, optimizer=settings(name, 1e200)) for _ in range(2))
    losses = [float(train(engine, m, data, 20)[1]) for engine, m in ((Exact(), one), (Reference(), two))]
    assert not np.isfinite(losses).any()


def test_a_boundary_is_found_from_every_hint() -> None:
    from reluviz.engines import full_batch_kernels

    find_boundary = numba.njit(full_batch_kernels.find_boundary.py_func)
    random = np.random.RandomState(5)
    for x in (DATA["repeated"].x, DATA["far"].x, DATA["one"].x, np.arange(9) / 8):
        for _ in range(40):
            w = random.choice([0.0, -0.0, 1.0, -1.0, 5e-324, random.normal()])
            b = random.choice([0.0, 1.0, -w * random.choice(x), -w * random.uniform(x[0] - 1, x[-1] + 1)])
            active = w * x + b > 0
            for hint in range(len(x) + 1):
                j = find_boundary(float(w), float(b), x, hint)
                assert np.array_equal(active, np.arange(len(x)) < j if w < 0 else np.arange(len(x)) >= j)


@pytest.mark.parametrize("size", [1, 2, 17, 300])
def test_unsorted_keys_are_sorted(size: int) -> None:
    from reluviz.engines import full_batch_kernels

    sort = numba.njit(full_batch_kernels.sort.py_func)
    for keys in (np.arange(size)[::-1].copy(), np.random.RandomState(6).randint(0, size, size)):
        expected = np.sort(keys)
        sort(keys)
        assert np.array_equal(keys, expected)


def test_prefix_sums_are_accurate_to_one_rounding() -> None:
    from reluviz.engines.full_batch_kernels import prefix_sums

    random = np.random.RandomState(7)
    u, y = random.uniform(-1, 1, 20_000), random.normal(size=20_000)
    sums = np.empty((20_001, 4))
    prefix_sums(u, y, sums)
    for column, terms in enumerate((u, u * u, y, u * y)):
        for j in (0, 1, 777, 20_000):
            assert sums[j, column] == pytest.approx(math.fsum(terms[:j]), rel=3e-16, abs=1e-18)


@pytest.mark.parametrize(
    ("optimizer", "sampler", "reason"),
    [
        ({"_target_": "torch.optim.SGD", "lr": 0.1}, Full(), None),
        ({"_target_": "torch.optim.AdamW", "foreach": True}, Full(), None),
        ({"_target_": "torch.optim.SGD", "lr": 0.1}, Epoch(), "sampler=epoch"),
        ({"_target_": "torch.optim.SGD", "lr": 0.1}, None, "data without a sampler"),
        ({"_target_": "torch.optim.RMSprop"}, Full(), "optimizer._target_=torch.optim.RMSprop"),
        ({"_target_": "torch.optim.NAdam"}, Full(), "optimizer._target_=torch.optim.NAdam"),
        ({"_target_": "torch.optim.Adam", "amsgrad": True}, Full(), "optimizer.amsgrad=True"),
        ({"_target_": "torch.optim.SGD", "lr": 0.1, "maximize": True}, Full(), "optimizer.maximize=True"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_an_unsupported_feature_is_named(optimizer: Settings, sampler: Sampler | None, reason: str | None) -> None:
    module = ReLUModule(3, optimizer=optimizer)
    assert EXACT.unsupported(module.requirements(sampler)) == reason


def test_an_unsupported_piece_or_optimizer_is_refused() -> None:
    data = DATA["course"]
    x, y = (module := network(data, optimizer=settings("sgd"))).training_points(data)
    piece = Piece(0, 1, torch.zeros(1, 1, 3, dtype=torch.int64))
    with pytest.raises(UserError, match="engine=exact: a minibatch is not supported"):
        Exact().run(module.model_state(), module.configure_optimizers(), piece, np.full((1, 1), 0.1), x, y)
    with pytest.raises(UserError, match="engine=exact: the optimizer Adagrad is not supported"):
        train(Exact(), network(data, optimizer={"_target_": "torch.optim.Adagrad"}), data, 1)
