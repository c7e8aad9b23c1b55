"""Files made to take memory or to end in a traceback: one line that names the file, and nothing changed."""

import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from damage import YAML_TEXTS, a_huge_length, aliases, contents, packed, peak_memory, record
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.errors import InvalidArgumentError
from tensorboard.util import tensor_util

from reluviz.__main__ import main
from reluviz.analysis import load_run
from reluviz.analysis.report.run_summary import read_run
from reluviz.errors import UserError
from reluviz.files import parse_json, read_plain_yaml
from reluviz.models import ReLUModule
from reluviz.models.torch_files import load_torch_file
from reluviz.record.event_file import read_events
from reluviz.tab import series
from reluviz.tab.damaged_runs import contain_damage

BRACKETS = "[" * 5000 + "]" * 5000


@pytest.fixture(autouse=True)
def bounded_memory() -> Any:
    before = peak_memory()
    yield
    assert peak_memory() - before < 400e6


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    words = ["optimizer=adam", "scheduler=step", "model.width=4", "updates=4", "snapshots.every=2", "callbacks=minimal"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", "train", *words, f"hydra.run.dir={folder}"])
        assert main() == 0
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def refused(run: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """`refused()`: the one line with which `ckpt_path=run` is refused; nothing in the folder changes."""

    def refuse() -> str:
        before = contents(run)
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["reluviz", "train", f"ckpt_path={run}", "updates=8"])
        assert main() == 2
        err = capfd.readouterr().err
        assert err.startswith("reluviz: ")
        assert err.count("\n") == 1
        assert contents(run) == before
        return err

    return refuse


def events(run: Path) -> Path:
    return next(run.glob("events*"))


@pytest.mark.parametrize("text", [aliases(), "x: " + "[" * 5000 + "]" * 5000, "- " * 3000 + "1\n", YAML_TEXTS[11]])
def test_settings_that_expand_are_refused_and_the_run_is_still_read(
    run: Path, refused: Callable[[], str], text: str
) -> None:
    (run / ".hydra" / "config.yaml").write_text(text)
    assert str(run / ".hydra") in refused()
    (summary, listed) = read_run(run, 1000)
    assert summary is None
    assert listed is not None
    assert listed.reason == "damaged"
    assert listed.detail.startswith(".hydra/config.yaml ")
    # the record has the settings too
    assert load_run(run).updates[-1] == 4


def test_plain_yaml_is_read_and_long_yaml_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: [1, {b: 2}]\nc: glob(*)\n")
    assert read_plain_yaml(path) == path.read_bytes()
    path.write_text("a: " + "1" * 2**22)
    with pytest.raises(ValueError, match="is longer than"):
        read_plain_yaml(path)


@pytest.mark.parametrize("text", [BRACKETS, '{"a":' * 900 + "1" + "}" * 900])
def test_json_that_is_nested_deeply_is_refused(run: Path, text: str) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(text)
    with pytest.raises(series.UnreadableRun):
        series.parse_content(text.encode())
    for name in ("metrics.json", "failure.json"):
        (run / name).write_text(text)
        (summary, listed) = read_run(run, 1000)
        assert summary is None
        assert listed is not None
        assert listed.detail == f"{name} is damaged"
    assert load_run(run).metrics is None


def change_tensor(path: Path, tag: str, change: Callable[[Any], None]) -> None:
    found = list(read_events(path))
    for event in found:
        for value in event.summary.value:
            if value.tag == tag:
                change(value)
    path.write_bytes(b"".join(record(event.SerializeToString()) for event in found))


def set_shape(value: Any) -> None:
    del value.tensor.tensor_shape.dim[:]
    value.tensor.tensor_shape.dim.add(size=10**12)


def test_a_tensor_of_a_huge_shape_is_refused(run: Path) -> None:
    change_tensor(events(run), "reluviz/params", set_shape)
    with pytest.raises(UserError, match=str(run)):
        load_run(run)


def test_the_content_of_a_tensor_that_is_nested_deeply_is_refused(run: Path) -> None:
    def nest(value: Any) -> None:
        value.metadata.plugin_data.content = BRACKETS.encode()

    change_tensor(events(run), "reluviz/data", nest)
    with pytest.raises(UserError, match=str(run)):
        load_run(run)


def test_tensorboard_repeats_no_value_beyond_the_bytes_of_its_tensor() -> None:
    contain_damage()
    huge = TensorProto(dtype=1, float_val=[1.0])
    huge.tensor_shape.dim.add(size=10**12)
    with pytest.raises(InvalidArgumentError, match="has only"):
        tensor_util.make_ndarray(huge)
    odd = TensorProto(dtype=1, tensor_content=b"12345678")
    odd.tensor_shape.dim.add(size=3)
    with pytest.raises(InvalidArgumentError, match="damaged"):
        tensor_util.make_ndarray(odd)
    few = TensorProto(dtype=1, float_val=[2.0])
    few.tensor_shape.dim.add(size=3)
    assert tensor_util.make_ndarray(few).tolist() == [2, 2, 2]


def test_a_record_longer_than_its_file_is_not_read(run: Path) -> None:
    a_huge_length(random.Random(0), events(run))
    assert load_run(run).updates[-1] == 4


def test_a_pipe_among_the_event_files_does_not_block(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    if os.name != "posix":
        pytest.skip("Windows has no such files")
    from reluviz.analysis import last

    logs = run.parent / "logs"
    logs.mkdir()
    shutil.move(run, logs / "run")
    os.mkfifo(logs / "run" / "events.out.tfevents.1.a")
    monkeypatch.chdir(run.parent)
    assert last.run_folder("last") == os.path.join("logs", "run")


@pytest.mark.parametrize("name", ["metrics.json", "events*"])
def test_a_folder_in_place_of_what_is_recorded_is_refused_before_training(
    run: Path, refused: Callable[[], str], name: str
) -> None:
    path = next(run.glob(name))
    path.unlink()
    path.mkdir()
    assert f"{path} is no file" in refused()


# Checkpoints


def in_checkpoint(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        loaded = torch.load(path, weights_only=True)
        change(loaded)
        torch.save(loaded, path)

    return apply


def state(key: str, value: Callable[[torch.Tensor], Any]) -> Callable[[Path], None]:
    return in_checkpoint(lambda held: held["state_dict"].update({key: value(held["state_dict"][key])}))


def shared(held: dict[str, Any]) -> None:
    value: Any = [1] * 10
    for _ in range(12):
        value = [value] * 10
    held["hyper_parameters"]["seeds"] = value


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    at = data.index(torch.load(path, weights_only=True)["state_dict"]["bias"].numpy().tobytes())
    data[at] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a flipped bit": (flip, "the checksum of "),
    "compressed": (lambda path: packed(random.Random(0), path), "compressed"),
    "without a parameter": (in_checkpoint(lambda held: held["state_dict"].pop("bias")), "state_dict.bias is missing"),
    "a further parameter": (in_checkpoint(lambda held: held["state_dict"].update(extra=1)), "extra is no part of"),
    "another shape": (state("bias", lambda value: value[:, :2]), "state_dict.bias has shape (1, 2)"),
    "sparse": (state("bias", lambda value: value.to_sparse()), "plain real numbers"),
    "meta": (state("bias", lambda value: value.to("meta")), "plain real numbers"),
    "complex": (state("bias", lambda value: value.to(torch.complex64)), "plain real numbers"),
    "expanded": (state("bias", lambda value: torch.zeros(1).expand(10**7, 10**5)), "larger than the file"),
    "a shared list": (in_checkpoint(shared), "too often"),
    "without an optimiser": (in_checkpoint(lambda held: held.pop("optimizer_states")), "optimizer_states is missing"),
    "without a moment": (
        in_checkpoint(lambda held: held["optimizer_states"][0]["state"][1].pop("exp_avg")),
        "optimizer_states[0].state.1.exp_avg is missing",
    ),
    "a moment of another shape": (
        in_checkpoint(lambda held: held["optimizer_states"][0]["state"][1].update(exp_avg=torch.zeros(7))),
        "exp_avg has shape (7,)",
    ),
    "without a scheduler": (in_checkpoint(lambda held: held["lr_schedulers"].clear()), "lr_schedulers is no list of 1"),
    "without loops": (in_checkpoint(lambda held: held.pop("loops")), "loops is missing"),
    "a negative count": (in_checkpoint(lambda held: held.update(global_step=-1)), "no count"),
    "an epoch that is no number": (in_checkpoint(lambda held: held.update(epoch=float("nan"))), "epoch is nan"),
    "without snapshots": (in_checkpoint(lambda held: held["callbacks"].clear()), "SnapshotLogger is missing"),
    "a history of other points": (
        in_checkpoint(lambda held: held["callbacks"]["SnapshotLogger"]["history"].update(norms=torch.zeros(2, 3))),
        "history.norms has shape (2, 3)",
    ),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_checkpoint_with_a_damaged_part_is_refused_before_anything_is_changed(
    run: Path, refused: Callable[[], str], case: str
) -> None:
    damage, why = DAMAGES[case]
    damage(run / "checkpoints" / "last.ckpt")
    line = refused()
    assert "last.ckpt" in line
    assert why in line


@pytest.mark.parametrize(
    "case", ["a flipped bit", "compressed", "without a parameter", "another shape", "sparse", "meta", "expanded"]
)
def test_the_library_refuses_a_damaged_checkpoint_and_names_it(run: Path, case: str) -> None:
    path = run / "checkpoints" / "last.ckpt"
    DAMAGES[case][0](path)
    with pytest.raises(UserError, match=str(path)):
        ReLUModule.load_from_checkpoint(path)


def test_a_state_file_that_is_damaged_or_expands_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    network = torch.nn.Sequential(torch.nn.Linear(1, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1)).state_dict()
    torch.save(network, path)
    assert load_torch_file(path).keys() == network.keys()
    packed(random.Random(0), path)
    with pytest.raises(UserError, match=r"model\.init_from=.*compressed"):
        ReLUModule(3, init_from=str(path))
    torch.save(network | {"0.bias": torch.zeros(3).to_sparse()}, path)
    with pytest.raises(UserError, match=r"model\.init_from=.*plain real numbers"):
        ReLUModule(3, init_from=str(path))


HOSTILE_STATES = {
    "nested deeply": ('{"0.weight": ' + BRACKETS + "}", "is not JSON (is nested too deeply)"),
    "objects nested deeply": ('{"a":' * 900 + "1" + "}" * 900, "is not JSON (is nested too deeply)"),
    "too long": ('{"0.weight": [' + "[]," * 10**6 + "[]]}", "is not JSON (it is longer than 1,049,436 bytes)"),
    "much longer": ("{" + " " * 10**8 + "}", "is not JSON (it is longer than 1,049,436 bytes)"),
    "many keys": (
        "{" + ",".join(f'"{i}":0' for i in range(10**5)) + "}",
        "holds '0', '1', '2', '3', '4', '5'; the keys",
    ),
    "a long number": ('{"0.weight": ' + "9" * 10**6 + "}", "is not JSON ("),
    "a long text": (
        '{"0.weight":1,"0.bias":1,"2.weight":1,"2.bias":"' + "a" * 10**6 + '"}',
        '2.bias holds "aaaaaaaaa',
    ),
}


@pytest.mark.parametrize(("text", "message"), HOSTILE_STATES.values(), ids=HOSTILE_STATES)
def test_a_state_in_json_made_to_take_memory_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        ReLUModule(3, init_from=str(path))
    line = str(caught.value)
    assert line.startswith(f"model.init_from={path}: {message}")
    assert len(line) < 400
    assert "\n" not in line


def test_a_count_of_a_field_that_is_no_count_does_not_hide_other_runs() -> None:
    for count in ("1e999", "-5", '"x"'):
        with pytest.raises(series.UnreadableRun):
            series.parse_content(f'{{"fields": [["x", {count}]]}}'.encode())
