"""The models f(x) as functions of tensors, for autograd: twins of `core.models`.

Legend of shapes: R replicas, N samples, W hidden units. Parameters are a mapping from name to tensor; every tensor has
a leading replica axis. x is [N], shared by the replicas, or [R, N].
"""

from collections.abc import Mapping

import torch
from torch import Tensor

TensorParameters = Mapping[str, Tensor]


def constant(p: TensorParameters, x: Tensor) -> Tensor:
    """Return f(x) = theta, [R, N]."""
    return p["theta"].unsqueeze(-1) * torch.ones_like(x)


def linear(p: TensorParameters, x: Tensor) -> Tensor:
    """Return f(x) = theta x, [R, N]."""
    return p["theta"].unsqueeze(-1) * x


def relu(p: TensorParameters, x: Tensor) -> Tensor:
    """Return f(x) = c + sum_k v_k max(w_k x + b_k, 0), [R, N]."""
    hidden = torch.relu(p["input_slope"].unsqueeze(-2) * x.unsqueeze(-1) + p["bias"].unsqueeze(-2))
    return (hidden @ p["output_weight"].unsqueeze(-1)).squeeze(-1) + p["output_bias"].unsqueeze(-1)
