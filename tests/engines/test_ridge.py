"""The closed-form solution of the output layer needs no memory for the features of all points."""

import numpy as np
import torch

from reluviz.core.theory import output_problem
from reluviz.data import Full, piecewise_linear
from reluviz.data.segments import Piece
from reluviz.engines import ridge
from reluviz.models import ReLUModule

DATA = piecewise_linear()


def solve(seeds: list[int]) -> tuple[ReLUModule, torch.Tensor]:
    """Return a solved module, and its losses before."""
    module = ReLUModule(width=10, seeds=seeds, train="ridge", ridge=1e-3)
    assert Full().draw(seeds, 0, 1, 200) is None
    optimizer = torch.optim.SGD([module.output_weight, module.output_bias], lr=0.1)
    x, y = module.training_points(DATA)
    return module, ridge.Ridge().run(module.model_state(), optimizer, Piece(0, 1), np.zeros((1, 1)), x, y)


def test_losses_and_solution_in_parts_are_those_of_all_points(monkeypatch) -> None:
    module, losses = solve([0, 1, 2])
    monkeypatch.setattr(ridge, "MAX_ACTIVATIONS", 30 * 7)
    monkeypatch.setattr(output_problem, "MAX_DENSE_SAMPLES", 0)
    in_parts, same_losses = solve([0, 1, 2])
    # the same sum over the same residuals
    torch.testing.assert_close(same_losses, losses, rtol=0, atol=1e-7)
    x = torch.from_numpy(DATA.x).float()
    torch.testing.assert_close(in_parts(x), module(x), rtol=0, atol=1e-5)
    assert (losses > (module(x).detach() - torch.from_numpy(DATA.y)).square().mean(-1)).all()


def test_the_prediction_holds_a_bounded_number_of_activations(monkeypatch) -> None:
    sizes = []
    original = ReLUModule.predict

    def predict(p, x):
        sizes.append(x.shape[-1])
        return original(p, x)

    monkeypatch.setattr(ReLUModule, "predict", staticmethod(predict))
    monkeypatch.setattr(ridge, "MAX_ACTIVATIONS", 10 * 64)
    solve([0])
    assert sizes == [64, 64, 64, 8]
