"""The tab follows a run that trains, shows each snapshot of a killed and resumed run once, and plays long runs."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from browser import (
    current_state,
    get_route,
    open_page,
    require_browser,
    running_tensorboard,
    wait_for_runs,
    wait_for_state,
)
from tab_runs import Writer, drifting_networks, write_run

from reluviz import load_run
from reluviz.data import EarlySchedule
from reluviz.tab import wire_format

VALUES = drifting_networks(40, 4)
MAX_DELAY_MS = 2000
"""Longest time from writing a snapshot to showing it, in milliseconds."""
UPDATES, EVERY = 12_000, 50
"""Updates and snapshot interval of the run that is killed; it takes some seconds."""


@pytest.fixture(params=["fast", pytest.param("python", marks=pytest.mark.long)])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    require_browser()
    (tmp_path / "logs").mkdir()
    with running_tensorboard(tmp_path / "logs", request.param == "fast") as address:
        yield tmp_path / "logs", f"{address}data/plugin_entry.html?name=reluviz"


def parameter_values(found: dict[str, Any]) -> list[float]:
    return [*found["net"]["w"], *found["net"]["b"], *found["net"]["v"], found["net"]["c"]]


@pytest.mark.long
def test_the_tab_follows_a_run_from_its_start_through_a_kill_and_a_resume(
    request: pytest.FixtureRequest, served: tuple[Path, str]
) -> None:
    folder, url = served
    with open_page(request.getfixturevalue("browser")) as page:
        page.goto(url)
        page.get_by_text("python -m reluviz train +exp=relu").wait_for()
        writer = Writer(folder / "run", width=4)
        for s in range(4):
            writer.snapshot(100 * s, VALUES[s])
        wait_for_state(page, "s => s.ready && s.update === 300")
        waits = []
        for s in range(4, 9):
            started = time.monotonic()
            writer.snapshot(100 * s, VALUES[s])
            wait_for_state(page, f"s => s.update === {100 * s}")
            waits.append(1000 * (time.monotonic() - started))
        assert max(waits) < MAX_DELAY_MS, waits
        found = current_state(page)
        assert found["following"]
        assert parameter_values(found) == VALUES[8, 0].astype(np.float32).tolist()
        # the user goes back to the first snapshot, and the tab stays there
        page.locator("body").press("Home")
        # a run that is killed while it writes leaves half a record
        writer.close()
        with Path(writer.writer.file_writer.event_writer.path).open("ab") as file:
            file.write(b"\x18\x00\x00\x00")
        resumed = Writer(folder / "run", width=4, write_data=False, purge_step=501)
        for s in range(6, 12):
            resumed.snapshot(100 * s, VALUES[s])
        found = wait_for_state(page, "s => s.snapshots.at(-1) === 1100")
        assert found["snapshots"] == [100 * s for s in range(12)]
        assert (found["update"], found["following"]) == (0, False)
        page.locator("body").press("End")
        resumed.snapshot(1200, VALUES[12])
        found = wait_for_state(page, "s => s.update === 1200")
        assert found["snapshots"] == [100 * s for s in range(13)]
        assert parameter_values(found) == VALUES[12, 0].astype(np.float32).tolist()
        resumed.close()


@contextlib.contextmanager
def training(*words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Train a run in a subprocess; kill it at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "reluviz", "train", *words],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=30)


def shown(address: str, name: str) -> list[int]:
    """The updates of the snapshots that the tab gets of a run; empty while TensorBoard does not know the run."""
    status, body, _ = get_route(address, f"params?run={quote(name, safe='')}")
    if status == 404:
        return []
    assert status == 200, body
    update = wire_format.decode(body)[0]["update"].tolist()
    assert update == sorted(set(update))
    return [int(one) for one in update]


@pytest.mark.long
@pytest.mark.skipif(os.name != "posix", reason="sends a signal of POSIX")
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "python"])
def test_a_real_run_that_is_killed_and_resumed_has_every_snapshot_once(tmp_path: Path, fast: bool) -> None:
    logs, schedule = tmp_path / "logs", EarlySchedule(EVERY).schedule(UPDATES)
    folder = logs / "run"
    logs.mkdir()
    settings = ["exp=relu", "engine=reference", "callbacks=minimal", f"updates={UPDATES}", f"snapshots.every={EVERY}"]
    # checkpoints far apart, so that the resumed run must repeat the snapshots recorded after the last one
    settings += ["callbacks.checkpoints.seconds=1"]
    with running_tensorboard(logs, fast) as address:
        with training(*settings, f"hydra.run.dir={folder}") as process:
            deadline = time.monotonic() + 120
            while len(before := shown(address, "run")) < 60:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.kill()
            process.wait(timeout=30)
        assert before == schedule[: len(before)]
        assert not (folder / "metrics.json").exists()
        with training(f"ckpt_path={folder}") as process:
            while process.poll() is None:
                # until then the tab gets the beginning of the schedule, without a gap or a duplicate
                now = shown(address, "run")
                assert now == schedule[: len(now)]
                time.sleep(0.05)
            assert process.returncode == 0
        listed = wait_for_runs(address, {"run": UPDATES})
        assert shown(address, "run") == schedule
    assert [one["run"] for one in listed] == ["run"]
    assert len(list(folder.glob("events.out.tfevents.*"))) == 2
    assert json.loads((folder / "metrics.json").read_text())["updates"] == UPDATES
    assert load_run(folder).updates.tolist() == schedule


@pytest.mark.long
def test_four_runs_of_2000_snapshots_open_and_play(
    request: pytest.FixtureRequest, tmp_path: Path, browser: Any
) -> None:
    for i in range(4):
        write_run(tmp_path / f"r{i}", 2000, seed=i)
    with running_tensorboard(tmp_path) as address, open_page(browser, viewport={"width": 1600, "height": 900}) as page:
        wait_for_runs(address, {f"r{i}": 199_900 for i in range(4)})
        page.goto(f"{address}data/plugin_entry.html?name=reluviz#runs=r0,r1,r2,r3")
        wait_for_state(page, "s => s.ready && s.selected.length === 4 && s.update === 199900")
        # how long it takes is measured by benchmarks/page_playing.py
        page.locator(".play").click()
        early = wait_for_state(page, "s => s.playing && s.update > 0 && s.frames.count > 0")
        assert early["update"] < 199_900
        later = wait_for_state(page, f"s => s.update > {early['update']}")
        assert later["frames"]["count"] > early["frames"]["count"]
