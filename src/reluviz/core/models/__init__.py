"""The models: one file each, which defines `MODEL`, and their registry."""

import importlib

from reluviz.core.models.model import Array, Model, Parameters, PerSampleGradients

NAMES = (
    "constant",
    "linear",
    "relu",
)
"""The names of the models, which are those of their files."""

MODELS: dict[str, Model] = {name: importlib.import_module(f"reluviz.core.models.{name}").MODEL for name in NAMES}
"""Name -> model. Runs, snapshots and configurations name a model by its name."""

__all__ = ["MODELS", "Array", "Model", "Parameters", "PerSampleGradients"]
