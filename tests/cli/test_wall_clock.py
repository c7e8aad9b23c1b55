"""The printed time is that of the clock on the wall, from the start of the process."""

import json
import re
import subprocess
import sys
import time

import pytest

from reluviz.cli import wall_clock

TOLERANCE_SECONDS = 0.3


def printed_and_real(folder, *words: str) -> tuple[float, float]:
    """Return the seconds that a command prints, and those that it takes from shell to exit."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "reluviz", "train", *words], cwd=folder, capture_output=True, text=True, check=True
    )
    real = time.perf_counter() - started
    found = re.search(r"^time +([0-9.]+) s", done.stdout, re.MULTILINE)
    assert found, done.stdout
    return float(found[1]), real


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a process started")
def test_the_printed_time_of_a_run_and_of_a_resumed_one_is_that_from_shell_to_exit(tmp_path) -> None:
    new, resumed = [], []
    for attempt in range(3):
        words = (f"hydra.run.dir=run{attempt}", "updates=500", "callbacks.snapshots.pictures=0")
        new.append(printed_and_real(tmp_path, *words))
        total = json.loads((tmp_path / f"run{attempt}" / "metrics.json").read_text())["seconds"]["total"]
        assert total == pytest.approx(new[-1][0], abs=0.05)
        resumed.append(printed_and_real(tmp_path, f"ckpt_path=run{attempt}", "updates=600"))
        if all(min(abs(a - b) for a, b in pairs) < TOLERANCE_SECONDS for pairs in (new, resumed)):
            break
    else:
        # another program may have delayed one attempt
        pytest.fail(f"printed and real seconds differ: {new}, {resumed}")


def test_a_command_within_another_program_starts_when_it_is_called(monkeypatch) -> None:
    monkeypatch.setattr(wall_clock, "_process_start", None)
    assert wall_clock.command_start() == pytest.approx(time.perf_counter(), abs=1)


@pytest.mark.parametrize("seconds", [0.0, 2.5])
def test_a_process_of_a_command_started_before_its_code(monkeypatch, seconds: float) -> None:
    monkeypatch.setattr(wall_clock, "_process_start", None)
    monkeypatch.setattr(wall_clock, "_seconds_since_process_start", lambda: seconds)
    wall_clock.begin()
    assert wall_clock.command_start() == pytest.approx(time.perf_counter() - seconds, abs=1)


def test_without_a_usable_clock_of_the_system_the_time_counts_from_the_first_line_of_code(monkeypatch) -> None:
    class Unreadable:
        def __init__(self, path: str) -> None:
            pass

        def read_text(self, **kwargs: str) -> str:
            raise OSError

    # this process has run for longer than an interpreter takes to start
    monkeypatch.setattr(wall_clock, "MAX_STARTUP_SECONDS", 0.0)
    assert wall_clock._seconds_since_process_start() == 0
    monkeypatch.setattr(wall_clock, "Path", Unreadable)
    assert wall_clock._seconds_since_process_start() == 0
