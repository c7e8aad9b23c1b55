"""The playground, opened from a file without a network: settings, links, hidden parts, tasks, a phone."""

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import current_state, open_page, require_browser, wait_for_state

from reluviz.core.functions import mean_squared_error
from reluviz.core.initial_state import initial_state
from reluviz.data.dataset import Dataset
from reluviz.data.samplers import Full, WithReplacement
from reluviz.data.scaling import Scaling
from reluviz.data.targets import piecewise_linear, sine
from reluviz.models.automatic_step import automatic_step
from reluviz.tab import html_file

pytestmark = pytest.mark.long

MAX_BYTES = 260_000
BEFORE_TRAINING = 202_936
"""Bytes of a page without runs before pages could train."""
MORE_BYTES = 60_000
DATA_SETS = {"piecewise_linear": piecewise_linear, "sine": sine}
POINTS = [2.0, 30.0, 4.0, 10.0, 8.0, 20.0, 12.0, 60.0]
"""Own points as x, y, x, y ..."""


class Playground:
    """A page with the playground."""

    def __init__(self, page: Any, file: Path) -> None:
        self.page, self.address = page, file.as_uri()

    def open(self, link: str = "") -> dict[str, Any]:
        """Load the page with a link, and return its state."""
        self.page.goto("about:blank")
        self.page.goto(self.address + link)
        return wait_for_state(self.page, "s => s.ready")

    def follow(self, link: str) -> dict[str, Any]:
        """Change the address of the open page, and return its state. This is quicker than `open`."""
        changed = "new Promise(resolve => addEventListener('hashchange', () => setTimeout(resolve), {once: true}))"
        code = f"link => {{ const changed = {changed}; location.hash = link; return changed; }}"
        self.page.evaluate(code, link)
        self.page.evaluate("window.reluvizPlayground.followed()")
        return wait_for_state(self.page, "s => s.ready")

    def link(self) -> str:
        """Return what the address holds, after it was saved."""
        current_state(self.page)
        self.page.wait_for_timeout(400)
        return "#" + str(self.page.url).partition("#")[2]

    def control(self, label: str) -> Any:
        """Return the input of a setting."""
        return self.page.locator(f'label[data-setting] > [aria-label="{label}"]')

    def select(self, label: str, value: str) -> dict[str, Any]:
        """Choose from a list with the keyboard's means, and return the state."""
        self.control(label).select_option(value)
        return self.settled()

    def enter(self, label: str, value: str) -> dict[str, Any]:
        """Enter a number, and return the state."""
        field = self.control(label)
        field.fill(value)
        field.press("Enter")
        return self.settled()

    def press(self, name: str) -> dict[str, Any]:
        """Press a button, and return the state."""
        self.page.get_by_role("button", name=name, exact=True).click()
        return self.settled()

    def settled(self) -> dict[str, Any]:
        """Return the state after a change that may need a moment."""
        self.page.wait_for_timeout(30)
        return current_state(self.page)

    def train(self, updates: int) -> dict[str, Any]:
        """Make at least so many updates with the space bar, and return the state."""
        self.page.evaluate("document.activeElement?.blur()")
        self.page.keyboard.press("Space")
        wait_for_state(self.page, f"s => s.update >= {updates}")
        self.page.keyboard.press("Space")
        return wait_for_state(self.page, "s => !s.training")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("playground") / "playground.html"
    path.write_text(html_file.playground(), "utf-8")
    return path


@pytest.fixture
def playground(request: pytest.FixtureRequest, file: Path) -> Iterator[Playground]:
    require_browser()
    with open_page(request.getfixturevalue("browser"), offline=True) as page:
        requested: list[str] = []
        page.on("request", lambda made: requested.append(made.url))
        yield Playground(page, file)
        assert all(url.startswith("file:") for url in requested), requested


def settings_of(state: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the branch in focus."""
    (branch,) = [one for one in state["branches"] if one["name"] == state["focus"]]
    return dict(branch["settings"])


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two states show the same branches, bit for bit."""
    keys = ("name", "update", "settings", "edits", "net", "lossTrain", "lossTest", "points")
    return [[branch[key] for key in keys] for branch in one["branches"]] == [
        [branch[key] for key in keys] for branch in other["branches"]
    ]


def test_the_pages_are_small() -> None:
    assert len(html_file.playground().encode()) <= MAX_BYTES
    assert len(html_file.html({}).encode()) <= BEFORE_TRAINING + MORE_BYTES


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"width": 7, "elbows": "even", "seed": 3},
        {"width": 5, "elbows": "at_data", "data": "sine", "n": 33, "data_seed": 4},
        {"elbows": "torch", "seed": 2**32 - 1, "noise": 0},
        {"model": "linear", "n": 50},
        {"model": "constant", "noise": 0.5},
    ],
    ids=str,
)
def test_the_start_of_an_address_is_pythons(playground: Playground, given: dict[str, Any]) -> None:
    found = playground.open("#" + "&".join(f"{key}={value}" for key, value in given.items()))
    assert (found["update"], found["selected"], found["message"]) == (0, ["branch 1"], None)
    assert found["trainingMessage"] == ""
    full = {"model": "relu", "width": 20, "elbows": "uniform", "data": "piecewise_linear", "n": 200, "noise": 0.1}
    full |= {"data_seed": 1, "seed": 0} | given
    data = DATA_SETS[full["data"]](n=full["n"], noise=full["noise"], seed=full["data_seed"])
    model = full["model"]
    if model != "relu":
        assert found["net"] == {"theta": 0}
        np.testing.assert_array_equal(found["residual"], -data.y)
        return
    start = initial_state(full["width"], full["elbows"], full["seed"], data.domain, None, data.x, "float64")
    for key, name in {"w": "input_slope", "b": "bias", "v": "output_weight", "c": "output_bias"}.items():
        np.testing.assert_array_equal(found["net"][key], np.squeeze(start[name]) if key == "c" else start[name])
    parameters = {name: np.asarray(value, dtype=np.float64)[None] for name, value in start.items()}
    wanted = mean_squared_error("relu", parameters, data.x, data.y)[0]
    assert found["lossTrain"] == pytest.approx(float(np.squeeze(wanted)), rel=1e-12)


def test_the_space_bar_trains_and_a_reload_repeats_it_bit_for_bit(playground: Playground) -> None:
    playground.open()
    first = playground.train(3000)
    assert first["lossTrain"] < 0.37
    link = playground.link()
    assert re.fullmatch(r"#branches=[\w.-]{2,12}", link)
    assert same(playground.open(link), first)
    # and goes on as one that was never stopped
    goes_on = playground.press("1 update")
    assert goes_on["update"] == first["update"] + 1
    assert same(playground.open(playground.link()), goes_on)


CONTROLS = {
    "model": ("model", "linear"),
    "width": ("units", 9),
    "elbows": ("elbows at the start", "even"),
    "data": ("data", "sine"),
    "n": ("points", 33),
    "noise": ("noise", 0.25),
    "data_seed": ("data seed", 6),
    "seed": ("seed", 8),
    "train": ("trained", "output"),
    "optimizer": ("optimiser", "adam"),
    "lr": ("step size", 0.005),
    "sampler": ("batches", "epoch"),
    "batch": ("batch size", 7),
}


@pytest.mark.parametrize("key", CONTROLS)
def test_a_control_changes_its_setting_and_the_address(playground: Playground, key: str) -> None:
    label, value = CONTROLS[key]
    playground.open()
    found = playground.select(label, value) if isinstance(value, str) else playground.enter(label, str(value))
    assert settings_of(found)[key] == value
    # before the first update it is a setting of the start: neither a change nor a control branch
    assert [(branch["name"], branch["edits"], branch["update"]) for branch in found["branches"]] == [
        ("branch 1", [], 0)
    ]
    link = playground.link()
    assert f"{key}={value}" in link[1:].split("&")
    assert same(playground.open(link), found)
    assert same(playground.open(f"#{key}={value}"), found)


def test_momentum_has_a_control_where_there_is_one(playground: Playground) -> None:
    playground.open()
    assert not playground.control("momentum").is_visible()
    assert settings_of(playground.select("optimiser", "momentum"))["momentum"] == 0.9
    assert settings_of(playground.enter("momentum", "0.5"))["momentum"] == 0.5
    # the step size of another kind of optimiser is its own
    assert settings_of(playground.select("optimiser", "adam"))["lr"] == 0.001
    assert settings_of(playground.select("model", "constant"))["lr"] == 0.001
    assert settings_of(playground.select("optimiser", "sgd"))["lr"] == 0.1


@pytest.mark.parametrize(("label", "text"), [("units", "0"), ("units", "2.5"), ("points", "2001"), ("step size", "-1")])
def test_a_value_that_is_none_is_refused_in_words(playground: Playground, label: str, text: str) -> None:
    before = playground.open()
    found = playground.enter(label, text)
    assert re.search(rf"^{label}: a (whole )?number .*is needed\.$", found["trainingMessage"])
    assert same(found, before)


def test_a_live_setting_changes_a_run_that_trains(playground: Playground) -> None:
    playground.open()
    playground.train(50)
    found = playground.enter("step size", "0.1")
    assert [branch["name"] for branch in found["branches"]] == ["branch 1", "control 1"]
    assert found["branches"][0]["edits"][0]["kind"] == "l"
    after = playground.train(found["update"] + 50)
    assert same(playground.open(playground.link()), after)


def test_another_setting_begins_anew_and_kept_runs_stay(playground: Playground) -> None:
    playground.open()
    playground.train(100)
    assert playground.select("optimiser", "momentum")["update"] == 0
    playground.train(100)
    playground.press("Keep")
    found = playground.select("optimiser", "adam")
    assert [(branch["name"], branch["settings"]["optimizer"]) for branch in found["branches"]] == [
        ("branch 1", "momentum"),
        ("branch 2", "adam"),
    ]
    assert (found["focus"], found["update"]) == ("branch 2", 0)
    trained = playground.train(60)
    link = playground.link()
    assert {"optimizer=momentum", "2.optimizer=adam", "2.lr=0.001", "kept=1"} <= set(link[1:].split("&"))
    again = playground.open(link)
    assert same(again, trained)
    assert again["focus"] == "branch 2"
    # the next run takes the place of the one that is not kept
    assert [branch["name"] for branch in playground.press("New seed")["branches"]] == ["branch 1", "branch 2"]
    assert settings_of(playground.press("New seed"))["seed"] == 2


def test_a_restart_goes_back_with_the_settings_that_are_shown(playground: Playground) -> None:
    playground.open()
    playground.train(50)
    playground.enter("step size", "0.1")
    playground.enter("noise", "0.2")
    found = playground.press("Restart")
    assert [(branch["name"], branch["update"], branch["edits"]) for branch in found["branches"]] == [
        ("branch 1", 0, [])
    ]
    assert (settings_of(found)["lr"], settings_of(found)["noise"]) == (0.1, 0.2)
    assert same(playground.open("#lr=0.1&noise=0.2"), found)


def own_points(playground: Playground) -> str:
    """Return the address's form of POINTS, from the page's own encoder."""
    playground.open()
    playground.page.evaluate("points => window.reluvizPlayground.loadPoints(points)", POINTS)
    (found,) = re.findall(r"points=[^&]*", playground.link())
    return str(found)


def test_own_points_of_an_address_are_scaled_as_python_scales_them(playground: Playground) -> None:
    text = own_points(playground)
    found = playground.open(f"#data=own&width=6&{text}")
    x, y = np.array(POINTS[::2]), np.array(POINTS[1::2])
    scale = Scaling.of(x, y)
    start = initial_state(6, "uniform", 0, (0.0, 1.0), None, x, "float64")
    np.testing.assert_array_equal(found["branches"][0]["net"]["w"], start["input_slope"])
    np.testing.assert_array_equal(found["branches"][0]["net"]["b"], start["bias"])
    np.testing.assert_allclose(found["net"]["w"], start["input_slope"] / scale.x_scale, rtol=1e-15)
    assert (found["lossTest"], settings_of(found)["batch"], len(found["residual"])) == (None, 4, 4)
    trained = playground.train(200)
    link = playground.link()
    assert {"data=own", text} <= set(link[1:].split("&"))
    assert same(playground.open(link), trained)


@pytest.mark.parametrize(
    ("model", "sampler"), [("linear", "full"), ("constant", "full"), ("linear", "with_replacement")]
)
def test_own_points_choose_the_step_size_of_one_parameter(playground: Playground, model: str, sampler: str) -> None:
    text = own_points(playground)
    found = settings_of(playground.open(f"#model={model}&data=own&sampler={sampler}&batch=2&{text}"))
    x, y = np.array(POINTS[::2]), np.array(POINTS[1::2])
    data = Dataset("own", x, y, domain=(x[0], x[-1]), scale="auto")
    draws = Full() if sampler == "full" else WithReplacement(2)
    step = automatic_step(model, data, draws, {"_target_": "torch.optim.SGD"})
    assert step is not None
    assert found["lr"] == float(f"{step:.3g}")
    assert settings_of(playground.open(f"#model={model}&data=own&lr=0.001&{text}"))["lr"] == 0.001


def test_the_choice_of_own_points_begins_with_a_few_of_the_shown_ones(playground: Playground) -> None:
    playground.open()
    found = playground.select("data", "own")
    assert (len(found["residual"]), settings_of(found)["data"]) == (10, "own")
    assert len(playground.link()) < 400
    assert same(playground.open(playground.link()), found)


def test_an_address_with_damaged_points_begins_with_a_few(playground: Playground) -> None:
    playground.open()
    for text in ("", "&points=x", "&points=%00", "&points=wB", "&points=1e999"):
        found = playground.follow(f"#data=own{text}")
        assert (settings_of(found)["data"], len(found["residual"])) == ("own", 10)


def test_hostile_addresses_break_nothing(playground: Playground) -> None:
    playground.open()
    draw = random.Random(5)
    keys = [*CONTROLS, "task", "points", "branches", "kept", "pace", "2.lr", "99.seed", "unit", "step", "__proto__"]
    values = ["-1", "1e400", "NaN", "<img src=x onerror=alert(1)>", "%E0%A4%A", "__proto__", "constructor", "7", "null"]
    values += ["1Bf_J", "1Bf_99999", "1Bfw_A", "1BF_", "1" * 3000, "0x10", "%3Cscript%3E", "own", "1e7"]
    for _ in range(60):
        link = "&".join(f"{draw.choice(keys)}={draw.choice(values)}" for _ in range(draw.randrange(1, 9)))
        found = playground.follow(f"#{draw.random()}&{link}")
        assert found["canTrain"]
        assert found["net"] is not None
    assert playground.page.evaluate("({}).lr") is None


# hidden parts


def parts(playground: Playground) -> list[dict[str, str]]:
    """Return all parts that an address can hide."""
    found: list[dict[str, str]] = playground.page.evaluate("window.reluvizPlayground.parts")
    return found


def test_each_part_can_be_hidden(playground: Playground) -> None:
    playground.open()
    found = parts(playground)
    assert len({part["key"] for part in found}) == len(found)
    shown = """selector => {
        const elements = [...document.querySelectorAll(selector)];
        return [elements.length, elements.filter((one) => getComputedStyle(one).display !== "none").length];
    }"""
    for part in found:
        playground.follow(f"#{part['key']}_hide=true")
        count, visible = playground.page.evaluate(shown, part["selector"])
        assert count >= 1, part
        assert visible == 0, part
    assert f"{found[-1]['key']}_hide=true" in playground.link()
    playground.open("#" + "&".join(f"{part['key']}_hide=true" for part in found))
    assert playground.train(20)["update"] >= 20


def test_the_state_of_each_control_that_is_no_setting_is_in_the_address(playground: Playground) -> None:
    playground.open()
    page = playground.page
    page.get_by_label("Updates a second").select_option("100")
    for name in ("control", "truth", "least squares", "v·relu(wx+b)", "linear", "norm", "slope f′", "1×"):
        page.get_by_role("button", name=name, exact=True).click()
    link = playground.link()
    wanted = {"pace=100", "control=off", "truth=off", "least_squares=on", "relus=scaled", "scale=linear", "votes=norm"}
    assert wanted | {"slope=1", "speed=2"} <= set(link[1:].split("&"))
    playground.open(link)
    assert playground.link() == link


def test_a_link_for_students_hides_and_shows_what_was_ticked(playground: Playground) -> None:
    playground.open("#width=12&lr=0.05")
    playground.train(30)
    page = playground.page
    page.get_by_role("button", name="Use it in class").click()
    dialog = page.get_by_role("dialog", name="A link for students")
    dialog.get_by_label("optimiser", exact=True).uncheck()
    dialog.get_by_label("votes", exact=True).uncheck()
    dialog.get_by_label("Task of the link").select_option("optimizers")
    link = dialog.get_by_label("Link for students").input_value().partition("#")[2]
    assert {"optimizer_hide=true", "votes_panel_hide=true", "task=optimizers", "lr=0.05", "width=12"} <= set(
        link.split("&")
    )
    assert "branches" not in link
    found = playground.open(f"#{link}")
    assert (found["update"], settings_of(found)["width"], settings_of(found)["noise"]) == (0, 12, 0.1)
    assert not playground.control("optimiser").is_visible()
    assert page.locator(".task").is_visible()


# tasks


def tasks(playground: Playground) -> dict[str, Any]:
    """Return all tasks."""
    playground.open()
    found: dict[str, Any] = playground.page.evaluate("window.reluvizPlayground.tasks")
    return found


def test_each_task_opens_with_its_settings_and_names_what_is_on_the_page(playground: Playground) -> None:
    page = playground.page
    for name, task in tasks(playground).items():
        found = playground.follow(f"#task={name}")
        assert {key: settings_of(found)[key] for key in task["settings"]} == task["settings"], name
        card = page.locator(".task")
        assert card.is_visible()
        assert card.locator("h3").inner_text() == task["question"]
        assert len(task["steps"]) in (2, 3)
        # at full pace a press of the button comes some ten thousand updates late
        paced = page.get_by_label("Updates a second").input_value() == "10000"
        assert paced == ("“Pause” after some" in "".join(task["steps"])), name
        text = page.locator("body").inner_text() + "".join(page.locator("button, label, h2").all_inner_texts())
        for named in re.findall("“([^”]+)”", " ".join([*task["steps"], task["look"]])):
            if named not in ("Pause", "control 1"):
                assert named.replace("\u202f", " ") in text.replace("\u202f", " "), (name, named)
        card.get_by_role("button", name="Close the task").click()
        card.wait_for(state="hidden")
    assert "task=" not in playground.link()


def test_a_task_of_the_list_begins_anew(playground: Playground) -> None:
    playground.open("#width=3")
    playground.train(20)
    playground.page.get_by_role("combobox", name="Task", exact=True).select_option("linear_single")
    found = playground.settled()
    assert (found["update"], found["model"], settings_of(found)["batch"]) == (0, "linear", 1)
    assert playground.page.get_by_text("Which points move θ far").is_visible()
    assert same(playground.open(playground.link()), found)


def test_an_unknown_task_is_none(playground: Playground) -> None:
    playground.open()
    for name in ("nothing", "constructor", "<b>x</b>"):
        playground.follow(f"#task={name}")
        assert not playground.page.locator(".task").is_visible()


# docs/links.md


LINKS = (Path(__file__).parents[2] / "docs" / "links.md").read_text(encoding="utf-8")


def test_the_page_of_links_lists_all_keys_parts_and_tasks(playground: Playground) -> None:
    sections = {part.partition("\n")[0]: part for part in LINKS.split("\n## ")}
    listed = re.findall(
        r"^\| \[`(\w+)`\]\(playground\.html#task=(\w+)\) \| (.+?) \| (.+?) \|$", sections["Tasks"], re.M
    )
    found = tasks(playground)
    assert [name for name, _, _, _ in listed] == list(found)
    assert listed == [(name, name, task["title"], task["question"]) for name, task in found.items()]
    keys = re.findall(r"^\| `(\w+)` \|", sections["Settings"], re.M)
    assert sorted(keys) == sorted([*CONTROLS, "momentum", "points"])
    hidden = set(re.findall(r"`(\w+)`", sections["Hiding"].partition("| hides |")[2]))
    assert hidden | {*CONTROLS, "momentum"} == {part["key"] for part in parts(playground)}
    # and of each key that the page writes by itself
    view = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.+?) \|", sections["The view"], re.M))))
    written = set(playground.page.evaluate("Object.keys(window.reluvizPlayground.values())")) - {
        "parents",
        "runs",
        "replica",
    }
    assert written - {"task", *CONTROLS, "momentum", "points"} <= view


def test_each_link_of_the_page_of_links_opens(playground: Playground) -> None:
    links = re.findall(r"\]\(playground\.html(#[^)]*)\)", LINKS)
    assert len(links) > 20
    playground.open("#seed=99")
    for link in links:
        found = playground.follow(link)
        assert found["trainingMessage"] == ""
        settings = settings_of(found)
        for key, value in (pair.split("=") for pair in link[1:].split("&")):
            if key in CONTROLS:
                assert str(settings[key]) == value, link
            else:
                assert key == "task" or key.endswith("_hide") or f"{key}={value}" in playground.link() or key == "theme"


# a phone, dark, large screens


@pytest.mark.parametrize("link", ["", "#task=optimizers", "#model=linear", "#task=own_data"])
@pytest.mark.parametrize("width", [360, 768])
def test_a_narrow_page_does_not_scroll_sideways(playground: Playground, width: int, link: str) -> None:
    playground.page.set_viewport_size({"width": width, "height": 740})
    playground.open(link)
    playground.page.locator("details").evaluate("one => { one.open = true; }")
    playground.train(20)
    beyond = playground.page.evaluate(
        """() => [...document.querySelectorAll("body *")]
            .filter((one) => one.checkVisibility() && !one.closest(".unseen"))
            .filter((one) => one.getBoundingClientRect().right > window.innerWidth + 1)
            .map((one) => one.outerHTML.slice(0, 90))"""
    )
    assert beyond == []
    assert playground.page.evaluate("document.documentElement.scrollWidth") <= width
