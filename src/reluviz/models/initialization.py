"""Initial states of a ReLU network: torch's weights, and elbows put where they are wanted.

Legend of shapes: N samples, W hidden units. A state maps parameter names to tensors, of one replica.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reluviz.data.samplers import uniform

ELBOWS = ("uniform", "even", "at_data", "given", "torch")


def course_weights(seed: int, width: int) -> dict[str, Tensor]:
    """Return torch's default initial state of nn.Sequential(Linear(1, W), ReLU(), Linear(W, 1)) under a seed.

    The numbers are those that `torch.manual_seed(seed)` before building the network gives, in float32. On
    [0, 1] only a quarter of the units then bend inside the interval, hence the course moves the elbows.
    """
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the accelerators' generators
        torch.default_generator.manual_seed(seed)
        hidden = nn.Linear(1, width, device="cpu", dtype=torch.float32)
        output = nn.Linear(width, 1, device="cpu", dtype=torch.float32)
    return {
        "input_slope": hidden.weight.detach()[:, 0],
        "bias": hidden.bias.detach(),
        "output_weight": output.weight.detach()[0],
        "output_bias": output.bias.detach()[0],
    }


def place(
    state: dict[str, Tensor],
    elbows: str,
    seed: int,
    low: float,
    high: float,
    positions: Sequence[float] | None,
    x: Tensor | None,
) -> None:
    """Replace the biases of `state` by b_k = -beta_k w_k, which puts the elbows at beta.

    Args:
        state: the initial state, changed in place.
        elbows: the placement, one of `ELBOWS`; at_data leaves the biases alone while x is None.
        seed: of the uniform draws.
        low: left end of the domain.
        high: right end of the domain.
        positions: the elbows of placement "given".
        x: training inputs [N], for placement "at_data".
    """
    w = state["input_slope"]
    width = len(w)
    if elbows == "uniform":
        # a stream of its own: torch's generators keep 32 bits of a seed, so that another of them would
        # repeat the numbers of some seed's weights
        beta = low + (high - low) * torch.from_numpy(uniform(seed, 4, 0, width)).sort().values
    elif elbows == "even":
        beta = torch.linspace(low, high, width + 2, dtype=torch.float64)[1:-1]
    elif elbows == "given":
        beta = torch.tensor(positions, dtype=torch.float64)
    elif elbows == "at_data" and x is not None:
        rank = torch.linspace(0, len(x) - 1, width + 2, dtype=torch.float64)[1:-1].round().long()
        beta = x.sort().values[rank].double()
    else:
        return
    state["bias"] = (-beta * w.double()).to(w.dtype)
