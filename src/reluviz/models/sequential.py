"""Conversion from and to plain PyTorch: nn.Sequential(Linear(1, W), ReLU(), Linear(W, 1)) and its state_dict."""

import os

from torch import Tensor, nn

from reluviz.errors import UserError
from reluviz.files import typed_path
from reluviz.models.torch_files import load_torch_file


def read_sequential(path: str, width: int) -> dict[str, Tensor]:
    """Return the parameters in a state_dict file, in its precision. Code in the file is never run.

    Raises:
        UserError: if the file is missing, unreadable, or holds a network of another shape.
    """
    where = f"model.init_from={path}"
    place = typed_path(path)
    if not os.path.isfile(place):
        raise UserError(f"{where}: no such file")
    try:
        loaded = load_torch_file(place)
    except (ValueError, OSError) as error:
        raise UserError(f"{where}: is not a file of torch.save(network.state_dict(), file) ({error})") from error
    shapes = {"0.weight": (width, 1), "0.bias": (width,), "2.weight": (1, width), "2.bias": (1,)}
    if not isinstance(loaded, dict) or set(loaded) != set(shapes):
        keys = ", ".join(repr(key)[:40] for key in list(loaded)[:6]) if isinstance(loaded, dict) else ""
        keys = keys or f"an empty or other object ({type(loaded).__name__})"
        raise UserError(f"{where}: holds {keys}; the keys {', '.join(shapes)} are needed")
    for key, shape in shapes.items():
        value = loaded[key]
        if not isinstance(value, Tensor) or tuple(value.shape) != shape:
            has = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise UserError(f"{where}: {key} has shape {has}; model.width={width} needs {shape}")
        if not (value.is_floating_point() and value.float().isfinite().all()):
            raise UserError(f"{where}: {key} holds values that are not finite numbers")
    values = {key: loaded[key] for key in shapes}
    return {
        "input_slope": values["0.weight"][:, 0],
        "bias": values["0.bias"],
        "output_weight": values["2.weight"][0],
        "output_bias": values["2.bias"][0],
    }


def build_sequential(state: dict[str, Tensor]) -> nn.Sequential:
    """Return nn.Sequential(Linear(1, W), ReLU(), Linear(W, 1)) with the parameters of one replica."""
    width, dtype = len(state["input_slope"]), state["input_slope"].dtype
    network = nn.Sequential(nn.Linear(1, width, dtype=dtype), nn.ReLU(), nn.Linear(width, 1, dtype=dtype))
    network.load_state_dict(
        {
            "0.weight": state["input_slope"][:, None],
            "0.bias": state["bias"],
            "2.weight": state["output_weight"][None],
            "2.bias": state["output_bias"][None],
        }
    )
    return network
