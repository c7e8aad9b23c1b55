"""The largest stable step size of a run where theory knows it, and advice for a run that has diverged."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from reluviz.core import theory
from reluviz.core.models import MODELS, Array, Parameters
from reluviz.core.theory.output_problem import OutputProblem
from reluviz.data.dataset import Dataset

MAX_TANGENT_ENTRIES = 2**22
"""The largest tangent feature matrix (N x P) for which the sharpness is computed."""
MAX_PARAMETERS = 2000
"""The most parameters (P) for which the sharpness is computed."""


class TrainedModel(Protocol):
    """The parts of a module, or of a run before its start, that decide on the largest stable step size."""

    @property
    def model(self) -> str:
        """The model's name."""

    @property
    def trained(self) -> tuple[str, ...]:
        """Names of the trained parameters."""

    @property
    def optimizer_settings(self) -> Mapping[str, Any]:
        """The optimiser's `_target_` and arguments."""

    def parameter_copies(self) -> dict[str, Array]:
        """Return the parameters, name -> [R] or [R, W]."""


def is_plain(settings: Mapping[str, Any], heavy_ball: bool = False) -> bool:
    """Return whether an optimiser is gradient descent without additions; `heavy_ball` allows that of momentum."""
    additions = ("nesterov", "dampening", "weight_decay", *(() if heavy_ball else ("momentum",)))
    return settings["_target_"] == "torch.optim.SGD" and not any(settings.get(key) for key in additions)


def largest_stable_step(
    module: TrainedModel, dataset: Dataset, start: Parameters | None = None, precision: str = "float64"
) -> tuple[float, str] | None:
    """Return the largest stable step size, in the units of training, and its formula; None where theory knows none.

    Theory knows it for plain and heavy-ball gradient descent on the constant and the linear model, and on the output
    layer of a network, whose features are fixed. For a network with one hidden layer, which is trained, it is known
    locally: 2/lambda_max of the Hessian at the start. Minibatches lower the limit further.

    Args:
        module: the model, its trained parameters and its optimiser.
        dataset: the data, with the units of training.
        start: the initial parameters of a ReLU network, for the local limit.
        precision: the precision in which the run decides on the gates; see `elbows.is_active`.
    """
    settings = module.optimizer_settings
    if not is_plain(settings, heavy_ball=True):
        return None
    momentum = float(settings.get("momentum", 0.0))
    record, points = MODELS[module.model], dataset.as_trained
    x = points.x
    if record.feature is not None:
        limit = theory.linear.largest_stable_step(record.feature(x), momentum)
        return limit, record.words["limit in ASCII with momentum" if momentum else "limit in ASCII"]
    if record.hidden_features is None:
        return None
    p = module.parameter_copies()
    if module.trained == ("output_weight", "output_bias"):
        problems = (
            OutputProblem.of(
                {name: value[[r]] for name, value in p.items()}, x, points.y, hidden=record.hidden_features
            )
            for r in range(len(p["bias"]))
        )
        limits = [theory.relu.largest_stable_step_output(one.phi, momentum, one.samples) for one in problems]
        formula = "N/sigma_max^2" if not momentum else "(1 + momentum) N/sigma_max^2"
        return float(np.min(limits)), f"{formula} of the hidden features"
    if not record.has_units:
        return None
    parameters = 3 * p["input_slope"].shape[1]
    if start is None or len(x) * parameters > MAX_TANGENT_ENTRIES or parameters > MAX_PARAMETERS:
        return None
    sharpness = theory.relu.hessian_sharpness(start, x, points.y, module.trained, precision)
    formula = "2/lambda_max" if not momentum else "2 (1 + momentum)/lambda_max"
    return float(theory.relu.largest_stable_step_local(sharpness, momentum).min()), f"{formula} at the start"


def advice(module: TrainedModel, dataset: Dataset, start: Parameters | None = None, precision: str = "float64") -> str:
    """Return advice on the step size, for an error message; arguments as for `largest_stable_step`."""
    rate = module.optimizer_settings.get("lr")
    with np.errstate(all="ignore"):
        stable = largest_stable_step(module, dataset, start, precision)
    if stable is None:
        return f"try a smaller optimizer.lr than {rate}"
    limit, formula = stable
    units = "" if dataset.scaling.identity else " for the scaled data"
    if formula == "1 + momentum" and limit == 1:
        # "1 + momentum = 1" would explain nothing
        return f"optimizer.lr={rate}, and the largest stable step size is 1"
    if rate is not None and rate < limit:
        return (
            f"optimizer.lr={rate} is below the limit of full batches, {formula} = {limit:.6g}{units}; try a smaller one"
        )
    return f"optimizer.lr={rate} is beyond the largest stable step size, {formula} = {limit:.6g}{units}"
