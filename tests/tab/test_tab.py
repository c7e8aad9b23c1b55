"""The tab in a real TensorBoard with each of its readers, in a real browser: user actions and the numbers shown."""

import urllib.parse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import (
    current_state,
    open_page,
    page_position,
    position_of,
    require_browser,
    running_tensorboard,
    tab_frame,
    wait_for_runs,
    wait_for_state,
)
from tab_runs import Array, Writer, write_run

from reluviz.core import elbows, functions, theory, votes
from reluviz.data.targets import piecewise_linear

pytestmark = pytest.mark.long

WIDTH, SNAPSHOTS, LAST = 6, 30, 2900
DATA = piecewise_linear()
X, Y = DATA.x, DATA.y
NAMES = functions.PARAMETERS["relu"]
LAST_UPDATES = {"a": LAST, "deep/b": LAST, "c d": LAST, "fan": 400, "one": 0, "constant": 10, "broken": 100, "far": 100}
"""The runs and their last updates."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Array]]:
    folder = tmp_path_factory.mktemp("logs")
    runs = {name: write_run(folder / name, SNAPSHOTS, WIDTH, seed=i) for i, name in enumerate(("a", "deep/b", "c d"))}
    runs["fan"] = write_run(folder / "fan", 5, WIDTH, replicas=3)
    runs["one"] = write_run(folder / "one", 1, WIDTH)
    constant = Writer(folder / "constant", model="constant", lr=0.1)
    for update in range(11):
        constant.snapshot(update, np.array([[1 - 0.1 * update]]))
    constant.close()
    broken = Writer(folder / "broken", width=WIDTH)
    broken.snapshot(0, runs["a"][0])
    broken.snapshot(100, np.full_like(runs["a"][0], np.nan))
    broken.close()
    far = Writer(folder / "far", model="constant", lr=0.1)
    for update, theta in ((0, 0.4), (100, np.nan)):
        far.snapshot(update, np.array([[theta]]))
    far.close()
    return folder, runs


@pytest.fixture(scope="module", params=["fast", pytest.param("python", marks=pytest.mark.long)])
def served(request: pytest.FixtureRequest, written: tuple[Path, dict[str, Array]]) -> Any:
    require_browser()
    with running_tensorboard(written[0], request.param == "fast") as address:
        wait_for_runs(address, LAST_UPDATES)
        yield address


FAST_READER_ONLY = pytest.mark.parametrize("served", ["fast"], indirect=True)
"""For tests that do not depend on how TensorBoard read the data."""


@pytest.fixture
def open_tab(request: pytest.FixtureRequest, served: str) -> Any:
    """`open_tab("runs=a&step=100")` opens the tab at an address; errors that it reports fail the test.

    The tab is opened alone, which is faster, or `inside` TensorBoard's page.
    """
    with open_page(request.getfixturevalue("browser")) as page:

        def open_at(address: str, inside: bool = False) -> tuple[Any, Any]:
            page.goto("about:blank")
            if inside:
                parts = [f"p.reluviz.{part}" for part in address.split("&")]
                page.goto(f"{served}#{'&'.join(['reluviz', *parts])}")
                return page, tab_frame(page)
            page.goto(f"{served}data/plugin_entry.html?name=reluviz#{address}")
            wait_for_state(page.main_frame, "s => s.ready")
            return page, page.main_frame

        yield open_at


def parameters(row: Array) -> dict[str, Array]:
    """The parameters of one snapshot and replica for the Python functions; runs store them in float32."""
    values = row.astype(np.float32).astype(np.float64).reshape(1, -1)
    parts = np.split(values, [WIDTH, 2 * WIDTH, 3 * WIDTH], axis=-1)
    return {name: part if name != "output_bias" else part[:, 0] for name, part in zip(NAMES, parts, strict=True)}


def assert_shows(found: dict[str, Any], p: dict[str, Array]) -> None:
    """The view shows the numbers that Python computes from these parameters."""
    tolerance = {"rel": 1e-6, "abs": 1e-6, "nan_ok": True}
    given = [np.nan if one is None else one for one in found["elbows"]]
    assert given == pytest.approx(elbows.elbow(p["input_slope"], p["bias"])[0].tolist(), **tolerance)
    jump = elbows.slope_jump(p["input_slope"], p["output_weight"])[0]
    assert found["slopeJumps"] == pytest.approx(jump.tolist(), **tolerance)
    status = elbows.unit_status(p["input_slope"], p["bias"], X, "float32")[0]
    assert found["status"] == [elbows.STATUS[code] for code in status]
    expected = votes.summarize("relu", p, X, Y, NAMES, precision="float32")
    assert found["residual"] == pytest.approx(expected.residual[0].tolist(), **tolerance)
    assert found["share"] == pytest.approx(expected.share[0].tolist(), **tolerance)
    assert found["lossTrain"] == pytest.approx(functions.mean_squared_error("relu", p, X, Y)[0], **tolerance)
    test = functions.mean_squared_error("relu", p, DATA.x_test, DATA.y_test)
    assert found["lossTest"] == pytest.approx(test[0], **tolerance)


def test_the_tab_opens_at_the_last_snapshot(open_tab: Any, written: Any) -> None:
    _, frame = open_tab("runs=a", inside=True)
    found = current_state(frame)
    assert (found["focus"], found["update"], found["following"]) == ("a", LAST, True)
    assert found["snapshots"] == [100 * s for s in range(SNAPSHOTS)]
    assert set(found["runs"]) == set(LAST_UPDATES)
    assert_shows(found, parameters(written[1]["a"][-1, 0]))
    assert found["votesDrawn"]["sum"] == pytest.approx(1)


def test_time_moves_by_slider_keys_and_play(open_tab: Any, written: Any) -> None:
    page, frame = open_tab("runs=a&scale=linear")
    box = frame.locator(".slider").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    found = current_state(frame)
    assert 1300 <= found["update"] <= 1600
    assert not found["following"]
    assert_shows(found, parameters(written[1]["a"][int(found["update"]) // 100, 0]))
    here = found["update"]
    frame.locator("body").press("ArrowRight")
    assert current_state(frame)["update"] == here + 100
    frame.locator("body").press("ArrowLeft")
    frame.locator("body").press("ArrowLeft")
    assert current_state(frame)["update"] == here - 100
    frame.locator("body").press("Home")
    assert current_state(frame)["update"] == 0
    frame.locator(".speed").click()
    frame.locator(".speed").click()
    frame.locator("body").press("Space")
    assert current_state(frame)["playing"]
    found = wait_for_state(frame, "s => !s.playing && s.update > 0")
    assert (found["update"], found["following"]) == (LAST, True)
    assert found["frames"]["count"] > 30
    frame.get_by_role("button", name="log", exact=True).click()
    frame.locator("body").press("Home")
    assert current_state(frame)["scale"] == "log"


@FAST_READER_ONLY
def test_the_time_slider_starts_on_the_log_scale_unless_the_address_says_linear(open_tab: Any) -> None:
    for address, scale in (("runs=a", "log"), ("runs=a&scale=log", "log"), ("runs=a&scale=linear", "linear")):
        page, frame = open_tab(f"{address}&step=1500", inside=True)
        assert current_state(frame)["scale"] == scale
        pressed = frame.get_by_role("button", name=scale, exact=True)
        assert "on" in (pressed.get_attribute("class") or "") or pressed.get_attribute("aria-pressed") == "true"
    # the address keeps what was chosen
    page.wait_for_function("location.href.includes('scale=linear')")


def test_a_unit_and_a_point_are_selected_and_the_address_keeps_them(open_tab: Any) -> None:
    page, frame = open_tab("runs=a&step=1500", inside=True)
    found = current_state(frame)
    bent = next(one["k"] for one in found["places"]["elbows"] if found["status"][one["k"]] == "bent")
    page.mouse.click(*position_of(frame, "elbows", "k", bent))
    assert current_state(frame)["unit"] == bent
    point = 120
    page.mouse.click(*position_of(frame, "points", "i", point))
    found = current_state(frame)
    assert found["point"] in range(point - 3, point + 4)
    assert found["pointUpdate"]["factor"] >= 1
    chosen = found["point"]
    frame.get_by_role("button", name="on this elbow").click()
    assert wait_for_state(frame, "s => s.votesDrawn.measure === 'elbow'")["measure"] == "elbow"
    page.wait_for_function("location.hash.includes('p.reluviz.votes=elbow')")
    page.reload()
    frame = tab_frame(page)
    found = current_state(frame)
    assert [found[key] for key in ("focus", "update", "unit", "point")] == ["a", 1500, bent, chosen]
    assert found["votesDrawn"]["measure"] == "elbow"


@FAST_READER_ONLY
def test_the_votes_on_an_elbow_sum_to_its_motion(open_tab: Any, written: Any) -> None:
    _, frame = open_tab("runs=a&step=1500&unit=0&votes=elbow")
    found = wait_for_state(frame, "s => s.votesDrawn.measure === 'elbow'")
    p = parameters(written[1]["a"][15, 0])
    g = votes.per_sample_gradients("relu", p, X, Y, precision="float32")
    moved = votes.elbow_votes(g, p["input_slope"], p["bias"])[0, :, 0].sum()
    assert found["votesDrawn"]["sum"] == pytest.approx(float(moved), rel=1e-6)


def test_dragging_an_elbow_and_solving_the_output_weights(open_tab: Any, written: Any) -> None:
    page, frame = open_tab("runs=a&step=1000")
    p = parameters(written[1]["a"][10, 0])
    found = current_state(frame)
    # the elbow farthest from all others
    spots = {one["k"]: one for one in found["places"]["elbows"] if found["status"][one["k"]] == "bent"}
    k = max(spots, key=lambda k: min([abs(spots[k]["x"] - o["x"]) for j, o in spots.items() if j != k], default=1))
    x, y = page_position(frame, spots[k])
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y, steps=4)
    page.mouse.up()
    found = current_state(frame)
    assert found["whatIf"]
    assert found["unit"] == k
    beta = found["elbows"][k]
    assert beta > float(elbows.elbow(p["input_slope"], p["bias"])[0, k]) + 0.02
    moved = {**p, "bias": p["bias"].copy()}
    moved["bias"][0, k] = -beta * p["input_slope"][0, k]
    assert_shows(found, moved)
    frame.get_by_role("button", name="Solve output weights").click()
    found = current_state(frame)
    phi = functions.features(moved, X)[0]
    best = theory.relu.least_squares(phi, Y)
    assert found["lossTrain"] == pytest.approx(np.square(phi @ best.solution - Y).mean(), rel=1e-6)
    frame.get_by_role("button", name="Reset").click()
    found = current_state(frame)
    assert not found["whatIf"]
    assert_shows(found, p)


@FAST_READER_ONLY
def test_editing_the_slope_jump_and_the_input_slope_of_a_unit(open_tab: Any, written: Any) -> None:
    page, frame = open_tab("runs=a&step=1000&unit=0")
    before = current_state(frame)
    x, y = position_of(frame, "units", "k", 0)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 25, steps=4)
    page.mouse.up()
    found = current_state(frame)
    assert found["slopeJumps"][0] > before["slopeJumps"][0]
    assert found["elbows"] == before["elbows"]
    frame.locator("body").press("Escape")
    assert not current_state(frame)["whatIf"]
    field = frame.get_by_label("input slope w")
    field.fill("2.5")
    field.press("Enter")
    found = current_state(frame)
    assert found["net"]["w"][0] == 2.5
    assert found["elbows"][0] == pytest.approx(before["elbows"][0])


def test_runs_are_compared_with_one_slider(open_tab: Any, written: Any) -> None:
    page, frame = open_tab("runs=a&step=500")
    frame.locator(".add").click()
    frame.get_by_label("Filter runs").fill("deep")
    frame.get_by_role("option").filter(has_text="deep/b").click()
    found = wait_for_state(frame, "s => s.selected.length === 2")
    assert (found["selected"], found["focus"]) == (["a", "deep/b"], "a")
    frame.get_by_label("Filter runs").press("Escape")
    frame.get_by_role("button", name="deep/b", exact=True).click()
    # its data may still be on the way
    found = wait_for_state(frame, "s => s.focus === 'deep/b' && s.elbows")
    assert_shows(found, parameters(written[1]["deep/b"][5, 0]))
    frame.get_by_role("button", name="side by side").click()
    page.wait_for_function("location.hash.includes('mode=side')")
    assert urllib.parse.quote("a,deep%2Fb", safe="") in page.url
    frame.get_by_role("button", name="Remove a", exact=True).click()
    assert current_state(frame)["selected"] == ["deep/b"]


def test_the_replica_in_focus_is_chosen_from_a_list(open_tab: Any, written: Any) -> None:
    _, frame = open_tab("runs=fan&replica=1")
    assert_shows(current_state(frame), parameters(written[1]["fan"][-1, 1]))
    frame.get_by_label("Replica in focus").select_option("2")
    found = current_state(frame)
    assert found["replica"] == 2
    assert_shows(found, parameters(written[1]["fan"][-1, 2]))


@FAST_READER_ONLY
def test_theta_of_the_constant_model_is_dragged_on_the_parabola(open_tab: Any) -> None:
    page, frame = open_tab("runs=constant&step=5&point=3")
    found = current_state(frame)
    assert (found["model"], found["net"]["theta"]) == ("constant", pytest.approx(0.5))
    assert sum(found["share"]) == pytest.approx(1)
    x, y = page_position(frame, found["places"]["theta"])
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 50, y, steps=4)
    page.mouse.up()
    found = current_state(frame)
    assert found["whatIf"]
    theta = found["net"]["theta"]
    assert theta < 0.5
    assert found["lossTrain"] == pytest.approx(np.square(theta - Y).mean())


@FAST_READER_ONLY
def test_theta_cannot_be_dragged_where_the_run_has_diverged(open_tab: Any) -> None:
    _, frame = open_tab("runs=far&step=0")
    wait_for_state(frame, "s => s.places.theta !== null")
    frame.locator("body").press("ArrowRight")
    assert wait_for_state(frame, "s => s.update === 100 && s.places.theta === null")["model"] == "constant"


@FAST_READER_ONLY
def test_short_and_diverged_runs_and_odd_addresses_leave_the_tab_usable(open_tab: Any) -> None:
    _, frame = open_tab("runs=one")
    found = current_state(frame)
    assert (found["snapshots"], found["message"]) == ([0], None)
    frame.locator("body").press("Space")
    assert not current_state(frame)["playing"]
    _, frame = open_tab("runs=broken")
    found = wait_for_state(frame, "s => s.focus === 'broken'")
    assert found["update"] == 100
    frame.locator("body").press("ArrowLeft")
    assert current_state(frame)["lossTrain"] > 0
    _, frame = open_tab("runs=no-such-run&step=x&unit=99999&point=-1&scale=odd")
    assert current_state(frame)["message"] is None
    _, frame = open_tab("runs=a,constant&focus=constant&unit=3")
    assert wait_for_state(frame, "s => s.focus === 'constant'")["model"] == "constant"


@FAST_READER_ONLY
def test_the_tab_is_dark_if_tensorboard_is(open_tab: Any) -> None:
    page, frame = open_tab("runs=a", inside=True)
    assert not current_state(frame)["dark"]
    page.evaluate("document.body.classList.add('dark-mode')")
    assert wait_for_state(frame, "s => s.dark")["dark"]


@FAST_READER_ONLY
def test_all_plots_are_visible_in_a_small_and_in_a_large_window(open_tab: Any) -> None:
    page, frame = open_tab("runs=a&step=1000")
    for width, height in ((800, 600), (3840, 2160)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(200)
        wide = frame.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert wide
        canvases = frame.locator("canvas:visible")
        assert canvases.count() == 5
        assert all(canvases.nth(i).bounding_box()["height"] > 60 for i in range(5))
