"""The models, their tangent features and their losses, compared with torch."""

import numpy as np
import oracle
import pytest

from reluviz.core import functions
from reluviz.core.functions import mean_squared_error
from reluviz.core.models import MODELS
from reluviz.models import ConstantModule, LinearModule, ReLUModule

MODULES = {"constant": ConstantModule, "linear": LinearModule, "relu": lambda seeds: ReLUModule(width=7, seeds=seeds)}


@pytest.mark.parametrize("model", MODULES)
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_predictions_and_losses_equal_those_of_torch(model: str, offset: float) -> None:
    p = MODULES[model](seeds=[0, 1, 5]).parameter_copies()
    x = np.linspace(-1, 2, 50) + offset
    y = np.sin(x)
    expected = oracle.predict(model, p, x)
    np.testing.assert_allclose(functions.predict(model, p, x), expected, rtol=1e-13, atol=1e-13)
    for entries in (8, 2**17):
        found = mean_squared_error(model, p, x, y, entries)
        np.testing.assert_allclose(found, np.square(expected - y).mean(-1), rtol=1e-12)


@pytest.mark.parametrize("model", MODULES)
def test_tangent_features_are_the_derivatives_of_f(model: str) -> None:
    p = MODULES[model](seeds=[0, 1]).parameter_copies()
    x = np.linspace(-1, 2, 50)
    # grad(r^2) = 2 r df/dtheta, with r = 1/2 at y = f - 1/2
    f = oracle.predict(model, p, x)
    found = functions.tangent(model, p, x)
    assert list(found) == list(MODELS[model].parameters)
    for r in range(2):
        one = {name: value[r : r + 1] for name, value in p.items()}
        expected = oracle.per_sample_gradients(model, one, x, f[r] - 0.5)
        for name, value in found.items():
            np.testing.assert_allclose(value[r], expected[name][0], rtol=1e-9, atol=1e-12)


def test_features_are_the_hidden_layer_and_a_column_of_ones() -> None:
    p = {name: np.array(value) for name, value in {"input_slope": [[2.0, -1.0]], "bias": [[-1.0, 0.5]]}.items()}
    assert functions.features(p, np.array([0.0, 1.0])).tolist() == [[[0.0, 0.5, 1.0], [1.0, 0.0, 1.0]]]


@pytest.mark.parametrize("value", [1e200, np.inf, np.nan])
@pytest.mark.parametrize("model", MODULES)
def test_the_loss_of_a_diverged_replica_is_not_finite_and_raises_no_warning(model: str, value: float) -> None:
    p = MODULES[model](seeds=[0, 1]).parameter_copies()
    for array in p.values():
        array[1] = value
    found = mean_squared_error(model, p, np.linspace(-1, 1, 20), np.zeros(20))
    assert np.isfinite(found).tolist() == [True, False]


def test_an_unknown_model_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        functions.predict("cubic", {"theta": np.ones(1)}, np.ones(2))
