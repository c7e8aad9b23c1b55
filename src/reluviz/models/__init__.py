"""The models, as LightningModules."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # so that type checkers know what `__getattr__` returns
    from reluviz.models.mlp import MLPModule as MLPModule
    from reluviz.models.module import RegressionModule as RegressionModule
    from reluviz.models.one_parameter import ConstantModule as ConstantModule
    from reluviz.models.one_parameter import LinearModule as LinearModule
    from reluviz.models.relu import ReLUModule as ReLUModule

PUBLIC = {
    "ConstantModule": "one_parameter",
    "LinearModule": "one_parameter",
    "MLPModule": "mlp",
    "ReLUModule": "relu",
    "RegressionModule": "module",
}

__all__ = [*PUBLIC]


def __getattr__(name: str) -> Any:
    """Import a public name on first use: the settings of a model can be checked without torch."""
    if name in PUBLIC:
        return getattr(importlib.import_module(f"reluviz.models.{PUBLIC[name]}"), name)
    raise AttributeError(f"module 'reluviz.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
