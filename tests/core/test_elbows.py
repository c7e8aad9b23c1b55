"""Elbows, slope jumps, unit status and the exact linear pieces of a ReLU network, compared with autograd."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from oracle import close, predict, slopes

from reluviz.core import elbows

Array = NDArray[np.float64]

R, W = 3, 12


def network(seed: int = 0, low: float = 0.0, high: float = 1.0) -> dict[str, Array]:
    """Return R networks of W units: initial layers like torch's, but elbows uniform on [low, high]."""
    generator = np.random.default_rng(seed)
    w = generator.uniform(-1, 1, (R, W))
    return {
        "input_slope": w,
        "bias": -generator.uniform(low, high, (R, W)) * w,
        "output_weight": generator.uniform(-1, 1, (R, W)) / W**0.5,
        "output_bias": generator.uniform(-1, 1, R) / W**0.5,
    }


def one_network(w: list[float], b: list[float], v: list[float], c: float = 0.0) -> dict[str, Array]:
    """Return one replica with the given parameters."""
    values = {"input_slope": [w], "bias": [b], "output_weight": [v], "output_bias": [c]}
    return {name: np.array(value) for name, value in values.items()}


def edge_cases() -> dict[str, dict[str, Array]]:
    """Return networks whose elbows are special, by name."""
    flat = network(1)
    flat["input_slope"][:, :3] = 0
    far = network(2)
    far["input_slope"][:, 0], far["bias"][:, 0] = 1e-9, 1.0
    far["input_slope"][:, 1], far["bias"][:, 1] = -1e-9, 1.0
    far["input_slope"][:, 2], far["bias"][:, 2] = 1e-9, -1.0
    infinite = network(3)
    infinite["input_slope"][:, 0], infinite["bias"][:, 0] = 1e-310, 1.0
    infinite["input_slope"][:, 1], infinite["bias"][:, 1] = -1e-310, 1.0
    infinite["input_slope"][:, 2], infinite["bias"][:, 2] = 1e-310, -1.0
    infinite["input_slope"][:, 3], infinite["bias"][:, 3] = -1e-310, -1.0
    equal = network(4)
    equal["bias"][:, :5] = -0.5 * equal["input_slope"][:, :5]
    constant = network(5)
    constant["input_slope"][:] = 0
    return {
        "uniform elbows": network(),
        "w = 0": flat,
        "distant elbows": far,
        "elbows at infinity": infinite,
        "equal elbows": equal,
        "no elbow at all": constant,
    }


@pytest.mark.parametrize("case", edge_cases())
def test_the_linear_pieces_give_the_same_f_as_the_forward_pass(case: str) -> None:
    p = edge_cases()[case]
    x = np.linspace(-1, 2, 301)
    close(elbows.pieces(p)(x), predict("relu", p, x), 1e-12)


@pytest.mark.parametrize("case", edge_cases())
def test_the_slopes_of_the_pieces_equal_the_derivative_of_the_forward_pass(case: str) -> None:
    p = edge_cases()[case]
    x = np.linspace(-0.987, 2, 301)
    close(elbows.pieces(p).derivative(x), slopes(p, x), 1e-12)


def test_the_derivative_at_an_elbow_is_the_limit_from_the_left() -> None:
    p = one_network([2.0, -4.0], [-1.0, 1.0], [1.0, 0.5])
    # elbows at 0.5 and 0.25, with slope jumps 2 and 2
    assert elbows.pieces(p).derivative(np.array([0.2, 0.25, 0.3, 0.5, 0.6])).tolist() == [[-2.0, -2.0, 0.0, 0.0, 2.0]]


def test_a_unit_without_an_elbow_does_not_change_the_slope() -> None:
    p = one_network([2.0, 0.0, 1e-320], [-1.0, 1.0, 1.0], [1.0, 5.0, 7.0])
    parts = elbows.pieces(p)
    assert parts.breaks.tolist() == [[0.5, np.inf, np.inf]]
    assert parts.slope.tolist() == [[0.0, 2.0, 2.0, 2.0]]


@pytest.mark.parametrize("offset", [1e3, -1e6, 1e9])
def test_pieces_are_as_exact_as_the_forward_pass_far_from_the_origin(offset: float) -> None:
    p = network(6, offset, offset + 1)
    p["bias"][:, 0] = -0.5 * p["input_slope"][:, 0]
    x = offset + np.linspace(-1, 2, 301)
    rounding = abs(offset) * np.finfo(float).eps * W
    close(elbows.pieces(p)(x), predict("relu", p, x), rounding)


def test_each_piece_contains_its_anchor() -> None:
    parts = elbows.pieces(network(7, -1, 1))
    infinity = np.full((R, 1), np.inf)
    assert (np.concatenate([-infinity, parts.breaks], -1) <= parts.anchor).all()
    assert (parts.anchor <= np.concatenate([parts.breaks, infinity], -1)).all()


def test_the_elbow_is_the_zero_of_the_preactivation_and_nan_for_w_equal_to_0() -> None:
    p = one_network([2.0, -4.0, 0.0], [-1.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    beta = elbows.elbow(p["input_slope"], p["bias"])
    assert beta[0, :2].tolist() == [0.5, 0.25]
    assert np.isnan(beta[0, 2])


def test_f_is_a_sum_of_ramps_that_start_at_the_elbows() -> None:
    p = network(8)
    x = np.linspace(-1, 2, 100)
    mu = elbows.active_slope(p["input_slope"], p["output_weight"])
    distance = x[:, None] - elbows.elbow(p["input_slope"], p["bias"])[:, None]
    active = elbows.orientation(p["input_slope"])[:, None] * distance > 0
    ramps = np.where(active, mu[:, None] * distance, 0).sum(-1) + p["output_bias"][..., None]
    close(ramps, predict("relu", p, x), 1e-12)


def test_f_prime_jumps_by_the_slope_jump_at_an_elbow() -> None:
    p = network(9)
    beta = elbows.elbow(p["input_slope"], p["bias"])
    close(
        slopes(p, beta + 1e-9) - slopes(p, beta - 1e-9),
        elbows.slope_jump(p["input_slope"], p["output_weight"]),
    )


def test_total_variation_of_f_prime_is_the_sum_of_the_jumps_of_distinct_elbows() -> None:
    p = network(10)
    x = np.linspace(-0.1, 1.1, 20_001)
    variation = np.abs(np.diff(slopes(p, x))).sum(-1)
    close(elbows.total_variation(p), variation, 1e-12)


def test_a_unit_without_an_elbow_adds_no_variation() -> None:
    assert elbows.total_variation(one_network([2.0, 0.0], [0.0, 1.0], [-3.0, 5.0])).tolist() == [6.0]


@pytest.mark.parametrize("alpha", [0.25, 3.0])
def test_rescaling_a_unit_leaves_f_and_its_geometry_unchanged(alpha: float) -> None:
    p = network(11)
    scaled = p | {
        "input_slope": alpha * p["input_slope"],
        "bias": alpha * p["bias"],
        "output_weight": p["output_weight"] / alpha,
    }
    x = np.linspace(-1, 2, 100)
    for before, after in [
        (predict("relu", p, x), predict("relu", scaled, x)),
        (elbows.elbow(p["input_slope"], p["bias"]), elbows.elbow(scaled["input_slope"], scaled["bias"])),
        (elbows.pieces(p).slope, elbows.pieces(scaled).slope),
        (elbows.total_variation(p), elbows.total_variation(scaled)),
    ]:
        close(before, after, 1e-12)


def test_unit_status_equals_a_check_of_every_training_input() -> None:
    p = edge_cases()["w = 0"]
    x = np.linspace(0.2, 0.8, 50)
    active = p["input_slope"][:, None] * x[:, None] + p["bias"][:, None] > 0
    expected = [
        ["linear" if unit.all() else "bent" if unit.any() else "dead" for unit in replica.T] for replica in active
    ]
    codes = elbows.unit_status(p["input_slope"], p["bias"], x)
    assert [[elbows.STATUS[code] for code in row] for row in codes] == expected
    assert {name for row in expected for name in row} == set(elbows.STATUS)


def test_a_unit_whose_largest_preactivation_is_0_is_dead() -> None:
    w, b = np.array([[1.0, -1.0, 0.0]]), np.array([[-1.0, 0.0, 0.0]])
    assert elbows.unit_status(w, b, np.array([0.5, 0.0, 1.0])).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("case", edge_cases())
def test_the_staircase_is_f_prime_between_its_edges(case: str) -> None:
    p = edge_cases()[case]
    edges, heights = elbows.staircase(p, 0.1, 0.9)
    assert (edges[:, 0] == 0.1).all()
    assert (edges[:, -1] == 0.9).all()
    assert (np.diff(edges) >= 0).all()
    middles = (edges[:, 1:] + edges[:, :-1]) / 2
    wide = np.diff(edges) > 0
    close(heights[wide], slopes(p, middles)[wide], 1e-12)
    rise = predict("relu", p, np.array([0.1, 0.9]))
    close((heights * np.diff(edges)).sum(-1), rise[:, 1] - rise[:, 0], 1e-12)


UNUSUAL = np.array([0.0, -0.0, 1.5, -2.0, np.inf, -np.inf, np.nan, 1e-300, 1e300])


def test_elbows_slope_jumps_and_unit_status_of_unusual_numbers_equal_those_of_torch() -> None:
    w, b = (grid.reshape(1, -1) for grid in np.meshgrid(UNUSUAL, UNUSUAL))
    slope, other = (torch.tensor(value) for value in (w, b))
    np.testing.assert_array_equal(elbows.elbow(w, b), torch.where(slope == 0, torch.nan, -other / slope).numpy())
    np.testing.assert_array_equal(elbows.slope_jump(w, b), (other * slope.abs()).numpy())
    for left, right in ((0.0, 1.0), (-1e6, -2.0), (0.5, 0.5)):
        on = [(slope * end + other > 0).numpy() for end in (left, right)]
        expected = np.where(on[0] & on[1], 1, np.where(on[0] | on[1], 2, 0))
        np.testing.assert_array_equal(elbows.unit_status(w, b, np.array([left, right])), expected)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_status_of_a_unit_with_its_elbow_on_an_outer_point_is_decided_in_the_precision_of_the_run(
    precision,
) -> None:
    generator = np.random.default_rng(3)
    x = np.sort(generator.uniform(0, 1, 50))
    w = generator.uniform(-1, 1, (R, 200)).astype(np.float32).astype(float)
    b = (-np.where(np.arange(200) % 2, x[0], x[-1]) * w).astype(np.float32).astype(float)
    dtype = getattr(torch, precision)
    slope, bias = (torch.tensor(value).to(dtype)[..., None] for value in (w, b))
    active = (slope * torch.tensor(x).to(dtype) + bias > 0).numpy()
    expected = np.where(active.all(-1), 1, np.where(active.any(-1), 2, 0))
    found = elbows.unit_status(w, b, x, precision)
    np.testing.assert_array_equal(found, expected)
    assert precision == "float64" or (found != elbows.unit_status(w, b, x)).any()
