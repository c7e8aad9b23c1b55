"""What to say to somebody whose run has diverged."""

import torch

from reluviz import theory
from reluviz.data.dataset import Dataset
from reluviz.functions import features
from reluviz.models.base import RegressionModule


def largest_stable_step(module: RegressionModule, dataset: Dataset) -> tuple[float, str] | None:
    """Return the largest stable step size of gradient descent and its formula, where theory knows it.

    That is for plain and heavy-ball gradient descent on the constant and the linear model, and on the output
    layer of a ReLU network, whose features do not move. Minibatches lower the limit further.
    """
    settings = module.optimizer_settings
    plain = settings["_target_"] == "torch.optim.SGD" and not any(
        settings.get(key) for key in ("nesterov", "dampening", "weight_decay")
    )
    if not plain:
        return None
    momentum = float(settings.get("momentum", 0.0))
    x = torch.from_numpy(dataset.x)
    if module.model == "constant":
        return theory.constant.largest_stable_step(momentum), "1" if not momentum else "1 + momentum"
    if module.model == "linear":
        formula = "1/mean(x^2)" if not momentum else "(1 + momentum)/mean(x^2)"
        return theory.linear.largest_stable_step(x, momentum), formula
    if module.trained == ("output_weight", "output_bias"):
        limits = theory.relu.largest_stable_step_output(features(module.values(), x))
        formula = "N/sigma_max^2" if not momentum else "(1 + momentum) N/sigma_max^2"
        return (1 + momentum) * float(limits.min()), f"{formula} of the hidden features"
    return None


def advice(module: RegressionModule, dataset: Dataset) -> str:
    """Return what would be right, in a few words."""
    rate = module.optimizer_settings.get("lr")
    known = largest_stable_step(module, dataset)
    if known is None:
        return f"try a smaller optimizer.lr than {rate}"
    limit, formula = known
    if rate is not None and rate < limit:
        return f"optimizer.lr={rate} is below the limit of full batches, {formula} = {limit:.6g}; try a smaller one"
    return f"optimizer.lr={rate} is beyond the largest stable step size, {formula} = {limit:.6g}"
