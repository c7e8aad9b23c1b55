"""The models: one file each, and their registry."""

from reluviz.core.models.constant import CONSTANT
from reluviz.core.models.linear import LINEAR
from reluviz.core.models.model import Array, Model, Parameters, PerSampleGradients
from reluviz.core.models.relu import RELU

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        CONSTANT,
        LINEAR,
        RELU,
    )
}
"""Name -> model. Runs, snapshots and configurations name a model by its name."""

__all__ = ["MODELS", "Array", "Model", "Parameters", "PerSampleGradients"]
