"""Elbows, slope jumps, unit status and the exact linear pieces of a ReLU network, compared with autograd."""

import pytest
import torch
from torch import Tensor

from reluviz.core import elbows
from reluviz.core.functions_torch import Parameters, predict

R, W = 3, 12


def network(seed: int = 0, low: float = 0.0, high: float = 1.0) -> dict[str, Tensor]:
    """Return R networks of W units: torch's default initial layers, but elbows uniform on [low, high]."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)

    w = uniform(-1, 1, R, W)
    return {
        "input_slope": w,
        "bias": -uniform(low, high, R, W) * w,
        "output_weight": uniform(-1, 1, R, W) / W**0.5,
        "output_bias": uniform(-1, 1, R) / W**0.5,
    }


def one_network(w: list[float], b: list[float], v: list[float], c: float = 0.0) -> dict[str, Tensor]:
    """Return one replica with the given parameters."""
    values = {"input_slope": [w], "bias": [b], "output_weight": [v], "output_bias": [c]}
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}


def slopes(p: Parameters, x: Tensor) -> Tensor:
    """Return f'(x) by automatic differentiation, [R, N]."""
    x = x.expand(len(p["output_bias"]), -1).clone().requires_grad_()
    return torch.autograd.grad(predict("relu", p, x).sum(), x)[0]


def edge_cases() -> dict[str, dict[str, Tensor]]:
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
    x = torch.linspace(-1, 2, 301, dtype=torch.float64)
    torch.testing.assert_close(elbows.pieces(p)(x), predict("relu", p, x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", edge_cases())
def test_the_slopes_of_the_pieces_equal_the_derivative_of_the_forward_pass(case: str) -> None:
    p = edge_cases()[case]
    x = torch.linspace(-0.987, 2, 301, dtype=torch.float64)
    torch.testing.assert_close(elbows.pieces(p).derivative(x), slopes(p, x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("offset", [1e3, -1e6, 1e9])
def test_pieces_are_as_exact_as_the_forward_pass_far_from_the_origin(offset: float) -> None:
    p = network(6, offset, offset + 1)
    p["bias"][:, 0] = -0.5 * p["input_slope"][:, 0]
    x = offset + torch.linspace(-1, 2, 301, dtype=torch.float64)
    rounding = abs(offset) * torch.finfo(torch.float64).eps * W
    torch.testing.assert_close(elbows.pieces(p)(x), predict("relu", p, x), rtol=0, atol=rounding)


def test_each_piece_contains_its_anchor() -> None:
    parts = elbows.pieces(network(7, -1, 1))
    infinity = torch.full((R, 1), torch.inf, dtype=torch.float64)
    assert (torch.cat([-infinity, parts.breaks], -1) <= parts.anchor).all()
    assert (parts.anchor <= torch.cat([parts.breaks, infinity], -1)).all()


def test_the_elbow_is_the_zero_of_the_preactivation_and_nan_for_w_equal_to_0() -> None:
    p = one_network([2.0, -4.0, 0.0], [-1.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    beta = elbows.elbow(p["input_slope"], p["bias"])
    assert beta[0, :2].tolist() == [0.5, 0.25]
    assert beta[0, 2].isnan()


def test_f_is_a_sum_of_ramps_that_start_at_the_elbows() -> None:
    p = network(8)
    x = torch.linspace(-1, 2, 100, dtype=torch.float64)
    mu = elbows.active_slope(p["input_slope"], p["output_weight"])
    distance = x[:, None] - elbows.elbow(p["input_slope"], p["bias"]).unsqueeze(1)
    active = elbows.orientation(p["input_slope"]).unsqueeze(1) * distance > 0
    ramps = torch.where(active, mu.unsqueeze(1) * distance, 0).sum(-1) + p["output_bias"].unsqueeze(-1)
    torch.testing.assert_close(ramps, predict("relu", p, x), rtol=0, atol=1e-12)


def test_f_prime_jumps_by_the_slope_jump_at_an_elbow() -> None:
    p = network(9)
    beta = elbows.elbow(p["input_slope"], p["bias"])
    torch.testing.assert_close(
        slopes(p, beta + 1e-9) - slopes(p, beta - 1e-9),
        elbows.slope_jump(p["input_slope"], p["output_weight"]),
        rtol=0,
        atol=1e-12,
    )


def test_total_variation_of_f_prime_is_the_sum_of_the_jumps_of_distinct_elbows() -> None:
    p = network(10)
    x = torch.linspace(-0.1, 1.1, 20_001, dtype=torch.float64)
    variation = slopes(p, x).diff(dim=-1).abs().sum(-1)
    torch.testing.assert_close(elbows.total_variation(p), variation, rtol=0, atol=1e-12)


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
    x = torch.linspace(-1, 2, 100, dtype=torch.float64)
    for before, after in [
        (predict("relu", p, x), predict("relu", scaled, x)),
        (elbows.elbow(p["input_slope"], p["bias"]), elbows.elbow(scaled["input_slope"], scaled["bias"])),
        (elbows.pieces(p).slope, elbows.pieces(scaled).slope),
        (elbows.total_variation(p), elbows.total_variation(scaled)),
    ]:
        torch.testing.assert_close(before, after, rtol=0, atol=1e-12)


def test_unit_status_equals_a_check_of_every_training_input() -> None:
    p = edge_cases()["w = 0"]
    x = torch.linspace(0.2, 0.8, 50, dtype=torch.float64)
    active = p["input_slope"].unsqueeze(1) * x[:, None] + p["bias"].unsqueeze(1) > 0
    expected = [
        ["linear" if unit.all() else "bent" if unit.any() else "dead" for unit in replica.T] for replica in active
    ]
    codes = elbows.unit_status(p["input_slope"], p["bias"], x)
    assert [[elbows.STATUS[code] for code in row] for row in codes] == expected
    assert {name for row in expected for name in row} == set(elbows.STATUS)


def test_a_unit_whose_largest_preactivation_is_0_is_dead() -> None:
    w, b = torch.tensor([[1.0, -1.0, 0.0]]), torch.tensor([[-1.0, 0.0, 0.0]])
    assert elbows.unit_status(w, b, torch.tensor([0.5, 0.0, 1.0])).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("case", edge_cases())
def test_the_staircase_is_f_prime_between_its_edges(case: str) -> None:
    p = edge_cases()[case]
    edges, heights = elbows.staircase(p, 0.1, 0.9)
    assert (edges[:, 0] == 0.1).all()
    assert (edges[:, -1] == 0.9).all()
    assert (edges.diff(dim=-1) >= 0).all()
    middles = (edges[:, 1:] + edges[:, :-1]) / 2
    wide = edges.diff(dim=-1) > 0
    torch.testing.assert_close(heights[wide], slopes(p, middles)[wide], rtol=0, atol=1e-12)
    rise = predict("relu", p, torch.tensor([0.1, 0.9], dtype=torch.float64)).diff(dim=-1).squeeze(-1)
    torch.testing.assert_close((heights * edges.diff(dim=-1)).sum(-1), rise, rtol=0, atol=1e-12)
