"""Real training runs in float64 follow the theory of gradient descent.

Legend of shapes: R replicas, S snapshots, N samples, B batch, W hidden units.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch import nn
from trajectories import Trajectory, fit, same, series

from reluviz.cli import config
from reluviz.core import theory
from reluviz.core.elbows import STATUS, elbow, unit_status
from reluviz.core.functions import PARAMETERS, features
from reluviz.data import (
    EarlySchedule,
    Epoch,
    EverySchedule,
    Full,
    LogSchedule,
    Sampler,
    Schedule,
    WithoutReplacement,
    WithReplacement,
)
from reluviz.data.datamodule import PiecewiseLinearData
from reluviz.errors import UserError
from reluviz.files import conf_folder
from reluviz.models import ConstantModule, LinearModule, ReLUModule

Array = NDArray[np.float64]
EVERY = EverySchedule(1)
GOLDEN = Path(__file__).parent / "relu.json"
SCHEDULER = "torch.optim.lr_scheduler"
ONE_PARAMETER = pytest.mark.parametrize("model", [ConstantModule, LinearModule])


def sgd(lr: float, **arguments: Any) -> dict[str, Any]:
    return {"_target_": "torch.optim.SGD", "lr": lr, **arguments}


def course(updates: int, snapshots: Schedule, sampler: Sampler | None = None, n: int = 200) -> PiecewiseLinearData:
    return PiecewiseLinearData(n=n, updates=updates, snapshots=snapshots, sampler=sampler or WithReplacement(40))


def points(data: PiecewiseLinearData) -> tuple[Array, Array]:
    return data.dataset.x, data.dataset.y


def close(a: Array, b: Array, tolerance: float) -> bool:
    """Return True if two arrays agree to a tolerance relative to the larger of 1 and |b|."""
    return bool((np.abs(a - b) <= tolerance * np.maximum(np.abs(b), 1)).all())


def assert_close(a: Array, b: Array, atol: float, rtol: float = 0.0) -> None:
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def well_conditioned(**settings: Any) -> ReLUModule:
    """Return a network of two units that face right and one that faces left, with sigma_max^2/sigma_min^2 = 819.

    sigma are the singular values of its features.
    """
    return ReLUModule(3, "given", positions=[0.7, 0.4, 0.2], train="output", seeds=[1842], **settings)


def output_layer(at: Trajectory) -> Array:
    """Return (v, c) at the snapshots in the order of the columns of Phi, [S, R, W + 1]."""
    return np.concatenate([series(at, "output_weight"), series(at, "output_bias")[..., None]], axis=-1)


# One parameter


@ONE_PARAMETER
@pytest.mark.parametrize("fraction", [0.05, 0.5, 0.7, 0.97])
def test_gradient_descent_follows_its_closed_form(model: type[ConstantModule | LinearModule], fraction: float) -> None:
    data = course(60, EVERY, Full())
    x, y = points(data)
    constant = model is ConstantModule
    limit = theory.constant.largest_stable_step() if constant else theory.linear.largest_stable_step(x)
    lr = fraction * limit
    theta = series(fit(model(3.0, seeds=[0, 1], optimizer=sgd(lr)), data), "theta")
    start = np.array([3.0, 3.0])
    if constant:
        best, factor = theory.constant.optimum(y), theory.constant.contraction_factor(lr)
        predicted = theory.constant.trajectory(start, y, lr, 60)
    else:
        best, factor = theory.linear.optimum(x, y), theory.linear.contraction_factor(x, lr)
        predicted = theory.linear.trajectory(start, x, y, lr, 60)
    assert_close(theta.T, predicted, atol=1e-12)
    error = theta[:6] - best
    assert_close(error[1:], factor * error[:-1], atol=1e-13)


def test_the_constant_reaches_the_mean_in_one_update_of_step_one_half_and_cycles_with_step_one() -> None:
    data = course(4, EVERY, Full())
    mean = np.full((4, 1), points(data)[1].mean())
    theta = series(fit(ConstantModule(3.0, optimizer=sgd(0.5)), data), "theta")
    assert_close(theta[1:], mean, atol=1e-14)
    error = series(fit(ConstantModule(3.0, optimizer=sgd(1.0)), data), "theta") - mean[0]
    assert_close(error[1:], -error[:-1], atol=1e-14)


@ONE_PARAMETER
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_gradient_descent_converges_just_below_the_largest_stable_step_and_diverges_just_above(
    model: type[ConstantModule | LinearModule], momentum: float
) -> None:
    data = course(600, EverySchedule(600), Full())
    x, y = points(data)
    constant = model is ConstantModule
    limit = (
        theory.constant.largest_stable_step(momentum) if constant else theory.linear.largest_stable_step(x, momentum)
    )
    best = theory.constant.optimum(y) if constant else theory.linear.optimum(x, y)
    distance = {}
    for side in (0.99, 1.01):
        at = fit(model(1.0, optimizer=sgd(side * limit, momentum=momentum)), data)
        distance[side] = abs(float(at[600]["theta"][0]) - best) / abs(float(at[0]["theta"][0]) - best)
    assert distance[0.99] < 1e-4
    assert distance[1.01] > 1e4


def test_the_largest_stable_step_of_the_output_layer_is_that_of_theory() -> None:
    data = course(600, EverySchedule(600), Full())
    x, y = points(data)
    phi = features(well_conditioned().parameter_copies(), x)
    limit = float(theory.relu.largest_stable_step_output(phi)[0])
    loss = {}
    for side in (0.99, 1.01):
        at = fit(well_conditioned(optimizer=sgd(side * limit)), data)
        loss[side] = [float(np.square(phi @ theta[..., None] - y[:, None]).mean()) for theta in output_layer(at)]
    assert loss[0.99][2] < loss[0.99][0]
    assert loss[1.01][2] > 1e6 * loss[1.01][0]


def test_the_minibatch_gradients_of_a_shuffled_epoch_sum_to_the_gradient_over_all_points() -> None:
    """With a tiny step, the updates of one epoch add up to one update of gradient descent."""
    lr, batches = 1e-7, 5
    data = course(batches, EverySchedule(batches), Epoch(40))
    y = points(data)[1]
    at = fit(ConstantModule(3.0, seeds=[4], optimizer=sgd(lr)), data)
    mean_step = (at[batches]["theta"] - at[0]["theta"]) / (batches * lr)
    assert_close(mean_step, np.full(1, -2 * (3 - y.mean())), atol=1e-5)


# The output layer


def test_the_output_layer_follows_its_closed_form_to_least_squares() -> None:
    data = course(10_000, LogSchedule(4), Full())
    x, y = points(data)
    module = well_conditioned()
    phi = features(module.parameter_copies(), x)
    assert sorted(module.input_slope[0].sign().tolist()) == [-1, 1, 1]
    lr = 0.95 * float(theory.relu.largest_stable_step_output(phi)[0])
    at = fit(well_conditioned(optimizer=sgd(lr)), data)
    theta = output_layer(at)
    predicted = theory.relu.output_trajectory(phi, y, theta[0], lr, data.schedule())
    assert_close(theta.swapaxes(0, 1), predicted, atol=1e-10)
    least_squares = theory.relu.least_squares(phi, y)
    assert least_squares.rank.tolist() == [4]
    assert float(np.abs(theta[0] - least_squares.solution).max()) > 0.5
    assert_close(theta[-1], least_squares.solution, atol=1e-8)


@pytest.mark.long
def test_weight_decay_converges_to_ridge_with_lambda_n_wd_over_two_and_an_undecayed_bias() -> None:
    data = course(3000, EverySchedule(3000), Full())
    x, y = points(data)
    decay = 0.02
    phi = features(well_conditioned().parameter_copies(), x)
    lr = 0.9 * float(theory.relu.largest_stable_step_output(phi)[0])
    end = fit(well_conditioned(optimizer=sgd(lr, weight_decay=decay)), data)[3000]
    v, c = theory.relu.ridge(phi[..., :-1], y, len(x) * decay / 2)
    assert_close(end["output_weight"], v, atol=1e-9)
    assert_close(end["output_bias"], c, atol=1e-9)
    without_decay = theory.relu.least_squares(phi, y).solution
    assert float(np.abs(v - without_decay[..., :-1]).max()) > 0.1


def test_train_ridge_solves_the_normal_equations_of_ridge_in_one_update() -> None:
    data = course(1, EverySchedule(), Full())
    x, y = points(data)
    lam = 0.03
    module = ReLUModule(8, train="ridge", ridge=lam, seeds=[2, 9])
    at = fit(module, data)
    phi = features(at[1], x)
    residual = np.einsum("rnf,rf->rn", phi, output_layer(at)[1]) - y
    penalty = np.concatenate([lam * at[1]["output_weight"], np.zeros((2, 1))], axis=-1)
    assert_close(np.einsum("rnf,rn->rf", phi, residual) + penalty, np.zeros((2, 9)), atol=1e-10)
    assert same({name: at[0][name] for name in ("input_slope", "bias")}, {n: at[1][n] for n in ("input_slope", "bias")})


@pytest.mark.parametrize(
    "optimizer",
    [sgd(0.02), sgd(0.02, momentum=0.9, weight_decay=0.1), {"_target_": "torch.optim.AdamW", "lr": 0.01}],
    ids=["sgd", "momentum and decay", "adamw"],
)
@pytest.mark.parametrize("mode", ["output", "hidden"])
def test_the_frozen_layer_does_not_change_by_a_bit(mode: str, optimizer: dict[str, Any]) -> None:
    module = ReLUModule(10, train=mode, seeds=[3, 4], optimizer=optimizer)
    at = fit(module, course(30, EverySchedule(30)))
    layers = {"hidden": ("input_slope", "bias"), "output": ("output_weight", "output_bias")}
    for layer, names in layers.items():
        for name in names:
            assert np.array_equal(at[0][name], at[30][name]) == (layer != mode)
    assert module.trained == layers[mode]


# All layers


def gradient(p: dict[str, Array], r: int, x: Array, y: Array) -> dict[str, Array]:
    """Return the gradient of one replica's loss on a batch in closed form, name -> [W] or ()."""
    w, b, v, c = (p[name][r] for name in PARAMETERS["relu"])
    h = x[:, None] * w + b
    active = (h > 0).astype(float)
    residual = (active * h) @ v + c - y
    loss_slope = 2 * residual[:, None] * active / len(x)
    return {
        "input_slope": (loss_slope * v * x[:, None]).sum(0),
        "bias": (loss_slope * v).sum(0),
        "output_weight": (loss_slope * h).sum(0),
        "output_bias": 2 * residual.mean(),
    }


@pytest.mark.parametrize(
    "sampler", [WithReplacement(40), WithReplacement(1), WithoutReplacement(7), Epoch(30), Full()], ids=repr
)
def test_an_sgd_update_changes_the_balance_by_exactly_the_squares_of_its_gradient(sampler: Sampler) -> None:
    """w^2 + b^2 - v^2 changes by eta^2 (g_w^2 + g_b^2 - g_v^2), g the gradient on the minibatch of that update."""
    eta, updates, seeds = 0.2, 25, [0, 7]
    data = course(updates, EVERY, sampler)
    x, y = points(data)
    at = fit(ReLUModule(10, seeds=seeds, optimizer=sgd(eta)), data)
    drawn = sampler.draw(seeds, 0, updates, len(x))
    if sampler == WithReplacement(40):
        assert all(len(set(batch)) < 40 for batch in drawn.reshape(-1, 40).tolist())
    largest_change = 0.0
    for t in range(updates):
        for r in range(2):
            batch = slice(None) if drawn is None else drawn[r, t]
            g = gradient(at[t], r, x[batch], y[batch])
            balance = [
                at[k]["input_slope"][r] ** 2 + at[k]["bias"][r] ** 2 - at[k]["output_weight"][r] ** 2
                for k in (t, t + 1)
            ]
            change = eta**2 * (g["input_slope"] ** 2 + g["bias"] ** 2 - g["output_weight"] ** 2)
            assert_close(balance[1] - balance[0], change, atol=1e-14)
            largest_change = max(largest_change, float(np.abs(change).max()))
    assert largest_change > 1e-4


def test_dead_units_do_not_change_by_a_bit_and_all_other_units_change() -> None:
    module = ReLUModule(20, elbows="torch", seeds=[0, 1], optimizer=sgd(0.02, momentum=0.9))
    data = course(100, EverySchedule(100))
    at = fit(module, data)
    dead = unit_status(at[0]["input_slope"], at[0]["bias"], points(data)[0]) == STATUS.index("dead")
    assert dead.any(1).all()
    assert not dead.all(1).any()
    for name in ("input_slope", "bias", "output_weight"):
        assert np.array_equal(at[0][name] == at[100][name], dead)


def test_weight_decay_shrinks_dead_units_and_keeps_their_elbows() -> None:
    lr, decay = 0.05, 0.1
    module = ReLUModule(20, elbows="torch", optimizer=sgd(lr, weight_decay=decay))
    data = course(100, EverySchedule(100))
    at = fit(module, data)
    dead = unit_status(at[0]["input_slope"], at[0]["bias"], points(data)[0]) == STATUS.index("dead")
    for name in ("input_slope", "bias", "output_weight"):
        assert close(at[100][name][dead], (1 - lr * decay) ** 100 * at[0][name][dead], 1e-14)
    beta = [elbow(at[t]["input_slope"], at[t]["bias"])[dead] for t in (0, 100)]
    assert_close(beta[0], beta[1], atol=0, rtol=1e-13)


# Independence of snapshots, segments, engines and other replicas

SCHEDULERS = {
    "none": None,
    "cosine": {"_target_": f"{SCHEDULER}.CosineAnnealingLR", "T_max": 90},
    "step": {"_target_": f"{SCHEDULER}.StepLR", "step_size": 23, "gamma": 0.5},
}


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_snapshot_schedule_and_the_length_of_segments_change_no_bit(
    scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(snapshots: Schedule) -> dict[str, Array]:
        module = ReLUModule(10, seeds=[3], optimizer=sgd(0.05, momentum=0.5), scheduler=SCHEDULERS[scheduler])
        return fit(module, course(90, snapshots))[90]

    wanted = end(EverySchedule(1000))
    for snapshots in (EverySchedule(7), EverySchedule(1), EarlySchedule(), LogSchedule()):
        assert same(end(snapshots), wanted), snapshots
    monkeypatch.setattr("reluviz.data.segments.MAX_PIECE_UPDATES", 13)
    assert same(end(EverySchedule(1000)), wanted)
    assert same(end(EverySchedule(40)), wanted)


def test_an_interruption_within_a_segment_restores_the_state_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"_target_": "torch.optim.Adam", "lr": 0.01}
    scheduler = SCHEDULERS["step"]
    monkeypatch.setattr("reluviz.data.segments.MAX_PIECE_UPDATES", 13)
    complete = ReLUModule(10, optimizer=settings, scheduler=scheduler)
    at = fit(complete, course(50, EverySchedule(50)))
    interrupted = ReLUModule(10, optimizer=settings, scheduler=scheduler)

    def interrupt(update: int) -> None:
        if update == 76:
            raise RuntimeError("interrupted")

    interrupted.progress_callback = interrupt
    with pytest.raises(RuntimeError, match="interrupted"):
        fit(interrupted, course(100, EverySchedule(50)))
    assert (int(interrupted.updates_done), int(interrupted.segments_done)) == (50, 2)
    assert same(interrupted.parameter_copies(), at[50])
    optimizers = [module.optimizers(use_pl_optimizer=False).state_dict() for module in (interrupted, complete)]
    assert str(optimizers[0]) == str(optimizers[1])
    assert interrupted.lr_schedulers().state_dict() == complete.lr_schedulers().state_dict()


def train_in_plain_pytorch(
    settings: dict[str, Any], scheduler: dict[str, Any] | None, seed: int, elbows: Array, data: PiecewiseLinearData
) -> dict[str, Array]:
    """Train the course's network with a loop of plain PyTorch, and return its parameters."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(1, len(elbows)), nn.ReLU(), nn.Linear(len(elbows), 1)).double()
    with torch.no_grad():
        network[0].bias.copy_((-torch.from_numpy(elbows) * network[0].weight[:, 0]).float())
    x, y = (torch.from_numpy(values) for values in points(data))
    arguments = {name: tuple(value) if name == "betas" else value for name, value in settings.items()}
    cls = getattr(torch.optim, arguments.pop("_target_").rpartition(".")[2])
    decay = arguments.pop("weight_decay", 0.0)
    groups = [
        {"params": [network[0].weight, network[0].bias, network[2].weight], "weight_decay": decay},
        {"params": [network[2].bias], "weight_decay": 0.0},
    ]
    optimizer = cls(groups, **arguments)
    lr_scheduler = None
    if scheduler is not None:
        options = dict(scheduler)
        scheduler_class = getattr(torch.optim.lr_scheduler, options.pop("_target_").rpartition(".")[2])
        lr_scheduler = scheduler_class(optimizer, **options)
    for batch in torch.from_numpy(data.sampler.draw([seed], 0, data.updates, len(x))[0]):
        optimizer.zero_grad()
        nn.functional.mse_loss(network(x[batch, None])[:, 0], y[batch]).backward()
        optimizer.step()
        if lr_scheduler is not None:
            lr_scheduler.step()
    end = (network[0].weight[:, 0], network[0].bias, network[2].weight[0], network[2].bias[0])
    return {name: value.detach().numpy()[None] for name, value in zip(PARAMETERS["relu"], end, strict=True)}


@pytest.mark.parametrize(
    ("optimizer", "changes", "scheduler"),
    [
        *((name, {}, "none") for name in config.choices("optimizer")),
        ("sgd", {"weight_decay": 0.1}, "none"),
        ("nesterov", {"weight_decay": 0.1}, "none"),
        ("sgd", {}, "cosine"),
        ("sgd", {}, "step"),
        ("adam", {"lr": 0.01}, "step"),
    ],
)
def test_every_optimiser_makes_the_updates_of_a_plain_loop(
    optimizer: str, changes: dict[str, Any], scheduler: str
) -> None:
    packaged = OmegaConf.load(conf_folder() / "optimizer" / f"{optimizer}.yaml")
    settings = OmegaConf.to_container(OmegaConf.merge({"step_size": 0.02, "optimizer": packaged}), resolve=True)[
        "optimizer"
    ]
    assert isinstance(settings, dict)
    settings |= changes
    data = course(200, EverySchedule(33))
    module = ReLUModule(10, seeds=[11], optimizer=settings, scheduler=SCHEDULERS[scheduler])
    start = module.parameter_copies()
    elbows = elbow(start["input_slope"], start["bias"])[0]
    end = fit(module, data)[200]
    for name, value in train_in_plain_pytorch(settings, SCHEDULERS[scheduler], 11, elbows, data).items():
        assert_close(end[name], value, atol=1e-12)


def test_lbfgs_solves_the_linear_model_and_is_refused_for_several_replicas() -> None:
    data = course(3, EverySchedule(3), Full())
    x, y = points(data)
    settings = {"_target_": "torch.optim.LBFGS", "lr": 1.0, "line_search_fn": "strong_wolfe"}
    theta = fit(LinearModule(5.0, optimizer=settings), data)[3]["theta"]
    assert_close(theta, np.full(1, theory.linear.optimum(x, y)), atol=1e-12)
    with pytest.raises(UserError, match="LBFGS: would couple the replicas"):
        fit(LinearModule(5.0, seeds=[0, 1], optimizer=settings), data)


@pytest.mark.parametrize("sampler", [WithReplacement(40), WithoutReplacement(40), Epoch(40)], ids=lambda s: s.name)
def test_a_replica_draws_the_minibatches_of_the_run_with_its_seed(sampler: Sampler) -> None:
    together = sampler.draw([5, 6, 7], 90, 130, 200)
    for r, seed in enumerate([5, 6, 7]):
        assert (together[r] == sampler.draw([seed], 0, 130, 200)[0, 90:]).all()


def test_a_replica_starts_from_and_follows_the_run_with_its_seed() -> None:
    data = course(1000, EverySchedule(500))
    together = fit(ReLUModule(10, seeds=[5, 6, 7]), data)
    for r, seed in enumerate([5, 6, 7]):
        alone = fit(ReLUModule(10, seeds=[seed]), data)
        for name in PARAMETERS["relu"]:
            assert np.array_equal(together[0][name][r], alone[0][name][0])
            assert_close(together[1000][name][r], alone[1000][name][0], atol=1e-12)
    assert not np.allclose(together[1000]["bias"][0], together[1000]["bias"][1])


def test_the_initial_weights_are_those_of_torch_and_do_not_advance_its_generator() -> None:
    torch.manual_seed(99)
    expected = torch.rand(3)
    torch.manual_seed(99)
    module = ReLUModule(6, elbows="torch", seeds=[12])
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(12)
    network = nn.Sequential(nn.Linear(1, 6), nn.ReLU(), nn.Linear(6, 1))
    assert torch.equal(module.input_slope[0], network[0].weight[:, 0])
    assert torch.equal(module.bias[0], network[0].bias)
    assert torch.equal(module.output_weight[0], network[2].weight[0])
    assert torch.equal(module.output_bias, network[2].bias)


def golden() -> Trajectory:
    """Return the trajectory of a run on the course's data with W = 10, all layers trained and seed 0.

    The file relu.json contains it as it was. To write the file again, after a change that is meant to change results:
    python -c "import sys; sys.path.insert(0, 'tests/training'); import test_training_facts as t; t.write_golden()"
    """
    module = ReLUModule(10, seeds=[0], optimizer=sgd(0.02))
    at = fit(module, course(200, EverySchedule(50)))
    return {update: at[update] for update in (0, 1, 50, 200)}


def write_golden() -> None:
    found = {update: {name: value.tolist() for name, value in values.items()} for update, values in golden().items()}
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n")


def test_a_run_follows_the_recorded_trajectory() -> None:
    recorded = json.loads(GOLDEN.read_text())
    found = golden()
    assert [int(update) for update in recorded] == list(found)
    for update, values in recorded.items():
        for name, value in values.items():
            expected = np.array(value)
            assert_close(found[int(update)][name], expected, atol=1e-9)
