"""The JavaScript twins in static/core, run in a real browser, return the same numbers as the Python code."""

from typing import Any

import numpy as np
import pytest
import torch
from browser import javascript_modules, require_browser
from reluviz.core.snapshot_torch import optimum
from tab_runs import random_network
from torch import Tensor

from reluviz.core import elbows, functions_torch, theory, votes_torch
from reluviz.data.targets import piecewise_linear
from reluviz.models.relu import TRAINED
from reluviz.tab import wire_format

ALL = functions_torch.PARAMETERS["relu"]
NET = """
  const made = ({model, theta, w, b, v, c}) => model === 'relu'
    ? {model, w: Float64Array.from(w), b: Float64Array.from(b), v: Float64Array.from(v), c} : {model, theta};
  const p = made(given.p), x = Float64Array.from(given.x), y = Float64Array.from(given.y);
  const list = (values) => Array.from(values, (one) => Number.isFinite(one) ? one : String(one));
"""


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest) -> Any:
    require_browser()
    with javascript_modules(request.getfixturevalue("browser")) as run:
        yield run


def numbers(values: Any) -> Tensor:
    return torch.tensor([float(one) for one in values], dtype=torch.float64)


def assert_close(found: Any, expected: Tensor) -> None:
    torch.testing.assert_close(numbers(found), expected.reshape(-1), rtol=1e-6, atol=1e-6, equal_nan=True)


def case(seed: int, width: int = 8, n: int = 40) -> tuple[dict[str, Any], dict[str, Tensor], Tensor, Tensor]:
    """A random network with w = 0, dead and linear units, for JavaScript and for Python, and data."""
    random = np.random.default_rng(seed)
    row = random_network(random, width)[0]
    w, b, v = (row[i * width : (i + 1) * width] for i in range(3))
    parts = {"w": w.tolist(), "b": b.tolist(), "v": v.tolist(), "c": float(row[-1])}
    p = dict(zip(ALL, (torch.from_numpy(part).reshape(1, -1) for part in (w, b, v)), strict=False))
    p["output_bias"] = torch.tensor([row[-1]])
    x = np.sort(random.uniform(size=n))
    y = random.normal(size=n)
    given = {"p": {"model": "relu", **parts}, "x": x.tolist(), "y": y.tolist()}
    return given, p, torch.from_numpy(x), torch.from_numpy(y)


@pytest.mark.parametrize("seed", range(5))
def test_function_elbows_slopes_and_status(run: Any, seed: int) -> None:
    given, p, x, y = case(seed)
    found = run(
        NET
        + """return {f: list(math.predict(p, x)), loss: math.loss(p, x, y), elbow: list(math.elbows(p)),
          jump: list(math.slopeJumps(p)), slope: p.w.length && list(p.w.map((_, k) => math.activeSlope(p, k))),
          status: Array.from(p.w, (_, k) => math.status(p, k, x[0], x[x.length - 1])),
          balance: list(Array.from(p.w, (_, k) => math.balance(p, k)))}""",
        given,
    )
    w, b, v = (p[name] for name in ALL[:3])
    assert_close(found["f"], functions_torch.predict("relu", p, x))
    assert_close([found["loss"]], functions_torch.mean_squared_error("relu", p, x, y))
    assert_close(found["elbow"], elbows.elbow(w, b))
    assert_close(found["jump"], elbows.slope_jump(w, v))
    assert_close(found["slope"], elbows.active_slope(w, v))
    assert_close(found["balance"], votes_torch.balance(p))
    assert found["status"] == elbows.unit_status(w, b, x)[0].tolist()
    assert {elbows.STATUS[code] for code in found["status"]} == {"dead", "linear", "bent"}


@pytest.mark.parametrize("seed", range(5))
def test_corners_and_staircase(run: Any, seed: int) -> None:
    given, p, _, _ = case(seed)
    found = run(NET + "return {...math.corners(p, -0.2, 1.1), steps: math.staircase(p, -0.2, 1.1)}", given)
    x = numbers(found["x"])
    assert_close(found["y"], functions_torch.predict("relu", p, x))
    # f is linear between corners
    middle = (x[1:] + x[:-1]) / 2
    assert_close(
        ((numbers(found["y"])[1:] + numbers(found["y"])[:-1]) / 2).tolist(), functions_torch.predict("relu", p, middle)
    )
    edges, heights = (part[0] for part in elbows.staircase(p, -0.2, 1.1))
    wide = edges.diff() > 0
    assert_close(found["steps"]["heights"], heights[wide])
    assert_close(found["steps"]["edges"], torch.cat([edges[:-1][wide], edges[-1:]]))


@pytest.mark.parametrize("trained", ["all", "output", "hidden"])
@pytest.mark.parametrize("seed", range(3))
def test_votes(run: Any, seed: int, trained: str) -> None:
    given, p, x, y = case(seed)
    names = TRAINED[trained]
    found = run(
        NET
        + """const found = math.votes(p, x, y, given.names);
          return {residual: list(found.residual), norm: list(found.norm), share: list(found.share),
            size: found.gradientNorm, effective: found.effective, w: list(found.gradient.w), c: found.gradient.c,
            elbow: list(p.w.length && Array.from(p.w, (_, k) =>
              list(math.elbowVotes(p, k, x, found.residual, given.names))).flat()),
            motion: list(Array.from(p.w, (_, k) => math.unitMotion(p, found.gradient, k).elbow))}""",
        {**given, "names": list(names)},
    )
    expected = votes_torch.summarize("relu", p, x, y, names)
    assert_close(found["residual"], expected.residual)
    assert_close(found["norm"], expected.norm)
    assert_close(found["share"], expected.share)
    assert sum(found["share"]) == pytest.approx(1)
    assert_close([found["size"]], expected.gradient_norm)
    assert_close([found["effective"]], expected.effective)
    assert_close(found["w"], expected.gradient.get("input_slope", torch.zeros(1, 8, dtype=torch.float64)))
    g = votes_torch.per_sample_gradients("relu", p, x, y, names)
    moved = votes_torch.elbow_votes(g, p["input_slope"], p["bias"])[0]
    assert_close(found["elbow"], moved.T)
    assert_close(found["motion"], moved.sum(0))


@pytest.mark.parametrize("seed", range(3))
def test_the_effect_of_one_update_on_one_point(run: Any, seed: int) -> None:
    given, p, x, y = case(seed)
    i, rate = 7, 0.05
    found = run(
        NET + f"return list(math.predict(math.updateOnPoint(p, x, y, {i}, {rate}, given.names), x))",
        {**given, "names": ALL},
    )
    g = votes_torch.per_sample_gradients("relu", p, x[i : i + 1], y[i : i + 1])
    after = {name: p[name] - rate * g[name][:, 0] for name in ALL}
    assert_close(found, functions_torch.predict("relu", after, x))


@pytest.mark.parametrize("model", ["constant", "linear"])
def test_votes_and_optimum_of_the_models_with_one_parameter(run: Any, model: str) -> None:
    data = piecewise_linear()
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    p = {"theta": torch.tensor([0.3], dtype=torch.float64)}
    given = {"p": {"model": model, "theta": 0.3}, "x": data.x.tolist(), "y": data.y.tolist()}
    found = run(
        NET
        + """const found = math.votes(p, x, y, ['theta']);
          return {share: list(found.share), norm: list(found.norm), gradient: found.gradient.theta,
            optimum: math.optimum(p.model, x, y), loss: math.loss(p, x, y),
            asked: list(x.map((xi, i) => math.candidate(p.model, xi, y[i]) * math.weight(p.model, xi)))}""",
        given,
    )
    expected = votes_torch.summarize(model, p, x, y, ("theta",))
    assert_close(found["share"], expected.share)
    assert_close(found["norm"], expected.norm)
    assert_close([found["gradient"]], expected.gradient["theta"])
    best = optimum(model, data)
    assert best is not None
    assert_close([found["optimum"]], best)
    assert_close([found["loss"]], functions_torch.mean_squared_error(model, p, x, y))
    # theta* is the weighted mean of the candidates
    total = float((x * x).sum()) if model == "linear" else len(x)
    assert sum(found["asked"]) / total == pytest.approx(float(best))


@pytest.mark.parametrize("seed", range(5))
def test_least_squares_returns_the_minimum_norm_solution_of_torch(run: Any, seed: int) -> None:
    given, p, x, y = case(seed, width=6, n=60)
    code = """const {net, rank} = math.solveOutput(p, x, y);
      return {v: list(net.v), c: net.c, rank, f: list(math.predict(net, x))}"""
    found = run(NET + code, given)
    phi = functions_torch.features(p, x)[0]
    expected = theory.relu.least_squares(phi, y)
    # the dead unit and the constant unit make the features rank-deficient
    assert found["rank"] == int(expected.rank) < 7
    assert_close([*found["v"], found["c"]], expected.solution)
    assert_close(found["f"], phi @ torch.linalg.lstsq(phi, y.unsqueeze(-1), driver="gelsd").solution[:, 0])


def test_least_squares_on_badly_conditioned_features(run: Any) -> None:
    data = piecewise_linear()
    given, p, _, _ = case(1, width=20)
    given |= {"x": data.x.tolist(), "y": data.y.tolist()}
    found = run(NET + "return list(math.predict(math.solveOutput(p, x, y).net, x))", given)
    phi = functions_torch.features(p, torch.from_numpy(data.x))[0]
    assert_close(found, phi @ theory.relu.least_squares(phi, torch.from_numpy(data.y)).solution)


def test_javascript_decodes_the_arrays_that_python_encodes(run: Any) -> None:
    arrays = {
        "a": np.array([[1.5, np.nan], [np.inf, -2]], dtype=np.float32),
        "b": np.arange(3, dtype=np.int32),
        "c": np.array([1e300]),
    }
    found = run(
        """const {header, arrays} = wire.decode(Uint8Array.from(given).buffer);
        return {text: header.text, ...Object.fromEntries(Object.entries(arrays).map(([name, {data, shape}]) =>
          [name, [shape, Array.from(data, String)]]))}""",
        list(wire_format.encode(arrays, text="θ")),
    )
    assert found == {
        "text": "θ",
        "a": [[2, 2], ["1.5", "NaN", "Infinity", "-2"]],
        "b": [[3], ["0", "1", "2"]],
        "c": [[1], ["1e+300"]],
    }
