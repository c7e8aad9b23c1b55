"""The initial states of a ReLU network: torch's default weights bit for bit, and the placements of the elbows."""

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from reluviz.core.initial_state import _multiply_add, initial_state, set_elbows, torch_default_state
from reluviz.data.samplers import uniform

WIDTHS = (1, 2, 3, 15, 16, 17, 20, 40, 100, 1000, 5000)
MANY_SEEDS = [0, 1, 2**31, 2**32 - 1, *np.random.RandomState(5).randint(0, 2**32, 200, dtype=np.uint32).tolist()]


def torch_state(seed: int, width: int) -> dict[str, np.ndarray]:
    """Return what torch itself draws."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(1, width), nn.ReLU(), nn.Linear(width, 1)).state_dict()
    return {
        "input_slope": network["0.weight"][:, 0].numpy(),
        "bias": network["0.bias"].numpy(),
        "output_weight": network["2.weight"][0].numpy(),
        "output_bias": network["2.bias"][0].numpy(),
    }


def same_bits(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
    return list(found) == list(expected) and all(
        found[name].dtype == value.dtype
        and found[name].shape == value.shape
        and found[name].tobytes() == value.tobytes()
        for name, value in expected.items()
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_the_weights_equal_torchs_defaults_bit_for_bit(width: int) -> None:
    assert [
        seed for seed in MANY_SEEDS if not same_bits(torch_default_state(seed, width), torch_state(seed, width))
    ] == []


def test_of_a_larger_seed_torch_keeps_32_bits() -> None:
    assert same_bits(torch_default_state(2**40 + 2**32 + 7, 20), torch_state(2**40 + 2**32 + 7, 20))


def test_the_weights_are_float32_for_every_default_dtype_of_torch() -> None:
    before = torch_state(3, 20)
    torch.set_default_dtype(torch.float64)
    try:
        after = torch_default_state(3, 20)
    finally:
        torch.set_default_dtype(torch.float32)
    assert same_bits(after, before)


def test_most_of_torchs_default_elbows_are_outside_the_unit_interval() -> None:
    width = 200_000
    state = torch_default_state(0, width)
    w, b = state["input_slope"], state["bias"]
    beta = -b / w
    # a line is positive on the whole interval if it is positive at both ends
    ends = np.stack([b, w + b]) > 0
    fractions = {"inside": (beta > 0) & (beta < 1), "dead": ~ends.any(0), "always on": ends.all(0)}
    for name, expected in {"inside": 0.25, "dead": 0.375, "always on": 0.375}.items():
        tolerance = 4 * math.sqrt(expected * (1 - expected) / width)
        assert fractions[name].mean() == pytest.approx(expected, abs=tolerance), name


def test_a_bias_is_minus_elbow_times_slope() -> None:
    state = {"input_slope": np.array([2.0, -3.0], dtype=np.float32), "bias": np.zeros(2, dtype=np.float32)}
    set_elbows(state, "given", 0, 0.0, 1.0, [0.25, 0.5], None)
    assert state["bias"].tolist() == [-0.5, 1.5]
    assert state["bias"].dtype == np.float32


def torch_biases(w: np.ndarray, elbows: str, seed: int, low: float, high: float, x: np.ndarray) -> np.ndarray:
    """Return the biases of the placements, computed by torch."""
    slope, width, points = torch.from_numpy(w), len(w), torch.from_numpy(x)
    if elbows == "uniform":
        beta = low + (high - low) * torch.from_numpy(uniform(seed, 4, 0, width)).sort().values
    elif elbows == "even":
        beta = torch.linspace(low, high, width + 2, dtype=torch.float64)[1:-1]
    else:
        rank = torch.linspace(0, len(x) - 1, width + 2, dtype=torch.float64)[1:-1].round().long()
        beta = points.sort().values[rank]
    return (-beta * slope.double()).to(slope.dtype).numpy()


@pytest.mark.parametrize("elbows", ["uniform", "even", "at_data"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_placements_equal_those_of_torchs_functions_bit_for_bit(elbows: str, width: int) -> None:
    x = np.random.RandomState(2).uniform(-3, 5, 200)
    for seed, (low, high) in product((0, 1, 17, 2**32 - 1), ((0.0, 1.0), (-3.0, 5.0), (0.1, 7.3), (1e3, 1e3 + 4))):
        state = torch_default_state(seed, width)
        expected = torch_biases(state["input_slope"], elbows, seed, low, high, x)
        set_elbows(state, elbows, seed, low, high, None, x)
        assert state["bias"].tobytes() == expected.tobytes()


def test_ranks_of_at_data_round_as_with_torchs_linspace() -> None:
    for samples, width in product(range(2, 120), range(1, 40)):
        state = {"input_slope": -np.ones(width)}
        set_elbows(state, "at_data", 0, 0.0, 1.0, None, np.arange(float(samples)))
        expected = torch.linspace(0, samples - 1, width + 2, dtype=torch.float64)[1:-1].round()
        assert state["bias"].tolist() == expected.tolist()


def test_at_data_and_torch_keep_the_biases_while_there_are_no_data() -> None:
    for elbows in ("at_data", "torch"):
        state = torch_default_state(5, 20)
        set_elbows(state, elbows, 5, 0.0, 1.0, None, None)
        assert same_bits(state, torch_state(5, 20))


@pytest.mark.parametrize("elbows", ["uniform", "at_data"])
def test_in_double_precision_only_elbows_at_the_data_are_placed_more_precisely(elbows: str) -> None:
    x = np.random.RandomState(1).uniform(size=50)
    single = initial_state(7, elbows, 3, (0.0, 1.0), None, x, "float32")
    double = initial_state(7, elbows, 3, (0.0, 1.0), None, x, "float64")
    assert all(value.dtype == np.float64 for value in double.values())
    for name, value in single.items():
        exact = elbows == "uniform" or name != "bias"
        assert (double[name] == value).all() == exact
        assert double[name] == pytest.approx(value, rel=1e-7)
    if elbows == "at_data":
        beta = -double["bias"] / double["input_slope"]
        assert np.abs(beta[:, None] - x).min(axis=1).max() <= 1e-15


def test_an_elbow_beyond_the_range_of_float32_is_infinite() -> None:
    state = {"input_slope": np.array([2.0], dtype=np.float32), "bias": np.zeros(1, dtype=np.float32)}
    set_elbows(state, "given", 0, 0.0, 1.0, [1e39], None)
    assert state["bias"].tolist() == [-np.inf]


def test_a_product_and_a_sum_are_rounded_once() -> None:
    generator = np.random.default_rng(4)
    n = np.arange(1.0, 40.0)
    for _ in range(200):
        a, c = generator.normal(), generator.normal() * 10.0 ** generator.integers(-3, 4)
        exact = [Fraction(a) * int(k) + Fraction(c) for k in n]
        # float() rounds a fraction once, to the nearest
        assert _multiply_add(a, n, c).tolist() == [float(value) for value in exact]
