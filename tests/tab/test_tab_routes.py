"""The plugin's routes return all of a run and nothing else, and one plain line for a request that they refuse."""

import argparse
import json
import urllib.parse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import get_route, running_tensorboard, wait_for_runs
from tab_runs import Writer, drifting_networks, write_run
from tensorboard.compat.proto.summary_pb2 import Summary

from reluviz.core.snapshot import MAX_SHOWN_REPLICAS
from reluviz.data.targets import piecewise_linear
from reluviz.record import tags
from reluviz.tab import series, wire_format
from reluviz.tab.loader import ReLULoader
from reluviz.tab.static_files import static_files

pytestmark = pytest.mark.long

SNAPSHOTS = 130
"""More than either of TensorBoard's readers keeps of a tensor by default."""
NAME = "a run/with é & '"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outside = tmp_path_factory.mktemp("outside")
    write_run(outside / "secret", 2)
    folder = outside / "logs"
    write_run(folder / NAME, SNAPSHOTS, width=4)
    resumed = drifting_networks(8, 4)
    first = Writer(folder / "resumed", width=4)
    for s in range(6):
        first.snapshot(100 * s, resumed[s] + 100)
    first.close()
    # resumed from the snapshot at 200: the first file's later snapshots are invalid
    second = Writer(folder / "resumed", width=4, write_data=False, purge_step=201)
    for s in (3, 4, 7):
        second.snapshot(100 * s, resumed[s])
    second.close()
    other = Writer(folder / "other", width=4, write_data=False)
    other.recorder._write([Summary.Value(tag="x", simple_value=1)], 0)
    other.close()
    return folder


@pytest.fixture(scope="module", params=["fast", "python"])
def address(request: pytest.FixtureRequest, folder: Path) -> Any:
    with running_tensorboard(folder, request.param == "fast") as address:
        wait_for_runs(address, {NAME: 100 * (SNAPSHOTS - 1), "resumed": 700})
        yield address


def named(run: str, **more: Any) -> str:
    return urllib.parse.urlencode({"run": run, **more})


def test_the_runs_are_listed_with_model_last_update_and_settings(address: str) -> None:
    listed = {entry["run"]: entry for entry in wait_for_runs(address, {})}
    assert set(listed) == {NAME, "resumed"}
    one = listed[NAME]
    assert (one["model"], one["last"], one["parameters"]) == ("relu", 100 * (SNAPSHOTS - 1), 13)
    assert one["settings"]["optimizer.lr"] == 0.02
    get_route(address, f"params?{named(NAME)}")
    assert {entry["run"]: entry for entry in wait_for_runs(address, {})}[NAME]["snapshots"] == SNAPSHOTS


def test_every_snapshot_is_returned(address: str) -> None:
    status, body, kind = get_route(address, f"params?{named(NAME)}")
    assert (status, kind) == (200, "application/octet-stream")
    arrays, header = wire_format.decode(body)
    assert arrays["update"].tolist() == [100 * s for s in range(SNAPSHOTS)]
    np.testing.assert_array_equal(arrays["values"], drifting_networks(SNAPSHOTS, 4).astype(np.float32))
    assert header["fields"] == [["input_slope", 4], ["bias", 4], ["output_weight", 4], ["output_bias", 1]]
    assert (header["total"], header["stride"], header["before"]) == (SNAPSHOTS, 1, 0)


def test_after_returns_only_later_snapshots(address: str) -> None:
    whole, _ = wire_format.decode(get_route(address, f"params?{named(NAME)}")[1])
    later, header = wire_format.decode(get_route(address, f"params?{named(NAME, after=12_500)}")[1])
    assert later["update"].tolist() == [12_600, 12_700, 12_800, 12_900]
    assert (header["before"], header["wall_before"]) == (126, whole["wall"][125])
    none, _ = wire_format.decode(get_route(address, f"params?{named(NAME, after=2**53)}")[1])
    assert none["values"].shape == (0, 1, 13)


def test_data_and_losses_are_returned(address: str) -> None:
    arrays, header = wire_format.decode(get_route(address, f"data?{named(NAME)}")[1])
    data = piecewise_linear()
    np.testing.assert_array_equal(arrays["x"], data.x)
    np.testing.assert_array_equal(arrays["y_test"], data.y_test)
    assert (header["model"], header["points"], len(header["trained"])) == ("relu", 200, 4)
    arrays, header = wire_format.decode(get_route(address, f"scalars?{named(NAME)}")[1])
    assert header["tags"] == ["loss/train"]
    assert arrays["u0"].tolist() == [100 * s for s in range(SNAPSHOTS)]


def test_a_resumed_run_has_each_update_once_with_its_last_values(address: str) -> None:
    arrays, _ = wire_format.decode(get_route(address, f"params?{named('resumed')}")[1])
    assert arrays["update"].tolist() == [0, 100, 200, 300, 400, 700]
    resumed = drifting_networks(8, 4)
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
        ("static/app/app.js", 404),
        ("app.js", 404),
        ("app", 404),
        ("app/", 404),
        ("%2e%2e/plugin.py", 404),
        ("..%2fplugin.py", 404),
        ("plugin.py", 404),
        ("app/index.js/../../plugin.py", 404),
        ("app/../../plugin.py", 404),
        ("app/..%2f..%2fplugin.py", 404),
        ("app%2findex.js/../../../plugin.py", 404),
        ("core/%2e%2e/%2e%2e/wire_format.py", 404),
    ],
)
def test_a_bad_request_is_refused_in_one_line(address: str, path: str, status: int) -> None:
    found, body, kind = get_route(address, path)
    assert found == status
    assert kind.startswith("text/plain")
    assert b"Traceback" not in body
    assert len(body.decode().strip().splitlines()) == 1
    assert len(body) < 400


def test_the_files_of_the_view_have_their_content_types(address: str) -> None:
    for path, expected in static_files().items():
        status, body, content_type = get_route(address, path)
        assert (status, content_type.split(";")[0]) == (200, "text/css" if path.endswith(".css") else "text/javascript")
        assert body == expected
    assert {"app/index.js", "core/models/relu.js", "style.css"} <= static_files().keys()


def test_a_long_run_is_thinned_and_its_stride_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "MAX_SNAPSHOTS", 100)
    values = np.arange(250.0).reshape(-1, 1, 1)
    found = series.snapshots(range(250), np.arange(250.0).tolist(), lambda i: values[i], [["theta", 1]])
    assert (found.total, found.stride) == (250, 4)
    assert found.update.tolist() == [*range(0, 250, 4), 249]
    np.testing.assert_array_equal(found.values[:, 0, 0], found.update)
    monkeypatch.setattr(series, "MAX_VALUES", 30)
    assert series.thinning_stride(250, 1) == 16


@pytest.mark.parametrize(
    ("step", "wall", "kept"),
    [
        ([0, 1, 2], [5, 4, 3], [0, 1, 2]),
        ([0, 1, 2, 1, 2], [0, 1, 2, 3, 4], [0, 3, 4]),
        ([0, 1, 1, 2, 2, 3], [0, 1, 4, 2, 5, 3], [0, 2, 4]),
        ([3, 3], [1, 1], [1]),
        ([], [], []),
    ],
    ids=["a clock that was set back", "resumed", "sorted by step", "same step and time twice", "empty"],
)
def test_steps_increase_and_the_later_event_wins(step: list[int], wall: list[float], kept: list[int]) -> None:
    assert series.increasing_steps(step, wall) == kept


def test_many_points_are_sampled_and_nan_becomes_text() -> None:
    n = 5000
    content = {"fields": [["x", n], ["y", n]], "model": "relu", "settings": {"a": float("nan"), "b": [float("inf"), 1]}}
    values = np.concatenate([np.arange(n), -np.arange(n)]).astype(float)
    arrays, header = wire_format.decode(series.encode_data(values, content))
    assert header["points"] == n
    assert len(arrays["x"]) == series.MAX_POINTS
    np.testing.assert_array_equal(arrays["y"], -arrays["x"])
    assert (arrays["x"][0], arrays["x"][-1]) == (0, n - 1)
    assert json.loads(json.dumps(header["settings"], allow_nan=False)) == {"a": "nan", "b": ["inf", 1]}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"fields": 3}', b'{"fields": [["a"]]}', b"\xff"],
)
def test_tensors_of_another_program_are_unreadable(content: bytes) -> None:
    with pytest.raises(series.UnreadableRun):
        series.parse_content(content)


def test_values_that_do_not_fit_their_fields_are_unreadable() -> None:
    with pytest.raises(series.UnreadableRun, match=r"shape \[2, 3\], not \[replicas, 4\]"):
        series.snapshots([0], [0.0], lambda _: np.zeros((2, 3)), [["a", 4]])
    with pytest.raises(series.UnreadableRun, match="length of its data set"):
        series.encode_data(np.zeros(3), {"fields": [["x", 2], ["y", 2]]})


def test_flags_that_the_user_has_set_are_kept() -> None:
    flags = argparse.Namespace(samples_per_plugin={}, reload_interval=5.0)
    ReLULoader().fix_flags(flags)
    assert (flags.samples_per_plugin, flags.reload_interval) == ({tags.PLUGIN: 0}, 1.0)
    flags = argparse.Namespace(samples_per_plugin={tags.PLUGIN: 7}, reload_interval=30.0)
    ReLULoader().fix_flags(flags)
    assert (flags.samples_per_plugin, flags.reload_interval) == ({tags.PLUGIN: 7}, 30.0)


def test_only_the_first_of_many_replicas_are_shown() -> None:
    values = np.arange(3 * 1000 * 2, dtype=np.float64).reshape(3, 1000, 2)
    found = series.snapshots([0, 1, 2], [0.0, 1.0, 2.0], lambda i: values[i], [["theta", 2]])
    assert found.values.shape == (3, MAX_SHOWN_REPLICAS, 2)
    assert (found.values == values[:, :MAX_SHOWN_REPLICAS]).all()
    few = series.snapshots([0], [0.0], lambda i: values[i, :7], [["theta", 2]])
    assert few.values.shape == (1, 7, 2)
