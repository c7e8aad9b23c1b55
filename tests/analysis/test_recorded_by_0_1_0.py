"""Runs that version 0.1.0 recorded are read, exported, reported on, gone on with and made again as it did.

The folders in tests/fixtures/0.1.0 are as 0.1.0 left them. `expected` holds what it read from them, and what it found
where it did what the tests do. What is read back is compared bit for bit, wherever the tests run. What is computed
depends on the processor in the last digits, so that it is compared bit for bit where it does not, and on a computer
like the one that recorded; elsewhere it has to be close.
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
DERIVED = ("elbow", "orientation", "active_slope", "slope_jump", "unit_status")
OF_UNITS = ("input_slope", "bias", "output_weight")
ONE_NUMBER = ("loss/batch", "grad/norm", "grad/noise_scale", "votes/effective", "theta/optimum")
CLOSE = {"float32": {"rtol": 1e-5, "atol": 2e-6}, "float64": {"rtol": 1e-12, "atol": 1e-12}}
"""How far apart two processors may be after hundreds of updates, by the precision of the run."""


def here() -> dict[str, str]:
    """Return what the last digits of a computation depend on."""
    features = llvmlite.binding.get_host_cpu_features()
    return {
        "machine": platform.machine(),
        "processor": llvmlite.binding.get_host_cpu_name(),
        "features": ",".join(sorted(name for name, has in features.items() if has)),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "numba": numba.__version__,
    }


LIKE_THERE = here() == COMMANDS["recorded on"]


def expected(name: str) -> dict[str, NDArray[Any]]:
    with np.load(FIXTURES / "expected" / f"{name}.npz", allow_pickle=False) as file:
        return dict(file)


def assert_same(found: Any, wanted: Any, exactly: bool, rtol: float, atol: float, what: str) -> None:
    if exactly or LIKE_THERE:
        np.testing.assert_array_equal(found, wanted, err_msg=what)
    else:
        np.testing.assert_allclose(found, wanted, rtol=rtol, atol=atol, err_msg=what)


def assert_same_course(run: Run, wanted: dict[str, NDArray[Any]], exactly: bool) -> None:
    """Compare all snapshots of a run that was trained here with those of one that 0.1.0 trained."""
    close = CLOSE[str(run.rows.dtype)]
    np.testing.assert_array_equal(run.updates, wanted["updates"])
    for name, values in run.parameters.items():
        assert_same(values, wanted[name], exactly, **close, what=name)
    # sums over the points, in which the processor chooses the order
    assert_same(run.loss("train"), wanted["loss_train"], False, **close, what="loss/train")
    if "loss_test" in wanted:
        assert_same(run.loss("test"), wanted["loss_test"], False, **close, what="loss/test")
    # votes are recorded in float32
    assert_same(run.votes, wanted["votes"], False, rtol=1e-4, atol=1e-5, what="votes")


def assert_same_end(found: dict[str, Any] | None, wanted: dict[str, Any], exactly: bool, precision: str) -> None:
    """Compare what two metrics.json hold, apart from times and versions."""
    assert found is not None
    found = {key: value for key, value in found.items() if key not in ("seconds", "versions")}
    if LIKE_THERE:
        assert found == wanted
        return
    assert list(found) == list(wanted)
    for key in ("name", "status", "engine", "updates", "seeds"):
        assert found[key] == wanted[key]
    for key in ("input_slope", "bias", "output_weight", "output_bias", "theta"):
        if key in wanted:
            assert_same(found[key], wanted[key], exactly, **CLOSE[precision], what=key)
    for key in ("loss/train", "loss/test"):
        if wanted[key] is not None:
            assert_same(found[key], wanted[key], False, **CLOSE[precision], what=key)


def whole(metrics: dict[str, Any] | None) -> dict[str, Any]:
    """Return metrics without what differs from time to time."""
    assert metrics is not None
    return {key: value for key, value in metrics.items() if key not in ("seconds", "versions")}


def stored(folder: Path) -> dict[str, Any] | None:
    path = folder / "metrics.json"
    return json.loads(path.read_text()) if path.exists() else None


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def reluviz(*words: str | Path) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", *map(str, words)])
        return main()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folders, which is the current folder; the names of files in their settings refer to it."""
    folder = tmp_path / "home"
    shutil.copytree(FIXTURES, folder, ignore=shutil.ignore_patterns("expected"))
    monkeypatch.chdir(folder)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    return folder


# Read


@pytest.mark.parametrize("name", [*FOLDERS, "library"])
def test_a_run_is_read_bit_for_bit(name: str) -> None:
    run, told, wanted = load_run(FIXTURES / name), EXPECTED["runs"][name], expected(name)
    assert run.folder == FIXTURES / name
    for key in ("model", "name", "status", "settings", "repr"):
        assert (repr(run) if key == "repr" else getattr(run, key)) == told[key]
    for key in ("seeds", "trained", "tags"):
        assert list(getattr(run, key)) == told[key]
    assert [list(field) for field in run.fields] == told["fields"]
    assert run.metrics == stored(FIXTURES / name)
    assert run.damaged == ()
    assert run.rows.dtype == told["dtype"]
    assert {"name": run.data.name, "domain": list(run.data.domain)} == told["data"]
    own = {"x": run.data.x, "y": run.data.y, "recorded": run.recorded, "updates": run.updates, "walls": run.walls}
    own |= {"votes": run.votes, **run.parameters}
    if run.model == "relu":
        # single operations, which all processors round alike
        own |= {key: getattr(run, key) for key in DERIVED}
    for key, values in own.items():
        np.testing.assert_array_equal(values, wanted[key], err_msg=key)
        assert values.dtype == wanted[key].dtype
    for key in run.parameters:
        np.testing.assert_array_equal(getattr(run, key), wanted[key])
    for number, key in enumerate(("residual", "norm", "vote_share")):
        np.testing.assert_array_equal(getattr(run, key), wanted["votes"][:, :, number])
    assert_same_test_points(run, told["test_points"])
    counts = wanted["scalar_counts"].tolist()
    assert [len(run.scalars(tag)[0]) for tag in run.tags] == counts
    for number, key in enumerate(("scalar_updates", "scalar_values")):
        np.testing.assert_array_equal(np.concatenate([run.scalars(tag)[number] for tag in run.tags]), wanted[key])


def assert_same_test_points(run: Run, told: list[Any] | None) -> None:
    x, y = run.data.x_test, run.data.y_test
    if told is None:
        assert x is None
        assert y is None
        return
    assert x is not None
    assert y is not None
    assert [len(x), *(hashlib.sha256(values.tobytes()).hexdigest() for values in (x, y))] == told


@pytest.mark.parametrize("name", [*FOLDERS, "library"])
def test_what_follows_from_the_parameters_is_what_it_was(name: str) -> None:
    run, wanted = load_run(FIXTURES / name), expected(name)
    low, high = run.data.domain
    found = {"loss_train": run.loss("train"), "prediction": run.predict(np.linspace(low, high, 9))}
    found |= {f"contribution.{key}": values for key, values in run.contributions().items()}
    if "loss_test" in wanted:
        found["loss_test"] = run.loss("test")
    if "target" in wanted:
        assert run.data.target is not None
        found["target"] = run.data.target(run.data.x)
    assert run.data.target is not None or "target" not in wanted
    for key, values in found.items():
        assert_same(values, wanted[key], False, rtol=1e-12, atol=1e-14, what=key)
    last = run.snapshot()
    assert last.update == run.updates[-1] == run.updates[run.at()]
    assert_same(last.loss_train, wanted["loss_train"][-1], False, rtol=1e-12, atol=1e-14, what="loss_train")


def test_a_run_draws_its_snapshots_and_shows_itself(tmp_path: Path) -> None:
    run = load_run(FIXTURES / "relu")
    for kind in ("fit", "votes"):
        run.plot(100, kind).savefig(tmp_path / f"{kind}.png")
        assert (tmp_path / f"{kind}.png").stat().st_size > 10_000
    assert run.name in run._repr_html_()


def test_an_update_without_a_snapshot_is_refused_with_the_nearest_ones() -> None:
    with pytest.raises(UserError, match="no snapshot there; nearest: 100 and 200"):
        load_run(FIXTURES / "relu").at(150)


# Exported


def test_the_arrays_that_are_exported_are_those_of_before(home: Path) -> None:
    assert reluviz("export", *FOLDERS, "--npz", "--out", "made") == 0
    for name in FOLDERS:
        wanted = expected(name)
        with np.load(home / "made" / f"{name}.npz", allow_pickle=False) as found:
            names = {key for key in wanted if not key.startswith(("scalar_", "contribution.", "prediction", "walls"))}
            names |= {"run", "model", "seeds", "residual", "norm", "vote_share"}
            names |= {"x_test", "y_test"} if EXPECTED["runs"][name]["test_points"] else set()
            assert set(found.files) == names - {"votes"}
            assert (str(found["run"]), str(found["model"])) == (name, EXPECTED["runs"][name]["model"])
            for key in set(found.files) & set(wanted):
                exactly = key not in ("loss_train", "loss_test", "target")
                assert_same(found[key], wanted[key], exactly, rtol=1e-12, atol=1e-14, what=f"{name}: {key}")
            for number, key in enumerate(("residual", "norm", "vote_share")):
                np.testing.assert_array_equal(found[key], wanted["votes"][:, :, number])


@pytest.mark.parametrize("name", ["replicas", "diverged", "adam"])
def test_the_table_that_is_exported_holds_every_value(home: Path, name: str) -> None:
    assert reluviz("export", name, "--csv", "--out", "table.csv") == 0
    with (home / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["run"] for row in rows} == {name}
    found = {(row["replica"], int(row["update"]), row["unit"], row["quantity"]): row["value"] for row in rows}
    assert len(found) == len(rows)
    wanted = cells(name)
    assert set(found) == set(wanted)
    numbers = np.array([float(found[key] or "nan") for key in wanted])
    np.testing.assert_allclose(numbers, np.array(list(wanted.values())), rtol=1e-12, atol=1e-14)


def cells(name: str) -> dict[tuple[str, int, str, str], float]:
    """Return what a table of a run holds: (replica, update, unit, quantity) -> value."""
    told, arrays = EXPECTED["runs"][name], expected(name)
    found = {}
    named = {"loss/train": "loss_train", "loss/test": "loss_test", **{key: key for key in arrays}}
    quantities = ["loss/train", "loss/test", *(key for key, _ in told["fields"])]
    quantities += DERIVED if told["model"] == "relu" else ()
    for quantity in quantities:
        values = arrays[named[quantity]]
        for place in np.ndindex(values.shape):
            unit = str(place[2]) if len(place) == 3 else ""
            found[str(place[1]), int(arrays["updates"][place[0]]), unit, quantity] = float(values[place])
    ends = np.cumsum(arrays["scalar_counts"])[:-1]
    series = (np.split(arrays[f"scalar_{kind}"], ends) for kind in ("updates", "values"))
    for tag, at, values in zip(told["tags"], *series, strict=True):
        if tag in ONE_NUMBER:
            replica = "0" if len(told["seeds"]) == 1 else ""
            found |= {(replica, int(update), "", tag): float(value) for update, value in zip(at, values, strict=True)}
    return found


def test_the_page_that_is_exported_holds_the_parameters_of_every_run(home: Path) -> None:
    assert reluviz("export", *FOLDERS, "library", "--html", "--out", "page.html") == 0
    pattern = r'<script type="reluviz/blob" data-run="(.*?)" data-kind="(.*?)">(.*?)</script>'
    blobs = re.findall(pattern, (home / "page.html").read_text(encoding="utf-8"))
    held = {(run, kind): gzip.decompress(base64.b64decode(text)) for run, kind, text in blobs}
    assert {run for run, _ in held} == {*FOLDERS, "library"}
    for name in {run for run, _ in held}:
        run = load_run(home / name)
        # a browser shows them in float32
        assert run.rows.astype("<f4").tobytes() in held[name, "params"]
        assert {kind: held[name, kind] for kind in ("data", "params", "scalars")} == run.payload()


# Reported


def test_the_report_on_a_sweep_says_what_it_said(home: Path) -> None:
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
            drawn = [[one.step, float(tensor_util.make_ndarray(one.tensor_proto))] for one in events.Tensors(tag)]
            np.testing.assert_allclose(drawn, points, rtol=1e-6, err_msg=f"{name}: {tag}")


def test_a_stopped_sweep_is_reported_on_with_what_it_has(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reluviz("report", "sweeps/stopped", "--pictures", "none", "--out", "report") == 0
    assert "3 runs" in (home / "report" / "findings.md").read_text()
    assert "unfinished" in capsys.readouterr().out


# Made again


@pytest.mark.parametrize("name", RUNS)
def test_the_same_command_line_makes_the_same_run_again(home: Path, name: str) -> None:
    one = RUNS[name]
    assert reluviz("train", *one["words"], "hydra.run.dir=again") == one["status"]
    run = load_run(home / "again")
    assert_same_course(run, expected(name), one["exact"])
    assert_same_end(run.metrics, whole(stored(home / name)), one["exact"], str(run.rows.dtype))
    told = EXPECTED["runs"][name]
    assert run.settings == told["settings"]
    assert list(run.tags) == told["tags"]


# Gone on with


@pytest.mark.parametrize("name", STOPPED)
@pytest.mark.parametrize("again", [False, True], ids=["its folder", "its command line too"])
def test_a_run_stopped_half_way_ends_as_the_undisturbed_one(home: Path, name: str, again: bool) -> None:
    one = STOPPED[name]
    before = load_run(home / name)
    assert before.status == (None if name == "killed" else name)
    assert reluviz("train", f"ckpt_path={name}", *(one["words"] if again else [])) == 0
    run = load_run(home / name)
    assert run.status == "finished"
    np.testing.assert_array_equal(run.rows[:3], before.rows[:3])
    assert_same_course(run, expected(one["whole"]), one["exact"])
    assert_same_end(run.metrics, EXPECTED["ends"][one["whole"]], one["exact"], str(run.rows.dtype))


@pytest.mark.parametrize("name", PROLONGED)
def test_a_finished_run_that_is_prolonged_equals_one_that_was_longer_from_the_start(home: Path, name: str) -> None:
    one = PROLONGED[name]
    before = load_run(home / name)
    assert reluviz("train", f"ckpt_path={name}", f"updates={one['updates']}") == 0
    run = load_run(home / name)
    np.testing.assert_array_equal(run.rows[: len(before.updates)], before.rows)
    assert_same_course(run, expected(one["whole"]), one["exact"])
    assert_same_end(run.metrics, EXPECTED["ends"][one["whole"]], one["exact"], str(run.rows.dtype))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ckpt_path=relu"], "has made its 300 updates; a larger number prolongs it, as in updates=600"),
        (["ckpt_path=killed", "optimizer.lr=0.5"], "optimizer.lr=0.5: the run in killed has 0.01; only updates can"),
        (["ckpt_path=killed", "model=linear"], "model=linear: the run in killed has relu; only updates can"),
    ],
    ids=["finished", "value", "choice"],
)
def test_what_a_run_cannot_go_on_with_is_refused_and_nothing_is_touched(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    before = contents(home)
    assert reluviz("train", *words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1
    assert contents(home) == before


def test_a_stopped_sweep_goes_on_and_ends_as_the_undisturbed_one(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = home / "sweeps" / "stopped"
    ended = [path.parent for path in sorted(sweep.glob("*/metrics.json"))]
    assert len(ended) == 2
    before = [contents(folder) for folder in ended]
    assert reluviz("train", *SWEEPS["sweeps/stopped"], "sweep.resume=sweeps/stopped") == 0
    assert "4 finished (2 of them before)" in capsys.readouterr().out
    assert [contents(folder) for folder in ended] == before
    found = {f"sweeps/stopped/{path.parent.name}": stored(path.parent) for path in sweep.glob("*/metrics.json")}
    wanted = {name: end for name, end in EXPECTED["ends"].items() if name.startswith("sweeps/")}
    assert set(found) == set(wanted)
    for name, metrics in found.items():
        assert_same_end(metrics, wanted[name], False, "float32")
        assert load_run(home / name).updates.tolist() == [0, 1, 20, 40]


def test_a_sweep_that_has_ended_has_nothing_left_to_do(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(home / "sweeps" / "finished")
    assert reluviz("train", *SWEEPS["sweeps/finished"], "sweep.resume=sweeps/finished") == 0
    assert "4 finished (4 of them before)" in capsys.readouterr().out
    after = contents(home / "sweeps" / "finished")
    assert {name: after[name] for name in before if not name.endswith("multirun.yaml")} == {
        name: data for name, data in before.items() if not name.endswith("multirun.yaml")
    }


# In one's own code


def network() -> ReLUModule:
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
    place = run["updates"].tolist().index(int(loaded.updates_done))
    for parameter, value in loaded.named_parameters():
        np.testing.assert_array_equal(value.detach().numpy(), run[parameter][place])


@pytest.mark.filterwarnings("ignore")
def test_training_goes_on_from_a_checkpoint_of_ones_own_code(home: Path) -> None:
    module = network()
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
        assert_same(value.detach().numpy(), wanted[f"{name}_after_400"], False, **CLOSE["float32"], what=name)


# Viewed


def asked(url: str, until: Callable[[Any], bool]) -> Any:
    """Return what a server answers, asked again while it is still reading."""
    deadline = time.monotonic() + 20
    while True:
        with urllib.request.urlopen(url, timeout=10) as answer:
            found = json.load(answer)
        if until(found) or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def test_the_runs_are_viewed(home: Path) -> None:
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
        assert set(asked(f"{url}data/runs", lambda found: set(found) == names)) == names
        plugins = asked(f"{url}data/plugins_listing", lambda found: found["reluviz"]["enabled"])
        assert plugins["reluviz"]["enabled"]
    finally:
        deadline.cancel()
        # its data server ends with it
        process.kill()
        process.communicate(timeout=30)


def test_a_single_run_is_found_to_be_viewed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # the host is looked at once the folder has been found to hold a run
    assert reluviz("view", "relu", "--host", "no host") == 2
    assert "cannot listen on host" in capsys.readouterr().err
    assert reluviz("view", "relu/checkpoints") == 2
    assert "there are no runs below" in capsys.readouterr().err
