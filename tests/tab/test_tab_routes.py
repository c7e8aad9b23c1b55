"""What the plugin answers: all of a run and nothing else, and a plain line to whoever asks for what there is not."""

import argparse
import json
import urllib.parse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import ask, read, tensorboard
from tab_runs import Writer, walk, write_run
from tensorboard.compat.proto.summary_pb2 import Summary

from reluviz.core.snapshot import MOST_SHOWN
from reluviz.data.targets import piecewise_linear
from reluviz.record import tags
from reluviz.tab import series, wire_format
from reluviz.tab.loader import ReLULoader

SNAPSHOTS = 130
"""More than either of TensorBoard's readers keeps of a tensor by default."""
NAME = "a run/with é & '"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outside = tmp_path_factory.mktemp("outside")
    write_run(outside / "secret", 2)
    folder = outside / "logs"
    write_run(folder / NAME, SNAPSHOTS, width=4)
    resumed = walk(8, 4)
    first = Writer(folder / "resumed", width=4)
    for s in range(6):
        first.snapshot(100 * s, resumed[s] + 100)
    first.close()
    # resumed from the snapshot at 200: what was written after it counts no more
    second = Writer(folder / "resumed", width=4, begin=False, purge_step=201)
    for s in (3, 4, 7):
        second.snapshot(100 * s, resumed[s])
    second.close()
    other = Writer(folder / "other", width=4, begin=False)
    other.recorder._write([Summary.Value(tag="x", simple_value=1)], 0)
    other.close()
    return folder


@pytest.fixture(scope="module", params=["fast", "python"])
def address(request: pytest.FixtureRequest, folder: Path) -> Any:
    with tensorboard(folder, request.param == "fast") as address:
        read(address, {NAME: 100 * (SNAPSHOTS - 1), "resumed": 700})
        yield address


def named(run: str, **more: Any) -> str:
    return urllib.parse.urlencode({"run": run, **more})


def test_the_runs_are_listed_with_what_a_reader_chooses_by(address: str) -> None:
    listed = {one["run"]: one for one in read(address, {})}
    assert set(listed) == {NAME, "resumed"}
    one = listed[NAME]
    assert (one["model"], one["last"], one["parameters"]) == ("relu", 100 * (SNAPSHOTS - 1), 13)
    assert one["settings"]["optimizer.lr"] == 0.02
    ask(address, f"params?{named(NAME)}")
    assert {o["run"]: o for o in read(address, {})}[NAME]["snapshots"] == SNAPSHOTS


def test_every_snapshot_is_there(address: str) -> None:
    status, body, kind = ask(address, f"params?{named(NAME)}")
    assert (status, kind) == (200, "application/octet-stream")
    arrays, header = wire_format.decode(body)
    assert arrays["update"].tolist() == [100 * s for s in range(SNAPSHOTS)]
    np.testing.assert_array_equal(arrays["values"], walk(SNAPSHOTS, 4).astype(np.float32))
    assert header["fields"] == [["input_slope", 4], ["bias", 4], ["output_weight", 4], ["output_bias", 1]]
    assert (header["total"], header["stride"], header["before"]) == (SNAPSHOTS, 1, 0)


def test_only_later_snapshots_where_they_are_asked_for(address: str) -> None:
    whole, _ = wire_format.decode(ask(address, f"params?{named(NAME)}")[1])
    later, header = wire_format.decode(ask(address, f"params?{named(NAME, after=12_500)}")[1])
    assert later["update"].tolist() == [12_600, 12_700, 12_800, 12_900]
    assert (header["before"], header["wall_before"]) == (126, whole["wall"][125])
    none, _ = wire_format.decode(ask(address, f"params?{named(NAME, after=2**53)}")[1])
    assert none["values"].shape == (0, 1, 13)


def test_data_and_losses(address: str) -> None:
    arrays, header = wire_format.decode(ask(address, f"data?{named(NAME)}")[1])
    data = piecewise_linear()
    np.testing.assert_array_equal(arrays["x"], data.x)
    np.testing.assert_array_equal(arrays["y_test"], data.y_test)
    assert (header["model"], header["points"], len(header["trained"])) == ("relu", 200, 4)
    arrays, header = wire_format.decode(ask(address, f"scalars?{named(NAME)}")[1])
    assert header["tags"] == ["loss/train"]
    assert arrays["u0"].tolist() == [100 * s for s in range(SNAPSHOTS)]


def test_a_resumed_run_has_each_update_once_and_the_last_writing_wins(address: str) -> None:
    arrays, _ = wire_format.decode(ask(address, f"params?{named('resumed')}")[1])
    assert arrays["update"].tolist() == [0, 100, 200, 300, 400, 700]
    resumed = walk(8, 4)
    expected = [resumed[0] + 100, resumed[1] + 100, resumed[2] + 100, resumed[3], resumed[4], resumed[7]]
    np.testing.assert_array_equal(arrays["values"], np.array(expected).astype(np.float32))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("params", 400),
        ("params?run=a&run=b", 400),
        ("params?run=none", 404),
        ("params?run=", 404),
        ("params?run=other", 404),
        ("data?run=../outside/secret", 404),
        ("data?run=..%2Fsecret", 404),
        ("scalars?run=%00", 404),
        ("params?run=resumed&after=-1", 400),
        ("params?run=resumed&after=nan", 400),
        ("params?run=resumed&after=Infinity", 400),
        ("params?run=resumed&after=1e3", 400),
        ("params?run=resumed&after=", 400),
        ("params?run=resumed&after=%D9%A3", 400),
        ("params?run=resumed&after=9007199254740993", 400),
        (f"params?run=resumed&after={'9' * 5000}", 400),
        (f"params?run={'x' * 5000}", 404),
        ("tensors?run=resumed", 404),
        ("../reluviz/../../../etc/passwd", 404),
        ("static/app.js", 404),
        ("%2e%2e/page.py", 404),
        ("..%2fpage.py", 404),
        ("page.py", 404),
        ("index.js/../page.py", 404),
    ],
)
def test_what_there_is_not_is_refused_in_a_line(address: str, path: str, status: int) -> None:
    found, body, kind = ask(address, path)
    assert found == status
    assert kind.startswith("text/plain")
    assert b"Traceback" not in body
    assert len(body.decode().strip().splitlines()) == 1
    assert len(body) < 400


def test_the_files_of_the_view_are_served_as_what_they_are(address: str) -> None:
    for name, kind in (("index.js", "text/javascript"), ("math.js", "text/javascript"), ("style.css", "text/css")):
        status, body, found = ask(address, name)
        assert (status, found.split(";")[0]) == (200, kind)
        assert len(body) > 300


def test_a_long_run_is_thinned_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "MOST_SNAPSHOTS", 100)
    values = np.arange(250.0).reshape(-1, 1, 1)
    made = series.snapshots(range(250), np.arange(250.0).tolist(), lambda i: values[i], [["theta", 1]])
    assert (made.total, made.stride) == (250, 4)
    assert made.update.tolist() == [*range(0, 250, 4), 249]
    np.testing.assert_array_equal(made.values[:, 0, 0], made.update)
    monkeypatch.setattr(series, "MOST_VALUES", 30)
    assert series.thin(250, 1) == 16


@pytest.mark.parametrize(
    ("step", "wall", "kept"),
    [
        ([0, 1, 2], [5, 4, 3], [0, 1, 2]),
        ([0, 1, 2, 1, 2], [0, 1, 2, 3, 4], [0, 3, 4]),
        ([0, 1, 1, 2, 2, 3], [0, 1, 4, 2, 5, 3], [0, 2, 4]),
        ([3, 3], [1, 1], [1]),
        ([], [], []),
    ],
    ids=["a clock that was set back", "resumed", "sorted by step", "twice at once", "nothing"],
)
def test_steps_increase_and_the_later_writing_wins(step: list[int], wall: list[float], kept: list[int]) -> None:
    assert series.increasing(step, wall) == kept


def test_many_points_are_sampled_and_no_number_is_no_json() -> None:
    n = 5000
    told = {"fields": [["x", n], ["y", n]], "model": "relu", "settings": {"a": float("nan"), "b": [float("inf"), 1]}}
    values = np.concatenate([np.arange(n), -np.arange(n)]).astype(float)
    arrays, header = wire_format.decode(series.encode_data(values, told))
    assert header["points"] == n
    assert len(arrays["x"]) == series.MOST_POINTS
    np.testing.assert_array_equal(arrays["y"], -arrays["x"])
    assert (arrays["x"][0], arrays["x"][-1]) == (0, n - 1)
    assert json.loads(json.dumps(header["settings"], allow_nan=False)) == {"a": "nan", "b": ["inf", 1]}


@pytest.mark.parametrize(
    "told",
    [b"", b"{", b"[]", b'{"fields": 3}', b'{"fields": [["a"]]}', b"\xff"],
)
def test_foreign_tensors_are_damaged_and_no_traceback(told: bytes) -> None:
    with pytest.raises(series.Damaged):
        series.content(told)


def test_parameters_that_are_not_what_they_say_are_damaged() -> None:
    with pytest.raises(series.Damaged, match=r"shape \[2, 3\], not \[replicas, 4\]"):
        series.snapshots([0], [0.0], lambda _: np.zeros((2, 3)), [["a", 4]])
    with pytest.raises(series.Damaged, match="as long as it says"):
        series.encode_data(np.zeros(3), {"fields": [["x", 2], ["y", 2]]})


def test_a_user_s_own_flags_are_kept() -> None:
    flags = argparse.Namespace(samples_per_plugin={}, reload_interval=5.0)
    ReLULoader().fix_flags(flags)
    assert (flags.samples_per_plugin, flags.reload_interval) == ({tags.PLUGIN: 0}, 1.0)
    flags = argparse.Namespace(samples_per_plugin={tags.PLUGIN: 7}, reload_interval=30.0)
    ReLULoader().fix_flags(flags)
    assert (flags.samples_per_plugin, flags.reload_interval) == ({tags.PLUGIN: 7}, 30.0)


def test_of_many_replicas_the_first_are_shown():
    values = np.arange(3 * 1000 * 2, dtype=np.float64).reshape(3, 1000, 2)
    made = series.snapshots([0, 1, 2], [0.0, 1.0, 2.0], lambda i: values[i], [["theta", 2]])
    assert made.values.shape == (3, MOST_SHOWN, 2)
    assert (made.values == values[:, :MOST_SHOWN]).all()
    few = series.snapshots([0], [0.0], lambda i: values[i, :7], [["theta", 2]])
    assert few.values.shape == (1, 7, 2)
