"""What metrics.json holds: the results of a run as plain values."""

import functools
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reluviz.core.distribution import distribution
from reluviz.core.snapshot_torch import Snapshot
from reluviz.core.theory.baselines import reference
from reluviz.record import tags
from reluviz.training.prepare import Prepared


def metrics(
    prepared: Prepared, last: Snapshot, sound: NDArray[np.bool_], status: str, seconds: dict[str, float]
) -> dict[str, Any]:
    """Return the results of a run, ready for JSON.

    Args:
        prepared: the run.
        last: its last snapshot.
        sound: which replicas have not diverged, [R].
        status: finished, diverged, interrupted or terminated.
        seconds: how long its parts took.
    """
    module = prepared.module
    found: dict[str, Any] = {
        "name": prepared.settings["name"],
        "status": status,
        "engine": module.engine.name if module.engine is not None else None,
        "updates": last.update,
        "seeds": module.seeds,
        "loss/train": last.loss_train,
        "loss/test": last.loss_test,
        "reference": reference(prepared.dataset, last, getattr(module, "ridge", None)),
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
        found |= {"theta": last.parameters["theta"], "theta/optimum": found["reference"]["theta"]}
    found["seconds"] = {name: round(value, 3) for name, value in seconds.items()}
    found["versions"] = dict(_versions())
    losses = {tags.LOSS_TRAIN: last.loss_train, tags.LOSS_TEST: last.loss_test}
    found["distribution"] = {
        tag: None if loss is None else distribution(loss.numpy(), sound) for tag, loss in losses.items()
    }
    return {key: json_ready(value) for key, value in found.items()}


@functools.cache
def _versions() -> dict[str, str]:
    packages = ("reluviz", "torch", "lightning", "hydra-core", "tensorboard", "numpy")
    return {name: version(name) for name in packages}


def json_ready(value: Any) -> Any:
    """Return tensors as lists, and numbers that JSON does not have as null."""
    if isinstance(value, torch.Tensor):
        # most hold nothing that JSON does not have, and a thousand replicas have very many numbers
        return value.tolist() if bool(value.isfinite().all()) else json_ready(value.tolist())
    if isinstance(value, Mapping):
        return {key: json_ready(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(one) for one in value]
    if isinstance(value, float) and not (-float("inf") < value < float("inf")):
        return None
    return value
