"""How the page looks and behaves in small and large windows: nothing is cut, controls fold, work can be stopped."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import STATIC, current_state, javascript_modules, open_page, require_browser, wait_for_state

from reluviz.core.functions import PARAMETERS
from reluviz.data.targets import piecewise_linear
from reluviz.tab import html_file, wire_format

pytestmark = pytest.mark.long

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
SIZES = {"phone": (360, 740), "laptop": (1280, 720), "desktop": (1400, 900), "4K": (3840, 2160)}
LEAST_TARGET = 32
"""Pixels that a finger needs."""
MIN_CONTRAST = 4.5
"""WCAG 2.1, 1.4.3."""
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
MOST_UPDATES = 20_000_000
TRAINED_BY_PAGE = {
    "optimizer": "torch.optim.SGD",
    "optimizer.lr": 0.02,
    "sampler": "reluviz.data.WithReplacement",
    "sampler.batch_size": 10,
    "data": "piecewise_linear",
    "data.n": 40,
    "data.noise": 0.1,
    "data.seed": 1,
}
RECORD_TEXTS = """
window.cutTexts = new Set();
const fillText = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
  const { a, b, e } = this.getTransform(), { width } = this.measureText(text);
  const begin = x - { left: 0, right: width, center: width / 2 }[this.textAlign];
  // names of axes are rotated
  const isCut = b === 0 && (a * begin + e < -0.5 || a * (begin + width) + e > this.canvas.width + 0.5);
  if (isCut) window.cutTexts.add(text);
  return fillText.call(this, text, x, y);
};
"""
"""Remembers each text on a canvas that begins or ends beyond it."""


def count_text(value: int) -> str:
    """Return a count as trainer/link.js writes it: 5 bits a character, the lowest first."""
    text = ""
    while value > 31:
        text += ALPHABET[32 + value % 32]
        value //= 32
    return text + ALPHABET[value]


def run_page(model: str = "relu", replicas: int = 1, theta: float = 1.0, y_scale: float = 1.0, **settings: Any) -> str:
    """A page with one run, with snapshots at the updates 0 and 1000."""
    data, width = piecewise_linear(n=40), 5
    fields = [[name, width if name in ("input_slope", "bias", "output_weight") else 1] for name in PARAMETERS[model]]
    values = np.random.default_rng(3).normal(size=(2, replicas, sum(count for _, count in fields))) * theta
    header = {"model": model, "name": "piecewise linear", "domain": [0, 1], "trained": list(PARAMETERS[model])}
    header |= {"seeds": list(range(replicas)), "dtype": "float32", "settings": TRAINED_BY_PAGE | settings}
    points = {"y": data.y, "target": data.target(data.x), "y_test": data.y_test}
    arrays = {"x": data.x, "x_test": data.x_test, **{name: y_scale * value for name, value in points.items()}}
    updates = np.array([0.0, 1000.0])
    blobs = {
        "data": wire_format.encode({**arrays, "recorded": np.arange(40, dtype=np.int32)}, **header),
        "params": wire_format.encode({"update": updates, "wall": updates, "values": values}, fields=fields),
    }
    return html_file.html({"run": blobs})


@pytest.fixture
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """`opened(html, link, **context)` opens a page from a file; errors that it reports fail the test."""
    require_browser()
    browser = request.getfixturevalue("browser")
    pages = []

    def opened(html: str, link: str = "", ready: bool = True, **context: Any) -> Any:
        file = tmp_path / f"page_{len(pages)}.html"
        file.write_text(html, "utf-8")
        pages.append(open_page(browser, **context))
        view = pages[-1].__enter__()
        view.add_init_script(RECORD_TEXTS)
        view.goto(f"{file.as_uri()}{link}")
        if ready:
            wait_for_state(view, "s => s.ready")
        return view

    yield opened
    for one in pages:
        one.__exit__(None, None, None)


def heights(view: Any, selector: str) -> dict[str, float]:
    """Return the height of each visible element by its text."""
    found: list[tuple[str, float]] = view.locator(selector).evaluate_all(
        """all => all.filter((one) => one.checkVisibility()).map((one) =>
            [one.textContent || one.getAttribute("aria-label"), one.getBoundingClientRect().height])"""
    )
    return dict(found)


# the bar on a phone


@pytest.mark.parametrize("kind", ["playground", "run"])
def test_the_bar_folds_on_a_phone(opened: Any, kind: str) -> None:
    view = opened(html_file.playground() if kind == "playground" else run_page(), **PHONE)
    bar, more = view.locator(".train-bar"), view.locator(".train-bar .more")
    assert bar.bounding_box()["height"] <= 92
    for name in ("Python", "Share", "control"):
        assert not view.get_by_role("button", name=name, exact=True).is_visible()
    view.get_by_role("button", name="1 update", exact=True).tap()
    wait_for_state(view, "s => s.branches.length && s.branches[0].update === s.branches[0].from + 1")
    step_size = bar.get_by_label("step size")
    step_size.fill("0.1")
    step_size.press("Enter")
    wait_for_state(view, "s => s.branches[0].settings.lr === 0.1")
    assert bar.bounding_box()["height"] <= 92
    assert view.get_by_role("button", name="Undo", exact=True).is_visible()
    assert min(heights(view, ".train-bar :is(button, input, select)").values()) >= LEAST_TARGET
    assert (more.inner_text(), more.get_attribute("aria-expanded")) == ("more", "false")
    more.tap()
    current_state(view)
    assert (more.inner_text(), more.get_attribute("aria-expanded")) == ("less", "true")
    for name in ("Python", "Share", "control"):
        assert view.get_by_role("button", name=name, exact=True).is_visible()
    assert min(heights(view, ".train-bar :is(button, input, select)").values()) >= LEAST_TARGET
    # and by keys
    more.focus()
    view.keyboard.press("Enter")
    current_state(view)
    assert more.get_attribute("aria-expanded") == "false"
    view.get_by_role("button", name="Undo", exact=True).tap()
    assert wait_for_state(view, "s => s.branches[0].edits.length === 0")


def test_the_panels_of_a_phone_are_within_its_window(opened: Any) -> None:
    view = opened(html_file.playground(), **PHONE)
    view.locator(".more").tap()
    for name in ("Use it in class", "Data", "Python", "Share"):
        view.get_by_role("button", name=name, exact=True).tap()
        current_state(view)
        box = view.locator(".popover:not([hidden])").bounding_box()
        assert box["x"] >= 0, name
        assert box["x"] + box["width"] <= 360, name
        view.keyboard.press("Escape")


@pytest.mark.parametrize("kind", ["playground", "run"])
def test_the_time_bar_of_a_phone_has_room_for_many_updates(opened: Any, kind: str) -> None:
    view = opened(html_file.playground() if kind == "playground" else run_page(), **PHONE)
    boxes = view.evaluate("""() => {
        const where = document.querySelector(".where"), text = document.createRange();
        where.textContent = "update 20\u202f000\u202f000";
        text.selectNodeContents(where);
        const parts = [...document.querySelectorAll(".time > :not([hidden])")].filter((one) => one.checkVisibility());
        const others = parts.filter((one) => !one.contains(where));
        return [text, ...others].map((one) => one.getBoundingClientRect().toJSON());
    }""")
    text, *others = boxes
    assert all(box["bottom"] <= 740 and box["right"] <= 360 for box in boxes)
    for box in others:
        beside = box["right"] <= text["left"] or box["left"] >= text["right"]
        assert beside or box["bottom"] <= text["top"] or box["top"] >= text["bottom"], (text, box)
    title, theme = (view.locator(one).bounding_box() for one in (".bar .model", ".bar .theme"))
    assert theme["y"] < title["y"] + title["height"]


def test_a_wide_window_has_the_whole_bar(opened: Any) -> None:
    view = opened(html_file.playground())
    assert not view.locator(".more").is_visible()
    for name in ("Python", "Share", "control"):
        assert view.get_by_role("button", name=name, exact=True).is_visible()


# long repetitions


def test_a_long_repetition_is_stopped_and_stays_as_a_branch(opened: Any) -> None:
    view = opened(html_file.playground(), f"#width=50&branches=1Bf_{count_text(MOST_UPDATES)}", ready=False)
    stop = view.get_by_role("button", name="Stop", exact=True)
    stop.click()
    state = wait_for_state(view, "s => s.ready && s.trainingMessage.startsWith('Stopped')")
    assert not stop.is_visible()
    (branch,) = state["branches"]
    grouped = [f"{n:,}".replace(",", "\u202f") for n in (branch["update"], MOST_UPDATES)]
    assert state["trainingMessage"] == f"Stopped at update {grouped[0]} of {grouped[1]}."
    assert 0 < branch["update"] < MOST_UPDATES
    # an ordinary branch: its link has these updates, and it trains on
    view.wait_for_timeout(400)
    assert f"branches=1Bf_{count_text(branch['update'])}" in view.url
    view.get_by_role("button", name="1 update", exact=True).click()
    assert wait_for_state(view, f"s => s.branches[0].update === {branch['update']} + 1")["trainingMessage"] == ""


def test_a_repetition_for_another_branch_is_stopped_before_it_trains(opened: Any) -> None:
    view = opened(html_file.playground(), f"#width=50&branches=1Bf_{count_text(MOST_UPDATES)}", ready=False)
    stop = view.get_by_role("button", name="Stop", exact=True)
    stop.wait_for()
    # long enough for the second repetition, up to an earlier snapshot, to be stopped as well
    view.wait_for_timeout(2500)
    stop.click()
    first = wait_for_state(view, "s => s.ready && s.trainingMessage.startsWith('Stopped')")
    view.keyboard.press("ArrowLeft")
    wanted = current_state(view)["update"]
    view.get_by_role("button", name="Train on from here").click()
    stop.click()
    state = wait_for_state(view, "s => s.branches.length === 2")
    assert state["branches"][0]["update"] == first["branches"][0]["update"]
    reached = state["branches"][1]["update"]
    assert (state["focus"], state["training"], state["update"]) == ("branch 2", False, reached)
    assert 0 < reached < wanted < first["update"]
    assert re.sub("\u202f", "", state["trainingMessage"]) == f"Stopped at update {reached} of {wanted:.0f}."


# runs that the page cannot train


def test_python_and_share_stay_where_the_page_cannot_train(opened: Any) -> None:
    view = opened(run_page(replicas=3))
    assert not current_state(view)["canTrain"]
    assert view.get_by_text("The page cannot train this run: it has 3 replicas").is_visible()
    for name in ("1 update", "Data", "control"):
        assert not view.get_by_role("button", name=name, exact=True).is_visible()
    view.get_by_role("button", name="Python", exact=True).click()
    panel = view.get_by_role("dialog", name="Back to Python")
    reason = "because the page cannot train it: it has 3 replicas, and the page trains one at a time."
    assert panel.locator(".note").first.inner_text().endswith(reason)
    panel.get_by_role("button", name="start", exact=True).click()
    current_state(view)
    assert '"0.weight": [[' in panel.get_by_label("Text for Python").input_value()
    panel.get_by_role("button", name="points", exact=True).click()
    state = current_state(view)
    lines = panel.get_by_label("Text for Python").input_value().split()
    assert lines[0] == "x,y"
    assert [float(line.split(",")[1]) for line in lines[1:]] == state["y"]
    view.keyboard.press("Escape")
    view.get_by_role("button", name="Share", exact=True).click()
    current_state(view)
    assert view.get_by_label("Link", exact=True).input_value().startswith("file:")


# texts


def test_whole_numbers_have_one_style(request: pytest.FixtureRequest) -> None:
    for path in STATIC.rglob("*.js"):
        assert "toLocale" not in path.read_text(encoding="utf-8"), path
    with javascript_modules(request.getfixturevalue("browser"), "core/count") as run:
        found = run("return given.map(count.count)", [0, 999, 1000, 12345, 4294967295, -1000])
    assert found == ["0", "999", "1\u202f000", "12\u202f345", "4\u202f294\u202f967\u202f295", "-1\u202f000"]
    with javascript_modules(request.getfixturevalue("browser"), "drawing/format") as run:
        found = run("return given.map((value) => format.number(value, 7))", [2015, -12345.67, 99999.99, 0.5])
        assert found == ["2015", "−12\u202f345.67", "99\u202f999.99", "0.5"]
        found = run("return given.map(format.percent)", [12.84, -11.84, 1.206, -0.2])
        assert found == ["1\u202f284 %", "−1\u202f184 %", "121 %", "−20.0 %"]


def test_compared_runs_have_the_words_of_the_controls(opened: Any) -> None:
    view = opened(html_file.playground(), "#lr=0.05")
    view.get_by_role("button", name="Keep", exact=True).click()
    for label, value in (("batches", "epoch"), ("optimiser", "momentum")):
        view.locator(f'[data-setting] > [aria-label="{label}"]').select_option(value)
        current_state(view)
    field = view.locator("[data-setting=lr] input")
    field.fill("0.3")
    field.press("Enter")
    state = wait_for_state(view, "s => s.labels.length === 2 && s.labels[1].includes('0.3')")
    assert [label.replace("\u00a0", " ") for label in state["labels"]] == [
        "optimiser SGD, step size 0.05, batches random points",
        "optimiser momentum, step size 0.3, batches shuffled epochs",
    ]
    with javascript_modules(view.context.browser, "drawing/format") as run:
        found = run("return format.shortenLabel(given, 40)", state["labels"][1])
    assert found == "momentum, 0.3, shuffled epochs"


def test_a_long_value_of_the_inspector_wraps(opened: Any) -> None:
    view = opened(html_file.playground(), "#model=linear&lr=1.4")
    place = current_state(view)["places"]["points"][190]
    view.mouse.click(place["x"], place["y"])
    for _ in range(8):
        view.get_by_role("button", name="1 update", exact=True).click()
        current_state(view)
    view.get_by_text("times the step").wait_for()
    beyond = view.locator(".box dl > div").evaluate_all(
        "all => all.filter((one) => one.scrollWidth > one.clientWidth).length"
    )
    assert beyond == 0


@pytest.mark.parametrize("size", SIZES)
def test_no_text_of_a_drawing_is_cut(opened: Any, size: str) -> None:
    width, height = SIZES[size]
    context = {"viewport": {"width": width, "height": height}}
    pages = [
        opened(html_file.playground(), "#least_squares=on&slope=1&task=optimizers", **context),
        # near the optimum, where the shares are large
        opened(html_file.playground(), "#model=linear&lr=1.4", **context),
        opened(run_page("linear", y_scale=1.234567e-5, theta=1e-5), **context),
        opened(run_page(replicas=3, y_scale=123456), "#slope=1", **context),
    ]
    for view in pages:
        view.get_by_role("button", name="references", exact=True).evaluate("one => one.click()")
        current_state(view)
        if current_state(view)["canTrain"]:
            for _ in range(4):
                view.get_by_role("button", name="1 update", exact=True).click()
                current_state(view)
            wait_for_state(view, "s => s.branches[0]?.update >= s.branches[0].from + 4")
    playground = pages[0]
    playground.locator("[data-part=keep]").evaluate("one => one.click()")
    current_state(playground)
    playground.locator("[data-setting=optimizer] select").evaluate(
        "one => { one.value = 'nesterov'; one.dispatchEvent(new Event('change')); }"
    )
    assert len(wait_for_state(playground, "s => s.selected.length === 2")["labels"]) == 2
    for view in pages:
        current_state(view)
        assert view.evaluate("[...window.cutTexts]") == []


def test_texts_have_enough_contrast(request: pytest.FixtureRequest) -> None:
    style = (STATIC / "style.css").read_text(encoding="utf-8")
    with javascript_modules(request.getfixturevalue("browser"), "drawing/theme") as run:
        code = """
          const colours = theme.palette(given), text = Object.entries(colours).flatMap(([name, value]) =>
            (name === "paper" ? [] : Array.isArray(value) ? value : [value]));
          return text.map((one) => theme.contrast(theme.readable(one, colours.paper), colours.paper));"""
        for dark in (False, True):
            assert min(run(code, dark)) >= MIN_CONTRAST
        for selector in (":root {", ":root.dark {"):
            block = style.partition(selector)[2].partition("}")[0]
            colours = dict(re.findall(r"--([\w-]+): (#\w{6});", block))
            # what each colour of a text lies on
            grounds = {"ink": ("paper", "ground", "press", "what-if"), "soft": ("paper", "ground", "press", "what-if")}
            grounds |= {"bad": ("paper",), "live": ("paper", "ground")}
            for text, below in grounds.items():
                for ground in below:
                    found = run("return theme.contrast(...given)", [colours[text], colours[ground]])
                    assert found >= MIN_CONTRAST, (selector, text, ground, found)
