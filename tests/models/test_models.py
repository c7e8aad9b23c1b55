"""The modules: initial states, training, checkpoints, optimisers and schedulers."""

import json
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from reluviz.core.functions import PARAMETERS
from reluviz.core.initial_state import torch_default_state
from reluviz.data import Dataset, EverySchedule, Full, piecewise_linear
from reluviz.data.datamodule import PiecewiseLinearData, SegmentData
from reluviz.errors import UserError
from reluviz.files import conf_folder
from reluviz.models import ConstantModule, LinearModule, RegressionModule, ReLUModule
from reluviz.models.optimizers import build_optimizer, build_scheduler
from reluviz.models.relu_settings import TRAIN, trained_names
from reluviz.training.lightning_startup import quiet

W = 7
MODULES = (ConstantModule, LinearModule, ReLUModule)
PLACEMENTS: dict[str, dict[str, Any]] = {
    "uniform": {},
    "even": {},
    "at_data": {},
    "given": {"positions": [0.9, 0.1, 0.5, -2.0, 3.0, 0.25, 0.75]},
    "torch": {},
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


def trainer(**settings: Any) -> L.Trainer:
    off = ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing")
    return L.Trainer(accelerator="cpu", **dict.fromkeys(off, False), **settings)


def fit(module: RegressionModule, data: SegmentData | None = None, **settings: Any) -> RegressionModule:
    data = data or PiecewiseLinearData(updates=50, snapshots=EverySchedule(1000))
    trainer(max_steps=len(data.remaining(0)), **settings).fit(module, data)
    return module


def torch_default(seed: int, width: int) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(1, width), nn.ReLU(), nn.Linear(width, 1))


def elbows(module: ReLUModule, replica: int = 0) -> Tensor:
    values = module.values()
    return (-values["bias"] / values["input_slope"])[replica]


def user_data(x: list[float]) -> SegmentData:
    points = np.array(x)
    data = Dataset("user", points, np.sin(points), (points[0], points[-1]))
    return SegmentData(data, updates=2, sampler=Full())


@pytest.mark.parametrize("placement", ["uniform", "even", "torch"])
def test_global_generators_are_not_changed(placement: str) -> None:
    states = torch.get_rng_state(), np.random.get_state()[1].tolist()
    ReLUModule(width=W, elbows=placement, seeds=[3, 4])
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]


@pytest.mark.parametrize(("placement", "settings"), PLACEMENTS.items())
def test_a_placement_changes_only_the_biases(placement: str, settings: dict[str, Any]) -> None:
    module = ReLUModule(width=W, elbows=placement, seeds=[5], **settings)
    state = torch_default_state(5, W)
    for name in ("input_slope", "output_weight"):
        assert getattr(module, name)[0].tolist() == state[name].tolist()
    assert module.output_bias[0].item() == state["output_bias"]
    # at_data leaves the biases until the data are known
    assert (module.bias[0].tolist() == state["bias"].tolist()) == (placement in ("torch", "at_data"))


@pytest.mark.parametrize("domain", [None, (0.0, 1.0), (-3.0, 5.0), (1e3, 1e3 + 4)])
def test_uniform_elbows_are_sorted_draws_on_the_domain(domain: tuple[float, float] | None) -> None:
    low, high = domain or (0.0, 1.0)
    beta = (elbows(ReLUModule(width=4000, domain=domain)) - low) / (high - low)
    # float32 weights place an elbow to about 1e-7 of its distance from 0
    assert (beta.diff() > -1e-6 * max(1, abs(high) / (high - low))).all()
    # Kolmogorov-Smirnov test: 4,000 draws stay within 1.95 / sqrt(4,000) in 999 of 1,000 samples
    assert (beta - (torch.arange(4000) + 0.5) / 4000).abs().max() < 1.95 / math.sqrt(4000)


def test_uniform_elbows_differ_between_seeds_and_keep_their_values() -> None:
    module = ReLUModule(width=4, seeds=[0, 1])
    expected = [0.4291563332080841, 0.43459880352020264, 0.48393070697784424, 0.6443840265274048]
    assert elbows(module).tolist() == pytest.approx(expected, abs=1e-6)
    assert not np.isin(elbows(module, 0), elbows(module, 1)).any()


def test_uniform_elbows_do_not_reuse_the_random_numbers_of_the_weights() -> None:
    # a torch generator with the same low 32 bits of the seed would repeat those numbers in float64
    for seed in range(5):
        repeated = torch.rand(W, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).sort().values
        assert ((elbows(ReLUModule(width=W, seeds=[seed])) - repeated).abs() > 1e-4).any()


@pytest.mark.parametrize("domain", [None, (-3.0, 5.0)])
def test_even_elbows_divide_the_domain(domain: tuple[float, float] | None) -> None:
    low, high = domain or (0.0, 1.0)
    expected = [low + (high - low) * k / (W + 1) for k in range(1, W + 1)]
    assert elbows(ReLUModule(width=W, elbows="even", domain=domain)).tolist() == pytest.approx(expected, abs=1e-6)


def test_given_elbows_are_at_the_given_positions() -> None:
    positions = PLACEMENTS["given"]["positions"]
    module = ReLUModule(width=W, elbows="given", positions=positions, seeds=[0, 9])
    for replica in range(2):
        assert elbows(module, replica).tolist() == pytest.approx(positions, abs=1e-6)


def test_elbows_at_data_are_training_inputs_evenly_spaced_in_rank() -> None:
    x = [0.0, 0.1, 0.11, 0.12, 0.5, 3.0, 3.5, 7.0, 9.0]
    module = ReLUModule(width=3, elbows="at_data", seeds=[0, 9], optimizer={"_target_": "torch.optim.SGD", "lr": 1e-12})
    fit(module, user_data(x))
    for replica in range(2):
        assert elbows(module, replica).tolist() == pytest.approx([x[2], x[4], x[6]], abs=1e-5)


@pytest.mark.parametrize("placement", ["uniform", "even"])
@pytest.mark.parametrize("x", [[-3.0, 1.0, 5.0], [100.0, 101.0, 140.0]])
def test_elbows_are_placed_on_the_domain_of_the_training_data(placement: str, x: list[float]) -> None:
    frozen = {"_target_": "torch.optim.SGD", "lr": 1e-12}
    from_data = ReLUModule(width=W, elbows=placement, seeds=[0, 9], optimizer=frozen)
    fit(from_data, user_data(x))
    from_argument = ReLUModule(width=W, elbows=placement, seeds=[0, 9], domain=(x[0], x[-1]))
    for replica in range(2):
        assert elbows(from_data, replica).tolist() == pytest.approx(elbows(from_argument, replica).tolist(), rel=1e-5)


def test_a_given_domain_overrides_that_of_the_data() -> None:
    module = ReLUModule(
        width=W, elbows="even", domain=(0.0, 8.0), optimizer={"_target_": "torch.optim.SGD", "lr": 1e-12}
    )
    fit(module, user_data([-3.0, 1.0, 5.0]))
    assert elbows(module).tolist() == pytest.approx([1, 2, 3, 4, 5, 6, 7], abs=1e-5)


def test_a_replica_starts_as_the_run_with_its_seed_alone() -> None:
    together = ReLUModule(width=W, seeds=[0, 5, 17]).values()
    for r, seed in enumerate([0, 5, 17]):
        alone = ReLUModule(width=W, seeds=[seed]).values()
        assert all(torch.equal(together[name][r], alone[name][0]) for name in alone)


@pytest.mark.parametrize("train", TRAIN)
def test_untrained_parameters_do_not_change(train: str) -> None:
    module = ReLUModule(width=W, train=train, seeds=[0, 1])
    trained = {
        "all": ("input_slope", "bias", "output_weight", "output_bias"),
        "hidden": ("input_slope", "bias"),
    }.get(train, ("output_weight", "output_bias"))
    assert module.trained == trained == trained_names(module.architecture, train)
    before = module.values()
    fit(module)
    after = module.values()
    for name in PARAMETERS["relu"]:
        assert torch.equal(before[name], after[name]) == (name not in trained), name


@pytest.mark.parametrize("start", [0.0, -2.5])
@pytest.mark.parametrize("cls", [ConstantModule, LinearModule])
def test_a_one_parameter_model_starts_at_the_given_value(cls: type[Any], start: float) -> None:
    module = cls(start=start, seeds=[0, 4])
    assert module.values()["theta"].tolist() == [start, start]
    assert module.trained == ("theta",)
    x = torch.tensor([0.0, 2.0])
    expected = [start, start] if cls is ConstantModule else [0.0, 2 * start]
    assert module(x).tolist() == [expected, expected]


@pytest.mark.parametrize("cls", [ConstantModule, LinearModule])
@pytest.mark.parametrize("replace", [False, True], ids=["as given", "changed before training"])
def test_a_float64_run_starts_at_all_digits_of_theta(cls: type[Any], replace: bool) -> None:
    module = cls(start=0.1)
    if replace:
        with torch.no_grad():
            module.theta.fill_(0.7)
    module.double()
    module.place_on(piecewise_linear())
    assert module.theta.item() == (torch.tensor(0.7).double().item() if replace else 0.1)


def test_one_gradient_step_of_the_constant_model_is_2_eta_times_the_mean_residual() -> None:
    module = ConstantModule(start=3.0, optimizer={"_target_": "torch.optim.SGD", "lr": 0.1})
    data = PiecewiseLinearData(updates=1, sampler=Full())
    fit(module, data, precision="64-true")
    assert module.values()["theta"].item() == pytest.approx(3 - 0.2 * (3 - data.dataset.y.mean()), abs=1e-14)


@pytest.mark.parametrize(("placement", "settings"), PLACEMENTS.items())
def test_the_sequential_network_computes_the_same_function(placement: str, settings: dict[str, Any]) -> None:
    module = ReLUModule(width=W, elbows=placement, seeds=[0, 9], **settings)
    x = torch.linspace(-2, 3, 101)
    for replica in range(2):
        network = module.to_sequential(replica)
        torch.testing.assert_close(network(x[:, None])[:, 0], module(x)[replica])
        # its weights are copies
        with torch.no_grad():
            network[0].weight.fill_(7)
        assert (module.input_slope != 7).all()


@pytest.mark.parametrize("form", ["state_dict", "plain dict", "parameters", "double", "half", "old format"])
def test_the_state_of_a_sequential_network_survives_a_round_trip(form: str, tmp_path: Path) -> None:
    network = torch_default(123, W)
    if form in ("double", "half"):
        network = getattr(network, form)()
    state: dict[str, Any] = network.state_dict()
    if form == "plain dict":
        state = dict(reversed(state.items()))
    if form == "parameters":
        state = dict(network.named_parameters())
    path = tmp_path / "network.pt"
    torch.save(state, path, _use_new_zipfile_serialization=form != "old format")
    module = ReLUModule(width=W, init_from=str(path), seeds=[0, 9])
    for replica in range(2):
        back = module.to_sequential(replica).state_dict()
        assert list(back) == ["0.weight", "0.bias", "2.weight", "2.bias"]
        assert all(torch.equal(back[key], network.state_dict()[key].float()) for key in back)
    x = torch.linspace(-2, 3, 101)
    torch.testing.assert_close(module(x)[0], network.float()(x[:, None])[:, 0])
    assert module.trained == PARAMETERS["relu"]


def test_elbows_from_a_file_are_not_moved(tmp_path: Path) -> None:
    network = torch_default(123, W)
    torch.save(network.state_dict(), tmp_path / "network.pt")
    frozen = {"_target_": "torch.optim.SGD", "lr": 1e-12}
    module = ReLUModule(width=W, init_from=str(tmp_path / "network.pt"), optimizer=frozen)
    fit(module, user_data([-3.0, 1.0, 5.0]))
    torch.testing.assert_close(module.to_sequential()[0].bias, network[0].bias)


def to_json(network: nn.Sequential) -> dict[str, Any]:
    return {key: value.tolist() for key, value in network.state_dict().items()}


JSON_FORMS: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "plain": lambda state: json.dumps(state).encode(),
    "indented": lambda state: b"\n\t " + json.dumps(state, indent=4).encode(),
    "reversed": lambda state: json.dumps(dict(reversed(state.items()))).encode(),
    "with a mark": lambda state: json.dumps(state).encode("utf-8-sig"),
    "utf-16": lambda state: json.dumps(state).encode("utf-16"),
}


@pytest.mark.parametrize("form", JSON_FORMS)
def test_a_state_in_json_is_read_under_any_name(form: str, tmp_path: Path) -> None:
    network = torch_default(123, W).double()
    with torch.no_grad():
        network[2].weight += 1e-9
    path = tmp_path / "network.pt"
    path.write_bytes(JSON_FORMS[form](to_json(network)))
    module = ReLUModule(width=W, init_from=str(path), seeds=[0, 9])
    assert module.from_file
    for replica in range(2):
        back = module.to_sequential(replica).state_dict()
        assert all(torch.equal(back[key], value.float()) for key, value in network.state_dict().items())


@pytest.mark.parametrize("form", ["torch.save", "JSON"])
def test_a_state_in_float64_reaches_a_run_in_float64_bit_for_bit(form: str, tmp_path: Path) -> None:
    network = torch_default(3, W).double()
    for value in network.state_dict().values():
        value += torch.rand(value.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / 3
    path = tmp_path / "network"
    if form == "JSON":
        path.write_text(json.dumps(to_json(network)))
    else:
        torch.save(network.state_dict(), path)
    frozen = {"_target_": "torch.optim.SGD", "lr": 1e-300}
    for precision in ("64-true", "32-true"):
        module = ReLUModule(width=W, init_from=str(path), optimizer=frozen)
        back = fit(module, precision=precision).to_sequential().state_dict()
        for key, value in network.state_dict().items():
            assert not torch.equal(value, value.float().double())
            assert torch.equal(back[key], value if precision == "64-true" else value.float())


def test_what_was_changed_after_the_file_was_read_stays(tmp_path: Path) -> None:
    network = torch_default(3, W).double()
    with torch.no_grad():
        network[0].bias += 1e-9
    (tmp_path / "network.json").write_text(json.dumps(to_json(network)))
    module = ReLUModule(
        width=W, init_from=str(tmp_path / "network.json"), optimizer={"_target_": "torch.optim.SGD", "lr": 1e-300}
    )
    with torch.no_grad():
        module.bias[0, 2] = 0.25
    bias = fit(module, precision="64-true").to_sequential()[0].bias
    assert bias[2] == 0.25
    others = torch.arange(W) != 2
    assert torch.equal(bias[others], network[0].bias[others])


def broken(**changes: Any) -> "OrderedDict[str, Any]":
    state = torch_default(0, W).state_dict()
    for key, value in changes.items():
        key = key.replace("_", ".", 1)
        if value is None:
            del state[key]
        else:
            state[key] = value
    return state


BAD_STATES: dict[str, tuple[Any, str]] = {
    "wrong width": (torch_default(0, 3).state_dict(), "0.weight has shape (3, 1); model.width=7 needs (7, 1)"),
    "missing key": (broken(**{"2_bias": None}), "holds '0.weight', '0.bias', '2.weight'; the keys 0.weight, 0.bias"),
    "extra key": (
        broken(**{"4_weight": torch.ones(1)}),
        "'4.weight'; the keys 0.weight, 0.bias, 2.weight, 2.bias",
    ),
    "transposed": (broken(**{"0_weight": torch.ones(1, W)}), "0.weight has shape (1, 7); model.width=7"),
    "a number for a tensor": (broken(**{"2_bias": 3.0}), "2.bias has shape float; model.width=7 needs (1,)"),
    "not a number": (broken(**{"2_bias": torch.tensor([math.nan])}), "2.bias holds values that are not finite numbers"),
    "whole numbers": (broken(**{"2_bias": torch.tensor([1])}), "2.bias holds values that are not finite numbers"),
    "too large for float32": (broken(**{"2_bias": torch.tensor([1e300], dtype=torch.float64)}), "not finite"),
    "a tensor": (torch.ones(3), "(Tensor); the keys 0.weight, 0.bias, 2.weight, 2.bias are needed"),
    "nothing": ({}, "(dict); the keys 0.weight, 0.bias, 2.weight, 2.bias are needed"),
    "keys with line breaks": ({"a\nb": torch.ones(1)}, "holds 'a\\nb'; the keys"),
    "the network itself": (torch_default(0, W), "is not a file of torch.save(network.state_dict(), file)"),
}


def error_message(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        ReLUModule(width=W, init_from=str(path))
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    assert message.startswith(f"model.init_from={path}: ")
    return message


@pytest.mark.parametrize(("state", "message"), BAD_STATES.values(), ids=BAD_STATES.keys())
def test_a_state_that_does_not_fit_is_refused_in_one_line(state: Any, message: str, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "network.pt")
    assert message in error_message(tmp_path / "network.pt")


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", b"PK\x03\x04", bytes(range(256))])
def test_a_file_not_written_by_torch_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "network.pt").write_bytes(content)
    assert "is not a file of torch.save(network.state_dict(), file)" in error_message(tmp_path / "network.pt")


BAD_JSON: dict[str, tuple[dict[str, Any] | str, str]] = {
    "wrong width": (to_json(torch_default(0, 3)), "0.weight has shape (3, 1); model.width=7 needs (7, 1)"),
    "missing key": ({"0.weight": 1}, "holds '0.weight'; the keys 0.weight, 0.bias, 2.weight, 2.bias are needed"),
    "extra key": (
        to_json(torch_default(0, W)) | {"extra": "x"},
        "'extra'; the keys 0.weight, 0.bias, 2.weight, 2.bias",
    ),
    "nothing": ("{}", "(dict); the keys 0.weight, 0.bias, 2.weight, 2.bias are needed"),
    "cut off": (json.dumps(to_json(torch_default(0, W)))[:-9], "is not JSON (Expecting ',' delimiter: line 1 column "),
    "python": ("{'0.bias': 1}", "is not JSON (Expecting property name enclosed in double quotes: line 1 column 2"),
    "no text": (b"{\xff".decode("latin-1"), "is not JSON ("),
    "a number for a list": ({"2.bias": 3.0}, "2.bias has shape (); model.width=7 needs (1,)"),
    "an empty list": ({"0.bias": []}, "0.bias has shape (0,); model.width=7 needs (7,)"),
    "transposed": ({"0.weight": [[1.0] * W]}, "0.weight has shape (1, 7); model.width=7 needs (7, 1)"),
    "uneven": ({"0.weight": [[1.0]] * 6 + [[1.0, 2.0]]}, "0.weight holds lists of different lengths"),
    "uneven depth": ({"0.weight": [[1.0]] * 6 + [2.0]}, "0.weight holds lists of different lengths"),
    "text": ({"2.bias": ["1.5"]}, '2.bias holds "1.5" where a number is needed'),
    "null": ({"2.bias": [None]}, "2.bias holds null where a number is needed"),
    "true": ({"2.bias": [True]}, "2.bias holds true where a number is needed"),
    "an object": ({"2.bias": {"a\nb": 1}}, r'2.bias holds {"a\nb": 1} where a number is needed'),
    "NaN": ({"2.bias": [math.nan]}, "2.bias holds values that are not finite numbers"),
    "infinity": ({"2.bias": [math.inf]}, "2.bias holds values that are not finite numbers"),
    "too large for float32": ({"2.bias": [1e300]}, "2.bias holds values that are not finite numbers"),
    "too large for float64": ({"2.bias": [10**400]}, "2.bias holds values that are not finite numbers"),
    "an endless number": (f'{{"2.bias": [{"1" * 5000}]}}', "is not JSON (Exceeds the limit"),
}


@pytest.mark.parametrize(("state", "message"), BAD_JSON.values(), ids=BAD_JSON.keys())
def test_json_that_does_not_fit_is_refused_in_one_line(state: Any, message: str, tmp_path: Path) -> None:
    if isinstance(state, dict):
        whole = to_json(torch_default(0, W))
        state = json.dumps(whole | state if message.startswith(("0.", "2.")) else state)
    (tmp_path / "network.json").write_text(state, encoding="latin-1")
    assert message in error_message(tmp_path / "network.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "no such file" in error_message(tmp_path / "network.pt")
    assert "no such file" in error_message(tmp_path)


@pytest.mark.parametrize("new_format", [True, False])
def test_a_damaged_file_never_raises_another_exception(new_format: bool, tmp_path: Path) -> None:
    path = tmp_path / "network.pt"
    torch.save(broken(), path, _use_new_zipfile_serialization=new_format)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(80):
        damaged = bytearray(whole)
        for position in generator.integers(min(len(damaged), 800), size=2):
            damaged[position] = generator.integers(256)
        path.write_bytes(damaged)
        try:
            ReLUModule(width=W, init_from=str(path))
        except UserError:
            error_message(path)


class CreatesFile:
    """An object that creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("new_format", [True, False])
def test_code_in_a_file_is_never_run(new_format: bool, tmp_path: Path) -> None:
    mark = tmp_path / "created by the pickle"
    path = tmp_path / "network.pt"
    torch.save(broken(**{"2_bias": CreatesFile(mark)}), path, _use_new_zipfile_serialization=new_format)
    assert "is not a file of torch.save" in error_message(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists(), "the file contains code"


SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "width": ({"width": 0}, "model.width=0: must be a whole number of at least 1 and at most 100,000"),
    "train": ({"train": "none"}, "model.train=none: must be one of all, output, hidden, ridge"),
    "elbows": ({"elbows": "odd"}, "model.elbows=odd: must be one of uniform, even, at_data, given, torch"),
    "given without positions": ({"elbows": "given"}, "model.elbows=given and model.positions=[...] need each other"),
    "positions without given": ({"positions": [0.1]}, "model.elbows=given and model.positions=[...] need each other"),
    "too few positions": (
        {"elbows": "given", "positions": [0.5]},
        "model.positions=[0.5]: 1 elbows for model.width=20",
    ),
    "ridge": ({"ridge": -1}, "model.ridge=-1: must be a finite number of at least 0"),
    "no seeds": ({"seeds": []}, "seeds=[]: must be different whole numbers of at least 0"),
    "repeated seed": ({"seeds": [1, 1]}, "seeds=[1, 1]: must be different whole numbers of at least 0"),
    "negative seed": ({"seeds": [-1]}, "seeds=[-1]: must be different whole numbers of at least 0"),
}


@pytest.mark.parametrize(("settings", "message"), SETTINGS.values(), ids=SETTINGS.keys())
def test_invalid_settings_are_refused_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        ReLUModule(**settings)
    assert str(caught.value) == message


def is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and is_plain(one) for key, one in value.items())
    if isinstance(value, list | tuple):
        return all(is_plain(one) for one in value)
    return type(value) in (int, float, str, bool, type(None))


@pytest.mark.parametrize("cls", MODULES)
def test_hyper_parameters_are_plain_values_from_which_the_module_can_be_rebuilt(cls: type[Any]) -> None:
    module = cls(seeds=[3, 4], optimizer={"_target_": "torch.optim.Adam", "betas": [0.8, 0.9]})
    hparams = dict(module.hparams)
    assert is_plain(hparams)
    assert hparams["seeds"] == [3, 4]
    assert "init_from" not in hparams
    again = cls(**hparams)
    assert all(torch.equal(again.values()[name], value) for name, value in module.values().items())


@pytest.mark.parametrize("cls", MODULES)
def test_a_checkpoint_of_a_run_loads_with_weights_only(cls: type[Any], tmp_path: Path) -> None:
    optimizer = {"_target_": "torch.optim.SGD", "lr": 0.02, "momentum": 0.9}
    module = cls(seeds=[3, 4], optimizer=optimizer)
    data = PiecewiseLinearData(updates=30, snapshots=EverySchedule(1000))
    lightning = trainer(max_steps=2)
    lightning.fit(module, data)
    assert (int(module.segments_done), int(module.updates_done), lightning.global_step) == (2, 30, 2)
    lightning.save_checkpoint(tmp_path / "last.ckpt")
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["hyper_parameters"]["seeds"] == [3, 4]
    loaded = cls.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert all(torch.equal(loaded.values()[name], value) for name, value in module.values().items())
    assert torch.equal(loaded.batch_loss, module.batch_loss)
    assert (int(loaded.segments_done), int(loaded.updates_done)) == (2, 30)
    assert loaded.optimizer_settings == optimizer


def test_a_checkpoint_loads_without_the_file_of_the_initial_state(tmp_path: Path) -> None:
    torch.save(torch_default(1, W).state_dict(), tmp_path / "network.pt")
    module = ReLUModule(width=W, init_from=str(tmp_path / "network.pt"))
    lightning = trainer(max_steps=1)
    lightning.fit(module, PiecewiseLinearData(updates=1))
    lightning.save_checkpoint(tmp_path / "last.ckpt")
    (tmp_path / "network.pt").unlink()
    loaded = ReLUModule.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert all(torch.equal(loaded.values()[name], value) for name, value in module.values().items())


@pytest.mark.parametrize("limit", [{}, {"max_epochs": 1}, {"max_epochs": -1}, {"max_epochs": 3}, {"max_steps": 1000}])
@pytest.mark.filterwarnings("ignore:.max_epochs. was not set")
def test_a_trainer_without_a_step_limit_stops_after_the_last_segment(limit: dict[str, int]) -> None:
    module = ReLUModule(width=20)
    lightning = trainer(**limit)
    lightning.fit(module, PiecewiseLinearData(updates=50, snapshots=EverySchedule(20)))
    assert (int(module.updates_done), int(module.segments_done), lightning.global_step) == (50, 4, 4)
    assert lightning.current_epoch == 1


def test_the_result_does_not_depend_on_the_snapshot_schedule() -> None:
    frequent, rare = (
        fit(ReLUModule(width=W, seeds=[2]), PiecewiseLinearData(updates=60, snapshots=EverySchedule(every))).values()
        for every in (7, 1000)
    )
    assert all(torch.equal(frequent[name], rare[name]) for name in frequent)


def test_training_reduces_the_loss() -> None:
    data = PiecewiseLinearData(updates=200)
    module = ReLUModule(width=20, optimizer={"_target_": "torch.optim.Adam", "lr": 0.01})
    x, y = module.training_points(data.dataset)
    before = (module(x) - y).square().mean().item()
    fit(module, data)
    assert (module(x) - y).square().mean().item() < 0.8 * before


@pytest.mark.parametrize("cls", MODULES)
def test_the_trainer_chooses_double_precision(cls: type[Any]) -> None:
    module = cls()
    start = module.values()
    fit(module, precision="64-true")
    for name in PARAMETERS[cls.model]:
        value = getattr(module, name)
        assert value.dtype == torch.float64
        # the value needs more digits than float32 has
        assert not torch.equal(value.float().double(), value)
        assert value.isfinite().all()
        assert not torch.equal(value, start[name])


def test_in_double_precision_elbows_are_placed_to_double_precision() -> None:
    frozen = {"_target_": "torch.optim.SGD", "lr": 1e-300}
    module = fit(
        ReLUModule(width=1, elbows="at_data", optimizer=frozen), user_data([-3.0, 0.1, 5.0]), precision="64-true"
    )
    assert elbows(module).tolist() == pytest.approx([0.1], abs=1e-15)


def test_double_and_single_precision_agree_to_rounding() -> None:
    single = fit(ReLUModule(width=W)).values()
    double = fit(ReLUModule(width=W), precision="64-true").values()
    for name in single:
        torch.testing.assert_close(single[name], double[name], rtol=1e-4, atol=1e-5)


SHIPPED = {
    path.stem: yaml.safe_load(path.read_text().replace("${step_size}", "0.02"))
    for path in sorted((conf_folder() / "optimizer").glob("*.yaml"))
}
SGD = {"_target_": "torch.optim.SGD", "lr": 0.1}


def output_layer(replicas: int = 1) -> dict[str, nn.Parameter]:
    weight, bias = torch.ones(replicas, 3), torch.ones(replicas)
    return {"output_weight": nn.Parameter(weight), "output_bias": nn.Parameter(bias)}


@pytest.mark.parametrize("settings", SHIPPED.values(), ids=SHIPPED.keys())
def test_every_shipped_optimiser_builds_with_its_settings(settings: dict[str, Any]) -> None:
    optimizer = build_optimizer(settings, output_layer(4), replicas=4)
    assert f"{type(optimizer).__module__.rpartition('.')[0]}.{type(optimizer).__name__}" == settings["_target_"]
    expected = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    del expected["_target_"]
    assert {key: optimizer.param_groups[0][key] for key in expected} == expected


@pytest.mark.parametrize("settings", SHIPPED.values(), ids=SHIPPED.keys())
@pytest.mark.parametrize("cls", MODULES)
def test_replicas_are_independent_under_every_shipped_optimiser(cls: type[Any], settings: dict[str, Any]) -> None:
    data = PiecewiseLinearData(updates=20, snapshots=EverySchedule(1000))
    together = fit(cls(seeds=[4, 11], optimizer=settings), data, precision="64-true").values()
    for r, seed in enumerate([4, 11]):
        alone = fit(cls(seeds=[seed], optimizer=settings), data, precision="64-true").values()
        for name, value in alone.items():
            torch.testing.assert_close(together[name][r], value[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_weight_decay_does_not_apply_to_the_output_bias(name: str) -> None:
    named = output_layer()
    optimizer = build_optimizer({"_target_": f"torch.optim.{name}", "lr": 0.1, "weight_decay": 0.5}, named, replicas=1)
    decayed, undecayed = optimizer.param_groups
    assert [id(p) for p in decayed["params"]] == [id(named["output_weight"])]
    assert [id(p) for p in undecayed["params"]] == [id(named["output_bias"])]
    assert (decayed["weight_decay"], undecayed["weight_decay"], decayed["lr"], undecayed["lr"]) == (0.5, 0, 0.1, 0.1)
    for value in named.values():
        value.grad = torch.zeros_like(value)
    optimizer.step()
    assert (named["output_weight"] < 1).all()
    assert (named["output_bias"] == 1).all()


def test_weight_decay_of_sgd_multiplies_by_1_minus_eta_times_decay() -> None:
    named = output_layer()
    optimizer = build_optimizer({**SGD, "weight_decay": 0.5}, named, replicas=1)
    named["output_weight"].grad = torch.zeros(1, 3)
    optimizer.step()
    torch.testing.assert_close(named["output_weight"].detach(), torch.full((1, 3), 1 - 0.1 * 0.5))


@pytest.mark.parametrize("decay", [{}, {"weight_decay": 0.0}])
def test_without_weight_decay_there_is_one_group(decay: dict[str, float]) -> None:
    assert len(build_optimizer({**SGD, **decay}, output_layer(), replicas=1).param_groups) == 1


def test_weight_decay_applies_to_the_parameter_of_a_one_parameter_model() -> None:
    module = ConstantModule(optimizer={**SGD, "weight_decay": 0.5})
    (group,) = module.configure_optimizers().param_groups
    assert (group["params"], group["weight_decay"]) == ([module.theta], 0.5)


BAD_OPTIMIZERS: dict[str, tuple[dict[str, Any], str]] = {
    "no target": ({"lr": 0.1}, "optimizer._target_ is missing: the name of a class"),
    "a number": ({"_target_": 5}, "optimizer._target_ is missing: the name of a class"),
    "no module": ({"_target_": "SGD"}, "optimizer._target_=SGD: there is no such class; for example torch.optim.SGD"),
    "an unknown class": ({"_target_": "torch.optim.SDG"}, "optimizer._target_=torch.optim.SDG: there is no such class"),
    "an unknown module": ({"_target_": "torch.optima.SGD"}, "torch.optima.SGD: there is no such class"),
    "a relative name": ({"_target_": "..SGD"}, "optimizer._target_=..SGD: there is no such class"),
    "not an optimiser": (
        {"_target_": "torch.nn.Linear"},
        "optimizer._target_=torch.nn.Linear: is not a class of the kind of",
    ),
    "a function": ({"_target_": "os.system", "command": "true"}, "is not a class of the kind of torch.optim.SGD"),
    "the abstract class": ({"_target_": "torch.optim.Optimizer", "defaults": {}}, "is not a class of the kind of"),
    "an unknown argument": ({**SGD, "beta": 1}, "optimizer.beta: SGD has no such argument (it takes lr, momentum, "),
    "a wrong value": ({**SGD, "lr": -1.0}, "optimizer.lr=-1.0: SGD does not accept this: Invalid learning rate: -1.0"),
    "a wrong type": ({**SGD, "lr": "fast"}, "optimizer.lr=fast: SGD does not accept this: "),
    "contradictory values": ({**SGD, "nesterov": True}, "Nesterov momentum requires a momentum and zero dampening"),
    "too few betas": ({"_target_": "torch.optim.Adam", "betas": [0.9]}, "optimizer.betas=[0.9]: Adam does not accept"),
    "one beta": ({"_target_": "torch.optim.Adam", "betas": 0.9}, "optimizer.betas=0.9: Adam does not accept this: "),
    "fused and foreach": (
        {"_target_": "torch.optim.Adam", "fused": True, "foreach": True},
        "optimizer.fused=True optimizer.foreach=True: Adam does not accept this: ",
    ),
    "parameters": ({**SGD, "params": 1}, "SGD does not accept this: "),
    "no 1D parameters": ({"_target_": "torch.optim.Muon"}, "optimizer: Muon does not accept this: "),
}


@pytest.mark.parametrize(("settings", "message"), BAD_OPTIMIZERS.values(), ids=BAD_OPTIMIZERS.keys())
def test_an_invalid_optimiser_is_refused_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        build_optimizer(settings, output_layer(), replicas=1)
    assert message in str(caught.value)
    assert str(caught.value).startswith("optimizer")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["LBFGS", "Adafactor", "Muon"])
def test_an_optimiser_that_couples_replicas_is_refused_for_several_replicas(name: str) -> None:
    with pytest.raises(UserError, match=f"^optimizer._target_=torch.optim.{name}: would couple the replicas"):
        build_optimizer({"_target_": f"torch.optim.{name}"}, output_layer(2), replicas=2)


def test_lbfgs_runs_with_one_replica() -> None:
    module = ConstantModule(start=5.0, optimizer={"_target_": "torch.optim.LBFGS", "lr": 1.0})
    data = PiecewiseLinearData(updates=3, sampler=Full())
    fit(module, data, precision="64-true")
    assert module.values()["theta"].item() == pytest.approx(data.dataset.y.mean(), abs=1e-7)


def scheduler(name: str, **settings: Any) -> dict[str, Any]:
    return {"_target_": f"torch.optim.lr_scheduler.{name}", **settings}


SCHEDULERS = [
    scheduler("CosineAnnealingLR", T_max=20, eta_min=0.001),
    scheduler("ExponentialLR", gamma=0.9),
    scheduler("StepLR", step_size=3, gamma=0.1),
    scheduler("MultiStepLR", milestones=[2, 5]),
    scheduler("LinearLR", total_iters=5),
    scheduler("PolynomialLR", total_iters=20, power=2.0),
    scheduler("CosineAnnealingWarmRestarts", T_0=4),
    scheduler("OneCycleLR", max_lr=0.5, total_steps=20, cycle_momentum=False),
    scheduler("CyclicLR", base_lr=0.1, max_lr=0.5, step_size_up=4, cycle_momentum=False),
]


def rates(optimizer: torch.optim.Optimizer, scheduled: Any, updates: int) -> list[float]:
    found = []
    for _ in range(updates):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduled.step()
    return found


@pytest.mark.parametrize("settings", SCHEDULERS, ids=lambda settings: settings["_target_"].rpartition(".")[2])
def test_a_scheduler_gives_the_learning_rates_of_torch_from_the_first_update(settings: dict[str, Any]) -> None:
    optimizer = build_optimizer({**SGD, "momentum": 0.9}, output_layer(), replicas=1)
    found = rates(optimizer, build_scheduler(settings, optimizer), 20)
    plain = torch.optim.SGD(output_layer().values(), lr=0.1, momentum=0.9)
    arguments = {key: value for key, value in settings.items() if key != "_target_"}
    cls = getattr(torch.optim.lr_scheduler, settings["_target_"].rpartition(".")[2])
    assert found == pytest.approx(rates(plain, cls(plain, **arguments), 20), rel=1e-12)


def test_every_shipped_scheduler_builds() -> None:
    paths = sorted((conf_folder() / "scheduler").glob("*.yaml"))
    assert len(paths) > 1
    for path in (path for path in paths if path.stem != "none"):
        settings = {
            key: 100 if value == "${updates}" else value for key, value in yaml.safe_load(path.read_text()).items()
        }
        optimizer = build_optimizer(SGD, output_layer(), replicas=1)
        assert build_scheduler(settings, optimizer).get_last_lr() == [0.1]


def test_a_scheduler_counts_updates_not_segments() -> None:
    found = []
    for every in (7, 1000):
        module = ReLUModule(width=W, optimizer=SGD, scheduler=scheduler("ExponentialLR", gamma=0.9))
        fit(module, PiecewiseLinearData(updates=50, snapshots=EverySchedule(every)))
        found.append(module.values())
        assert module.lr_schedulers().get_last_lr() == pytest.approx([0.1 * 0.9**50])
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


CHANGES_MOMENTUM = "changes more than the learning rate; where it is the momentum, add +scheduler.cycle_momentum=false"
BAD_SCHEDULERS: dict[str, tuple[dict[str, Any], str]] = {
    "needs a metric": (scheduler("ReduceLROnPlateau"), "ReduceLROnPlateau: needs a metric at every update"),
    "OneCycleLR": (scheduler("OneCycleLR", max_lr=0.1, total_steps=10), f"lr_scheduler.OneCycleLR: {CHANGES_MOMENTUM}"),
    "CyclicLR": (scheduler("CyclicLR", base_lr=0.1, max_lr=1.0), f"lr_scheduler.CyclicLR: {CHANGES_MOMENTUM}"),
    "no target": ({"gamma": 0.9}, "scheduler._target_ is missing: the name of a class"),
    "an unknown class": (
        scheduler("StepRate"),
        "StepRate: there is no such class; for example torch.optim.lr_scheduler.",
    ),
    "the abstract class": (scheduler("LRScheduler"), "LRScheduler: is not a class of the kind of torch.optim."),
    "the abstract class's old name": (scheduler("_LRScheduler"), "does not accept this: NotImplementedError"),
    "an optimiser": (
        SGD,
        "scheduler._target_=torch.optim.SGD: is not a class of the kind of torch.optim.lr_scheduler.",
    ),
    "an unknown argument": (
        scheduler("StepLR", steps=3),
        "scheduler.steps: StepLR has no such argument (it takes step_size,",
    ),
    "an argument missing": (scheduler("StepLR"), "scheduler: StepLR does not accept this: "),
    "a period of 0": (scheduler("StepLR", step_size=0), "scheduler.step_size=0: StepLR does not accept this: "),
    "a wrong type": (
        scheduler("ExponentialLR", gamma="slow"),
        "scheduler.gamma=slow: ExponentialLR does not accept this: ",
    ),
    "no function": (scheduler("LambdaLR", lr_lambda="x"), "scheduler.lr_lambda=x: LambdaLR does not accept this: "),
    "needs schedulers": (scheduler("ChainedScheduler"), "scheduler: ChainedScheduler does not accept this: "),
}


@pytest.mark.parametrize("momentum", [0.8, 0.9, 0.95])
@pytest.mark.parametrize(("settings", "message"), BAD_SCHEDULERS.values(), ids=BAD_SCHEDULERS.keys())
def test_an_invalid_scheduler_is_refused_in_one_line(settings: dict[str, Any], message: str, momentum: float) -> None:
    # the cycles begin with momentum 0.9 or 0.95
    optimizer = build_optimizer({**SGD, "momentum": momentum}, output_layer(), replicas=1)
    with pytest.raises(UserError) as caught:
        build_scheduler(settings, optimizer)
    assert message in str(caught.value)
    assert str(caught.value).startswith("scheduler")
    assert "\n" not in str(caught.value)


def test_a_float64_checkpoint_loads_with_full_precision(tmp_path: Path) -> None:
    module = ConstantModule().double()
    with torch.no_grad():
        module.theta.fill_(1 / 3)
    checkpoint = {"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams)}
    checkpoint["pytorch-lightning_version"] = L.__version__
    torch.save(checkpoint, tmp_path / "a.ckpt")
    loaded = ConstantModule.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    assert loaded.theta.item() == 1 / 3


def test_numpy_settings_become_plain_python_values() -> None:
    module = ReLUModule(width=2, elbows="given", positions=np.array([0.25, 0.5]), seeds=np.array([3]))
    assert module.hparams["positions"] == [0.25, 0.5]
    assert type(module.hparams["seeds"][0]) is int


def test_sparse_adam_is_refused() -> None:
    with pytest.raises(UserError, match="sparse"):
        ConstantModule(optimizer={"_target_": "torch.optim.SparseAdam", "lr": 0.1}).configure_optimizers()
