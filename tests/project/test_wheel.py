"""The wheel carries conf/ and works far from the repository."""

import configparser
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(build, check=True, capture_output=True)
    return next(folder.glob("reluviz-*.whl"))


def test_the_wheel_holds_every_configuration_file_and_no_stray_one(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    conf = {path.relative_to(ROOT).as_posix() for path in (ROOT / "conf").rglob("*.yaml")}
    assert {f"reluviz/{name}" for name in conf} == {name for name in names if name.endswith(".yaml")}
    assert "reluviz/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "logs/"))]


def test_the_wheel_holds_the_tab_and_tells_tensorboard_of_it(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    static = ROOT / "src" / "reluviz" / "tab" / "static"
    files = {path.relative_to(ROOT / "src").as_posix() for path in static.rglob("*") if path.is_file()}
    assert len(files) > 1
    assert files == {name for name in archive.namelist() if name.startswith("reluviz/tab/static/")}
    for name in files:
        assert archive.read(name) == (ROOT / "src" / name).read_bytes()
    (declared,) = [name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt")]
    points = configparser.ConfigParser()
    points.read_string(archive.read(declared).decode())
    assert dict(points["tensorboard_plugins"]) == {"reluviz": "reluviz.tab.loader:ReLULoader"}


def test_the_wheel_holds_the_style_and_the_script_of_a_report(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    for name in ("report.css", "report.js"):
        file = f"reluviz/analysis/report/static/{name}"
        assert archive.read(file) == (ROOT / "src" / file).read_bytes()


def test_the_installed_wheel_trains_in_an_unrelated_folder(wheel: Path, tmp_path: Path) -> None:
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    # the folder comes before the editable installation, which must not be what runs
    environment = os.environ | {"PYTHONPATH": str(site)}
    where = subprocess.run(
        [sys.executable, "-c", "import reluviz.files as f; print(f.conf_folder())"],
        cwd=work, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(where.stdout.strip()) == site / "reluviz" / "conf"
    done = subprocess.run(
        [sys.executable, str(site / "bin" / "reluviz"), "train", "+exp=linear"],
        cwd=work, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    # its engine has not been compiled yet
    assert (done.returncode, done.stderr) == (
        0,
        "compiling the engine for such runs, once on this computer: a few seconds\n",
    )
    (metrics,) = (work / "logs" / "linear").glob("*/metrics.json")
    assert json.loads(metrics.read_text())["status"] == "finished"
