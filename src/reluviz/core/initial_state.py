"""Initial states of a network: torch's default weights, with biases of the first layer that place its elbows.

The numbers are those that torch draws, bit for bit, without torch. With words m_i of 32 bits from the Mersenne Twister

    torch.rand:               u_i = (m_i mod 2^24) 2^-24
    tensor.uniform_(-a, a):   u_i 2a - a, rounded to float32 once, because torch's default build fuses product and sum

torch's scalar build, for processors without AVX2, rounds twice.

Legend of shapes: N samples, W units of the first hidden layer. A state maps parameter names to arrays of one replica.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reluviz.core.models.architecture import Architecture
from reluviz.core.models.arrays import Array
from reluviz.data.samplers import uniform

ELBOW_PLACEMENTS = ("uniform", "even", "at_data", "given", "torch")
"""The values of the setting `model.elbows`."""

State = dict[str, NDArray[Any]]


def torch_default_state(seed: int, *hidden: int) -> State:
    """Return torch's default initial state of nn.Sequential(Linear(1, W_1), ReLU(), ..., Linear(W_L, 1)) under a seed.

    The numbers are those that `torch.manual_seed(seed)` before building the network gives, in float32. Only a
    quarter of the units of the first layer have their elbow in [0, 1], so the course moves the elbows.

    Args:
        seed: the replica's seed.
        hidden: the widths W_1, ..., W_L of the hidden layers.
    """
    # torch, too, seeds its generator with the low 32 bits
    generator = np.random.RandomState(seed % 2**32)
    architecture = Architecture(hidden)
    found: State = {}
    # in the order in which torch draws them
    for (weight, bias), inputs in zip(architecture.names, (1, *hidden), strict=True):
        for name, bound in zip((weight, bias), _bounds(inputs), strict=True):
            shape = architecture.shapes[name]
            found[name] = _symmetric_uniform(generator, bound, math.prod(shape)).reshape(shape)
    return found


def _bounds(inputs: int) -> tuple[float, float]:
    """Return the bounds of the weights and of the biases of a linear layer with this number of inputs.

    Both are 1/sqrt(inputs). The first is computed as `torch.nn.init.kaiming_uniform_` with a = sqrt(5) computes it.
    """
    gain = math.sqrt(2 / (1 + math.sqrt(5) ** 2))
    return math.sqrt(3) * (gain / math.sqrt(inputs)), 1 / math.sqrt(inputs)


def _symmetric_uniform(generator: np.random.RandomState, bound: float, count: int) -> NDArray[np.float32]:
    """Return the next numbers of `tensor.uniform_(-bound, bound)`, for a float32 tensor."""
    words = generator.randint(0, 2**32, size=count, dtype=np.uint32)
    a = float(np.float32(bound))
    # products and sums of 24-bit numbers are exact in float64
    return ((words & 0xFFFFFF) * 2.0**-24 * (2 * a) - a).astype(np.float32)


# an elbow beyond the range of float32 is infinite
@np.errstate(over="ignore", invalid="ignore")
def set_elbows(
    state: State,
    elbows: str,
    seed: int,
    low: float,
    high: float,
    positions: Sequence[float] | None,
    x: Array | None,
) -> None:
    """Set the biases of `state` to b_k = -beta_k w_k, so that the elbows are at beta.

    Args:
        state: the initial state, changed in place.
        elbows: one of `ELBOW_PLACEMENTS`; "torch" keeps the biases; "at_data" keeps them if x is None.
        seed: seed of the uniform draws.
        low: left end of the domain.
        high: right end of the domain.
        positions: the elbows for "given".
        x: training inputs [N], for "at_data".
    """
    w = state["input_slope"]
    width = len(w)
    if elbows == "uniform":
        # not the generator of the weights: it keeps only 32 bits of its seed, so a second one would repeat the random
        # numbers of some seed's weights
        beta = low + (high - low) * np.sort(uniform(seed, 4, 0, width))
    elif elbows == "even":
        beta = _evenly_spaced(low, high, width)
    elif elbows == "given":
        beta = np.asarray(positions, dtype=np.float64)
    elif elbows == "at_data" and x is not None:
        rank = _evenly_spaced(0, len(x) - 1, width).round().astype(np.int64)
        beta = np.sort(x)[rank]
    else:
        return
    state["bias"] = (-beta * w.astype(np.float64)).astype(w.dtype)


def _evenly_spaced(low: float, high: float, count: int) -> Array:
    """Return `count` numbers evenly spaced between low and high, without the ends, as torch.linspace computes them.

    They are counted from the nearer end, and product and sum are rounded once. The last bit of an elbow can
    decide how a bias halfway between two numbers of float32 is rounded, and which of two samples at_data chooses.
    """
    step = (high - low) / (count + 1)
    index = np.arange(1.0, count + 1)
    from_low, from_high = _multiply_add(step, index, low), _multiply_add(-step, count + 1 - index, high)
    return np.where(index < (count + 2) // 2, from_low, from_high)


def _multiply_add(a: float, n: Array, c: float) -> Array:
    """Return a n + c for whole numbers n below 2^26, rounded once."""
    mantissa, exponent = math.frexp(a)
    # a = large + small, with so few bits each that the products are exact
    large = math.ldexp(round(math.ldexp(mantissa, 26)), exponent - 26)
    small = a - large
    found = c + large * n
    # the rounding error of this sum (D. E. Knuth, The Art of Computer Programming 2, section 4.2.2)
    added = found - c
    error = (c - (found - added)) + (large * n - added)
    return found + (error + small * n)


def initial_state(
    hidden: int | Sequence[int],
    elbows: str,
    seed: int,
    domain: tuple[float, float],
    positions: Sequence[float] | None,
    x: Array,
    precision: str = "float32",
) -> State:
    """Return the state of a run before its first update.

    Args:
        hidden: the width of the hidden layer, or the widths of several.
        elbows: one of `ELBOW_PLACEMENTS`.
        seed: the replica's seed.
        domain: the interval on which the elbows are placed.
        positions: the elbows for "given".
        x: training inputs [N], for "at_data".
        precision: the run's precision, "float32" or "float64". Elbows at the data are placed in it; all other numbers
            are those of float32.
    """
    state = torch_default_state(seed, *([hidden] if isinstance(hidden, int) else hidden))
    set_elbows(state, elbows, seed, *domain, positions, None)
    state = {name: value.astype(precision) for name, value in state.items()}
    if elbows == "at_data":
        set_elbows(state, elbows, seed, *domain, positions, x)
    return state
