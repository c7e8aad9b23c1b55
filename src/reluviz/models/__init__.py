"""The models, as LightningModules."""

from reluviz.models.module import RegressionModule
from reluviz.models.one_parameter import ConstantModule, LinearModule
from reluviz.models.relu import ReLUModule

__all__ = ["ConstantModule", "LinearModule", "ReLUModule", "RegressionModule"]
