"""A recorded run is read back bit for bit, with every snapshot once, however the run ended."""

import html
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.util import tensor_util
from torch.utils.tensorboard import SummaryWriter

import reluviz
from reluviz.__main__ import main
from reluviz.analysis import Run, load_run, load_runs, run_arrays, run_names, runs_below
from reluviz.core import elbows, votes
from reluviz.core.functions import PARAMETERS, predict
from reluviz.data import Dataset, EverySchedule, piecewise_linear, sine
from reluviz.data.datamodule import SegmentData
from reluviz.data.targets import piecewise_linear_target
from reluviz.errors import UserError
from reluviz.models import ReLUModule
from reluviz.record import event_file
from reluviz.record.event_file import EventFile
from reluviz.record.logger import RunLogger
from reluviz.tab import html_file, wire_format
from reluviz.training.callbacks import SnapshotLogger
from reluviz.training.lightning_startup import quiet

DATA = piecewise_linear()
X, Y = DATA.x, DATA.y
SMALL = "+exp=relu model.width=3 updates=20 snapshots=linear snapshots.every=5 callbacks.snapshots.pictures=2"
RUNS = {
    "relu": SMALL,
    "double": f"{SMALL} trainer.precision=64-true callbacks=everything callbacks.snapshots.pictures=2",
    "output": "+exp=relu_output model.width=3 updates=20 snapshots.every=10 callbacks=minimal",
    "replicas": f"{SMALL} seeds=[4,0,7]",
    "constant": "+exp=constant updates=12",
    "linear": "+exp=linear updates=12 trainer.precision=64-true",
    "diverged": "+exp=linear optimizer.lr=5 updates=100 callbacks.snapshots.pictures=2",
    "not_finite": "+exp=relu model.width=3 optimizer.lr=50 updates=2000 snapshots=linear callbacks=minimal",
    "sine": "+exp=relu data=sine data.n=50 data.seed=3 updates=2 callbacks=minimal",
    "points": "+exp=relu data=file data.path=points.csv updates=2 callbacks=minimal",
    "many": "+exp=relu data.n=3000 model.width=3 updates=2 callbacks=minimal",
    "long": "+exp=relu model.width=3 updates=80 snapshots=linear snapshots.every=10 callbacks=minimal"
    " callbacks.checkpoints.every=1",
}
POSIX = pytest.mark.skipif(os.name != "posix", reason="sends the signals of POSIX")


def train(*words: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", "train", *words])
        return main()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`folder(name)` is the folder of one of `RUNS`, which the first call trains."""
    base = tmp_path_factory.mktemp("runs")
    x = np.linspace(-1, 1, 30)
    (base / "points.csv").write_text("x,y\n" + "\n".join(f"{a},{a * a}" for a in x))

    def get(name: str) -> Path:
        if not (base / name).exists():
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(base)
                status = train(*RUNS[name].split(), f"hydra.run.dir={name}")
                assert status == (3 if name in ("diverged", "not_finite") else 0)
        return base / name

    return get


def checkpoint_parameters(folder: Path) -> dict[str, torch.Tensor]:
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return {name: value for name, value in state.items() if name in {*PARAMETERS["relu"], *PARAMETERS["linear"]}}


def parameters_at(run: Run, index: int) -> dict[str, NDArray[np.float64]]:
    return {name: value[index] for name, value in run.parameters.items()}


def metrics(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


# Parameters and data


@pytest.mark.parametrize("name", ["relu", "double", "output", "replicas", "constant", "linear", "diverged"])
def test_parameters_equal_the_checkpoint_bit_for_bit(folder: Callable[[str], Path], name: str) -> None:
    run, saved = load_run(folder(name)), checkpoint_parameters(folder(name))
    assert saved.keys() == run.parameters.keys()
    for parameter, value in saved.items():
        assert run.rows.dtype == value.numpy().dtype
        found = run.parameters[parameter]
        assert found.dtype == np.float64
        assert found.shape == (len(run.updates), *value.shape)
        np.testing.assert_array_equal(found[-1], value.double())
        np.testing.assert_array_equal(getattr(run, parameter), found)


def test_parameters_of_all_snapshots_equal_those_that_tensorboard_reads(folder: Callable[[str], Path]) -> None:
    for name in ("relu", "replicas", "linear"):
        run = load_run(folder(name))
        found = EventAccumulator(str(folder(name)), size_guidance={"tensors": 0})
        found.Reload()
        series = found.Tensors("reluviz/params")
        assert run.updates.tolist() == [event.step for event in series]
        assert run.walls.tolist() == [event.wall_time for event in series]
        wanted = np.array([tensor_util.make_ndarray(event.tensor_proto) for event in series])
        np.testing.assert_array_equal(run.rows, wanted)
        votes_series = [tensor_util.make_ndarray(event.tensor_proto) for event in found.Tensors("reluviz/votes")]
        np.testing.assert_array_equal(run.votes, np.array(votes_series))


def test_a_run_has_its_model_seeds_settings_and_status(folder: Callable[[str], Path]) -> None:
    run = load_run(folder("replicas"))
    assert (run.model, run.seeds, run.status, run.name) == ("relu", (4, 0, 7), "finished", "replicas")
    assert run.trained == PARAMETERS["relu"]
    assert run.settings["optimizer.lr"] == 0.02
    assert run.metrics == metrics(folder("replicas"))
    assert run.updates.tolist() == [0, 1, 5, 10, 15, 20]
    assert load_run(folder("output")).trained == ("output_weight", "output_bias")
    assert repr(run) == "<Run replicas: relu of 3 units, 3 replicas, 6 snapshots up to update 20, finished>"
    assert load_run(folder("diverged")).status == "diverged"
    assert repr(load_run(folder("linear"))) == "<Run linear: linear, 13 snapshots up to update 12, finished>"


@pytest.mark.parametrize(("name", "made"), [("relu", piecewise_linear()), ("sine", sine(50, 0.1, 3))])
def test_the_data_set_equals_the_one_used_for_training(folder: Callable[[str], Path], name: str, made: Dataset) -> None:
    data = load_run(folder(name)).data
    for field in ("x", "y", "x_test", "y_test"):
        np.testing.assert_array_equal(getattr(data, field), getattr(made, field))
    assert (data.name, data.domain) == (made.name, made.domain)
    # the function itself, although the run recorded only its values
    assert data.target is made.target


def test_points_from_a_file_have_no_target_and_no_test_points(folder: Callable[[str], Path]) -> None:
    run = load_run(folder("points"))
    assert (run.data.target, run.data.x_test, run.data.y_test) == (None, None, None)
    assert run.data.x.tolist() == np.linspace(-1, 1, 30).tolist()
    with pytest.raises(UserError, match="has no test points"):
        run.loss("test")


def test_a_large_data_set_records_2000_samples_and_their_indices(folder: Callable[[str], Path]) -> None:
    run = load_run(folder("many"))
    assert run.residual.shape == (3, 1, 2000)
    r = predict("relu", parameters_at(run, -1), run.data.x) - run.data.y
    np.testing.assert_allclose(run.residual[-1], r[:, run.recorded], rtol=1e-5, atol=1e-6)
    assert run.contributions()["bias"].shape == (1, 2000, 3)


def test_an_unknown_target_is_interpolated_between_its_recorded_values(tmp_path: Path) -> None:
    def target(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return x * x

    x, grid = np.array([0.1, 0.2, 0.2, 0.9]), np.linspace(0, 1, 101)
    data = Dataset("square", x, target(x) + 1, (0.0, 1.0), grid, target(grid), target)
    with quiet():
        trainer = L.Trainer(
            accelerator="cpu", max_epochs=1, logger=RunLogger(str(tmp_path)), callbacks=[SnapshotLogger(0)],
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=0,
        )  # fmt: skip
        trainer.fit(ReLUModule(width=2), SegmentData(data, 3, snapshots=EverySchedule(1)))
    run = load_run(tmp_path)
    assert run.data.target is not None
    np.testing.assert_array_equal(run.data.target(x), target(x))
    np.testing.assert_array_equal(run.data.target(grid), target(grid))
    assert run.data.target(np.array([0.505])) == pytest.approx(0.505**2, abs=1e-4)
    assert (run.metrics, run.status) == (None, None)


# Quantities


@pytest.mark.parametrize("name", ["relu", "replicas", "double"])
def test_quantities_of_units_follow_from_the_parameters(folder: Callable[[str], Path], name: str) -> None:
    run = load_run(folder(name))
    w, b, v = run.input_slope, run.bias, run.output_weight
    assert w.shape == (len(run.updates), len(run.seeds), 3)
    np.testing.assert_allclose(run.elbow, -b / w, rtol=1e-15)
    np.testing.assert_array_equal(run.orientation, np.sign(w))
    np.testing.assert_array_equal(run.active_slope, w * v)
    np.testing.assert_array_equal(run.slope_jump, v * np.abs(w))
    on = w[..., None] * run.data.x + b[..., None] > 0
    status = np.where(on.all(-1), "linear", np.where(on.any(-1), "bent", "dead"))
    np.testing.assert_array_equal(np.array(elbows.STATUS)[run.unit_status], status)


def test_a_missing_parameter_is_refused_with_the_names_of_those_that_exist(folder: Callable[[str], Path]) -> None:
    with pytest.raises(AttributeError, match="a linear model has no input_slope; it has theta"):
        _ = load_run(folder("linear")).elbow
    with pytest.raises(AttributeError, match="a relu model has no theta"):
        _ = load_run(folder("relu")).theta


@pytest.mark.parametrize("name", ["relu", "replicas", "output", "constant", "linear"])
def test_recorded_votes_follow_from_the_parameters(folder: Callable[[str], Path], name: str) -> None:
    run = load_run(folder(name))
    assert run.residual.shape == run.norm.shape == run.vote_share.shape == (len(run.updates), len(run.seeds), 200)
    for s in range(len(run.updates)):
        g = votes.per_sample_gradients(run.model, parameters_at(run, s), X, Y, run.trained)
        c = np.sqrt(votes.squared_norms(g)) / 200
        np.testing.assert_allclose(run.norm[s], c, rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(
            run.residual[s], predict(run.model, parameters_at(run, s), X) - Y, rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(run.vote_share[s].sum(-1), 1, atol=1e-4)


@pytest.mark.parametrize("name", ["relu", "double", "output", "replicas", "constant", "linear"])
def test_contributions_equal_those_of_the_votes_module(folder: Callable[[str], Path], name: str) -> None:
    run = load_run(folder(name))
    saved = {parameter: value.double().numpy() for parameter, value in checkpoint_parameters(folder(name)).items()}
    wanted = votes.contributions(votes.per_sample_gradients(run.model, saved, X, Y, run.trained))
    found = run.contributions()
    assert tuple(found) == run.trained
    for parameter, value in wanted.items():
        # products of matrices are summed in an order that depends on the processor
        np.testing.assert_allclose(found[parameter], value, rtol=1e-12, atol=1e-15)
    earlier = run.contributions(int(run.updates[1]))
    gradient = np.stack([value.sum(1).reshape(len(run.seeds), -1) for value in earlier.values()][:1])
    assert np.abs(gradient).max() > 0
    assert not np.array_equal(next(iter(earlier.values())), next(iter(found.values())))


def test_contributions_equal_those_that_the_run_recorded(folder: Callable[[str], Path]) -> None:
    run = load_run(folder("double"))
    found = EventAccumulator(str(run.folder), size_guidance={"tensors": 0})
    found.Reload()
    series = found.Tensors("reluviz/contributions")
    assert [event.step for event in series] == [0, 20]
    for event in series:
        c = run.contributions(event.step)
        matrix = np.concatenate([value.reshape(1, 200, -1) for value in c.values()], axis=-1)
        np.testing.assert_allclose(tensor_util.make_ndarray(event.tensor_proto), matrix, rtol=1e-6, atol=1e-30)


def test_predictions_follow_the_formula_of_the_network(folder: Callable[[str], Path]) -> None:
    run, x = load_run(folder("replicas")), np.array([-1.0, 0.3, 2.0])
    for update, s in ((None, -1), (5, 2)):
        h = np.maximum(run.input_slope[s][:, None] * x[:, None] + run.bias[s][:, None], 0)
        f = (h * run.output_weight[s][:, None]).sum(-1) + run.output_bias[s][:, None]
        np.testing.assert_allclose(run.predict(x, update), f, rtol=1e-13)
    np.testing.assert_array_equal(run.predict(0.3), run.predict(x)[:, 1:2])
    linear = load_run(folder("linear"))
    np.testing.assert_array_equal(linear.predict(x), linear.theta[-1][:, None] * x)


@pytest.mark.parametrize("name", ["relu", "replicas", "constant", "linear", "diverged"])
def test_losses_equal_the_recorded_losses_of_every_replica(
    folder: Callable[[str], Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = load_run(folder(name))
    for which in ("train", "test"):
        found = run.loss(which)
        np.testing.assert_allclose(found[-1], metrics(run.folder)[f"loss/{which}"], rtol=1e-12)
        updates, values = run.scalars(f"loss/{which}")
        assert updates.tolist() == run.updates.tolist()
        np.testing.assert_allclose(np.median(found, axis=1), values, rtol=1e-6)
        # all snapshots at once gives the same as one snapshot at a time
        monkeypatch.setattr(run_arrays, "MAX_PARAMETERS_AT_ONCE", 1)
        np.testing.assert_allclose(run.loss(which), found, rtol=1e-13)
        monkeypatch.undo()
    with pytest.raises(UserError, match="batch: must be train or test"):
        run.loss("batch")


def test_scalars_equal_those_that_tensorboard_reads(folder: Callable[[str], Path]) -> None:
    for name in ("relu", "replicas", "constant"):
        run = load_run(folder(name))
        found = EventAccumulator(str(run.folder), size_guidance={"scalars": 0, "tensors": 0})
        found.Reload()
        kinds = ("elbow/", "input_slope/", "slope_jump/")
        wanted = {
            tag: [(event.step, float(tensor_util.make_ndarray(event.tensor_proto))) for event in found.Tensors(tag)]
            for tag in found.Tags()["tensors"]
            if found.SummaryMetadata(tag).plugin_data.plugin_name == "scalars" and not tag.startswith(kinds)
        }
        assert {"loss/train", "loss/test", "loss/batch", "grad/norm"} <= wanted.keys()
        assert run.tags == tuple(sorted(wanted))
        for tag, series in wanted.items():
            updates, values = run.scalars(tag)
            assert list(zip(updates.tolist(), values.tolist(), strict=True)) == series
    with pytest.raises(UserError, match=r"loss/tset: .*constant has no such scalar; it has grad/noise_scale, "):
        run.scalars("loss/tset")


@pytest.mark.parametrize(
    ("update", "message"),
    [
        (7, "update 7: .* has no snapshot there; nearest: 5 and 10"),
        (21, "nearest: 20$"),
        (10**30, "nearest: 20$"),
        (-1, "nearest: 0$"),
    ],
)
def test_a_missing_snapshot_is_refused_with_the_nearest_updates(
    folder: Callable[[str], Path], update: int, message: str
) -> None:
    run = load_run(folder("relu"))
    with pytest.raises(UserError, match=message):
        run.at(update)
    assert [run.at(known) for known in (0, 1, 5, 20, None)] == [0, 1, 2, 5, 5]


# Pictures and Jupyter


def recorded_pictures(folder: Path) -> dict[tuple[str, int], bytes]:
    return {
        (value.tag, event.step): value.image.encoded_image_string
        for path in event_file.event_files(folder)
        for event in event_file.read_events(path)
        for value in event.summary.value
        if value.WhichOneof("value") == "image"
    }


@pytest.mark.parametrize("name", ["relu", "replicas", "constant", "linear"])
@pytest.mark.parametrize("kind", ["fit", "votes"])
def test_a_plot_equals_the_picture_that_the_run_recorded(folder: Callable[[str], Path], name: str, kind: str) -> None:
    run, images = load_run(folder(name)), recorded_pictures(folder(name))
    for update in (0, int(run.updates[-1])):
        figure = run.plot(update, kind)
        wanted = images[kind, update]
        assert figure._repr_png_() == wanted  # type: ignore[attr-defined]
        # the figure also draws all of its artists when it is saved directly
        saved = io.BytesIO()
        figure.savefig(saved, format="png", dpi=100)
        pixels = [np.asarray(Image.open(data).convert("RGB"), dtype=int) for data in (saved, io.BytesIO(wanted))]
        assert (np.abs(pixels[0] - pixels[1]).max(-1) > 8).mean() < 0.03


def test_a_plot_can_show_any_replica_and_a_diverged_run(folder: Callable[[str], Path]) -> None:
    run = load_run(folder("replicas"))
    first, second = (run.plot(replica=replica)._repr_png_() for replica in (0, 1))  # type: ignore[attr-defined]
    assert first != second
    for name in ("diverged", "not_finite"):
        assert load_run(folder(name)).plot(kind="votes")._repr_png_()[:4] == b"\x89PNG"  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"replica 3: .* has 3, counted from 0"):
        run.plot(replica=3)
    with pytest.raises(UserError, match="loss: must be one of fit, votes"):
        run.plot(kind="loss")


def test_a_notebook_shows_a_table_that_describes_the_run(folder: Callable[[str], Path]) -> None:
    run = load_run(folder("replicas"))
    text = run._repr_html_()
    cells = dict(re.findall(r"<th[^>]*>(.*?)</th><td[^>]*>(.*?)</td>", text))
    assert cells["model"] == "relu, 3 units"
    assert cells["data"] == "piecewise linear, 200 points"
    assert cells["runs"] == "3 replicas, seeds 4, 0, 7"
    assert cells["snapshots"] == "6, up to update 20"
    assert float(cells["loss/train"]) == pytest.approx(np.median(metrics(run.folder)["loss/train"]), rel=1e-5)
    object.__setattr__(run, "name", "<b>bold</b>")
    assert "<b>" not in run._repr_html_()


def test_a_notebook_shows_the_interactive_view_in_a_frame(folder: Callable[[str], Path]) -> None:
    run = load_run(folder("relu"))
    (source,) = re.findall(r'<iframe srcdoc="([^"]*)"', run._repr_html_())
    assert html.unescape(source) == html_file.html({"relu": run.payload()})


# The payload of the interactive view


@pytest.mark.parametrize("name", ["relu", "replicas", "linear", "points", "diverged", "not_finite"])
def test_the_payload_contains_data_parameters_and_scalars(folder: Callable[[str], Path], name: str) -> None:
    run = load_run(folder(name))
    blobs = {key: wire_format.decode(blob) for key, blob in run.payload().items()}
    assert list(blobs) == ["data", "params", "scalars"]
    arrays, header = blobs["data"]
    assert header["model"] == run.model
    assert (header["name"], header["domain"]) == (run.data.name, list(run.data.domain))
    assert (header["trained"], header["seeds"]) == (list(run.trained), list(run.seeds))
    assert header["settings"] == run.settings
    np.testing.assert_array_equal(arrays["x"], run.data.x)
    np.testing.assert_array_equal(arrays["y"], run.data.y)
    np.testing.assert_array_equal(arrays["recorded"], run.recorded)
    assert ("target" in arrays, "x_test" in arrays) == (name != "points",) * 2
    if name != "points":
        np.testing.assert_array_equal(arrays["target"], piecewise_linear_target(run.data.x))
    arrays, header = blobs["params"]
    np.testing.assert_array_equal(arrays["update"], run.updates)
    np.testing.assert_array_equal(arrays["wall"], run.walls)
    np.testing.assert_array_equal(arrays["values"], run.rows.astype(np.float32))
    assert [field for field, _ in header["fields"]] == list(PARAMETERS[run.model])
    arrays, header = blobs["scalars"]
    assert {"loss/train", "loss/batch"} <= set(header["tags"]) <= set(run.tags)
    for i, tag in enumerate(header["tags"]):
        updates, values = run.scalars(tag)
        np.testing.assert_array_equal(arrays[f"u{i}"], updates)
        np.testing.assert_array_equal(arrays[f"v{i}"], values.astype(np.float32))


def test_a_payload_can_be_limited_to_some_snapshots(folder: Callable[[str], Path]) -> None:
    run = load_run(folder("linear"))
    for max_snapshots, kept in (
        (4, [0, 4, 8, 12]),
        (5, [0, 3, 6, 9, 12]),
        (6, [0, 3, 6, 9, 12]),
        (12, [0, 2, 4, 6, 8, 10, 12]),
    ):
        arrays, header = wire_format.decode(run.payload(max_snapshots)["params"])
        assert arrays["update"].tolist() == kept
        np.testing.assert_array_equal(arrays["values"], run.rows[kept].astype(np.float32))
        assert (header["total"], header["stride"]) == (13, kept[1])
    assert wire_format.decode(run.payload(13)["params"])[1]["stride"] == 1


def test_the_payload_of_a_large_data_set_contains_the_recorded_samples(folder: Callable[[str], Path]) -> None:
    run = load_run(folder("many"))
    arrays, header = wire_format.decode(run.payload()["data"])
    np.testing.assert_array_equal(arrays["x"], run.data.x[run.recorded])
    assert header["points"] == 3000


# Resumed runs


def test_a_run_resumed_from_an_earlier_checkpoint_has_every_snapshot_once(
    folder: Callable[[str], Path], tmp_path: Path
) -> None:
    once, again = load_run(folder("long")), tmp_path / "again"
    shutil.copytree(once.folder, again)
    assert train(f"ckpt_path={again / 'checkpoints' / 'update-000000050.ckpt'}") == 0
    assert len(event_file.event_files(again)) == 2
    run = load_run(again)
    assert run.updates.tolist() == EverySchedule(10).schedule(80)
    np.testing.assert_array_equal(run.rows, once.rows)
    assert run.walls[run.at(40)] == once.walls[once.at(40)]
    assert run.walls[run.at(50)] > once.walls[-1]
    assert [len(run.scalars(tag)[0]) for tag in ("loss/train", "loss/batch")] == [10, 9]


def test_snapshots_after_the_checkpoint_of_a_resumed_run_are_dropped_until_recorded_again(
    folder: Callable[[str], Path], tmp_path: Path
) -> None:
    again = tmp_path / "again"
    shutil.copytree(folder("long"), again)
    assert train(f"ckpt_path={again / 'checkpoints' / 'update-000000050.ckpt'}") == 0
    second = event_file.event_files(again)[1]
    # the state of the file if the run had been killed after its first snapshot
    starts = offsets(second)
    kept = next(i for i, event in enumerate(event_file.read_events(second)) if event.summary.value)
    second.write_bytes(second.read_bytes()[: starts[kept + 1]])
    run = load_run(again)
    assert run.updates.tolist() == [0, 1, 10, 20, 30, 40, 50]
    assert run.scalars("loss/train")[0].tolist() == [0, 1, 10, 20, 30, 40, 50]


@pytest.mark.long
@POSIX
def test_a_killed_and_resumed_run_has_the_snapshots_of_an_uninterrupted_one(tmp_path: Path) -> None:
    settings = [
        "+exp=relu",
        "model.width=3",
        "updates=6000",
        "snapshots=linear",
        "snapshots.every=100",
        "engine=reference",
    ]
    settings += ["callbacks=minimal", "callbacks.checkpoints.seconds=0"]
    once, killed = tmp_path / "once", tmp_path / "killed"
    command = [sys.executable, "-m", "reluviz", "train", *settings, f"hydra.run.dir={killed}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen = 0
    try:
        deadline = time.monotonic() + 120
        while seen < 20 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
            if killed.exists() and (files := event_file.event_files(killed)) and files[0].stat().st_size > 100_000:
                # the run is read while it is being written
                seen = len(load_run(killed).updates)
                assert load_run(killed).metrics is None
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert seen >= 20
    before = load_run(killed)
    assert 20 <= len(before.updates) < 62
    assert before.status is None
    assert train(f"ckpt_path={killed}") == 0
    assert train(*settings, f"hydra.run.dir={once}") == 0
    run, wanted = load_run(killed), load_run(once)
    assert run.updates.tolist() == wanted.updates.tolist() == EverySchedule(100).schedule(6000)
    np.testing.assert_array_equal(run.rows, wanted.rows)
    np.testing.assert_array_equal(run.rows[: len(before.updates)], before.rows)
    np.testing.assert_array_equal(run.votes, wanted.votes)
    assert run.status == "finished"


def test_metrics_from_before_a_run_was_resumed_are_ignored(folder: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(folder("relu"), tmp_path / "run")
    stale = metrics(folder("relu")) | {"updates": 15}
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(stale))
    assert load_run(tmp_path / "run").status is None
    (tmp_path / "run" / "metrics.json").write_text('{"updates": ')
    assert load_run(tmp_path / "run").metrics is None


# Incomplete and damaged files


def offsets(path: Path) -> list[int]:
    """The position of each record, and the end of the file."""
    data, found = path.read_bytes(), [0]
    while found[-1] < len(data):
        found.append(found[-1] + 16 + int.from_bytes(data[found[-1] : found[-1] + 8], "little"))
    return found


def test_a_file_that_ends_within_a_record_is_read_up_to_that_record(
    folder: Callable[[str], Path], tmp_path: Path
) -> None:
    whole = load_run(folder("relu"))
    (path,) = event_file.event_files(whole.folder)
    data, starts = path.read_bytes(), offsets(path)
    has_params = [
        any(value.tag == "reluviz/params" for value in event.summary.value) for event in event_file.read_events(path)
    ]
    copy = tmp_path / path.name
    for number in np.flatnonzero(has_params)[1:]:
        before = sum(has_params[:number])
        start, end = starts[number], starts[number + 1]
        for cut in (start, start + 5, start + 12, start + 13, end - 4, end - 1):
            copy.write_bytes(data[:cut])
            run = load_run(tmp_path)
            assert run.updates.tolist() == whole.updates[:before].tolist()
            np.testing.assert_array_equal(run.rows, whole.rows[:before])
            np.testing.assert_array_equal(run.votes, whole.votes[:before])
            assert run.damaged == ()


@pytest.mark.parametrize("position", [3, 10, 20, -2], ids=["length", "checksum of length", "data", "checksum of data"])
def test_a_damaged_record_ends_the_reading_of_its_file_only(
    folder: Callable[[str], Path], tmp_path: Path, position: int
) -> None:
    again = tmp_path / "again"
    shutil.copytree(folder("long"), again)
    assert train(f"ckpt_path={again / 'checkpoints' / 'update-000000050.ckpt'}") == 0
    wanted = load_run(again)
    first = event_file.event_files(again)[0]
    data, starts = bytearray(first.read_bytes()), offsets(first)
    steps = [event.step for event in event_file.read_events(first)]
    record = steps.index(20)
    data[(starts[record] if position >= 0 else starts[record + 1]) + position] ^= 1
    first.write_bytes(bytes(data))
    run = load_run(again)
    # updates 20 to 40 are lost; the second file is complete
    assert run.updates.tolist() == [0, 1, 10, 50, 60, 70, 80]
    np.testing.assert_array_equal(run.rows, wanted.rows[[0, 1, 2, 6, 7, 8, 9]])
    assert run.damaged == (first,)
    assert repr(run).endswith("event file damaged>")
    assert first.name in run._repr_html_()


def test_a_second_run_in_the_same_folder_replaces_the_first(folder: Callable[[str], Path], tmp_path: Path) -> None:
    for number, name in enumerate(("replicas", "linear")):
        (path,) = event_file.event_files(folder(name))
        shutil.copy(path, tmp_path / f"events.out.tfevents.{number}")
    run, wanted = load_run(tmp_path), load_run(folder("linear"))
    assert run.model == "linear"
    np.testing.assert_array_equal(run.rows, wanted.rows)
    assert run.tags == wanted.tags


# Folders without a run


def error_of(folder: Path) -> str:
    with pytest.raises(UserError) as refusal:
        load_run(folder)
    assert str(folder) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_a_folder_without_a_run_is_refused_in_one_line(folder: Callable[[str], Path], tmp_path: Path) -> None:
    assert error_of(tmp_path / "none").endswith("there is no such folder")
    (tmp_path / "file").write_text("")
    assert error_of(tmp_path / "file").endswith("is a file; name the run's folder")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert error_of(empty).endswith("holds no run (no events.out.tfevents.*)")
    other = tmp_path / "other"
    with SummaryWriter(str(other)) as writer:
        writer.add_scalar("loss/train", 1.0, 0)
    assert error_of(other).endswith("holds no run of reluviz (its events have no reluviz/data)")
    (path,) = event_file.event_files(folder("relu"))
    early = tmp_path / "early"
    early.mkdir()
    has_data = [
        any(value.tag == "reluviz/data" for value in event.summary.value) for event in event_file.read_events(path)
    ]
    (early / path.name).write_bytes(path.read_bytes()[: offsets(path)[has_data.index(True) + 1]])
    assert error_of(early).endswith("this run has no snapshot yet")


def test_an_unreadable_run_is_refused_in_one_line(folder: Callable[[str], Path], tmp_path: Path) -> None:
    if not hasattr(os, "geteuid") or os.geteuid() == 0:
        pytest.skip("this user may read everything")
    (path,) = event_file.event_files(folder("relu"))
    copy = Path(shutil.copy(path, tmp_path))
    copy.chmod(0)
    assert "cannot be read (Permission denied)" in error_of(tmp_path)


def changed(source: Path, target: Path, tag: str, change: Callable[[Any], None]) -> Path:
    """Copy a run, with a change to the summaries of one tag."""
    writer = EventFile(str(target))
    for path in event_file.event_files(source):
        for event in event_file.read_events(path):
            for value in event.summary.value:
                if value.tag == tag:
                    change(value)
            writer.add_event(event)
    writer.close()
    return target


def content(**change: Any) -> Callable[[Any], None]:
    def apply(value: Any) -> None:
        old = json.loads(value.metadata.plugin_data.content)
        value.metadata.plugin_data.content = json.dumps(old | change).encode()

    return apply


@pytest.mark.parametrize(
    ("tag", "change"),
    [
        ("reluviz/data", lambda value: setattr(value.metadata.plugin_data, "content", b"{")),
        ("reluviz/data", lambda value: setattr(value.metadata.plugin_data, "content", b"[]")),
        ("reluviz/data", lambda value: setattr(value.tensor, "tensor_content", b"odd")),
        ("reluviz/data", lambda value: setattr(value.tensor, "dtype", 3)),
        ("reluviz/data", content(fields=[["x", 3]])),
        ("reluviz/data", content(fields=[])),
        ("reluviz/data", content(model="cubic")),
        ("reluviz/data", content(domain=[0])),
        ("reluviz/data", content(seeds=[0, 1])),
        ("reluviz/data", content(settings=3)),
        ("reluviz/params", content(fields=[["theta", 1]])),
        ("reluviz/params", content(fields=3)),
        ("reluviz/params", lambda value: value.tensor.tensor_shape.dim.pop()),
        ("reluviz/votes", lambda value: setattr(value.tensor.tensor_shape.dim[2], "size", 7)),
    ],
)
def test_a_run_with_inconsistent_records_is_refused_in_one_line(
    folder: Callable[[str], Path], tmp_path: Path, tag: str, change: Callable[[Any], None]
) -> None:
    assert "that this version" in error_of(changed(folder("relu"), tmp_path / "changed", tag, change))


# Several runs


def test_runs_are_found_at_any_depth_below_a_folder(folder: Callable[[str], Path], tmp_path: Path) -> None:
    folders = [tmp_path / "sweep" / "seed-0", tmp_path / "sweep" / "seed-1", tmp_path / "alone"]
    for path in folders:
        shutil.copytree(folder("linear"), path)
    with SummaryWriter(str(tmp_path / "other")) as writer:
        writer.add_scalar("loss/train", 1.0, 0)
    assert runs_below(tmp_path) == [folders[2], *folders[:2]]
    assert runs_below(folders[0]) == [folders[0]]
    assert [run.name for run in load_runs(tmp_path)] == ["alone", "seed-0", "seed-1"]
    if os.name == "posix":
        (tmp_path / "sweep" / "loop").symlink_to(tmp_path, target_is_directory=True)
        assert len(runs_below(tmp_path)) == 3
    with pytest.raises(UserError, match="other: there are no runs of reluviz at or below it"):
        load_runs(tmp_path / "other")
    with pytest.raises(UserError, match="none: there is no such folder"):
        load_runs(tmp_path / "none")


def test_names_of_runs_are_different_and_as_short_as_possible() -> None:
    def of(*paths: str) -> list[str]:
        return run_names([Path("/", *path.split("/")) for path in paths])

    assert of("logs/sweeps/a") == ["a"]
    assert of("logs/relu/2026-07-01_12-00-00") == ["relu-2026-07-01_12-00-00"]
    assert of("x/a", "y/a", "y/b") == ["x-a", "y-a", "b"]
    assert of("p/x/a", "q/x/a") == ["p-x-a", "q-x-a"]
    assert of("a", "x/a") == ["a", "x-a"]
    assert run_names([Path("/")]) == ["run"]


def test_reading_a_run_imports_neither_lightning_nor_matplotlib(folder: Callable[[str], Path]) -> None:
    code = f"""
import sys
from reluviz import load_run
load_run({str(folder("relu"))!r}).loss()
print([name for name in ("lightning", "matplotlib", "hydra", "tensorflow") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_package_exports_load_run_and_run() -> None:
    assert (reluviz.load_run, reluviz.Run) == (load_run, Run)
