"""Reference values for a run: solutions in closed form, and the error that noise in the data leaves."""

from typing import Any

import torch

from reluviz.core import theory
from reluviz.core.functions_torch import features, mean_squared_error
from reluviz.core.snapshot import MAX_SHOWN_REPLICAS
from reluviz.core.snapshot_torch import Snapshot
from reluviz.data.dataset import Dataset


def reference_values(dataset: Dataset, last: Snapshot, ridge: float | None) -> dict[str, Any]:
    """Return the reference values of a run, as tensors [R] or numbers.

    For the constant and the linear model: theta* and the losses there. For the ReLU network: least squares and ridge
    regression on the hidden features after the last update. They cover the first `MAX_SHOWN_REPLICAS` replicas only,
    because one solution takes as long as a thousand updates. For every model: the noise floor, if the noise is known.

    Args:
        dataset: the training and test points.
        last: the last snapshot of the run.
        ridge: the penalty lambda of ridge regression; None leaves ridge regression out.
    """
    x, y = torch.from_numpy(dataset.x), torch.from_numpy(dataset.y)
    noise = dataset.noise
    found: dict[str, Any] = {}
    if last.model != "relu":
        star = theory.constant.optimum(y) if last.model == "constant" else theory.linear.optimum(x, y)
        theta = star.reshape(1).expand(len(last.loss_train))
        found = {"theta": theta, **_losses(last.model, {"theta": theta}, dataset)}
    elif all(value[:MAX_SHOWN_REPLICAS].isfinite().all() for value in last.parameters.values()):
        phi = features({name: value[:MAX_SHOWN_REPLICAS] for name, value in last.parameters.items()}, x)
        solved = [theory.relu.least_squares(phi_r, y) for phi_r in phi]
        solutions = torch.stack([fit.solution for fit in solved])
        found["least_squares"] = _losses_of_output_layer(last, solutions[:, :-1], solutions[:, -1], dataset)
        found["least_squares"]["rank"] = [int(fit.rank) for fit in solved]
        found["least_squares"]["condition_number"] = theory.relu.effective_condition_number(phi)
        if ridge is not None:
            pairs = [theory.relu.ridge(phi_r[:, :-1], y, ridge) for phi_r in phi]
            v, c = (torch.stack(list(part)) for part in zip(*pairs, strict=True))
            found["ridge"] = {"lambda": ridge, **_losses_of_output_layer(last, v, c, dataset)}
    if noise is not None:
        eps = torch.from_numpy(noise)
        ranks = found.get("least_squares", {}).get("rank", [0])
        floors = [theory.relu.noise_floor(eps, rank, dataset.sigma) for rank in ranks]
        found["noise_floor"] = {"loss/train": floors[0].training}
        if "least_squares" in found:
            found["noise_floor"]["loss/test"] = [floor.test for floor in floors]
    return found


def _losses_of_output_layer(last: Snapshot, v: torch.Tensor, c: torch.Tensor, dataset: Dataset) -> dict[str, Any]:
    """Return the losses of the last network with another output layer v [R, W], c [R]."""
    hidden = {name: last.parameters[name][: len(c)] for name in ("input_slope", "bias")}
    return _losses("relu", {**hidden, "output_weight": v, "output_bias": c}, dataset)


def _losses(model: str, p: dict[str, torch.Tensor], dataset: Dataset) -> dict[str, Any]:
    """Return the losses over the training and the test points, [R]."""
    sets = {"loss/train": (dataset.x, dataset.y), "loss/test": (dataset.x_test, dataset.y_test)}
    return {
        name: mean_squared_error(model, p, torch.from_numpy(x), torch.from_numpy(y))
        for name, (x, y) in sets.items()
        if x is not None and y is not None
    }
