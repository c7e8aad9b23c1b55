"""Whole programs as users write them without the command line: what they print, or the line that refuses them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reluviz import UserError, load_run
from reluviz.training.lightning_startup import quiet

# Lightning warns of runs with few segments
pytestmark = pytest.mark.filterwarnings("ignore:The number of training batches")
BEGINNING = """
import numpy as np
import lightning as L
from reluviz import Dataset, PiecewiseLinearData, ReLUModule, SegmentData, SnapshotLogger, load_run

SILENT = {"accelerator": "cpu", "max_epochs": 1, "enable_progress_bar": False, "enable_model_summary": False}
"""
CSV_LOGGER = """
from lightning.pytorch.loggers import CSVLogger

module, snapshots = ReLUModule(width=5, seeds=[0]), SnapshotLogger(pictures=3)
trainer = L.Trainer(callbacks=[snapshots], logger=CSVLogger("csvlogs"), **SILENT)
trainer.fit(module, PiecewiseLinearData(updates=2_000))
print("latest", snapshots.latest.update, float(snapshots.latest.loss_train))
"""
CONTINUE_IN_NOTEBOOK = """
module = ReLUModule(width=5, seeds=[0])
for updates in (2000, 6000):
    trainer = L.Trainer(callbacks=[SnapshotLogger(pictures=3)], default_root_dir="again", **SILENT)
    trainer.fit(module, PiecewiseLinearData(updates=updates))
    print(int(module.updates_done), trainer.log_dir)
    run = load_run(trainer.log_dir)
    print(int(run.updates[0]), int(run.updates[-1]), run.loss("train").shape[0] == len(run.updates))
"""
COLUMN_ARRAYS = """
x = np.linspace(0, 1, 50)[:, None]
data = SegmentData(Dataset("mine", x, np.sin(6 * x), (0.0, 1.0)), updates=500)
snapshots = SnapshotLogger(pictures=0)
L.Trainer(callbacks=[snapshots], logger=False, enable_checkpointing=False, **SILENT).fit(ReLUModule(width=5), data)
print(snapshots.latest.loss_train)
"""
NAN_ARRAYS = """
x = np.linspace(0, 1, 50)
data = SegmentData(Dataset("mine", x, np.where(x > 0.9, np.nan, np.sin(6 * x)), (0.0, 1.0)), updates=500)
"""
OTHER_LIGHTNING = """
import pytorch_lightning as pl

pl.Trainer(callbacks=[SnapshotLogger()], **SILENT).fit(ReLUModule(width=5), PiecewiseLinearData(updates=200))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def execute(program: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines that a program prints."""
    names: dict[str, Any] = {"__name__": "__main__"}
    with quiet():
        exec(compile(BEGINNING + program, "program", "exec"), names)
    return capsys.readouterr().out.splitlines()


def test_a_program_with_csv_logger_prints_the_last_update_and_its_loss(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = execute(CSV_LOGGER, capsys)
    found = re.fullmatch(r"latest 2000 (0\.\d+)", line)
    assert found is not None
    rows = Path("csvlogs/lightning_logs/version_0/metrics.csv").read_text()
    header, *_, last = (row.split(",") for row in rows.splitlines() if "," in row)
    values = dict(zip(header, last, strict=True))
    assert values["step"] == "2000"
    assert float(values["loss/train"]) == pytest.approx(float(found[1]), rel=1e-6)


def test_a_cell_that_trains_on_opens_as_two_runs(capsys: pytest.CaptureFixture[str]) -> None:
    lines = execute(CONTINUE_IN_NOTEBOOK, capsys)
    assert lines == [
        "2000 again/lightning_logs/version_0",
        "0 2000 True",
        "6000 again/lightning_logs/version_1",
        "2000 6000 True",
    ]
    first, second = (load_run(f"again/lightning_logs/version_{version}") for version in (0, 1))
    assert first.loss("train")[-1] == second.loss("train")[0]


def test_a_program_with_columns_prints_a_loss(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = execute(COLUMN_ARRAYS, capsys)
    found = re.fullmatch(r"\[(0\.\d+)\]", line)
    assert found is not None
    # better than the best constant
    assert float(found[1]) < np.var(np.sin(6 * np.linspace(0, 1, 50)))


def test_a_program_with_nan_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"^data=mine: y\[45\] is nan; finite numbers are needed$"):
        execute(NAN_ARRAYS, capsys)


@pytest.mark.filterwarnings("default")
def test_a_program_with_pytorch_lightning_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pytorch_lightning")
    with pytest.raises(UserError, match=r"^pytorch_lightning\.Trainer: .*use lightning\.pytorch\.Trainer"):
        execute(OTHER_LIGHTNING, capsys)
