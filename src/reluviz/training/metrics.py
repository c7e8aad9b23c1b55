"""The content of metrics.json: the results of a run as plain values."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reluviz.core.distribution import distribution
from reluviz.core.findings import Finding
from reluviz.core.functions import parameter_names, user_parameters
from reluviz.core.snapshot import Snapshots
from reluviz.core.theory.baselines import Losses, ReferenceValues
from reluviz.record import tags

if TYPE_CHECKING:
    from reluviz.training.prepare import Prepared


def run_metrics(
    prepared: "Prepared",
    last: Snapshots,
    not_diverged: NDArray[np.bool_],
    reference: ReferenceValues,
    findings: Sequence[Finding],
    status: str,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Return the results of a run, ready for JSON.

    Args:
        prepared: the run.
        last: its last snapshot, S = 1.
        not_diverged: which replicas have not diverged, [R].
        reference: the reference values at that snapshot.
        findings: what became of the run.
        status: finished, diverged, interrupted or terminated.
        seconds: the duration of each part of the run.
    """
    module = prepared.module
    ridge = getattr(module, "ridge", None)
    parameters = {name: last.parameters[name][0] for name in parameter_names(module.model)}
    found: dict[str, Any] = {
        "name": prepared.settings["name"],
        "status": status,
        "engine": module.engine.name if module.engine is not None else None,
        "updates": last.updates[0],
        "seeds": module.seeds,
        tags.LOSS_TRAIN: last.loss_train[0],
        tags.LOSS_TEST: None if last.loss_test is None else last.loss_test[0],
        "reference": reference_entries(reference, ridge),
    }
    if last.units is not None:
        found |= {
            "elbow": last.elbow[0],
            **user_parameters(module.model, parameters, last.dataset.scaling),
            "units": {name: count[0] for name, count in last.unit_counts.items()},
        }
    else:
        found |= parameters
        if reference.optimum is not None:
            found[tags.THETA_OPTIMUM] = reference.optimum
    if not last.dataset.scaling.identity:
        found["scaling"] = asdict(last.dataset.scaling)
    found["findings"] = [finding.plain() for finding in findings]
    found["seconds"] = {name: round(value, 3) for name, value in seconds.items()}
    found["versions"] = dict(_versions())
    losses = {tag: found[tag] for tag in (tags.LOSS_TRAIN, tags.LOSS_TEST)}
    found["distribution"] = {
        tag: None if loss is None else distribution(loss, not_diverged) for tag, loss in losses.items()
    }
    return {key: json_ready(value) for key, value in found.items()}


def reference_entries(reference: ReferenceValues, ridge: float | None) -> dict[str, Any]:
    """Return reference values under their names in metrics.json.

    Args:
        reference: the values.
        ridge: the penalty lambda of ridge regression.
    """
    found: dict[str, Any] = {}
    if reference.optimum is not None and reference.optimum_losses is not None:
        found = {tags.THETA: reference.optimum, **_loss_entries(reference.optimum_losses)}
    if (fit := reference.least_squares) is not None:
        solved = {"rank": fit.rank, "condition_number": fit.condition_number}
        found["least_squares"] = _loss_entries(fit.losses) | solved
    if reference.ridge_losses is not None:
        found["ridge"] = {"lambda": ridge, **_loss_entries(reference.ridge_losses)}
    if reference.noise_train is not None:
        found["noise_floor"] = {tags.LOSS_TRAIN: reference.noise_train}
        if reference.noise_test is not None:
            found["noise_floor"][tags.LOSS_TEST] = reference.noise_test
    return found


def _loss_entries(losses: Losses) -> dict[str, Any]:
    test = {} if losses.test is None else {tags.LOSS_TEST: losses.test}
    return {tags.LOSS_TRAIN: losses.train, **test}


@functools.cache
def _versions() -> dict[str, str]:
    # it takes 10 ms to import
    from importlib.metadata import version

    packages = ("reluviz", "torch", "lightning", "hydra-core", "tensorboard", "numpy")
    return {name: version(name) for name in packages}


def json_ready(value: Any) -> Any:
    """Return a value with arrays as lists, and with None for NaN and infinities, which JSON lacks."""
    if isinstance(value, np.ndarray | np.generic):
        # most arrays are finite, and checking each number of a thousand replicas would be slow
        return value.tolist() if bool(np.isfinite(value).all()) else json_ready(value.tolist())
    if isinstance(value, Mapping):
        return {key: json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    if isinstance(value, float) and not (-float("inf") < value < float("inf")):
        return None
    return value
