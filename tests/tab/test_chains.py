"""Chains of any depth: JavaScript equals Python on float32 weights, and the page shows their kinks by layer."""

from typing import Any

import numpy as np
import pytest
from browser import javascript_modules, require_browser
from numpy.typing import NDArray

from reluviz.core import votes
from reluviz.core.kinks import ChainPieces, chain_pieces, chain_status
from reluviz.core.models import MODELS, mlp
from reluviz.core.models.architecture import Architecture

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
    paths = [f"core/{name}" for name in ("functions", "kinks", "models", "votes", "models/chain")]
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
    """The chain that ends at a unit is the activation of the unit."""
    architecture = Architecture((6, 5, 4), "leaky", 0.2)
    p = random_chain(architecture, 3)
    given = given_chain(architecture, p, 40, 3)
    code = """return list(Array(architecture.units).keys()).map((k) => {
      const {architecture: of, net} = chain.chainOfUnit(architecture, model.name, p, k);
      return [architecture_.placeOfUnit(architecture, k), list(x).map((place) =>
        models.modelNamed(`mlp-${of.hidden.join('-')}-leaky0.2`).predictAt(net, place))];
    })"""
    found = run(GIVEN + "const architecture_ = (await import('./core/models/architecture.js'));" + code, given)
    z = mlp.preactivations(architecture, p, numbers(given["x"]))
    assert [(place["layer"], place["unit"]) for place, _ in found] == [
        (layer + 1, k) for layer, width in enumerate(architecture.hidden) for k in range(width)
    ]
    for place, values in found:
        h = architecture.activate(z[place["layer"] - 1][0, :, place["unit"]])
        np.testing.assert_allclose(values, h, rtol=0, atol=1e-12)


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
