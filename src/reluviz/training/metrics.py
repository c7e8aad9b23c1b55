"""The content of metrics.json: the results of a run as plain values."""

import functools
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reluviz.core.distribution import distribution
from reluviz.core.snapshot_torch import Snapshot
from reluviz.core.theory.baselines import reference_values
from reluviz.record import tags
from reluviz.training.prepare import Prepared


def run_metrics(
    prepared: Prepared, last: Snapshot, not_diverged: NDArray[np.bool_], status: str, seconds: dict[str, float]
) -> dict[str, Any]:
    """Return the results of a run, ready for JSON.

    Args:
        prepared: the run.
        last: its last snapshot.
        not_diverged: which replicas have not diverged, [R].
        status: finished, diverged, interrupted or terminated.
        seconds: the duration of each part of the run.
    """
    module = prepared.module
    found: dict[str, Any] = {
        "name": prepared.settings["name"],
        "status": status,
        "engine": module.engine.name if module.engine is not None else None,
        "updates": last.update,
        "seeds": module.seeds,
        tags.LOSS_TRAIN: last.loss_train,
        tags.LOSS_TEST: last.loss_test,
        "reference": reference_values(prepared.dataset, last, getattr(module, "ridge", None)),
    }
    if module.model == "relu":
        found |= {
            "elbow": last.elbow,
            "input_slope": last.parameters["input_slope"],
            "bias": last.parameters["bias"],
            "output_weight": last.parameters["output_weight"],
            "output_bias": last.parameters["output_bias"],
            "units": last.unit_counts,
        }
    else:
        found |= {"theta": last.parameters["theta"], tags.THETA_OPTIMUM: found["reference"]["theta"]}
    found["seconds"] = {name: round(value, 3) for name, value in seconds.items()}
    found["versions"] = dict(_versions())
    losses = {tags.LOSS_TRAIN: last.loss_train, tags.LOSS_TEST: last.loss_test}
    found["distribution"] = {
        tag: None if loss is None else distribution(loss.numpy(), not_diverged) for tag, loss in losses.items()
    }
    return {key: json_ready(value) for key, value in found.items()}


@functools.cache
def _versions() -> dict[str, str]:
    packages = ("reluviz", "torch", "lightning", "hydra-core", "tensorboard", "numpy")
    return {name: version(name) for name in packages}


def json_ready(value: Any) -> Any:
    """Return a value with tensors as lists, and with None for NaN and infinities, which JSON lacks."""
    if isinstance(value, torch.Tensor):
        # most tensors are finite, and checking each number of a thousand replicas would be slow
        return value.tolist() if bool(value.isfinite().all()) else json_ready(value.tolist())
    if isinstance(value, Mapping):
        return {key: json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    if isinstance(value, float) and not (-float("inf") < value < float("inf")):
        return None
    return value
