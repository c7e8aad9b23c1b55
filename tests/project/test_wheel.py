"""The wheel contains conf/ and the static files, and works outside the repository."""

import configparser
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], check=True, capture_output=True)
    return next(folder.glob("reluviz-*.whl"))


def test_the_wheel_contains_every_configuration_file_and_no_tests_or_logs(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    conf = {path.relative_to(ROOT).as_posix() for path in (ROOT / "conf").rglob("*.yaml")}
    assert {f"reluviz/{name}" for name in conf} == {name for name in names if name.endswith(".yaml")}
    assert "reluviz/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "logs/"))]


def test_the_wheel_contains_the_tab_and_registers_it_with_tensorboard(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    static = ROOT / "src" / "reluviz" / "tab" / "static"
    files = {path.relative_to(ROOT / "src").as_posix() for path in static.rglob("*") if path.is_file()}
    assert len(files) > 1
    assert files == {name for name in archive.namelist() if name.startswith("reluviz/tab/static/")}
    for name in files:
        assert archive.read(name) == (ROOT / "src" / name).read_bytes()
    (entry_points_file,) = [name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt")]
    entry_points = configparser.ConfigParser()
    entry_points.read_string(archive.read(entry_points_file).decode())
    assert dict(entry_points["tensorboard_plugins"]) == {"reluviz": "reluviz.tab.loader:ReLULoader"}


def test_the_wheel_contains_the_style_and_the_script_of_a_report(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    for name in ("report.css", "report.js"):
        file = f"reluviz/analysis/report/static/{name}"
        assert archive.read(file) == (ROOT / "src" / file).read_bytes()


def test_the_installed_wheel_trains_in_an_unrelated_folder(wheel: Path, tmp_path: Path) -> None:
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    # PYTHONPATH comes before the editable installation, so that the wheel is what runs
    environment = os.environ | {"PYTHONPATH": str(site)}
    imported = subprocess.run(
        [sys.executable, "-c", "import reluviz.files as f; print(f.conf_folder())"],
        cwd=work, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(imported.stdout.strip()) == site / "reluviz" / "conf"
    done = subprocess.run(
        [sys.executable, str(site / "bin" / "reluviz"), "train", "+exp=linear"],
        cwd=work, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    # a fresh installation has no compiled engine
    assert (done.returncode, done.stderr) == (
        0,
        "compiling the engine for such runs, once on this computer: a few seconds\n",
    )
    (metrics,) = (work / "logs" / "linear").glob("*/metrics.json")
    assert json.loads(metrics.read_text())["status"] == "finished"
