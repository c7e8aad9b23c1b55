"""The tab's line on what became of a run, for each of TensorBoard's readers and in an exported page."""

import urllib.parse
from pathlib import Path
from typing import Any

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

from reluviz.analysis import load_run
from reluviz.core.findings import Finding
from reluviz.tab import wire_format
from reluviz.tab.html_file import html

pytestmark = pytest.mark.long

VALUES = drifting_networks(6, 4, replicas=3)
FALLING = Finding("still_falling", "still falling <b>", "try updates=9", (1,), 3)
LEARNED = Finding("learned", "learned: R^2 = 0.95", "", (0, 1, 2), 3)


def write(folder: Path, start: int, stop: int, *findings: Finding, purge_step: int | None = None) -> None:
    """Write snapshots, and what became of the run after the last one."""
    writer = Writer(folder, width=4, replicas=3, write_data=purge_step is None, purge_step=purge_step)
    for s in range(start, stop):
        writer.snapshot(100 * s, VALUES[s])
    if findings:
        writer.recorder.write_findings(findings, 100 * (stop - 1))
    writer.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    write(folder / "done", 0, 3, FALLING, LEARNED)
    # prolonged after its end, and still training
    write(folder / "prolonged", 0, 3, FALLING, LEARNED)
    write(folder / "prolonged", 3, 5, purge_step=201)
    # prolonged, and ended again
    write(folder / "again", 0, 3, FALLING, LEARNED)
    write(folder / "again", 3, 6, LEARNED, purge_step=201)
    write_run(folder / "old", 3, width=4)
    return folder


@pytest.fixture(scope="module", params=["fast", "python"])
def address(request: pytest.FixtureRequest, folder: Path) -> Any:
    with running_tensorboard(folder, request.param == "fast") as address:
        wait_for_runs(address, {"done": 200, "prolonged": 400, "again": 500, "old": 200})
        yield address


EXPECTED = {"done": (FALLING, LEARNED), "prolonged": (), "again": (LEARNED,), "old": ()}


@pytest.mark.parametrize("run", EXPECTED)
def test_the_findings_of_the_last_snapshot_are_served(address: str, run: str) -> None:
    status, body, _ = get_route(address, f"scalars?{urllib.parse.urlencode({'run': run})}")
    assert status == 200
    assert wire_format.decode(body)[1]["findings"] == [finding.plain() for finding in EXPECTED[run]]
    (listed,) = (entry for entry in wait_for_runs(address, {}) if entry["run"] == run)
    assert (listed["found"] is not None) == bool(EXPECTED[run])


@pytest.mark.parametrize("run", ["done", "prolonged", "again"])
def test_the_findings_of_the_last_snapshot_are_read_back(folder: Path, run: str) -> None:
    assert load_run(folder / run).findings == EXPECTED[run]


def test_findings_of_a_run_that_ends_appear_in_the_run_bar(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    require_browser()
    (tmp_path / "logs").mkdir()
    with running_tensorboard(tmp_path / "logs", True) as address, open_page(request.getfixturevalue("browser")) as page:
        writer = Writer(tmp_path / "logs" / "run", width=4, replicas=3)
        for s in range(3):
            writer.snapshot(100 * s, VALUES[s])
        page.goto(f"{address}data/plugin_entry.html?name=reluviz")
        wait_for_state(page, "s => s.ready && s.update === 200")
        assert current_state(page)["finding"] is None
        # no snapshot comes with them
        writer.recorder.write_findings([FALLING, LEARNED], 200)
        writer.close()
        wait_for_state(page, "s => s.finding !== null")
        assert current_state(page)["finding"] == "3 of 3 replicas: learned: R^2 = 0.95"
        page.get_by_label("Replica in focus").select_option("1")
        wait_for_state(page, "s => s.replica === 1")
        assert page.locator(".bar .finding").inner_text() == "1 of 3 replicas: still falling <b>; try updates=9"


def test_an_exported_page_shows_what_became_of_the_run(
    request: pytest.FixtureRequest, folder: Path, tmp_path: Path
) -> None:
    require_browser()
    (tmp_path / "page.html").write_text(html({"again": load_run(folder / "again").payload()}), encoding="utf-8")
    with open_page(request.getfixturevalue("browser")) as page:
        page.goto((tmp_path / "page.html").as_uri())
        wait_for_state(page, "s => s.ready")
        assert current_state(page)["finding"] == "3 of 3 replicas: learned: R^2 = 0.95"
