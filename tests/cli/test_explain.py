import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reluviz import __main__
from reluviz.cli import explain
from reluviz.cli.explain.facts import facts
from reluviz.cli.explain.render import as_text
from reluviz.core.elbows import STATUS
from reluviz.core.functions import PARAMETERS
from reluviz.core.models import MODELS
from reluviz.core.models.one_parameter import one_parameter_model
from reluviz.data import WithReplacement, piecewise_linear
from reluviz.engines.predict import relu
from reluviz.training.start import Start

COURSE = piecewise_linear()
X, Y = COURSE.x, COURSE.y
N = len(X)
Explain = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def explained(capsys: pytest.CaptureFixture[str]) -> Explain:
    """`explained(*overrides)`: the output of `explain --json`, read as strict JSON."""

    def run(*overrides: str) -> dict[str, Any]:
        assert explain.main([*overrides, "--json"]) == 0
        return json.loads(capsys.readouterr().out, parse_constant=pytest.fail)

    return run


@pytest.fixture
def text(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*overrides: str) -> str:
        assert explain.main(list(overrides)) == 0
        return capsys.readouterr().out

    return run


def write_csv(folder: Path, x: list[float], y: list[float]) -> list[str]:
    rows = [f"{a!r},{b!r}" for a, b in zip(x, y, strict=True)]
    (folder / "points.csv").write_text("\n".join(["x,y", *rows]), encoding="utf-8")
    return ["data=file", "data.path=points.csv"]


def parameters_of(found: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {
        name: torch.tensor([found["parameters"][name]], dtype=torch.float64, requires_grad=True)
        for name in PARAMETERS["relu"]
    }


def features(found: dict[str, Any], x: np.ndarray) -> np.ndarray:
    w, b = (np.array(found["parameters"][name]) for name in ("input_slope", "bias"))
    return np.column_stack([np.maximum(0, np.outer(x, w) + b), np.ones(len(x))])


def test_the_numbers_of_the_constant_model(explained: Explain) -> None:
    found = explained("+exp=constant")
    assert found["optimum"]["theta"] == pytest.approx(Y.mean())
    assert found["optimum"]["loss/train"] == pytest.approx(Y.var())
    assert found["loss/train"] == pytest.approx((Y**2).mean())
    assert found["gradient"]["theta"] == pytest.approx(-2 * Y.mean())
    step = found["step"]
    assert step["contraction_factor"] == pytest.approx(0.8)
    assert 0.8 ** step["updates_to_one_percent"] <= 0.01 < 0.8 ** (step["updates_to_one_percent"] - 1)
    assert step["theta_after_one_update"] == pytest.approx(0.2 * Y.mean())
    assert (step["largest_stable_step"], step["stable"]) == (1, True)
    assert step["stationary_variance"] is None, "full batches have no noise"
    points = found["points"]
    assert points["candidate"] == pytest.approx(Y)
    assert points["weight"] == [1] * N
    assert points["leverage"] == pytest.approx([1 / N] * N)
    assert points["contribution"] == pytest.approx(-2 * Y / N)
    assert points["vote_share"] == pytest.approx(Y / Y.sum())
    assert found["effective_votes"] == pytest.approx(np.abs(Y).sum() ** 2 / (Y**2).sum())


def test_the_numbers_of_the_linear_model(explained: Explain) -> None:
    found = explained("+exp=linear", "model.start=2")
    best, m2, residual = (X * Y).sum() / (X**2).sum(), (X**2).mean(), 2 * X - Y
    assert found["optimum"]["theta"] == pytest.approx(best)
    assert found["optimum"]["loss/train"] == pytest.approx(((best * X - Y) ** 2).mean())
    assert found["gradient"]["theta"] == pytest.approx(2 * m2 * (2 - best))
    assert found["data"]["sum_xy"] == pytest.approx((X * Y).sum())
    assert found["data"]["sum_x2"] == pytest.approx((X**2).sum())
    assert found["step"]["contraction_factor"] == pytest.approx(1 - 0.4 * m2)
    assert found["step"]["largest_stable_step"] == pytest.approx(1 / m2)
    points = found["points"]
    assert points["candidate"] == pytest.approx(Y / X)
    assert points["leverage"] == pytest.approx(X**2 / (X**2).sum())
    assert np.dot(points["leverage"], points["candidate"]) == pytest.approx(best)
    assert points["residual"] == pytest.approx(residual)
    assert points["contribution"] == pytest.approx(2 * residual * X / N)
    assert points["contribution_norm"] == pytest.approx(np.abs(2 * residual * X / N))


@pytest.mark.parametrize(
    ("exp", "lr", "updates", "stable"),
    [
        ("constant", 0.5, 1, True),
        ("constant", 0.45, 2, True),
        ("constant", 1.0, None, False),
        ("linear", 4, None, False),
    ],
)
def test_updates_until_one_percent_of_the_error(
    exp: str, lr: float, updates: int | None, stable: bool, explained: Explain
) -> None:
    step = explained(f"+exp={exp}", f"optimizer.lr={lr}")["step"]
    assert (step["updates_to_one_percent"], step["stable"]) == (updates, stable)


@pytest.mark.parametrize(
    ("sampler", "factor"), [("with_replacement", 1.0), ("without_replacement", (N - 10) / (N - 1))]
)
def test_the_stationary_variance_of_the_constant_model(sampler: str, factor: float, explained: Explain) -> None:
    found = explained("+exp=constant", f"sampler={sampler}", "sampler.batch_size=10")
    assert found["step"]["stationary_variance"] == pytest.approx(0.1 * Y.var() * factor / (10 * 0.9))


def test_the_mean_square_limit_of_the_linear_model(explained: Explain) -> None:
    limit = (X**2).mean() / (X**4).mean()
    sgd = ("+exp=linear", "sampler=with_replacement", "sampler.batch_size=1")
    below, beyond = (explained(*sgd, f"optimizer.lr={factor * limit}")["step"] for factor in (0.5, 1.1))
    assert below["largest_mean_square_step"] == pytest.approx(limit)
    eps = Y - X * (X * Y).sum() / (X**2).sum()
    assert below["stationary_variance"] == pytest.approx(limit * (X**2 * eps**2).mean() / (X**2).mean())
    assert beyond["stationary_variance"] is None
    assert beyond["stable"], "gradient descent itself would still converge"


def test_the_limit_includes_momentum_and_is_unknown_for_adam(explained: Explain) -> None:
    momentum = explained("+exp=linear", "optimizer=momentum", "optimizer.momentum=0.5")
    assert momentum["step"]["largest_stable_step"] == pytest.approx(1.5 / (X**2).mean())
    assert momentum["step"]["contraction_factor"] is None
    adam = explained("+exp=linear", "optimizer=adam")
    assert adam["step"]["largest_stable_step"] is None
    assert "Adam" in adam["notes"][0]


def test_a_point_at_zero_asks_for_nothing(empty_folder: Path, explained: Explain, text: Callable[..., str]) -> None:
    arguments = ["+exp=linear", *write_csv(empty_folder, [2, 0, 1], [3, 5, 1])]
    points = explained(*arguments)["points"]
    assert points["x"] == [0, 1, 2], "points are sorted"
    assert points["candidate"] == [None, 1, 1.5]
    assert points["leverage"] == pytest.approx([0, 0.2, 0.8])
    shown = text(*arguments)
    assert "θ* = 1.4" in shown
    assert "The point at x = 0 asks for nothing and has weight 0" in shown
    assert "1.25" not in shown.split("Step size")[0], "it has no candidate"


def test_points_equally_far_from_zero_have_the_same_weight(empty_folder: Path, text: Callable[..., str]) -> None:
    assert "Here yes" in text("+exp=linear", *write_csv(empty_folder, [-2, 2], [1, 3]))
    assert "Here yes" not in text("+exp=linear", *write_csv(empty_folder, [-2, 3], [1, 3]))


def test_without_a_gradient_there_are_no_vote_shares(
    empty_folder: Path, explained: Explain, text: Callable[..., str]
) -> None:
    arguments = ["+exp=constant", *write_csv(empty_folder, [0, 1], [0, 0])]
    found = explained(*arguments)
    assert found["points"]["vote_share"] == [None, None]
    assert found["effective_votes"] is None
    assert "no point contributes" in text(*arguments)


def test_the_votes_of_the_network_agree_with_autograd(explained: Explain) -> None:
    found = explained("+exp=relu")
    p = parameters_of(found)
    residual = relu(p, torch.from_numpy(X))[0] - torch.from_numpy(Y)
    rows = []
    for one in residual:
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(one**2, list(p.values()), retain_graph=True)]))
    g = torch.stack(rows).numpy()
    mean, norms = g.mean(0), np.linalg.norm(g, axis=1)
    assert found["loss/train"] == pytest.approx((residual.detach() ** 2).mean().item())
    assert found["points"]["residual"] == pytest.approx(residual.detach().numpy())
    assert found["points"]["contribution_norm"] == pytest.approx(norms / N)
    assert found["points"]["vote_share"] == pytest.approx(g @ mean / (N * mean @ mean))
    assert found["effective_votes"] == pytest.approx(norms.sum() ** 2 / (norms**2).sum())
    assert found["gradient_norm"] == pytest.approx(np.linalg.norm(mean))
    noise = (norms**2).mean() - mean @ mean
    assert found["gradient_noise_scale"] == pytest.approx(noise / (mean @ mean))


def test_votes_do_not_depend_on_how_many_points_are_computed_at_a_time(
    explained: Explain, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = explained("exp=relu", "model.width=3")["points"]
    # 10 parameters: chunks of 7 points, the last one of 4
    monkeypatch.setattr("reluviz.cli.explain.facts.MAX_CHUNK_ENTRIES", 79)
    chunks = explained("exp=relu", "model.width=3")["points"]
    assert whole.keys() == chunks.keys()
    for name, values in whole.items():
        assert chunks[name] == pytest.approx(values, rel=1e-12, abs=1e-15), name
    assert sum(chunks["vote_share"]) == pytest.approx(1)


def test_the_units_of_the_network(explained: Explain) -> None:
    found = explained("+exp=relu", "model.elbows=torch", "model.width=50")
    units = found["units"]
    w, b, v = (np.array(units[name]) for name in ("input_slope", "bias", "output_weight"))
    assert units["elbow"] == pytest.approx(-b / w)
    assert units["slope_jump"] == pytest.approx(v * np.abs(w))
    assert units["orientation"] == np.sign(w).tolist()
    on = np.outer(X, w) + b > 0
    status = np.where(on.all(0), "linear", np.where(on.any(0), "bent", "dead"))
    assert units["unit_status"] == status.tolist()
    assert found["unit_counts"] == {name: int((status == name).sum()) for name in STATUS}
    assert min(found["unit_counts"].values()) > 0, "this case has units of every status"


def test_the_sharpness_is_the_largest_eigenvalue_of_the_hessian(explained: Explain) -> None:
    found = explained("+exp=relu", "model.width=4", "optimizer.lr=0.1", "optimizer=momentum")
    p = parameters_of(found)
    sizes = [value.numel() for value in p.values()]

    def loss(flat: torch.Tensor) -> torch.Tensor:
        parts = [part.reshape(value.shape) for part, value in zip(flat.split(sizes), p.values(), strict=True)]
        f = relu(dict(zip(p, parts, strict=True)), torch.from_numpy(X))
        return (f - torch.from_numpy(Y)).square().mean()

    flat = torch.cat([value.detach().flatten() for value in p.values()])
    largest = float(torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, flat))[-1])
    assert found["step"]["sharpness"] == pytest.approx(largest)
    assert found["step"]["stability_ratio"] == pytest.approx(0.05 * largest)
    assert found["step"]["largest_stable_step"] == pytest.approx(2 * 1.9 / largest)


def test_the_solved_output_layer_and_its_limit(explained: Explain) -> None:
    found = explained("+exp=relu_output", "model.width=3", "model.ridge=0.1")
    phi = features(found, X)
    s = np.linalg.svd(phi, compute_uv=False)
    solution = np.linalg.lstsq(phi, Y, rcond=None)[0]
    best = found["least_squares"]
    assert best["loss/train"] == pytest.approx(((phi @ solution - Y) ** 2).mean())
    test_loss = ((features(found, COURSE.x_test) @ solution - COURSE.y_test) ** 2).mean()
    assert best["loss/test"] == pytest.approx(test_loss)
    assert best["rank"] == 4
    assert best["condition_number"] == pytest.approx(s[0] / s[-1])
    assert best["hessian_condition_number"] == pytest.approx((s[0] / s[-1]) ** 2)
    penalty = 0.1 * np.diag([1, 1, 1, 0])
    ridge = np.linalg.solve(phi.T @ phi + penalty, phi.T @ Y)
    assert found["ridge"]["loss/train"] == pytest.approx(((phi @ ridge - Y) ** 2).mean())
    assert found["step"]["largest_stable_step"] == pytest.approx(N / s[0] ** 2)
    assert found["step"]["sharpness"] == pytest.approx(2 * s[0] ** 2 / N)
    assert found["data"]["noise_floor"] == pytest.approx((COURSE.noise**2).mean())
    assert best["expected_test_error"] == pytest.approx(0.1**2 * 4 / N)


def test_elbows_at_data_are_the_ones_of_training(explained: Explain) -> None:
    found = explained("+exp=relu_output", "model.elbows=at_data", "model.width=3")
    assert found["units"]["elbow"] == pytest.approx(X[[50, 100, 149]], abs=1e-6)
    largest = np.linalg.norm(features(found, X), 2)
    assert found["step"]["largest_stable_step"] == pytest.approx(N / largest**2)


def test_the_hessian_of_a_wide_network_is_left_out(explained: Explain, text: Callable[..., str]) -> None:
    wide = ("+exp=relu", "model.width=1000")
    step = explained(*wide)["step"]
    assert step["sharpness"] is step["largest_stable_step"] is None
    shown = text(*wide)
    assert "and 960 more" in shown
    assert "left out" in shown


def test_the_default_is_the_relu_network(explained: Explain) -> None:
    default, named = explained(), explained("exp=relu")
    assert default["units"] == named["units"]
    assert default["step"] == named["step"]


def test_the_first_replica_is_the_run_with_its_seed(explained: Explain) -> None:
    many, one = explained("+exp=relu", "seeds=[7,3]"), explained("+exp=relu", "seed=7")
    assert many["seeds"] == [7, 3]
    assert many["units"] == one["units"]
    assert "Of the 2 replicas the first is shown, seed 7" in many["notes"][0]
    assert one["notes"] == []


def test_the_first_run_of_a_sweep_is_explained(explained: Explain) -> None:
    first, chosen = explained("+exp=stepsize"), explained("+exp=stepsize", "optimizer.lr=3")
    assert first["step"]["lr"] == 0.05
    assert "sweep over optimizer.lr" in first["notes"][0]
    assert (chosen["step"]["lr"], chosen["notes"]) == (3, [])
    assert len(explained("+exp=course")["units"]["elbow"]) == 10


def test_the_text_has_the_numbers(text: Callable[..., str]) -> None:
    shown = text("+exp=linear")
    assert f"θ* = {(X * Y).sum() / (X**2).sum():.6g}" in shown
    assert f"η < {1 / (X**2).mean():.6g}" in shown
    assert f"ρ = {1 - 0.4 * (X**2).mean():.4g}" in shown
    assert "η = 0.2 is below the limit" in shown
    assert f"{100 * X[-1] ** 2 / (X**2).sum():.3g} % of the total" in " ".join(shown.split())
    assert "is beyond" in text("+exp=linear", "optimizer.lr=4")
    constant = " ".join(text("+exp=constant", "sampler=with_replacement").split())
    assert f"standard deviation {math.sqrt(0.1 * Y.var() / (40 * 0.9)):.4g}" in constant
    assert "the same weight, 1/N = 0.5 %" in constant
    relu = " ".join(text("+exp=relu").split())
    assert "160 effective votes of 200" in relu
    assert "7.03e+10" in relu


def test_the_table_shows_all_of_few_points_and_the_largest_votes_of_many(text: Callable[..., str]) -> None:
    def rows(shown: str) -> list[list[str]]:
        lines = [line.split() for line in shown.split("──\n")[1].split("Step size")[0].splitlines()]
        return [line for line in lines if line and (line[0].isdigit() or line[0] in ("others", "all"))]

    few = rows(text("+exp=linear", "data.n=20"))
    assert [row[0] for row in few] == [*map(str, range(20)), "all"]
    many = rows(text("+exp=linear"))
    largest = np.argsort(-np.abs(X * Y))[:10]
    assert [row[0] for row in many] == [*map(str, largest), "others", "all"]
    contributions = -2 * X * Y / N
    assert float(many[0][6]) == pytest.approx(contributions[largest[0]], abs=1e-5)
    others = contributions.sum() - contributions[largest].sum()
    assert float(many[-2][2]) == pytest.approx(others, abs=1e-5)
    assert float(many[-1][3]) == pytest.approx(contributions.sum(), abs=1e-5)


@pytest.mark.parametrize(
    "overrides",
    [
        ["+exp=constant", "sampler=epoch", "optimizer=nesterov"],
        ["+exp=linear", "data.n=2"],
        ["+exp=linear", "sampler=without_replacement", "scheduler=cosine"],
        ["+exp=linear", "data.n=100000"],
        ["+exp=relu", "model.width=60", "replicas=3"],
        ["+exp=relu_output", "optimizer=adam", "model.width=1"],
        ["+exp=ridge"],
        ["+exp=handpicked"],
        ["model.train=hidden", "data.n=2"],
        ["+exp=course"],
    ],
    ids=" ".join,
)
def test_the_text_fits_into_80_columns(overrides: list[str], text: Callable[..., str], empty_folder: Path) -> None:
    shown = text(*overrides)
    assert max(map(len, shown.splitlines())) <= 79
    assert "…" not in shown, "a cell of a table was cut"
    assert "\x1b" not in shown, "a pipe gets no colours"
    assert not list(empty_folder.iterdir()), "explain makes no file"


@pytest.mark.parametrize("size", [1e-9, 1e9])
@pytest.mark.parametrize("exp", ["constant", "linear", "relu"])
def test_very_small_and_large_numbers_fit_into_80_columns(
    exp: str, size: float, text: Callable[..., str], empty_folder: Path
) -> None:
    generator = np.random.default_rng(0)
    x, y = size * generator.normal(size=(2, 50))
    shown = text(f"+exp={exp}", *write_csv(empty_folder, x.tolist(), y.tolist()))
    assert max(map(len, shown.splitlines())) <= 79
    assert "…" not in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "+exp=linear"], "-m: explain has no such option"),
        (["--cfg", "job"], "--cfg: explain has no such option"),
        (["+exp=lin"], "did you mean linear?"),
        (["+exp=linear", "optimizer.lr=-1"], "optimizer.lr=-1"),
        (["+exp=linear", "optimizer.lr=0.1,0.2"], "several values"),
        (["data=file", "data.path=none.csv"], "data.path=none.csv: no such file"),
        (["ckpt_path=logs"], "ckpt_path=logs"),
        (["relu"], "is not of the form key=value"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_status_2(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["reluviz", "explain", *arguments])
    assert __main__.main() == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_numbers_beyond_float64_are_bad_input(empty_folder: Path) -> None:
    for size in (1e200, 1e-200):
        with pytest.raises(explain.UserError, match=r"points\.csv"):
            explain.main(["+exp=linear", *write_csv(empty_folder, [0, size], [1, 2])])


def test_a_further_model_with_one_parameter_is_explained_with_the_formulas_of_its_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """f = theta phi(x) is the linear model with phi(x) in place of x."""
    monkeypatch.setitem(MODELS, "square", one_parameter_model("square", "y = theta x^2", np.square))
    settings = {"name": "run", "scheduler": None, "optimizer": {"_target_": "torch.optim.SGD", "lr": 0.2}}
    theta, sampler = {"theta": np.zeros(1)}, WithReplacement(batch_size=1)
    start = Start(settings, COURSE, sampler, [0], "square", theta, ("theta",), 0.2, "float64")
    found, phi = facts(start, []), X**2
    best = (phi * Y).sum() / (phi**2).sum()
    assert found["optimum"]["theta"] == pytest.approx(best)
    assert found["gradient"]["theta"] == pytest.approx(-2 * (phi * Y).mean())
    assert found["step"]["largest_stable_step"] == pytest.approx(1 / (phi**2).mean())
    assert found["step"]["largest_mean_square_step"] == pytest.approx((phi**2).mean() / (phi**4).mean())
    assert found["points"]["candidate"] == pytest.approx(Y / phi)
    assert found["points"]["contribution"] == pytest.approx(-2 * Y * phi / N)
    shown = as_text(found)
    assert "θ* = Σ φᵢyᵢ / Σ φᵢ²" in shown
    assert f"θ* = {best:.6g}" in shown
    assert f"{(phi**2).sum():.6g}" in shown
    assert "No: point i asks for yᵢ/φᵢ with weight φᵢ²" in shown


def test_the_help_names_options_and_experiments(text: Callable[..., str]) -> None:
    shown = text("+exp=linear", "--help")
    assert all(name in shown for name in ("--json", "constant", "relu_output", "stepsize"))
    assert max(map(len, shown.splitlines())) <= 79


@pytest.mark.long
def test_a_reader_may_close_the_pipe_early(empty_folder: Path) -> None:
    command = [sys.executable, "-m", "reluviz", "explain", "+exp=linear", "data.n=20000", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(8) == '{"name":'
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
