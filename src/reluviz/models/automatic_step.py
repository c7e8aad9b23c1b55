"""The step size of a model f = theta phi(x) on the user's data: a fraction of the largest stable one.

For such a model, scaling the data is the same as changing the step size. So instead of scaling the data as for
networks, `data.scale=auto` chooses the step size. Needs no torch.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from reluviz.core.models import MODELS
from reluviz.core.theory import linear
from reluviz.data.dataset import Dataset
from reluviz.data.samplers import Sampler

STEP_FRACTION = 0.1
"""The step size as a fraction of the largest stable one: the error shrinks by a fifth at each update, in the mean."""


def automatic_step(model: str, dataset: Dataset, sampler: Sampler, optimizer: Mapping[str, Any]) -> float | None:
    """Return `STEP_FRACTION` (1 - mu) eta_2, which replaces a preset's step size; None where a preset's is kept.

    eta_2 is the largest step size with which E (theta - theta*)^2 shrinks (`theory.linear.largest_mean_square_step`),
    or 1/mean(phi^2) for full batches. Momentum mu multiplies the effect of a step by 1/(1 - mu). The step size is kept
    for a network, for data that are not to be scaled, and for another optimiser than SGD.

    Args:
        model: the model's name.
        dataset: the points.
        sampler: which points each update uses.
        optimizer: the optimiser's `_target_` and arguments.
    """
    record = MODELS.get(model)
    if dataset.scale == "none" or record is None or record.feature is None or record.in_user_units is not None:
        return None
    if optimizer["_target_"] != "torch.optim.SGD":
        return None
    phi, momentum = record.feature(dataset.x), float(optimizer.get("momentum", 0.0))
    with np.errstate(all="ignore"):
        if not np.square(phi).any():
            return None
        if sampler.name == "full":
            limit = linear.largest_stable_step(phi)
        else:
            independent = sampler.name != "without_replacement"
            limit = linear.largest_mean_square_step(phi, sampler.batch(len(phi)), independent)
    step = STEP_FRACTION * (1 - momentum) * limit
    return step if 0 < step < float("inf") else None
