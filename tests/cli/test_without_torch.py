"""`export`, `report` and `explain` import neither torch nor Lightning, and give what they give with them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reluviz.analysis.export import main as export
from reluviz.cli.explain import main as explain
from reluviz.cli.train import main as train

pytestmark = pytest.mark.long

REFUSE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "lightning", "pytorch_lightning"):
            raise AssertionError(f"{name} was imported")

sys.meta_path.insert(0, Refuse())
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with runs of the three models."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for experiment, words in (("relu", ["model.width=4"]), ("linear", []), ("constant", ["replicas=2"])):
            settings = ["updates=20", "snapshots.every=10", "callbacks.snapshots.pictures=0"]
            assert train([f"+exp={experiment}", *words, *settings, f"hydra.run.dir=logs/{experiment}"]) == 0
    return folder


def without_torch(folder: Path, place: Path, *words: str) -> str:
    """Run a command in a process in which importing torch or Lightning fails, and return what it prints."""
    (place / "sitecustomize.py").write_text(REFUSE)
    paths = os.pathsep.join([str(place), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "reluviz", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths, "HYDRA_FULL_ERROR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


EXHAUSTIVE = pytest.mark.exhaustive


@pytest.mark.parametrize(
    "format_",
    [
        "--csv",
        "--gif",
        *(pytest.param(other, marks=EXHAUSTIVE) for other in ("--html", "--npz", "--png", "--svg")),
    ],
)
def test_export_needs_no_torch(runs: Path, tmp_path: Path, format_: str) -> None:
    words = ["--grid", "5"] if format_ == "--csv" else []
    without_torch(runs, tmp_path, "export", "logs", format_, *words, "--out", str(tmp_path / "out"))
    assert len(list((tmp_path / "out").iterdir())) == {"--html": 1, "--csv": 6}.get(format_, 3)


def test_an_exported_page_is_the_same_with_torch_and_without(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_torch(runs, tmp_path, "export", "logs", "--html", "--out", str(tmp_path / "without.html"))
    monkeypatch.chdir(runs)
    assert "torch" in sys.modules
    assert export(["logs", "--html", "--out", str(tmp_path / "with.html")]) == 0
    assert (tmp_path / "with.html").read_bytes() == (tmp_path / "without.html").read_bytes()


def test_report_needs_no_torch(runs: Path, tmp_path: Path) -> None:
    without_torch(runs, tmp_path, "report", "logs", "--out", str(tmp_path / "report"))
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    "words",
    [
        ["+exp=linear"],
        pytest.param(["+exp=constant", "sampler=full", "--json"], marks=EXHAUSTIVE),
        ["+exp=relu", "model.elbows=at_data", "trainer.precision=64-true"],
        pytest.param(["+exp=ridge"], marks=EXHAUSTIVE),
        pytest.param(["optimizer=adam", "scheduler=cosine", "replicas=3"], marks=EXHAUSTIVE),
        pytest.param(
            ["optimizer=nesterov", "optimizer.lr=0.1", "optimizer.weight_decay=0.1", "engine=fused"], marks=EXHAUSTIVE
        ),
        ["sampler=full", "engine=exact", "scheduler=step", "callbacks=everything"],
    ],
    ids=" ".join,
)
def test_explain_needs_no_torch(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    found = without_torch(runs, tmp_path, "explain", *words)
    assert explain(words) == 0
    assert capsys.readouterr().out == found
