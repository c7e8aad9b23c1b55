"""The tab while a run trains: it follows, and a killed and resumed run shows each snapshot once. And long runs."""

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
from browser import ask, needs_browser, opened, read, state, tensorboard, until
from tab_runs import Writer, walk, write_run

from reluviz import load_run
from reluviz.data import EverySchedule
from reluviz.tab import wire_format

VALUES = walk(40, 4)
SOON = 2000
"""Milliseconds from the writing of a snapshot until it is shown."""
UPDATES, EVERY = 12_000, 50
"""Of the run that is killed: some seconds."""


@pytest.fixture(params=["fast", "python"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    needs_browser()
    (tmp_path / "logs").mkdir()
    with tensorboard(tmp_path / "logs", request.param == "fast") as address:
        yield tmp_path / "logs", f"{address}data/plugin_entry.html?name=reluviz"


def values(found: dict[str, Any]) -> list[float]:
    return [*found["net"]["w"], *found["net"]["b"], *found["net"]["v"], found["net"]["c"]]


def test_it_follows_a_run_from_before_its_beginning_through_a_kill(
    request: pytest.FixtureRequest, served: tuple[Path, str]
) -> None:
    folder, url = served
    with opened(request.getfixturevalue("browser")) as page:
        page.goto(url)
        page.get_by_text("python -m reluviz train +exp=relu").wait_for()
        writer = Writer(folder / "run", width=4)
        for s in range(4):
            writer.snapshot(100 * s, VALUES[s])
        until(page, "s => s.ready && s.update === 300")
        waits = []
        for s in range(4, 9):
            began = time.monotonic()
            writer.snapshot(100 * s, VALUES[s])
            until(page, f"s => s.update === {100 * s}")
            waits.append(1000 * (time.monotonic() - began))
        assert max(waits) < SOON, waits
        found = state(page)
        assert found["following"]
        assert values(found) == VALUES[8, 0].astype(np.float32).tolist()
        # the reader looks back, and is left where he is
        page.locator("body").press("Home")
        # killed while writing: half a record is left
        writer.close()
        with Path(writer.writer.file_writer.event_writer.path).open("ab") as file:
            file.write(b"\x18\x00\x00\x00")
        resumed = Writer(folder / "run", width=4, begin=False, purge_step=501)
        for s in range(6, 12):
            resumed.snapshot(100 * s, VALUES[s])
        found = until(page, "s => s.snapshots.at(-1) === 1100")
        assert found["snapshots"] == [100 * s for s in range(12)]
        assert (found["update"], found["following"]) == (0, False)
        page.locator("body").press("End")
        resumed.snapshot(1200, VALUES[12])
        found = until(page, "s => s.update === 1200")
        assert found["snapshots"] == [100 * s for s in range(13)]
        assert values(found) == VALUES[12, 0].astype(np.float32).tolist()
        resumed.close()


@contextlib.contextmanager
def training(*words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A run in a process of its own."""
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
    """The updates at which the view has a snapshot of a run; none while TensorBoard has not heard of it."""
    status, body, _ = ask(address, f"params?run={quote(name, safe='')}")
    if status == 404:
        return []
    assert status == 200, body
    update = wire_format.decode(body)[0]["update"].tolist()
    assert update == sorted(set(update))
    return [int(one) for one in update]


@pytest.mark.skipif(os.name != "posix", reason="sends a signal of POSIX")
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "python"])
def test_a_real_run_that_is_killed_and_goes_on_has_every_snapshot_once(tmp_path: Path, fast: bool) -> None:
    logs, schedule = tmp_path / "logs", EverySchedule(EVERY).schedule(UPDATES)
    folder = logs / "run"
    logs.mkdir()
    settings = ["exp=relu", "engine=reference", "callbacks=minimal", f"updates={UPDATES}", f"snapshots.every={EVERY}"]
    # checkpoints far apart, so that snapshots which were recorded after the last one have to be made again
    settings += ["callbacks.checkpoints.seconds=1"]
    with tensorboard(logs, fast) as address:
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
                # in between the view shows a beginning of the schedule, never a gap or a double
                now = shown(address, "run")
                assert now == schedule[: len(now)]
                time.sleep(0.05)
            assert process.returncode == 0
        listed = read(address, {"run": UPDATES})
        assert shown(address, "run") == schedule
    assert [one["run"] for one in listed] == ["run"]
    assert len(list(folder.glob("events.out.tfevents.*"))) == 2
    assert json.loads((folder / "metrics.json").read_text())["updates"] == UPDATES
    assert load_run(folder).updates.tolist() == schedule


def test_four_runs_of_2000_snapshots_open_and_play(
    request: pytest.FixtureRequest, tmp_path: Path, browser: Any
) -> None:
    for i in range(4):
        write_run(tmp_path / f"r{i}", 2000, seed=i)
    with tensorboard(tmp_path) as address, opened(browser, viewport={"width": 1600, "height": 900}) as page:
        read(address, {f"r{i}": 199_900 for i in range(4)})
        began = time.monotonic()
        page.goto(f"{address}data/plugin_entry.html?name=reluviz#runs=r0,r1,r2,r3")
        until(page, "s => s.ready && s.selected.length === 4 && s.update === 199900")
        assert time.monotonic() - began < 3
        page.locator(".play").click()
        page.wait_for_timeout(2500)
        frames = state(page)["frames"]
        assert frames["count"] > 30
        # the median: other work on the same cores is no fault of the script's
        assert frames["median"] < 4, frames
