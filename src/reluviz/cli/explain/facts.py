"""All that is known about a run before its first update, as plain values: the model's numbers, votes and limits.

Legend of shapes: N samples, W hidden units, P trained parameters. There is one replica, R = 1, and one snapshot, S = 1.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from reluviz.core import elbows, theory, votes
from reluviz.core.functions import predict, user_parameters
from reluviz.core.models import MODELS, Array, Model, Parameters, mlp
from reluviz.core.models.architecture import Architecture
from reluviz.core.snapshot import RawSnapshot, Snapshots, compute_snapshots, recorded_samples
from reluviz.core.theory.baselines import Losses, ReferenceValues, reference_values
from reluviz.data.dataset import Dataset
from reluviz.engines.compiled_votes import load_compiled_votes
from reluviz.errors import UserError
from reluviz.record import tags
from reluviz.training import divergence
from reluviz.training.metrics import json_ready
from reluviz.training.start import Start

MAX_HESSIAN_PARAMETERS = 2000
"""Up to this number the Hessian's eigenvalues are computed; their cost grows with its cube."""
MAX_MATRIX_ENTRIES = 2**25
"""Of a matrix N x P: 256 MiB."""
MAX_CHUNK_ENTRIES = 2**22
"""Of the per-sample gradients of a chunk of points."""


def facts(start: Start, notes: Sequence[str]) -> dict[str, Any]:
    """Return the numbers behind a run, ready for JSON: arrays as lists, NaN and infinity as None.

    Args:
        start: the run before its first update.
        notes: sentences that come before the notes made here.

    Raises:
        UserError: if the formulas have no finite values for these points, or `explain` has no formulas for the model.
    """
    dataset, record = start.dataset, MODELS[start.model]
    if record.feature is None and record.hidden_features is None:
        raise UserError(f"model={start.model}: explain has no formulas for {record.formula}")
    raw = RawSnapshot(0, 0.0, start.parameters, np.full(1, np.nan))
    (snapshot,) = compute_snapshots(
        start.model, [raw], start.trained, dataset, compiled=load_compiled_votes, precision=start.precision
    )
    if not np.isfinite(snapshot.loss_train).all() or not _fourth_powers_are_finite(record, dataset.as_trained.x):
        raise UserError(f"data={dataset.name}: the numbers are too large to compute with; use other units")
    found: dict[str, Any] = {
        "name": start.settings["name"],
        "model": start.model,
        "seed": start.seeds[0],
        "seeds": start.seeds,
        "data": _data(dataset),
        "sampler": {"name": start.sampler.name, "batch_size": start.sampler.batch(len(dataset.x))},
        "optimizer": dict(start.optimizer_settings),
        "scheduler": start.settings["scheduler"] or None,
        "scaling": None if dataset.scaling.identity else asdict(dataset.scaling),
        "parameters": {name: value[0] for name, value in _user_parameters(start).items()},
        "trained": list(start.trained),
        tags.LOSS_TRAIN: snapshot.loss_train[0, 0],
        tags.LOSS_TEST: None if snapshot.loss_test is None else snapshot.loss_test[0, 0],
        "gradient": {name: value[0, 0] for name, value in snapshot.votes.gradient.items()},
        "gradient_norm": snapshot.votes.gradient_norm[0, 0],
        "gradient_noise_scale": snapshot.votes.noise_scale[0, 0],
        "effective_votes": snapshot.votes.effective[0, 0],
    }
    if record.feature is not None:
        found |= _one_parameter(start)
    else:
        found |= _relu(start, snapshot) if record.has_units else _chain(start, snapshot)
    found["step"] = _step(start, found)
    found["points"] = _points(start, snapshot)
    found["notes"] = [*notes, *_notes(found)]
    plain: dict[str, Any] = json_ready(found)
    return plain


def _user_parameters(start: Start) -> Parameters:
    return user_parameters(start.model, start.parameters, start.dataset.scaling)


def _fourth_powers_are_finite(record: Model, x: Array) -> bool:
    """Return whether the fourth powers in the formulas, of x and of phi(x), have finite means."""
    with np.errstate(all="ignore"):
        bases = [x] if record.feature is None else [x, record.feature(x)]
        return all(bool(np.isfinite(np.mean(base**4))) for base in bases)


def _data(dataset: Dataset) -> dict[str, Any]:
    x, y, noise = dataset.x, dataset.y, dataset.noise
    return {
        "name": dataset.name,
        "N": len(x),
        "domain": list(dataset.domain),
        "mean_y": y.mean(),
        "var_y": y.var(),
        "mean_x2": np.square(x).mean(),
        "sum_xy": (x * y).sum(),
        "sum_x2": np.square(x).sum(),
        "sigma": dataset.sigma,
        "noise_floor": None if noise is None else np.square(noise).mean(),
    }


def _one_parameter(start: Start) -> dict[str, Any]:
    try:
        best = reference_values(start.model, start.parameters, start.dataset, None)
    except ValueError as error:
        raise UserError(f"data={start.dataset.name}: {error}") from error
    assert best.optimum is not None
    return {"optimum": {tags.THETA: best.optimum[0], **_losses(best.optimum_losses)}}


def _losses(losses: Losses | None) -> dict[str, Any]:
    """Return the losses of the first replica by name; nothing if there are none."""
    named = {} if losses is None else {tags.LOSS_TRAIN: losses.train, tags.LOSS_TEST: losses.test}
    return {name: value[0] for name, value in named.items() if value is not None}


def _relu(start: Start, snapshot: Snapshots) -> dict[str, Any]:
    node = start.settings["model"]
    p = {name: value[0] for name, value in _user_parameters(start).items()}
    w, v = p["input_slope"], p["output_weight"]
    found: dict[str, Any] = {
        "train": node["train"],
        "units": {
            "elbow": snapshot.elbow[0, 0],
            "orientation": elbows.orientation(w).astype(np.int64),
            "input_slope": w,
            "bias": p["bias"],
            "output_weight": v,
            "active_slope": elbows.active_slope(w, v),
            "slope_jump": snapshot.slope_jump[0, 0],
            "unit_status": [elbows.STATUS[code] for code in snapshot.unit_status[0, 0]],
        },
        "unit_counts": {name: count[0, 0] for name, count in snapshot.unit_counts.items()},
        "least_squares": None,
        "ridge": None,
    }
    if _solvable(start.dataset, len(w)):
        # a chain of one hidden layer has no such setting
        ridge = node.get("ridge")
        found |= _solved_output_layer(reference_values(start.model, start.parameters, start.dataset, ridge), ridge)
    return found


def _chain(start: Start, snapshot: Snapshots) -> dict[str, Any]:
    architecture = MODELS[start.model].architecture
    assert architecture is not None
    (pieces,) = snapshot.pieces[0]
    kinks = []
    if pieces is not None:
        scaling = start.dataset.scaling
        places, jumps = scaling.user_x(pieces.ends), scaling.user_slope(np.diff(pieces.slope))
        kinks = [
            {"x": places[end], "slope_jump": jumps[end - 1], "layer": layer, "unit": unit}
            for end, layer, unit in zip(
                pieces.crossing_end.tolist(),
                pieces.crossing_layer.tolist(),
                pieces.crossing_unit.tolist(),
                strict=True,
            )
            if pieces.bends[end]
        ]
    ends = np.cumsum(architecture.hidden)
    status = np.split(snapshot.unit_status[0, 0], ends[:-1])
    layers = snapshot.votes.layers
    found: dict[str, Any] = {
        "train": start.settings["model"]["train"],
        "hidden": list(architecture.hidden),
        "activation": architecture.activation,
        "slope": architecture.negative_slope,
        "layers": [
            {
                "name": key,
                **{name: value[0, 0] for name, value in layers.get(key, {}).items()},
                **({} if codes is None else _status_counts(codes)),
            }
            for key, codes in zip(architecture.layer_names, [*status, None], strict=True)
        ],
        "kinks": kinks,
        "unit_counts": {name: count[0, 0] for name, count in snapshot.unit_counts.items()},
        "backward": backward_pass(architecture, start, int(np.nanargmax(snapshot.votes.norm[0, 0]))),
        "least_squares": None,
    }
    if _solvable(start.dataset, architecture.hidden[-1]):
        found |= _solved_output_layer(reference_values(start.model, start.parameters, start.dataset, None), None)
    return found


def _status_counts(codes: Array) -> dict[str, int]:
    return {name: int((codes == code).sum()) for code, name in enumerate(elbows.STATUS)}


def backward_pass(architecture: Architecture, start: Start, index: int) -> dict[str, Any]:
    """Return the forward and the backward pass of one recorded point, in the units of training.

    Args:
        architecture: of the chain.
        start: the run before its first update.
        index: the recorded sample.
    """
    points = start.dataset.as_trained
    sample = int(recorded_samples(len(points.x))[index])
    x, y, p = points.x[[sample]], points.y[[sample]], start.parameters
    z = [one[0, 0] for one in mlp.preactivations(architecture, p, x)]
    h = [architecture.activate(one) for one in z]
    gradients = mlp.ChainGradients(architecture, p, x, y, start.trained, start.precision)
    by_name = {name: value[0, 0] for name, value in gradients.gradients().items()}
    delta = [one[0, 0] for one in gradients.delta]
    return {
        "point": sample,
        "x": x[0],
        "y": y[0],
        "f": gradients.residual[0, 0] + y[0],
        "residual": gradients.residual[0, 0],
        "twice_residual": gradients.twice[0, 0],
        "preactivations": z,
        "activations": h,
        "deltas": delta,
        "gradients": by_name,
        "squared_norm": gradients.squared_norms()[0, 0],
    }


def _solved_output_layer(solved: ReferenceValues, ridge: float | None) -> dict[str, Any]:
    best = solved.least_squares
    assert best is not None
    condition = float(best.condition_number[0])
    return {
        "least_squares": {
            **_losses(best.losses),
            "rank": best.rank[0],
            "condition_number": condition,
            "hessian_condition_number": condition**2,
            "expected_test_error": None if solved.noise_test is None else solved.noise_test[0],
        },
        "ridge": None if ridge is None else {"lambda": ridge, **_losses(solved.ridge_losses)},
    }


def _solvable(dataset: Dataset, width: int) -> bool:
    """Return True if the singular values of the features take seconds and not minutes to compute."""
    small, large = sorted((len(dataset.x), width + 1))
    return small**2 * large <= 1e10


def _step(start: Start, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the step size, the limits that theory knows for it, and how SGD behaves within them."""
    dataset, settings, lr = start.dataset, start.optimizer_settings, start.lr
    sgd = settings["_target_"] == "torch.optim.SGD" and not settings.get("nesterov")
    momentum = float(settings.get("momentum", 0.0))
    step: dict[str, Any] = {"lr": lr, "momentum": momentum if sgd else None}
    step |= dict.fromkeys(("largest_stable_step", "stable", "sharpness", "stability_ratio"))
    record = MODELS[start.model]
    relu, network = record.has_units, record.hidden_features is not None
    if network and found["train"] == "ridge":
        return step
    if relu:
        count = sum(start.parameters[name].size for name in start.trained)
        if count <= MAX_HESSIAN_PARAMETERS and count * len(dataset.x) <= MAX_MATRIX_ENTRIES:
            points = start.parameters, dataset.as_trained.x, dataset.as_trained.y
            step["sharpness"] = float(theory.relu.hessian_sharpness(*points, start.trained, start.precision)[0])
            step["stability_ratio"] = lr * step["sharpness"] / 2
    width = start.parameters["output_weight"].shape[-1] if network else 0
    if not network or (set(start.trained) == {"output_weight", "output_bias"} and _solvable(dataset, width)):
        known = divergence.largest_stable_step(start, dataset)
        step["largest_stable_step"] = None if known is None else known[0]
    elif sgd and step["sharpness"]:
        limit = theory.relu.largest_stable_step_local(np.array(step["sharpness"]), momentum)
        step["largest_stable_step"] = float(limit)
    if step["largest_stable_step"] is not None:
        step["stable"] = lr < step["largest_stable_step"]
    if not network:
        step |= _error_dynamics(start, sgd and not momentum and not settings.get("weight_decay"))
    return step


def _error_dynamics(start: Start, plain: bool) -> dict[str, Any]:
    """Return how theta - theta* changes under gradient descent and under stochastic gradient descent.

    The model f = theta phi(x) is the linear model on the inputs phi(x).

    Args:
        start: a run of a model with one parameter.
        plain: whether the optimiser is SGD without momentum and weight decay; otherwise all values are None.
    """
    phi, y, lr, sampler = _feature(start), start.dataset.y, start.lr, start.sampler
    names = ("contraction_factor", "updates_to_one_percent", "theta_after_one_update")
    found: dict[str, Any] = dict.fromkeys((*names, "largest_mean_square_step", "stationary_variance"))
    if not plain:
        return found
    rho = theory.linear.contraction_factor(phi, lr)
    after = theory.linear.update(start.parameters["theta"], phi, y, lr)
    found |= dict(zip(names, (rho, _updates_until(0.01, rho), after[0]), strict=True))
    if sampler.name in ("with_replacement", "without_replacement"):
        size, replacement = sampler.batch(len(phi)), sampler.name == "with_replacement"
        found["largest_mean_square_step"] = limit = theory.linear.largest_mean_square_step(phi, size, replacement)
        if lr < limit:
            found["stationary_variance"] = theory.linear.stationary_variance(phi, y, lr, size, replacement)
    return found


def _feature(start: Start) -> Array:
    """Return phi(x_i), [N]."""
    feature = MODELS[start.model].feature
    assert feature is not None
    return feature(start.dataset.x)


def _updates_until(part: float, rho: float) -> int | None:
    """Return the smallest t with |rho|^t <= part; None if the error never shrinks that far."""
    if abs(rho) >= 1:
        return None
    # minus 1e-9, because 0.1^2 is 0.010000000000000002
    return 1 if abs(rho) <= part else math.ceil(math.log(part) / math.log(abs(rho)) - 1e-9)


def _points(start: Start, snapshot: Snapshots) -> dict[str, Any]:
    """Return each point's candidate, weight and vote, name -> [N]."""
    dataset = start.dataset
    columns: dict[str, Any] = {"x": dataset.x, "y": dataset.y}
    if MODELS[start.model].feature is not None:
        phi, y = _feature(start), dataset.y
        weight = theory.linear.weight(phi)
        columns |= {"candidate": theory.linear.candidate(phi, y), "weight": weight}
        columns["contribution"] = theory.linear.contributions(start.parameters["theta"], phi, y)[0]
        columns["leverage"] = weight / weight.sum()
    parts = zip(*_votes(start, snapshot), strict=True)
    residuals, norms, shares = (np.concatenate(part) for part in parts)
    return columns | {"residual": residuals, "contribution_norm": norms, "vote_share": shares}


def _votes(start: Start, snapshot: Snapshots) -> Iterator[tuple[Array, Array, Array]]:
    """Yield residuals, norms of the contributions and vote shares of chunks of the points, [n] each."""
    p, points, samples = start.parameters, start.dataset.as_trained, len(start.dataset.x)
    gradient = {name: value[0] for name, value in snapshot.votes.gradient.items()}
    size = max(1, MAX_CHUNK_ENTRIES // sum(value.size for value in p.values()))
    for first in range(0, samples, size):
        x, y = (values[first : first + size] for values in (points.x, points.y))
        g = votes.per_sample_gradients(start.model, p, x, y, start.trained, start.precision)
        share = votes.vote_share(g, gradient)[0] * (len(x) / samples)
        norm = np.sqrt(votes.squared_norms(g)[0]) / samples
        yield start.dataset.scaling.user_residual(predict(start.model, p, x)[0] - y), norm, share


def _notes(found: Mapping[str, Any]) -> list[str]:
    """Return sentences about settings that the formulas do not include."""
    settings, notes = found["optimizer"], []
    if (scaling := found["scaling"]) is not None:
        notes.append(
            f"The network trains on u = (x - {scaling['x_offset']:.6g}) / {scaling['x_scale']:.6g} and"
            f" t = (y - {scaling['y_offset']:.6g}) / {scaling['y_scale']:.6g} (data.scale=auto): gradients, votes,"
            " ridge's λ, condition numbers and step sizes are in these units, all else in those of the data."
        )
    if found.get("train") == "ridge":
        return ["model.train=ridge solves the output layer in closed form: there is no step size."]
    name = settings["_target_"].rpartition(".")[2]
    if settings["_target_"] != "torch.optim.SGD":
        notes.append(f"{name} rescales every step by earlier gradients: no largest stable step is known for it.")
    elif settings.get("nesterov"):
        notes.append("With Nesterov momentum the largest stable step and the factor of the error are different.")
    elif settings.get("momentum") and MODELS[found["model"]].feature is not None:
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
