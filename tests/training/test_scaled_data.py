"""Runs on users' data train in scaled units, and everything that a person reads is in the user's."""

import csv
import itertools
import json
import math
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch

from reluviz import ConstantModule, Dataset, FileData, LinearModule, ReLUModule, SegmentData, SnapshotLogger
from reluviz.__main__ import main
from reluviz.analysis import load_run
from reluviz.core import elbows, votes
from reluviz.core.functions import PARAMETERS, user_parameters, user_predict
from reluviz.core.models import MODELS
from reluviz.core.theory import linear
from reluviz.data import EverySchedule, piecewise_linear, samplers, sine
from reluviz.data.point_files import lost_digits
from reluviz.data.scaling import IDENTITY, Scaling
from reluviz.errors import UserError
from reluviz.models.automatic_step import STEP_FRACTION
from reluviz.plots import curves
from reluviz.plots.fit import FitPicture
from reluviz.record.logger import RunLogger
from reluviz.training.lightning_startup import quiet

Array = Any
UNITS = [
    (0.0, 1e-6, 1e3, 1e6),
    (1e3, 1.0, 0.0, 1e-6),
    (-1e9, 1e3, 1e9, 1e3),
    (1e9, 1e6, -1e3, 1.0),
    (5.0, 1e6, 1e9, 1e6),
]
"""Offset and scale of x and of y: the user's x is offset + scale times a number in [0, 1]."""
UPDATES = [0, 1, 10, 20, 30]


@pytest.fixture(autouse=True)
def no_lightning_messages():
    with quiet():
        yield


@cache
def points(noise: float = 0.1) -> tuple[Array, Array]:
    """Points of a sine, x in [0, 1]."""
    random = np.random.default_rng(3)
    x = np.sort(random.uniform(size=60))
    return x, np.sin(7 * x) + noise * random.normal(size=60)


def in_units(units: tuple[float, ...]) -> tuple[Array, Array, Array, Array]:
    """Training and test points in a user's units; test points lie outside the training inputs too."""
    x_offset, x_scale, y_offset, y_scale = units
    x, y = points()
    x_test = np.linspace(-0.2, 1.3, 31)
    return (
        x_offset + x_scale * x,
        y_offset + y_scale * y,
        x_offset + x_scale * x_test,
        y_offset + y_scale * np.sin(7 * x_test),
    )


def by_hand(x: Array, y: Array) -> tuple[float, float, float, float]:
    """The offsets and scales of training points."""
    return x.min(), x.max() - x.min(), y.mean(), y.std()


def write_csv(path: Path, x: Array, y: Array) -> Path:
    path.write_text("x,y\n" + "".join(f"{a!r},{b!r}\n" for a, b in zip(x.tolist(), y.tolist(), strict=True)))
    return path


def fit(module: Any, data: Any, folder: Path, precision: str = "64-true", pictures: int = 0) -> Any:
    """Train, and return the run as it is read back."""
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=RunLogger(str(folder)),
        callbacks=[SnapshotLogger(pictures)],
        precision=precision,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        log_every_n_steps=0,
    )
    trainer.fit(module, data)
    return load_run(folder)


def segments(sampler: Any = None) -> dict[str, Any]:
    return {"updates": 30, "snapshots": EverySchedule(10), "sampler": sampler or samplers.WithReplacement(16)}


def trained_by_file(tmp_path: Path, units: tuple[float, ...], precision: str = "64-true", **settings: Any) -> Any:
    """A run on a file in a user's units, and its module."""
    x, y, x_test, y_test = in_units(units)
    tmp_path.mkdir(exist_ok=True)
    paths = write_csv(tmp_path / "train.csv", x, y), write_csv(tmp_path / "test.csv", x_test, y_test)
    module = ReLUModule(**{"width": 8, "seeds": [3, 5], **settings})
    return fit(module, FileData(*map(str, paths), **segments()), tmp_path / "run", precision), module


def scaled_runs() -> list[Any]:
    """Return precisions, engines and starts; a test is exhaustive unless the start is the usual one, or all else is."""
    found = itertools.product(
        ("32-true", "64-true"), ("reference", "fused", "exact"), ("uniform", "even", "at_data", "given", "torch")
    )
    return [
        pytest.param(
            *one, marks=() if one[2] == "uniform" or one[:2] == ("32-true", "fused") else pytest.mark.exhaustive
        )
        for one in found
    ]


@pytest.mark.parametrize(("precision", "engine", "start"), scaled_runs())
def test_a_scaled_run_is_bit_for_bit_the_run_on_data_scaled_by_hand(
    tmp_path: Path, precision: str, engine: str, start: str
) -> None:
    x, y, *_ = in_units(UNITS[2])
    scaling = Scaling.of(x, y)
    assert scaling.numbers() == pytest.approx(by_hand(x, y), rel=1e-12)
    x_offset, x_scale, y_offset, y_scale = scaling.numbers()
    u, t = (x - x_offset) / x_scale, (y - y_offset) / y_scale
    assert (u.min(), u.max()) == (0, 1)
    assert t.mean() == pytest.approx(0, abs=1e-6)
    assert t.std() == pytest.approx(1, abs=1e-6)
    sampler = samplers.Full() if engine == "exact" else None
    settings: dict[str, Any] = {"width": 5, "seeds": [3], "engine": engine, "elbows": start}
    # the elbows of both runs are the same numbers u
    given = np.linspace(0.1, 0.9, 5)
    places: dict[str, Any] = {"positions": given.tolist()} if start == "given" else {}
    own = {"positions": (x_offset + x_scale * given).tolist()} if places else {}
    path = write_csv(tmp_path / "points.csv", x, y)
    scaled = fit(ReLUModule(**settings, **own), FileData(str(path), **segments(sampler)), tmp_path / "a", precision)
    hand = SegmentData(Dataset("by hand", u, t, (0.0, 1.0)), **segments(sampler))
    plain = fit(ReLUModule(**settings, **places), hand, tmp_path / "b", precision)
    assert scaled.data.scaling == scaling
    if start == "given":
        assert np.allclose(scaled.rows, plain.rows, rtol=0, atol=1e-5)
    else:
        assert np.array_equal(scaled.rows, plain.rows)
        assert np.array_equal(scaled.votes[:, :, 1:], plain.votes[:, :, 1:])
    assert scaled.updates.tolist() == UPDATES


@pytest.mark.parametrize("units", UNITS)
def test_quantities_in_the_users_units_equal_a_conversion_by_hand(tmp_path: Path, units: tuple[float, ...]) -> None:
    run, module = trained_by_file(tmp_path, units)
    x, y, x_test, y_test = in_units(units)
    x0, sx, y0, sy = by_hand(x, y)
    w, b, v, c = (run.parameters[name] for name in PARAMETERS["relu"])
    close = {"rtol": 0, "atol": 1e-9}
    # elbows, slopes and jumps, in units of the spread
    np.testing.assert_allclose((run.elbow - x0) / sx, -b / w, **close)
    np.testing.assert_allclose(run.slope_jump * sx / sy, v * np.abs(w), **close)
    np.testing.assert_allclose(run.active_slope * sx / sy, v * w, **close)
    np.testing.assert_allclose(run.input_slope * sx, w, **close)
    np.testing.assert_allclose(run.output_weight / sy, v, **close)
    np.testing.assert_allclose((run.output_bias - y0) / sy, c, **close)
    np.testing.assert_allclose(run.bias, b - w * x0 / sx, rtol=1e-15)

    def f(at: Array) -> Array:
        hidden = np.maximum(w[..., None, :] * ((at - x0) / sx)[:, None] + b[..., None, :], 0)
        return y0 + sy * ((hidden * v[..., None, :]).sum(-1) + c[..., None])

    np.testing.assert_allclose((run.predict(x_test) - f(x_test)[-1]) / sy, 0, **close)
    for which, inputs, outputs in (("train", x, y), ("test", x_test, y_test)):
        np.testing.assert_allclose(run.loss(which) / sy**2, np.square((f(inputs) - outputs) / sy).mean(-1), **close)
        recorded = run.scalars(f"loss/{which}")[1]
        # the scalar is the median of two replicas, in float32
        np.testing.assert_allclose(recorded, np.median(run.loss(which), axis=1), rtol=1e-6)
    np.testing.assert_allclose(run.residual / sy, (f(x) - y) / sy, rtol=0, atol=1e-6)
    snapshot = run.snapshot()
    np.testing.assert_allclose((snapshot.residual / sy), (f(x)[-1] - y) / sy, **close)
    np.testing.assert_allclose((snapshot.elbow - x0) / sx, (-b / w)[-1], **close)
    np.testing.assert_allclose(snapshot.input_slope * sx, w[-1], **close)
    # the module predicts in the user's units, and the plain network of torch too
    at = torch.tensor(x_test)
    np.testing.assert_allclose((module(at).numpy(force=True) - f(x_test)[-1]) / sy, 0, **close)
    sequential = module.to_sequential(1)(at[:, None])[:, 0].numpy(force=True)
    np.testing.assert_allclose((sequential - f(x_test)[-1, 1]) / sy, 0, rtol=0, atol=2e-9)


def test_votes_and_parameters_are_those_of_the_training(tmp_path: Path) -> None:
    run, _ = trained_by_file(tmp_path, UNITS[2])
    x, y, *_ = in_units(UNITS[2])
    x0, sx, y0, sy = by_hand(x, y)
    p = {name: value[-1] for name, value in run.parameters.items()}
    g = votes.per_sample_gradients("relu", p, (x - x0) / sx, (y - y0) / sy, run.trained)
    np.testing.assert_allclose(run.vote_share[-1], votes.vote_share(g), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(run.norm[-1], np.sqrt(votes.squared_norms(g)) / 60, rtol=1e-5)
    found = run.contributions()
    for name, value in g.items():
        np.testing.assert_allclose(found[name], value / 60, rtol=1e-7, atol=1e-9)
    assert run.data.scaling.numbers() == pytest.approx([x0, sx, y0, sy], rel=1e-12)
    assert run.unit_status.tolist() == elbows.unit_status(p_all(run, 0), p_all(run, 1), (x - x0) / sx).tolist()


def p_all(run: Any, which: int) -> Array:
    return run.parameters[PARAMETERS["relu"][which]]


def test_built_in_data_and_data_sets_of_python_are_not_scaled(tmp_path: Path) -> None:
    x, y, *_ = in_units(UNITS[1])
    for number, dataset in enumerate((piecewise_linear(), sine(), Dataset("own", x, y, (x.min(), x.max())))):
        module = ReLUModule(width=3)
        run = fit(module, SegmentData(dataset, **segments()), tmp_path / str(number), "32-true")
        assert run.data.scaling is not None
        assert run.data.scaling.identity
        assert module.scaling == IDENTITY
        assert run.input_slope.tolist() == run.parameters["input_slope"].tolist()


def test_scale_none_trains_in_the_units_of_the_file(tmp_path: Path) -> None:
    x, y, *_ = in_units((0.0, 2.0, 0.0, 3.0))
    path = write_csv(tmp_path / "points.csv", x, y)
    run = fit(ReLUModule(width=3), FileData(str(path), scale="none", **segments()), tmp_path / "a")
    plain = SegmentData(Dataset("points.csv", x, y, (x.min(), x.max())), **segments())
    assert run.data.scaling.identity
    assert np.array_equal(run.rows, fit(ReLUModule(width=3), plain, tmp_path / "b").rows)
    with pytest.raises(UserError, match=r"^data\.scale=half: must be one of auto, none$"):
        FileData(str(path), scale="half")


def test_an_initial_network_is_one_of_the_users_x(tmp_path: Path) -> None:
    x, y, *_ = in_units(UNITS[2])
    x0, sx, y0, sy = by_hand(x, y)
    network = torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1)).double()
    with torch.no_grad():
        network[0].weight /= sx
        network[2].weight *= sy
        network[0].bias.copy_(-network[0].weight[:, 0] * torch.tensor(x0 + sx * np.array([0.1, 0.4, 0.6, 0.9])))
        network[2].bias.fill_(y0)
    torch.save(network.state_dict(), tmp_path / "start.pt")
    path = write_csv(tmp_path / "points.csv", x, y)
    module = ReLUModule(width=4, init_from=str(tmp_path / "start.pt"))
    run = fit(module, FileData(str(path), **segments()), tmp_path / "run")
    at = np.linspace(x0, x0 + sx, 7)
    wanted = network(torch.tensor(at)[:, None])[:, 0].numpy(force=True)
    np.testing.assert_allclose((run.predict(at, 0)[0] - wanted) / sy, 0, atol=1e-5)
    np.testing.assert_allclose((np.sort(run.elbow[0, 0]) - x0) / sx, [0.1, 0.4, 0.6, 0.9], atol=1e-6)
    # what a run has learned is the start of another one
    torch.save(module.to_sequential().state_dict(), tmp_path / "learned.pt")
    again = ReLUModule(width=4, init_from=str(tmp_path / "learned.pt"))
    later = fit(again, FileData(str(path), **segments()), tmp_path / "again")
    np.testing.assert_allclose((later.predict(at, 0) - run.predict(at)) / sy, 0, atol=1e-8)


def test_a_checkpoint_keeps_offsets_and_scales_and_an_old_one_trained_without(tmp_path: Path) -> None:
    _, module = trained_by_file(tmp_path, UNITS[2])
    state = module.state_dict()
    other = ReLUModule(width=8, seeds=[3, 5]).double()
    other.load_state_dict(state)
    assert other.scaling == module.scaling
    x = torch.tensor(in_units(UNITS[2])[0])
    assert torch.equal(other(x), module(x))
    # they are not rounded with the parameters
    assert other.float().scaling == module.scaling
    assert other.half().scaling == module.scaling
    old = {"state_dict": {name: value for name, value in state.items() if name != "offsets_and_scales"}}
    fresh = ReLUModule(width=8, seeds=[3, 5])
    fresh.on_load_checkpoint(old)
    fresh.load_state_dict(old["state_dict"])
    assert fresh.scaling == IDENTITY


def test_training_on_keeps_the_units_of_the_first_data(tmp_path: Path) -> None:
    run, module = trained_by_file(tmp_path, UNITS[1])
    x, y, *_ = in_units(UNITS[1])
    path = write_csv(tmp_path / "other.csv", x[:30], y[:30])
    later = fit(module, FileData(str(path), **segments() | {"updates": 60}), tmp_path / "later")
    assert later.data.scaling == run.data.scaling
    assert np.array_equal(later.predict(x, 30), run.predict(x, 30))


def test_a_subclass_with_another_function_is_trained_in_scaled_units(tmp_path: Path) -> None:
    class Doubled(ReLUModule):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    x, y, *_ = in_units((10.0, 5.0, 0.0, 40.0))
    path = write_csv(tmp_path / "points.csv", x, y)
    module = Doubled(width=6, engine="reference")
    data = FileData(str(path), updates=2000, sampler=samplers.Full())
    silent = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    L.Trainer(accelerator="cpu", max_epochs=1, **silent).fit(module, data)
    after = float((module(torch.tensor(x)).detach() - torch.tensor(y)).square().mean())
    assert after < 0.5 * y.var()


def r_squared(module: Any, x: Array, y: Array) -> float:
    at = torch.tensor(x, dtype=torch.float32 if module.scaling.identity else torch.float64)
    f = module(at).numpy(force=True)[0].astype(np.float64)
    return float(1 - np.square(f - y).mean() / y.var())


@pytest.mark.long
@pytest.mark.parametrize("shape", [lambda x: np.sin(7 * x), lambda x: (2 * x - 1) ** 2], ids=["sine", "parabola"])
@pytest.mark.parametrize("scale", [1e-6, 1e-2, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("offset", [0.0, 1e3, 1e9])
def test_defaults_learn_data_in_any_units(
    tmp_path: Path, shape: Callable[[Array], Array], scale: float, offset: float
) -> None:
    if offset > 1e6 * scale:
        pytest.skip("so few digits are left that the points are others")
    random = np.random.default_rng(8)
    x = np.sort(random.uniform(size=100))
    y = shape(x) + 0.05 * random.normal(size=100)
    module, trained_by_hand = ReLUModule(), ReLUModule()
    quiet_trainer = {"accelerator": "cpu", "max_epochs": 1, "logger": False, "enable_progress_bar": False}
    quiet_trainer |= {"enable_checkpointing": False}
    mine = write_csv(tmp_path / "points.csv", offset + scale * x, offset + y * scale)
    L.Trainer(**quiet_trainer, enable_model_summary=False).fit(module, FileData(str(mine)))
    dataset = Dataset("by hand", (x - x.min()) / (x.max() - x.min()), (y - y.mean()) / y.std(), (0.0, 1.0))
    L.Trainer(**quiet_trainer, enable_model_summary=False).fit(trained_by_hand, SegmentData(dataset))
    wanted = r_squared(trained_by_hand, dataset.x, dataset.y)
    assert wanted > 0.9
    found = r_squared(module, offset + scale * x, offset + y * scale)
    assert found == pytest.approx(wanted, abs=0.02)


def test_far_from_0_a_line_says_how_many_x_are_left() -> None:
    x = 1e12 + np.linspace(0, 1e-3, 41)
    assert len(np.unique(x)) == 9
    (line,) = lost_digits(x, np.arange(41.0))
    assert line == "x differs by 0.000977 at 1e+12: 9 of its 41 values are distinct; subtract an offset first"
    assert lost_digits(1e6 + np.linspace(0, 1, 41), np.arange(41.0)) == lost_digits(np.ones(3), np.ones(3)) == []


def test_scaling_of_points() -> None:
    x, y = np.array([3.0, 4.0, 7.0]), np.array([10.0, 10.0, 16.0])
    assert Scaling.of(x, y).numbers() == pytest.approx([3.0, 4.0, 12.0, math.sqrt(8)])
    # equal outputs have no spread, and rounding makes none
    assert Scaling.of(x, np.full(3, 0.1)) == Scaling(3.0, 4.0, 0.1, 1.0)
    for function, inverse in (("user_x", "trained_x"), ("user_y", "trained_y"), ("user_loss", "trained_loss")):
        scaling = Scaling.of(x, y)
        value = getattr(scaling, function)(np.array([-0.5, 2.0]))
        np.testing.assert_allclose(getattr(scaling, inverse)(value), [-0.5, 2.0])
        minus_zero = np.array([-0.0])
        assert getattr(IDENTITY, function)(minus_zero) is minus_zero
    for wrong in ((math.nan, 1, 0, 1), (0, 0, 0, 1), (0, 1, 0, -1), (0, math.inf, 0, 1)):
        with pytest.raises(ValueError, match="must be finite"):
            Scaling(*wrong)
    with pytest.raises(UserError, match=r"x is 1.7e\+308, above 1e\+60"):
        Dataset("huge", np.array([-1.7e308, 1.7e308]), np.arange(2.0), (0.0, 1.0), scale="auto")
    widest = Dataset("wide", np.array([-1e60, 1e60]), np.arange(2.0), (0.0, 1.0), scale="auto").chosen_scaling()
    assert widest.numbers()[1] == 2e60


@pytest.mark.parametrize("model", ["constant", "linear"])
def test_a_model_with_one_parameter_trains_in_the_users_units(model: str) -> None:
    assert MODELS[model].in_user_units is None
    with pytest.raises(ValueError, match="trains in the user's units"):
        user_parameters(model, {"theta": np.ones(1)}, Scaling(1.0, 2.0))


def test_parameters_of_the_users_x_give_the_same_function() -> None:
    random = np.random.default_rng(0)
    first = {name: random.normal(size=(3, 5) if axes else 3) for name, axes in MODELS["relu"].parameters.items()}
    scaling, x = Scaling(-3.0, 2.5, 100.0, 7.0), random.normal(size=20)
    shown = user_parameters("relu", first, scaling)
    np.testing.assert_allclose(MODELS["relu"].predict(shown, x), user_predict("relu", first, x, scaling), rtol=1e-13)
    assert MODELS["relu"].in_trained_units is not None
    back = MODELS["relu"].in_trained_units(shown, scaling)
    for name, value in first.items():
        np.testing.assert_allclose(back[name], value, rtol=1e-13, atol=1e-13)


def test_pictures_draw_in_the_users_units(tmp_path: Path) -> None:
    run, _ = trained_by_file(tmp_path, UNITS[2])
    picture = FitPicture("relu", run.data, 0, run.precision)
    p = {name: value[-1, 0] for name, value in run.parameters.items()}
    picture.png(p, 30, {})
    line: Any = picture.artists.learned_function.line
    drawn_x, drawn_f = line.get_data()
    scaling = run.data.scaling
    low, high = run.data.interval
    assert (drawn_x.min(), drawn_x.max()) == pytest.approx((low, high), rel=1e-15)
    np.testing.assert_allclose((drawn_f - run.predict(drawn_x)[0]) / scaling.y_scale, 0, atol=1e-9)
    found = curves.compute_elbows(p, run.data.as_trained.x[[0, -1]], run.precision, scaling)
    np.testing.assert_allclose(found.x, run.elbow[-1, 0])
    np.testing.assert_allclose(found.jump, run.slope_jump[-1, 0])
    ends = curves.hidden_unit_lines(p, low, high, scaling)
    # a hidden ReLU has height 0 at its elbow, which is t = 0
    inside = (found.x > low) & (found.x < high)
    assert inside.any()
    np.testing.assert_allclose(ends[inside][:, :, 1].min(1), scaling.y_offset, rtol=1e-12)


# the command line


def reluviz(*words: str | Path) -> int:
    """Run a command line in this process and return its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", *map(str, words)])
        return main()


def train(*arguments: str) -> int:
    return reluviz("train", *arguments, "callbacks=minimal")


def last_metrics() -> Any:
    (path,) = Path("logs").glob("*/*/metrics.json")
    return json.loads(path.read_text())


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_line_records_and_exports_the_users_units(here: Path) -> None:
    x, y, *_ = in_units(UNITS[3])
    x0, sx, y0, sy = by_hand(x, y)
    write_csv(here / "points.csv", x, y)
    assert train("+exp=relu", "data=file", "data.path=points.csv", "model.width=4", "updates=50", "seed=2") == 0
    run, metrics = load_run(next(Path("logs").glob("*/*"))), last_metrics()
    np.testing.assert_allclose(metrics["elbow"], run.elbow[-1])
    np.testing.assert_allclose(metrics["input_slope"], run.input_slope[-1])
    np.testing.assert_allclose(metrics["loss/train"], run.loss()[-1])
    np.testing.assert_allclose(list(metrics["scaling"].values()), [x0, sx, y0, sy], rtol=1e-12)
    assert metrics["reference"]["least_squares"]["loss/train"][0] < run.loss()[-1, 0]
    np.testing.assert_allclose(run.scalars("loss/batch")[1][-1], 0, atol=20 * sy**2)
    assert run.scalars("loss/batch")[1][-1] > 1e-4 * sy**2
    assert reluviz("export", str(run.folder), "--csv", "--npz", "--out", "out") == 0
    (table,) = Path("out").glob("*.csv")
    with table.open() as file:
        rows = [row for row in csv.DictReader(file) if row["update"] == "50" and row["unit"] == "1"]
    values = {row["quantity"]: float(row["value"]) for row in rows}
    for name in ("elbow", "input_slope", "bias", "output_weight", "slope_jump"):
        assert values[name] == getattr(run, name)[-1, 0, 1]
    (path,) = Path("out").glob("*.npz")
    with np.load(path) as archive:
        for name in ("elbow", "input_slope", "output_bias", "residual"):
            assert np.array_equal(archive[name], getattr(run, name))
        assert archive["scaling"].tolist() == run.data.scaling.numbers()


def test_a_line_says_that_no_given_elbow_lies_within_the_data(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y, *_ = in_units((100.0, 50.0, 0.0, 1.0))
    write_csv(here / "points.csv", x, y)
    settings = ["+exp=relu", "data=file", "data.path=points.csv", "model.width=2", "model.elbows=given", "updates=1"]
    line = f"no elbow of model.positions lies within the data, where x goes from {x[0]:.6g} to {x[-1]:.6g}"
    for positions, told in (("[0.2,0.5]", True), ("[0.2,120]", False)):
        assert train(*settings, f"model.positions={positions}") == 0
        assert (line in capsys.readouterr().out) == told


def test_explain_has_elbows_and_losses_in_the_users_units(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y, *_ = in_units(UNITS[3])
    write_csv(here / "points.csv", x, y)
    settings = ["+exp=relu", "data=file", "data.path=points.csv", "model.width=4"]
    assert train(*settings, "updates=1") == 0
    capsys.readouterr()
    run = load_run(next(Path("logs").glob("*/*")))
    assert reluviz("explain", *settings, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose(found["units"]["elbow"], run.elbow[0, 0], rtol=1e-12)
    np.testing.assert_allclose(found["units"]["input_slope"], run.input_slope[0, 0], rtol=1e-12)
    np.testing.assert_allclose(found["loss/train"], run.loss()[0, 0], rtol=1e-9)
    np.testing.assert_allclose(found["points"]["residual"], run.snapshot(0).residual[0], rtol=1e-6)
    np.testing.assert_allclose(found["points"]["vote_share"], run.vote_share[0, 0], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(found["gradient_norm"], run.scalars("grad/norm")[1][0], rtol=1e-5)
    assert "trains on u = (x - 1e+09)" in found["notes"][-1]
    # the step size has its limit in the units of training, where the course's suits
    assert 0.02 < found["step"]["largest_stable_step"] < 1


@pytest.mark.parametrize("model", ["constant", "linear"])
@pytest.mark.parametrize("sampler", ["full", "with_replacement", "without_replacement"])
def test_auto_chooses_the_step_size_of_a_model_with_one_parameter(here: Path, model: str, sampler: str) -> None:
    x, y, *_ = in_units((1e3, 50.0, -20.0, 4.0))
    write_csv(here / "points.csv", x, y)
    batch = [] if sampler == "full" else ["sampler.batch_size=8"]
    settings = [f"+exp={model}", "data=file", "data.path=points.csv", f"sampler={sampler}", *batch, "updates=200"]
    assert train(*settings) == 0
    phi = np.ones(60) if model == "constant" else x
    limit = linear.largest_stable_step(phi)
    if sampler != "full":
        limit = linear.largest_mean_square_step(phi, 8, sampler == "with_replacement")
    run = load_run(next(Path("logs").glob("*/*")))
    assert run.settings["optimizer.lr"] == pytest.approx(STEP_FRACTION * limit, rel=1e-12)
    assert run.theta[-1, 0] == pytest.approx(linear.optimum(phi, y), abs=0.5 * y.std() / np.sqrt(np.square(phi).mean()))
    assert run.data.scaling.identity


@pytest.mark.parametrize("given", ["step_size=1e-9", "optimizer.lr=1e-9"])
def test_a_step_size_on_the_command_line_counts(here: Path, given: str) -> None:
    x, y, *_ = in_units((1e3, 50.0, -20.0, 4.0))
    write_csv(here / "points.csv", x, y)
    assert train("+exp=linear", "data=file", "data.path=points.csv", given, "updates=3") == 0
    assert load_run(next(Path("logs").glob("*/*"))).settings["optimizer.lr"] == 1e-9


def test_a_step_size_that_a_sweep_varies_counts(here: Path) -> None:
    x, y, *_ = in_units((1e3, 50.0, -20.0, 4.0))
    write_csv(here / "points.csv", x, y)
    arguments = ["-m", "+exp=linear", "data=file", "data.path=points.csv", "updates=3"]
    assert train(*arguments, "step_size=1e-9,2e-9") == 0
    rates = sorted(load_run(path.parent).settings["optimizer.lr"] for path in Path("logs").rglob("metrics.json"))
    assert rates == [1e-9, 2e-9]


def test_explain_uses_the_chosen_step_size(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y, *_ = in_units((1e3, 50.0, -20.0, 4.0))
    write_csv(here / "points.csv", x, y)
    assert reluviz("explain", "+exp=linear", "data=file", "data.path=points.csv", "--json") == 0
    step = json.loads(capsys.readouterr().out)["step"]
    assert step["lr"] == pytest.approx(STEP_FRACTION * step["largest_stable_step"])
    assert reluviz("explain", "+exp=linear", "data=file", "data.path=points.csv", "step_size=3", "--json") == 0
    assert json.loads(capsys.readouterr().out)["step"]["lr"] == 3


def test_a_run_with_a_chosen_step_size_can_be_prolonged(here: Path) -> None:
    x, y, *_ = in_units((1e3, 50.0, -20.0, 4.0))
    write_csv(here / "points.csv", x, y)
    assert reluviz("train", "+exp=linear", "data=file", "data.path=points.csv", "updates=20") == 0
    (folder,) = Path("logs").glob("*/*")
    assert reluviz("train", f"ckpt_path={folder}", "updates=40") == 0
    assert (
        reluviz("train", "+exp=linear", "data=file", "data.path=points.csv", "updates=40", "hydra.run.dir=whole") == 0
    )
    assert np.array_equal(load_run(folder).rows[-1], load_run("whole").rows[-1])


def test_a_scaled_run_can_be_prolonged(here: Path) -> None:
    x, y, *_ = in_units(UNITS[3])
    write_csv(here / "points.csv", x, y)
    settings = ["+exp=relu", "data=file", "data.path=points.csv", "model.width=4", "snapshots.every=10"]
    assert reluviz("train", *settings, "updates=20") == 0
    (folder,) = Path("logs").glob("*/*")
    assert reluviz("train", f"ckpt_path={folder}", "updates=40") == 0
    assert reluviz("train", *settings, "updates=40", "hydra.run.dir=whole") == 0
    found, whole = load_run(folder), load_run("whole")
    assert np.array_equal(found.rows, whole.rows)
    assert np.array_equal(found.residual, whole.residual)
    assert found.data.scaling == whole.data.scaling


def test_in_python_auto_chooses_the_step_size_too(tmp_path: Path) -> None:
    x, y, *_ = in_units((1e3, 50.0, -20.0, 4.0))
    path = write_csv(tmp_path / "points.csv", x, y)
    full = {"updates": 60, "sampler": samplers.Full(), "snapshots": EverySchedule(10)}
    run = fit(LinearModule(), FileData(str(path), **full), tmp_path / "a")
    assert run.theta[-1, 0] == pytest.approx(linear.optimum(x, y), rel=1e-5)
    # one's own step size is kept
    module = LinearModule(optimizer={"_target_": "torch.optim.SGD", "lr": 1e-9})
    fit(module, FileData(str(path), **full), tmp_path / "b")
    assert module.optimizer_settings["lr"] == 1e-9
    still = fit(ConstantModule(), SegmentData(Dataset("own", x, y, (0.0, 1.0)), **full), tmp_path / "c")
    assert still.theta[1, 0] == pytest.approx(2 * 0.02 * y.mean(), rel=1e-6)
