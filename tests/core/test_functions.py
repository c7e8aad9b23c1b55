"""The NumPy versions of the models and of the elbow functions return the same as the tensor versions."""

import numpy as np
import pytest
import torch

from reluviz.core import elbows, functions
from reluviz.core.functions_torch import mean_squared_error, predict
from reluviz.core.votes import losses
from reluviz.models import ConstantModule, LinearModule, ReLUModule

UNUSUAL = np.array([0.0, -0.0, 1.5, -2.0, np.inf, -np.inf, np.nan, 1e-300, 1e300])
MODULES = {"constant": ConstantModule, "linear": LinearModule, "relu": lambda seeds: ReLUModule(width=7, seeds=seeds)}


def test_numpy_elbows_slope_jumps_and_unit_status_equal_those_of_torch() -> None:
    w, b = (grid.reshape(1, -1) for grid in np.meshgrid(UNUSUAL, UNUSUAL))
    tensors = torch.from_numpy(w), torch.from_numpy(b)
    np.testing.assert_array_equal(functions.elbow(w, b), elbows.elbow(*tensors))
    np.testing.assert_array_equal(functions.slope_jump(w, b), elbows.slope_jump(*tensors))
    for left, right in ((0.0, 1.0), (-1e6, -2.0), (0.5, 0.5)):
        ends = torch.tensor([left, right], dtype=torch.float64)
        np.testing.assert_array_equal(functions.unit_status(w, b, left, right), elbows.unit_status(*tensors, ends))


@pytest.mark.parametrize("model", MODULES)
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_numpy_predictions_and_losses_equal_those_of_torch(model: str, offset: float) -> None:
    p = MODULES[model](seeds=[0, 1, 5]).values()
    x = torch.linspace(-1, 2, 50, dtype=torch.float64) + offset
    y = torch.sin(x)
    as_arrays = {name: value.numpy() for name, value in p.items()}
    np.testing.assert_allclose(
        functions.predict(model, as_arrays, x.numpy()), predict(model, p, x), rtol=1e-13, atol=1e-13
    )
    for entries in (8, 2**17):
        found = losses(model, as_arrays, x.numpy(), y.numpy(), entries)
        np.testing.assert_allclose(found, mean_squared_error(model, p, x, y), rtol=1e-12)


@pytest.mark.parametrize("value", [1e200, np.inf, np.nan])
@pytest.mark.parametrize("model", MODULES)
def test_the_loss_of_a_diverged_replica_is_not_finite_and_raises_no_warning(model: str, value: float) -> None:
    p = MODULES[model](seeds=[0, 1]).parameter_copies()
    for array in p.values():
        array[1] = value
    found = losses(model, p, np.linspace(-1, 1, 20), np.zeros(20))
    assert np.isfinite(found).tolist() == [True, False]
