"""The models: one file each, which defines `MODEL`, and their registry.

A chain of several layers is named by its architecture (mlp-20-20), so its file defines `model_named` instead.
"""

import importlib
from typing import Any

from reluviz.core.models.mlp import model_named
from reluviz.core.models.model import Array, Model, Parameters, PerSampleGradients

NAMES = (
    "constant",
    "linear",
    "relu",
)
"""The names of the models that have one, which are those of their files."""


class Registry(dict[str, Model]):
    """Name -> model. Chains are found by the names of their architectures, and are not listed."""

    def __missing__(self, name: str) -> Model:
        if (found := model_named(name)) is None:
            raise KeyError(name)
        return found

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and model_named(name) is not None)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the model of this name; `default` if there is none."""
        try:
            return self[name]
        except KeyError:
            return default


MODELS = Registry({name: importlib.import_module(f"reluviz.core.models.{name}").MODEL for name in NAMES})
"""Runs, snapshots and configurations name a model by its name."""

__all__ = ["MODELS", "Array", "Model", "Parameters", "PerSampleGradients"]
