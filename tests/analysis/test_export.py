"""`python -m reluviz export`: the files contain what the run recorded, and existing files are kept unless forced."""

import base64
import csv
import gzip
import io
import itertools
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reluviz import __main__
from reluviz.analysis import Run, load_run, run_pictures
from reluviz.analysis.export import main, output_files, tables
from reluviz.errors import UserError
from reluviz.record import event_file

pytestmark = pytest.mark.long

SMALL = "updates=20 snapshots.every=2 callbacks=minimal"
RUNS = {
    "relu": f"+exp=relu model.width=3 {SMALL}",
    "replicas": f"+exp=relu model.width=2 seeds=[3,1] {SMALL}",
    "dead": "+exp=relu_output model.width=3 model.init_from=dead.pt updates=2 callbacks=minimal",
    "constant": f"+exp=constant {SMALL}",
    "linear": f"+exp=linear {SMALL}",
    "diverged": "+exp=linear optimizer.lr=5 updates=100 callbacks=minimal",
    "not_finite": "+exp=relu model.width=3 optimizer.lr=50 updates=2000 snapshots.every=20 callbacks=minimal",
}
FAKE_FFMPEG = """#!{python}
import sys
data = sys.stdin.buffer.read()
open(sys.argv[-1], "wb").write(len(data).to_bytes(8, "little") + " ".join(sys.argv[1:]).encode())
"""
POSIX = pytest.mark.skipif(os.name != "posix", reason="the ffmpeg of this test is a script")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`folder(name)` is the folder of one of `RUNS`, which the first call trains."""
    import torch

    base = tmp_path_factory.mktemp("runs")
    # a dead unit, a unit without an elbow, and a bent unit
    dead = {"0.weight": [[1.0], [0.0], [1.0]], "0.bias": [-2.0, 1.0, -0.5], "2.weight": [[1.0] * 3], "2.bias": [0.0]}
    torch.save({key: torch.tensor(value) for key, value in dead.items()}, base / "dead.pt")

    def get(name: str) -> Path:
        if not (base / name).exists():
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(base)
                patch.setattr(sys, "argv", ["reluviz", "train", *RUNS[name].split(), f"hydra.run.dir={name}"])
                assert __main__.main() == (3 if name in ("diverged", "not_finite") else 0)
        return base / name

    return get


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """`export(*words)` runs the verb in an empty folder and returns the files that it writes, by name."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path) -> dict[str, Path]:
        capfd.readouterr()
        assert main([str(word) for word in words]) == 0
        out, err = capfd.readouterr()
        assert err == ""
        paths = [Path(line.rpartition("  ")[0]) for line in out.splitlines()]
        everything = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert not [path for path in everything if ".part" in path.name]
        assert all(path.stat().st_size > 0 for path in paths)
        return {path.name: path for path in paths}

    return run


def error_of(*words: str | Path) -> str:
    with pytest.raises(UserError) as refusal:
        main([str(word) for word in words])
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def frames(path: Path) -> list[Any]:
    with Image.open(path) as image:
        found = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            found.append((np.asarray(image.convert("RGB")).astype(int), image.info["duration"]))
        return found


def pixels(png: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


# Animations


def test_the_default_is_a_gif_with_a_frame_for_every_snapshot(
    folder: Callable[[str], Path], export: Callable[..., dict[str, Path]]
) -> None:
    run = load_run(folder("relu"))
    assert run.updates.tolist() == [0, 1, *range(2, 21, 2)]
    made = export(folder("relu"))
    assert list(made) == ["relu.gif"]
    found = frames(made["relu.gif"])
    assert len(found) == 12
    wanted = [pixels(png) for png in run_pictures.draw_frames(run, range(12), "fit")]
    for (shown, _), picture in zip(found, wanted, strict=True):
        assert shown.shape == picture.shape == (600, 960, 3)
        # a GIF has 256 colours; the most common ones of a picture are exact
        assert np.abs(shown - picture).mean() < 1
        assert (shown == picture).all(-1).mean() > 0.93
    assert all((a[0] != b[0]).any() for a, b in itertools.pairwise(found))
    assert [duration for _, duration in found] == [100] * 11 + [2000]


@pytest.mark.parametrize(("words", "indices"), [(["--frames", "4"], [0, 4, 7, 11]), (["--frames", "1"], [11])])
def test_the_frames_of_an_animation_are_evenly_spaced_over_the_snapshots(
    folder: Callable[[str], Path], export: Callable[..., dict[str, Path]], words: list[str], indices: list[int]
) -> None:
    run = load_run(folder("linear"))
    made = export(folder("linear"), "--gif", "--kind", "votes", "--fps", "20", *words)
    found = frames(made["linear-votes.gif"])
    wanted = [pixels(png) for png in run_pictures.draw_frames(run, indices, "votes")]
    assert len(found) == len(wanted)
    for (shown, _), picture in zip(found, wanted, strict=True):
        assert np.abs(shown - picture).mean() < 1
    assert [duration for _, duration in found] == [50] * (len(wanted) - 1) + [2000]


@POSIX
def test_an_mp4_passes_every_frame_to_ffmpeg(
    folder: Callable[[str], Path],
    export: Callable[..., dict[str, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install_ffmpeg(tmp_path, monkeypatch, FAKE_FFMPEG.format(python=sys.executable))
    made = export(folder("relu"), "--mp4", "--frames", "5", "--fps", "7.5")["relu.mp4"].read_bytes()
    assert int.from_bytes(made[:8], "little") == 5 * 960 * 600 * 4
    arguments = made[8:].decode().split()
    assert arguments[arguments.index("-s") + 1] == "960x600"
    # the option is -r or -framerate, depending on the version of matplotlib
    assert "7.5" in arguments


@POSIX
def test_a_failure_of_ffmpeg_is_reported_in_one_line(
    folder: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    install_ffmpeg(tmp_path, monkeypatch, "#!/bin/sh\necho many lines >&2\necho Unknown encoder h264 >&2\nexit 1\n")
    assert error_of(folder("relu"), "--mp4") == "--mp4: ffmpeg failed (Unknown encoder h264)"
    assert capfd.readouterr().err == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin"]


def test_a_missing_ffmpeg_is_reported_in_one_line_before_any_run_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    error = error_of(tmp_path / "no run", "--mp4", "--gif")
    assert error == "--mp4: there is no ffmpeg on the PATH; install it (https://ffmpeg.org), or take --gif"


def install_ffmpeg(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(script)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


# Pictures


def test_pictures_are_made_for_the_chosen_updates(
    folder: Callable[[str], Path], export: Callable[..., dict[str, Path]]
) -> None:
    made = export(folder("linear"), "--png", "--svg", "--pdf", "--at", "0,10,last,20")
    assert sorted(made) == sorted(f"linear-{at}.{kind}" for at in (0, 10, 20) for kind in ("png", "svg", "pdf"))
    run = load_run(folder("linear"))
    for at in (0, 10, 20):
        run_pictures.draw_picture(run, run.at(at), "fit").save("again.png")
        assert made[f"linear-{at}.png"].read_bytes() == Path("again.png").read_bytes()
        # twice the resolution of the pictures in TensorBoard
        with Image.open(made[f"linear-{at}.png"]) as image:
            assert image.size == (1920, 1200)
        assert made[f"linear-{at}.svg"].read_text().startswith("<?xml")
        assert made[f"linear-{at}.pdf"].read_bytes().startswith(b"%PDF")
    assert made["linear-0.png"].read_bytes() != made["linear-10.png"].read_bytes()


def test_the_default_picture_is_the_fit_at_the_last_snapshot(
    folder: Callable[[str], Path], export: Callable[..., dict[str, Path]]
) -> None:
    fit = export(folder("relu"), "--png")
    votes = export(folder("relu"), "--png", "--kind", "votes")
    assert [*fit, *votes] == ["relu-20.png", "relu-votes-20.png"]
    assert fit["relu-20.png"].read_bytes() != votes["relu-votes-20.png"].read_bytes()


def test_an_update_without_a_snapshot_is_refused_with_the_nearest_ones(folder: Callable[[str], Path]) -> None:
    assert error_of(folder("relu"), "--png", "--at", "0,7").endswith("has no snapshot there; nearest: 6 and 8")


# Tables


def table(path: Path) -> dict[tuple[str, str, str, str], str]:
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["run", "replica", "update", "unit", "quantity", "value"]
    found = {(replica, update, unit, quantity): value for _, replica, update, unit, quantity, value in rows}
    assert len(found) == len(rows), "a value is repeated"
    assert {row[0] for row in rows} == {path.stem}
    return found


def number(text: str) -> float:
    return float(text) if text else float("nan")


@pytest.mark.parametrize("name", ["relu", "replicas", "constant"])
def test_a_grid_adds_a_table_of_the_learned_functions(
    folder: Callable[[str], Path], export: Callable[..., dict[str, Path]], name: str
) -> None:
    run = load_run(folder(name))
    made = export(folder(name), "--csv", "--grid", "11", "--at", "0,last")
    assert sorted(made) == [f"{name}-f.csv", f"{name}.csv"]
    with made[f"{name}-f.csv"].open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["run", "replica", "update", "x", "f"]
    low, high = run.data.interval
    wanted = [
        [name, str(r), str(update), at, f]
        for update in (0, int(run.updates[-1]))
        for r in range(len(run.seeds))
        for at, f in zip(np.linspace(low, high, 11), run.predict(np.linspace(low, high, 11), update)[r], strict=True)
    ]
    assert [[*row[:3], float(row[3]), float(row[4])] for row in rows] == wanted


@pytest.mark.parametrize("name", ["relu", "replicas", "dead", "constant", "diverged", "not_finite"])
def test_a_table_contains_every_value_of_the_run_and_no_other(
    folder: Callable[[str], Path], export: Callable[..., dict[str, Path]], name: str
) -> None:
    run = load_run(folder(name))
    found = table(export(folder(name), "--csv")[f"{name}.csv"])
    names = ["input_slope", "bias", "output_weight", "elbow", "orientation", "active_slope", "slope_jump"]
    of_units = {key: getattr(run, key) for key in [*names, "unit_status"]} if run.model == "relu" else {}
    of_model = {"loss/train": run.loss("train"), "loss/test": run.loss("test")}
    of_model["output_bias" if run.model == "relu" else "theta"] = run.output_bias if run.model == "relu" else run.theta
    wanted: dict[tuple[str, str, str, str], float] = {}
    for s, update in enumerate(run.updates):
        for r in range(len(run.seeds)):
            wanted |= {(str(r), str(update), "", key): value[s, r] for key, value in of_model.items()}
            for key, value in of_units.items():
                wanted |= {(str(r), str(update), str(k), key): value[s, r, k] for k in range(value.shape[2])}
    for tag in ("loss/batch", "grad/norm", "grad/noise_scale", "votes/effective", "theta/optimum"):
        if tag in run.tags:
            series = zip(*run.scalars(tag), strict=True)
            # a median over several replicas belongs to no single replica
            replica = "" if name == "replicas" else "0"
            wanted |= {(replica, str(update), "", tag): float(value) for update, value in series}
    assert found.keys() == wanted.keys()
    np.testing.assert_array_equal([number(found[key]) for key in wanted], list(wanted.values()))
    if name == "dead":
        assert found["0", "0", "1", "elbow"] == ""
        assert [found["0", "0", str(k), "unit_status"] for k in range(3)] == ["0", "1", "2"]


@pytest.mark.parametrize("name", ["relu", "replicas", "linear", "not_finite"])
def test_arrays_equal_those_of_the_run(
    folder: Callable[[str], Path], export: Callable[..., dict[str, Path]], name: str
) -> None:
    run = load_run(folder(name))
    with np.load(export(folder(name), "--npz")[f"{name}.npz"], allow_pickle=False) as found:
        wanted: dict[str, Any] = {"loss_train": run.loss("train"), "loss_test": run.loss("test")}
        data = run.data
        assert data.target is not None
        wanted |= {"x": data.x, "y": data.y, "x_test": data.x_test, "y_test": data.y_test}
        wanted |= {"target": data.target(data.x), "run": name, "model": run.model, "seeds": run.seeds}
        shared = ["recorded", "updates", "residual", "norm", "vote_share", *run.parameters]
        derived = ["elbow", "orientation", "active_slope", "slope_jump", "unit_status"] * (run.model == "relu")
        wanted |= {key: getattr(run, key) for key in [*shared, *derived]}
        assert set(found.files) == set(wanted)
        for key, value in wanted.items():
            np.testing.assert_array_equal(found[key], value)


# The page


def test_a_page_contains_all_the_runs(folder: Callable[[str], Path], export: Callable[..., dict[str, Path]]) -> None:
    runs = [folder(name) for name in ("relu", "constant", "linear")]
    (made,) = export(*runs, "--html").values()
    assert made.name == f"{runs[0].parent.name}.html"
    pattern = r'<script type="reluviz/blob" data-run="(.*?)" data-kind="(.*?)">(.*?)</script>'
    blobs = re.findall(pattern, made.read_text(encoding="utf-8"))
    contents = {(run, kind): gzip.decompress(base64.b64decode(text)) for run, kind, text in blobs}
    assert contents == {(run.name, kind): blob for run in runs for kind, blob in load_run(run).payload().items()}
    assert list(export(runs[0], "--html")) == ["relu.html"]


# Several runs, and the names of files


def test_each_of_several_runs_gets_a_file_with_a_different_name(
    folder: Callable[[str], Path], export: Callable[..., dict[str, Path]], tmp_path: Path
) -> None:
    for name in ("a/seed-0", "b/seed-0", "b/seed-1", "b/2026-01-02_03-04-05"):
        events = event_file.event_files(folder("linear"))
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / events[0].name).write_bytes(events[0].read_bytes())
    made = export("a", "b", "b/seed-0", "--npz", "--out", "arrays")
    assert sorted(made) == ["a-seed-0.npz", "b-2026-01-02_03-04-05.npz", "b-seed-0.npz", "seed-1.npz"]
    assert {path.parent for path in made.values()} == {Path("arrays")}
    with np.load(made["b-seed-0.npz"]) as found:
        assert found["run"] == "b-seed-0"


def test_out_can_name_a_file_whose_extension_chooses_the_format(
    folder: Callable[[str], Path], export: Callable[..., dict[str, Path]]
) -> None:
    assert list(export(folder("linear"), "--out", "new/table.CSV").values()) == [Path("new/table.CSV")]
    assert Path("new/table.CSV").read_text().startswith("run,replica,update,unit,quantity,value\nlinear,0,0,,")
    assert list(export(folder("linear"), "--png", "--out", "new/here.png")) == ["here.png"]
    assert error_of(folder("linear"), "--csv", "--out", "it.png") == "--out it.png: the format is csv"
    error = error_of(folder("linear"), "--png", "--at", "0,last", "--out", "it.png")
    assert error == "--out it.png: there are 2 files to write; name a folder"
    Path("folder.gif").mkdir()
    assert list(export(folder("linear"), "--csv", "--out", "folder.gif").values()) == [Path("folder.gif/linear.csv")]


def test_existing_files_are_overwritten_only_with_force(
    folder: Callable[[str], Path], export: Callable[..., dict[str, Path]]
) -> None:
    Path("linear.csv").write_text("mine")
    error = error_of(folder("linear"), "--npz", "--csv")
    assert error == "linear.csv: exists already; --force overwrites it, --out names another place"
    assert (Path("linear.csv").read_text(), Path("linear.npz").exists()) == ("mine", False)
    export(folder("linear"), "--csv", "--force")
    assert len(Path("linear.csv").read_text()) > 1000
    Path("linear.npz").mkdir()
    assert error_of(folder("linear"), "--npz", "--force") == "linear.npz: is a folder"


def test_a_failed_write_keeps_the_existing_file_and_leaves_no_partial_file(
    folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "linear.csv").write_text("mine")

    def fail(run: Run, name: str, path: Path, progress: Callable[[int, int], None]) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tables, "csv", fail)
    error = error_of(folder("linear"), "--csv", "--force")
    assert error == "linear.csv: cannot be written (No space left on device)"
    assert [path.name for path in tmp_path.iterdir()] == ["linear.csv"]
    assert (tmp_path / "linear.csv").read_text() == "mine"
    (tmp_path / "file").write_text("")
    assert error_of(folder("linear"), "--npz", "--out", "file").startswith("--out file: cannot be written to (")


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("constant", "linear", "dead")),
        "diverged",
        "not_finite",
        "replicas",
    ],
)
def test_runs_of_every_kind_can_be_exported(
    folder: Callable[[str], Path], export: Callable[..., dict[str, Path]], name: str
) -> None:
    made = export(folder(name), "--gif", "--png", "--csv", "--npz", "--frames", "3")
    assert len(made) == 4
    assert len(frames(made[f"{name}.gif"])) == min(3, len(load_run(folder(name)).updates))
    export(folder(name), "--gif", "--kind", "votes", "--frames", "2")


def test_a_run_that_is_still_training_can_be_exported(
    folder: Callable[[str], Path], export: Callable[..., dict[str, Path]], tmp_path: Path
) -> None:
    (path,) = event_file.event_files(folder("relu"))
    live = tmp_path / "live"
    live.mkdir()
    data = path.read_bytes()
    (live / path.name).write_bytes(data[: 3 * len(data) // 4])
    count = len(load_run(live).updates)
    assert 1 < count < 12
    made = export(live, "--gif", "--csv")
    assert len(frames(made["live.gif"])) == count
    assert len({update for _, update, _, _ in table(made["live.csv"])}) == count


def test_a_damaged_record_prints_a_warning(
    folder: Callable[[str], Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (path,) = event_file.event_files(folder("linear"))
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    (tmp_path / path.name).write_bytes(bytes(data))
    assert main([str(tmp_path), "--csv", "--out", str(tmp_path)]) == 0
    assert capfd.readouterr().err == (
        f"reluviz: {tmp_path / path.name}: a record is damaged; the rest of this file is left out\n"
    )


def test_a_terminal_shows_the_progress_in_percent(
    folder: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output_files.sys.stderr, "isatty", lambda: True)
    main([str(folder("linear")), "--gif", "--frames", "4"])
    lines = capfd.readouterr().err.split("\r\033[K")
    assert lines == ["", *(f"linear.gif  {percent:3d} %" for percent in (0, 12, 25, 37, 50, 62, 75, 87)), ""]


# Bad input


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: RUN (python -m reluviz export --help)"),
        (["none"], "none: there is no such folder"),
        (["."], ".: there are no runs of reluviz at or below it"),
        (["RUN", "--at", "1.5", "--png"], "'1.5' is no update: a whole number, or last"),
        (["RUN", "--at", "", "--png"], "'' is no update"),
        (["RUN", "--at", "0"], "--at: goes with --png, --svg or --pdf"),
        (["RUN", "--csv", "--frames", "3"], "--frames: goes with --gif or --mp4"),
        (["RUN", "--gif", "--grid", "11"], "--grid: goes with --csv"),
        (["RUN", "--csv", "--at", "0"], "--at: goes with --png, --svg or --pdf"),
        (["RUN", "--csv", "--grid", "0"], "'0': must be a whole number of at least 1"),
        (["RUN", "--csv", "--kind", "votes"], "--kind: goes with --png, --svg, --pdf, --gif or --mp4"),
        (["RUN", "--kind", "loss"], "invalid choice: 'loss'"),
        (["RUN", "--frames", "0"], "'0': must be a whole number of at least 1"),
        (["RUN", "--fps", "51"], "'51': must be a number above 0 and at most 50"),
        (["RUN", "--fps", "nan"], "'nan': must be a number above 0"),
        (["RUN", "--gfi"], "unrecognized arguments: --gfi"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(
    folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    run = str(folder("linear"))
    assert message in error_of(*(run if word == "RUN" else word for word in words))
    assert list(tmp_path.iterdir()) == []


def test_a_refused_export_exits_with_status_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "reluviz", "export", "none"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "reluviz: none: there is no such folder\n")


def test_help_describes_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0
    assert text.startswith("usage: reluviz export")
    for option in (
        "html",
        "gif",
        "mp4",
        "png",
        "svg",
        "pdf",
        "csv",
        "npz",
        "kind",
        "at",
        "frames",
        "fps",
        "out",
        "force",
    ):
        assert f"\n  --{option}" in text


def test_parsing_arguments_imports_neither_torch_nor_tensorboard() -> None:
    code = (
        "import sys; from reluviz.analysis.export import arguments; arguments.parse(['run', '--csv']);"
        "sys.exit(bool({'torch', 'lightning', 'tensorboard', 'matplotlib', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
