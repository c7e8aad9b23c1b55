"""What is known of a run before its first update, as plain values: the model's own numbers, votes and limits.

Legend of shapes: N samples, W hidden units, P trained parameters. There is one replica, R = 1.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from reluviz import divergence, geometry, snapshot, theory, votes
from reluviz.data.dataset import Dataset
from reluviz.errors import UserError
from reluviz.functions import Parameters, predict
from reluviz.models import ReLUModule
from reluviz.models.base import RegressionModule
from reluviz.models.elbows import place
from reluviz.reference import reference
from reluviz.run import Prepared, json_ready
from reluviz.snapshot import Snapshot

MOST_PARAMETERS = 2000
"""The Hessian's eigenvalues cost the cube of this."""
MOST_ENTRIES = 2**25
"""Numbers that the matrix N x P may hold: 256 MiB."""
CHUNK = 2**22
"""Numbers that the votes of a chunk of points may hold."""


def facts(prepared: Prepared, seeds: Sequence[int], notes: Sequence[str]) -> dict[str, Any]:
    """Return everything, ready for JSON: tensors as lists, NaN and infinity as None.

    Args:
        prepared: a run of one replica.
        seeds: the seeds of all replicas, for the record.
        notes: sentences to which this adds its own.

    Raises:
        UserError: if the model has no optimum on these points.
    """
    dataset, module = prepared.dataset, prepared.module
    parameters = _start(module, dataset)
    now = snapshot.take(module.model, parameters, module.trained, dataset, 0, torch.full((1,), torch.nan))
    sampler = prepared.data.sampler
    found: dict[str, Any] = {
        "name": prepared.settings["name"],
        "model": module.model,
        "seed": module.seeds[0],
        "seeds": list(seeds),
        "data": _data(dataset),
        "sampler": {"name": sampler.name, "batch_size": sampler.batch(len(dataset.x))},
        "optimizer": dict(module.optimizer_settings),
        "scheduler": module.scheduler_settings,
        "parameters": {name: value[0] for name, value in parameters.items()},
        "trained": list(module.trained),
        "loss/train": now.loss_train[0],
        "loss/test": None if now.loss_test is None else now.loss_test[0],
        "gradient": {name: value[0] for name, value in now.votes.gradient.items()},
        "gradient_norm": now.votes.gradient_norm[0],
        "gradient_noise_scale": now.votes.noise_scale[0],
        "effective_votes": now.votes.effective[0],
    }
    try:
        found |= _relu(module, dataset, now) if isinstance(module, ReLUModule) else _one_parameter(dataset, now)
        found["step"] = _step(prepared, now, found)
    except ValueError as error:
        raise UserError(f"data={dataset.name}: {error}") from error
    found["points"] = _points(now)
    found["notes"] = [*notes, *_notes(found)]
    plain: dict[str, Any] = json_ready(found)
    return plain


def _start(module: RegressionModule, dataset: Dataset) -> Parameters:
    """Return the initial parameters, name -> [1] or [1, W]."""
    if isinstance(module, ReLUModule) and module.elbows == "at_data" and not module.from_file:
        # the module itself places these when training begins
        state = {name: value[0].float() for name, value in module.values().items()}
        place(state, "at_data", module.seeds[0], *dataset.domain, None, torch.from_numpy(dataset.x))
        return {name: value.double().unsqueeze(0) for name, value in state.items()}
    return module.values()


def _data(dataset: Dataset) -> dict[str, Any]:
    x, y = torch.from_numpy(dataset.x), torch.from_numpy(dataset.y)
    noise = dataset.noise
    return {
        "name": dataset.name,
        "N": len(x),
        "domain": list(dataset.domain),
        "mean_y": y.mean(),
        "var_y": y.var(correction=0),
        "mean_x2": x.square().mean(),
        "sum_xy": (x * y).sum(),
        "sum_x2": x.square().sum(),
        "sigma": dataset.sigma,
        "noise_floor": None if noise is None else float((noise**2).mean()),
    }


def _one_parameter(dataset: Dataset, now: Snapshot) -> dict[str, Any]:
    if now.model == "constant":
        after = theory.constant.update
    else:

        def after(theta: Tensor, y: Tensor, lr: float) -> Tensor:
            return theory.linear.update(theta, now.x, y, lr)

    best = reference(dataset, now, None)
    return {"optimum": {name: best[name][0] for name in ("theta", "loss/train", "loss/test") if name in best}}
