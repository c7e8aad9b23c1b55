"""The three models f(x) and their tangent features df/dtheta, as pure functions of tensors.

Users call these functions as `reluviz.functions`. `core/functions.py` has a NumPy version of `predict`, for the
recorded snapshots.

Legend of shapes: R replicas, N samples, W hidden units. Parameters are a mapping from name to tensor; every tensor has
a leading replica axis. x is [N], shared by the replicas, or [R, N].

    constant  f(x) = theta                                        theta [R]
    linear    f(x) = theta x                                      theta [R]
    relu      f(x) = c + sum_k v_k relu(w_k x + b_k)              input_slope w, bias b, output_weight v: [R, W]
                                                                  output_bias c: [R]
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from reluviz.core.functions import PARAMETERS as PARAMETERS

Parameters = Mapping[str, Tensor]


def preactivation(p: Parameters, x: Tensor) -> Tensor:
    """Return h_ik = w_k x_i + b_k of the ReLU network, [R, N, W]."""
    return p["input_slope"].unsqueeze(-2) * x.unsqueeze(-1) + p["bias"].unsqueeze(-2)


def predict(model: str, p: Parameters, x: Tensor) -> Tensor:
    """Return f(x), [R, N].

    Raises:
        KeyError: if `model` is not one of constant, linear, relu.
    """
    if model == "relu":
        hidden = torch.relu(preactivation(p, x))
        return (hidden @ p["output_weight"].unsqueeze(-1)).squeeze(-1) + p["output_bias"].unsqueeze(-1)
    theta = p["theta"].unsqueeze(-1)
    return {"constant": theta * torch.ones_like(x), "linear": theta * x}[model]


def tangent(model: str, p: Parameters, x: Tensor) -> dict[str, Tensor]:
    """Return the tangent features J_i = df(x_i)/dtheta in closed form, one tensor per parameter.

    With a_ik = 1[w_k x_i + b_k > 0]:

        constant  df/dtheta = 1                  linear  df/dtheta = x_i
        relu      df/dw_k = v_k a_ik x_i         df/db_k = v_k a_ik
                  df/dv_k = relu(w_k x_i + b_k)  df/dc   = 1

    Returns:
        name -> [R, N] for a parameter with one value per replica, [R, N, W] for one with a value per unit.
    """
    if model == "relu":
        h = preactivation(p, x)
        active = (h > 0).to(h.dtype)
        gate = p["output_weight"].unsqueeze(-2) * active
        return {
            "input_slope": gate * x.unsqueeze(-1),
            "bias": gate,
            "output_weight": h * active,
            "output_bias": torch.ones_like(h[..., 0]),
        }
    ones = torch.ones_like(p["theta"].unsqueeze(-1) * x)
    return {"theta": {"constant": ones, "linear": ones * x}[model]}


def features(p: Parameters, x: Tensor) -> Tensor:
    """Return the hidden features Phi = [relu(w_k x_i + b_k), 1], [R, N, W + 1], the column of ones last."""
    hidden = torch.relu(preactivation(p, x))
    return torch.cat([hidden, torch.ones_like(hidden[..., :1])], dim=-1)


def mean_squared_error(model: str, p: Parameters, x: Tensor, y: Tensor, entries: int = 2**18) -> Tensor:
    """Return L = (1/N) sum_i (f(x_i) - y_i)^2, [R], in bounded memory.

    Args:
        model: constant, linear or relu.
        p: the parameters.
        x: inputs [N].
        y: targets [N].
        entries: the samples are processed in chunks, so that the hidden layer holds at most this many numbers.
    """
    units = sum(value.numel() for value in p.values())
    step = max(1, entries // units)
    parts = [(predict(model, p, x[i : i + step]) - y[i : i + step]).square().sum(-1) for i in range(0, len(x), step)]
    return torch.stack(parts).sum(0) / len(x)
