"""PyTorch's automatic differentiation as the oracle of the formulas: arrays in, arrays out, float64."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import grad, vmap

from reluviz import models
from reluviz.core.models import MODELS

Array = NDArray[np.float64]


def _predict_functions() -> dict[str, Callable[[Mapping[str, Tensor], Tensor], Tensor]]:
    """Return the torch functions of all models, from all files of `reluviz.models`."""
    names = [each.name for each in pkgutil.iter_modules(models.__path__)]
    found = [vars(importlib.import_module(f"reluviz.models.{name}")).values() for name in names]
    classes = [each for values in found for each in values if isinstance(each, type)]
    return {each.model: each.predict for each in classes if each.__dict__.get("model") in MODELS}


PREDICT = _predict_functions()


def tensors(p: Mapping[str, Array]) -> dict[str, Tensor]:
    """Return copies of the parameters as tensors."""
    return {name: torch.tensor(value) for name, value in p.items()}


def predict(model: str, p: Mapping[str, Array], x: Array) -> Array:
    """Return f(x), [R, N]."""
    return PREDICT[model](tensors(p), torch.tensor(x)).numpy()


def gradient(model: str, p: Mapping[str, Array], x: Array, y: Array) -> dict[str, Array]:
    """Return the gradient of the mean squared residual over the last axis of x and y, name -> [R] or [R, W]."""
    leaves = {name: value.requires_grad_() for name, value in tensors(p).items()}
    (PREDICT[model](leaves, torch.tensor(x)) - torch.tensor(y)).square().mean(-1).sum().backward()
    return {name: leaf.grad.numpy() for name, leaf in leaves.items() if leaf.grad is not None}


def per_sample_gradients(model: str, p: Mapping[str, Array], x: Array, y: Array) -> dict[str, Array]:
    """Return grad(r_i^2) of every sample, name -> [R, N] or [R, N, W]; x and y are [N]."""

    def squared_residual(p: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        one = {name: value.unsqueeze(0) for name, value in p.items()}
        return (PREDICT[model](one, x.unsqueeze(0)) - y).square().sum()

    found = vmap(vmap(grad(squared_residual), (None, 0, 0)), (0, None, None))(
        tensors(p), torch.tensor(x), torch.tensor(y)
    )
    return {name: value.numpy() for name, value in found.items()}


def slopes(p: Mapping[str, Array], x: Array) -> Array:
    """Return f'(x) of a ReLU network; x is [N] or [R, N], the result [R, N]."""
    at = torch.tensor(x).expand(len(p["output_bias"]), -1).clone().requires_grad_()
    return torch.autograd.grad(PREDICT["relu"](tensors(p), at).sum(), at)[0].numpy()


def close(actual: Array, expected: Array, atol: float = 1e-12) -> None:
    """Assert that two arrays have the same shape and differ by at most `atol`; NaN equals NaN."""
    assert np.shape(actual) == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)
