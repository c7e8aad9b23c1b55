"""A disk that is full, or files that may not grow: one line, and what was recorded before can be continued."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reluviz import load_run

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files")
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.argv = ["reluviz", *sys.argv[2:]]
from reluviz.__main__ import process
process()
"""
SHORT = ["updates=3000", "snapshots=linear", "snapshots.every=100", "callbacks=minimal", "callbacks.progress=null"]


def reluviz(size: int, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in a process whose files may have this many bytes."""
    command = [sys.executable, "-c", LIMITED, str(size), *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # the compiled engine would be stored anew, in a file that may not be larger either
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


def test_a_run_whose_first_files_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    done = reluviz(1000, "train", *SHORT)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"reluviz: .*/\.hydra/hydra\.yaml: cannot be written \(File too large\)\n", done.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_a_run_whose_record_cannot_grow_ends_in_one_line_and_can_be_resumed(tmp_path: Path) -> None:
    every = [*SHORT, "callbacks.checkpoints.seconds=0"]
    whole = reluviz(10**9, "train", *every, "hydra.run.dir=whole")
    assert (whole.returncode, whole.stderr) == (0, "")
    size = max(path.stat().st_size for path in (tmp_path / "whole").glob("events*"))
    done = reluviz(size // 2, "train", *every, "hydra.run.dir=part")
    (events,) = (tmp_path / "part").glob("events*")
    assert done.returncode == 2
    assert done.stderr == f"reluviz: {events.absolute()}: cannot be written to (File too large)\n"
    assert (tmp_path / "part/checkpoints/last.ckpt").is_file()
    resumed = reluviz(10**9, "train", "ckpt_path=part")
    assert (resumed.returncode, resumed.stderr) == (0, "")
    first, second = load_run("whole"), load_run("part")
    assert second.updates.tolist() == first.updates.tolist()
    for name, value in first.parameters.items():
        np.testing.assert_array_equal(second.parameters[name], value)
