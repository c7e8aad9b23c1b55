"""`explain model=mlp`: the backward pass of one point, its votes by layer, units and kinks, against autograd."""

import re
from typing import Any

import numpy as np
import pytest
import torch

from reluviz import MLPModule
from reluviz.cli.explain import explanation, render
from reluviz.data.targets import piecewise_linear
from reluviz.errors import UserError
from reluviz.models.sequential import sequential_keys


def explained(*overrides: str) -> dict[str, Any]:
    return explanation(["model=mlp", "engine=reference", *overrides])


@pytest.mark.parametrize("activation", ["relu", "leaky", "abs"])
def test_the_backward_pass_is_that_of_autograd(activation: str) -> None:
    found = explained("model.hidden=[3,4]", f"model.activation={activation}", "trainer.precision=64-true")
    data = piecewise_linear()
    module = MLPModule((3, 4), activation)
    module.place_on(data)
    network = module.to_sequential().double()
    x, y = torch.from_numpy(data.x)[:, None], torch.from_numpy(data.y)
    losses = (network(x)[:, 0] - y).square()
    norms = []
    for i in range(len(x)):
        gradients = torch.autograd.grad(losses[i], list(network.parameters()), retain_graph=True)
        norms.append(float(sum(one.square().sum() for one in gradients)))
    now = found["backward"]
    point = int(np.argmax(norms))
    assert now["point"] == point
    assert now["squared_norm"] == pytest.approx(norms[point], rel=1e-9)
    assert now["residual"] == pytest.approx(float((network(x[[point]])[0, 0] - y[point]).detach()), rel=1e-9)
    gradients = torch.autograd.grad(losses[point], list(network.parameters()))
    keys = dict(zip(network.state_dict(), gradients, strict=True))
    for name, key in sequential_keys(module.architecture).items():
        np.testing.assert_allclose(
            np.array(now["gradients"][name]).ravel(), keys[key].numpy().ravel(), rtol=1e-9, atol=1e-12, err_msg=name
        )
    z = network[0](x[[point]])
    np.testing.assert_allclose(now["preactivations"][0], z[0].detach().numpy(), rtol=1e-9)
    np.testing.assert_allclose(now["activations"][0], network[1](z)[0].detach().numpy(), rtol=1e-9, atol=1e-12)
    text = render.as_text(found)
    assert f"The backward pass of point {point}, which has the largest vote" in text
    assert f"sum of all squares, |g|²   = {now['squared_norm']:.4g}" in text
    assert max(map(len, text.splitlines())) <= 79


def test_layers_and_kinks_are_counted() -> None:
    found = explained()
    text = render.as_text(found)
    assert [layer["name"] for layer in found["layers"]] == ["layer_1", "layer_2", "output"]
    for layer, width in zip(found["layers"][:-1], (20, 20), strict=True):
        assert layer["bent"] + layer["linear"] + layer["dead"] == width
    assert found["unit_counts"]["bent"] == sum(layer["bent"] for layer in found["layers"][:-1])
    places = [kink["x"] for kink in found["kinks"]]
    assert places == sorted(places)
    assert 0 < min(places) < max(places) < 1
    squares = sum(layer["gradient_norm"] ** 2 for layer in found["layers"])
    assert squares == pytest.approx(found["gradient_norm"] ** 2, rel=1e-9)
    assert len(re.findall(r"^ +\d\.\d+ +[12] +\d+ +-?\d", text, re.MULTILINE)) == min(30, len(places))


def test_the_limit_of_the_output_layer_is_known_and_that_of_all_layers_is_not() -> None:
    text = render.as_text(explained("model.train=output", "step_size=0.2"))
    assert "largest stable step  N/σ_max²" in text
    assert "Step size, training the output layer only" in text
    found = explained("model.train=output", "step_size=0.2")
    assert found["step"]["stable"] == (found["step"]["largest_stable_step"] > 0.2)
    assert explained()["step"]["largest_stable_step"] is None
    assert "No limit is known in advance" in render.as_text(explained())


def test_one_hidden_layer_is_explained_as_the_relu_network() -> None:
    one, chain = explanation(["model.width=5"]), explained("model.hidden=[5]")
    assert chain["units"] == one["units"]
    assert chain["points"] == one["points"]
    assert chain["least_squares"] == one["least_squares"]
    assert "ridge" not in render.as_text(chain)


def test_a_wrong_architecture_is_named() -> None:
    with pytest.raises(UserError, match=r"model.hidden=\[3, -1\]: must be the widths of at most 20 layers"):
        explained("model.hidden=[3,-1]")
