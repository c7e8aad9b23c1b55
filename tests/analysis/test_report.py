"""`python -m reluviz report` on trained sweeps: its files agree with the runs and with NumPy."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.util import tensor_util

from reluviz import __main__
from reluviz.analysis import load_run, runs_below
from reluviz.analysis.report import main, table_files
from reluviz.analysis.report.collect import collect
from reluviz.analysis.report.groups import Groups
from reluviz.analysis.report.table_rows import Row, rows
from reluviz.core.findings import count_labels, first_labels, from_plain
from reluviz.errors import UserError

pytestmark = pytest.mark.long

SHORT = ("replicas=6", "updates=200", "snapshots=linear", "snapshots.every=50", "callbacks=minimal")
STATISTICS = ["metric", "n", "diverged", "median", "q25", "q75", "low", "high"]
FILES = {"report.html", "table.csv", "table.md", "table.parquet", "findings.md", "pictures"}


def train(*words: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", "train", *words])
        assert __main__.main() in (0, 3)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of three optimisers and two widths, six replicas each, in a folder whose name has a space."""
    base = tmp_path_factory.mktemp("many")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(base)
        train("-m", "+exp=optimizers", *SHORT, "model.width=5,8", "hydra.sweep.dir='a sweep'")
    return base / "a sweep"


@pytest.fixture(scope="module")
def report(sweep: Path) -> tuple[Path, str]:
    """The sweep with a report made on the command line, and the output of the command."""
    command = [sys.executable, "-m", "reluviz", "report", sweep.name]
    done = subprocess.run(command, cwd=sweep.parent, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return sweep, done.stdout


@pytest.fixture(scope="module")
def collected(report: tuple[Path, str]) -> tuple[Groups, list[Row]]:
    found = collect([report[0]])
    return found, rows(found)


@pytest.fixture
def sweep_copy(sweep: Path, tmp_path: Path) -> Path:
    """A copy of the sweep without a report, which the test may change."""
    ignored = shutil.ignore_patterns("report", "aggregate", "checkpoints")
    return Path(shutil.copytree(sweep, tmp_path / "copy", ignore=ignored))


def read_metrics(run: Path) -> dict[str, Any]:
    return json.loads((run / "metrics.json").read_text())


def runs_and_settings(sweep: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(sweep.glob("*/metrics.json")):
        width, name = re.fullmatch(r"width-(\d+)_optimizer-(\w+)", path.parent.name).groups()
        yield path.parent, {"model.width": int(width), "optimizer": name}


def error_of(*words: str | Path) -> str:
    with pytest.raises(UserError) as refusal:
        main([str(word) for word in words])
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


# The table


def test_groups_are_labelled_by_what_varies_and_have_every_seed_once(
    collected: tuple[Groups, list[Row]], sweep: Path
) -> None:
    found, _ = collected
    assert found.keys == ("model.width", "optimizer")
    assert found.runs == 6
    assert found.listed_runs == ()
    expected = [{"model.width": width, "optimizer": name} for width in (5, 8) for name in ("adam", "momentum", "sgd")]
    assert [dict(group.settings) for group in found.groups] == expected
    for group in found.groups:
        assert [replica.seed for replica in group.replicas] == list(range(6))
        assert {replica.status for replica in group.replicas} == {"finished"}


def test_the_table_has_the_statistics_of_metrics_json(collected: tuple[Groups, list[Row]], sweep: Path) -> None:
    found = {(tuple(row.settings.values()), row.metric): row for row in collected[1]}
    for run, settings in runs_and_settings(sweep):
        metrics = read_metrics(run)
        values = {key: metrics[key] for key in ("loss/train", "loss/test")}
        values |= {f"units/{key}": counts for key, counts in metrics["units"].items()}
        for metric, each in values.items():
            row = found.pop((tuple(settings.values()), metric))
            assert (row.n, row.diverged) == (6, 0)
            assert row.median == np.median(each)
            assert [row.q25, row.q75] == np.percentile(each, [25, 75]).tolist()
            # 6 replicas are too few for an interval
            assert np.isnan([row.low, row.high]).all()
    assert not found


def test_all_files_of_the_table_have_the_same_rows(
    report: tuple[Path, str], collected: tuple[Groups, list[Row]]
) -> None:
    folder, (found, expected) = report[0] / "report", collected
    columns = table_files.columns(expected, found.keys)
    assert list(columns) == ["model.width", "optimizer", *STATISTICS]
    with (folder / "table.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    assert header == list(columns)
    texts = [["" if value != value else str(value) for value in line] for line in zip(*columns.values(), strict=True)]
    assert lines == texts
    table = parquet.read_table(folder / "table.parquet")
    np.testing.assert_equal(table.to_pydict(), columns)
    assert str(table.schema.field("model.width").type) == "int64"
    header, _, *lines = (folder / "table.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (header, *lines)]
    assert cells[0] == list(columns)
    for cell, line in zip(cells[1:], zip(*columns.values(), strict=True), strict=True):
        assert [type(value)(text or "nan") for text, value in zip(cell, line, strict=True)] == [
            pytest.approx(value, rel=1e-5, nan_ok=True) if isinstance(value, float) else value for value in line
        ]


def test_unusual_values_are_read_back_from_the_files_of_the_table(tmp_path: Path) -> None:
    odd = [
        Row({"a": None, "b": 1, "n": "x|y"}, "loss/test", 0, 0, *[np.nan] * 5),
        Row({"a": 'p,"q"', "b": 0.5, "n": "é"}, "loss/test", 3, 3, *[np.inf] * 5),
    ]
    table_files.write_tables(odd, ["a", "b", "n"], tmp_path)
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert (first["a"], first["setting.n"], first["n"], first["median"]) == ("", "x|y", "0", "")
    assert (second["a"], second["b"], second["median"], second["high"]) == ('p,"q"', "0.5", "inf", "inf")
    read = parquet.read_table(tmp_path / "table.parquet").to_pydict()
    assert read["a"] == [None, 'p,"q"']
    assert read["b"] == [1.0, 0.5]
    assert (np.isnan(read["q25"][0]), read["q25"][1]) == (True, np.inf)
    assert r"x\|y" in (tmp_path / "table.md").read_text(encoding="utf-8")


def test_without_pyarrow_the_other_files_are_written_and_a_line_says_how_to_install_it(
    sweep_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(sweep_copy), "--pictures", "none"]) == 0
    assert (sweep_copy / "report" / "table.parquet").is_file()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    capsys.readouterr()
    assert main([str(sweep_copy), "--pictures", "none"]) == 0
    assert capsys.readouterr().err == (
        "reluviz: table.parquet is not written, because pyarrow is not installed; install it with: "
        'python -m pip install "reluviz[report]"\n'
    )
    assert not (sweep_copy / "report" / "table.parquet").exists()
    assert (sweep_copy / "report" / "table.csv").is_file()


# Output and files


def test_the_output_fits_80_columns_and_names_the_files_and_the_command_that_shows_them(
    report: tuple[Path, str],
) -> None:
    sweep, out = report
    assert max(map(len, out.splitlines())) <= 80
    lines = out.splitlines()
    assert lines[0] == "runs    6 runs found; 36 replicas in 6 groups"
    assert lines[1] == "varies  model.width, optimizer"
    (adam,) = (line.split() for line in lines if line.startswith("8 ") and "adam" in line)
    losses = read_metrics(sweep / "width-8_optimizer-adam")["loss/test"]
    assert adam[:4] == ["8", "adam", "6", "0"]
    assert float(adam[4]) == pytest.approx(np.median(losses), rel=5e-3)
    assert "report  a sweep/report" in lines
    assert "bands   a sweep/aggregate, for TensorBoard: 6 of 6 groups" in lines
    assert lines[-1] == "view    python -m reluviz view 'a sweep'"
    assert {path.name for path in (sweep / "report").iterdir() if not path.name.startswith(".")} == FILES
    assert not list(sweep.rglob(".*part*"))


def test_findings_name_each_pair_and_say_that_six_seeds_are_too_few(report: tuple[Path, str]) -> None:
    text = (report[0] / "report" / "findings.md").read_text()
    # nine comparisons: three pairs of optimisers at two widths, two widths for three optimisers
    sentences = [line for line in text.partition("## Cannot be told")[2].splitlines() if line.startswith("- ")]
    assert len(sentences) == 9
    (adam,) = (line for line in sentences if line.startswith("- adam and sgd at model.width=8:"))
    a, b = (np.array(read_metrics(report[0] / f"width-8_optimizer-{name}")["loss/test"]) for name in ("adam", "sgd"))
    assert f"loss/test {np.exp(np.median(np.log(a / b))):.2f}x (median over 6 shared seeds)" in adam
    assert f"smaller in {(a < b).sum()} of 6" in adam
    assert "cannot be told from 6 seeds in 9 comparisons" in adam


def test_a_report_counts_what_became_of_the_replicas_of_each_group(report: tuple[Path, str]) -> None:
    folder, printed = report
    text = (folder / "report" / "findings.md").read_text()
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    for optimizer in ("sgd", "momentum", "adam"):
        for width in (5, 8):
            metrics = read_metrics(folder / f"width-{width}_optimizer-{optimizer}")
            labels = count_labels(first_labels(from_plain(metrics["findings"]), 6))
            assert sum(labels.values()) == 6
            counts = ", ".join(f"{count} {label}" for label, count in labels.items())
            label = f"model.width={width} optimizer={optimizer}"
            assert f"- {label}: {counts}\n" in text
            assert f"<li><b>{label}</b>: {counts}</li>" in page
            assert f"- {label}: {counts}" in " ".join(printed.split())
    assert "What became of the runs\n" in printed


def test_the_page_has_findings_table_and_pictures(report: tuple[Path, str]) -> None:
    folder = report[0] / "report"
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "model.width=8" in text
    assert "cannot be told from 6 seeds" in text
    kinds = {path.suffix for path in (folder / "pictures").iterdir()}
    assert kinds == {".png", ".svg"}
    assert (folder / "pictures" / "final-optimizer.svg").is_file()


def test_a_second_report_replaces_the_first_one(sweep_copy: Path) -> None:
    def everything() -> dict[Path, bytes]:
        # the names of event files contain the time
        events = sweep_copy.rglob("events.out.tfevents.*")
        assert len({path.parent for path in events}) == len(list(sweep_copy.rglob("events.out.tfevents.*")))
        return {
            path: path.read_bytes()
            for path in sorted(sweep_copy.rglob("*"))
            if path.is_file() and "tfevents" not in path.name
        }

    assert main([str(sweep_copy), "--pictures", "svg"]) == 0
    (sweep_copy / "report" / "pictures" / "final-of-yesterday.svg").touch()
    first = everything()
    assert len(list((sweep_copy / "aggregate").glob("width*"))) == 6
    assert main([str(sweep_copy), "--pictures", "svg"]) == 0
    second = everything()
    assert second == {path: data for path, data in first.items() if "yesterday" not in path.name}


def test_the_groups_of_a_report_are_not_found_as_runs(
    report: tuple[Path, str], collected: tuple[Groups, list[Row]]
) -> None:
    sweep = report[0]
    assert (sweep / "aggregate").is_dir()
    assert [path.name for path in runs_below(sweep)] == [path.name for path, _ in runs_and_settings(sweep)]
    assert collected[0].runs == 6


def test_one_report_can_read_several_folders(sweep_copy: Path, sweep: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for run, _ in runs_and_settings(sweep_copy):
        if "width-5" in run.name:
            shutil.rmtree(run)
    (tmp_path / "five").mkdir()
    for run, _ in runs_and_settings(sweep):
        if "width-5" in run.name:
            shutil.copytree(run, tmp_path / "five" / run.name)
    assert main(["copy", "five", "--pictures", "none"]) == 0
    with (tmp_path / "report" / "table.csv").open(newline="") as file:
        found = [
            line["model.width"] + line["optimizer"] for line in csv.DictReader(file) if line["metric"] == "loss/test"
        ]
    assert found == ["5adam", "5momentum", "5sgd", "8adam", "8momentum", "8sgd"]
    assert len(list((tmp_path / "report" / "aggregate").glob("width*"))) == 6
    assert not (tmp_path / "copy" / "report").exists()


# In TensorBoard


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    read = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    read.Reload()
    return {
        tag: {value.step: float(tensor_util.make_ndarray(value.tensor_proto)) for value in read.Tensors(tag)}
        for tag in read.Tags()["tensors"]
        if read.SummaryMetadata(tag).plugin_data.plugin_name == "scalars"
    }


def test_groups_are_written_as_runs_with_median_and_quartiles_of_their_replicas(report: tuple[Path, str]) -> None:
    sweep = report[0]
    for run, _ in runs_and_settings(sweep):
        loaded = load_run(run)
        found = scalars(sweep / "aggregate" / run.name)
        for tag, which in (("loss/test", "test"), ("loss/train", "train")):
            quartiles = np.percentile(loaded.loss(which), [25, 50, 75], axis=1)
            for name, values in zip((f"{tag}/q25", tag, f"{tag}/q75"), quartiles, strict=True):
                assert list(found[name]) == loaded.updates.tolist() == [0, 1, 50, 100, 150, 200]
                assert list(found[name].values()) == pytest.approx(values.tolist(), rel=1e-6)
        # the values that the run recorded
        recorded = scalars(run)
        for tag, series in found.items():
            assert series == pytest.approx(recorded[tag], rel=1e-6), tag


def test_each_band_has_a_chart(report: tuple[Path, str]) -> None:
    folder = report[0] / "aggregate" / "width-5_optimizer-sgd"
    read = EventAccumulator(str(folder))
    read.Reload()
    (value,) = read.Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(tensor_util.make_ndarray(value.tensor_proto).item())
    (category,) = layout.category
    lines = [(series.value, series.lower, series.upper) for chart in category.chart for series in chart.margin.series]
    known_tags = scalars(folder)
    assert ("loss/test", "loss/test/q25", "loss/test/q75") in lines
    assert {tag for line in lines for tag in line} == set(known_tags)


def test_the_curves_of_a_group_are_those_of_its_run(collected: tuple[Groups, list[Row]]) -> None:
    for group in collected[0].groups:
        loaded = load_run(group.replicas[0].folder)
        assert group.updates.tolist() == loaded.updates.tolist()
        for tag, which in (("loss/test", "test"), ("loss/train", "train")):
            np.testing.assert_allclose(group.curves[tag], loaded.loss(which).T, rtol=1e-12)
        for code, status in enumerate(("dead", "linear", "bent")):
            np.testing.assert_array_equal(group.curves[f"units/{status}"], (loaded.unit_status == code).sum(-1).T)
        median = dict(zip(*(part.tolist() for part in loaded.scalars("loss/batch")), strict=True))
        batch = dict(zip(group.updates.tolist(), np.median(group.curves["loss/batch"], axis=0).tolist(), strict=True))
        assert np.isnan(batch.pop(0))
        assert batch == pytest.approx(median, rel=1e-6)


# Bad input


def test_wrong_arguments_give_one_line_and_write_nothing(
    sweep_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    before = sorted(tmp_path.rglob("*"))
    assert error_of("nowhere") == "nowhere: there is no such folder"
    assert error_of("mine/thesis.tex") == "mine/thesis.tex: is a file; name the run's folder"
    assert error_of("empty").startswith("empty: there are no runs of reluviz at or below it; make some with")
    assert error_of("copy", "--metric", "loss/tset") == (
        "--metric loss/tset: must be one of loss/test, loss/train, units/bent, units/dead, units/linear"
    )
    assert error_of("copy", "--out", "mine") == (
        "--out mine: mine holds what no report has written; --out names another folder"
    )
    assert error_of("copy", "--out", "copy").startswith("--out copy: holds the runs; name another folder, such as")
    assert error_of("copy", "--pictures", "gif").startswith("argument --pictures: 'gif': must be some of png, svg, pdf")
    assert error_of("copy", "--out", "mine/thesis.tex").startswith("--out mine/thesis.tex: mine/thesis.tex is a file")
    assert error_of().startswith("the following arguments are required: FOLDER")
    (tmp_path / "copy" / "aggregate").mkdir()
    (tmp_path / "copy" / "aggregate" / "sums.csv").touch()
    assert "aggregate holds what no report has written" in error_of("copy")
    shutil.rmtree(tmp_path / "copy" / "aggregate")
    assert sorted(tmp_path.rglob("*")) == before


def test_another_metric_can_be_compared(sweep_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main([str(sweep_copy), "--metric", "units/bent", "--pictures", "none", "--out", str(sweep_copy.parent / "out")])
        == 0
    )
    assert "units/bent at the end" in capsys.readouterr().out
    text = (sweep_copy.parent / "out" / "findings.md").read_text()
    assert "What is compared is units/bent at the end." in text
    assert not (sweep_copy / "report").exists()
    assert (sweep_copy.parent / "out" / "aggregate").is_dir()
    assert not list((sweep_copy.parent / "out" / "pictures").glob("*"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may write everywhere")
def test_a_folder_that_is_not_writable_gives_one_line(sweep_copy: Path) -> None:
    sweep_copy.chmod(0o500)
    try:
        assert "cannot be written to (Permission denied)" in error_of(sweep_copy)
    finally:
        sweep_copy.chmod(0o700)


def test_reading_many_runs_imports_no_heavy_package(sweep: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from reluviz.analysis.report import aggregate, findings, collect, table_files, printout\n"
        f"assert collect.collect([Path({str(sweep)!r})]).runs == 6\n"
        "print([m for m in ('torch', 'lightning', 'hydra', 'matplotlib', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
