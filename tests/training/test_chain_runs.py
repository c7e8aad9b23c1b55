"""Runs of chains from the command line: what they record, and what is read back, exported, reported and resumed."""

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tensorboard.compat.proto.event_pb2 import Event

from reluviz import load_run
from reluviz.__main__ import main
from reluviz.core import votes
from reluviz.core.kinks import chain_pieces
from reluviz.core.models import MODELS
from reluviz.core.models.architecture import Architecture
from reluviz.errors import UserError
from reluviz.record import event_file, tags

pytestmark = pytest.mark.long

FAST = ("callbacks.progress=null", "callbacks.snapshots.pictures=1", "snapshots=linear", "snapshots.every=20")


def reluviz(*words: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", *words])
        return main()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run of two replicas with 60 updates."""
    place = tmp_path_factory.mktemp("chain")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert reluviz("train", "model=mlp", "model.hidden=[6,5]", "updates=60", "replicas=2", "name=chain", *FAST) == 0
    (found,) = (place / "logs" / "chain").iterdir()
    return found


def values_of(folder: Path) -> dict[int, dict[str, object]]:
    """Return the summary values of each update."""
    found: dict[int, dict[str, object]] = {}
    for path in event_file.event_files(folder):
        for event in event_file.read_events(path):
            assert isinstance(event, Event)
            found.setdefault(event.step, {}).update({value.tag: value for value in event.summary.value})
    return found


def test_the_run_is_read_back_with_its_architecture(folder: Path) -> None:
    run = load_run(folder)
    assert run.model == "mlp-6-5"
    assert run.updates.tolist() == [0, 1, 20, 40, 60]
    assert {name: value.shape[2:] for name, value in run.parameters.items()} == Architecture((6, 5)).shapes
    x = np.linspace(0, 1, 7)
    p = {name: value[-1] for name, value in run.parameters.items()}
    np.testing.assert_array_equal(run.predict(x), MODELS["mlp-6-5"].predict(p, x))
    assert "6 + 5 ReLUs, 2 replicas, 5 snapshots" in repr(run)
    assert run.elbow.shape == run.input_slope.shape == (5, 2, 6)
    assert run.unit_status.shape == (5, 2, 11)
    with pytest.raises(AttributeError, match="mlp-6-5 model has no theta"):
        run.theta  # noqa: B018


def test_kinks_and_votes_of_each_layer_are_recorded(folder: Path) -> None:
    run, recorded = load_run(folder), values_of(folder)
    architecture = Architecture((6, 5))
    low, high = run.data.x.min(), run.data.x.max()
    for s, update in enumerate(run.updates.tolist()):
        found = recorded[update]
        series = found[tags.KINK_SERIES]
        shape = [dim.size for dim in series.tensor.tensor_shape.dim]
        rows = np.frombuffer(series.tensor.tensor_content, "<f8").reshape(shape)
        counts = []
        for r in range(2):
            p = {name: value[s, r] for name, value in run.parameters.items()}
            pieces = chain_pieces(architecture, p, low, high)
            of_replica = dict(zip(tags.KINK_FIELDS, rows[rows[:, 0] == r].T, strict=True))
            np.testing.assert_array_equal(of_replica["layer"][1:-1], pieces.crossing_layer)
            np.testing.assert_array_equal(of_replica["unit"][1:-1], pieces.crossing_unit)
            np.testing.assert_array_equal(of_replica["x"], [low, *pieces.ends[pieces.crossing_end], high])
            np.testing.assert_array_equal(of_replica["value"][[0, -1]], pieces.value[[0, -1]])
            np.testing.assert_array_equal(of_replica["jump"][[0, -1]], pieces.slope[[0, -1]])
            inner = of_replica["jump"][1:-1]
            np.testing.assert_array_equal(inner[inner != 0], pieces.jump[pieces.bends[1:-1]])
            # the rows alone rebuild the function
            x = np.linspace(low, high, 50)
            rebuilt = np.interp(x, of_replica["x"], of_replica["value"])
            np.testing.assert_allclose(rebuilt, MODELS[run.model].predict({n: v[None] for n, v in p.items()}, x)[0])
            counts.append(len(pieces.kinks))
        assert found[tags.KINKS].simple_value == np.median(counts)
        p = {name: value[s] for name, value in run.parameters.items()}
        summary = votes.summarize(run.model, p, run.data.x, run.data.y, run.trained, precision="float32")
        for layer, statistics in summary.layers.items():
            for tag, name in ((tags.GRAD_NORM, "gradient_norm"), (tags.VOTES_EFFECTIVE, "effective")):
                value = found[tags.layer_tag(tag, layer)].simple_value
                assert value == pytest.approx(np.median(statistics[name]), rel=1e-5), (update, layer, name)
        assert set(summary.layers) == {"layer_1", "layer_2", "output"}


def test_a_single_snapshot_has_the_pieces_of_its_function(folder: Path) -> None:
    run = load_run(folder)
    pieces = run.pieces(40, replica=1)
    x = np.linspace(0.05, 0.95, 40)
    np.testing.assert_allclose(pieces(x), run.predict(x, 40)[1], rtol=1e-9, atol=1e-12)
    snapshot = run.snapshot(40)
    np.testing.assert_array_equal(snapshot.pieces[1].kinks, pieces.kinks)
    with pytest.raises(AttributeError, match="the units of mlp-6-5 have no slope jumps; pieces has the kinks"):
        snapshot.slope_jump  # noqa: B018
    assert sum(int(count[0]) for count in snapshot.unit_counts.values()) == 11


def test_tables_label_weights_between_layers(folder: Path, tmp_path: Path) -> None:
    assert reluviz("export", str(folder), "--csv", "--npz", "--out", str(tmp_path / "chain")) == 0
    run = load_run(folder)
    (table,) = tmp_path.rglob("*.csv")
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {
        (row["quantity"], row["unit"]): float(row["value"])
        for row in rows
        if row["update"] == "60" and row["replica"] == "1"
    }
    assert found["weight_2", "4:2"] == run.parameters["weight_2"][-1, 1, 4, 2]
    assert found["bias_2", "3"] == run.parameters["bias_2"][-1, 1, 3]
    assert found["elbow", "5"] == run.elbow[-1, 1, 5]
    assert found["unit_status", "10"] == run.unit_status[-1, 1, 10]
    (arrays,) = tmp_path.rglob("*.npz")
    with np.load(arrays) as stored:
        np.testing.assert_array_equal(stored["weight_2"], run.parameters["weight_2"])


def test_metrics_and_findings_name_the_layers(folder: Path) -> None:
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert np.shape(metrics["weight_2"]) == (2, 5, 6)
    assert metrics["engine"] == "fused"
    assert sum(map(sum, [[counts[0]] for counts in metrics["units"].values()])) == 11
    assert metrics["reference"]["least_squares"]["rank"][0] <= 6


def test_a_resumed_run_ends_as_an_undisturbed_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = ("model=mlp", "model.hidden=[6,5]", "replicas=2", "optimizer=adam", "name=chain", *FAST)
    assert reluviz("train", "updates=40", *settings) == 0
    (place,) = (tmp_path / "logs" / "chain").iterdir()
    assert reluviz("train", f"ckpt_path={place}", "updates=80") == 0
    assert reluviz("train", "updates=80", "hydra.run.dir=whole", *settings) == 0
    resumed, whole = load_run(place), load_run(tmp_path / "whole")
    assert resumed.updates.tolist() == whole.updates.tolist()
    np.testing.assert_array_equal(resumed.rows, whole.rows)


def test_a_sweep_over_depths_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    few = ("updates=20", "replicas=2", "callbacks.snapshots.pictures=0", "callbacks.progress=null")
    assert reluviz("train", "-m", "+exp=depth", *few) == 0
    assert reluviz("report", "logs/sweeps") == 0
    printed = capsys.readouterr().out
    assert "3 finished" in printed
    for hidden in ("[20]", "[20, 20]", "[20, 20, 20]"):
        assert hidden in printed or hidden.replace(" ", "") in printed
    models = {load_run(path.parent).model for path in Path("logs/sweeps").rglob("metrics.json")}
    assert models == {"relu", "mlp-20-20", "mlp-20-20-20"}


def test_it_trains_on_scaled_data_and_shows_the_users_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    years = np.linspace(1900, 2000, 30)
    Path("years.csv").write_text(
        "x,y\n" + "".join(f"{x},{30000 + 50 * abs(x - 1950)}\n" for x in years), encoding="utf-8"
    )
    settings = ("model=mlp", "model.hidden=[8,4]", "data=file", "data.path=years.csv", "updates=40", "name=years")
    assert reluviz("train", *settings, *FAST) == 0
    (folder,) = Path("logs/years").iterdir()
    run = load_run(folder)
    pieces = run.pieces()
    assert (pieces.ends[0], pieces.ends[-1]) == (1900, 2000)
    x = np.linspace(1905, 1995, 25)
    np.testing.assert_allclose(pieces(x), run.predict(x)[0], rtol=1e-9)
    slope = np.diff(run.predict(np.array([1900.0, 1900.001])))[0, 0] / 0.001
    assert pieces.slope[0] == pytest.approx(slope, rel=1e-4)


def test_a_chain_that_diverges_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert reluviz("train", "model=mlp", "step_size=50", "updates=200", "name=far", *FAST) == 3
    assert "diverged: after update" in capsys.readouterr().err
    (folder,) = Path("logs/far").iterdir()
    run = load_run(folder)
    assert run.status == "diverged"
    assert np.isfinite(run.pieces(0).value).all()
    lost = replace(run, rows=np.full_like(run.rows, np.nan))
    with pytest.raises(UserError, match="the learned function is not finite there"):
        lost.pieces()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("model.hidden=[]",), "model.hidden=[]: must be the widths of at most 20 layers, as in [20,20]"),
        (("model.hidden=[3,a]",), "each a whole number of at least 1 and at most 10,000"),
        (("model.activation=tanh",), "model.activation=tanh: must be one of relu, leaky, abs"),
        (("model.train=ridge",), "model.train=ridge: solves a network with one hidden layer"),
        (("model.width=20",), "model.width"),
        (("engine=exact", "sampler=full"), "engine=exact"),
        (("model.hidden=[10000,10000,10000]", "replicas=100"), "of memory"),
    ],
)
def test_bad_input_is_one_line_and_status_2(overrides, message, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert reluviz("train", "model=mlp", *overrides) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
