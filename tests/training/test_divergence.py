"""The largest stable step size, and the advice after a divergence."""

import numpy as np
import pytest

from reluviz.core.functions import features
from reluviz.data import piecewise_linear
from reluviz.models import ConstantModule, LinearModule, ReLUModule
from reluviz.training.divergence import advice, largest_stable_step

DATA = piecewise_linear()


@pytest.mark.parametrize(
    ("module", "limit"),
    [
        (ConstantModule(), 1.0),
        (ConstantModule(optimizer={"_target_": "torch.optim.SGD", "lr": 1, "momentum": 0.9}), 1.9),
        (LinearModule(), 1 / np.mean(DATA.x**2)),
        (LinearModule(optimizer={"_target_": "torch.optim.Adam", "lr": 1}), None),
        (ReLUModule(), None),
    ],
    ids=["constant", "heavy ball", "linear", "adam", "relu"],
)
def test_the_largest_stable_step_is_known_for_sgd_on_one_parameter_models(module, limit) -> None:
    known = largest_stable_step(module, DATA)
    assert (known is None) if limit is None else known[0] == pytest.approx(limit)


def test_the_largest_stable_step_of_the_output_layer_is_n_over_sigma_max_squared() -> None:
    module = ReLUModule(train="output")
    sigma = np.linalg.svd(features(module.parameter_copies(), DATA.x)[0], compute_uv=False)[0]
    known = largest_stable_step(module, DATA)
    assert known is not None
    assert known[0] == pytest.approx(200 / sigma**2)


def test_the_advice_names_the_learning_rate_and_its_limit() -> None:
    module = LinearModule(optimizer={"_target_": "torch.optim.SGD", "lr": 5.0})
    assert advice(module, DATA) == "optimizer.lr=5.0 is beyond the largest stable step size, 1/mean(x^2) = 3.04033"
