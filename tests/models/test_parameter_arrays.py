"""Views and copies of the tensors of a module as NumPy arrays."""

import copy

import numpy as np
import pytest
import torch

from reluviz.models import ReLUModule


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_parameter_copies_are_float64_and_do_not_change_with_the_module(dtype: torch.dtype) -> None:
    module = ReLUModule(width=3, seeds=[0, 1]).to(dtype)
    found = module.parameter_copies()
    with torch.no_grad():
        before = module.bias.clone()
        module.bias.add_(1)
    np.testing.assert_array_equal(found["bias"], before.double().numpy())
    assert {value.dtype for value in found.values()} == {np.dtype("float64")}
    assert found["output_bias"].shape == (2,)


def test_parameter_views_follow_the_tensors_of_the_module() -> None:
    module = ReLUModule(width=3)
    first = module.parameter_views()
    with torch.no_grad():
        module.bias.add_(1)
    assert np.shares_memory(module.parameter_views()["bias"], first["bias"])
    np.testing.assert_array_equal(first["bias"], module.bias.detach())
    module.load_state_dict({name: value + 2 for name, value in module.state_dict().items()})
    np.testing.assert_array_equal(first["bias"], module.bias.detach())
    module.double()
    wide = module.parameter_views()
    assert wide["bias"].dtype == np.float64
    np.testing.assert_array_equal(wide["bias"], module.bias.detach())
    module.bias = torch.nn.Parameter(torch.zeros(1, 3, dtype=torch.float64))
    assert not module.parameter_views()["bias"].any()
    module.float()
    assert module.parameter_views()["bias"].dtype == np.float32


def test_a_copied_module_does_not_share_the_views_of_the_original() -> None:
    module = ReLUModule(width=3)
    module.parameter_views()
    for other in (copy.deepcopy(module), ReLUModule(width=3)):
        assert not np.shares_memory(other.parameter_views()["bias"], module.parameter_views()["bias"])
        other.parameter_views()["bias"][...] = 7
        assert (other.bias == 7).all()
        assert not (module.bias == 7).any()


def test_saved_tensors_can_be_restored() -> None:
    class WithEmptyBuffer(ReLUModule):
        def __init__(self, **settings) -> None:
            super().__init__(**settings)
            self.register_buffer("nothing", None)

    for module in (WithEmptyBuffer(width=3), WithEmptyBuffer(width=3).half()):
        before = [value.clone() for value in module.state_dict().values()]
        kept = module._save_tensors()
        with torch.no_grad():
            for value in (*module.parameters(), *module.buffers()):
                value.add_(1)
            for value, earlier in kept:
                value.copy_(torch.as_tensor(earlier))
        for value, earlier in zip(module.state_dict().values(), before, strict=True):
            assert torch.equal(value, earlier) or value.isnan().all()
