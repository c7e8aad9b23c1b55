"""On arrays and on tensors the models and their geometry are the same; and a module's tensors can be seen as arrays."""

import copy
import pickle

import numpy as np
import pytest
import torch

from reluviz.core import elbows, functions
from reluviz.core.functions_torch import mean_squared_error, predict
from reluviz.core.votes import losses
from reluviz.engines.array_views import ArrayViews
from reluviz.models import ConstantModule, LinearModule, ReLUModule

ODD = np.array([0.0, -0.0, 1.5, -2.0, np.inf, -np.inf, np.nan, 1e-300, 1e300])
MODULES = {"constant": ConstantModule, "linear": LinearModule, "relu": lambda seeds: ReLUModule(width=7, seeds=seeds)}


def test_elbows_jumps_and_status_are_those_of_the_tensors() -> None:
    w, b = (grid.reshape(1, -1) for grid in np.meshgrid(ODD, ODD))
    tensors = torch.from_numpy(w), torch.from_numpy(b)
    np.testing.assert_array_equal(functions.elbow(w, b), elbows.elbow(*tensors))
    np.testing.assert_array_equal(functions.slope_jump(w, b), elbows.slope_jump(*tensors))
    for left, right in ((0.0, 1.0), (-1e6, -2.0), (0.5, 0.5)):
        ends = torch.tensor([left, right], dtype=torch.float64)
        np.testing.assert_array_equal(functions.unit_status(w, b, left, right), elbows.unit_status(*tensors, ends))


@pytest.mark.parametrize("model", MODULES)
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_functions_and_losses_are_those_of_the_tensors(model: str, offset: float) -> None:
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
def test_the_loss_of_what_has_diverged_is_no_number_and_no_warning(model: str, value: float) -> None:
    p = MODULES[model](seeds=[0, 1]).copies()
    for each in p.values():
        each[1] = value
    found = losses(model, p, np.linspace(-1, 1, 20), np.zeros(20))
    assert np.isfinite(found).tolist() == [True, False]


# views


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_copies_are_copies_in_float64(dtype: torch.dtype) -> None:
    module = ReLUModule(width=3, seeds=[0, 1]).to(dtype)
    found = module.copies()
    with torch.no_grad():
        before = module.bias.clone()
        module.bias.add_(1)
    np.testing.assert_array_equal(found["bias"], before.double().numpy())
    assert {value.dtype for value in found.values()} == {np.dtype("float64")}
    assert found["output_bias"].shape == (2,)


def test_views_follow_their_tensors() -> None:
    module = ReLUModule(width=3)
    first = module.arrays()
    with torch.no_grad():
        module.bias.add_(1)
    assert module.arrays()["bias"] is first["bias"]
    np.testing.assert_array_equal(first["bias"], module.bias.detach())
    module.load_state_dict({name: value + 2 for name, value in module.state_dict().items()})
    np.testing.assert_array_equal(first["bias"], module.bias.detach())
    module.double()
    wide = module.arrays()
    assert wide["bias"].dtype == np.float64
    np.testing.assert_array_equal(wide["bias"], module.bias.detach())
    module.bias = torch.nn.Parameter(torch.zeros(1, 3, dtype=torch.float64))
    assert not module.arrays()["bias"].any()
    module.float()
    assert module.arrays()["bias"].dtype == np.float32


def test_a_copy_has_views_of_its_own() -> None:
    module = ReLUModule(width=3)
    module.arrays()
    for other in (copy.deepcopy(module), ReLUModule(width=3)):
        assert not np.shares_memory(other.arrays()["bias"], module.arrays()["bias"])
        other.arrays()["bias"][...] = 7
        assert (other.bias == 7).all()
        assert not (module.bias == 7).any()
    views = ArrayViews()
    views.of({"a": torch.ones(2)}, ("a",))
    assert pickle.loads(pickle.dumps(views))._known == {}


def test_what_was_kept_aside_comes_back() -> None:
    class Own(ReLUModule):
        def __init__(self, **settings) -> None:
            super().__init__(**settings)
            self.register_buffer("nothing", None)

    for module in (Own(width=3), Own(width=3).half()):
        before = [value.clone() for value in module.state_dict().values()]
        kept = module._copies()
        with torch.no_grad():
            for value in (*module.parameters(), *module.buffers()):
                value.add_(1)
            for value, earlier in kept:
                value.copy_(torch.as_tensor(earlier))
        for value, earlier in zip(module.state_dict().values(), before, strict=True):
            assert torch.equal(value, earlier) or value.isnan().all()
