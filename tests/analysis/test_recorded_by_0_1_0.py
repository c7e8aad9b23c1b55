"""Runs recorded by version 0.1.0 can be read, exported, reported on, resumed and reproduced.

The folders in tests/fixtures/0.1.0 are as version 0.1.0 left them. Its folder `expected` contains what 0.1.0 read from
these runs, and the results of 0.1.0 for what the tests do. Recorded values are compared bit for bit on every computer.
The last digits of some computed values depend on the processor. These are compared bit for bit on a computer like the
one that recorded the runs, and with tolerances on other computers.
"""

import base64
import csv
import gzip
import hashlib
import json
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import llvmlite.binding
import numba
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from reluviz import FileData, Linear, ReLUModule, Run, SnapshotLogger, UserError, WithReplacement, load_run
from reluviz.__main__ import main

FIXTURES = Path(__file__).parents[1] / "fixtures" / "0.1.0"
COMMANDS = json.loads((FIXTURES / "commands.json").read_text())
EXPECTED = json.loads((FIXTURES / "expected" / "expected.json").read_text())
RUNS = {one["run"]: one for one in COMMANDS["runs"]}
STOPPED = {one["run"]: one for one in COMMANDS["stopped"]}
PROLONGED = {one["run"]: one for one in COMMANDS["prolonged"]}
SWEEPS = {one["sweep"]: one["words"] for one in COMMANDS["sweeps"]}
FOLDERS = [*RUNS, *STOPPED]
DERIVED_QUANTITIES = ("elbow", "orientation", "active_slope", "slope_jump", "unit_status")
SUMMARY_TAGS = ("loss/batch", "grad/norm", "grad/noise_scale", "votes/effective", "theta/optimum")
TOLERANCES = {"float32": {"rtol": 1e-5, "atol": 2e-6}, "float64": {"rtol": 1e-12, "atol": 1e-12}}
"""Tolerances for results of two processors after hundreds of updates, by the precision of the run."""


def this_computer() -> dict[str, str]:
    """Return the properties of this computer that can change the last digits of a computation."""
    features = llvmlite.binding.get_host_cpu_features()
    return {
        "machine": platform.machine(),
        "processor": llvmlite.binding.get_host_cpu_name(),
        "features": ",".join(sorted(name for name, has in features.items() if has)),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "numba": numba.__version__,
    }


LIKE_RECORDING_COMPUTER = this_computer() == COMMANDS["recorded on"]


def expected(name: str) -> dict[str, NDArray[Any]]:
    """Return the expected arrays of a run or a module."""
    with np.load(FIXTURES / "expected" / f"{name}.npz", allow_pickle=False) as file:
        return dict(file)


def assert_same(found: Any, wanted: Any, exactly: bool, rtol: float, atol: float, label: str) -> None:
    """Compare bit for bit if `exactly` is true or this computer is like the recording one, else with tolerances."""
    if exactly or LIKE_RECORDING_COMPUTER:
        np.testing.assert_array_equal(found, wanted, err_msg=label)
    else:
        np.testing.assert_allclose(found, wanted, rtol=rtol, atol=atol, err_msg=label)


def assert_same_snapshots(run: Run, wanted: dict[str, NDArray[Any]], exactly: bool) -> None:
    """Compare all snapshots of a run trained by the test with those of the same run trained by 0.1.0."""
    tolerances = TOLERANCES[str(run.rows.dtype)]
    np.testing.assert_array_equal(run.updates, wanted["updates"])
    for name, values in run.parameters.items():
        assert_same(values, wanted[name], exactly, **tolerances, label=name)
    # sums over the points, whose order depends on the processor
    assert_same(run.loss("train"), wanted["loss_train"], False, **tolerances, label="loss/train")
    if "loss_test" in wanted:
        assert_same(run.loss("test"), wanted["loss_test"], False, **tolerances, label="loss/test")
    # votes are recorded in float32
    assert_same(run.votes, wanted["votes"], False, rtol=1e-4, atol=1e-5, label="votes")


def assert_same_metrics(found: dict[str, Any] | None, wanted: dict[str, Any], exactly: bool, precision: str) -> None:
    """Compare the contents of two metrics.json files, except times and versions, and findings, which 0.1.0 had not."""
    found = without_times_and_versions(found)
    found.pop("findings", None)
    # a solution depends on the features, and is sensitive to their last digits
    rtol = 1e-8 if exactly or LIKE_RECORDING_COMPUTER else 10 * TOLERANCES[precision]["rtol"]
    assert_same_solutions(found["reference"], wanted["reference"], rtol)
    if LIKE_RECORDING_COMPUTER:
        solved = ("reference", "theta/optimum")
        assert {key: value for key, value in found.items() if key not in solved} == {
            key: value for key, value in wanted.items() if key not in solved
        }
        return
    assert list(found) == list(wanted)
    for key in ("name", "status", "engine", "updates", "seeds"):
        assert found[key] == wanted[key]
    for key in ("input_slope", "bias", "output_weight", "output_bias", "theta"):
        if key in wanted:
            assert_same(found[key], wanted[key], exactly, **TOLERANCES[precision], label=key)
    for key in ("loss/train", "loss/test"):
        if wanted[key] is not None:
            assert_same(found[key], wanted[key], False, **TOLERANCES[precision], label=key)


def assert_same_solutions(found: dict[str, Any], wanted: dict[str, Any], rtol: float) -> None:
    """Compare solutions in closed form, which 0.1.0 computed with torch."""
    assert list(found) == list(wanted)
    for key, value in wanted.items():
        if isinstance(value, dict):
            assert_same_solutions(found[key], value, rtol)
        elif key == "rank":
            assert found[key] == value
        else:
            np.testing.assert_allclose(found[key], value, rtol=1e-3 if key == "condition_number" else rtol)


def without_times_and_versions(metrics: dict[str, Any] | None) -> dict[str, Any]:
    """Return metrics without the keys that differ between equal runs."""
    assert metrics is not None
    return {key: value for key, value in metrics.items() if key not in ("seconds", "versions")}


def read_metrics(folder: Path) -> dict[str, Any] | None:
    """Return the contents of a run's metrics.json, or None if the run has not ended."""
    path = folder / "metrics.json"
    return json.loads(path.read_text()) if path.exists() else None


def contents(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files below a folder."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def reluviz(*words: str | Path) -> int:
    """Run a command line in this process and return its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", *map(str, words)])
        return main()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the recorded runs, as the current folder: file names in the settings of the runs are relative to it."""
    folder = tmp_path / "home"
    shutil.copytree(FIXTURES, folder, ignore=shutil.ignore_patterns("expected"))
    monkeypatch.chdir(folder)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    return folder


# Reading


@pytest.mark.parametrize("name", [*FOLDERS, "library"])
def test_a_run_is_read_bit_for_bit(name: str) -> None:
    run, attributes, wanted = load_run(FIXTURES / name), EXPECTED["runs"][name], expected(name)
    assert run.folder == FIXTURES / name
    assert run.findings == ()
    for key in ("model", "name", "status", "settings", "repr"):
        assert (repr(run) if key == "repr" else getattr(run, key)) == attributes[key]
    for key in ("seeds", "trained", "tags"):
        assert list(getattr(run, key)) == attributes[key]
    assert [list(field) for field in run.fields] == attributes["fields"]
    assert run.metrics == read_metrics(FIXTURES / name)
    assert run.damaged == ()
    assert run.rows.dtype == attributes["dtype"]
    assert {"name": run.data.name, "domain": list(run.data.domain)} == attributes["data"]
    arrays = {"x": run.data.x, "y": run.data.y, "recorded": run.recorded, "updates": run.updates, "walls": run.walls}
    arrays |= {"votes": run.votes, **run.parameters}
    if run.model == "relu":
        # single operations, which all processors round in the same way
        arrays |= {key: getattr(run, key) for key in DERIVED_QUANTITIES}
    for key, values in arrays.items():
        np.testing.assert_array_equal(values, wanted[key], err_msg=key)
        assert values.dtype == wanted[key].dtype
    for key in run.parameters:
        np.testing.assert_array_equal(getattr(run, key), wanted[key])
    for number, key in enumerate(("residual", "norm", "vote_share")):
        np.testing.assert_array_equal(getattr(run, key), wanted["votes"][:, :, number])
    assert_same_test_points(run, attributes["test_points"])
    counts = wanted["scalar_counts"].tolist()
    assert [len(run.scalars(tag)[0]) for tag in run.tags] == counts
    for number, key in enumerate(("scalar_updates", "scalar_values")):
        np.testing.assert_array_equal(np.concatenate([run.scalars(tag)[number] for tag in run.tags]), wanted[key])


def assert_same_test_points(run: Run, wanted: list[Any] | None) -> None:
    """Compare the number and the SHA-256 of the test points; None means that the run has none."""
    x, y = run.data.x_test, run.data.y_test
    if wanted is None:
        assert x is None
        assert y is None
        return
    assert x is not None
    assert y is not None
    assert [len(x), *(hashlib.sha256(values.tobytes()).hexdigest() for values in (x, y))] == wanted


@pytest.mark.parametrize("name", [*FOLDERS, "library"])
def test_values_computed_from_the_parameters_are_the_same_as_in_0_1_0(name: str) -> None:
    run, wanted = load_run(FIXTURES / name), expected(name)
    low, high = run.data.domain
    found = {"loss_train": run.loss("train")}
    found |= {f"contribution.{key}": values for key, values in run.contributions().items()}
    if "loss_test" in wanted:
        found["loss_test"] = run.loss("test")
    if "target" in wanted:
        assert run.data.target is not None
        found["target"] = run.data.target(run.data.x)
    assert run.data.target is not None or "target" not in wanted
    for key, values in found.items():
        assert_same(values, wanted[key], False, rtol=1e-12, atol=1e-14, label=key)
    # 0.1.0 computed it with torch, which adds in another order
    f = run.predict(np.linspace(low, high, 9))
    np.testing.assert_allclose(f, wanted["prediction"], rtol=1e-12, atol=1e-14)
    last = run.snapshot()
    assert last.update == run.updates[-1] == run.updates[run.at()]
    assert_same(last.loss_train, wanted["loss_train"][-1], False, rtol=1e-12, atol=1e-14, label="loss_train")


def test_a_run_draws_its_snapshots_and_has_a_notebook_representation(tmp_path: Path) -> None:
    run = load_run(FIXTURES / "relu")
    for kind in ("fit", "votes"):
        run.plot(100, kind).savefig(tmp_path / f"{kind}.png")
        assert (tmp_path / f"{kind}.png").stat().st_size > 10_000
    assert run.name in run._repr_html_()


def test_an_update_without_a_snapshot_is_an_error_that_names_the_nearest_ones() -> None:
    with pytest.raises(UserError, match="no snapshot there; nearest: 100 and 200"):
        load_run(FIXTURES / "relu").at(150)


# Exporting


def test_exported_arrays_are_the_same_as_in_0_1_0(home: Path) -> None:
    assert reluviz("export", *FOLDERS, "--npz", "--out", "exported") == 0
    for name in FOLDERS:
        wanted = expected(name)
        with np.load(home / "exported" / f"{name}.npz", allow_pickle=False) as found:
            keys = {key for key in wanted if not key.startswith(("scalar_", "contribution.", "prediction", "walls"))}
            keys |= {"run", "model", "seeds", "residual", "norm", "vote_share"}
            keys |= {"x_test", "y_test"} if EXPECTED["runs"][name]["test_points"] else set()
            assert set(found.files) == keys - {"votes"}
            assert (str(found["run"]), str(found["model"])) == (name, EXPECTED["runs"][name]["model"])
            for key in set(found.files) & set(wanted):
                exactly = key not in ("loss_train", "loss_test", "target")
                assert_same(found[key], wanted[key], exactly, rtol=1e-12, atol=1e-14, label=f"{name}: {key}")
            for number, key in enumerate(("residual", "norm", "vote_share")):
                np.testing.assert_array_equal(found[key], wanted["votes"][:, :, number])


@pytest.mark.parametrize("name", ["replicas", "diverged", "adam"])
def test_an_exported_table_contains_every_value(home: Path, name: str) -> None:
    assert reluviz("export", name, "--csv", "--out", "table.csv") == 0
    with (home / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["run"] for row in rows} == {name}
    found = {(row["replica"], int(row["update"]), row["unit"], row["quantity"]): row["value"] for row in rows}
    assert len(found) == len(rows)
    wanted = expected_cells(name)
    assert set(found) == set(wanted)
    numbers = np.array([float(found[key] or "nan") for key in wanted])
    np.testing.assert_allclose(numbers, np.array(list(wanted.values())), rtol=1e-12, atol=1e-14)


def expected_cells(name: str) -> dict[tuple[str, int, str, str], float]:
    """Return the expected table of a run: (replica, update, unit, quantity) -> value."""
    attributes, arrays = EXPECTED["runs"][name], expected(name)
    found = {}
    array_names = {"loss/train": "loss_train", "loss/test": "loss_test", **{key: key for key in arrays}}
    quantities = ["loss/train", "loss/test", *(key for key, _ in attributes["fields"])]
    quantities += DERIVED_QUANTITIES if attributes["model"] == "relu" else ()
    for quantity in quantities:
        values = arrays[array_names[quantity]]
        for index in np.ndindex(values.shape):
            unit = str(index[2]) if len(index) == 3 else ""
            found[str(index[1]), int(arrays["updates"][index[0]]), unit, quantity] = float(values[index])
    ends = np.cumsum(arrays["scalar_counts"])[:-1]
    series = (np.split(arrays[f"scalar_{kind}"], ends) for kind in ("updates", "values"))
    for tag, updates, values in zip(attributes["tags"], *series, strict=True):
        if tag in SUMMARY_TAGS:
            replica = "0" if len(attributes["seeds"]) == 1 else ""
            for update, value in zip(updates, values, strict=True):
                found[replica, int(update), "", tag] = float(value)
    return found


def test_an_exported_page_contains_the_parameters_of_every_run(home: Path) -> None:
    assert reluviz("export", *FOLDERS, "library", "--html", "--out", "page.html") == 0
    pattern = r'<script type="reluviz/blob" data-run="(.*?)" data-kind="(.*?)">(.*?)</script>'
    blobs = re.findall(pattern, (home / "page.html").read_text(encoding="utf-8"))
    found = {(run, kind): gzip.decompress(base64.b64decode(text)) for run, kind, text in blobs}
    assert {run for run, _ in found} == {*FOLDERS, "library"}
    for name in {run for run, _ in found}:
        run = load_run(home / name)
        # the page stores parameters in float32
        assert run.rows.astype("<f4").tobytes() in found[name, "params"]
        assert {kind: found[name, kind] for kind in ("data", "params", "scalars")} == run.payload()


# Reporting


def test_the_report_on_a_sweep_is_the_same_as_in_0_1_0(home: Path) -> None:
    sweep = home / "sweeps" / "finished"
    assert reluviz("report", "sweeps/finished", "--pictures", "none") == 0
    assert (sweep / "report" / "findings.md").read_text() == (FIXTURES / "expected/report/findings.md").read_text()
    assert "step" in (sweep / "report" / "report.html").read_text()
    found, wanted = (
        list(csv.reader(path.read_text().splitlines()))
        for path in (sweep / "report" / "table.csv", FIXTURES / "expected/report/table.csv")
    )
    assert [row[:5] for row in found] == [row[:5] for row in wanted]
    numbers = [np.array([row[5:] for row in rows[1:]], dtype=float) for rows in (found, wanted)]
    np.testing.assert_allclose(*numbers, rtol=1e-14)
    assert sorted(path.name for path in (sweep / "aggregate").glob("width*")) == sorted(EXPECTED["bands"])
    for name, series in EXPECTED["bands"].items():
        events = EventAccumulator(str(sweep / "aggregate" / name), size_guidance={"tensors": 0})
        events.Reload()
        for tag, points in series.items():
            recorded = [[e.step, float(tensor_util.make_ndarray(e.tensor_proto))] for e in events.Tensors(tag)]
            np.testing.assert_allclose(recorded, points, rtol=1e-6, err_msg=f"{name}: {tag}")


def test_the_report_on_a_stopped_sweep_contains_the_runs_it_has(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reluviz("report", "sweeps/stopped", "--pictures", "none", "--out", "report") == 0
    assert "3 runs" in (home / "report" / "findings.md").read_text()
    assert "unfinished" in capsys.readouterr().out


# Training again


def old_schedule(command: dict[str, Any]) -> list[str]:
    """Return the words that choose the schedule of 0.1.0, which was the default."""
    return [] if any(word.startswith("snapshots=") for word in command["words"]) else ["snapshots=linear"]


@pytest.mark.parametrize("name", RUNS)
def test_the_same_command_line_reproduces_the_run(home: Path, name: str) -> None:
    command = RUNS[name]
    # 0.1.0 did not scale users' data
    unscaled = ["data.scale=none"] if "data=file" in command["words"] else []
    words = [*command["words"], *unscaled, *old_schedule(command)]
    assert reluviz("train", *words, "hydra.run.dir=again") == command["status"]
    run = load_run(home / "again")
    assert_same_snapshots(run, expected(name), command["exact"])
    wanted = without_times_and_versions(read_metrics(home / name))
    assert_same_metrics(run.metrics, wanted, command["exact"], str(run.rows.dtype))
    assert run.settings == EXPECTED["runs"][name]["settings"] | ({"data.scale": "none"} if unscaled else {})
    # later versions may record more scalars
    assert set(run.tags) >= set(EXPECTED["runs"][name]["tags"])


# Resuming


@pytest.mark.parametrize("name", STOPPED)
@pytest.mark.parametrize("with_words", [False, True], ids=["folder", "folder and command line"])
def test_a_stopped_run_ends_with_the_results_of_an_uninterrupted_run(home: Path, name: str, with_words: bool) -> None:
    command = STOPPED[name]
    before = load_run(home / name)
    assert before.status == (None if name == "killed" else name)
    assert reluviz("train", f"ckpt_path={name}", *(command["words"] if with_words else [])) == 0
    run = load_run(home / name)
    assert run.status == "finished"
    np.testing.assert_array_equal(run.rows[:3], before.rows[:3])
    assert_same_snapshots(run, expected(command["whole"]), command["exact"])
    assert_same_metrics(run.metrics, EXPECTED["ends"][command["whole"]], command["exact"], str(run.rows.dtype))


@pytest.mark.parametrize("name", PROLONGED)
def test_a_prolonged_run_ends_with_the_results_of_a_longer_run(home: Path, name: str) -> None:
    command = PROLONGED[name]
    before = load_run(home / name)
    assert reluviz("train", f"ckpt_path={name}", f"updates={command['updates']}") == 0
    run = load_run(home / name)
    np.testing.assert_array_equal(run.rows[: len(before.updates)], before.rows)
    assert_same_snapshots(run, expected(command["whole"]), command["exact"])
    assert_same_metrics(run.metrics, EXPECTED["ends"][command["whole"]], command["exact"], str(run.rows.dtype))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ckpt_path=relu", "updates=299"], "has made 300 updates; a larger number prolongs it, as in updates=600"),
        (["ckpt_path=killed", "optimizer.lr=0.5"], "optimizer.lr=0.5: the run in killed has 0.01; only updates can"),
        (["ckpt_path=killed", "model=linear"], "model=linear: the run in killed has relu; only updates can"),
    ],
    ids=["finished", "value", "choice"],
)
def test_a_run_that_cannot_be_resumed_with_these_settings_is_an_error_and_no_file_changes(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    before = contents(home)
    assert reluviz("train", *words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert contents(home) == before


def test_a_resumed_sweep_ends_with_the_results_of_an_uninterrupted_sweep(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = home / "sweeps" / "stopped"
    finished = [path.parent for path in sorted(sweep.glob("*/metrics.json"))]
    assert len(finished) == 2
    before = [contents(folder) for folder in finished]
    assert reluviz("train", *SWEEPS["sweeps/stopped"], "sweep.resume=sweeps/stopped") == 0
    assert "4 finished (2 of them before)" in capsys.readouterr().out
    assert [contents(folder) for folder in finished] == before
    found = {f"sweeps/stopped/{path.parent.name}": read_metrics(path.parent) for path in sweep.glob("*/metrics.json")}
    wanted = {name: metrics for name, metrics in EXPECTED["ends"].items() if name.startswith("sweeps/")}
    assert set(found) == set(wanted)
    for name, metrics in found.items():
        assert_same_metrics(metrics, wanted[name], False, "float32")
        assert load_run(home / name).updates.tolist() == [0, 1, 20, 40]


def test_resuming_a_finished_sweep_changes_no_file_but_multirun_yaml(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(home / "sweeps" / "finished")
    assert reluviz("train", *SWEEPS["sweeps/finished"], "sweep.resume=sweeps/finished") == 0
    assert "4 finished (4 of them before)" in capsys.readouterr().out
    after = contents(home / "sweeps" / "finished")
    unchanged = [name for name in before if not name.endswith("multirun.yaml")]
    assert {name: after[name] for name in unchanged} == {name: before[name] for name in unchanged}


# Python API


def adam_module() -> ReLUModule:
    """Return an untrained module with the settings of library/network.ckpt."""
    return ReLUModule(width=4, seeds=[0, 1], optimizer={"_target_": "torch.optim.Adam", "lr": 0.01})


def test_a_module_is_loaded_from_its_checkpoint_bit_for_bit() -> None:
    loaded = ReLUModule.load_from_checkpoint(FIXTURES / "library" / "network.ckpt", weights_only=True)
    assert (loaded.seeds, loaded.width, int(loaded.updates_done)) == ([0, 1], 4, 200)
    assert dict(loaded.hparams)["optimizer"] == {"_target_": "torch.optim.Adam", "lr": 0.01}
    wanted, run = expected("network"), expected("library")
    for name, value in loaded.named_parameters():
        np.testing.assert_array_equal(value.detach().numpy(), wanted[name])
        np.testing.assert_array_equal(value.detach().numpy(), run[name][-1])


@pytest.mark.parametrize("name", ["relu", "double", "file", "killed", "interrupted"])
def test_a_module_is_loaded_from_the_checkpoint_of_a_run(name: str) -> None:
    path = FIXTURES / name / "checkpoints" / "last.ckpt"
    loaded, run = ReLUModule.load_from_checkpoint(path, weights_only=True), expected(name)
    index = run["updates"].tolist().index(int(loaded.updates_done))
    for parameter, value in loaded.named_parameters():
        np.testing.assert_array_equal(value.detach().numpy(), run[parameter][index])


@pytest.mark.filterwarnings("ignore")
def test_a_trainer_resumes_from_the_checkpoint_of_a_python_program(home: Path) -> None:
    module = adam_module()
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=9,
        logger=False,
        callbacks=[SnapshotLogger(pictures=0, histograms=False)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=0,
    )
    data = FileData("points.csv", "test_points.csv", updates=400, sampler=WithReplacement(8), snapshots=Linear(50))
    trainer.fit(module, data, ckpt_path=str(home / "library" / "network.ckpt"), weights_only=True)
    assert int(module.updates_done) == 400
    wanted = expected("network")
    for name, value in module.named_parameters():
        assert_same(value.detach().numpy(), wanted[f"{name}_after_400"], False, **TOLERANCES["float32"], label=name)


# Viewing


def request_until(url: str, complete: Callable[[Any], bool]) -> Any:
    """Repeat a request until the JSON answer is complete or 20 seconds have passed, and return the last answer."""
    deadline = time.monotonic() + 20
    while True:
        with urllib.request.urlopen(url, timeout=10) as answer:
            found = json.load(answer)
        if complete(found) or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def test_the_viewer_lists_all_runs(home: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "reluviz", "view", str(home), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = threading.Timer(60, process.kill)
    deadline.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http://" in line
        url = next(word for word in line.split() if word.startswith("http://"))
        names = {path.parent.relative_to(home).as_posix() for path in home.rglob("events.out.tfevents.*")}
        assert len(names) == len(FOLDERS) + 1 + 4 + 3
        assert set(request_until(f"{url}data/runs", lambda found: set(found) == names)) == names
        plugins = request_until(f"{url}data/plugins_listing", lambda found: found["reluviz"]["enabled"])
        assert plugins["reluviz"]["enabled"]
    finally:
        deadline.cancel()
        # the data server ends with this process
        process.kill()
        process.communicate(timeout=30)


def test_the_viewer_accepts_the_folder_of_a_run_but_not_a_folder_without_runs(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # the error about the host shows that the folder was accepted: the host is checked last
    assert reluviz("view", "relu", "--host", "no host") == 2
    assert "cannot listen on host" in capsys.readouterr().err
    assert reluviz("view", "relu/checkpoints") == 2
    assert "there are no runs below" in capsys.readouterr().err
