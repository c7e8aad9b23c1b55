"""Training in the page by clicks, drags and keys: in the tab with both readers, an exported page, and a notebook."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

from reluviz import load_run
from reluviz.__main__ import main
from reluviz.tab import html_file

pytestmark = pytest.mark.long

EVERYWHERE = ("fast reader", "Python reader", "exported page", "notebook", "playground")
PLACES = ("fast reader", "Python reader", "exported page", "notebook")
RUNS = {
    "net": ["+exp=relu", "model.width=6", "updates=600", "snapshots.every=200"],
    "line": ["+exp=linear", "updates=20"],
    "adam": ["+exp=relu", "model.width=5", "updates=300", "snapshots.every=100", "optimizer=adam"],
    "two": ["+exp=relu", "model.width=5", "updates=20", "replicas=2"],
}


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, overrides in RUNS.items():
            patch.setattr(sys, "argv", ["reluviz", "train", f"hydra.run.dir={name}", "engine=reference", *overrides])
            assert main() == 0
    return folder


@pytest.fixture(scope="module")
def addresses(logs: Path) -> Iterator[Callable[[str, str], str]]:
    """`addresses(place, run)` is the address that shows a run in a place."""
    require_browser()
    with ExitStack() as stack:
        servers: dict[str, str] = {}

        def address(place: str, run: str) -> str:
            if place.endswith("reader"):
                if place not in servers:
                    servers[place] = stack.enter_context(running_tensorboard(logs, fast=place == "fast reader"))
                    wait_for_runs(servers[place], {"net": 600, "line": 20, "adam": 300, "two": 20})
                return f"{servers[place]}#reluviz&p.reluviz.runs={run}"
            path = logs / f"{place} {run}.html"
            if place == "playground":
                path.write_text(html_file.playground())
            elif not path.exists():
                found = load_run(logs / run)
                cell = f"<!DOCTYPE html><link rel=icon href=data:,><body>{found._repr_html_()}</body>"
                path.write_text(html_file.html({run: found.payload()}) if place == "exported page" else cell)
            return path.as_uri()

        yield address


@dataclass
class View:
    """The view, the frame that it is in, and the page around it."""

    page: Any
    frame: Any

    @property
    def state(self) -> dict[str, Any]:
        return current_state(self.frame)

    def wait(self, condition: str) -> dict[str, Any]:
        return wait_for_state(self.frame, condition)

    def click(self, name: str) -> None:
        self.frame.get_by_role("button", name=name, exact=True).click()

    def press(self, key: str) -> None:
        self.frame.locator("body").press(key)

    def set(self, key: str, value: str) -> None:
        field = self.frame.locator(f"[data-setting={key}] :is(input, select)")
        if field.evaluate("(field) => field.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
            field.press("Enter")

    def drag_elbow(self, k: int, dx: float) -> None:
        x, y = position_of(self.frame, "elbows", "k", k)
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        for part in (0.3, 0.6, 1):
            self.page.mouse.move(x + part * dx, y)
        self.page.mouse.up()


@pytest.fixture
def opened(request: pytest.FixtureRequest, addresses) -> Iterator[Callable[..., View]]:
    with ExitStack() as stack:

        def open_view(place: str, run: str, **context: Any) -> View:
            page = stack.enter_context(open_page(request.getfixturevalue("browser"), **context))
            page.goto(addresses(place, run))
            return view_of(page, place)

        yield open_view


def view_of(page: Any, place: str) -> View:
    if place.endswith("reader"):
        return View(page, tab_frame(page))
    frame = page.query_selector("iframe").content_frame() if place == "notebook" else page.main_frame
    wait_for_state(frame, "s => s.ready")
    return View(page, frame)


@pytest.mark.parametrize("place", PLACES)
def test_a_user_trains_on_changes_the_step_size_takes_it_back_and_discards(opened, place) -> None:
    view = opened(place, "net")
    assert (view.state["canTrain"], view.state["branches"]) == (True, [])
    view.click("Train on from here")
    state = view.wait("s => s.training && s.branches[0]?.update > 2000")
    assert (state["focus"], state["branches"][0]["from"], state["update"]) == ("branch 1", 600, state["update"])
    view.set("lr", "0.05")
    state = view.wait("s => s.branches.length === 2 && s.branches[0].update > s.branches[0].edits[0].at + 2000")
    view.press("t")
    state = view.wait("s => !s.training")
    branch, control = state["branches"]
    assert (branch["name"], control["name"], control["isControl"]) == ("branch 1", "control 1", True)
    assert [(edit["kind"], edit["values"]) for edit in branch["edits"]] == [("l", [0.05])]
    assert (branch["settings"]["lr"], control["settings"]["lr"], control["edits"]) == (0.05, 0.02, [])
    assert branch["update"] == control["update"]
    assert branch["net"] != control["net"]
    view.click("Undo")
    state = view.wait("s => s.branches.length === 1")
    assert (state["branches"][0]["update"], state["branches"][0]["settings"]["lr"]) == (branch["edits"][0]["at"], 0.02)
    view.click("Discard")
    state = view.wait("s => s.branches.length === 0")
    assert (state["focus"], state["update"]) == (state["selected"][0], 600)


@pytest.mark.parametrize("place", PLACES)
def test_space_plays_a_run_and_trains_a_branch(opened, place) -> None:
    view = opened(place, "net")
    # the keys of a notebook belong to its cells until the view is clicked
    view.frame.locator(".function h2").click()
    view.press("Home")
    view.press(" ")
    view.wait("s => s.playing && s.update > 0")
    view.press(" ")
    view.wait("s => !s.playing")
    view.click("1 update")
    made = view.wait("s => s.branches.length === 1")["branches"][0]
    assert made["update"] == made["from"] + 1
    view.press(" ")
    view.wait(f"s => s.training && s.branches[0].update > {made['update']} + 500")
    view.press(" ")
    view.wait("s => !s.training")


@pytest.mark.parametrize("place", PLACES)
def test_a_dragged_elbow_begins_a_branch_beside_its_control_and_a_reload_repeats_both(opened, place) -> None:
    view = opened(place, "net")
    inside = [entry["k"] for entry in view.state["places"]["elbows"]]
    view.drag_elbow(inside[0], 30)
    assert view.state["whatIf"]
    view.click("1\u202f000 updates")
    state = view.wait(
        "s => s.branches.length === 2 && !s.training && s.branches[0].update === s.branches[0].from + 1000"
    )
    branch, control = state["branches"]
    assert not state["whatIf"]
    assert [(edit["at"], edit["kind"], edit["values"][0]) for edit in branch["edits"]] == [(600, "e", inside[0])]
    assert control["edits"] == []
    assert branch["update"] == control["update"] == 1600
    # the panel's axis is as wide as the numbers that are written: five to six digits
    assert branch["edits"][0]["values"][1] == float(f"{branch['edits'][0]['values'][1]:.6g}")
    if place == "notebook":
        # the frame of a notebook has no address
        return
    view.page.wait_for_function("location.hash.includes('branches=')")
    address = view.page.evaluate("location.href")
    view.page.goto("about:blank")
    view.page.goto(address)
    again = view_of(view.page, place).wait("s => s.branches.length === 2")
    assert again["branches"] == state["branches"]
    assert (again["focus"], again["update"]) == ("branch 1", 1600)


def test_a_branch_from_an_earlier_snapshot_of_a_branch_has_its_past(opened) -> None:
    view = opened("exported page", "net")
    view.click("1\u202f000 updates")
    view.wait("s => !s.training && s.branches[0]?.update === 1600")
    view.set("lr", "0.1")
    view.wait("s => s.branches[0].edits.length === 1")
    view.click("1\u202f000 updates")
    view.wait("s => !s.training && s.branches[0].update === 2600")
    view.press("Shift+ArrowLeft")
    at = view.wait("s => s.update < 2600")["update"]
    assert at > 1600
    view.click("1 update")
    state = view.wait("s => s.focus === 'branch 2'")
    second = next(branch for branch in state["branches"] if branch["name"] == "branch 2")
    assert second["update"] == at + 1
    assert second["edits"] == state["branches"][0]["edits"]
    assert second["settings"]["lr"] == 0.1


def test_the_page_trains_one_parameter_models_and_theta_is_dragged(opened) -> None:
    view = opened("exported page", "line")
    view.click("1 update")
    state = view.wait("s => s.branches[0]?.update === 21")
    place = state["places"]["theta"]
    x, y = page_position(view.frame, place)
    view.page.mouse.move(x, y)
    view.page.mouse.down()
    view.page.mouse.move(x + 60, y)
    view.page.mouse.up()
    theta = view.state["net"]["theta"]
    assert view.state["whatIf"]
    view.click("1 update")
    state = view.wait("s => s.branches[0].update === 22")
    assert (state["branches"][0]["edits"][0]["kind"], state["branches"][0]["edits"][0]["values"]) == ("t", [theta])
    assert state["branches"][0]["net"]["theta"] != theta


def test_the_moments_of_adam_are_found_by_repeating_the_run(opened) -> None:
    view = opened("exported page", "adam")
    view.click("1 update")
    state = view.wait("s => s.branches[0]?.update === 301")
    assert state["trainingMessage"] == ""
    view.press("ArrowLeft")
    before = view.wait("s => s.update === 300")["net"]
    # a first step of Adam without moments would move every trained parameter by the step size
    moved = [abs(a - b) for key in "wbv" for a, b in zip(before[key], state["branches"][0]["net"][key], strict=True)]
    assert 0 < max(moved) < 0.0011
    assert sum(0.00099 < move < 0.00101 for move in moved) < len(moved) / 2


def test_a_run_that_the_page_cannot_train_says_why(opened) -> None:
    view = opened("exported page", "two")
    assert not view.state["canTrain"]
    sentence = "The page cannot train this run: it has 2 replicas, and the page trains one at a time."
    assert view.frame.get_by_text(sentence).is_visible()
    assert not view.frame.locator(".train").is_visible()
    view.press("t")
    assert view.state["branches"] == []


def test_divergence_stops_and_says_so(opened) -> None:
    view = opened("exported page", "line")
    view.set("lr", "50")
    view.click("Train on from here")
    state = view.wait("s => s.branches[0]?.stopped !== null && s.branches.length > 0")
    assert not state["training"]
    assert state["trainingMessage"].startswith(f"Diverged at update {state['branches'][0]['stopped']}: ")


def test_units_are_added_split_and_deleted(opened) -> None:
    view = opened("exported page", "net")
    view.click("Add unit")
    state = view.wait("s => s.branches[0]?.edits.length === 1")
    assert len(state["branches"][0]["net"]["w"]) == 7
    before = state["lossTrain"]
    x, y = position_of(view.frame, "elbows", "k", state["places"]["elbows"][0]["k"])
    view.page.mouse.click(x, y)
    view.wait("s => s.unit !== null")
    view.click("Split unit")
    state = view.wait("s => s.branches[0].edits.length === 2")
    assert len(state["branches"][0]["net"]["w"]) == 8
    assert state["lossTrain"] == pytest.approx(before, rel=0.05)
    view.click("Delete unit")
    state = view.wait("s => s.branches[0].edits.length === 3")
    k = int(state["branches"][0]["edits"][2]["values"][0])
    assert [state["branches"][0]["net"][key][k] for key in "wbv"] == [0, 0, 0]


def test_nothing_trains_while_another_tab_of_tensorboard_is_open(opened) -> None:
    view = opened("fast reader", "net")
    view.click("Train on from here")
    view.wait("s => s.branches[0]?.update > 2000")
    view.page.evaluate("location.hash = 'scalars'")
    view.frame.wait_for_function("!frameElement.checkVisibility({visibilityProperty: true})")
    # the check is made a few times a second
    view.page.wait_for_timeout(400)
    first = view.frame.evaluate("window.reluvizState.branches[0].update")
    view.page.wait_for_timeout(1000)
    assert view.frame.evaluate("window.reluvizState.branches[0].update") == first
    view.page.evaluate("location.hash = 'reluviz'")
    view.wait(f"s => s.branches[0].update > {first}")


def test_updates_are_made_between_two_frames(opened) -> None:
    view = opened("exported page", "net")
    view.click("Train on from here")
    view.wait("s => s.branches[0]?.update > 2000")
    between = view.frame.evaluate(
        """() => new Promise((resolve) => {
          let frames = 0, looks = 0, between = 0, last = {frames: -1};
          const frame = () => { frames += 1; requestAnimationFrame(frame); };
          const look = () => {
            const {update} = window.reluvizState.branches[0];
            between += frames === last.frames && update > last.update;
            last = {frames, update};
            if (++looks < 200) setTimeout(look);
            else resolve(between);
          };
          requestAnimationFrame(frame);
          look();
        })"""
    )
    assert between > 0


def test_a_pace_is_kept(opened) -> None:
    view = opened("exported page", "net")
    view.frame.get_by_label("Updates a second").select_option("100")
    view.click("Train on from here")
    view.wait("s => s.branches[0]?.update > 602")
    updates, seconds = view.frame.evaluate(
        """() => new Promise((resolve) => {
          const made = () => window.reluvizState.branches[0].update, first = made(), begun = performance.now();
          setTimeout(() => resolve([made() - first, (performance.now() - begun) / 1000]), 2000);
        })"""
    )
    # a slow frame before or after that time moves updates into it or out of it
    assert 50 * seconds < updates < 150 * seconds


@pytest.mark.parametrize("place", EVERYWHERE)
def test_a_point_is_dragged_and_points_are_pasted_and_both_are_taken_back(opened, place) -> None:
    view = opened(place, "net")
    view.click("edit points")
    i = 20
    x, y = position_of(view.frame, "points", "i", i)
    before = view.state
    view.page.mouse.move(x, y)
    view.page.mouse.down()
    for part in (0.3, 0.6, 1):
        view.page.mouse.move(x, y - 40 * part)
    view.page.mouse.up()
    state = view.wait("s => s.branches.length && s.branches[0].edits.length === 1")
    (edit,) = state["branches"][0]["edits"]
    assert (edit["kind"], edit["values"][0]) == ("x", i)
    assert edit["values"][2] > before["y"][i]
    assert state["y"][i] == edit["values"][2]
    assert state["lossTrain"] != before["lossTrain"]
    view.click("Undo")
    state = view.wait("s => s.branches[0].edits.length === 0")
    assert (state["y"], state["lossTrain"]) == (before["y"], before["lossTrain"])
    view.click("Data")
    view.frame.get_by_label("Your points as CSV").fill("x,y\n1,2\n2,3\n4,1\n5,5")
    view.click("Use these points")
    state = view.wait("s => s.x.length === 4")
    assert (state["x"], state["y"]) == ([1, 2, 4, 5], [2, 3, 1, 5])
    view.press("Escape")


@pytest.mark.parametrize("place", EVERYWHERE)
def test_a_finger_trains_and_drags_an_elbow(opened, place) -> None:
    view = opened(place, "net", has_touch=True)
    k = view.state["places"]["elbows"][0]["k"]
    x, y = position_of(view.frame, "elbows", "k", k)
    session = view.page.context.new_cdp_session(view.page)

    def touch(kind: str, *at: float) -> None:
        points = [{"x": at[0], "y": at[1]}] if at else []
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", x, y)
    for part in (0.3, 0.6, 1):
        touch("touchMove", x + 30 * part, y)
    touch("touchEnd")
    assert view.wait("s => s.whatIf")["unit"] == k
    view.frame.get_by_role("button", name="1 update", exact=True).tap()
    state = view.wait("s => s.branches[0]?.edits.length === 1 && s.branches[0].update === s.branches[0].from + 1")
    assert state["branches"][0]["edits"][0]["kind"] == "e"
