"""A process that compiles a kernel says so and gets the same numbers as later processes that load it from disk."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MESSAGE = "compiling the engine for such runs, once on this computer: a few seconds\n"
NOT_RECORDED = "SnapshotLogger: nothing is recorded, because the trainer has no logger\n"


@pytest.mark.long
@pytest.mark.parametrize("sampler", ["with_replacement", "full"])
def test_only_the_first_run_reports_compiling_and_all_runs_get_the_same_result(tmp_path: Path, sampler: str) -> None:
    found: list[dict[str, Any]] = []
    for number, message in enumerate([MESSAGE, ""]):
        folder = tmp_path / str(number)
        command = f"train +exp=relu sampler={sampler} updates=2000 callbacks=minimal ~logger hydra.run.dir={folder}"
        done = subprocess.run(
            [sys.executable, "-m", "reluviz", *command.split()],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, message + NOT_RECORDED)
        found.append(json.loads((folder / "metrics.json").read_text()))
    first, second = found
    # the kernel is compiled for one type only, although the first segment has one update and later ones a thousand
    assert len(list((tmp_path / "cache").rglob("*.nbc"))) == (1 if sampler == "with_replacement" else 2)
    for name in ("input_slope", "bias", "output_weight", "output_bias", "loss/train"):
        assert first[name] == second[name]
