"""The largest stable step size, and the advice after a divergence."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from reluviz.core.functions import PARAMETERS, features
from reluviz.data import piecewise_linear
from reluviz.engines import predict
from reluviz.models import ConstantModule, LinearModule, ReLUModule
from reluviz.training import divergence
from reluviz.training.divergence import advice, largest_stable_step

DATA = piecewise_linear()
BEYOND = "is beyond the largest stable step size,"


def sgd(lr: float, momentum: float = 0.0) -> dict[str, Any]:
    return {"_target_": "torch.optim.SGD", "lr": lr, "momentum": momentum}


def sharpness(p: Mapping[str, np.ndarray]) -> float:
    """Return lambda_max of the Hessian over all parameters of the first replica, by automatic differentiation."""
    one = [torch.tensor(p[name][:1]) for name in PARAMETERS["relu"]]
    sizes, x, y = [value.numel() for value in one], torch.tensor(DATA.x), torch.tensor(DATA.y)

    def loss(flat: torch.Tensor) -> torch.Tensor:
        parts = (part.reshape(value.shape) for part, value in zip(flat.split(sizes), one, strict=True))
        f = predict.relu(dict(zip(PARAMETERS["relu"], parts, strict=True)), x)
        return (f - y).square().mean()

    h = torch.autograd.functional.hessian(loss, torch.cat([value.flatten() for value in one]))
    return float(torch.linalg.eigvalsh(h)[-1])


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


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_the_largest_stable_step_of_the_output_layer_is_n_over_sigma_max_squared(momentum: float) -> None:
    module = ReLUModule(train="output", seeds=[0, 1, 2], optimizer=sgd(1, momentum))
    phi = features(module.parameter_copies(), DATA.x)
    # the replica with the largest features has the smallest limit
    largest = max(np.linalg.svd(one, compute_uv=False)[0] for one in phi)
    known = largest_stable_step(module, DATA)
    assert known is not None
    limit, formula = known
    assert limit == pytest.approx((1 + momentum) * 200 / largest**2)
    factor = "(1 + momentum) " if momentum else ""
    assert formula == f"{factor}N/sigma_max^2 of the hidden features"


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_the_largest_stable_step_of_a_network_is_2_over_its_sharpness_at_the_start(momentum: float) -> None:
    module = ReLUModule(width=4, seeds=[0, 1, 2], optimizer=sgd(1, momentum))
    start = module.parameter_copies()
    replicas = [{name: value[r : r + 1] for name, value in start.items()} for r in range(3)]
    known = largest_stable_step(module, DATA, start)
    assert known is not None
    limit, formula = known
    assert limit == pytest.approx(2 * (1 + momentum) / max(sharpness(one) for one in replicas))
    assert formula == ("2 (1 + momentum)/lambda_max at the start" if momentum else "2/lambda_max at the start")


def test_the_sharpness_is_left_out_where_the_tangent_features_or_the_hessian_are_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ReLUModule(width=4)
    start = module.parameter_copies()
    for name, largest in (("MAX_PARAMETERS", 3 * 4), ("MAX_TANGENT_ENTRIES", 200 * 3 * 4)):
        with monkeypatch.context() as patch:
            patch.setattr(divergence, name, largest)
            assert largest_stable_step(module, DATA, start) is not None
            patch.setattr(divergence, name, largest - 1)
            assert largest_stable_step(module, DATA, start) is None


@pytest.mark.parametrize("key", ["nesterov", "dampening", "weight_decay"])
def test_no_largest_stable_step_is_known_for_other_kinds_of_gradient_descent(key: str) -> None:
    assert largest_stable_step(LinearModule(optimizer=sgd(1, 0.5)), DATA) is not None
    dampened = {**sgd(1, 0.5), key: True if key == "nesterov" else 0.1}
    assert largest_stable_step(LinearModule(optimizer=dampened), DATA) is None


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (LinearModule(optimizer=sgd(5.0)), f"optimizer.lr=5.0 {BEYOND} 1/mean(x^2) = 3.04033"),
        (LinearModule(optimizer=sgd(9.0, 0.5)), f"optimizer.lr=9.0 {BEYOND} (1 + momentum)/mean(x^2) = 4.56049"),
        (ConstantModule(optimizer=sgd(5.0)), "optimizer.lr=5.0, and the largest stable step size is 1"),
        (ConstantModule(optimizer=sgd(5.0, 0.5)), f"optimizer.lr=5.0 {BEYOND} 1 + momentum = 1.5"),
        (
            LinearModule(optimizer=sgd(2.0)),
            "optimizer.lr=2.0 is below the limit of full batches, 1/mean(x^2) = 3.04033; try a smaller one",
        ),
        (
            LinearModule(optimizer={"_target_": "torch.optim.Adam", "lr": 7.0}),
            "try a smaller optimizer.lr than 7.0",
        ),
    ],
    ids=["linear", "linear, momentum", "constant", "constant, momentum", "below the limit", "unknown"],
)
def test_the_advice_names_the_learning_rate_and_its_limit(module, expected: str) -> None:
    assert advice(module, DATA) == expected


def test_a_step_at_the_limit_itself_is_not_called_below_it() -> None:
    limit, _ = largest_stable_step(LinearModule(), DATA)
    assert "below" not in advice(LinearModule(optimizer=sgd(limit)), DATA)
    # a formula other than that of the constant is shown even where the limit is 1
    ones = type(DATA)("ones", np.ones(3), np.arange(3.0), (0.0, 1.0))
    assert advice(LinearModule(optimizer=sgd(5.0)), ones) == f"optimizer.lr=5.0 {BEYOND} 1/mean(x^2) = 1"
