"""All that is known about a run before its first update, as plain values: the model's numbers, votes and limits.

Legend of shapes: N samples, W hidden units, P trained parameters. There is one replica, R = 1.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from reluviz.core import elbows, snapshot_torch, theory, votes_torch
from reluviz.core.functions_torch import predict
from reluviz.core.snapshot_torch import Snapshot
from reluviz.core.theory.baselines import reference_values
from reluviz.data.dataset import Dataset
from reluviz.engines.compiled_votes import load_compiled_votes
from reluviz.errors import UserError
from reluviz.models import ReLUModule
from reluviz.models.module import RegressionModule
from reluviz.record import tags
from reluviz.training import divergence
from reluviz.training.metrics import json_ready
from reluviz.training.prepare import Prepared

MAX_HESSIAN_PARAMETERS = 2000
"""Up to this number the Hessian's eigenvalues are computed; their cost grows with its cube."""
MAX_MATRIX_ENTRIES = 2**25
"""Of a matrix N x P: 256 MiB."""
MAX_CHUNK_ENTRIES = 2**22
"""Of the per-sample gradients of a chunk of points."""


def facts(prepared: Prepared, seeds: Sequence[int], notes: Sequence[str]) -> dict[str, Any]:
    """Return the numbers behind a run, ready for JSON: tensors as lists, NaN and infinity as None.

    Args:
        prepared: a run of one replica.
        seeds: the seeds of all replicas, which are only listed.
        notes: sentences that come before the notes made here.

    Raises:
        UserError: if the formulas have no finite values for these points.
    """
    dataset, module = prepared.dataset, prepared.module
    if isinstance(module, ReLUModule):
        module.place_elbows(dataset)
    parameters = module.values()
    snapshot = snapshot_torch.compute_snapshot(
        module.model, parameters, module.trained, dataset, 0, torch.full((1,), torch.nan), compiled=load_compiled_votes
    )
    # the formulas contain fourth powers of x, which must be finite
    if not (snapshot.x**4).mean().isfinite() or not snapshot.loss_train.isfinite().all():
        raise UserError(f"data={dataset.name}: the numbers are too large to compute with; use other units")
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
        tags.LOSS_TRAIN: snapshot.loss_train[0],
        tags.LOSS_TEST: None if snapshot.loss_test is None else snapshot.loss_test[0],
        "gradient": {name: value[0] for name, value in snapshot.votes.gradient.items()},
        "gradient_norm": snapshot.votes.gradient_norm[0],
        "gradient_noise_scale": snapshot.votes.noise_scale[0],
        "effective_votes": snapshot.votes.effective[0],
    }
    found |= _relu(module, dataset, snapshot) if isinstance(module, ReLUModule) else _one_parameter(dataset, snapshot)
    found["step"] = _step(prepared, snapshot, found)
    found["points"] = _points(snapshot)
    found["notes"] = [*notes, *_notes(found)]
    plain: dict[str, Any] = json_ready(found)
    return plain


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


def _one_parameter(dataset: Dataset, snapshot: Snapshot) -> dict[str, Any]:
    try:
        best = reference_values(dataset, snapshot, None)
    except ValueError as error:
        raise UserError(f"data={dataset.name}: {error}") from error
    return {"optimum": {name: best[name][0] for name in ("theta", tags.LOSS_TRAIN, tags.LOSS_TEST) if name in best}}


def _relu(module: ReLUModule, dataset: Dataset, snapshot: Snapshot) -> dict[str, Any]:
    p = {name: value[0] for name, value in snapshot.parameters.items()}
    w, v = p["input_slope"], p["output_weight"]
    found: dict[str, Any] = {
        "train": module.train_mode,
        "units": {
            "elbow": snapshot.elbow[0],
            "orientation": elbows.orientation(w).int(),
            "input_slope": w,
            "bias": p["bias"],
            "output_weight": v,
            "active_slope": elbows.active_slope(w, v),
            "slope_jump": elbows.slope_jump(w, v),
            "unit_status": [elbows.STATUS[code] for code in snapshot.unit_status[0].tolist()],
        },
        "unit_counts": {name: count[0] for name, count in snapshot.unit_counts.items()},
        "least_squares": None,
        "ridge": None,
    }
    if _solvable(dataset, module.width):
        solved = reference_values(dataset, snapshot, module.ridge)
        found |= {name: _first_replica(solved[name]) for name in ("least_squares", "ridge")}
        condition = found["least_squares"]["condition_number"]
        found["least_squares"]["hessian_condition_number"] = condition**2
        floor = solved.get("noise_floor", {}).get(tags.LOSS_TEST)
        found["least_squares"]["expected_test_error"] = None if floor is None else floor[0]
    return found


def _first_replica(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first replica's values."""
    return {
        name: float(value[0]) if isinstance(value, Tensor) else value[0] if isinstance(value, list) else value
        for name, value in values.items()
    }


def _solvable(dataset: Dataset, width: int) -> bool:
    """Return True if the singular values of the features take seconds and not minutes to compute."""
    small, large = sorted((len(dataset.x), width + 1))
    return small**2 * large <= 1e10


def _step(prepared: Prepared, snapshot: Snapshot, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the step size, the limits that theory knows for it, and how SGD behaves within them."""
    module, dataset = prepared.module, prepared.dataset
    settings = module.optimizer_settings
    lr = _learning_rate(module)
    sgd = settings["_target_"] == "torch.optim.SGD" and not settings.get("nesterov")
    momentum = float(settings.get("momentum", 0.0))
    relu = snapshot.model == "relu"
    step: dict[str, Any] = {"lr": lr, "momentum": momentum if sgd else None}
    step |= dict.fromkeys(("largest_stable_step", "stable", "sharpness", "stability_ratio"))
    if relu and found["train"] == "ridge":
        return step
    if relu:
        count = sum(snapshot.parameters[name].numel() for name in module.trained)
        if count <= MAX_HESSIAN_PARAMETERS and count * len(snapshot.x) <= MAX_MATRIX_ENTRIES:
            step["sharpness"] = theory.relu.hessian_sharpness(
                snapshot.parameters, snapshot.x, snapshot.y, module.trained
            ).item()
            step["stability_ratio"] = lr * step["sharpness"] / 2
    if not relu or ("input_slope" not in module.trained and _solvable(dataset, snapshot.elbow.shape[1])):
        known = divergence.largest_stable_step(module, dataset)
        step["largest_stable_step"] = None if known is None else known[0]
    elif sgd and step["sharpness"]:
        step["largest_stable_step"] = 2 * (1 + momentum) / step["sharpness"]
    if step["largest_stable_step"] is not None:
        step["stable"] = lr < step["largest_stable_step"]
    if not relu:
        step |= _error_dynamics(prepared, snapshot, lr, sgd and not momentum and not settings.get("weight_decay"))
    return step


def _learning_rate(module: RegressionModule) -> float:
    """Return the learning rate of the first update: the setting or the optimiser's default, after the scheduler."""
    configured = module.configure_optimizers()
    optimizer = configured[0][0] if isinstance(configured, tuple) else configured
    return float(optimizer.param_groups[0]["lr"])


def _error_dynamics(prepared: Prepared, snapshot: Snapshot, lr: float, plain: bool) -> dict[str, Any]:
    """Return how theta - theta* changes under gradient descent and under stochastic gradient descent.

    Args:
        prepared: a run of a model with one parameter.
        snapshot: its snapshot at the start.
        lr: the learning rate.
        plain: whether the optimiser is SGD without momentum and weight decay; otherwise all values are None.
    """
    x, y, theta = snapshot.x, snapshot.y, snapshot.parameters["theta"]
    linear, sampler = snapshot.model == "linear", prepared.data.sampler
    names = ("contraction_factor", "updates_to_one_percent", "theta_after_one_update")
    found: dict[str, Any] = dict.fromkeys((*names, "largest_mean_square_step", "stationary_variance"))
    if not plain:
        return found
    rho = theory.linear.contraction_factor(x, lr) if linear else theory.constant.contraction_factor(lr)
    after = theory.linear.update(theta, x, y, lr) if linear else theory.constant.update(theta, y, lr)
    found |= dict(zip(names, (rho, _updates_until(0.01, rho), after[0]), strict=True))
    if sampler.name in ("with_replacement", "without_replacement"):
        size, replacement = sampler.batch(len(x)), sampler.name == "with_replacement"
        limit = theory.constant.largest_stable_step()
        if linear:
            limit = theory.linear.largest_mean_square_step(x, size, replacement)
        found["largest_mean_square_step"] = limit
        if lr < limit:
            found["stationary_variance"] = (
                theory.linear.stationary_variance(x, y, lr, size, replacement)
                if linear
                else theory.constant.stationary_variance(y, lr, size, replacement)
            )
    return found


def _updates_until(part: float, rho: float) -> int | None:
    """Return the smallest t with |rho|^t <= part; None if the error never shrinks that far."""
    if abs(rho) >= 1:
        return None
    # minus 1e-9, because 0.1^2 is 0.010000000000000002
    return 1 if abs(rho) <= part else math.ceil(math.log(part) / math.log(abs(rho)) - 1e-9)


def _points(snapshot: Snapshot) -> dict[str, Any]:
    """Return each point's candidate, weight and vote, name -> [N]."""
    x, y, p = snapshot.x, snapshot.y, snapshot.parameters
    columns: dict[str, Any] = {"x": x, "y": y}
    if snapshot.model == "constant":
        columns |= {"candidate": theory.constant.candidate(y), "weight": theory.constant.weight(y)}
        columns["contribution"] = theory.constant.contributions(p["theta"], y)[0]
    elif snapshot.model == "linear":
        columns |= {"candidate": theory.linear.candidate(x, y), "weight": theory.linear.weight(x)}
        columns["contribution"] = theory.linear.contributions(p["theta"], x, y)[0]
    if "weight" in columns:
        columns["leverage"] = columns["weight"] / columns["weight"].sum()
    size = max(1, MAX_CHUNK_ENTRIES // sum(value.numel() for value in p.values()))
    parts = [_votes(snapshot, x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]
    residuals, norms, shares = (torch.cat(part) for part in zip(*parts, strict=True))
    return columns | {"residual": residuals, "contribution_norm": norms, "vote_share": shares}


def _votes(snapshot: Snapshot, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return residual, norm of the contribution and vote share of a chunk of the points, [n] each."""
    g = votes_torch.per_sample_gradients(snapshot.model, snapshot.parameters, x, y, snapshot.trained)
    share = votes_torch.vote_share(g, snapshot.votes.gradient)[0] * (len(x) / len(snapshot.x))
    norm = votes_torch.squared_norms(g)[0].sqrt() / len(snapshot.x)
    return predict(snapshot.model, snapshot.parameters, x)[0] - y, norm, share


def _notes(found: Mapping[str, Any]) -> list[str]:
    """Return sentences about settings that the formulas do not include."""
    settings, notes = found["optimizer"], []
    if found.get("train") == "ridge":
        return ["model.train=ridge solves the output layer in closed form: there is no step size."]
    name = settings["_target_"].rpartition(".")[2]
    if settings["_target_"] != "torch.optim.SGD":
        notes.append(f"{name} rescales every step by earlier gradients: no largest stable step is known for it.")
    elif settings.get("nesterov"):
        notes.append("With Nesterov momentum the largest stable step and the factor of the error are different.")
    elif settings.get("momentum") and found["model"] != "relu":
        notes.append("With momentum the error does not shrink by the same factor at each update.")
    if settings.get("weight_decay"):
        notes.append(
            f"optimizer.weight_decay={settings['weight_decay']:g} also pulls the parameters towards 0; "
            "the formulas do not include that."
        )
    if found["scheduler"] is not None:
        schedule = found["scheduler"]["_target_"].rpartition(".")[2]
        notes.append(f"{schedule} changes η during training; the numbers hold for its first value.")
    return notes
