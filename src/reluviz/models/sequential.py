"""Conversion from and to plain PyTorch: nn.Sequential(Linear(1, W_1), ReLU(), ..., Linear(W_L, 1)), its state_dict."""

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reluviz.core.models.architecture import Architecture
from reluviz.errors import UserError
from reluviz.files import parse_json, typed_path
from reluviz.models.torch_files import load_torch_file

JSON_BYTES, JSON_NUMBER_BYTES = 2**20, 86
"""The most bytes of a JSON file, and how many more for each parameter."""


def sequential_keys(architecture: Architecture) -> dict[str, str]:
    """Return the names of the parameters -> their keys in the state_dict of nn.Sequential: 0.weight, 0.bias, ..."""
    return {
        name: f"{2 * layer}.{kind}"
        for layer, names in enumerate(architecture.names)
        for name, kind in zip(names, ("weight", "bias"), strict=True)
    }


def read_sequential(path: str, architecture: Architecture) -> dict[str, Tensor]:
    """Return the parameters in a state_dict file, in its precision. Code in the file is never run.

    The file is one of torch.save, or JSON, with numbers in float64: {"0.weight": [[w_1], ...], "0.bias": [b_1, ...],
    "2.weight": [[v_1, ...]], "2.bias": [c]}. Each further layer adds two keys. The content decides which, and not the
    name.

    Raises:
        UserError: if the file is missing, unreadable, or holds a network of another shape.
    """
    where = f"model.init_from={path}"
    place = typed_path(path)
    if not os.path.isfile(place):
        raise UserError(f"{where}: no such file")
    kind = "a file of torch.save(network.state_dict(), file), nor JSON that begins with {"
    try:
        if is_json := _is_json(place):
            kind = "JSON"
            loaded = _read_json(place, JSON_BYTES + JSON_NUMBER_BYTES * architecture.parameters)
        else:
            loaded = load_torch_file(place)
    except (ValueError, OSError) as error:
        raise UserError(f"{where}: is not {kind} ({' '.join(str(error).split())})") from error
    keys_of = sequential_keys(architecture)
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (inputs, outputs) in enumerate(pairwise((1, *architecture.hidden, 1))):
        shapes |= {f"{2 * layer}.weight": (outputs, inputs), f"{2 * layer}.bias": (outputs,)}
    hidden = list(architecture.hidden)
    setting = f"model.width={hidden[0]}" if len(hidden) == 1 else f"model.hidden={hidden}"
    if not isinstance(loaded, dict) or set(loaded) != set(shapes):
        keys = ", ".join(repr(key)[:40] for key in list(loaded)[:6]) if isinstance(loaded, dict) else ""
        keys = keys or f"an empty or other object ({type(loaded).__name__})"
        raise UserError(f"{where}: holds {keys}; the keys {', '.join(shapes)} are needed")
    if is_json:
        try:
            loaded = {key: _tensor(value, key) for key, value in loaded.items()}
        except ValueError as error:
            raise UserError(f"{where}: {error}") from None
    for key, shape in shapes.items():
        value = loaded[key]
        if not isinstance(value, Tensor) or tuple(value.shape) != shape:
            has = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise UserError(f"{where}: {key} has shape {has}; {setting} needs {shape}")
        if not (value.is_floating_point() and value.float().isfinite().all()):
            raise UserError(f"{where}: {key} holds values that are not finite numbers")
    return {name: loaded[key].reshape(architecture.shapes[name]) for name, key in keys_of.items()}


class Absolute(nn.Module):
    """The activation |z|."""

    def forward(self, z: Tensor) -> Tensor:
        """Return |z|."""
        return z.abs()


def build_sequential(state: dict[str, Tensor], architecture: Architecture) -> nn.Sequential:
    """Return nn.Sequential(Linear(1, W_1), ReLU(), ..., Linear(W_L, 1)) with the parameters of one replica."""
    dtype = state["input_slope"].dtype
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise((1, *architecture.hidden, 1)):
        modules += [nn.Linear(inputs, outputs, dtype=dtype), _activation(architecture)]
    network = nn.Sequential(*modules[:-1])
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    keys = sequential_keys(architecture)
    network.load_state_dict({key: state[name].reshape(shapes[key]) for name, key in keys.items()})
    return network


def _activation(architecture: Architecture) -> nn.Module:
    if architecture.activation == "relu":
        return nn.ReLU()
    return Absolute() if architecture.activation == "abs" else nn.LeakyReLU(architecture.slope)


def _is_json(path: Path) -> bool:
    """Return whether the first character of a text in UTF-8 or UTF-16 is {; no file of torch.save begins so."""
    with path.open("rb") as file:
        return file.read(1024).lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"{")


def _read_json(path: Path, most_bytes: int) -> Any:
    with path.open("rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"it is longer than {most_bytes:,} bytes")
    return parse_json(content)


def _tensor(value: Any, key: str) -> Tensor:
    """Return nested lists of numbers as a tensor in float64; a number beyond float64 is infinite.

    Raises:
        ValueError: if something else is in them, or their lengths differ.
    """
    shape = _shape(value, key)
    try:
        return torch.tensor(value, dtype=torch.float64)
    except (OverflowError, RuntimeError):
        return torch.full(shape, torch.inf, dtype=torch.float64)


def _shape(value: Any, key: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        if type(value) not in (int, float):
            raise ValueError(f"{key} holds {json.dumps(value)[:40]} where a number is needed")
        return ()
    shapes = {_shape(one, key) for one in value}
    if len(shapes) > 1:
        raise ValueError(f"{key} holds lists of different lengths")
    return len(value), *next(iter(shapes), ())
