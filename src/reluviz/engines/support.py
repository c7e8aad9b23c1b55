"""Which runs the engines with kernels support, and which engine makes the updates of a run. Needs no torch."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from reluviz.core.models import MODELS
from reluviz.data.samplers import Sampler
from reluviz.errors import UserError

ENGINE_NAMES = ("auto", "reference", "fused", "exact")
"""The values of the setting `engine`."""
PRECISIONS = {"32-true": "float32", "64-true": "float64"}
"""Values of `trainer.precision` -> the precision of the parameters."""
UNSUPPORTED_OPTIONS = ("amsgrad", "maximize", "capturable", "differentiable")
"""Arguments of these optimisers that must be false. `foreach` and `fused` are allowed: they change only speed."""


@dataclass(frozen=True)
class Requirements:
    """The features that a run needs from an engine, known before training.

    Attributes:
        model: the model's name; None for a subclass that overrides `forward`.
        class_name: the model's class, for messages.
        solved: whether the output layer is solved in closed form instead of trained.
        optimizer: `_target_` and arguments.
        sampler: which points each update uses; None if unknown.
        parametrized: whether a parameter is computed from other tensors (`torch.nn.utils.parametrize`).
        device: the device of the parameters during training, such as "cpu".
        dtype: the dtype of the parameters, such as "float32".
        precision: the trainer's precision, such as "32-true"; None without a trainer.
    """

    model: str | None
    class_name: str
    solved: bool
    optimizer: Mapping[str, Any]
    sampler: Sampler | None
    parametrized: bool = False
    device: str = "cpu"
    dtype: str = "float32"
    precision: str | None = None


@dataclass(frozen=True)
class Kernels:
    """What the kernels of an engine can do.

    Attributes:
        engine: the engine's name.
        models: names of the models that it has kernels for.
        optimizers: names of the supported classes of `torch.optim`.
        samplers: names of the supported samplers; None for all, and for data without a sampler.
        chains: whether it has kernels for chains, the models with an architecture.
    """

    engine: str
    models: tuple[str, ...]
    optimizers: tuple[str, ...]
    samplers: tuple[str, ...] | None = None
    chains: bool = False

    def unsupported(self, requirements: Requirements) -> str | None:
        """Return a phrase naming the first unsupported feature of a run, or None."""
        if self.samplers is not None:
            if requirements.sampler is None:
                return "data without a sampler"
            if requirements.sampler.name not in self.samplers:
                return f"sampler={requirements.sampler.name}"
        if importlib.util.find_spec("numba") is None:
            return "a Python without the package numba"
        if not self._has_kernels_for(requirements.model):
            return f"the model {requirements.class_name}"
        if requirements.solved:
            return "model.train=ridge"
        if requirements.parametrized:
            return "a parametrized weight"
        if requirements.precision not in (None, *PRECISIONS):
            return f"trainer.precision={requirements.precision}"
        if requirements.device.partition(":")[0] != "cpu":
            return f"the device {requirements.device}"
        if requirements.dtype not in ("float32", "float64"):
            return f"the precision torch.{requirements.dtype}"
        target = requirements.optimizer.get("_target_")
        package, _, name = str(target).rpartition(".")
        if name not in self.optimizers or package.split(".")[:2] != ["torch", "optim"]:
            return f"optimizer._target_={target}"
        return unsupported_argument(requirements.optimizer)

    def _has_kernels_for(self, model: str | None) -> bool:
        if model is None or model in self.models:
            return model is not None
        return self.chains and model in MODELS and MODELS[model].architecture is not None


FUSED = Kernels("fused", models=("constant", "linear", "relu"), optimizers=("SGD", "Adam", "AdamW"), chains=True)
EXACT = Kernels("exact", models=("constant", "linear", "relu"), optimizers=("SGD", "Adam", "AdamW"), samplers=("full",))


def unsupported_argument(arguments: Mapping[str, Any]) -> str | None:
    """Return a phrase naming the first unsupported argument of an optimiser, or None."""
    if isinstance(eps := arguments.get("eps"), float | int) and np.float32(eps) == 0:
        # a parameter with gradient 0 would get 0 / 0, and the units of zeros that pad a vector always do
        return f"optimizer.eps={eps}"
    return next((f"optimizer.{name}={arguments[name]}" for name in UNSUPPORTED_OPTIONS if arguments.get(name)), None)


def engine_for(name: str, requirements: Requirements) -> tuple[str, str]:
    """Return the name of the engine that makes the updates of a run, and why it is not a faster one.

    "auto" is `exact` for full batches, else `fused`, else `reference`, each if it supports the run. `ridge` solves the
    output layer instead of training it.

    Raises:
        UserError: if there is no engine of that name, or it does not support the run.
    """
    if name not in ENGINE_NAMES:
        raise UserError(f"engine={name}: must be one of {', '.join(ENGINE_NAMES)}")
    if requirements.solved:
        return "ridge", ""
    if name == "reference":
        return name, ""
    unsupported = {kernels.engine: kernels.unsupported(requirements) for kernels in (EXACT, FUSED)}
    if name != "auto":
        if (feature := unsupported[name]) is not None:
            raise UserError(f"engine={name}: {feature} is not supported; use engine=auto or engine=reference")
        return name, ""
    supporting = next((engine for engine, feature in unsupported.items() if feature is None), None)
    if supporting is not None:
        return supporting, ""
    return "reference", f"neither exact nor fused supports {unsupported['fused']}"
