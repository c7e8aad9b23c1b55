"""Damaged checkpoints and run folders, many kinds of them: one line and exit status 2, and nothing is changed.

RELUVIZ_FUZZ_SEED chooses other ones.
"""

import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from damage import contents, damage_checkpoint, damage_run, peak_memory

from reluviz.__main__ import main
from reluviz.analysis import load_run
from reluviz.errors import UserError

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("default"), pytest.mark.timeout(900)]
SEED = int(os.environ.get("RELUVIZ_FUZZ_SEED", "0"))
CHECKPOINTS = RUN_FOLDERS = 100
MOST_SECONDS = 20
MOST_MEMORY = 500e6
"""Bytes by which the largest memory of the process may grow."""
KINDS = {
    "adam": ["optimizer=adam", "scheduler=step", "model.width=5"],
    "momentum": ["optimizer=momentum", "replicas=3", "model.width=4"],
    "sgd": ["model=linear"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    base = tmp_path_factory.mktemp("runs")
    for name, words in KINDS.items():
        with pytest.MonkeyPatch.context() as patch:
            common = ["callbacks=minimal", "updates=40", "snapshots.every=10", f"hydra.run.dir={base / name}"]
            patch.setattr(sys, "argv", ["reluviz", "train", *words, *common])
            assert main() == 0
    return [base / name for name in KINDS]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., int]:
    """`command(what, *words)`: the exit status of a command line; it must be right, and its messages short."""

    def run(what: str, *words: str) -> int:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["reluviz", *words])
        started = time.monotonic()
        status = main()
        seconds, (out, err) = time.monotonic() - started, capfd.readouterr()
        assert status in (0, 2, 3), f"{what}: {words[0]} ended with {status}"
        assert "Traceback" not in out + err, f"{what}: {words[0]}: {err}"
        assert seconds < MOST_SECONDS, f"{what}: {words[0]} took {seconds:.0f} s"
        if status == 2:
            assert err.startswith("reluviz: "), f"{what}: {words[0]}: {err!r}"
            assert err.count("\n") == 1, f"{what}: {words[0]}: {err!r}"
        return status

    return run


@pytest.fixture(autouse=True)
def bounded_memory() -> Any:
    before = peak_memory()
    yield
    assert peak_memory() - before < MOST_MEMORY


def test_damaged_checkpoints_are_refused_or_go_on(
    runs: list[Path], tmp_path: Path, command: Callable[..., int]
) -> None:
    rng, refused = random.Random(SEED), 0
    for number in range(CHECKPOINTS):
        folder = Path(shutil.copytree(rng.choice(runs), tmp_path / str(number)))
        what = f"seed {SEED}, checkpoint {number} ({damage_checkpoint(rng, folder / 'checkpoints' / 'last.ckpt')})"
        before = contents(folder)
        if command(what, "train", f"ckpt_path={folder}", "updates=60") == 2:
            refused += 1
            assert contents(folder) == before, what
        shutil.rmtree(folder)
    assert refused > CHECKPOINTS / 2


def test_damaged_run_folders_are_refused_or_read(runs: list[Path], tmp_path: Path, command: Callable[..., int]) -> None:
    rng = random.Random(SEED)
    for number in range(RUN_FOLDERS):
        folder = tmp_path / str(number)
        run = Path(shutil.copytree(rng.choice(runs), folder / "logs" / "run"))
        what = f"seed {SEED}, run {number} ({damage_run(rng, run)})"
        before = contents(folder)
        try:
            load_run(run)
        except UserError as error:
            lines = str(error).splitlines()
        else:
            lines = [""]
        assert len(lines) == 1, what
        report = command(what, "report", str(folder / "logs"), "--out", str(folder / "report"), "--pictures", "none")
        exported = command(what, "export", str(run), "--csv", "--npz", "--html", "--out", str(folder / "export"))
        assert report in (0, 2)
        for name, status in (("report", report), ("export", exported)):
            if status == 2:
                assert not (folder / name).exists(), what
            shutil.rmtree(folder / name, ignore_errors=True)
        assert contents(folder) == before, what
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            command(what, "export", "last", "--csv", "--out", str(folder / "last"))
            shutil.rmtree(folder / "last", ignore_errors=True)
        if command(what, "train", f"ckpt_path={run}", "updates=60") == 2:
            assert contents(folder) == before, what
        shutil.rmtree(folder)
