"""The JavaScript twins in static/core, run in a real browser, return the same numbers as the Python code."""

from typing import Any

import numpy as np
import pytest
from browser import javascript_modules, require_browser
from numpy.typing import NDArray
from tab_runs import TRAINED, Array, random_network

from reluviz.core import elbows, functions, theory, votes
from reluviz.core.models import MODELS
from reluviz.core.models.one_parameter import one_parameter_model
from reluviz.data.scaling import Scaling
from reluviz.data.targets import piecewise_linear
from reluviz.tab import wire_format

ALL = functions.PARAMETERS["relu"]
GIVEN = """
  const model = models.modelNamed(given.model ?? 'relu');
  const {w, b, v, c, theta} = given.p;
  const p = w ? {w: Float64Array.from(w), b: Float64Array.from(b), v: Float64Array.from(v), c} : {theta};
  const x = Float64Array.from(given.x), y = Float64Array.from(given.y);
  const list = (values) => Array.from(values, (one) => Number.isFinite(one) ? one : String(one));
  const ofUnits = (f) => list(Array.from(p.w, (_, k) => f(k)));
"""


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest) -> Any:
    require_browser()
    with javascript_modules(request.getfixturevalue("browser")) as run:
        yield run


def numbers(values: Any) -> Array:
    return np.array([float(one) for one in values])


def assert_close(found: Any, expected: Array | float) -> None:
    np.testing.assert_allclose(numbers(found), np.reshape(expected, -1), rtol=1e-6, atol=1e-6)


def given_network(p: dict[str, Array], x: Array, y: Array) -> dict[str, Any]:
    """A network of one replica and its data, for JavaScript."""
    w, b, v = (p[name][0].tolist() for name in ALL[:3])
    return {"p": {"w": w, "b": b, "v": v, "c": float(p["output_bias"][0])}, "x": x.tolist(), "y": y.tolist()}


def network(row: Array) -> dict[str, Array]:
    """The parameters of one network, for Python."""
    width = (len(row) - 1) // 3
    w, b, v, c = np.split(row, [width, 2 * width, 3 * width])
    return {"input_slope": w[None], "bias": b[None], "output_weight": v[None], "output_bias": c}


def case(seed: int, width: int = 8, n: int = 40) -> tuple[dict[str, Any], dict[str, Array], Array, Array]:
    """A random network with w = 0, dead and linear units, for JavaScript and for Python, and data."""
    random = np.random.default_rng(seed)
    p = network(random_network(random, width)[0])
    x = np.sort(random.uniform(size=n))
    y = random.normal(size=n)
    return given_network(p, x, y), p, x, y


def case_with_elbows_on_points(seed: int) -> tuple[dict[str, Any], dict[str, Array], Array, Array]:
    """A network in float32 with each elbow on a point, up to the rounding of b; two on the first and the last point."""
    random = np.random.default_rng(seed)
    width, n = 24, 40
    x = np.sort(random.uniform(size=n))
    w = random.normal(size=width).astype(np.float32)
    beta = x[[0, n - 1, *random.integers(0, n, size=width - 2)]].astype(np.float32)
    b, v = -beta * w, random.normal(size=width).astype(np.float32)
    p = network(np.concatenate([w, b, v, [0.25]]).astype(np.float64))
    y = random.normal(size=n)
    return given_network(p, x, y), p, x, y


@pytest.mark.parametrize("seed", range(5))
def test_function_elbows_slopes_and_status(run: Any, seed: int) -> None:
    given, p, x, y = case(seed)
    found = run(
        GIVEN
        + """return {f: list(functions.predict(model, p, x)), loss: functions.loss(model, p, x, y),
          elbow: list(elbows.elbows(p)), jump: list(elbows.slopeJumps(p)),
          slope: ofUnits((k) => elbows.activeSlope(p, k)), balance: ofUnits((k) => votes.balance(p, k)),
          status: Array.from(elbows.unitStatuses(p, x[0], x[x.length - 1]))}""",
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


@pytest.mark.parametrize("ends", ["outside", "on elbows"])
@pytest.mark.parametrize("seed", range(5))
def test_the_drawn_curve_and_the_staircase(run: Any, seed: int, ends: str) -> None:
    given, p, _, _ = case(seed)
    places = np.sort(elbows.elbow(p["input_slope"], p["bias"])[0])
    low, high = (-0.2, 1.1) if ends == "outside" else places[np.isfinite(places)][[2, -2]].tolist()
    code = "return {...functions.curve(model, p, ...given.ends), steps: model.staircase(p, ...given.ends)}"
    found = run(GIVEN + code, {**given, "ends": [low, high]})
    x, y = numbers(found["x"]), numbers(found["y"])
    assert (np.diff(x) > 0).all()
    assert_close(y, functions.predict("relu", p, x))
    # f is linear between the corners of the curve
    assert_close((y[1:] + y[:-1]) / 2, functions.predict("relu", p, (x[1:] + x[:-1]) / 2))
    edges, heights = (part[0] for part in elbows.staircase(p, low, high))
    wide = np.diff(edges) > 0
    assert_close(found["steps"]["heights"], heights[wide])
    assert_close(found["steps"]["edges"], [*edges[:-1][wide], edges[-1]])


@pytest.mark.parametrize("edit", ["withElbow", "withSlopeJump", "withInputSlope"])
def test_a_unit_moved_by_hand_has_what_was_asked_for_and_keeps_the_rest(run: Any, edit: str) -> None:
    given, p, _, _ = case(0)
    k, value = 5, 0.4
    code = f"const moved = elbows.{edit}(p, {k}, {value}), still = elbows.{edit}(p, 1, {value});"
    found = run(GIVEN + code + "return {w: list(moved.w), b: list(moved.b), v: list(moved.v), still}", given)
    assert found["still"] is None  # unit 1 has w = 0, and no elbow
    w, b, v = (numbers(found[name])[k] for name in "wbv")
    before = [p[name][0, k] for name in ALL[:3]]
    beta, jump = (float(value) for value in (elbows.elbow(w, b), elbows.slope_jump(w, v)))
    if edit == "withElbow":
        assert (beta, w, v) == pytest.approx((value, before[0], before[2]))
    elif edit == "withSlopeJump":
        assert (jump, w, b) == pytest.approx((value, before[0], before[1]))
    else:
        assert (w, beta, v) == pytest.approx((value, float(elbows.elbow(before[0], before[1])), before[2]))


VOTES = """
  const found = votes.votes(model, p, x, y, given.names);
  return {residual: list(found.residual), norm: list(found.norm), share: list(found.share),
    size: found.gradientNorm, effective: found.effective, w: list(found.gradient.w), c: found.gradient.c,
    elbow: ofUnits((k) => k).flatMap((k) => list(votes.elbowVotes(p, k, x, found.twice, given.names))),
    motion: ofUnits((k) => votes.unitMotion(p, found.gradient, k).elbow),
    jumpMotion: ofUnits((k) => votes.unitMotion(p, found.gradient, k).jump)}
"""


@pytest.mark.parametrize("make", [case, case_with_elbows_on_points])
@pytest.mark.parametrize("trained", ["all", "output", "hidden"])
@pytest.mark.parametrize("seed", range(3))
def test_votes(run: Any, seed: int, trained: str, make: Any) -> None:
    given, p, x, y = make(seed)
    names = TRAINED[trained]
    found = run(GIVEN + VOTES, {**given, "names": list(names)})
    expected = votes.summarize("relu", p, x, y, names, precision="float32")
    assert_close(found["residual"], expected.residual)
    assert_close(found["norm"], expected.norm)
    assert_close(found["share"], expected.share)
    assert sum(found["share"]) == pytest.approx(1)
    assert_close([found["size"]], expected.gradient_norm)
    assert_close([found["effective"]], expected.effective)
    zeros = np.zeros_like(p["bias"])
    assert_close(found["w"], expected.gradient.get("input_slope", zeros))
    g = votes.per_sample_gradients("relu", p, x, y, names, "float32")
    moved = votes.elbow_votes(g, p["input_slope"], p["bias"])[0]
    assert_close(found["elbow"], moved.T)
    assert_close(found["motion"], moved.sum(0))
    # -d(v |w|)/dt = |w| G_v + v sign(w) G_w
    w, v = p["input_slope"], p["output_weight"]
    gradient = {name: expected.gradient.get(name, zeros) for name in ("input_slope", "output_weight")}
    jump = np.abs(w) * gradient["output_weight"] + v * np.sign(w) * gradient["input_slope"]
    assert_close(found["jumpMotion"], -jump)


@pytest.mark.parametrize("seed", range(3))
def test_gates_of_points_on_elbows_are_those_of_float32(run: Any, seed: int) -> None:
    given, p, x, _ = case_with_elbows_on_points(seed)
    found = run(
        GIVEN
        + """return {status: Array.from(elbows.unitStatuses(p, x[0], x[x.length - 1])),
          active: Array.from(x, (xi) => Array.from(p.w, (w, k) => elbows.isActive(w, p.b[k], xi)))}""",
        given,
    )
    w, b = p["input_slope"], p["bias"]
    active = elbows.is_active(w, b, x[:, None], "float32")
    assert found["active"] == active.tolist()
    assert found["status"] == elbows.unit_status(w, b, x, "float32")[0].tolist()
    # in float64 some of these points lie on the other side
    assert (active != elbows.is_active(w, b, x[:, None])).any()
    assert found["status"] != elbows.unit_status(w, b, x)[0].tolist()


def test_gates_after_a_change_by_hand_round_the_changed_numbers_too(run: Any) -> None:
    # the numbers are float64 after a change by hand; the gates are those that a run from there would have
    x = np.sort(np.random.default_rng(0).uniform(size=200))
    w = 1.1
    code = "return given.x.map((xi) => elbows.isActive(given.w, -xi * given.w, xi))"
    found = run(code, {"x": x.tolist(), "w": w})
    assert found == elbows.is_active(np.array(w), -x * w, x, "float32").tolist()
    assert found != elbows.is_active(np.array(w), -x * w, x).tolist()


@pytest.mark.parametrize("seed", range(3))
def test_the_effect_of_one_update_on_one_point(run: Any, seed: int) -> None:
    given, p, x, y = case(seed)
    i, rate = 7, 0.05
    found = run(
        GIVEN
        + f"""const next = votes.updateOnPoint(model, p, x, y, {i}, {rate}, given.names);
          return list(functions.predict(model, next, x))""",
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
    found = run(
        GIVEN
        + """const found = votes.votes(model, p, x, y, ['theta']);
          return {share: list(found.share), norm: list(found.norm), gradient: found.gradient.theta,
            optimum: model.optimum(x, y), loss: functions.loss(model, p, x, y), curvature: model.curvature(x),
            f: list(functions.predict(model, p, x)), steps: model.staircase(p, -1, 2),
            candidate: list(x.map((xi, i) => model.candidate(xi, y[i]))), weight: list(x.map(model.weight))}""",
        {"model": model, "p": {"theta": 0.3}, "x": x.tolist(), "y": y.tolist()},
    )
    expected = votes.summarize(model, p, x, y, ("theta",))
    assert_close(found["share"], expected.share)
    assert_close(found["norm"], expected.norm)
    assert_close([found["gradient"]], expected.gradient["theta"])
    assert_close(found["f"], functions.predict(model, p, x))
    assert found["steps"] == {"edges": [-1, 2], "heights": [pytest.approx(0.3 if model == "linear" else 0)]}
    losses = [functions.mean_squared_error(model, {"theta": np.array([at])}, x, y)[0] for at in (0.3, found["optimum"])]
    assert found["loss"] == pytest.approx(losses[0])
    assert losses[0] - losses[1] == pytest.approx(found["curvature"] * (0.3 - found["optimum"]) ** 2)
    given = (x, y) if model == "linear" else (y,)
    module = getattr(theory, model)
    assert found["optimum"] == pytest.approx(module.optimum(*given))
    assert_close(found["candidate"], module.candidate(*given))
    # the constant's weights are 1/N in Python, 1 in the page
    weight = module.weight(x) if model == "linear" else np.ones_like(y)
    assert_close(found["weight"], weight)


SQUARE = """
  const {oneParameterModel} = await import('./core/models/one_parameter.js');
  const model = oneParameterModel({name: 'square', feature: (x) => x * x, words: {title: 'y = θ x²'}});
"""


def test_a_further_feature_is_all_that_a_further_model_with_one_parameter_needs(run: Any) -> None:
    data = piecewise_linear()
    x, y = data.x, data.y
    square = one_parameter_model("square", "y = theta x^2", np.square, {})
    expected = square.per_sample_gradients({"theta": np.array([0.3])}, x, y, ("theta",))
    (g,), (total,) = expected.gradients()["theta"], expected.total()[:, 0]
    found = run(
        SQUARE
        + """const p = {theta: 0.3}, x = Float64Array.from(given.x), y = Float64Array.from(given.y);
          const found = votes.votes(model, p, x, y, ['theta']), {edges, heights} = model.staircase(p, -1, 2);
          return {share: Array.from(found.share), norm: Array.from(found.norm), curve: functions.curve(model, p, -1, 2),
            edges, heights, optimum: model.optimum(x, y), curvature: model.curvature(x),
            candidate: model.candidate(0.5, 3), none: String(model.candidate(0, 3)), weight: model.weight(0.5)}""",
        {"x": x.tolist(), "y": y.tolist()},
    )
    assert_close(found["share"], g / total)
    assert_close(found["norm"], np.abs(g) / len(x))
    assert found["optimum"] == pytest.approx((x**2 * y).sum() / (x**4).sum())
    assert found["curvature"] == pytest.approx((x**4).mean())
    assert (found["candidate"], found["none"], found["weight"]) == (12, "NaN", 0.0625)
    at, f = numbers(found["curve"]["x"]), numbers(found["curve"]["y"])
    assert_close(at, np.linspace(-1, 2, len(at)))
    assert_close(f, 0.3 * at**2)
    # the curve is drawn through enough points: between two of them it is off by less than a pixel
    assert (0.3 * np.diff(at) ** 2 / 8).max() < (f.max() - f.min()) / 10_000
    edges = numbers(found["edges"])
    assert_close(edges, at)
    assert_close(found["heights"], 0.3 * (edges[1:] + edges[:-1]))


def test_there_are_no_shares_where_the_gradient_is_0(run: Any) -> None:
    given = {"model": "constant", "p": {"theta": 2}, "x": [0, 1], "y": [1, 3]}
    found = run(GIVEN + "return list(votes.votes(model, p, x, y, ['theta']).share)", given)
    assert found == ["NaN", "NaN"]


def test_a_point_where_theta_does_not_change_f_asks_for_no_theta(run: Any) -> None:
    assert run("return [0, 1].map((y) => String(models.modelNamed('linear').candidate(0, y)))") == ["NaN", "NaN"]


def test_an_unknown_model_is_refused_in_one_sentence(run: Any) -> None:
    found = run("try { models.modelNamed('cubic') } catch (error) { return error.message }")
    assert found == f'This page cannot show the model "cubic"; it knows {", ".join(sorted(MODELS))}.'


@pytest.mark.parametrize("seed", range(5))
def test_least_squares_returns_the_minimum_norm_solution(run: Any, seed: int) -> None:
    given, p, x, y = case(seed, width=6, n=60)
    found = run(
        GIVEN
        + """const {net, rank} = least_squares.solveOutput(p, x, y);
          return {v: list(net.v), c: net.c, rank, f: list(functions.predict(model, net, x))}""",
        given,
    )
    phi = functions.features(p, x)[0]
    expected = theory.relu.least_squares(phi, y)
    # the dead unit and the constant unit make the features rank-deficient
    assert found["rank"] == int(expected.rank) < 7
    assert_close([*found["v"], found["c"]], expected.solution)
    assert_close(found["f"], phi @ np.linalg.lstsq(phi, y)[0])


def test_least_squares_on_badly_conditioned_features(run: Any) -> None:
    data = piecewise_linear()
    _, p, _, _ = case(1, width=20)
    given = given_network(p, data.x, data.y)
    found = run(GIVEN + "return list(functions.predict(model, least_squares.solveOutput(p, x, y).net, x))", given)
    phi = functions.features(p, data.x)[0]
    assert_close(found, phi @ theory.relu.least_squares(phi, data.y).solution)


@pytest.mark.parametrize("lam", [1e-6, 1e-3, 0.5, 100.0])
@pytest.mark.parametrize("seed", range(3))
def test_ridge_regression_returns_the_solution_of_python(run: Any, seed: int, lam: float) -> None:
    given, p, x, y = case(seed, width=6, n=60)
    found = run(
        GIVEN + "const {net} = least_squares.solveOutput(p, x, y, given.lam); return [...list(net.v), net.c]",
        given | {"lam": lam},
    )
    phi_hidden = functions.features(p, x)[..., :-1]
    v, c = theory.relu.ridge(phi_hidden, y[None], lam)
    assert_close(found, np.append(v[0], c))
    # the gradient of sum r^2 + lambda |v|^2 is 0 there, with c free
    residual = phi_hidden[0] @ numbers(found)[:-1] + found[-1] - y
    scale = np.abs(phi_hidden[0].T @ y).max()
    np.testing.assert_allclose(phi_hidden[0].T @ residual + lam * numbers(found)[:-1], 0, atol=1e-9 * scale)
    assert abs(residual.mean()) < 1e-12


def test_javascript_decodes_the_arrays_that_python_encodes(run: Any) -> None:
    arrays: dict[str, NDArray[Any]] = {
        "a": np.array([[1.5, np.nan], [np.inf, -2]], dtype=np.float32),
        "b": np.arange(3, dtype=np.int32),
        "c": np.array([1e300]),
    }
    found = run(
        """const {header, arrays} = wire_format.decode(Uint8Array.from(given).buffer);
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


# x0, s_x, y0, s_y
SCALINGS = [(-3.0, 2.5, 100.0, 7.0), (1e9, 1e3, -1e6, 1.0)]


@pytest.mark.parametrize("numbers_of", SCALINGS)
def test_offsets_and_scales_convert_as_in_python(run: Any, numbers_of: tuple[float, ...]) -> None:
    values = [-2.0, 0.0, 0.3, 1e9 + 1]
    names = ("trainedX", "trainedY", "userX", "userY", "userDistance", "userResidual", "userLoss", "userSlope")
    code = "const found = scaling.scalingOf(given.scaling);"
    code += f"return Object.fromEntries({list(names)}.map((name) => [name, given.values.map((v) => found[name](v))]))"
    found = run(code, {"scaling": numbers_of, "values": values})
    python, given = Scaling(*numbers_of), np.array(values)
    expected = {
        "trainedX": python.trained_x(given),
        "trainedY": python.trained_y(given),
        "userX": python.user_x(given),
        "userY": python.user_y(given),
        "userDistance": numbers_of[1] * given,
        "userResidual": python.user_residual(given),
        "userLoss": python.user_loss(given),
        "userSlope": python.user_slope(given),
    }
    for name, wanted in expected.items():
        np.testing.assert_allclose(found[name], wanted, rtol=1e-15, err_msg=name)
    assert run(code, {"values": values}) == dict.fromkeys(names, values)


@pytest.mark.parametrize("numbers_of", SCALINGS)
def test_a_network_is_converted_to_the_users_units_and_back(run: Any, numbers_of: tuple[float, ...]) -> None:
    given, p, *_ = case(1)
    found = run(
        GIVEN
        + """const numbers = scaling.scalingOf(given.scaling);
        const shown = model.inUserUnits(p, numbers), back = model.inTrainedUnits(shown, numbers);
        const plain = ({w, b, v, c}) => [list(w), list(b), list(v), [c]];
        return {shown: plain(shown), back: plain(back)}""",
        given | {"scaling": numbers_of},
    )
    wanted = functions.user_parameters("relu", p, Scaling(*numbers_of))
    for name, values, again in zip(ALL, found["shown"], found["back"], strict=True):
        np.testing.assert_allclose(numbers(values), np.reshape(wanted[name], -1), rtol=1e-14, err_msg=name)
        np.testing.assert_allclose(numbers(again), np.reshape(p[name], -1), rtol=1e-6, atol=1e-9, err_msg=name)
