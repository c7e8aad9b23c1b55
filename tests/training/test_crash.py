"""Killed runs are completed and equal undisturbed ones, and two processes share no folder: a small `crash.py`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "crash.py"


MODELS = ("constant", "relu", "relu, 3 replicas, exact")
VERBS = ("train", "train ckpt_path=", "train -m", "train -m sweep.resume=", "export", "report")


@pytest.fixture(scope="module")
def rows() -> dict[str, list[int]]:
    """The numbers in the tables of the benchmark, which must find nothing wrong."""
    options = ["--kills", "3", "--stride", "61", "--pairs", "2", "--seed", "1"]
    options += [word for model in MODELS for word in ("--model", model)]
    done = subprocess.run([sys.executable, PROGRAM, *options], capture_output=True, text=True, timeout=280)
    assert (done.returncode, done.stderr) == (0, "")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()]
    return {row[0]: [int(cell) for cell in row[1:]] for row in cells if len(row) > 1 and row[1].isdecimal()}


@pytest.mark.long
@pytest.mark.skipif(os.name != "posix", reason="forks, and sends the signals of POSIX")
@pytest.mark.parametrize("model", MODELS)
def test_a_killed_run_is_completed_and_equals_an_undisturbed_one(rows: dict[str, list[int]], model: str) -> None:
    _, at_writes, _, _, incomplete, unequal = rows[model]
    assert at_writes >= 4
    assert (incomplete, unequal) == (0, 0)


@pytest.mark.long
@pytest.mark.skipif(os.name != "posix", reason="forks")
@pytest.mark.parametrize("verb", VERBS)
def test_of_two_processes_in_one_folder_one_is_refused_and_nothing_is_lost(
    rows: dict[str, list[int]], verb: str
) -> None:
    pairs, refused, one_after_the_other, lost = rows[verb]
    assert (pairs, refused + one_after_the_other, lost) == (2, 2, 0)
