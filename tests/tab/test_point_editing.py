"""The points of a run can be dragged, added, deleted and replaced in the page, and votes and losses follow."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import current_state, open_page, require_browser, wait_for_state

from reluviz.core import theory, votes
from reluviz.core.functions import PARAMETERS, mean_squared_error
from reluviz.data.scaling import Scaling
from reluviz.data.targets import piecewise_linear, sine
from reluviz.tab import html_file, wire_format

pytestmark = pytest.mark.long

WIDTH = 5
LAST = 1000
TRAINED_BY_PAGE = {
    "optimizer": "torch.optim.SGD",
    "optimizer.lr": 0.02,
    "sampler": "reluviz.data.WithReplacement",
    "sampler.batch_size": 10,
    "data": "piecewise_linear",
    "data.noise": 0.1,
    "data.seed": 1,
}
FIELDS = {"input_slope": "w", "bias": "b", "output_weight": "v", "output_bias": "c", "theta": "theta"}


def page(model: str, n: int = 40, **settings: Any) -> str:
    """A page with one run, with snapshots at update 0 and at update LAST."""
    data = piecewise_linear(n=n)
    fields = [[name, WIDTH if name in ("input_slope", "bias", "output_weight") else 1] for name in PARAMETERS[model]]
    random = np.random.default_rng(3)
    values = random.normal(size=(2, 1, sum(count for _, count in fields)))
    header = {"model": model, "name": "piecewise linear", "domain": [0, 1], "trained": list(PARAMETERS[model])}
    header |= {"seeds": [0], "dtype": "float32", "settings": {**TRAINED_BY_PAGE, "data.n": n, **settings}}
    arrays = {"x": data.x, "y": data.y, "target": data.target(data.x), "x_test": data.x_test, "y_test": data.y_test}
    updates = np.array([0.0, LAST])
    params = {"update": updates, "wall": updates, "values": values.astype(np.float32)}
    blobs = {
        "data": wire_format.encode({**arrays, "recorded": np.arange(n, dtype=np.int32)}, **header),
        "params": wire_format.encode(params, fields=fields),
    }
    return html_file.html({"run": blobs})


@pytest.fixture
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """`opened(html, link, **context)` opens a page from a file; errors that it reports fail the test."""
    require_browser()
    browser = request.getfixturevalue("browser")
    pages = []

    def opened(html: str, link: str = "", **context: Any) -> Any:
        file = tmp_path / "page.html"
        file.write_text(html, "utf-8")
        pages.append(open_page(browser, **context))
        view = pages[-1].__enter__()
        view.goto(f"{file.as_uri()}{link}")
        wait_for_state(view, "s => s.ready")
        return view

    yield opened
    for one in pages:
        one.__exit__(None, None, None)


def editing(view: Any) -> dict[str, Any]:
    """Switch the mode on, and return the state."""
    view.keyboard.press("p")
    return wait_for_state(view, "s => s.editsPoints")


def place(state: dict[str, Any], i: int) -> tuple[float, float]:
    """Where point i is drawn."""
    found = state["places"]["points"][i]
    assert found["i"] == i
    return found["x"], found["y"]


def parameters(net: dict[str, Any]) -> dict[str, Any]:
    """Parameters of the page as those of Python, with an axis of replicas."""
    return {name: np.array([net[key]]) for name, key in FIELDS.items() if key in net}


def check_votes(state: dict[str, Any]) -> None:
    """Compare votes and losses of a run in the user's units with those of Python on the same points."""
    x, y, model = np.array(state["x"]), np.array(state["y"]), state["model"]
    p = parameters(state["net"])
    assert state["lossTrain"] == pytest.approx(mean_squared_error(model, p, x, y)[0], rel=1e-12)
    share = votes.vote_share(votes.per_sample_gradients(model, p, x, y))[0]
    np.testing.assert_allclose(state["share"], share, rtol=1e-8, atol=1e-12)
    if model == "linear":
        assert state["thetaOptimum"] == pytest.approx(theory.linear.optimum(x, y), rel=1e-12)
    if model == "constant":
        assert state["thetaOptimum"] == pytest.approx(y.mean(), rel=1e-12)


def edits(state: dict[str, Any]) -> list[list[Any]]:
    """The changes of the first branch, as [update, kind, numbers]."""
    return [[edit["at"], edit["kind"], edit["values"]] for edit in state["branches"][0]["edits"]]


def drag(view: Any, start: tuple[float, float], end: tuple[float, float]) -> dict[str, Any]:
    """Move a point without releasing it, and return the state."""
    view.mouse.move(*start)
    view.mouse.down()
    view.mouse.move(*end, steps=5)
    return current_state(view)


@pytest.mark.parametrize("model", ["constant", "linear", "relu"])
def test_a_dragged_point_is_one_change_and_votes_follow(opened, model) -> None:
    view = opened(page(model))
    before = editing(view)
    (x, y), right = place(before, 7), place(before, 21)[0]
    during = drag(view, (x, y), (right + 3, y - 40))
    view.mouse.move(right + 4, y - 60)
    during = current_state(view)
    # the axes must not move under the pointer
    assert (during["limits"], during["thetaAxis"]) == (before["limits"], before["thetaAxis"])
    assert edits(during) == [[LAST, "x", [7, *edits(during)[0][2][1:]]]]
    moved = edits(during)[0][2][1:]
    i = during["point"]
    assert [during["x"][i], during["y"][i]] == moved
    assert 21 <= i <= 22
    assert during["x"] == sorted(during["x"])
    # the point is where the pointer is, to a pixel
    assert place(during, i) == pytest.approx((right + 4, y - 60), abs=1)
    view.mouse.up()
    after = current_state(view)
    assert {during["x"][k] for k in range(40)} - set(before["x"]) == {moved[0]}
    check_votes(after)
    assert after["share"] != before["share"]
    assert max(len(str(value)) for value in moved) <= 7
    view.get_by_role("button", name="Undo").click()
    undone = current_state(view)
    assert (undone["x"], undone["y"], edits(undone)) == (before["x"], before["y"], [])


@pytest.mark.parametrize("model", ["constant", "linear", "relu"])
def test_points_are_added_and_deleted(opened, model) -> None:
    view = opened(page(model))
    before = editing(view)
    (x0, _), (x1, _) = place(before, 12), place(before, 13)
    y = (place(before, 12)[1] + place(before, 13)[1]) / 2 + 70
    view.mouse.click((x0 + x1) / 2, y)
    added = current_state(view)
    assert (len(added["x"]), added["point"]) == (41, 13)
    check_votes(added)
    view.keyboard.press("Delete")
    deleted = wait_for_state(view, "s => s.x.length === 40")
    assert (deleted["x"], deleted["y"], deleted["point"]) == (before["x"], before["y"], None)
    view.mouse.dblclick(*place(deleted, 30))
    found = wait_for_state(view, "s => s.x.length === 39")
    assert found["x"] == [*before["x"][:30], *before["x"][31:]]
    check_votes(found)
    assert [kind for _, kind, _ in edits(found)] == ["y", "z", "z"]


def test_without_the_mode_a_press_moves_nothing(opened) -> None:
    view = opened(page("linear"))
    before = current_state(view)
    drag(view, place(before, 7), (700, 300))
    view.mouse.up()
    found = current_state(view)
    assert (found["x"], found["branches"], found["editsPoints"]) == (before["x"], [], False)
    view.get_by_role("button", name="edit points").click()
    assert current_state(view)["editsPoints"]


def test_keys_select_move_add_and_delete(opened) -> None:
    view = opened(page("constant"))
    start = editing(view)
    (low, high), (bottom, top) = start["limits"]
    view.keyboard.press("PageDown")
    view.keyboard.press("PageDown")
    assert current_state(view)["point"] == 1
    for key in ("ArrowUp", "ArrowUp", "Shift+ArrowUp", "Shift+ArrowRight", "ArrowLeft"):
        view.keyboard.press(key)
    found = wait_for_state(view, "s => s.branches.length > 0")
    (only,) = edits(found)
    assert only[:2] == [LAST, "x"]
    assert only[2][0] == 1
    assert only[2][1] - start["x"][1] == pytest.approx(0.09 * (high - low), abs=2e-3)
    assert only[2][2] - start["y"][1] == pytest.approx(0.12 * (top - bottom), abs=2e-3)
    assert [found["x"][found["point"]], found["y"][found["point"]]] == only[2][1:]
    assert found["update"] == LAST
    check_votes(found)
    live = view.locator("[aria-live=polite]").first.text_content()
    assert live is not None
    assert live.startswith("point at x = ")
    assert "train loss" in live
    view.keyboard.press("+")
    found = wait_for_state(view, "s => s.x.length === 41")
    assert edits(found)[1][2] == pytest.approx([(low + high) / 2, (bottom + top) / 2], abs=1e-3)
    view.keyboard.press("Backspace")
    assert wait_for_state(view, "s => s.x.length === 40")["point"] is None
    # without a selected point the arrows go through time again
    view.keyboard.press("Home")
    view.keyboard.press("p")
    assert not current_state(view)["editsPoints"]


def test_a_finger_drags_adds_and_deletes(opened) -> None:
    view = opened(page("linear"), has_touch=True, is_mobile=True, viewport={"width": 360, "height": 740})
    view.get_by_role("button", name="edit points").tap()
    before = wait_for_state(view, "s => s.editsPoints")
    view.locator(".function canvas").scroll_into_view_if_needed()
    before = current_state(view)
    touch = view.context.new_cdp_session(view)

    def send(kind: str, *at: float) -> None:
        points = [{"x": at[0], "y": at[1]}] if at else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    x, y = place(before, 20)
    scrolled = view.evaluate("document.querySelector('main').scrollTop")
    send("touchStart", x, y)
    for step in range(1, 11):
        send("touchMove", x + 3 * step, y + 4 * step)
    during = current_state(view)
    assert during["limits"] == before["limits"]
    send("touchEnd")
    after = wait_for_state(view, "s => s.branches.length > 0")
    assert view.evaluate("document.querySelector('main').scrollTop") == scrolled
    assert [kind for _, kind, _ in edits(after)] == ["x"]
    moved = edits(after)[0][2]
    per_pixel = (before["limits"][0][1] - before["limits"][0][0]) / (place(before, 39)[0] - place(before, 0)[0])
    assert moved[1] - before["x"][20] == pytest.approx(30 * per_pixel, rel=0.1)
    assert moved[2] < before["y"][20]
    check_votes(after)
    box = view.locator(".function canvas").bounding_box()
    view.touchscreen.tap(box["x"] + 200, box["y"] + 20)
    added = wait_for_state(view, "s => s.x.length === 41")
    spot = place(added, added["point"])
    view.wait_for_timeout(500)
    view.touchscreen.tap(*spot)
    view.touchscreen.tap(*spot)
    assert len(wait_for_state(view, "s => s.x.length === 40")["x"]) == 40


def test_fewer_than_two_places_are_refused_in_words(opened) -> None:
    view = opened(page("linear", n=2, **{"sampler.batch_size": 2}))
    before = editing(view)
    view.mouse.dblclick(*place(before, 0))
    found = wait_for_state(view, "s => s.trainingMessage.includes('two points')")
    assert (found["x"], found["trainingMessage"]) == (before["x"], "At least two points with different x are needed.")


def test_a_point_is_found_again_where_an_earlier_update_has_other_points(opened) -> None:
    view = opened(page("linear"))
    editing(view)
    view.keyboard.press("t")
    wait_for_state(view, f"s => s.branches.length && s.branches[0].update > {LAST + 50}")
    view.keyboard.press("t")
    state = wait_for_state(view, "s => !s.training")
    view.mouse.dblclick(*place(state, 0))
    state = wait_for_state(view, "s => s.x.length === 39")
    # at an earlier update the deleted point is there again, so the others have other numbers
    view.mouse.move(5, 5)
    view.keyboard.press("ArrowLeft")
    earlier = current_state(view)
    assert earlier["update"] < state["update"]
    drag(view, place(earlier, 4), (place(earlier, 4)[0], place(earlier, 4)[1] - 30))
    view.mouse.up()
    found = wait_for_state(view, "s => s.x.length === 40")
    branch = found["branches"][-1] if not found["branches"][-1]["isControl"] else found["branches"][-2]
    assert branch["name"] == found["focus"]
    assert [(edit["kind"], edit["values"][0]) for edit in branch["edits"]] == [("x", 5)]


def test_noise_floor_and_least_squares_use_the_moved_points(opened) -> None:
    view = opened(page("relu"))
    editing(view)
    state = current_state(view)
    drag(view, place(state, 5), (place(state, 5)[0] + 20, place(state, 5)[1] + 30))
    view.mouse.up()
    moved = current_state(view)
    target = piecewise_linear().target
    assert target is not None
    for found in (state, moved):
        floor = np.mean((np.array(found["y"]) - target(np.array(found["x"]))) ** 2)
        assert found["noiseFloor"] == pytest.approx(floor, rel=1e-12)
    assert moved["noiseFloor"] > 1.01 * state["noiseFloor"]
    view.get_by_role("button", name="Solve output weights").click()
    solved = current_state(view)
    h = np.maximum(0, np.outer(moved["x"], moved["net"]["w"]) + moved["net"]["b"])
    design = np.column_stack([h, np.ones(len(h))])
    best = np.linalg.lstsq(design, np.array(moved["y"]), rcond=None)[0]
    wanted = np.mean((design @ best - np.array(moved["y"])) ** 2)
    assert solved["lossTrain"] == pytest.approx(wanted, rel=1e-9)


YEARS = "year;price\r\n2001;10,5\r\n2005;12,5\r\n2009;11\r\n2011;15\r\n2015;14\r\n"
YEARS_X, YEARS_Y = np.array([2001.0, 2005, 2009, 2011, 2015]), np.array([10.5, 12.5, 11, 15, 14])


def paste(view: Any, text: str) -> Any:
    """Have the points of a text used, and return the line that says what came of it."""
    if not view.get_by_label("Your points as CSV").is_visible():
        view.get_by_role("button", name="Data", exact=True).click()
    # typing megabytes would take minutes
    view.get_by_label("Your points as CSV").evaluate("(area, text) => { area.value = text; }", text)
    view.get_by_role("button", name="Use these points").click()
    current_state(view)
    return view.locator(".popover p[role=status]:visible").text_content()


def check_scaled(state: dict[str, Any], x: Any, y: Any) -> None:
    """Compare a ReLU branch on the user's points with Python's on the same points, scaled as data.scale=auto does."""
    scaling = Scaling.of(x, y)
    u, t = scaling.trained_x(x), scaling.trained_y(y)
    branch = next(one for one in state["branches"] if one["name"] == state["focus"])
    p = parameters(branch["net"])
    wanted = scaling.user_loss(mean_squared_error("relu", p, u, t)[0])
    assert state["lossTrain"] == pytest.approx(wanted, rel=1e-12)
    share = votes.vote_share(votes.per_sample_gradients("relu", p, u, t))[0]
    np.testing.assert_allclose(state["share"], share, rtol=1e-8, atol=1e-12)


def test_pasted_points_begin_a_scaled_branch_at_update_0(opened) -> None:
    view = opened(page("relu"))
    start = current_state(view)
    assert start["lossTest"] is not None
    assert paste(view, YEARS) == "5 points; x is 'year', y is 'price', its only two columns of numbers."
    state = wait_for_state(view, "s => s.branches.length === 1")
    assert (state["update"], state["x"], state["y"]) == (0, YEARS_X.tolist(), YEARS_Y.tolist())
    check_scaled(state, YEARS_X, YEARS_Y)
    # the points have no test points, and no known target
    assert state["lossTest"] is None
    assert "scaled data" in view.locator("header.bar").inner_text()
    assert (state["limits"][0][0] > 2000, state["limits"][0][1] < 2016) == (True, True)
    # a point that is dragged later leaves the units as they are
    view.keyboard.press("Escape")
    state = editing(view)
    drag(view, place(state, 2), (place(state, 2)[0], place(state, 2)[1] - 50))
    view.mouse.up()
    moved = current_state(view)
    assert moved["net"] == state["net"]
    assert moved["y"][2] != state["y"][2]
    scaling = Scaling.of(YEARS_X, YEARS_Y)
    p = parameters(moved["branches"][0]["net"])
    u, t = scaling.trained_x(YEARS_X), scaling.trained_y(np.array(moved["y"]))
    assert moved["lossTrain"] == pytest.approx(scaling.user_loss(mean_squared_error("relu", p, u, t)[0]), rel=1e-12)
    for _ in range(2):
        view.get_by_role("button", name="Undo").click()
    undone = current_state(view)
    assert (undone["x"], undone["lossTest"] is None) == (start["x"], False)
    assert "scaled data" not in view.locator("header.bar").inner_text()


def test_trained_networks_keep_their_units_unless_they_begin_anew(opened) -> None:
    view = opened(page("relu"))
    trained = current_state(view)
    view.get_by_role("button", name="Data", exact=True).click()
    view.get_by_label("begin at update 0").uncheck()
    paste(view, "x,y\n0.1,1\n0.3,-2\n0.9,4\n")
    state = wait_for_state(view, "s => s.branches.length === 1")
    assert (state["update"], state["net"]) == (LAST, trained["net"])
    check_votes(state)


def test_a_built_in_data_set_is_that_of_python(opened) -> None:
    view = opened(page("relu"))
    view.get_by_role("button", name="Data", exact=True).click()
    panel = view.locator(".popover:visible")
    panel.get_by_label("data", exact=True).select_option("sine")
    panel.get_by_label("points", exact=True).fill("30")
    panel.get_by_label("noise", exact=True).fill("0.25")
    panel.get_by_label("data seed", exact=True).fill("7")
    panel.get_by_role("button", name="Use these data").click()
    state = wait_for_state(view, "s => s.x.length === 30")
    wanted = sine(n=30, noise=0.25, seed=7)
    assert (state["x"], state["y"]) == (wanted.x.tolist(), wanted.y.tolist())
    assert edits(state) == [[0, "g", [1, 30, 0.25, 7]]]
    assert state["branches"][0]["settings"]["data"] == "sine"
    p = parameters(state["net"])
    assert state["lossTest"] == pytest.approx(mean_squared_error("relu", p, wanted.x_test, wanted.y_test)[0], rel=1e-12)
    panel.get_by_role("button", name="Draw anew").click()
    state = wait_for_state(view, "s => s.branches[0].edits.length === 2")
    wanted = sine(n=30, noise=0.25, seed=8)
    assert (state["x"], state["y"]) == (wanted.x.tolist(), wanted.y.tolist())


DROP = """([name, bytes, kind]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([Uint8Array.from(bytes)], name));
  const target = document.querySelector('.votes canvas');
  return target.dispatchEvent(new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true}));
}"""


def test_a_file_dropped_on_the_page_replaces_the_points(opened) -> None:
    view = opened(page("relu"))
    given = ["prices.csv", list(("Prix Été;x\n" + "3;1\n5;2\n4,5;4\n").encode("cp1252")), "dragover"]
    # false: the page has taken the event, and the browser does not show the file in its place
    assert view.evaluate(DROP, given) is False
    target = view.locator(".drop-target")
    target.wait_for()
    assert target.bounding_box()["width"] > 1000
    assert view.evaluate(DROP, [*given[:2], "drop"]) is False
    state = wait_for_state(view, "s => s.x.length === 3")
    assert (state["x"], state["y"]) == ([1, 2, 4], [3, 5, 4.5])
    assert not target.is_visible()
    note = view.locator(".popover p[role=status]:visible").inner_text()
    assert note.startswith("3 points; prices.csv; not in UTF-8, read as Windows-1252; x is 'x', y is 'Prix Été'")
    check_scaled(state, np.array([1.0, 2, 4]), np.array([3, 5, 4.5]))


def test_a_file_is_opened_with_a_button(opened, tmp_path) -> None:
    view = opened(page("constant"))
    (tmp_path / "points.tsv").write_text("x\ty\n1\t2\n3\t4\n")
    view.get_by_role("button", name="Data", exact=True).click()
    view.locator(".popover[aria-label='Other points'] input[type=file]").set_input_files(tmp_path / "points.tsv")
    state = wait_for_state(view, "s => s.x.length === 2")
    assert (state["x"], state["y"]) == ([1, 3], [2, 4])
    check_votes(state)


HOSTILE = [
    "",
    "<script>window.hacked = 1</script>",
    "<img src=x onerror=window.hacked=1>,<b>y</b>\n1,2",
    "x,y\n1e999,2\n3,4\n",
    "x,y\n1,NaN\n2,inf\n",
    "x,y\n1,2\n1,3\n",
    "x,y\n1e200,2\n3,4\n",
    "x,y,x\n1,2,3\n4,5,6\n",
    "\x00\x01\x02",
    "=cmd|' /C calc'!A0,1\n2,3\n",
    "__proto__,constructor\n",
    '"x,y\n1,2\n',
    "x,y\n" + "1" * 400 + "," + "2" * 400 + "\n3,4\n",
    "x\u202e,y\n",
]


def test_hostile_texts_change_nothing_and_run_no_script(opened) -> None:
    view = opened(page("relu"))
    before = current_state(view)
    for text in HOSTILE:
        message = paste(view, text)
        assert message.endswith(". Nothing was changed."), text
        assert "\n" not in message
    state = current_state(view)
    assert (state["x"], state["branches"], state["update"]) == (before["x"], [], LAST)
    assert view.evaluate("window.hacked") is None
    message = paste(view, "<img src=x onerror=window.hacked=1>,<script>window.hacked=1</script>\n1,2\n3,4\n")
    assert "<img src=x onerror=window" in message
    assert current_state(view)["x"] == [1, 3]
    assert view.evaluate("window.hacked") is None


def test_texts_beyond_the_limits_are_refused(opened) -> None:
    view = opened(page("relu"))
    view.get_by_role("button", name="Data", exact=True).click()
    view.get_by_label("Your points as CSV").evaluate(
        """area => {
          const clipboardData = new DataTransfer();
          clipboardData.setData('text', '1,2\\n'.repeat(1_250_000));
          area.dispatchEvent(new ClipboardEvent('paste', {clipboardData, cancelable: true}));
        }"""
    )
    note = view.locator(".popover p[role=status]:visible")
    assert "at most 1\u202f000\u202f000 characters; this has 5\u202f000\u202f000" in note.inner_text()
    rows = "x,y\n" + "".join(f"{i},{i % 7}\n" for i in range(4500))
    message = paste(view, rows)
    assert "at most 2\u202f000 points; this has 4\u202f500" in message
    assert current_state(view)["branches"] == []


def test_a_link_repeats_edited_points_bit_for_bit(opened) -> None:
    html = page("relu")
    view = opened(html)
    paste(view, YEARS)
    state = wait_for_state(view, "s => s.branches.length === 1")
    view.keyboard.press("Escape")
    state = editing(view)
    view.get_by_role("button", name="1 update", exact=True).click()
    state = wait_for_state(view, "s => s.branches[0].update === 1")
    drag(view, place(state, 1), (place(state, 1)[0] + 150, place(state, 1)[1] - 50))
    view.mouse.up()
    view.mouse.click(place(state, 0)[0] + 40, place(state, 0)[1] - 30)
    wait_for_state(view, "s => s.x.length === 6")
    view.get_by_role("button", name="1\u202f000 updates", exact=True).click()
    state = wait_for_state(view, "s => s.branches[0].update === 1001 && !s.training")
    view.wait_for_timeout(600)  # the address follows after a moment
    link = view.evaluate("location.hash")
    assert len(link) < 400
    again = opened(html, link)
    repeated = wait_for_state(again, f"s => s.branches.length === {len(state['branches'])}")
    assert repeated["branches"] == state["branches"]
    assert [repeated[key] for key in ("x", "y", "net", "lossTrain", "limits")] == [
        state[key] for key in ("x", "y", "net", "lossTrain", "limits")
    ]


def test_moments_are_repeated_before_the_first_change(opened) -> None:
    view = opened(page("relu", optimizer="torch.optim.Adam", **{"optimizer.lr": 0.001}))
    state = editing(view)
    x, y = place(state, 9)
    view.mouse.move(x, y)
    view.mouse.down()
    view.mouse.move(x + 10, y - 30, steps=3)
    view.mouse.up()
    found = wait_for_state(view, "s => s.branches.length > 0 && s.branches[0].edits.length > 0")
    i = found["point"]
    assert place(found, i) == pytest.approx((x + 10, y - 30), abs=25)
    assert [kind for _, kind, _ in edits(found)] == ["x"]
    check_votes(found)
