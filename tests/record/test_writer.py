"""TensorBoard's own loader reads every tag of a run back from its event files, with the right values."""

import dataclasses
import io
import json
import re
import sys
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import image as matplotlib_image
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.util import tensor_util

from reluviz.__main__ import main
from reluviz.core import elbows, votes
from reluviz.core.functions import mean_squared_error, predict
from reluviz.core.models import MODELS
from reluviz.data import piecewise_linear
from reluviz.engines.predict import relu
from reluviz.record.snapshot_events import MAX_HISTOGRAM_VALUES, replica_statistics
from reluviz.record.tags import REPLICAS

DATA = piecewise_linear()
X, Y = DATA.x, DATA.y
NAMES = tuple(MODELS["relu"].parameters)
SCALARS = {"loss/train", "loss/test", "loss/batch", "grad/norm", "grad/noise_scale", "votes/effective"}
UNITS = {"units/dead", "units/linear", "units/bent"} | {
    f"{kind}/{k:02d}" for kind in ("elbow", "input_slope", "slope_jump") for k in range(3)
}
RUNS = {
    "relu": "+exp=relu model.width=3 updates=20 snapshots=linear snapshots.every=10 callbacks.snapshots.pictures=2",
    "replicas": "+exp=relu model.width=3 updates=20 snapshots=linear snapshots.every=10 replicas=3"
    " callbacks.snapshots.pictures=2",
    "constant": "+exp=constant updates=3 callbacks.snapshots.pictures=2",
    "linear": "+exp=linear updates=3 callbacks.snapshots.pictures=2 trainer.precision=64-true",
    "everything": "+exp=relu model.width=3 updates=20 snapshots=linear snapshots.every=10 callbacks=everything"
    " callbacks.snapshots.pictures=2 trainer.precision=64-true",
    "minimal": "+exp=relu model.width=3 updates=20 snapshots=linear snapshots.every=10 callbacks=minimal",
    "output": "+exp=relu_output model.width=3 updates=20 snapshots=linear snapshots.every=10 callbacks=everything"
    " callbacks.snapshots.pictures=1",
    "diverged": "+exp=linear optimizer.lr=5 updates=100 callbacks.snapshots.pictures=2",
    "not_finite": "+exp=relu model.width=3 optimizer.lr=50 updates=2000 snapshots=linear"
    " callbacks.snapshots.pictures=2",
    "dead": "+exp=relu_output model.width=3 model.init_from=dead.pt updates=2 callbacks.snapshots.pictures=1",
    "many": "+exp=relu model.width=40 replicas=30 updates=2 callbacks.snapshots.pictures=0",
    "wide": "+exp=relu model.width=120 updates=2 callbacks=minimal",
}


@dataclasses.dataclass
class Run:
    """The content of a run's folder: metrics.json, and the events as (step, tag -> value)."""

    metrics: dict[str, Any]
    events: list[tuple[int, dict[str, Any]]]

    def of(self, kind: str) -> dict[str, dict[int, Any]]:
        """Return tag -> step -> value, for one kind of summary: simple_value, image, histo or tensor."""
        found: dict[str, dict[int, Any]] = defaultdict(dict)
        for step, values in self.events:
            for tag, value in values.items():
                if value.WhichOneof("value") == kind:
                    assert step not in found[tag], f"{tag} twice at {step}"
                    found[tag][step] = value
        return dict(found)

    @property
    def scalars(self) -> dict[str, dict[int, float]]:
        return {
            tag: {step: one.simple_value for step, one in series.items()}
            for tag, series in self.of("simple_value").items()
        }

    def tensors(self, tag: str) -> dict[int, np.ndarray]:
        return {step: tensor_util.make_ndarray(value.tensor) for step, value in self.of("tensor")[tag].items()}

    def content(self, tag: str) -> dict[str, Any]:
        first = next(iter(self.of("tensor")[tag].values()))
        return json.loads(first.metadata.plugin_data.content)

    def parameters(self, step: int) -> dict[str, np.ndarray]:
        """Return the parameters at a snapshot, name -> [R] or [R, W], split as the tensor's metadata say."""
        rows = self.tensors("reluviz/params")[step].astype(np.float64)
        fields = self.content("reluviz/params")["fields"]
        parts = np.split(rows, np.cumsum([count for _, count in fields])[:-1], axis=1)
        return {
            name: part if name in ("input_slope", "bias", "output_weight") else part[:, 0]
            for (name, _), part in zip(fields, parts, strict=True)
        }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a function: run(name) is one of `RUNS`, trained on the first call."""
    folder, done = tmp_path_factory.mktemp("runs"), {}
    dead = {
        "0.weight": [[1.0], [0.0], [-1.0]],
        "0.bias": [0.5, 1.0, -1.0],
        "2.weight": [[1.0, 1.0, 1.0]],
        "2.bias": [0.0],
    }
    torch.save({key: torch.tensor(value) for key, value in dead.items()}, folder / "dead.pt")

    def get(name):
        if name not in done:
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                patch.setattr(sys, "argv", ["reluviz", "train", *RUNS[name].split(), f"hydra.run.dir={name}"])
                assert main() == (3 if name in ("diverged", "not_finite") else 0)
            (file,) = (folder / name).glob("events.out.tfevents.*")
            events = []
            for event in LegacyEventFileLoader(str(file)).Load():
                if event.HasField("summary"):
                    values = {value.tag: value for value in event.summary.value}
                    assert len(values) == len(event.summary.value), "a tag twice in one event"
                    events.append((event.step, values))
            done[name] = Run(json.loads((folder / name / "metrics.json").read_text()), events)
        return done[name]

    return get


def test_a_network_has_the_documented_scalars_and_no_others(run):
    assert set(run("relu").scalars) == SCALARS | UNITS


@pytest.mark.parametrize("name", ["constant", "linear"])
def test_a_one_parameter_model_has_theta_and_its_optimum(run, name):
    assert set(run(name).scalars) == SCALARS | {"theta", "theta/optimum"}
    assert set(run(name).of("histo")) == {"votes/theta"}


@pytest.mark.parametrize("name", ["relu", "replicas", "constant", "linear", "everything", "minimal"])
def test_all_scalars_histograms_and_tensors_of_a_snapshot_are_one_event(run, name):
    snapshots = [(step, values) for step, values in run(name).events if "loss/train" in values]
    steps = [step for step, _ in snapshots]
    assert steps == ([0, 1, 2, 3] if name in ("constant", "linear") else [0, 1, 10, 20])
    once = {"reluviz/data", "reluviz/findings", "custom_scalars__config__", "run/text_summary"}
    for event in run(name).events:
        if event not in snapshots:
            for tag, value in event[1].items():
                assert value.WhichOneof("value") == "image" or tag in once or tag.startswith("_hparams_/"), tag


def test_the_x_axis_is_the_number_of_updates_and_steps_increase(run):
    for series in run("relu").scalars.values():
        assert list(series) in ([0, 1, 10, 20], [1, 10, 20])
    # Within one tag, as TensorBoard requires: a picture may be encoded while later snapshots are written. All summaries
    # of the HParams tab are at step 0.
    steps = defaultdict(list)
    for step, values in run("relu").events:
        for tag in values:
            if not tag.startswith("_hparams_/"):
                steps[tag].append(step)
    assert len(steps["fit"]) == 2
    for series in steps.values():
        assert series == sorted(series)


def test_there_is_no_batch_loss_before_the_first_update(run):
    assert list(run("relu").scalars["loss/batch"]) == [1, 10, 20]
    assert list(run("relu").scalars["loss/train"]) == [0, 1, 10, 20]


def test_the_last_scalars_equal_metrics_json(run):
    for name in ("relu", "constant", "linear"):
        found, metrics = run(name), run(name).metrics
        last = {tag: series[metrics["updates"]] for tag, series in found.scalars.items()}
        assert last["loss/train"] == pytest.approx(metrics["loss/train"][0], rel=1e-6)
        assert last["loss/test"] == pytest.approx(metrics["loss/test"][0], rel=1e-6)
    assert last["theta"] == pytest.approx(metrics["theta"][0], rel=1e-6)
    assert last["theta/optimum"] == pytest.approx(metrics["theta/optimum"][0], rel=1e-6)
    last = {tag: series[20] for tag, series in run("relu").scalars.items()}
    metrics = run("relu").metrics
    for k in range(3):
        assert last[f"elbow/{k:02d}"] == pytest.approx(metrics["elbow"][0][k], rel=1e-6)
        assert last[f"input_slope/{k:02d}"] == pytest.approx(metrics["input_slope"][0][k], rel=1e-6)
    for status in elbows.STATUS:
        assert last[f"units/{status}"] == metrics["units"][status][0]


def test_scalars_follow_from_the_parameters_at_every_snapshot(run):
    found = run("relu")
    for step in (0, 1, 10, 20):
        p = found.parameters(step)
        g = votes.per_sample_gradients("relu", p, X, Y)
        mean = np.sqrt(votes.squared_gradient_norm(votes.mean_gradient(g)))
        expected = {
            "loss/train": mean_squared_error("relu", p, X, Y),
            "grad/norm": mean,
            "grad/noise_scale": votes.gradient_noise_scale(g),
            "votes/effective": votes.effective_votes(g),
        }
        jumps = p["output_weight"] * np.abs(p["input_slope"])
        expected |= {f"slope_jump/{k:02d}": jumps[:, k] for k in range(3)}
        expected |= {f"elbow/{k:02d}": -p["bias"][:, k] / p["input_slope"][:, k] for k in range(3)}
        for tag, value in expected.items():
            assert found.scalars[tag][step] == pytest.approx(value.item(), rel=1e-5), tag


def test_scalars_of_replicas_are_numpys_median_and_quartiles(run):
    found = run("replicas")
    assert found.metrics["seeds"] == [0, 1, 2]
    base = SCALARS | UNITS
    assert set(found.scalars) == base | {f"{tag}/{q}" for tag in base for q in ("q25", "q75")}
    metrics = found.metrics
    per_replica = {tag: metrics[tag] for tag in ("loss/train", "loss/test")}
    per_replica |= {f"units/{status}": metrics["units"][status] for status in elbows.STATUS}
    for kind in ("elbow", "input_slope"):
        per_replica |= {f"{kind}/{k:02d}": [row[k] for row in metrics[kind]] for k in range(3)}
    g = votes.per_sample_gradients("relu", found.parameters(20), X, Y)
    per_replica["votes/effective"] = votes.effective_votes(g).tolist()
    for tag, values in per_replica.items():
        assert len(values) == 3
        assert found.scalars[tag][20] == pytest.approx(np.median(values), rel=1e-5), tag
        for q in (25, 75):
            wanted = np.quantile(values, q / 100)
            assert found.scalars[f"{tag}/q{q}"][20] == pytest.approx(wanted, rel=1e-5), tag


def test_the_parameters_equal_metrics_json_bit_for_bit(run):
    for name, kind in (("relu", np.float32), ("replicas", np.float32), ("everything", np.float64)):
        found = run(name)
        rows = found.tensors("reluviz/params")
        assert list(rows) == [0, 1, 10, 20]
        assert all(one.dtype == kind for one in rows.values())
        assert rows[20].shape == (len(found.metrics["seeds"]), 3 * 3 + 1)
        p = found.parameters(20)
        assert tuple(p) == NAMES
        assert found.content("reluviz/params")["model"] == "relu"
        for parameter, value in p.items():
            assert value.tolist() == found.metrics[parameter]
    for name in ("constant", "linear"):
        assert run(name).parameters(3)["theta"].tolist() == run(name).metrics["theta"]


def test_tensors_have_the_metadata_that_brings_them_to_the_plugin(run):
    tags = {"reluviz/data", "reluviz/findings", "reluviz/params", "reluviz/replicas", "reluviz/votes"}
    for name, wanted in (("relu", tags), ("everything", {*tags, "reluviz/contributions"})):
        ours = {tag: series for tag, series in run(name).of("tensor").items() if tag.startswith("reluviz/")}
        assert set(ours) == wanted
        for series in ours.values():
            for value in series.values():
                assert value.metadata.data_class == DATA_CLASS_TENSOR
                assert value.metadata.plugin_data.plugin_name == "reluviz"


def test_each_event_begins_with_the_losses_and_unit_counts_of_every_replica(run):
    for name, test in (("relu", ["loss/test"]), ("replicas", ["loss/test"]), ("constant", ["loss/test"])):
        found = run(name)
        fields = found.content("reluviz/replicas")["fields"]
        units = [] if name == "constant" else [f"units/{status}" for status in elbows.STATUS]
        assert fields == ["loss/train", *test, "loss/batch", *units]
        last = found.metrics["updates"]
        series = {step: dict(zip(fields, rows.T, strict=True)) for step, rows in found.tensors(REPLICAS).items()}
        for tag in ("loss/train", *test):
            assert series[last][tag].tolist() == found.metrics[tag]
        for status in elbows.STATUS if units else ():
            assert series[last][f"units/{status}"].tolist() == found.metrics["units"][status]
        # before the first update there is no minibatch
        assert np.isnan(series[0]["loss/batch"]).all()
        for step, values in series.items():
            for tag, value in values.items():
                if (tag, step) != ("loss/batch", 0):
                    assert found.scalars[tag][step] == pytest.approx(np.median(value), rel=1e-6)
        assert all(next(iter(values)) == REPLICAS for _, values in found.events if "loss/train" in values)


def test_a_loss_that_is_nan_is_recorded_as_infinite(run):
    last = run("not_finite").tensors(REPLICAS)[run("not_finite").metrics["updates"]]
    assert last[0, 0] == np.inf


def test_the_data_can_be_read_back_exactly(run):
    found = run("relu")
    (whole,) = found.tensors("reluviz/data").values()
    assert list(found.tensors("reluviz/data")) == [0]
    content = found.content("reluviz/data")
    assert (content["model"], content["name"], content["domain"]) == ("relu", "piecewise linear", [0.0, 1.0])
    assert content["trained"] == ["input_slope", "bias", "output_weight", "output_bias"]
    assert content["seeds"] == [0]
    names, lengths = zip(*content["fields"], strict=True)
    parts = dict(zip(names, np.split(whole, np.cumsum(lengths)[:-1]), strict=True))
    wanted = {
        "x": DATA.x,
        "y": DATA.y,
        "target": DATA.target(DATA.x),
        "x_test": DATA.x_test,
        "y_test": DATA.y_test,
        "recorded": np.arange(200),
    }
    assert names == tuple(wanted)
    for name, value in wanted.items():
        np.testing.assert_array_equal(parts[name], value)


@pytest.mark.parametrize("name", ["relu", "replicas", "constant", "linear"])
def test_the_votes_tensor_has_residual_norm_and_share_of_every_sample(run, name):
    found = run(name)
    model = name if name in ("constant", "linear") else "relu"
    assert found.content("reluviz/votes")["fields"] == ["residual", "norm", "share"]
    for step, series in found.tensors("reluviz/votes").items():
        p = found.parameters(step)
        g = votes.per_sample_gradients(model, p, X, Y)
        assert series.dtype == np.float32
        assert series.shape == (len(found.metrics["seeds"]), 3, 200)
        np.testing.assert_allclose(series[:, 0], predict(model, p, X) - Y, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(series[:, 1], np.sqrt(votes.squared_norms(g)) / 200, rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(series[:, 2].sum(-1), 1, atol=1e-4)


@pytest.mark.parametrize(("name", "trained"), [("everything", NAMES), ("output", NAMES[2:])])
def test_contributions_sum_to_the_gradient_of_the_trained_parameters(run, name, trained):
    found = run(name)
    matrices = found.tensors("reluviz/contributions")
    assert list(matrices) == ([0, 20] if name == "everything" else [0])
    fields = found.content("reluviz/contributions")["fields"]
    assert [field for field, _ in fields] == list(trained)
    for step, matrix in matrices.items():
        assert matrix.shape == (1, 200, sum(count for _, count in fields))
        p = {name: torch.from_numpy(value).requires_grad_() for name, value in found.parameters(step).items()}
        (relu(p, torch.from_numpy(X)) - torch.from_numpy(Y)).square().mean().backward()
        gradient = torch.cat([p[field].grad.reshape(-1) for field in trained])
        np.testing.assert_allclose(matrix.astype(np.float64).sum((0, 1)), gradient, rtol=1e-4, atol=1e-6)


def test_pictures_are_valid_png_files(run):
    for name in ("relu", "replicas", "constant", "linear"):
        found, last = run(name), run(name).metrics["updates"]
        images = found.of("image")
        assert {tag: list(series) for tag, series in images.items()} == {
            "fit": [0, last],
            "votes": [0, last],
            "votes/history": [last],
        }
        for series in images.values():
            for value in series.values():
                pixels = matplotlib_image.imread(io.BytesIO(value.image.encoded_image_string), format="png")
                assert pixels.shape[:2] == (value.image.height, value.image.width)
                assert pixels[..., :3].std() > 0.01


def test_image_summaries_have_the_right_number_of_channels(run):
    for series in run("relu").of("image").values():
        for value in series.values():
            pixels = matplotlib_image.imread(io.BytesIO(value.image.encoded_image_string), format="png")
            assert pixels.shape[2] == value.image.colorspace


def test_histograms_count_every_value(run):
    for name, replicas in (("relu", 1), ("replicas", 3)):
        found = run(name)
        histograms = found.of("histo")
        units = dict.fromkeys(("elbow", "input_slope", "slope_jump"), 3)
        voted = {f"votes/{part}": 200 * (1 if part == "output_bias" else 3) for part in NAMES}
        assert set(histograms) == set(units | voted)
        for tag, values in (units | voted).items():
            assert list(histograms[tag]) == [0, 1, 10, 20]
            for value in histograms[tag].values():
                histogram = value.histo
                assert sum(histogram.bucket) == histogram.num == values * replicas
                assert len(histogram.bucket) == len(histogram.bucket_limit)
                assert list(histogram.bucket_limit) == sorted(histogram.bucket_limit)
                assert histogram.min <= histogram.sum / histogram.num <= histogram.max
        slopes = np.array(found.metrics["input_slope"])
        last = histograms["input_slope"][20].histo
        assert (last.min, last.max) == (slopes.min(), slopes.max())
        assert last.sum == pytest.approx(slopes.sum())


def charts(found: Run) -> dict[str, Any]:
    (value,) = found.of("tensor")["custom_scalars__config__"].values()
    assert value.metadata.plugin_data.plugin_name == "custom_scalars"
    layout = layout_pb2.Layout.FromString(value.tensor.string_val[0])
    return {chart.title: chart for category in layout.category for chart in category.chart}


@pytest.mark.parametrize("name", ["relu", "replicas", "constant", "linear"])
def test_every_custom_scalars_chart_matches_existing_tags(run, name):
    found = run(name)
    for chart in charts(found).values():
        for expression in chart.multiline.tag:
            assert any(re.search(expression, tag) for tag in found.scalars), expression
        for series in chart.margin.series:
            assert {series.value, series.lower, series.upper} <= set(found.scalars)
            assert (series.lower, series.upper) == (f"{series.value}/q25", f"{series.value}/q75")


def test_charts_of_units_have_one_line_for_each_unit(run):
    for name in ("relu", "replicas"):
        (expression,) = charts(run(name))["elbows"].multiline.tag
        lines = {tag for tag in run(name).scalars if re.search(expression, tag)}
        assert lines == {"elbow/00", "elbow/01", "elbow/02"}
    (expression,) = charts(run("relu"))["dead, linear and bent units"].multiline.tag
    lines = {tag for tag in run("relu").scalars if re.search(expression, tag)}
    assert lines == {"units/dead", "units/linear", "units/bent"}


def test_losses_of_replicas_have_charts_with_quartile_margins(run):
    margins = [chart for chart in charts(run("replicas")).values() if chart.margin.series]
    assert [chart.margin.series[0].value for chart in margins] == ["loss/train", "loss/test", "loss/batch"]
    assert not any(chart.margin.series for chart in charts(run("relu")).values())


def test_the_hparams_session_has_settings_metrics_and_a_success_status(run):
    parts = {}
    for step, values in run("relu").events:
        for tag, value in values.items():
            if tag.startswith("_hparams_/"):
                assert value.metadata.plugin_data.plugin_name == "hparams"
                assert tag not in parts
                parts[tag] = step, plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
    assert {tag: step for tag, (step, _) in parts.items()} == {
        "_hparams_/experiment": 0,
        "_hparams_/session_start_info": 0,
        "_hparams_/session_end_info": 0,
    }
    experiment = parts["_hparams_/experiment"][1].experiment
    assert {info.name.tag for info in experiment.metric_infos} == {"loss/train", "loss/test"}
    hparams = parts["_hparams_/session_start_info"][1].session_start_info.hparams
    assert hparams["optimizer.lr"].number_value == 0.02
    assert hparams["model.width"].number_value == 3
    assert hparams["seed"].number_value == 0
    assert hparams["name"].string_value == "relu"
    assert {info.name for info in experiment.hparam_infos} == set(hparams)
    status = parts["_hparams_/session_end_info"][1].session_end_info.status
    assert status == 1, "STATUS_SUCCESS"


def test_hparams_metrics_are_never_placeholders(run):
    # a 0 written at the start would look like the final metric of a run that was killed
    for name in ("relu", "diverged"):
        assert 0.0 not in run(name).scalars["loss/train"].values()


def test_the_text_tab_has_settings_and_results_in_markdown(run):
    texts = {}
    for step, value in run("relu").of("tensor")["run/text_summary"].items():
        assert value.metadata.plugin_data.plugin_name == "text"
        texts[step] = value.tensor.string_val[0].decode()
    assert list(texts) == [0, 20]
    assert re.search(r"^\| `?optimizer\.lr`? \| 0\.02 \|$", texts[0], re.MULTILINE)
    assert "After" not in texts[0]
    assert texts[20].startswith("### What became of the run\n\n- no better than a constant: R^2 = ")
    assert "\n\n### After 20 updates\n" in texts[20]
    loss = run("relu").metrics["loss/train"][0]
    assert re.search(rf"^\| `?loss/train`? \| {loss:.6g} \|$", texts[20], re.MULTILINE)


def test_a_quantity_that_only_one_replica_has_has_no_quartiles():
    nan = np.nan
    values = np.array([[1.0, np.inf, np.inf], [1.0, 1.0, 1.0], [nan, 2.0, nan], [nan, nan, nan]])
    np.testing.assert_array_equal(
        replica_statistics(values), [[np.inf, np.inf, np.inf], [1, 1, 1], [2, nan, nan], [nan, nan, nan]]
    )


def test_minimal_callbacks_record_neither_pictures_nor_histograms(run):
    found = run("minimal")
    assert found.of("image") == {}
    assert found.of("histo") == {}
    assert set(found.scalars) == SCALARS | UNITS
    assert found.scalars == run("relu").scalars


def test_a_diverged_run_has_all_its_snapshots_and_a_last_picture(run):
    found = run("diverged")
    assert found.metrics["status"] == "diverged"
    last = found.metrics["updates"]
    assert list(found.scalars["loss/train"]) == list(range(last + 1))
    assert found.scalars["theta"][last] == pytest.approx(found.metrics["theta"][0])
    assert list(found.of("image")["fit"]) == [0, last]
    assert list(found.of("image")["votes/history"]) == [last]
    assert "_hparams_/session_end_info" in {tag for _, values in found.events for tag in values}


def test_a_run_with_parameters_that_are_not_finite_can_be_read_back(run):
    found = run("not_finite")
    assert found.metrics["loss/train"] == [None]
    last = found.metrics["updates"]
    assert found.scalars["loss/train"][last] == np.inf
    assert found.scalars["loss/train"][0] < 1
    assert not np.isfinite(found.tensors("reluviz/params")[last]).all()
    assert len(found.tensors("reluviz/params")) == len(found.scalars["loss/train"])
    for series in found.scalars.values():
        assert not np.isnan(list(series.values())).any()
    for tag in ("fit", "votes", "votes/history"):
        png = found.of("image")[tag][last].image.encoded_image_string
        assert matplotlib_image.imread(io.BytesIO(png), format="png").ndim == 3


def test_a_unit_with_input_slope_0_has_no_elbow_scalar(run):
    found = run("dead")
    assert found.metrics["elbow"][0][1] is None
    assert "elbow/00" in found.scalars
    assert "elbow/01" not in found.scalars
    assert found.scalars["units/dead"][2] == 1
    assert found.scalars["units/linear"][2] == 2
    assert found.of("histo")["elbow"][2].histo.num == 2


def test_a_wide_network_has_scalars_of_100_of_its_units(run):
    found = run("wide")
    elbow_tags = sorted(tag for tag in found.scalars if tag.startswith("elbow/"))
    assert len(elbow_tags) == 100
    assert (elbow_tags[0], elbow_tags[-1]) == ("elbow/000", "elbow/119")
    assert found.parameters(2)["input_slope"].shape == (1, 120)


def test_histograms_of_votes_count_as_many_of_the_first_replicas_as_fit(run):
    found = run("replicas")
    assert MAX_HISTOGRAM_VALUES // (200 * 10) > 3
    assert found.of("histo")["votes/bias"][20].histo.num == 3 * 200 * 3
    many = run("many")
    counted = MAX_HISTOGRAM_VALUES // (200 * (3 * 40 + 1))
    assert 1 < counted < 30
    counts = many.of("histo")["votes/bias"][2].histo
    assert counts.num == counted * 200 * 40
    assert many.of("histo")["elbow"][2].histo.num == 30 * 40
    p = {name: value[:counted] for name, value in many.parameters(2).items()}
    gradients = votes.per_sample_gradients("relu", p, X, Y)["bias"] / 200
    assert (counts.min, counts.max) == pytest.approx((float(gradients.min()), float(gradients.max())), rel=1e-4)
