"""Chains of any depth: JavaScript equals Python on float32 weights, and the page shows their kinks by layer."""

import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import (
    current_state,
    get_route,
    javascript_modules,
    open_page,
    require_browser,
    running_tensorboard,
    tab_frame,
    wait_for_runs,
    wait_for_state,
)
from numpy.typing import NDArray

from reluviz import load_run
from reluviz.__main__ import main
from reluviz.analysis.payload import payload
from reluviz.analysis.run_arrays import RunArrays
from reluviz.core import votes
from reluviz.core.kinks import ChainPieces, chain_pieces, chain_status
from reluviz.core.models import MODELS, mlp
from reluviz.core.models.architecture import Architecture
from reluviz.data import piecewise_linear
from reluviz.data.scaling import Scaling
from reluviz.models.mlp import MLPModule
from reluviz.tab import html_file, series, wire_format

pytestmark = pytest.mark.long

Array = NDArray[np.float64]
ARCHITECTURES = [
    Architecture((1,)),
    Architecture((7,)),
    Architecture((20, 20)),
    Architecture((5, 9, 4)),
    Architecture((12, 8, 10, 6)),
    Architecture((50, 50, 50)),
    Architecture((3, 2, 4, 2, 3)),
    Architecture((20, 20), "abs"),
    Architecture((6, 7, 5), "abs"),
    Architecture((20, 20), "leaky", 0.01),
    Architecture((9, 8, 7), "leaky", 0.3),
    Architecture((6, 7), "leaky", -0.5),
]
GIVEN = """
  const model = models.modelNamed(given.name), {architecture} = model;
  const p = Object.fromEntries(Object.entries(model.parameters).map(([key, {field, perUnit}]) =>
    [key, perUnit ? Float64Array.from(given.p[field]) : given.p[field]]));
  const x = Float64Array.from(given.x), y = Float64Array.from(given.y), list = (values) => Array.from(values);
  const flat = (g) => Object.fromEntries(Object.entries(model.parameters).map(([key, {field, perUnit}]) =>
    [field, perUnit ? list(g[key]) : [g[key]]]));
"""


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest) -> Any:
    require_browser()
    names = ("functions", "kinks", "kink_paths", "models", "votes", "models/chain")
    paths = [*(f"core/{name}" for name in names), "trainer/python_code"]
    with javascript_modules(request.getfixturevalue("browser"), *paths) as run:
        yield run


def random_chain(architecture: Architecture, seed: int) -> dict[str, Array]:
    """Return float32 weights, [1, ...], with kinks on the data, equal units, a dead unit and weights that are 0."""
    random = np.random.default_rng(seed)
    p = {}
    before = 1
    for (weight, bias), width in zip(architecture.names[:-1], architecture.hidden, strict=True):
        p[weight] = random.normal(size=architecture.shapes[weight]) * np.sqrt(2 / before) * (3 if before == 1 else 1)
        p[bias] = random.normal(size=width) * (0.5 if before > 1 else 1)
        if width > 4:
            p[weight][1], p[bias][1] = p[weight][0], p[bias][0]
            p[weight][2], p[bias][2] = 0, -1
        before = width
    p |= {"output_weight": random.normal(size=before), "output_bias": random.normal(size=())}
    return {name: np.asarray(value, np.float32).astype(np.float64)[None] for name, value in p.items()}


def given_chain(architecture: Architecture, p: dict[str, Array], n: int, seed: int) -> dict[str, Any]:
    """Return a chain and random points for JavaScript."""
    random = np.random.default_rng(seed)
    x = np.sort(random.uniform(-0.5, 1.5, size=n))
    flat = {name: value.reshape(-1).tolist() for name, value in p.items()}
    flat["output_bias"] = flat["output_bias"][0]
    return {"name": architecture.name, "p": flat, "x": x.tolist(), "y": random.normal(size=n).tolist()}


def numbers(values: Any) -> Array:
    return np.array(values, dtype=np.float64)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda one: one.name)
def test_functions_and_votes(run: Any, architecture: Architecture) -> None:
    for seed in range(3):
        p = random_chain(architecture, seed)
        given = given_chain(architecture, p, 60, seed)
        x, y = numbers(given["x"]), numbers(given["y"])
        for trained in (tuple(architecture.shapes), architecture.names[-1], tuple(architecture.shapes)[:-2]):
            found = run(
                GIVEN
                + """const {layers, ...v} = votes.votes(model, p, x, y, given.trained), g = flat(v.gradient);
                return {f: list(functions.predict(model, p, x)), one: list(x).map((place) => model.predictAt(p, place)),
                  norm: list(v.norm), share: list(v.share), effective: v.effective, gradientNorm: v.gradientNorm, g,
                  loss: v.loss, layers: layers.map(({layer, effective}) => [String(layer), effective])}""",
                given | {"trained": trained},
            )
            record = MODELS[architecture.name]
            f = record.predict(p, x)[0]
            largest = np.abs(f).max()
            assert np.abs(numbers(found["f"]) - f).max() <= 1e-6 * largest
            assert np.abs(numbers(found["one"]) - f).max() <= 1e-6 * largest
            assert found["loss"] == pytest.approx(np.square(f - y).mean(), rel=1e-9)
            gradients = record.per_sample_gradients(p, x, y, trained, "float32")
            total = gradients.total()
            wanted = votes.summarize(architecture.name, p, x, y, trained=trained, precision="float32")
            norms = np.sqrt(gradients.squared_norms())[0] / len(x)
            assert np.abs(numbers(found["norm"]) - norms).max() <= 1e-6 * norms.max()
            if total.any():
                shares = gradients.inner_products(total / len(x))[0] * len(x) / np.square(total[0]).sum()
                assert np.abs(numbers(found["share"]) - shares).max() <= 1e-6 * np.abs(shares).max()
            else:
                assert set(found["share"]) <= {None} or np.isnan(numbers(found["share"])).all()
            for name, part in gradients.by_name(total / len(x)).items():
                scale = max(1e-300, np.abs(part).max())
                assert np.abs(numbers(found["g"][name]) - part.reshape(-1)).max() <= 1e-9 * scale
            for name in set(architecture.shapes) - set(trained):
                assert not np.any(found["g"][name])
            assert found["effective"] == pytest.approx(wanted.effective[0], rel=1e-9, nan_ok=True)
            layers = {key.removeprefix("layer_"): part["effective"][0] for key, part in wanted.layers.items()}
            assert dict(found["layers"]) == pytest.approx(layers, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda one: one.name)
def test_pieces_kinks_and_status(run: Any, architecture: Architecture) -> None:
    """The same ends of pieces, slopes and owners of kinks; f between, at the ends and beyond them."""
    for seed in range(4):
        p = random_chain(architecture, seed)
        given = given_chain(architecture, p, 60, seed)
        x = numbers(given["x"])
        low, high = x[0], x[-1]
        found = run(
            GIVEN
            + """const [low, high] = given.ends, pieces = kinks.chainPieces(architecture, p, low, high);
            const drawn = functions.curve(model, p, low, high), {edges, heights} = model.staircase(p, low, high);
            return {ends: list(pieces.ends), value: list(pieces.value), slope: list(pieces.slope),
              capped: pieces.capped,
              crossings: pieces.crossings.map(({end, layer, unit}) => [end, layer, unit]), edges, heights, drawn,
              kinks: kinks.kinksOf(pieces).map(({x, jump, layer, unit}) => [x, jump, layer, unit]),
              f: list(kinks.valuesOn(pieces, given.places)), status: list(model.statuses(p, {u: x})),
              units: list(Array(architecture.units).keys()).map((k) => kinks.crossingsOf(architecture, pieces, k))}""",
            given | {"ends": [low, high], "places": np.linspace(low - 0.01, high + 0.01, 500).tolist()},
        )
        one = {name: value[0] for name, value in p.items()}
        pieces = chain_pieces(architecture, one, low, high)
        assert len(found["ends"]) == len(pieces.ends)
        np.testing.assert_allclose(found["ends"], pieces.ends, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found["value"], pieces.value, rtol=0, atol=1e-10 * np.abs(pieces.value).max())
        np.testing.assert_allclose(found["slope"], pieces.slope, rtol=0, atol=1e-10 * np.abs(pieces.slope).max())
        assert not found["capped"]
        wanted = np.stack([pieces.crossing_end, pieces.crossing_layer, pieces.crossing_unit], axis=-1)
        assert found["crossings"] == wanted.tolist()
        assert_kinks(found["kinks"], pieces)
        heights = pieces.slope[np.concatenate([[True], pieces.bends[1:-1]])]
        np.testing.assert_allclose(found["heights"], heights, rtol=0, atol=1e-10 * np.abs(pieces.slope).max())
        np.testing.assert_allclose(found["edges"], [low, *pieces.kinks, high], rtol=0, atol=1e-12)
        assert found["drawn"]["x"] == found["edges"]
        f = mlp.predict(architecture, p, numbers(found["edges"]))[0]
        np.testing.assert_allclose(found["drawn"]["y"], f, rtol=0, atol=1e-10 * np.abs(f).max())
        np.testing.assert_allclose(
            found["f"], pieces(np.linspace(low - 0.01, high + 0.01, 500)), rtol=0, atol=1e-10 * np.abs(f).max()
        )
        assert found["status"] == chain_status(architecture, p, x, "float32")[0].tolist()
        units = [(layer, k) for layer, width in enumerate(architecture.hidden, start=1) for k in range(width)]
        for places, (layer, k) in zip(found["units"], units, strict=True):
            np.testing.assert_allclose(places, pieces.crossings(layer, k), rtol=0, atol=1e-12)


def assert_kinks(found: list[list[float]], pieces: ChainPieces) -> None:
    """Assert the places, jumps and owners of kinks; a kink of several units belongs to the lowest layer."""
    owners: dict[int, tuple[int, int]] = {}
    crossings = zip(pieces.crossing_end, pieces.crossing_layer, pieces.crossing_unit, strict=True)
    for end, layer, unit in crossings:
        owners.setdefault(int(end), (int(layer), int(unit)))
    bends = np.flatnonzero(pieces.bends)
    assert [tuple(map(int, kink[2:])) for kink in found] == [owners.get(end, (0, 0)) for end in bends.tolist()]
    jumps = pieces.jump[bends - 1]
    np.testing.assert_allclose([kink[1] for kink in found], jumps, rtol=0, atol=1e-10 * pieces.total_variation)


def test_a_unit_has_its_own_function(run: Any) -> None:
    """The corners of the activation of each unit, and the places where it changes."""
    architecture = Architecture((6, 5, 4), "leaky", 0.2)
    p = random_chain(architecture, 3)
    given = given_chain(architecture, p, 40, 3)
    x = numbers(given["x"])
    code = "return list(Array(architecture.units).keys()).map((k) => model.unitCurve(p, x[0], x[x.length - 1], k))"
    found = run(GIVEN + code, given)
    z = mlp.preactivations(architecture, p, x)
    pieces = chain_pieces(architecture, {name: value[0] for name, value in p.items()}, x[0], x[-1])
    units = [(layer, k) for layer, width in enumerate(architecture.hidden) for k in range(width)]
    for (layer, k), curve in zip(units, found, strict=True):
        h = architecture.activate(z[layer][0, :, k])
        np.testing.assert_allclose(np.interp(x, curve["x"], curve["y"]), h, rtol=0, atol=1e-10)
        np.testing.assert_allclose(curve["crossings"], pieces.crossings(layer + 1, k), rtol=0, atol=1e-12)


def test_many_places_are_evaluated_from_the_pieces(run: Any) -> None:
    architecture = Architecture((20, 20))
    p = random_chain(architecture, 5)
    given = given_chain(architecture, p, 1500, 5)
    found = numbers(run(GIVEN + "return list(functions.predict(model, p, x))", given))
    f = mlp.predict(architecture, p, numbers(given["x"]))[0]
    assert np.abs(found - f).max() <= 1e-12 * np.abs(f).max()


def test_capped_pieces_interpolate_f(run: Any) -> None:
    architecture = Architecture((8, 8))
    p = random_chain(architecture, 1)
    given = given_chain(architecture, p, 30, 1)
    one = {name: value[0] for name, value in p.items()}
    for most in (1, 3, 7):
        code = """const pieces = kinks.chainPieces(architecture, p, -0.5, 1.5, given.most);
          return {...pieces, ends: list(pieces.ends), value: list(pieces.value), slope: list(pieces.slope)}"""
        found = run(GIVEN + code, given | {"most": most})
        wanted = chain_pieces(architecture, one, -0.5, 1.5, most)
        assert found["capped"]
        assert wanted.capped
        np.testing.assert_allclose(found["ends"], wanted.ends, atol=1e-12)
        np.testing.assert_allclose(found["slope"], wanted.slope, rtol=1e-9)


@pytest.mark.parametrize(
    "name", ["mlp", "mlp-0", "mlp-20-", "mlp-20-relu", "mlp-20-leaky", "mlp-20-leaky1.2.3", "xmlp-2"]
)
def test_names_that_are_none_of_a_chain(run: Any, name: str) -> None:
    assert name not in MODELS
    found = run("try { models.modelNamed(given); return null } catch (error) { return error.message }", name)
    assert found.startswith(f'This page cannot show the model "{name}"')


def cheapest(before: list[float], after: list[float], limit: float) -> float:
    """Return the least cost of pairing two sorted lists in order, by trying all pairings."""
    best = np.inf
    for size in range(min(len(before), len(after)) + 1):
        for some in itertools.combinations(before, size):
            for others in itertools.combinations(after, size):
                moved = sum(abs(a - b) for a, b in zip(some, others, strict=True))
                best = min(best, moved + limit / 2 * (len(before) + len(after) - 2 * size))
    return best


def test_kinks_are_paired_in_order_at_the_least_distance(run: Any) -> None:
    random = np.random.default_rng(0)
    cases = []
    for _ in range(60):
        before, after = (sorted(random.uniform(size=random.integers(0, 5)).tolist()) for _ in range(2))
        cases.append({"before": before, "after": after, "limit": 0.4})
    found = run("return given.map(({before, after, limit}) => kink_paths.alignPlaces(before, after, limit))", cases)
    for case, pairs in zip(cases, found, strict=True):
        for side, key in enumerate(("before", "after")):
            assert [pair[side] for pair in pairs if pair[side] is not None] == list(range(len(case[key])))
        cost = 0.0
        for i, j in pairs:
            if i is None or j is None:
                cost += case["limit"] / 2
            else:
                cost += abs(case["before"][i] - case["after"][j])
        assert cost == pytest.approx(cheapest(case["before"], case["after"], case["limit"]), abs=1e-12)


def test_kinks_stay_with_their_units(run: Any) -> None:
    """Two units that pass each other move; one that is not there any more has died, another one is new."""
    code = """
      const kink = ([layer, unit, x]) => ({layer, unit, x}), found = [];
      const [before, after] = given.map((kinks) => kink_paths.placesByUnit(kinks.map(kink)));
      const name = (key) => [kink_paths.layerOf(key), kink_paths.unitOf(key)];
      kink_paths.followKinks(before, after, 0.5, {
        move: (key, from, to) => found.push(["move", ...name(key), from, to]),
        birth: (key, to) => found.push(["birth", ...name(key), to]),
        death: (key, from) => found.push(["death", ...name(key), from]),
      });
      return found"""
    before = [[1, 0, 0.4], [1, 3, 0.5], [2, 3, 0.1], [2, 3, 0.9]]
    after = [[1, 3, 0.35], [1, 0, 0.6], [2, 3, 0.85], [2, 7, 0.2]]
    assert sorted(run(code, [before, after])) == [
        ["birth", 2, 7, 0.2],
        ["death", 2, 3, 0.1],
        ["move", 1, 0, 0.4, 0.6],
        ["move", 1, 3, 0.5, 0.35],
        ["move", 2, 3, 0.9, 0.85],
    ]


@pytest.mark.parametrize(
    "architecture", [Architecture((5, 4)), Architecture((4, 3, 2), "abs"), Architecture((3, 3), "leaky", 0.1)]
)
def test_python_gets_the_chain(
    run: Any, architecture: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code computes f, and a run starts from the file with the same function."""
    p = random_chain(architecture, 2)
    given = given_chain(architecture, p, 40, 2)
    code = """const {text, overrides} = python_code.startOf(model, p, 'start.json');
      return {torch: python_code.torchCode(model, p), text, overrides}"""
    found = run(GIVEN + code, given)
    x = numbers(given["x"])
    f = mlp.predict(architecture, p, x)[0]
    names: dict[str, Any] = {}
    exec(found["torch"], names)
    assert names["f"](torch.tensor(x)).tolist() == pytest.approx(f.tolist(), abs=1e-10)
    monkeypatch.chdir(tmp_path)
    Path("start.json").write_text(found["text"])
    settings = dict(override.removeprefix("model.").split("=") for override in found["overrides"])
    assert settings.pop("model") == "mlp"
    hidden = json.loads(settings.pop("hidden"))
    slope = {"slope": float(settings.pop("slope"))} if "slope" in settings else {}
    module = MLPModule(hidden=hidden, **settings, **slope).double()
    module.place_on(piecewise_linear())
    assert module.architecture == architecture
    assert module(torch.tensor(x))[0].tolist() == pytest.approx(f.tolist(), abs=1e-10)


UPDATES = [0, 1, 10, 100, 1000]


def chain_blobs(architecture: Architecture, values: Array, scaling: list[float] | None = None) -> dict[str, bytes]:
    """Return a run with parameters [S, R, P] as a page embeds it; with scaling the data are in other units."""
    data = piecewise_linear()
    x0, sx, y0, sy = scaling or [0, 1, 0, 1]
    arrays = {"x": data.x, "y": data.y, "target": data.target(data.x), "x_test": data.x_test, "y_test": data.y_test}
    arrays = {k: x0 + sx * v if k.startswith("x") else y0 + sy * v for k, v in arrays.items()}
    header = {"model": architecture.name, "name": "piecewise_linear", "domain": [x0, x0 + sx], "dtype": "float32"}
    header |= {"trained": list(architecture.shapes), "seeds": list(range(values.shape[1])), "settings": {}}
    header |= {"scaling": scaling} if scaling else {}
    updates = np.array(UPDATES[: len(values)], dtype=np.float64)
    params = {"update": updates, "wall": updates, "values": values.astype(np.float32)}
    fields = [[name, int(np.prod(shape))] for name, shape in architecture.shapes.items()]
    losses = {"u0": updates, "v0": (1 / (1 + updates)).astype(np.float32)}
    return {
        "data": wire_format.encode(arrays, **header),
        "params": wire_format.encode(params, fields=fields),
        "scalars": wire_format.encode(losses, tags=["loss/train"]),
    }


def drifting_chain(architecture: Architecture, replicas: int = 1) -> tuple[Array, list[dict[str, Array]]]:
    """Return the snapshots of a chain that drifts, [S, R, P], and those of the first replica by name, float32."""
    start, end = (
        np.concatenate([value.reshape(-1) for value in random_chain(architecture, seed).values()]) for seed in (0, 9)
    )
    rows = np.stack([start + t * 0.2 * (end - start) for t in np.linspace(0, 1, len(UPDATES))])
    rows = rows.astype(np.float32).astype(np.float64)
    ends = np.cumsum([int(np.prod(shape)) for shape in architecture.shapes.values()])[:-1]
    named = [
        {
            name: part.reshape(1, *shape)
            for (name, shape), part in zip(architecture.shapes.items(), np.split(row, ends), strict=True)
        }
        for row in rows
    ]
    return np.repeat(rows[:, None], replicas, axis=1), named


@pytest.fixture
def open_runs(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """`open_runs({name: blobs}, "#step=1")` opens a page with runs; errors that it reports fail the test."""
    require_browser()
    with open_page(request.getfixturevalue("browser")) as page:

        def open_runs(runs: dict[str, dict[str, bytes]], link: str = "", ready: bool = True) -> Any:
            (tmp_path / "page.html").write_text(html_file.html(runs), "utf-8")
            page.goto("about:blank")
            page.goto(f"{(tmp_path / 'page.html').as_uri()}{link}")
            if ready:
                wait_for_state(page, "s => s.ready")
            return page

        yield open_runs


def go_to(page: Any, link: str, condition: str) -> dict[str, Any]:
    """Follow a link in the page, and return the state when it meets a condition.

    The page writes its own address a little after it has drawn; a link that is followed just then is lost.
    """
    from playwright.sync_api import Error

    for _ in range(5):
        page.wait_for_timeout(300)
        page.evaluate("link => (location.hash = link)", link)
        try:
            return wait_for_state(page, f"s => {condition}", timeout=5000)
        except Error:
            continue
    pytest.fail(f"the page does not follow {link}")


@pytest.mark.parametrize("scaling", [None, [1900.0, 120.0, -3.0, 4.0]], ids=["plain", "scaled"])
@pytest.mark.parametrize("architecture", [Architecture((8, 6)), Architecture((6, 5, 4), "leaky", 0.1)], ids=str)
def test_the_page_shows_the_kinks_of_each_snapshot(
    open_runs: Any, architecture: Architecture, scaling: list[float] | None
) -> None:
    """Kinks, losses and statuses are those of Python, in the user's units; the legend counts the kinks by layer."""
    values, named = drifting_chain(architecture)
    page = open_runs({"chain": chain_blobs(architecture, values, scaling)})
    units = Scaling(*scaling) if scaling else Scaling()
    data = piecewise_linear()
    for s in (0, 2, 4):
        state = go_to(page, f"runs=chain&step={UPDATES[s]}&slope=1", f"s.update === {UPDATES[s]} && s.ready")
        one = {name: value[0] for name, value in named[s].items()}
        pieces = chain_pieces(architecture, one, data.x.min(), data.x.max())
        x = units.user_x(pieces.kinks)
        jump = units.user_slope(pieces.jump[pieces.bends[1:-1]])
        assert [kink["x"] for kink in state["kinks"]] == pytest.approx(x.tolist(), abs=1e-9 * units.x_scale)
        assert [kink["jump"] for kink in state["kinks"]] == pytest.approx(jump.tolist(), rel=1e-6, abs=1e-9)
        f = mlp.predict(architecture, named[s], data.x)[0]
        assert state["lossTrain"] == pytest.approx(units.y_scale**2 * np.square(f - data.y).mean(), rel=1e-9)
        assert data.x_test is not None
        assert data.y_test is not None
        f_test = mlp.predict(architecture, named[s], data.x_test)[0]
        wanted = units.y_scale**2 * np.square(f_test - data.y_test).mean()
        assert state["lossTest"] == pytest.approx(wanted, rel=1e-9)
        names = ["dead", "linear", "bent"]
        status = chain_status(architecture, named[s], data.x, "float32")[0]
        assert state["status"] == [names[code] for code in status]
        legend = page.locator(".function .legend").inner_text().replace("\u202f", "")
        for layer in range(1, len(architecture.hidden) + 1):
            number = sum(kink["layer"] == layer for kink in state["kinks"])
            assert f"{number} of layer {layer}" in legend


def test_panels_of_other_models_are_hidden_and_the_page_says_that_it_does_not_train(open_runs: Any) -> None:
    architecture = Architecture((5, 3))
    page = open_runs({"chain": chain_blobs(architecture, drifting_chain(architecture, 2)[0])}, "#slope=1")
    state = current_state(page)
    assert page.locator(".bar .model").inner_text() == "5 + 3 ReLUs"
    assert not state["canTrain"]
    note = "The page cannot train this run: it has 5 + 3 ReLUs, and the page trains one layer of ReLUs."
    page.get_by_text(note).wait_for()
    headings = page.locator("main h2:visible").all_inner_texts()
    assert headings[:4] == [
        "The learned function",
        "Its slope f′(x)",
        "The votes of the points",
        "The kinks through time",
    ]
    assert not {"The elbows through time", "The units"} & set(headings)
    assert page.locator('button[data-value="elbow"]:visible').count() == 0
    assert page.get_by_role("button", name="Train", exact=False).locator("visible=true").count() == 0
    for name in ("Python", "Share"):
        page.get_by_role("button", name=name, exact=True).click()
        page.get_by_role("dialog").locator("visible=true").wait_for()
        page.keyboard.press("Escape")
    assert "effective votes by layer" in page.locator(".inspector").inner_text()


def test_a_point_has_its_votes_and_active_units_by_layer(open_runs: Any) -> None:
    architecture = Architecture((7, 6))
    values, named = drifting_chain(architecture)
    page = open_runs({"chain": chain_blobs(architecture, values)}, "#point=20")
    text = page.locator(".inspector").inner_text()
    z = mlp.preactivations(architecture, named[-1], piecewise_linear().x)
    active = ", ".join(f"{int((layer[0, 20] > 0).sum())} of {layer.shape[-1]}" for layer in z)
    assert active in text
    assert current_state(page)["pointUpdate"]["point"] == 20


def test_births_and_deaths_of_kinks(open_runs: Any) -> None:
    """A first-layer kink enters the data, another one leaves it: one birth, one death."""
    architecture = Architecture((2, 1))
    steps = np.linspace(0, 1, len(UPDATES))
    rows = [[1, 1, -(0.1 - 0.2 * t), -(1.1 - 0.4 * t), 1, 1, 1, 1, 0] for t in steps]
    page = open_runs({"chain": chain_blobs(architecture, np.array(rows)[:, None])})
    state = wait_for_state(page, "s => s.kinksDrawn?.missing === 0")
    low, high = piecewise_linear().x.min(), piecewise_linear().x.max()
    places = [[-b for b in row[2:4]] for row in rows]
    inside = np.array([[low < place < high for place in pair] for pair in places])
    changes = np.diff(inside.astype(int), axis=0)
    assert (changes == 1).sum() == (changes == -1).sum() == 1
    assert state["kinksDrawn"]["births"] == (changes == 1).sum()
    assert state["kinksDrawn"]["deaths"] == (changes == -1).sum()


def test_the_page_refuses_parameters_of_another_architecture(open_runs: Any) -> None:
    blobs = chain_blobs(Architecture((5, 3)), drifting_chain(Architecture((5, 3)))[0])
    other = chain_blobs(Architecture((4, 3)), drifting_chain(Architecture((4, 3)))[0])
    page = open_runs({"chain": blobs | {"params": other["params"]}}, ready=False)
    page.get_by_text("Its parameters are not those of mlp-5-3.").wait_for()


@pytest.mark.parametrize("architecture", [Architecture((7, 6)), Architecture((5, 4, 6), "abs")], ids=str)
def test_votes_on_a_unit(run: Any, architecture: Architecture) -> None:
    """The shares of the points in the gradient of the weights into each unit and of its bias, from all gradients."""
    p = random_chain(architecture, 4)
    given = given_chain(architecture, p, 50, 4)
    x, y = numbers(given["x"]), numbers(given["y"])
    for trained in (tuple(architecture.shapes), ("bias", "weight_2", "output_weight")):
        code = """return list(Array(architecture.units).keys()).map((k) => list(votes.unitShares(
          model, p, x, votes.votes(model, p, x, y, given.trained).twice, given.trained, k)).map(String))"""
        found = numbers(run(GIVEN + code, given | {"trained": trained}))
        record = MODELS[architecture.name]
        gradients = record.per_sample_gradients(p, x, y, architecture.shapes, "float32").gradients()
        index = 0
        for (weight, bias), width in zip(architecture.names[:-1], architecture.hidden, strict=True):
            for k in range(width):
                names = [name for name in (weight, bias) if name in trained]
                parts = [gradients[name][0, :, k].reshape(len(x), -1) for name in names]
                g = np.concatenate([*parts, np.zeros((len(x), 1))], axis=1)
                mean = g.mean(0)
                if np.square(mean).sum() > 1e-20:
                    wanted = g @ mean / (len(x) * np.square(mean).sum())
                    np.testing.assert_allclose(found[index], wanted, rtol=0, atol=1e-8 * np.abs(wanted).max())
                else:
                    assert np.isnan(found[index]).all()
                index += 1


def test_a_unit_is_selected_in_every_panel_and_shows_its_votes(open_runs: Any) -> None:
    architecture = Architecture((8, 6))
    values, _ = drifting_chain(architecture)
    page = open_runs({"chain": chain_blobs(architecture, values)})
    state = current_state(page)
    kink = next(kink for kink in state["kinks"] if kink["layer"] == 2)
    places = page.evaluate("window.reluvizState.places.kinks")
    at = next(place for place in places if place["layer"] == 2)
    page.mouse.click(at["x"], at["y"])
    assert wait_for_state(page, "s => s.unit !== null")["unit"] == 8 + at["unit"]
    assert f"Unit {at['unit']} of layer 2" in page.locator(".inspector").inner_text()
    assert kink["unit"] in range(6)
    page.locator('button[data-value="unit"]').click()
    share = wait_for_state(page, "s => s.votesDrawn?.measure === 'unit'")["votesDrawn"]
    assert share["sum"] == pytest.approx(1, abs=1e-6)
    page.keyboard.press("Escape")
    wait_for_state(page, "s => s.unit === null && s.votesDrawn?.measure === 'share'")
    unit = page.evaluate("window.reluvizState.places.unitsByLayer.find(({k}) => k === 10)")
    page.mouse.click(unit["x"], unit["y"])
    assert wait_for_state(page, "s => s.unit === 10")["unit"] == 10
    assert "Unit 2 of layer 2" in page.locator(".inspector").inner_text()


def test_what_if_weights_are_typed_kinks_dragged_and_the_output_solved(open_runs: Any) -> None:
    architecture = Architecture((8, 6))
    values, named = drifting_chain(architecture)
    data = piecewise_linear()
    page = open_runs({"chain": chain_blobs(architecture, values)}, "#unit=10")

    def loss(p: dict[str, Array]) -> float:
        return float(np.square(mlp.predict(architecture, p, data.x)[0] - data.y).mean())

    page.get_by_label("The unit that the weight comes from").select_option("3")
    page.get_by_label("weight", exact=True).fill("0.75")
    page.get_by_label("weight", exact=True).press("Enter")
    page.get_by_label("bias", exact=True).fill("-0.125")
    page.get_by_label("bias", exact=True).press("Enter")
    changed = {name: value.copy() for name, value in named[-1].items()}
    changed["weight_2"][0, 2, 3], changed["bias_2"][0, 2] = 0.75, -0.125
    state = wait_for_state(page, "s => s.whatIf")
    assert state["lossTrain"] == pytest.approx(loss(changed), rel=1e-9)
    assert state["lossRun"] == pytest.approx(loss(named[-1]), rel=1e-9)
    at = page.evaluate("window.reluvizState.places.kinks.find(({layer, x}) => layer === 1)")
    page.mouse.move(at["x"], at["y"])
    page.mouse.down()
    page.mouse.move(at["x"] + 40, at["y"], steps=4)
    page.mouse.up()
    state = wait_for_state(page, f"s => s.unit === {at['unit']}")
    w, b = (np.array(state["net"][key]) for key in "wb")
    changed["bias"][0, at["unit"]] = b[at["unit"]]
    assert -b[at["unit"]] / w[at["unit"]] > at["place"] + 0.01
    assert state["lossTrain"] == pytest.approx(loss(changed), rel=1e-9)
    before = page.evaluate("location.hash")
    page.get_by_role("button", name="Solve output weights").click()
    state = wait_for_state(page, "s => s.lambda === 0")
    h = np.hstack([mlp.last_hidden_layer(architecture, changed, data.x)[0], np.ones((len(data.x), 1))])
    best = np.linalg.lstsq(h, data.y, rcond=None)[0]
    assert state["lossTrain"] == pytest.approx(np.square(h @ best - data.y).mean(), rel=1e-6)
    page.wait_for_function("before => location.hash !== before && location.hash.includes('changes')", arg=before)
    link = page.evaluate("location.hash")
    found = open_runs({"chain": chain_blobs(architecture, values)}, link)
    assert current_state(found)["lossTrain"] == pytest.approx(state["lossTrain"], rel=1e-6)
    found.keyboard.press("Escape")
    assert wait_for_state(found, "s => !s.whatIf")["lossTrain"] == pytest.approx(loss(named[-1]), rel=1e-9)


def test_changes_of_other_models_leave_a_chain_as_it_is(run: Any, open_runs: Any) -> None:
    """An address may hold any letter: only elbows, weights and the output layer of a chain can be changed."""
    architecture = Architecture((4, 3))
    changes = [["d", [1]], ["p", [1]], ["a", [0.5, 1]], ["j", [1, 2]], ["v", [0, 1]], ["t", [1]], ["c", [99, 0, 1]]]
    changes += [["c", [1, 1, 5]], ["c", [1.5, 0, 1]], ["c", [4, -2, 1]], ["e", [7, 0.5]]]
    code = "return (await import('./trainer/link.js')).changesText(given.map(([kind, values]) => ({kind, values})))"
    text = run(code, changes)
    page = open_runs({"chain": chain_blobs(architecture, drifting_chain(architecture)[0])}, f"#changes={text}")
    assert not current_state(page)["whatIf"]
    text = run(code, [["d", [1]], ["c", [4, 0, 2]]])
    page = open_runs({"chain": chain_blobs(architecture, drifting_chain(architecture)[0])}, f"#changes={text}")
    state = current_state(page)
    assert state["whatIf"]
    assert state["net"]["weight_2"][0] == 2


def chain_run(architecture: Architecture, rows: Array, scaling: Scaling | None = None) -> RunArrays:
    """Return a run with parameters [S, R, P] as it is read back from its folder."""
    data = piecewise_linear()
    scaling = scaling or Scaling()
    data = replace(data, x=scaling.user_x(data.x), y=scaling.user_y(data.y), target=None, scaling=scaling)
    data = replace(data, x_test=None, y_test=None, domain=(float(data.x.min()), float(data.x.max())))
    updates = np.arange(len(rows)) * 10
    return RunArrays(
        folder=Path("chain"),
        name="chain",
        model=architecture.name,
        data=data,
        recorded=np.arange(len(data.x)),
        seeds=tuple(range(rows.shape[1])),
        trained=tuple(architecture.shapes),
        settings={},
        metrics=None,
        updates=updates,
        walls=updates.astype(np.float64),
        rows=rows.astype(np.float32),
        fields=tuple((name, int(np.prod(shape))) for name, shape in architecture.shapes.items()),
        votes=np.zeros((len(rows), rows.shape[1], 3, len(data.x)), np.float32),
        recorded_scalars={"loss/train": (updates, 1 / (1.0 + updates))},
    )


@pytest.mark.parametrize("scaling", [None, Scaling(1900.0, 120.0, -3.0, 4.0)], ids=["plain", "scaled"])
def test_snapshots_without_parameters_show_f_and_its_kinks(
    open_runs: Any, scaling: Scaling | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page holds the parameters of every second snapshot; f, kinks and losses are those of each."""
    architecture = Architecture((8, 6, 4))
    values, named = drifting_chain(architecture, 2)
    values = np.concatenate([values, values[:1]])
    named = [*named, named[0]]
    monkeypatch.setattr(series, "MAX_CHAIN_VALUES", values[0].size * 4)
    run = chain_run(architecture, values, scaling)
    blobs = payload(run)
    assert wire_format.decode(blobs["params"])[0]["update"].tolist() == [0, 20, 40, 50]
    page = open_runs({"chain": blobs}, "#replica=1")
    for s, held in enumerate([True, False, True, False, True, True]):
        link = f"runs=chain&replica=1&step={10 * s}&slope=1"
        state = go_to(page, link, f"s.update === {10 * s} && s.kinksDrawn?.missing === 0")
        pieces = run.pieces(10 * s, 1)
        scale = run.data.scaling
        assert [kink["x"] for kink in state["kinks"]] == pytest.approx(pieces.kinks.tolist(), abs=1e-9 * scale.x_scale)
        jump = pieces.jump[pieces.bends[1:-1]]
        assert [kink["jump"] for kink in state["kinks"]] == pytest.approx(jump.tolist(), rel=1e-4, abs=1e-6)
        owners = [(kink["layer"], kink["unit"]) for kink in state["kinks"]]
        assert_kinks([[0, j, *owner] for j, owner in zip(jump, owners, strict=True)], pieces)
        wanted = np.square(pieces(run.data.x) - run.data.y).mean()
        assert state["lossTrain"] == pytest.approx(wanted, rel=1e-5)
        caption = page.locator(".votes header p").inner_text()
        assert ("of update" in caption) != held
        if not held:
            assert f"of update {10 * (s - 1)}: " in caption
        status = chain_status(architecture, named[s if held else s - 1], run.data.as_trained.x, "float32")[0]
        assert state["status"] == [["dead", "linear", "bent"][code] for code in status]
    go_to(page, "runs=chain&replica=1&step=10&unit=9", "s.update === 10 && s.unit === 9")
    page.get_by_role("button", name="Python", exact=True).click()
    page.get_by_role("button", name="PyTorch").click()
    page.get_by_text("The page does not hold the parameters of this snapshot; it holds those of update 0.").wait_for()
    page.keyboard.press("Escape")
    page.get_by_label("bias", exact=True).fill("0.5")
    page.get_by_label("bias", exact=True).press("Enter")
    assert wait_for_state(page, "s => s.whatIf")["update"] == 0


def test_all_parameters_that_fit_are_in_the_page_and_then_no_kinks() -> None:
    architecture = Architecture((8, 6))
    blobs = payload(chain_run(architecture, drifting_chain(architecture)[0]))
    assert set(blobs) == {"data", "params", "scalars"}
    assert series.most_values(architecture.name) == 2**23
    assert series.most_values("relu") == series.most_values(None) == series.MAX_VALUES


def test_kinks_are_encoded_without_crossings_that_do_not_bend_f() -> None:
    rows = np.array(
        [
            [0, 0, 0, 0.0, 1.0, 2.0],
            [0, 1, 3, 0.2, 1.5, 0.0],
            [0, 1, 4, 0.3, 1.6, 0.5],
            [0, 2, 1, 0.3, 1.6, 0.5],
            [0, 2, 5, 0.4, 1.7, -0.5],
            [0, 0, 0, 1.0, 2.0, 2.0],
            [1, 0, 0, 0.0, 1.0, 3.0],
            [1, 0, 0, 1.0, 4.0, 3.0],
        ]
    )
    arrays, _ = wire_format.decode(series.encode_kinks([0, 7], [rows, rows[6:]].__getitem__))
    assert arrays["update"].tolist() == [0, 7]
    assert arrays["start"].tolist() == [0, 6, 8]
    assert arrays["unit"].tolist() == [0, 4, 5, 0, 0, 0, 0, 0]
    assert arrays["layer"].tolist() == [0, 1, 2, 0, 0, 0, 0, 0]
    assert arrays["replica"].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    np.testing.assert_allclose(arrays["x"], [0, 0.3, 0.4, 1, 0, 1, 0, 1])
    np.testing.assert_allclose(arrays["jump"], [2, 0.5, -0.5, 2, 3, 3, 3, 3])


@pytest.mark.parametrize("rows", [np.zeros((3, 5)), np.zeros(6), np.full((2, 6), -1.0), np.full((2, 6), np.nan)])
def test_damaged_kinks_are_unreadable(rows: Array) -> None:
    with pytest.raises(series.UnreadableRun, match="its kinks"):
        series.encode_kinks([0], lambda i: rows)


def test_tensorboard_shows_a_chain_and_serves_its_kinks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """They are those of the parameters, at every snapshot; a run of another model has none."""
    require_browser()
    folders = {"chain": ["model=mlp", "model.hidden=[5,4]"], "relu": ["model=relu", "model.width=4"]}
    for name, overrides in folders.items():
        words = ["engine=reference", "updates=40", "snapshots=linear", "snapshots.every=10", "seeds=[3,4]"]
        command = ["reluviz", "train", *overrides, *words, f"hydra.run.dir={tmp_path / name}"]
        monkeypatch.setattr(sys, "argv", command)
        assert main() == 0
    with running_tensorboard(tmp_path) as address:
        wait_for_runs(address, {"chain": 40, "relu": 40})
        status, body, _ = get_route(address, "kinks?run=chain")
        assert status == 200
        assert get_route(address, "kinks?run=relu")[0] == 404
        with open_page(request.getfixturevalue("browser")) as page:
            page.goto(f"{address}#reluviz&p.reluviz.runs=chain&p.reluviz.replica=1")
            state = wait_for_state(tab_frame(page), "s => s.kinksDrawn?.missing === 0")
        shown = [kink["x"] for kink in state["kinks"]]
    arrays, _ = wire_format.decode(body)
    run = load_run(tmp_path / "chain")
    assert state["model"] == "mlp-5-4"
    assert shown == pytest.approx(run.pieces(None, 1).kinks.tolist(), abs=1e-6)
    assert arrays["update"].tolist() == run.updates.tolist()
    for s, update in enumerate(run.updates.tolist()):
        at = slice(*arrays["start"][s : s + 2])
        for r in range(2):
            pieces = run.pieces(update, r)
            x = arrays["x"][at][arrays["replica"][at] == r]
            np.testing.assert_allclose(x, [pieces.ends[0], *pieces.kinks, pieces.ends[-1]], rtol=0, atol=1e-12)


def test_the_benchmark_of_the_page_runs(tmp_path: Path) -> None:
    require_browser()
    program = Path(__file__).parents[2] / "benchmarks" / "page_chains.py"
    command = [sys.executable, str(program), "--quick"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stderr) == (0, "")
    for row in ("from navigation to the first drawing", "script of a played frame, 95th percentile"):
        assert row in done.stdout
