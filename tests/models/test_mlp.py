"""Chains as modules: torch's initial weights, plain PyTorch's function, and one hidden layer as `ReLUModule`."""

import itertools
import json

import lightning as L
import numpy as np
import pytest
import torch
from torch import nn

from reluviz import Dataset, MLPModule, PiecewiseLinearData, ReLUModule, SegmentData, UserError, WithReplacement
from reluviz.data import EverySchedule
from reluviz.models.relu_settings import check_chain_settings
from reluviz.training.lightning_startup import quiet


def fit(module, updates=60, data=None, **trainer):
    data = PiecewiseLinearData(updates=updates, snapshots=EverySchedule(20)) if data is None else data
    options = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "max_epochs": 1} | trainer
    with quiet():
        L.Trainer(enable_checkpointing=False, accelerator="cpu", **options).fit(module, data)
    return module


def same_bits(first, second):
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("hidden", [(20,), (5, 4), (3, 7, 2, 6)])
def test_the_default_weights_are_those_of_torch(hidden):
    module = MLPModule(hidden, elbows="torch", seeds=[0, 11])
    for r, seed in enumerate((0, 11)):
        torch.manual_seed(seed)
        widths = (1, *hidden, 1)
        layers = [nn.Linear(a, b) for a, b in itertools.pairwise(widths)]
        network = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))[:-1]
        assert same_bits(network, module.to_sequential(r))


@pytest.mark.parametrize("activation", ["relu", "leaky", "abs"])
def test_its_function_is_that_of_plain_pytorch(activation):
    module = MLPModule((6, 5, 4), activation, slope=0.2, seeds=[3, 8]).double()
    x = torch.linspace(-1, 2, 40, dtype=torch.float64)
    for r in range(2):
        network = module.to_sequential(r)
        torch.testing.assert_close(module(x)[r], network(x[:, None])[:, 0], rtol=1e-12, atol=1e-12)
    kinds = [type(part).__name__ for part in network]
    between = {"relu": "ReLU", "leaky": "LeakyReLU", "abs": "Absolute"}[activation]
    assert kinds == ["Linear", between, "Linear", between, "Linear", between, "Linear"]
    if activation == "leaky":
        assert network[1].negative_slope == 0.2


@pytest.mark.parametrize("placement", ["uniform", "even", "at_data", "torch", "given"])
def test_the_elbows_of_the_first_layer_are_placed_as_those_of_one_hidden_layer(placement):
    positions = [0.1, 0.4, 0.7, 0.9] if placement == "given" else None
    data = PiecewiseLinearData(updates=20)
    one = ReLUModule(4, placement, positions)
    chain = MLPModule((4, 3), elbows=placement, positions=positions)
    for module in (one, chain):
        module.place_on(data.dataset)
    assert torch.equal(one.input_slope, chain.input_slope)
    assert torch.equal(one.bias, chain.bias)


def test_one_hidden_layer_of_relus_is_the_relu_model_bit_for_bit():
    seeds = {"seeds": [0, 4], "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.01}}
    one, chain = ReLUModule(20, **seeds), MLPModule([20], **seeds)
    assert chain.model == "relu"
    assert same_bits(one, chain)
    assert list(one.state_dict()) == list(chain.state_dict())
    assert same_bits(fit(one), fit(chain))
    assert chain.engine.name == one.engine.name == "fused"
    assert MLPModule(20).hparams["hidden"] == [20]
    assert MLPModule([20], "abs").model == "mlp-20-abs"


@pytest.mark.parametrize(
    ("train", "trained"),
    [
        ("all", ("input_slope", "bias", "weight_2", "bias_2", "output_weight", "output_bias")),
        ("output", ("output_weight", "output_bias")),
        ("hidden", ("input_slope", "bias", "weight_2", "bias_2")),
    ],
)
def test_only_the_chosen_layers_are_trained(train, trained):
    module = MLPModule((6, 5), train=train)
    start = {name: value.clone() for name, value in module.state_dict().items()}
    assert module.trained == trained
    fit(module)
    for name in module.architecture.shapes:
        assert torch.equal(module.state_dict()[name], start[name]) == (name not in trained), name


def test_replicas_follow_the_runs_of_their_seeds():
    together = fit(MLPModule((6, 5), seeds=[2, 9], engine="reference").double(), precision="64-true")
    for r, seed in enumerate((2, 9)):
        alone = fit(MLPModule((6, 5), seeds=[seed], engine="reference").double(), precision="64-true")
        for name in alone.architecture.shapes:
            torch.testing.assert_close(getattr(together, name)[r], getattr(alone, name)[0], rtol=1e-9, atol=1e-12)


def test_on_scaled_data_the_function_is_that_of_the_users_units():
    x = np.linspace(1900.0, 2000.0, 40)
    dataset = Dataset("years", x, 3e4 + 100 * np.sin(x / 9), (1900.0, 2000.0), scale="auto")
    data = SegmentData(dataset, 40, WithReplacement(10), EverySchedule(20))
    module = fit(MLPModule((6, 5)), data=data)
    assert not module.scaling.identity
    found = module(torch.from_numpy(x))[0]
    u = (x - module.scaling.x_offset) / module.scaling.x_scale
    inner = module._predict_trained(torch.from_numpy(u).float())[0].double()
    torch.testing.assert_close(found, module.scaling.user_y(inner))
    network = module.to_sequential()
    torch.testing.assert_close(network(torch.from_numpy(x)[:, None])[:, 0], found.detach(), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("kind", ["torch", "json"])
def test_a_state_dict_file_is_the_initial_state(tmp_path, kind):
    network = MLPModule((3, 2), seeds=[5]).to_sequential()
    path = tmp_path / "network"
    if kind == "torch":
        torch.save(network.state_dict(), path)
    else:
        path.write_text(json.dumps({key: value.tolist() for key, value in network.state_dict().items()}))
    module = MLPModule((3, 2), init_from=str(path))
    assert same_bits(module.to_sequential(), network)
    message = r"init_from=.*: 0.weight has shape \(3, 1\); model.hidden=\[2, 3\] needs \(2, 1\)"
    with pytest.raises(UserError, match=message):
        MLPModule((2, 3), init_from=str(path))
    with pytest.raises(UserError, match=r"the keys 0.weight, 0.bias, 2.weight, 2.bias are needed"):
        ReLUModule(3, init_from=str(path))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hidden": []}, r"model.hidden=\[\]: must be the widths of at most 20 layers, as in \[20,20\]"),
        ({"hidden": [3, 0]}, r"model.hidden=\[3, 0\]: must be .*, each a whole number of at least 1"),
        ({"hidden": [3] * 21}, r"at most 20 layers"),
        ({"hidden": "abc"}, r"model.hidden=abc: must be the widths"),
        ({"activation": "tanh"}, r"model.activation=tanh: must be one of relu, leaky, abs"),
        ({"slope": 1.5}, r"model.slope=1.5: must be a finite number of at least 0 and below 1"),
        ({"train": "ridge"}, r"model.train=ridge: solves a network with one hidden layer"),
        ({"elbows": "given"}, r"model.elbows=given and model.positions=\[...\] need each other"),
        ({"elbows": "given", "positions": [0.5]}, r"1 elbows for model.hidden=\[4, 3\]"),
    ],
)
def test_wrong_settings_are_named(changed, message):
    settings = {"hidden": [4, 3], "activation": "relu", "slope": 0.01, "elbows": "uniform"}
    settings |= {"positions": None, "train": "all"}
    assert check_chain_settings(**settings).hidden == [4, 3]
    with pytest.raises(UserError, match=message):
        check_chain_settings(**settings | changed)
    with pytest.raises(UserError, match=message):
        MLPModule(**settings | changed)


def test_a_checkpoint_loads(tmp_path):
    module = fit(MLPModule((5, 4), "leaky", 0.3, seeds=[1, 2]))
    module.trainer.save_checkpoint(tmp_path / "chain.ckpt")
    loaded = MLPModule.load_from_checkpoint(tmp_path / "chain.ckpt")
    assert loaded.model == "mlp-5-4-leaky0.3"
    assert same_bits(loaded, module)
