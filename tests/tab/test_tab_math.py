"""The JavaScript twins in static/core, run in a real browser, return the same numbers as the Python code."""

from typing import Any

import numpy as np
import pytest
from browser import javascript_modules, require_browser
from numpy.typing import NDArray
from tab_runs import random_network

from reluviz.core import elbows, functions, theory, votes
from reluviz.core.models import MODELS
from reluviz.data.targets import piecewise_linear
from reluviz.models.relu_settings import TRAINED
from reluviz.tab import wire_format

Array = NDArray[np.float64]
ALL = functions.PARAMETERS["relu"]
NET = """
  const made = ({model, theta, w, b, v, c}) => w
    ? {model: models.modelOf(model), w: Float64Array.from(w), b: Float64Array.from(b), v: Float64Array.from(v), c}
    : {model: models.modelOf(model), theta};
  const p = made(given.p), x = Float64Array.from(given.x), y = Float64Array.from(given.y);
  const list = (values) => Array.from(values, (one) => Number.isFinite(one) ? one : String(one));
"""


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest) -> Any:
    require_browser()
    with javascript_modules(request.getfixturevalue("browser")) as run:
        yield run


def numbers(values: Any) -> Array:
    return np.array([float(one) for one in values])


def assert_close(found: Any, expected: Array) -> None:
    values = numbers(found)
    assert values.shape == np.ravel(expected).shape
    np.testing.assert_allclose(values, np.ravel(expected), rtol=1e-6, atol=1e-6)


def case(seed: int, width: int = 8, n: int = 40) -> tuple[dict[str, Any], dict[str, Array], Array, Array]:
    """A random network with w = 0, dead and linear units, for JavaScript and for Python, and data."""
    random = np.random.default_rng(seed)
    row = random_network(random, width)[0]
    w, b, v = (row[i * width : (i + 1) * width] for i in range(3))
    parts = {"w": w.tolist(), "b": b.tolist(), "v": v.tolist(), "c": float(row[-1])}
    p = dict(zip(ALL, (part.reshape(1, -1) for part in (w, b, v)), strict=False))
    p["output_bias"] = np.array([row[-1]])
    x = np.sort(random.uniform(size=n))
    y = random.normal(size=n)
    given = {"p": {"model": "relu", **parts}, "x": x.tolist(), "y": y.tolist()}
    return given, p, x, y


@pytest.mark.parametrize("seed", range(5))
def test_function_elbows_slopes_and_status(run: Any, seed: int) -> None:
    given, p, x, y = case(seed)
    found = run(
        NET
        + """return {f: list(math.predict(p, x)), loss: math.loss(p, x, y), elbow: list(elbows.elbows(p)),
          jump: list(elbows.slopeJumps(p)), slope: p.w.length && list(p.w.map((_, k) => elbows.activeSlope(p, k))),
          status: Array.from(p.w, (_, k) => elbows.status(p, k, x[0], x[x.length - 1])),
          balance: list(Array.from(p.w, (_, k) => math.balance(p, k)))}""",
        given,
    )
    w, b, v = (p[name] for name in ALL[:3])
    assert_close(found["f"], functions.predict("relu", p, x))
    assert_close([found["loss"]], functions.mean_squared_error("relu", p, x, y))
    assert_close(found["elbow"], elbows.elbow(w, b))
    assert_close(found["jump"], elbows.slope_jump(w, v))
    assert_close(found["slope"], elbows.active_slope(w, v))
    assert_close(found["balance"], votes.balance(p))
    assert found["status"] == elbows.unit_status(w, b, x, "float32")[0].tolist()
    assert {elbows.STATUS[code] for code in found["status"]} == {"dead", "linear", "bent"}


@pytest.mark.parametrize("seed", range(5))
def test_corners_and_staircase(run: Any, seed: int) -> None:
    given, p, _, _ = case(seed)
    found = run(NET + "return {...math.corners(p, -0.2, 1.1), steps: math.staircase(p, -0.2, 1.1)}", given)
    x = numbers(found["x"])
    assert_close(found["y"], functions.predict("relu", p, x))
    # f is linear between corners
    middle = (x[1:] + x[:-1]) / 2
    assert_close(
        ((numbers(found["y"])[1:] + numbers(found["y"])[:-1]) / 2).tolist(), functions.predict("relu", p, middle)
    )
    edges, heights = (part[0] for part in elbows.staircase(p, -0.2, 1.1))
    wide = np.diff(edges) > 0
    assert_close(found["steps"]["heights"], heights[wide])
    assert_close(found["steps"]["edges"], np.concatenate([edges[:-1][wide], edges[-1:]]))


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
    expected = votes.summarize("relu", p, x, y, names, precision="float32")
    assert_close(found["residual"], expected.residual)
    assert_close(found["norm"], expected.norm)
    assert_close(found["share"], expected.share)
    assert sum(found["share"]) == pytest.approx(1)
    assert_close([found["size"]], expected.gradient_norm)
    assert_close([found["effective"]], expected.effective)
    assert_close(found["w"], expected.gradient.get("input_slope", np.zeros((1, 8))))
    g = votes.per_sample_gradients("relu", p, x, y, names, "float32")
    moved = votes.elbow_votes(g, p["input_slope"], p["bias"])[0]
    assert_close(found["elbow"], moved.T)
    assert_close(found["motion"], moved.sum(0))


@pytest.mark.parametrize("seed", range(3))
def test_the_gates_of_points_on_elbows_are_those_of_a_run_in_float32(run: Any, seed: int) -> None:
    given, p, x, y = case(seed, width=20)
    p["input_slope"] = p["input_slope"].astype(np.float32).astype(float)
    # elbows on points, as the initial state places them; the first and the last decide on the status
    at = x[np.resize([0, len(x) - 1, *range(3, 30)], 20)]
    p["bias"] = (-at * p["input_slope"]).astype(np.float32).astype(float)
    given["p"] |= {"w": p["input_slope"][0].tolist(), "b": p["bias"][0].tolist()}
    found = run(
        NET
        + """const found = math.votes(p, x, y, given.names);
          return {b: list(found.gradient.b), w: list(found.gradient.w),
            norm: list(found.norm), share: list(found.share),
            status: Array.from(p.w, (_, k) => elbows.status(p, k, x[0], x[x.length - 1]))}""",
        {**given, "names": list(ALL)},
    )
    expected = votes.summarize("relu", p, x, y, ALL, precision="float32")
    assert_close(found["b"], expected.gradient["bias"])
    assert_close(found["w"], expected.gradient["input_slope"])
    assert_close(found["norm"], expected.norm)
    assert_close(found["share"], expected.share)
    assert found["status"] == elbows.unit_status(p["input_slope"], p["bias"], x, "float32")[0].tolist()
    other = votes.summarize("relu", p, x, y, ALL)
    assert np.abs(other.gradient["bias"] - expected.gradient["bias"]).max() > 1e-4


@pytest.mark.parametrize("model", ["constant", "linear"])
def test_corners_and_staircase_of_the_models_with_one_parameter(run: Any, model: str) -> None:
    given = {"p": {"model": model, "theta": 0.3}, "x": [0.0], "y": [0.0]}
    found = run(NET + "return {...math.corners(p, -1, 2), steps: math.staircase(p, -1, 2)}", given)
    slope = {"constant": 0.0, "linear": 0.3}[model]
    assert found["x"] == [-1, 2]
    assert_close(found["y"], functions.predict(model, {"theta": np.array([0.3])}, np.array([-1.0, 2.0])))
    assert found["steps"] == {"edges": [-1, 2], "heights": [slope]}


def test_a_curved_function_is_drawn_through_many_points(run: Any) -> None:
    code = """const square = one_parameter.oneParameterModel("square", "y = θ x²", (x) => x * x, {});
      const p = {model: square, theta: 2};
      return {...math.corners(p, 0, 1), steps: math.staircase(p, 0, 1), optimum: square.optimum([1, 2], [3, 12])}"""
    found = run(code, {})
    x = numbers(found["x"])
    assert_close(found["x"], np.linspace(0, 1, 201))
    assert_close(found["y"], 2 * x**2)
    assert_close(found["steps"]["heights"], 2 * (x[1:] + x[:-1]))
    assert found["optimum"] == 3


def test_an_unknown_model_is_an_error_that_names_it(run: Any) -> None:
    code = "try { models.modelOf(given); } catch (error) { return error.message; }"
    assert run(code, "cubic") == "this page does not know the model cubic"
    assert run(code, "toString") == "this page does not know the model toString"


@pytest.mark.parametrize("seed", range(3))
def test_the_effect_of_one_update_on_one_point(run: Any, seed: int) -> None:
    given, p, x, y = case(seed)
    i, rate = 7, 0.05
    found = run(
        NET + f"return list(math.predict(math.updateOnPoint(p, x, y, {i}, {rate}, given.names), x))",
        {**given, "names": ALL},
    )
    g = votes.per_sample_gradients("relu", p, x[i : i + 1], y[i : i + 1])
    after = {name: p[name] - rate * g[name][:, 0] for name in ALL}
    assert_close(found, functions.predict("relu", after, x))


@pytest.mark.parametrize("model", ["constant", "linear"])
def test_votes_and_optimum_of_the_models_with_one_parameter(run: Any, model: str) -> None:
    data = piecewise_linear()
    x, y = data.x, data.y
    p = {"theta": np.array([0.3])}
    given = {"p": {"model": model, "theta": 0.3}, "x": data.x.tolist(), "y": data.y.tolist()}
    found = run(
        NET
        + """const found = math.votes(p, x, y, ['theta']);
          return {share: list(found.share), norm: list(found.norm), gradient: found.gradient.theta,
            optimum: p.model.optimum(x, y), loss: math.loss(p, x, y),
            asked: list(x.map((xi, i) => p.model.candidate(xi, y[i]) * p.model.weight(xi)))}""",
        given,
    )
    expected = votes.summarize(model, p, x, y, ("theta",))
    assert_close(found["share"], expected.share)
    assert_close(found["norm"], expected.norm)
    assert_close([found["gradient"]], expected.gradient["theta"])
    feature = MODELS[model].feature
    assert feature is not None
    best = theory.linear.optimum(feature(x), y)
    assert_close([found["optimum"]], np.array([best]))
    assert_close([found["loss"]], functions.mean_squared_error(model, p, x, y))
    # theta* is the weighted mean of the candidates
    total = float((x * x).sum()) if model == "linear" else len(x)
    assert sum(found["asked"]) / total == pytest.approx(best)


@pytest.mark.parametrize("seed", range(5))
def test_least_squares_returns_the_minimum_norm_solution_of_numpy(run: Any, seed: int) -> None:
    given, p, x, y = case(seed, width=6, n=60)
    code = """const {net, rank} = math.solveOutput(p, x, y);
      return {v: list(net.v), c: net.c, rank, f: list(math.predict(net, x))}"""
    found = run(NET + code, given)
    phi = functions.features(p, x)[0]
    expected = theory.relu.least_squares(phi, y)
    # the dead unit and the constant unit make the features rank-deficient
    assert found["rank"] == int(expected.rank) < 7
    assert_close([*found["v"], found["c"]], expected.solution)
    assert_close(found["f"], phi @ np.linalg.lstsq(phi, y, rcond=None)[0])


def test_least_squares_on_badly_conditioned_features(run: Any) -> None:
    data = piecewise_linear()
    given, p, _, _ = case(1, width=20)
    given |= {"x": data.x.tolist(), "y": data.y.tolist()}
    found = run(NET + "return list(math.predict(math.solveOutput(p, x, y).net, x))", given)
    phi = functions.features(p, data.x)[0]
    assert_close(found, phi @ theory.relu.least_squares(phi, data.y).solution)


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
