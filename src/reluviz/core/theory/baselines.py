"""What a run is held against: solutions that need no training, and the noise that no training removes."""

from typing import Any

import torch

from reluviz.core import theory
from reluviz.core.functions_torch import features, mean_squared_error
from reluviz.core.snapshot import MOST_SHOWN
from reluviz.core.snapshot_torch import Snapshot
from reluviz.data.dataset import Dataset


def reference(dataset: Dataset, last: Snapshot, ridge: float | None) -> dict[str, Any]:
    """Return the reference values of a run, as tensors [R] or numbers.

    For the constant and the linear model theta* and the losses there. For the ReLU network least squares and
    ridge regression on the hidden features as they are after the last update, and the noise floor; of many replicas
    of the first `MOST_SHOWN` only, since a solution takes as long as a thousand updates.
    """
    x, y = torch.from_numpy(dataset.x), torch.from_numpy(dataset.y)
    noise = dataset.noise
    found: dict[str, Any] = {}
    if last.model != "relu":
        star = theory.constant.optimum(y) if last.model == "constant" else theory.linear.optimum(x, y)
        theta = star.reshape(1).expand(len(last.loss_train))
        found = {"theta": theta, **_losses(last.model, {"theta": theta}, dataset)}
    elif all(value[:MOST_SHOWN].isfinite().all() for value in last.parameters.values()):
        phi = features({name: value[:MOST_SHOWN] for name, value in last.parameters.items()}, x)
        solved = [theory.relu.least_squares(one, y) for one in phi]
        solutions = torch.stack([one.solution for one in solved])
        found["least_squares"] = _output_layer(last, solutions[:, :-1], solutions[:, -1], dataset)
        found["least_squares"]["rank"] = [int(one.rank) for one in solved]
        found["least_squares"]["condition_number"] = theory.relu.effective_condition_number(phi)
        if ridge is not None:
            pairs = [theory.relu.ridge(one[:, :-1], y, ridge) for one in phi]
            v, c = (torch.stack(list(part)) for part in zip(*pairs, strict=True))
            found["ridge"] = {"lambda": ridge, **_output_layer(last, v, c, dataset)}
    if noise is not None:
        eps = torch.from_numpy(noise)
        ranks = found.get("least_squares", {}).get("rank", [0])
        floors = [theory.relu.noise_floor(eps, rank, dataset.sigma) for rank in ranks]
        found["noise_floor"] = {"loss/train": floors[0].training}
        if "least_squares" in found:
            found["noise_floor"]["loss/test"] = [floor.test for floor in floors]
    return found


def _output_layer(last: Snapshot, v: torch.Tensor, c: torch.Tensor, dataset: Dataset) -> dict[str, Any]:
    hidden = {name: last.parameters[name][: len(c)] for name in ("input_slope", "bias")}
    return _losses("relu", {**hidden, "output_weight": v, "output_bias": c}, dataset)


def _losses(model: str, p: dict[str, torch.Tensor], dataset: Dataset) -> dict[str, Any]:
    sets = {"loss/train": (dataset.x, dataset.y), "loss/test": (dataset.x_test, dataset.y_test)}
    return {
        name: mean_squared_error(model, p, torch.from_numpy(x), torch.from_numpy(y))
        for name, (x, y) in sets.items()
        if x is not None and y is not None
    }
