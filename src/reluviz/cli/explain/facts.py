"""What is known of a run before its first update, as plain values: the model's own numbers, votes and limits.

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
from reluviz.core.theory.baselines import reference
from reluviz.data.dataset import Dataset
from reluviz.engines.compiled_votes import compiled_votes
from reluviz.errors import UserError
from reluviz.models import ReLUModule
from reluviz.models.module import RegressionModule
from reluviz.training import divergence
from reluviz.training.metrics import json_ready
from reluviz.training.prepare import Prepared

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
        UserError: if there is nothing to be computed with these points.
    """
    dataset, module = prepared.dataset, prepared.module
    if isinstance(module, ReLUModule):
        module.place_elbows(dataset)
    parameters = module.values()
    now = snapshot_torch.take(
        module.model, parameters, module.trained, dataset, 0, torch.full((1,), torch.nan), compiled=compiled_votes
    )
    # the formulas hold fourth powers of x; beyond them are infinities, which help nobody
    if not (now.x**4).mean().isfinite() or not now.loss_train.isfinite().all():
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
        "loss/train": now.loss_train[0],
        "loss/test": None if now.loss_test is None else now.loss_test[0],
        "gradient": {name: value[0] for name, value in now.votes.gradient.items()},
        "gradient_norm": now.votes.gradient_norm[0],
        "gradient_noise_scale": now.votes.noise_scale[0],
        "effective_votes": now.votes.effective[0],
    }
    found |= _relu(module, dataset, now) if isinstance(module, ReLUModule) else _one_parameter(dataset, now)
    found["step"] = _step(prepared, now, found)
    found["points"] = _points(now)
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


def _one_parameter(dataset: Dataset, now: Snapshot) -> dict[str, Any]:
    try:
        best = reference(dataset, now, None)
    except ValueError as error:
        raise UserError(f"data={dataset.name}: {error}") from error
    return {"optimum": {name: best[name][0] for name in ("theta", "loss/train", "loss/test") if name in best}}


def _relu(module: ReLUModule, dataset: Dataset, now: Snapshot) -> dict[str, Any]:
    p = {name: value[0] for name, value in now.parameters.items()}
    w, v = p["input_slope"], p["output_weight"]
    found: dict[str, Any] = {
        "train": module.train_mode,
        "units": {
            "elbow": now.elbow[0],
            "orientation": elbows.orientation(w).int(),
            "input_slope": w,
            "bias": p["bias"],
            "output_weight": v,
            "active_slope": elbows.active_slope(w, v),
            "slope_jump": elbows.slope_jump(w, v),
            "unit_status": [elbows.STATUS[code] for code in now.unit_status[0].tolist()],
        },
        "unit_counts": {name: count[0] for name, count in now.unit_counts.items()},
        "least_squares": None,
        "ridge": None,
    }
    if _solvable(dataset, module.width):
        solved = reference(dataset, now, module.ridge)
        found |= {name: _only(solved[name]) for name in ("least_squares", "ridge")}
        condition = found["least_squares"]["condition_number"]
        found["least_squares"]["hessian_condition_number"] = condition**2
        floor = solved.get("noise_floor", {}).get("loss/test")
        found["least_squares"]["expected_test_error"] = None if floor is None else floor[0]
    return found


def _only(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first replica's values."""
    return {
        name: float(value[0]) if isinstance(value, Tensor) else value[0] if isinstance(value, list) else value
        for name, value in values.items()
    }


def _solvable(dataset: Dataset, width: int) -> bool:
    """Whether singular values of the features take seconds and not minutes."""
    small, large = sorted((len(dataset.x), width + 1))
    return small**2 * large <= 1e10


def _step(prepared: Prepared, now: Snapshot, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the step size, the limits that theory knows for it, and what SGD does within them."""
    module, dataset = prepared.module, prepared.dataset
    settings = module.optimizer_settings
    lr = _learning_rate(module)
    sgd = settings["_target_"] == "torch.optim.SGD" and not settings.get("nesterov")
    momentum = float(settings.get("momentum", 0.0))
    relu = now.model == "relu"
    step: dict[str, Any] = {"lr": lr, "momentum": momentum if sgd else None}
    step |= dict.fromkeys(("largest_stable_step", "stable", "sharpness", "stability_ratio"))
    if relu and found["train"] == "ridge":
        return step
    if relu:
        count = sum(now.parameters[name].numel() for name in module.trained)
        if count <= MOST_PARAMETERS and count * len(now.x) <= MOST_ENTRIES:
            step["sharpness"] = theory.relu.hessian_sharpness(now.parameters, now.x, now.y, module.trained).item()
            step["stability_ratio"] = lr * step["sharpness"] / 2
    if not relu or ("input_slope" not in module.trained and _solvable(dataset, now.elbow.shape[1])):
        known = divergence.largest_stable_step(module, dataset)
        step["largest_stable_step"] = None if known is None else known[0]
    elif sgd and step["sharpness"]:
        step["largest_stable_step"] = 2 * (1 + momentum) / step["sharpness"]
    if step["largest_stable_step"] is not None:
        step["stable"] = lr < step["largest_stable_step"]
    if not relu:
        step |= _error(prepared, now, lr, sgd and not momentum and not settings.get("weight_decay"))
    return step


def _learning_rate(module: RegressionModule) -> float:
    """Return the first update's, which a setting, the optimiser's own default or a scheduler gives."""
    made = module.configure_optimizers()
    optimizer = made[0][0] if isinstance(made, tuple) else made
    return float(optimizer.param_groups[0]["lr"])


def _error(prepared: Prepared, now: Snapshot, lr: float, plain: bool) -> dict[str, Any]:
    """Return what becomes of theta - theta* under plain gradient descent, and under its stochastic kind."""
    x, y, theta = now.x, now.y, now.parameters["theta"]
    linear, sampler = now.model == "linear", prepared.data.sampler
    names = ("contraction_factor", "updates_to_one_percent", "theta_after_one_update")
    found: dict[str, Any] = dict.fromkeys((*names, "largest_mean_square_step", "stationary_variance"))
    if not plain:
        return found
    rho = theory.linear.contraction_factor(x, lr) if linear else theory.constant.contraction_factor(lr)
    after = theory.linear.update(theta, x, y, lr) if linear else theory.constant.update(theta, y, lr)
    found |= dict(zip(names, (rho, _updates_to(0.01, rho), after[0]), strict=True))
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


def _updates_to(part: float, rho: float) -> int | None:
    """Return the least t with |rho|^t <= part; None where the error never shrinks that far."""
    if abs(rho) >= 1:
        return None
    # 0.1^2 is 0.010000000000000002
    return 1 if abs(rho) <= part else math.ceil(math.log(part) / math.log(abs(rho)) - 1e-9)


def _points(now: Snapshot) -> dict[str, Any]:
    """Return what each point asks for and how it votes, name -> [N]."""
    x, y, p = now.x, now.y, now.parameters
    columns: dict[str, Any] = {"x": x, "y": y}
    if now.model == "constant":
        columns |= {"candidate": theory.constant.candidate(y), "weight": theory.constant.weight(y)}
        columns["contribution"] = theory.constant.contributions(p["theta"], y)[0]
    elif now.model == "linear":
        columns |= {"candidate": theory.linear.candidate(x, y), "weight": theory.linear.weight(x)}
        columns["contribution"] = theory.linear.contributions(p["theta"], x, y)[0]
    if "weight" in columns:
        columns["leverage"] = columns["weight"] / columns["weight"].sum()
    size = max(1, CHUNK // sum(value.numel() for value in p.values()))
    parts = [_votes(now, x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]
    residuals, norms, shares = (torch.cat(part) for part in zip(*parts, strict=True))
    return columns | {"residual": residuals, "contribution_norm": norms, "vote_share": shares}


def _votes(now: Snapshot, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return residual, norm of the contribution and vote share of some of the points."""
    g = votes_torch.per_sample_gradients(now.model, now.parameters, x, y, now.trained)
    share = votes_torch.vote_share(g, now.votes.gradient)[0] * (len(x) / len(now.x))
    norm = votes_torch.squared_norms(g)[0].sqrt() / len(now.x)
    return predict(now.model, now.parameters, x)[0] - y, norm, share


def _notes(found: Mapping[str, Any]) -> list[str]:
    """Return in words what the formulas leave out."""
    settings, notes = found["optimizer"], []
    if found.get("train") == "ridge":
        return ["model.train=ridge solves the output layer in closed form: there is no step size."]
    name = settings["_target_"].rpartition(".")[2]
    if settings["_target_"] != "torch.optim.SGD":
        notes.append(f"{name} rescales every step by gradients it has seen: no largest stable step is known for it.")
    elif settings.get("nesterov"):
        notes.append("With Nesterov momentum the largest stable step and the factor of the error are others.")
    elif settings.get("momentum") and found["model"] != "relu":
        notes.append("With momentum no single factor shrinks the error at each update.")
    if settings.get("weight_decay"):
        notes.append(
            f"optimizer.weight_decay={settings['weight_decay']:g} also pulls the parameters towards 0; "
            "the formulas leave that out."
        )
    if found["scheduler"] is not None:
        schedule = found["scheduler"]["_target_"].rpartition(".")[2]
        notes.append(f"{schedule} changes η during training; the numbers hold for its first value.")
    return notes
