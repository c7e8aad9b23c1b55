"""The pieces of a chain rebuild its function, and its kinks are those found in exact fractions."""

import numpy as np
import pytest
from chains import exact_kinks, random_chain, replica

from reluviz.core.elbows import elbow, unit_status
from reluviz.core.kinks import MAX_PIECES, chain_pieces, chain_status, pieces_or_none
from reluviz.core.models import MODELS
from reluviz.core.models.architecture import Architecture


@pytest.mark.parametrize("seed", range(10))
def test_the_pieces_rebuild_the_function_and_its_slope(seed):
    generator = np.random.default_rng(seed)
    x = np.linspace(-1.0, 2.0, 10_000)
    for _ in range(100):
        architecture, p = random_chain(generator, int(generator.integers(1, 6)), 50)
        pieces = chain_pieces(architecture, p, -1.0, 2.0)
        f = MODELS[architecture.name].predict(replica(p), x)[0]
        size = np.abs(f).max()
        np.testing.assert_allclose(pieces(x), f, rtol=0, atol=1e-10 * size)
        assert not pieces.capped
        # f is the integral of f'
        integral = pieces.value[0] + np.cumsum(pieces.slope * np.diff(pieces.ends))
        np.testing.assert_allclose(integral, pieces.value[1:], rtol=0, atol=1e-10 * max(size, 1e-300))


@pytest.mark.parametrize("seed", range(6))
def test_the_kinks_are_those_in_exact_fractions(seed):
    generator = np.random.default_rng(seed)
    total = 0
    for _ in range(60):
        architecture, p = random_chain(generator, int(generator.integers(1, 4)), 5)
        pieces = chain_pieces(architecture, p, 0.0, 1.0)
        kinks, _ = exact_kinks(architecture, p, 0.0, 1.0)
        assert len(pieces.kinks) == len(kinks), architecture.name
        np.testing.assert_allclose(pieces.kinks, kinks, rtol=0, atol=1e-10)
        total += len(kinks)
    assert total > 15


def test_each_crossing_belongs_to_its_unit():
    generator = np.random.default_rng(3)
    for _ in range(40):
        architecture = Architecture((4, 5, 3))
        p = {name: np.asarray(generator.normal(size=shape)) for name, shape in architecture.shapes.items()}
        pieces = chain_pieces(architecture, p, -1.0, 1.0)
        found = [
            (int(layer), int(unit), float(pieces.ends[end]))
            for end, layer, unit in zip(pieces.crossing_end, pieces.crossing_layer, pieces.crossing_unit, strict=True)
        ]
        _, expected = exact_kinks(architecture, p, -1.0, 1.0)
        assert [one[:2] for one in sorted(found)] == [one[:2] for one in expected]
        np.testing.assert_allclose([one[2] for one in sorted(found)], [one[2] for one in expected], rtol=0, atol=1e-10)
        for layer, unit, x in expected:
            assert np.abs(pieces.crossings(layer, unit) - x).min() < 1e-10
        assert set(pieces.kinks) <= set(pieces.ends[pieces.crossing_end])


def test_one_hidden_layer_has_the_kinks_of_its_elbows():
    w, b = np.array([2.0, -4.0, 1.0, 0.0]), np.array([-0.5, 1.0, 3.0, 1.0])
    v = np.array([1.0, 1.0, 1.0, 1.0])
    p = {"input_slope": w, "bias": b, "output_weight": v, "output_bias": np.asarray(0.5)}
    pieces = chain_pieces(Architecture((4,)), p, 0.0, 1.0)
    # both elbows are at 0.25; the third is outside, the fourth unit has none
    assert pieces.kinks.tolist() == [elbow(w, b)[0]] == [0.25]
    assert pieces.crossing_unit.tolist() == [0, 1]
    assert pieces.slope.tolist() == [-4.0 + 1.0, 2.0 + 1.0]
    assert pieces.jump.tolist() == [6.0]
    assert pieces.total_variation == 6.0
    assert pieces.derivative(np.array([-1.0, 0.1, 0.25, 0.3, 2.0])).tolist() == [-3.0, -3.0, -3.0, 3.0, 3.0]


def test_a_unit_that_touches_zero_does_not_bend_the_function_there():
    # z_2 = |x - 1/2| is 0 at 1/2 only, z_3 = 0 everywhere left of 1/2
    p = {
        "input_slope": np.array([1.0, -1.0]),
        "bias": np.array([-0.5, 0.5]),
        "weight_2": np.array([[1.0, 1.0], [1.0, 0.0]]),
        "bias_2": np.zeros(2),
        "output_weight": np.array([1.0, 0.0]),
        "output_bias": np.asarray(0.0),
    }
    pieces = chain_pieces(Architecture((2, 2)), p, 0.0, 1.0)
    crossings = list(zip(pieces.crossing_layer.tolist(), pieces.crossing_unit.tolist(), strict=True))
    assert crossings == [(1, 0), (1, 1), (2, 1)]
    assert pieces.kinks.tolist() == [0.5]


def test_two_units_that_cancel_leave_no_kink():
    p = {
        "input_slope": np.array([3.0, 3.0]),
        "bias": np.array([-1.0, -1.0]),
        "output_weight": np.array([0.1, -0.1]),
        "output_bias": np.asarray(0.0),
    }
    pieces = chain_pieces(Architecture((2,)), p, 0.0, 1.0)
    assert len(pieces.crossing_end) == 2
    assert len(pieces.kinks) == 0


def tent(depth: int) -> tuple[Architecture, dict[str, np.ndarray]]:
    """Return the chain of the tent map 1 - |2 x - 1| applied `depth` times, which has 2^depth - 1 kinks on [0, 1]."""
    architecture = Architecture((1,) * depth, "abs")
    p: dict[str, np.ndarray] = {}
    for layer, (weight, bias) in enumerate(architecture.names[:-1]):
        # the output 1 - h of the layer before goes into 2 (1 - h) - 1 = 1 - 2 h
        shape = architecture.shapes[weight]
        p[weight] = np.full(shape, 2.0 if layer == 0 else -2.0)
        p[bias] = np.array([-1.0 if layer == 0 else 1.0])
    return architecture, p | {"output_weight": np.array([-1.0]), "output_bias": np.asarray(1.0)}


def test_tent_maps_have_all_their_kinks():
    architecture, p = tent(10)
    pieces = chain_pieces(architecture, p, 0.0, 1.0)
    assert pieces.kinks.tolist() == (np.arange(1, 1024) / 1024).tolist()
    assert np.abs(pieces.slope).tolist() == [1024.0] * 1024


def test_more_pieces_than_allowed_are_interpolated_and_said():
    architecture, p = tent(10)
    pieces = chain_pieces(architecture, p, 0.0, 1.0, most=100)
    assert pieces.capped
    assert len(pieces.slope) <= 100
    np.testing.assert_allclose(pieces.value, MODELS[architecture.name].predict(replica(p), pieces.ends)[0], atol=1e-12)
    assert not chain_pieces(architecture, p, 0.0, 1.0).capped
    assert MAX_PIECES == 100_000


def test_outside_the_interval_the_outer_pieces_go_on():
    p = {
        "input_slope": np.array([1.0]),
        "bias": np.array([-0.5]),
        "output_weight": np.array([2.0]),
        "output_bias": np.asarray(1.0),
    }
    pieces = chain_pieces(Architecture((1,)), p, 0.0, 1.0)
    assert pieces(np.array([-3.0, 0.0, 1.0, 4.0])).tolist() == [1.0, 1.0, 2.0, 8.0]


def test_what_is_not_finite_has_no_pieces():
    architecture, p = tent(2)
    with pytest.raises(ValueError, match="the interval from 1 to 1 is empty"):
        chain_pieces(architecture, p, 1, 1)
    p["bias_2"] = np.array([np.nan])
    with pytest.raises(ValueError, match="a parameter is not finite"):
        chain_pieces(architecture, p, 0.0, 1.0)
    assert pieces_or_none(architecture, p, 0.0, 1.0) is None
    assert (
        pieces_or_none(architecture, p | {"bias_2": np.array([1e308]), "weight_2": np.array([[1e308]])}, 0, 9) is None
    )


@pytest.mark.parametrize("activation", ["relu", "leaky", "abs"])
@pytest.mark.parametrize("entries", [1, 2**18])
def test_the_status_of_a_unit_follows_from_its_preactivations(activation, entries):
    generator = np.random.default_rng(0)
    architecture = Architecture((6, 5), activation)
    p = {name: generator.normal(size=(3, *shape)) for name, shape in architecture.shapes.items()}
    x = np.sort(generator.uniform(size=15))
    first = p["input_slope"][:, None] * x[:, None] + p["bias"][:, None]
    second = architecture.activate(first) @ p["weight_2"].swapaxes(-1, -2) + p["bias_2"][:, None]
    active = np.concatenate([first > 0, second > 0], axis=-1)
    expected = np.where(active.all(1), 1, np.where(active.any(1), 2, 0 if activation == "relu" else 1))
    found = chain_status(architecture, p, x, entries=entries)
    np.testing.assert_array_equal(found, expected)
    assert set(np.unique(expected)) == ({0, 1, 2} if activation == "relu" else {1, 2})
    if activation == "relu":
        np.testing.assert_array_equal(found[:, :6], unit_status(p["input_slope"], p["bias"], x))
