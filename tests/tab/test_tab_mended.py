"""What the tab says while it shows runs: tooltips, names, tables, legends and notes, read in a real browser."""

import itertools
import math
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import (
    current_state,
    javascript_modules,
    open_page,
    page_position,
    position_of,
    require_browser,
    running_tensorboard,
    wait_for_runs,
    wait_for_state,
)
from tab_runs import Array, Writer, drifting_networks

from reluviz.core import functions, theory
from reluviz.data.targets import piecewise_linear
from reluviz.tab import html_file, wire_format

pytestmark = pytest.mark.long

NAMES = functions.PARAMETERS["relu"]
DATA = piecewise_linear()
X, Y = DATA.x, DATA.y
UPDATES = [0, 1, 10, 100, 1000, 2000]
WIDTH = 6
RELU = drifting_networks(len(UPDATES), WIDTH)
THETA = np.linspace(1, 0.2, len(UPDATES))[:, None, None]
SETTINGS = {"name": "relu", "seed": 0, "model.width": WIDTH, "optimizer.lr": 0.02, "step_size": 0.02}
SIZES = [(1400, 900), (1280, 720), (360, 740)]


def blobs(values: Array, model: str = "relu", scaling: list[float] | None = None, **settings: Any) -> dict[str, bytes]:
    """The blobs of a run with parameters [S, R, P], as a page embeds them; with scaling the data are in other units."""
    x0, sx, y0, sy = scaling or [0, 1, 0, 1]
    arrays = {"x": X, "y": Y, "target": DATA.target(X), "x_test": DATA.x_test, "y_test": DATA.y_test}
    arrays = {k: x0 + sx * v if k.startswith("x") else y0 + sy * v for k, v in arrays.items()}
    header = {"model": model, "name": "piecewise_linear", "domain": [x0, x0 + sx], "dtype": "float32"}
    header |= {"trained": list(functions.PARAMETERS[model]), "seeds": [5 + r for r in range(values.shape[1])]}
    header |= {"settings": SETTINGS | settings} | ({"scaling": scaling} if scaling else {})
    updates = np.array(UPDATES[: len(values)], dtype=np.float64)
    losses = {f"{kind}{i}": v for i in range(2) for kind, v in (("u", updates), ("v", np.float32(0.5 - 0.1 * i)))}
    losses |= {f"v{i}": ((0.5 - 0.1 * i) / (1 + updates)).astype(np.float32) for i in range(2)}
    width = (values.shape[2] - 1) // 3
    fields = [[key, width if key in NAMES[:3] else 1] for key in functions.PARAMETERS[model]]
    params = {"update": updates, "wall": updates, "values": values.astype(np.float32)}
    return {
        "data": wire_format.encode(arrays, **header),
        "params": wire_format.encode(params, fields=fields),
        "scalars": wire_format.encode(losses, tags=["loss/train", "loss/test"]),
    }


def parameters(row: Array) -> dict[str, Array]:
    """The parameters of one replica for the Python functions; runs store them in float32."""
    width = (len(row) - 1) // 3
    w, b, v, c = np.split(row.astype(np.float32).astype(np.float64), [width, 2 * width, 3 * width])
    return {"input_slope": w[None], "bias": b[None], "output_weight": v[None], "output_bias": c}


def network(units: list[tuple[float, float, float]], c: float = 0.0) -> Array:
    """One snapshot of a network with units (elbow, w, v), [1, 1, P]."""
    beta, w, v = np.array(units).T
    return np.concatenate([w, -beta * w, v, [c]])[None, None]


@pytest.fixture
def open_runs(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """`open_runs({name: blobs}, "#step=1")` opens a page with runs; errors that it reports fail the test."""
    require_browser()
    with open_page(request.getfixturevalue("browser")) as page:

        def open_runs(runs: dict[str, dict[str, bytes]], link: str = "") -> Any:
            (tmp_path / "page.html").write_text(html_file.html(runs), "utf-8")
            page.goto("about:blank")
            page.goto(f"{(tmp_path / 'page.html').as_uri()}{link}")
            wait_for_state(page, "s => s.ready")
            return page

        yield open_runs


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest) -> Any:
    require_browser()
    with javascript_modules(request.getfixturevalue("browser")) as run:
        yield run


def click(page: Any, selector: str) -> None:
    """Click without the pointer, which stays where it is."""
    page.evaluate("selector => document.querySelector(selector).click()", selector)


def value_in(line: str) -> float:
    """The last number in a line of the page."""
    return float(re.findall(r"[+−]?[\d.]+", line.replace("\u202f", ""))[-1].replace("−", "-"))


def middle_of(page: Any, selector: str, fx: float = 0.5, fy: float = 0.5) -> tuple[float, float]:
    page.locator(selector).scroll_into_view_if_needed()
    box = page.locator(selector).bounding_box()
    return box["x"] + fx * box["width"], box["y"] + fy * box["height"]


# tooltips


@pytest.mark.parametrize("view", ["function", "votes"])
def test_the_tooltip_of_a_point_follows_the_time(open_runs: Any, view: str) -> None:
    page = open_runs({"a": blobs(RELU)}, "#step=2000")
    x, y = position_of(page.main_frame, "points", "i", 120)
    page.mouse.move(x, y if view == "function" else middle_of(page, ".votes canvas")[1])
    line = {"function": 1, "votes": 2}[view]
    shown = []
    for _ in range(4):
        found = current_state(page)
        i = found["hover"]["point"]
        assert found["tooltip"][0].startswith(f"point {i}: x = ")
        expected = found["residual"][i] if view == "function" else 100 * found["share"][i]
        assert value_in(found["tooltip"][line].replace(" % of the step", "")) == pytest.approx(
            expected, rel=6e-3, abs=6e-3
        )
        shown.append(found["tooltip"][line])
        page.keyboard.press("ArrowLeft")
    assert len(set(shown)) == 4


def test_the_tooltip_of_a_place_follows_the_time_and_the_parameters(open_runs: Any) -> None:
    page = open_runs({"a": blobs(RELU)}, "#step=2000")
    # at the right edge there is neither a point nor an elbow
    page.mouse.move(*middle_of(page, ".function canvas", 0.86, 0.2))
    for key in ("Home", "ArrowRight", "End"):
        page.keyboard.press(key)
        found = current_state(page)
        x, f = (value_in(line) for line in found["tooltip"])
        p = parameters(RELU[UPDATES.index(found["update"]), 0])
        assert f == pytest.approx(functions.predict("relu", p, np.array([x]))[0, 0], abs=0.05)
    click(page, ".what-if .action")
    found = current_state(page)
    assert found["whatIf"]
    p = {name: np.array([found["net"][key]]) for name, key in zip(NAMES, "wbvc", strict=True)}
    assert value_in(found["tooltip"][1]) == pytest.approx(functions.predict("relu", p, np.array([x]))[0, 0], abs=0.05)
    assert abs(value_in(found["tooltip"][1]) - f) > 0.1


@pytest.mark.parametrize(("kind", "view"), [("elbows", "function"), ("units", "units"), (None, "elbows-through-time")])
def test_the_unit_under_a_resting_pointer_is_found_again(open_runs: Any, kind: str | None, view: str) -> None:
    page = open_runs({"a": blobs(RELU)}, "#step=2000")
    found = current_state(page)
    spot = next(one for one in found["places"]["units"] if found["status"][one["k"]] == "bent")
    if kind:
        page.mouse.move(*position_of(page.main_frame, kind, "k", spot["k"]))
    else:
        page.mouse.move(
            position_of(page.main_frame, "elbows", "k", spot["k"])[0],
            middle_of(page, f".{view} canvas", 0.5, 1)[1] - 19,
        )
    found = current_state(page)
    assert found["tooltip"][0].startswith(f"unit {found['hover']['unit']} (")
    elbows = []
    for _ in range(len(UPDATES)):
        found = current_state(page)
        unit = found["hover"]["unit"]
        if unit is None:
            assert found["tooltip"] is None or not found["tooltip"][0].startswith("unit")
        else:
            assert value_in(found["tooltip"][1].split(",")[0]) == pytest.approx(found["elbows"][unit], rel=6e-3)
        elbows.append(found["tooltip"] and found["tooltip"][1])
        page.keyboard.press("ArrowLeft")
    assert len(set(elbows)) > 1


@pytest.mark.parametrize("view", ["loss", "path"])
def test_the_update_under_a_resting_pointer_follows_the_time_scale(open_runs: Any, view: str) -> None:
    model, values = ("relu", RELU) if view == "loss" else ("constant", THETA)
    page = open_runs({"a": blobs(values, model)})
    page.mouse.move(*middle_of(page, f".{view} canvas", 0.45, 0.5))
    before = current_state(page)["tooltip"]
    click(page, ".segmented [data-value=linear]")
    found = current_state(page)
    update = int(value_in(found["tooltip"][0]))
    assert update in UPDATES
    assert update > value_in(before[0])
    s = UPDATES.index(update)
    expected = 0.5 / (1 + update) if view == "loss" else THETA[s, 0, 0]
    assert (
        value_in(found["tooltip"][1].split("·")[0]) == pytest.approx(expected, rel=6e-3) or "10" in found["tooltip"][1]
    )


def test_the_tooltip_on_the_parabola_follows_the_time(open_runs: Any) -> None:
    page = open_runs({"a": blobs(THETA, "constant")}, "#step=2000")
    page.mouse.move(*page_position(page.main_frame, current_state(page)["places"]["theta"]))
    assert current_state(page)["tooltip"][0] == "θ = 0.2"
    page.keyboard.press("Home")
    found = current_state(page)
    assert found["tooltip"] is None or not found["tooltip"][0].startswith("θ")
    page.keyboard.press("End")
    assert current_state(page)["tooltip"][0] == "θ = 0.2"


def test_the_tooltip_agrees_with_the_picture_while_it_plays(open_runs: Any) -> None:
    page = open_runs({"a": blobs(drifting_networks(6, WIDTH, seed=3))})
    page.mouse.move(*position_of(page.main_frame, "points", "i", 60))
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    updates = set()
    for _ in range(25):
        found = page.evaluate("window.reluvizState")
        expected = found["residual"][found["hover"]["point"]]
        assert value_in(found["tooltip"][1]) == pytest.approx(expected, rel=6e-3, abs=1e-3)
        updates.add(found["update"])
        page.wait_for_timeout(120)
    assert len(updates) >= 2


# the ridge slider


@pytest.mark.parametrize("scaling", [None, [20.0, 3.0, -500.0, 40.0]])
def test_the_ridge_slider_solves_as_the_engine_ridge_does(open_runs: Any, scaling: list[float] | None) -> None:
    page = open_runs({"a": blobs(RELU, scaling=scaling)}, "#step=100")
    before = current_state(page)
    slider = page.get_by_label("Ridge penalty λ")
    p = parameters(RELU[3, 0])
    phi = functions.features(p, X)
    y0, sy = (scaling or [0, 1, 0, 1])[2:]
    for place, lam in ((1, 1e-9), (19, 1e-3), (28, 1.0), (37, 1000.0)):
        slider.fill(str(place))
        found = current_state(page)
        assert found["lambda"] == pytest.approx(lam, rel=1e-15)
        v, c = theory.relu.ridge(phi[..., :-1], Y[None], lam)
        solved = p | {"output_weight": v, "output_bias": c}
        train = sy**2 * functions.mean_squared_error("relu", solved, X, Y)[0]
        test = sy**2 * functions.mean_squared_error("relu", solved, DATA.x_test, DATA.y_test)[0]
        assert found["lossTrain"] == pytest.approx(train, rel=1e-6)
        assert found["lossTest"] == pytest.approx(test, rel=1e-6)
        if lam > 1e-6:
            np.testing.assert_allclose(found["net"]["v"], sy * v[0], rtol=1e-6, atol=1e-9)
            assert found["net"]["c"] == pytest.approx(y0 + sy * c[0], rel=1e-6) or scaling
    text = page.locator(".what-if p").inner_text()
    assert text.startswith("output solved with λ = 1000: train loss ")
    losses = [before["lossTrain"], train, before["lossTest"], test]
    shown = [float(n) for n in re.findall(r"[\d.]+", text.split(":")[1])]
    assert shown == pytest.approx(losses, rel=6e-3)
    slider.fill("0")
    found = current_state(page)
    assert found["lambda"] == 0
    best = theory.relu.least_squares(phi[0], Y).solution
    assert found["lossTrain"] == pytest.approx(sy**2 * np.square(phi[0] @ best - Y).mean(), rel=1e-8)
    # the slider's arrow keys change the penalty and not the time
    slider.focus()
    page.keyboard.press("ArrowRight")
    found = current_state(page)
    assert (found["lambda"], found["update"]) == (pytest.approx(1e-9), 100)
    page.get_by_role("button", name="Reset").click()
    assert current_state(page)["lambda"] is None


def test_a_curve_that_leaves_the_axes_says_from_where_to_where(open_runs: Any) -> None:
    inside = network([(0.2, 1.0, 0.5), (0.6, 1.0, -0.5)])
    page = open_runs({"a": blobs(inside)})
    assert current_state(page)["leaving"] == []
    # two elbows between neighbouring points: the curve may rise between them as far as it likes
    gap = int(np.argmax(np.diff(X)))
    left, right = X[gap], X[gap + 1]
    middle, spike = (left + right) / 2, 1000.0
    peak = spike * (right - left) / 2
    page = open_runs({"a": blobs(network([(left, 1.0, spike), (middle, 1.0, -2 * spike), (right, 1.0, spike)]))})
    (found,) = current_state(page)["leaving"]
    assert found["name"] == "f"
    assert found["high"] == pytest.approx(peak, rel=1e-3)
    assert found["low"] == pytest.approx(0, abs=1e-3)
    page.get_by_role("button", name="least squares").click()
    p = parameters(network([(left, 1.0, spike), (middle, 1.0, -2 * spike), (right, 1.0, spike)])[0, 0])
    phi = functions.features(p, X)[0]
    solution = theory.relu.least_squares(phi, Y).solution
    corners = np.array([-0.02, left, middle, right, 1.02])
    heights = functions.features(p, corners)[0] @ solution
    leaving = {one["name"]: one for one in current_state(page)["leaving"]}
    low, high = -1.4, 1.2
    assert ("least squares" in leaving) == bool(heights.min() < low or heights.max() > high)
    if "least squares" in leaving:
        assert leaving["least squares"]["low"] == pytest.approx(heights.min(), rel=1e-3)
        assert leaving["least squares"]["high"] == pytest.approx(heights.max(), rel=1e-3)


# coinciding units

COINCIDING = network([(0.5, 1.0, 0.4), (0.2, 1.0, 0.3), (0.5, 2.0, 0.2), (0.8, -1.0, 0.3), (0.5, -1.0, -0.4)])


def test_coinciding_elbows_are_fanned_out_and_each_can_be_selected(open_runs: Any) -> None:
    page = open_runs({"a": blobs(COINCIDING)})
    found = current_state(page)
    assert found["fans"] == {"elbows": [[0, 2, 4]], "units": [[0, 2]]}
    places = {one["k"]: (one["x"], one["y"]) for one in found["places"]["elbows"]}
    assert sorted(places) == [0, 1, 2, 3, 4]
    heights = [places[k][1] for k in (0, 2, 4)]
    assert all(a - b >= 4 for a, b in itertools.pairwise(heights))
    assert places[1][1] == places[3][1] == heights[0]
    # one click on each of the three places, then further clicks on one place
    for k in (0, 2, 4):
        page.keyboard.press("Escape")
        page.mouse.click(*position_of(page.main_frame, "elbows", "k", k))
        assert current_state(page)["unit"] == k
    for k in (0, 2, 4):
        page.mouse.click(*position_of(page.main_frame, "elbows", "k", 2))
        assert current_state(page)["unit"] == k
    assert "3 units here: 0, 2, 4; click again for the next" in current_state(page)["tooltip"]


def test_coinciding_units_are_fanned_out_and_each_can_be_selected(open_runs: Any) -> None:
    page = open_runs({"a": blobs(COINCIDING)})
    places = {one["k"]: (one["x"], one["y"]) for one in current_state(page)["places"]["units"]}
    assert places[0][1] - places[2][1] >= 4
    for k in (0, 2, 0):
        # the panel moves when the inspector shows a unit
        page.mouse.click(*position_of(page.main_frame, "units", "k", 0))
        assert current_state(page)["unit"] == k
    page.mouse.move(*position_of(page.main_frame, "units", "k", 0))
    assert "2 units here: 0, 2; click again for the next" in current_state(page)["tooltip"]
    # a drag moves the selected unit, and the others stay
    x, y = position_of(page.main_frame, "units", "k", 0)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y, steps=4)
    page.mouse.up()
    found = current_state(page)
    assert found["elbows"][0] > 0.52
    assert (found["elbows"][2], found["unit"]) == (0.5, 0)
    assert found["fans"]["units"] == []


def test_a_drag_in_the_units_panel_changes_one_of_elbow_and_slope_jump(open_runs: Any) -> None:
    page = open_runs({"a": blobs(COINCIDING)})
    before = current_state(page)
    x, y = position_of(page.main_frame, "units", "k", 1)
    # no unit is selected yet, and the panel moves when the drag begins
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 50, y, steps=5)
    page.mouse.up()
    found = current_state(page)
    assert found["elbows"][1] > before["elbows"][1] + 0.05
    assert found["slopeJumps"] == before["slopeJumps"]


def test_no_fan_and_no_number_where_elbows_are_apart(open_runs: Any) -> None:
    page = open_runs({"a": blobs(network([(0.2, 1.0, 0.4), (0.21, 1.0, 0.3), (0.8, -1.0, 0.3)]))})
    found = current_state(page)
    assert found["fans"] == {"elbows": [], "units": []}
    assert len({one["y"] for one in found["places"]["elbows"]}) == 1


# numbers and names


def test_points_and_replicas_count_from_0(open_runs: Any) -> None:
    page = open_runs({"a": blobs(drifting_networks(3, WIDTH, replicas=3))}, "#point=0&unit=0")
    assert page.locator(".inspector h3").all_inner_texts()[:2] == [
        page.locator(".inspector h3").nth(0).inner_text(),
        "Point 0 (of 0 to 199)",
    ]
    assert page.locator(".inspector h3").nth(0).inner_text().startswith("Unit 0: ")
    options = page.get_by_label("Replica in focus").locator("option").all_inner_texts()
    assert options == ["0 (seed 5)", "1 (seed 6)", "2 (seed 7)"]
    page.mouse.move(*position_of(page.main_frame, "points", "i", 7))
    found = current_state(page)
    assert found["tooltip"][0].startswith(f"point {found['hover']['point']}: x = ")


def entry(run: str, model: str = "relu", seeds: tuple[int, ...] = (0,), **settings: Any) -> dict[str, Any]:
    given = {key.replace("__", "."): value for key, value in settings.items()}
    return {"run": run, "model": model, "data": "piecewise_linear", "seeds": list(seeds), "settings": given}


@pytest.mark.parametrize(
    ("entries", "names"),
    [
        ([], []),
        ([entry("logs/a", seed=3)], ["logs/a"]),
        (
            [
                entry("s/1", model__width=10, name="p", step_size=0.1),
                entry("s/2", model__width=20, name="q", step_size=0.1),
            ],
            ["width 10", "width 20"],
        ),
        (
            [
                entry("1", (), seed=0, optimizer__lr=0.02, step_size=0.02),
                entry("2", (), seed=1, optimizer__lr=0.2, step_size=0.2),
            ],
            ["seed 0, lr 0.02", "seed 1, lr 0.2"],
        ),
        ([entry("1", seeds=(0,)), entry("2", seeds=(4,))], ["seed 0", "seed 4"]),
        ([entry("1", model="constant"), entry("2", model="relu")], ["constant", "relu"]),
        (
            [entry("1", optimizer="SGD", optimizer__momentum=0.9), entry("2", optimizer="Adam")],
            ["SGD, momentum 0.9", "Adam, no momentum"],
        ),
        # two keys that end alike keep their whole names
        (
            [entry("1", data__seed=1, sampler__seed=1), entry("2", data__seed=2, sampler__seed=3)],
            ["data.seed 1, sampler.seed 1", "data.seed 2, sampler.seed 3"],
        ),
        # runs that differ in nothing but their time
        (
            [entry("relu/2026-01-01_10-00-00", seed=0), entry("relu/2026-01-01_11-00-00", seed=0)],
            ["relu/2026…-01_10-00-00", "relu/2026…-01_11-00-00"],
        ),
        (
            [entry("x/a", model__width=10), entry("x/b", model__width=10), entry("x/c", model__width=20)],
            ["width 10 · a", "width 10 · b", "width 20"],
        ),
    ],
)
def test_runs_are_named_by_what_differs(run: Any, entries: list[dict[str, Any]], names: list[str]) -> None:
    found = run("return (await import('./app/run_names.js')).runNames(given)", entries)
    assert found == names


def test_chips_curves_and_the_list_of_runs_have_short_and_full_names(open_runs: Any) -> None:
    runs = {f"sweeps/2026/w{width}": blobs(drifting_networks(4, width), **{"model.width": width}) for width in (5, 8)}
    page = open_runs(runs, "#step=10")
    found = current_state(page)
    assert found["labels"] == ["width 5", "width 8"]
    assert page.locator(".chip .pick").all_inner_texts() == ["width 5", "width 8"]
    assert page.locator(".chip").nth(1).get_attribute("title").startswith("sweeps/2026/w8")
    assert page.locator(".votes header p").inner_text().startswith("width 5: ")
    page.mouse.move(*middle_of(page, ".loss canvas"))
    tooltip = current_state(page)["tooltip"]
    assert {line.split(":")[0] for line in tooltip[1:]} == {"width 5", "width 8", "its test"}
    page.locator(".add").click()
    assert page.locator(".item .name").all_inner_texts() == list(runs)
    page.get_by_label("Filter runs").press("Escape")
    # alone, a run has its own name again
    page.get_by_role("button", name="Remove sweeps/2026/w5").click()
    assert current_state(page)["labels"] == ["sweeps/2026/w8"]


@pytest.mark.parametrize(
    ("label", "length", "short"),
    [
        ("width 10, lr 0.02", 20, "width 10, lr 0.02"),
        ("width 10, train all, lr 0.02", 15, "10, all, 0.02"),
        ("lr 0.1, no momentum", 18, "0.1, no momentum"),
        ("one/long/folder/name", 10, "one/…/name"),
    ],
)
def test_a_label_that_is_too_long_keeps_its_values(run: Any, label: str, length: int, short: str) -> None:
    found = run("return (await import('./drawing/format.js')).shortenLabel(...given)", [label, length])
    assert found == short


# the table of compared runs


def test_compared_runs_have_a_table_of_their_losses(open_runs: Any) -> None:
    runs = {f"w{width}": blobs(drifting_networks(6, width), **{"model.width": width}) for width in (5, 8, 9)}
    page = open_runs(runs, "#step=10")
    final = [pytest.approx(0.5 / 2001, rel=1e-6), pytest.approx(0.4 / 2001, rel=1e-6)]
    now = [pytest.approx(0.5 / 11, rel=1e-6), pytest.approx(0.4 / 11, rel=1e-6)]
    assert current_state(page)["table"] == [{"run": f"w{width}", "now": now, "final": final} for width in (5, 8, 9)]
    rows = page.locator("table.runs tbody tr")
    assert rows.nth(1).locator("th, td").all_inner_texts() == ["width 8", "0.0455", "0.0364", "2.5·10⁻⁴", "2·10⁻⁴"]
    page.keyboard.press("End")
    assert [row["now"] for row in current_state(page)["table"]] == [None] * 3
    assert rows.nth(2).locator("th, td").all_inner_texts() == ["width 9", "2.5·10⁻⁴", "2·10⁻⁴"]
    # without recorded losses they are computed
    bare = {name: {kind: blob for kind, blob in kinds.items() if kind != "scalars"} for name, kinds in runs.items()}
    page = open_runs(bare, "#step=10")
    p = parameters(drifting_networks(6, 8)[2, 0])
    losses = [functions.mean_squared_error("relu", p, x, y)[0] for x, y in ((X, Y), (DATA.x_test, DATA.y_test))]
    assert current_state(page)["table"][1]["now"] == pytest.approx(losses, rel=1e-6)
    for name in ("w5", "w8"):
        page.get_by_role("button", name=f"Remove {name}").click()
    assert current_state(page)["table"] is None


OVERLAPS = """() => {
  const found = [];
  const leaves = "canvas, h2, h3, button, td, th, dt, dd, .card > header p, input, output";
  // what a box with its own scroll bars shows of an element
  const visible = (e) => {
    let { left, right, top, bottom } = e.getBoundingClientRect();
    for (let p = e.parentElement; p; p = p.parentElement) {
      if (getComputedStyle(p).overflowX === "visible") continue;
      const box = p.getBoundingClientRect();
      [left, top] = [Math.max(left, box.left), Math.max(top, box.top)];
      [right, bottom] = [Math.min(right, box.right), Math.min(bottom, box.bottom)];
    }
    return { e, left, right, top, bottom };
  };
  const boxes = [...document.querySelectorAll(leaves)]
    .filter((e) => e.offsetParent && !e.closest(".picker"))
    .map(visible)
    .filter((b) => b.right > b.left && b.bottom > b.top);
  for (const a of boxes) for (const b of boxes) {
    if (a.e.contains(b.e) || b.e.contains(a.e)) continue;
    const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (width > 1 && height > 1) found.push([a.e.outerHTML.slice(0, 90), b.e.outerHTML.slice(0, 90)]);
  }
  return found;
}"""
TOO_WIDE = """() => [...document.querySelectorAll("button, table, canvas, input, select")]
  .filter((e) => e.offsetParent && !e.closest(".picker") && e.getBoundingClientRect().right > innerWidth + 1)
  .map((e) => e.outerHTML.slice(0, 90))"""
"""What lies beyond the right edge of the window."""


@pytest.mark.parametrize("size", SIZES)
def test_nothing_overlaps_with_four_compared_runs(open_runs: Any, size: tuple[int, int]) -> None:
    runs = {
        f"w{w}": blobs(drifting_networks(6, w), **{"model.width": w, "optimizer.lr": 0.1 * w}) for w in (5, 8, 9, 11)
    }
    page = open_runs(runs, "#step=10&unit=1&point=9")
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.wait_for_timeout(200)
    overlapping = page.evaluate(OVERLAPS)
    assert overlapping == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    too_wide = page.evaluate(TOO_WIDE)
    assert too_wide == []
    assert page.locator(".loss canvas").bounding_box()["height"] > 80


# colours, words, axes


def test_coloured_words_say_what_the_colours_mean_and_can_be_read(open_runs: Any) -> None:
    words = {
        ".function p.legend": ["up", "down"],
        ".units header p": ["up", "down"],
        ".elbows-through-time header p": ["up", "down"],
        ".votes header p": ["against", "for"],
    }
    for scheme, model, values in itertools.product(("light", "dark"), ("relu", "constant"), (RELU, THETA)):
        if (values is RELU) != (model == "relu"):
            continue
        page = open_runs({"a": blobs(values, model)}, "#step=100")
        page.emulate_media(color_scheme=scheme)
        wait_for_state(page, f"s => s.dark === {str(scheme == 'dark').lower()}")
        current_state(page)
        expected = words if model == "relu" else {".parabola header p": ["larger θ", "smaller θ"]}
        for selector, texts in expected.items():
            assert sorted(page.locator(f"{selector} b").all_inner_texts()) == sorted(texts), selector
            contrasts = page.evaluate(CONTRAST, f"{selector} b")
            assert all(value >= 4.5 for value in contrasts), (selector, contrasts)
            assert len(set(page.evaluate(COLOUR, f"{selector} b"))) == 2
    page = open_runs({"a": blobs(RELU)}, "#step=100&unit=0")
    for measure, texts in (("residual", ["rise", "fall"]), ("elbow", ["right", "left"]), ("norm", [])):
        click(page, f"[data-value={measure}]")
        current_state(page)
        assert page.locator(".votes header p b").all_inner_texts() == texts


COLOUR = "selector => [...document.querySelectorAll(selector)].map((e) => getComputedStyle(e).color)"
CONTRAST = """selector => [...document.querySelectorAll(selector)].map((e) => {
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = (css) => {
    const [r, g, b] = css.match(/[\\d.]+/g).map((c) => linear(Number(c) / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = getComputedStyle(e.closest(".card")).backgroundColor;
  const [low, high] = [light(getComputedStyle(e).color), light(paper)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
})"""


def test_text_in_every_colour_of_both_palettes_can_be_read(run: Any) -> None:
    found = run("""
      const {palette, readable, contrast} = await import('./drawing/theme.js');
      return [false, true].map((dark) => {
        const colours = palette(dark), {paper, ink} = colours;
        const others = Object.values(colours).flat().filter((colour) => colour !== paper);
        return {
          known: [contrast('#000000', '#ffffff'), contrast('#ffffff', '#767676')],
          text: others.map((colour) => contrast(readable(colour, paper), paper)),
          kept: readable(ink, paper) === ink && readable('#0072b2', '#ffffff') === '#0072b2',
        };
      })""")
    for palette in found:
        # the contrasts of black and of this grey with white
        assert palette["known"] == [pytest.approx(21), pytest.approx(4.54, abs=0.005)]
        assert min(palette["text"]) >= 4.5
        assert palette["kept"]


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (0.01, "hardly any"), (0.1, "a tenth"), (0.24, "a quarter"), (0.33, "a third"), (0.52, "half"),
        (0.65, "two thirds"), (310 / 410, "three quarters"), (0.9, "nine tenths"), (0.96, "nearly all"),
        (1.0, "nearly all"),
    ],
)  # fmt: skip
def test_ratios_in_words(run: Any, ratio: float, words: str) -> None:
    assert run("return (await import('./drawing/format.js')).ratioInWords(given)", ratio) == words


@pytest.mark.parametrize(
    ("share", "words"), [(0.1, "10.0 % of the step"), (-1.0, "−100 % of the step"), (-3.24, "−3.2 times the step")]
)
def test_shares_beyond_all_in_words(run: Any, share: float, words: str) -> None:
    assert run("return (await import('./drawing/format.js')).shareInWords(given)", share) == words


def test_votes_that_cancel_are_put_into_words(open_runs: Any) -> None:
    words = {
        1 / 10: "a tenth",
        1 / 5: "a fifth",
        1 / 4: "a quarter",
        1 / 3: "a third",
        2 / 5: "two fifths",
        1 / 2: "half",
    }
    words |= {
        3 / 5: "three fifths",
        2 / 3: "two thirds",
        3 / 4: "three quarters",
        4 / 5: "four fifths",
        9 / 10: "nine tenths",
    }
    page = open_runs({"a": blobs(Y.mean() + np.array([2, 0.7, 0.3, 0.1, 0.05, 0.01])[:, None, None], "constant")})
    cases = set()
    for _ in UPDATES:
        drawn = current_state(page)["votesDrawn"]
        ratio = -drawn["minus"] / drawn["plus"]
        assert drawn["plus"] + drawn["minus"] == pytest.approx(1)
        if drawn["plus"] > 1.5:
            word = "nearly all" if ratio >= 0.95 else words[min(words, key=lambda one: abs(one - ratio))]
            assert drawn["caption"] == f"votes against cancel {word} of those for"
        else:
            assert drawn["caption"] == "for the step or against it; the sum is 100 %"
        cases.add(drawn["caption"])
        page.keyboard.press("ArrowLeft")
    assert len(cases) >= 3


@pytest.mark.parametrize("size", [(1400, 900), (360, 740)])
@pytest.mark.parametrize("model", ["relu", "constant"])
def test_each_vertical_axis_has_a_name_beside_its_numbers(open_runs: Any, model: str, size: tuple[int, int]) -> None:
    values, views = (RELU, ["units"]) if model == "relu" else (THETA, ["parabola", "path"])
    names = {"functionView": "y", "slopeView": "f′", "votes": "share", "loss": "loss"}
    names |= {"units": "slope jump", "parabola": "loss", "path": "θ"}
    page = open_runs({"a": blobs(values, model)}, "#slope=1&step=100")
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.wait_for_timeout(200)
    axes = current_state(page)["axisNames"]
    for view in ["functionView", "slopeView", "votes", "loss", *views]:
        name, numbers = axes[view]["name"], axes[view]["numbers"]
        assert name["name"] == names[view]
        assert numbers
        assert name["left"] >= 0
        for box in numbers:
            apart = name["right"] <= box["left"] or name["left"] >= box["right"]
            assert apart or name["bottom"] <= box["top"] or name["top"] >= box["bottom"], (view, name, box)
    if model == "relu":
        click(page, "[data-value=residual]")
        assert current_state(page)["axisNames"]["votes"]["name"]["name"] == "y − f"


# the list of the runs of a sweep


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    values = drifting_networks(3, 4)
    for name, lr in (
        ("old/2026-01-01_10-00-00", 0.5),
        ("old/2026-01-01_11-00-00", 0.5),
        *((f"sweeps/t/lr-{k}", k / 10) for k in (1, 2, 3)),
    ):
        writer = Writer(folder / name, width=4, lr=lr)
        for s in range(3):
            writer.snapshot(100 * s, values[s])
        writer.close()
        time.sleep(0.02)
    return folder


def test_the_runs_of_a_sweep_are_listed_first(request: pytest.FixtureRequest, sweep: Path) -> None:
    require_browser()
    runs = [f"sweeps/t/lr-{k}" for k in (1, 2, 3)]
    with running_tensorboard(sweep) as address, open_page(request.getfixturevalue("browser")) as page:
        wait_for_runs(address, dict.fromkeys(runs, 200))
        page.goto(f"{address}data/plugin_entry.html?name=reluviz")
        found = wait_for_state(page, "s => s.ready && s.list && s.list.every((row) => row.train)")
        assert found["selected"] == []
        assert found["message"] is None
        assert [(row["run"], row["name"], row["updates"]) for row in found["list"]] == [
            (run, f"lr 0.{k}", "200") for k, run in enumerate(runs, 1)
        ]
        assert [row["train"] for row in found["list"]] == ["0.00498"] * 3
        for size in SIZES:
            page.set_viewport_size({"width": size[0], "height": size[1]})
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert all(page.locator(".run-list .name").nth(i).bounding_box()["x"] >= 0 for i in range(3))
        page.set_viewport_size({"width": 1400, "height": 900})
        # with the keyboard alone: tick the first and the third run, and compare them
        page.locator(".run-list input").first.focus()
        page.keyboard.press("Space")
        for _ in range(4):
            page.keyboard.press("Tab")
        page.keyboard.press("Space")
        page.get_by_role("button", name="Compare 2 runs").focus()
        page.keyboard.press("Enter")
        found = wait_for_state(page, "s => s.ready && s.selected.length === 2 && s.table")
        assert (found["selected"], found["labels"]) == ([runs[0], runs[2]], ["lr 0.1", "lr 0.3"])
        assert found["list"] is None
        page.wait_for_function("location.hash.includes('runs=')")
        # back to the list, and one run opened by its name
        page.get_by_role("button", name="all runs").click()
        wait_for_state(page, "s => s.list !== null")
        page.get_by_role("button", name="lr 0.2", exact=True).press("Enter")
        assert wait_for_state(page, "s => s.ready && s.focus")["selected"] == [runs[1]]
        # the pointer rests on a point while the run goes on
        page.mouse.move(*position_of(page.main_frame, "points", "i", 100))
        before = current_state(page)["tooltip"]
        writer = Writer(sweep / runs[1], width=4, lr=0.2, write_data=False)
        writer.snapshot(300, drifting_networks(3, 4, seed=9)[2])
        writer.close()
        found = wait_for_state(page, "s => s.update === 300")
        assert found["tooltip"][0] == before[0]
        assert value_in(found["tooltip"][1]) == pytest.approx(found["residual"][found["hover"]["point"]], rel=6e-3)
        assert found["tooltip"][1] != before[1]
        # an address that names a run opens it, and a newest run that is single is opened, too
        page.goto("about:blank")
        page.goto(f"{address}data/plugin_entry.html?name=reluviz#runs=old%2F2026-01-01_10-00-00")
        assert wait_for_state(page, "s => s.ready")["selected"] == ["old/2026-01-01_10-00-00"]
        assert page.get_by_role("button", name="all runs").count() == 0
        writer = Writer(sweep / "old/2026-01-01_12-00-00", width=4)
        writer.snapshot(0, drifting_networks(1, 4)[0])
        writer.close()
        wait_for_runs(address, {"old/2026-01-01_12-00-00": 0})
        page.goto("about:blank")
        page.goto(f"{address}data/plugin_entry.html?name=reluviz")
        assert wait_for_state(page, "s => s.ready && s.focus")["focus"] == "old/2026-01-01_12-00-00"


def test_a_page_shows_its_runs_and_no_list(open_runs: Any) -> None:
    page = open_runs({f"sweep/{k}": blobs(RELU, **{"optimizer.lr": k}) for k in (1, 2)})
    found = current_state(page)
    assert (found["list"], found["selected"]) == (None, ["sweep/1", "sweep/2"])
    assert math.isfinite(found["lossTrain"])
