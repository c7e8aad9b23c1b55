"""The state of the page in its address and in files: it reopens exactly, and hostile texts do no harm."""

import random
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import current_state, javascript_modules, open_page, require_browser, wait_for_state

from reluviz import load_run
from reluviz.__main__ import main
from reluviz.analysis import notebook
from reluviz.analysis.payload import payload
from reluviz.tab import html_file

pytestmark = pytest.mark.long

LONGEST_LINK = 3000
SHOWN = ("selected", "focus", "update", "following", "unit", "point", "scale", "mode", "measure", "whatIf", "net")
"""What two pages in the same state agree in, beside their branches."""
UNITS, POINTS = 6, 60


@pytest.fixture(scope="module")
def javascript(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    require_browser()
    modules = ("trainer/link", "trainer/edits", "app/address")
    with javascript_modules(request.getfixturevalue("browser"), *modules) as run:
        yield run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two short runs and the page that shows them."""
    folder = tmp_path_factory.mktemp("share")
    runs = {"relu": [f"model.width={UNITS}", "updates=200", "snapshots.every=100"], "linear": ["updates=5"]}
    for name, words in runs.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            options = ["callbacks=minimal", f"hydra.run.dir=logs/{name}"]
            patch.setattr(sys, "argv", ["reluviz", "train", f"+exp={name}", *words, *options])
            assert main() == 0
    page = html_file.html({name: payload(load_run(folder / "logs" / name), 2000) for name in runs})
    (folder / "page.html").write_text(page)
    return folder


@pytest.fixture
def open_at(request: pytest.FixtureRequest, folder: Path) -> Iterator[Callable[..., Any]]:
    """`open_at(hash)` opens the page anew; errors that it reports fail the test."""
    require_browser()
    with open_page(request.getfixturevalue("browser"), accept_downloads=True) as page:

        def open_at(part: str) -> Any:
            page.goto("about:blank")
            page.goto(f"{(folder / 'page.html').as_uri()}{part}")
            wait_for_state(page, "s => s.ready", timeout=60_000)
            return page

        yield open_at


def double(source: random.Random) -> float:
    """A number with all 53 bits."""
    return float(source.uniform(-1, 1))


def any_double(source: random.Random) -> float:
    """Any finite float64."""
    while True:
        (value,) = struct.unpack(">d", source.randbytes(8))
        if abs(value) < float("inf"):
            return float(value)


def link_text(javascript: Any, branches: list[dict[str, Any]], runs: list[str]) -> str:
    text: str = javascript("return link.textOf(given.branches, given.runs);", {"branches": branches, "runs": runs})
    return text


def past(branch: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in branch.items() if key != "from"}


def own_points(source: random.Random, count: int = POINTS) -> list[float]:
    return [number for _ in range(count) for number in ((source.random() + 1e-9) % 1, double(source))]


def random_branch(source: random.Random, start: int = 0, edits: int = 40) -> dict[str, Any]:
    """A branch with 60 points of full precision, and changes that the page can make, of every kind."""
    made: list[tuple[int, str, list[float]]] = [
        (0, "g", [1, 50, source.random(), 9]),
        (0, "n", [source.random(), 7]),
        (0, "w", own_points(source)),
    ]
    # small steps, as a branch that diverges stops before its other changes
    made.append((0, "l", [0.0001 * source.random()]))
    kinds: dict[str, Callable[[], list[float]]] = {
        "e": lambda: [source.randrange(3), source.random()],
        "j": lambda: [source.randrange(3), double(source)],
        "i": lambda: [source.randrange(3), 0.5 + source.random()],
        "v": lambda: [source.randrange(3), double(source)],
        "o": lambda: [1 + source.random()],
        "a": lambda: [source.random(), double(source)],
        "p": lambda: [source.randrange(3)],
        "l": lambda: [0.0001 * source.random()],
        "b": lambda: [source.randrange(1, 40)],
        "s": lambda: [source.randrange(4)],
        "r": lambda: [source.randrange(3)],
        "x": lambda: [source.randrange(50), source.random(), double(source)],
        "y": lambda: [source.random(), double(source)],
        "z": lambda: [source.randrange(50)],
    }
    order = [*kinds, *source.choices([kind for kind in kinds if kind not in "zy"], k=edits - len(kinds) - 5)]
    source.shuffle(order)
    made += [(source.choice([0, 1, 7, 50]), kind, kinds[kind]()) for kind in order] + [(3, "d", [4])]
    at, found = start, []
    for since, kind, values in made:
        at += since
        found.append({"at": at, "kind": kind, "values": values})
    origin = {"kind": "run", "run": "relu", "replica": 0, "update": start}
    made_updates = {"from": start, "edits": found, "updateCount": at + 25}
    return {"number": 1, "isControl": False, "start": origin, **made_updates}


def related(branch: dict[str, Any], source: random.Random) -> list[dict[str, Any]]:
    """A branch, its control, which has not made the last changes, and two others with a part of its past."""
    cuts = [source.randrange(2, len(branch["edits"])) for _ in range(3)]
    other = [
        {**branch, "edits": branch["edits"][:cut], "updateCount": branch["updateCount"] + i}
        for i, cut in enumerate(cuts)
    ]
    return [branch, {**other[0], "isControl": True}, {**other[1], "number": 2}, {**other[2], "number": 3}]


# the code


def test_random_states_survive_their_text_and_are_short(javascript: Any) -> None:
    source, longest = random.Random(1), 0
    kinds: list[str] = javascript("return Object.keys(edits.EDITS);")
    counts: dict[str, int] = javascript(
        "return Object.fromEntries(Object.entries(edits.EDITS).map(([k, e]) => [k, e.count ?? 4]));"
    )
    for trial in range(100):
        branch, at = random_branch(source, start=200), 200
        if trial % 2:
            # any numbers, also those that the page would not accept
            for edit in branch["edits"][3:]:
                at += source.randrange(400_000)
                kind = source.choice([kind for kind in kinds if kind != "w"])
                edit |= {"at": at, "kind": kind, "values": [any_double(source) for _ in range(counts[kind])]}
            branch["updateCount"] = at + source.randrange(1_000_000)
        branches = related(branch, source)
        text = link_text(javascript, branches, ["linear", "relu"])
        found = javascript("return link.parse(given, ['linear', 'relu']);", text)
        for one, branch in zip(found, branches, strict=True):
            for edit in one["edits"]:
                # a large number without decimals arrives as an integer with other digits
                edit["values"] = [float(value) for value in edit["values"]]
            assert one == past(branch)
        assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
        longest = max(longest, len(text))
    # the rest of an address has room beside it
    assert longest < LONGEST_LINK - 250


def test_numbers_survive_exactly(javascript: Any) -> None:
    source = random.Random(2)
    numbers = [
        0.0,
        1.0,
        0.1,
        5e-324,
        1.7976931348623157e308,
        2.0**53,
        1e22,
        1e-17,
        1e-18,
        123456.0,
        1e6,
        1e7,
        2.0**-1074,
    ]
    numbers += [any_double(source) for _ in range(3000)]
    numbers += [
        float(f"{source.uniform(-1, 1) * 10 ** source.randint(-20, 20):.{source.randint(0, 16)}e}") for _ in range(3000)
    ]
    numbers += [-number for number in numbers]
    code = """
      const made = given.map((value) => link.changesText([{ kind: "t", values: [value] }]));
      const back = made.map((text) => link.parseChanges(text)[0].values[0]);
      return [given.map((value, i) => Object.is(value, back[i])), Math.max(...made.map((text) => text.length))];"""
    same, longest = javascript(code, numbers)
    assert all(same)
    assert len(same) == len(numbers)
    # a letter, the updates since the last change, and at most 11 characters of a number
    assert longest == 13
    assert javascript("return link.changesText([{ kind: 't', values: [given] }]).length;", 0.512345) == 7


def test_a_start_names_its_run_by_its_place(javascript: Any) -> None:
    branch = {"number": 12, "isControl": True, "start": {"kind": "fresh"}, "from": 0, "edits": [], "updateCount": 5}
    run = {"kind": "run", "run": "b", "replica": 3, "update": 150_000}
    other = {"number": 1, "isControl": False, "start": run, "from": 150_000, "edits": [], "updateCount": 150_000}
    text = link_text(javascript, [branch, other], ["a", "b"])
    assert javascript("return link.parse(given, ['a', 'b']);", text) == [past(branch), past(other)]
    # such a run is not there
    assert javascript("return link.parse(given, ['a']);", text) is None
    assert javascript("return link.parse(given, ['a', 'b'], 1);", text) is None


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
MARKUP = (
    "<script>window.harm=1</script>",
    "<img src=x onerror=window.harm=1>",
    "javascript:window.harm=1",
    "${window.harm=1}",
)
NAMES = "__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "__defineGetter__"


def hostile_texts(good: str, count: int) -> list[str]:
    """Texts for `branches` and `changes`: random ones, damaged ones, and those that attack."""
    source = random.Random(3)
    found = [
        "",
        "1",
        "2",
        "1A",
        "1_",
        "1Af_",
        "~" * 5000,
        "1" * 5000,
        "1Bf" + "_" * 3000,
        "1Bl" + "A" * 3000,
        "1B" + "l" * 3000,
        "1" + "Bf_A" * 5,
    ]
    found += ["1Bf_" + "g" * n for n in (1, 5, 11, 12, 400)] + ["1Bfw" + "_" * n for n in (3, 11, 4000)]
    found += [f"1Bft{name}" for name in NAMES] + [f"{name}~{name}" for name in NAMES] + [f"1B{name}" for name in NAMES]
    found += [
        *MARKUP,
        *(f"1Bf{text}" for text in MARKUP),
        "1Bf~1e308.",
        "f~1e308.",
        "r0.0.1e308~.",
        "\0",
        "1\0",
        "１Ｂｆ＿Ａ",
        "\ud800",
        "1Bf_\U0001f600",
    ]
    # more changes, points and updates than are repeated
    found += [
        "1Bf" + "lAKB" * 3000 + "_A",
        "1BfwA-----",
        "1Bfw" + "gggggggggA",
        "1Bf_" + "gggggggB",
        "1BfdAgggggggggggggggA_A",
    ]
    while len(found) < count:
        kind = len(found) % 5
        if kind == 0:
            found.append("1" + "".join(source.choices(ALPHABET, k=source.randrange(1, 60))))
        elif kind == 1:
            found.append("".join(chr(source.randrange(1, 0xD7FF)) for _ in range(source.randrange(1, 40))))
        elif kind == 2:
            found.append(good[: source.randrange(len(good))])
        elif kind == 3:
            place = source.randrange(len(good))
            found.append(good[:place] + source.choice(ALPHABET) + good[place + 1 :])
        else:
            place, end = sorted(source.choices(range(len(good)), k=2))
            found.append(good[:end] + good[place:])
    return found[:count]


def test_hostile_texts_are_refused_or_are_plain_numbers(javascript: Any) -> None:
    good = link_text(javascript, related(random_branch(random.Random(4)), random.Random(5)), ["relu"])
    texts = hostile_texts(good, 1900)
    code = """
      const isNumber = (at) => Number.isSafeInteger(at) && at >= 0;
      const isKind = (kind) => Object.hasOwn(edits.EDITS, kind);
      const isPlain = ({ kind, values, at }) => isKind(kind) && values.every(Number.isFinite) && isNumber(at);
      const isFew = ({ start, updateCount, number }) => updateCount - (start.update ?? 0) <= 2e7 && number < 1000;
      return given.map((text) => {
        const found = link.parse(text, ["relu"]), changes = link.parseChanges(text), file = address.readFile(text);
        const isState = (one) => ["fresh", "run"].includes(one.start.kind) && one.edits.every(isPlain) && isFew(one);
        return [found === null || found.every(isState), changes === null || changes.every(isPlain), file === null];
      });"""
    assert all(all(one) for one in javascript(code, texts))
    assert javascript("return Object.keys(Object.prototype).length + (window.harm ?? 0);") == 0


def test_damaged_values_of_an_address_are_left_out(javascript: Any) -> None:
    lines = ["runs=%E0%A4%A", "step=12", "=5", "branches", "__proto__=7", "focus=a%20b", "x=%3Cscript%3E"]
    found = javascript("return Object.entries(address.readFile(given));", "reluviz state 1\r\n" + "\n".join(lines))
    assert [pair for pair in found if pair[0] != "__proto__"] == [["step", "12"], ["focus", "a b"], ["x", "<script>"]]
    assert javascript("return address.split(given);", "a,%25,%E0%A4%A,,b%2Cc") == ["a", "%", "b,c"]
    assert javascript("return address.readFile(given);", "reluviz state 2\nstep=1") is None


# the page


def saved_address(page: Any) -> str:
    """The address that the page has written after its last change."""
    page.wait_for_timeout(600)
    found: str = page.evaluate("location.hash")
    return found


def everything(page: Any) -> dict[str, Any]:
    state = current_state(page)
    return {key: state[key] for key in (*SHOWN, "branches")}


def shared_link(page: Any) -> tuple[str, str]:
    """The note and the link of the panel."""
    page.get_by_role("button", name="Share", exact=True).click()
    current_state(page)
    note = page.locator("[aria-label='Share what is shown'] > .note").inner_text()
    link = page.get_by_label("Link", exact=True).input_value()
    page.keyboard.press("Escape")
    return note, link


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(1, 10))])
def test_a_state_reopens_exactly_from_its_link(javascript: Any, open_at: Any, seed: int) -> None:
    source = random.Random(seed)
    start = source.choice([0, 100, 200])
    branches = related(random_branch(source, start), source)[:3]
    text = link_text(javascript, branches, ["relu"])
    view = f"step={start + source.randrange(500)}&unit=2&point=31&scale=linear&mode=side&votes=norm"
    page = open_at(f"#runs=relu&branches={text}&focus=branch%202&{view}")
    first = everything(page)
    assert [one["name"] for one in first["branches"]] == ["branch 1", "control 1", "branch 2"]
    for one, branch in zip(first["branches"], branches, strict=True):
        assert one["edits"] == branch["edits"]
        assert one["update"] == branch["updateCount"]
    assert (first["unit"], first["point"], first["scale"], first["mode"]) == (2, 31, "linear", "side")
    note, link = shared_link(page)
    assert f"branches={text}&" in link
    assert len(link) <= LONGEST_LINK
    assert "shows others what you see" in note
    again = open_at(link[link.index("#") :])
    assert everything(again) == first
    assert f"branches={text}&" in saved_address(again)


def test_changes_that_are_tried_out_reopen(javascript: Any, open_at: Any) -> None:
    changes = [
        ("e", [2, 0.123]),
        ("j", [1, -0.7]),
        ("o", [0.01]),
        ("v", [3, 0.1 + 0.2]),
        ("l", [0.05]),
        ("n", [0.3, 8]),
    ]
    given = [{"kind": kind, "values": values} for kind, values in changes]
    text = javascript("return link.changesText(given);", given)
    page = open_at(f"#runs=relu&step=100&changes={text}")
    first = everything(page)
    assert first["whatIf"]
    assert first["net"]["v"][3] == 0.1 + 0.2
    assert page.locator(".train-bar [data-setting=lr] input").input_value() == "0.05"
    assert page.locator(".train-bar [data-setting=data_seed] input").input_value() == "8"
    assert f"changes={text}" in saved_address(page)
    # they become the first changes of the branch with which training goes on
    page.get_by_role("button", name="1 update", exact=True).click()
    state = wait_for_state(page, "s => s.branches.length && s.update === 101")
    (branch,) = [one for one in state["branches"] if not one["isControl"]]
    assert [(edit["kind"], edit["values"]) for edit in branch["edits"]] == changes
    assert "changes=" not in saved_address(page)


def test_a_branch_reopens_without_its_parent_in_view(open_at: Any) -> None:
    page = open_at("#runs=relu&step=100")
    page.get_by_role("button", name="1 update", exact=True).click()
    wait_for_state(page, "s => s.branches.length === 1 && s.update === 101")
    page.get_by_role("button", name="Remove relu", exact=True).click()
    wait_for_state(page, "s => s.selected.length === 1")
    first = everything(page)
    link = saved_address(page)
    assert "parents=relu" in link
    assert "runs=" not in link
    again = open_at(link)
    assert everything(again) == {**first, "following": True}
    assert first["selected"] == ["branch 1"]
    # and it goes on
    again.get_by_role("button", name="1 update", exact=True).click()
    wait_for_state(again, "s => s.update === 102")


@pytest.fixture
def long_state(javascript: Any) -> str:
    branch = random_branch(random.Random(6))
    branch["edits"][2]["values"] = own_points(random.Random(7), 300)
    return f"#runs=relu&branches={link_text(javascript, [branch], ['relu'])}&focus=branch%201&scale=linear"


def test_a_state_that_is_too_long_for_a_link_is_saved_as_a_file(open_at: Any, long_state: str, tmp_path: Path) -> None:
    page = open_at(long_state)
    first = everything(page)
    note, _ = shared_link(page)
    assert "too many for mails and chats" in note
    page.get_by_role("button", name="Share", exact=True).click()
    assert not page.get_by_label("Link", exact=True).is_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save this state", exact=True).click()
    assert download.value.suggested_filename == "state.reluviz.txt"
    text = Path(download.value.path()).read_text()
    (tmp_path / "any name.txt").write_text(text)
    # opened by the button
    other = open_at("#runs=linear")
    other.get_by_role("button", name="Share", exact=True).click()
    with other.expect_file_chooser() as chooser:
        other.get_by_role("button", name="Open a state …", exact=True).click()
    chooser.value.set_files(tmp_path / "any name.txt")
    wait_for_state(other, "s => s.ready && s.focus === 'branch 1' && s.branches.length === 1", timeout=60_000)
    assert everything(other) == first
    # dropped on the page, also if the browser has numbered the file
    dropped = open_at("#runs=linear")
    drop(dropped, "state.reluviz (1).txt", text)
    wait_for_state(dropped, "s => s.ready && s.focus === 'branch 1' && s.branches.length === 1", timeout=60_000)
    assert everything(dropped) == first


def drop(page: Any, name: str, text: str) -> None:
    code = """([name, text]) => {
      const data = new DataTransfer();
      data.items.add(new File([text], name));
      const event = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
      document.querySelector("canvas").dispatchEvent(event);
    }"""
    page.evaluate(code, [name, text])


def test_a_file_of_something_else_is_refused_in_words(open_at: Any) -> None:
    page = open_at("#runs=relu")
    first = everything(page)
    for text in (
        "x,y\n0,1\n",
        "",
        "reluviz state 1",
        "reluviz state 1\nruns=nowhere\n",
        "reluviz state 1\nbranches=1Af_\n",
        *MARKUP,
        "0" * 1_100_000,
    ):
        drop(page, "a.reluviz.txt", text)
        state = wait_for_state(page, "s => s.trainingMessage !== '' && s.ready")
        assert any(
            words in state["trainingMessage"] for words in ("holds no state", "are not here", "cannot be repeated")
        )
        assert "harm" not in state["trainingMessage"]
    page.wait_for_timeout(300)
    found = everything(page)
    assert found["net"] == first["net"]
    assert page.evaluate("window.harm") is None


def test_the_page_survives_hostile_addresses(javascript: Any, open_at: Any) -> None:
    good = link_text(javascript, [random_branch(random.Random(8))], ["relu"])
    page = open_at("#runs=relu")
    first = everything(page)["net"]
    dialogs: list[str] = []

    def dismiss(dialog: Any) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    keys = ["branches", "changes", "runs", "focus", "step", "unit", "replica", "parents", "scale"]
    parts = [f"{keys[i % len(keys)]}={text}" for i, text in enumerate(hostile_texts(good, 100))]
    parts += [
        f"{key}={value}" for key in ("step", "unit", "point", "replica") for value in ("1e308", "-1", "9" * 16, "NaN")
    ]
    parts += [f"{name}={name}" for name in NAMES] + [
        "&" * 500,
        "=" * 500,
        "%",
        "branches=%",
        "runs=%25",
        "runs=%2525,%E0%A4%A",
    ]
    for part in parts:
        page.evaluate("(part) => { location.hash = part; }", f"#runs=relu&{part}")
    page.wait_for_timeout(1500)
    page.evaluate("location.hash = '#runs=relu'")
    state = wait_for_state(
        page, "s => s.ready && s.selected.length === 1 && s.focus === 'relu' && s.net", timeout=60_000
    )
    assert state["net"] == first
    assert page.evaluate("window.harm") is None
    assert dialogs == []
    assert page.locator("script:not([type])").count() == 0
    # one of them at a time, as an opened link
    for part in parts[::15]:
        page = open_at(f"#{part}")
        assert page.evaluate("window.harm") is None


def test_a_notebook_has_no_link(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> None:
    require_browser()
    text = f"<!DOCTYPE html><link rel=icon href=data:,>{notebook.html(load_run(folder / 'logs' / 'relu'))}"
    (tmp_path / "notebook.html").write_text(text)
    with open_page(request.getfixturevalue("browser"), accept_downloads=True) as page:
        page.goto((tmp_path / "notebook.html").as_uri())
        frame = page.wait_for_selector("iframe").content_frame()
        wait_for_state(frame, "s => s.ready")
        frame.get_by_role("button", name="Share", exact=True).click()
        current_state(frame)
        assert (
            frame.locator("[aria-label='Share what is shown'] > .note")
            .inner_text()
            .startswith("A page within another one")
        )
        with page.expect_download() as download:
            frame.get_by_role("button", name="Save this state", exact=True).click()
        lines = Path(download.value.path()).read_text().splitlines()
        assert lines == ["reluviz state 1", "runs=relu"]
