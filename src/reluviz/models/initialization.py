"""Initial states of a ReLU network: torch's default weights, with biases that place the elbows.

Legend of shapes: N samples, W hidden units. A state maps parameter names to tensors of one replica.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reluviz.data.samplers import uniform

ELBOW_PLACEMENTS = ("uniform", "even", "at_data", "given", "torch")
"""The values of the setting `model.elbows`."""


def torch_default_state(seed: int, width: int) -> dict[str, Tensor]:
    """Return torch's default initial state of nn.Sequential(Linear(1, W), ReLU(), Linear(W, 1)) under a seed.

    The numbers are those that `torch.manual_seed(seed)` before building the network gives, in float32. Only a
    quarter of these units have their elbow in [0, 1], so the course moves the elbows.
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


def set_elbows(
    state: dict[str, Tensor],
    elbows: str,
    seed: int,
    low: float,
    high: float,
    positions: Sequence[float] | None,
    x: Tensor | None,
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
        # not a torch generator: it keeps only 32 bits of its seed, so a second one would repeat the random numbers of
        # some seed's weights
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
