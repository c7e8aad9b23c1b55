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
    """Return f(x) = v . h_L + c, [R, N], with h_l = phi(W_l h_(l-1) + b_l) and h_0 = x."""
    (weight, bias), *between, (output_weight, output_bias) = architecture.names
    z = p[weight].unsqueeze(-2) * x.unsqueeze(-1) + p[bias].unsqueeze(-2)
    for weight, bias in between:
        z = activate(architecture, z) @ p[weight].transpose(-1, -2) + p[bias].unsqueeze(-2)
    f = activate(architecture, z) @ p[output_weight].unsqueeze(-1)
    return f.squeeze(-1) + p[output_bias].unsqueeze(-1)


def activate(architecture: Architecture, z: Tensor) -> Tensor:
    """Return phi(z)."""
    if architecture.activation == "abs":
        return z.abs()
    return functional.leaky_relu(z, architecture.slope) if architecture.activation == "leaky" else torch.relu(z)
