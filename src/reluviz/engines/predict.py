"""The models f(x) as functions of tensors, for autograd: twins of `core.models`.

Legend of shapes: R replicas, N samples, W hidden units. Parameters are a mapping from name to tensor; every tensor has
a leading replica axis. x is [N], shared by the replicas, or [R, N].
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from reluviz.core.models.architecture import Architecture

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


def chain(architecture: Architecture, p: TensorParameters, x: Tensor) -> Tensor:
    """Return f(x) = v . h_L + c with h_l = phi(W_l h_(l-1) + b_l) and h_0 = x, [R, N]."""
    if len(architecture.hidden) == 1 and architecture.activation == "relu":
        return relu(p, x)
    first, *between, (output, output_bias) = architecture.names
    hidden = _activate(architecture, p[first[0]].unsqueeze(-2) * x.unsqueeze(-1) + p[first[1]].unsqueeze(-2))
    for weight, bias in between:
        hidden = _activate(architecture, hidden @ p[weight].mT + p[bias].unsqueeze(-2))
    return (hidden @ p[output].unsqueeze(-1)).squeeze(-1) + p[output_bias].unsqueeze(-1)


def _activate(architecture: Architecture, z: Tensor) -> Tensor:
    if architecture.activation == "relu":
        return torch.relu(z)
    return z.abs() if architecture.activation == "abs" else functional.leaky_relu(z, architecture.slope)
