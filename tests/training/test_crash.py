"""Killed runs are completed and equal undisturbed ones, and two processes share no folder: a small `crash.py`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "crash.py"


def crash(*options: str) -> list[list[str]]:
    """Run the benchmark, which must find nothing wrong, and return the cells of its tables' rows."""
    done = subprocess.run([sys.executable, PROGRAM, *options], capture_output=True, text=True, timeout=280)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()]
    return [row for row in rows if len(row) > 1 and re.fullmatch(r"\d+", row[1])]


@pytest.mark.long
@pytest.mark.skipif(os.name != "posix", reason="forks, and sends the signals of POSIX")
@pytest.mark.parametrize("model", ["constant", "relu", "relu, 3 replicas, exact"])
def test_a_killed_run_is_completed_and_equals_an_undisturbed_one(model: str) -> None:
    ((name, _, at_writes, _, _, incomplete, unequal),) = crash(
        "--model", model, "--kills", "4", "--stride", "61", "--pairs", "0", "--seed", "1"
    )
    assert name == model
    assert int(at_writes) >= 4
    assert (incomplete, unequal) == ("0", "0")


@pytest.mark.long
@pytest.mark.skipif(os.name != "posix", reason="forks")
def test_of_two_processes_in_one_folder_one_is_refused_and_nothing_is_lost() -> None:
    rows = crash("--model", "none", "--pairs", "2")
    assert [row[0] for row in rows] == [
        "train", "train ckpt_path=", "train -m", "train -m sweep.resume=", "export", "report"
    ]  # fmt: skip
    for _, pairs, refused, one_after_the_other, lost in rows:
        assert (int(pairs), int(refused) + int(one_after_the_other), int(lost)) == (2, 2, 0)
    assert sum(int(row[2]) for row in rows) > 6
