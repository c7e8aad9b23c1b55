"""What the page gives back to Python: commands, networks and points lead to the same numbers there."""

import itertools
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import (
    current_state,
    javascript_modules,
    open_page,
    require_browser,
    running_tensorboard,
    tab_frame,
    wait_for_runs,
    wait_for_state,
)

from reluviz import LinearModule, ReLUModule, load_run
from reluviz.__main__ import main
from reluviz.analysis.payload import payload
from reluviz.core.initial_state import initial_state
from reluviz.core.models import MODELS
from reluviz.data import file, piecewise_linear
from reluviz.data.scaling import Scaling
from reluviz.engines import predict
from reluviz.tab import html_file

pytestmark = pytest.mark.long

MODULES = tuple(
    f"trainer/{name}"
    for name in ("branch", "data_sets", "initial_state", "python_code", "scaling_choice", "session", "settings")
)
FRESH = """
    // a run from an initial state, as the playground begins one
    const begin = async ({ points, ...given }) => {
      const chosen = settings.completed(given), { model, n, noise, data_seed, seed, width, elbows } = chosen;
      const array = (values) => Float64Array.from(values), isNetwork = model === "relu";
      const made = points && { x: array(points.x), y: array(points.y), target: null, xTest: null, yTest: null };
      const data = made ?? data_sets.noisySamples(chosen.data, n, noise, data_seed), { x, y } = data;
      const scaling = made && isNetwork ? scaling_choice.scalingFor(x, y) : null;
      const trained = (value) => (scaling ? (value - scaling[0]) / scaling[1] : value);
      const domain = (data.domain ?? [x[0], x[x.length - 1]]).map(trained);
      const drawn = () => initial_state.initialState({ width, elbows, seed, domain, x: x.map(trained) });
      const parameters = isNetwork ? drawn() : { theta: 0 };
      const start = { kind: "fresh" }, engine = await session.loadEngine();
      return new branch.Branch(engine, { name: "fresh", start, settings: chosen, points: data, scaling, parameters });
    };
    const found = (run) => {
      run.refreshHistory();
      const last = (tag) => run.scalars[tag]?.value.at(-1) ?? null;
      return { ...python_code.commandOf(run), train: last("loss/train"), test: last("loss/test") };
    };
"""
UPDATES = 2000
QUICK = ("callbacks=minimal", "snapshots.every=1000")
"""What changes no update."""
HANDFUL: list[dict[str, Any]] = [
    {"width": 20},
    {"width": 1, "optimizer": "nesterov", "sampler": "epoch", "train": "hidden", "n": 50, "noise": 0, "seed": 2},
    {"width": 20, "optimizer": "adam", "sampler": "without_replacement", "train": "output", "data": "sine", "seed": 3},
    {"width": 7, "elbows": "at_data", "sampler": "full", "batch": 3, "data_seed": 4, "seed": 2**32 - 1, "lr": 1e-7},
    {"model": "linear", "optimizer": "momentum", "momentum": 0.5, "sampler": "with_replacement", "batch": 1},
    {"model": "constant", "n": 7, "sampler": "with_replacement", "noise": 1.5, "lr": 0.001},
]
REGIMES = {"relu": ("all", "output", "hidden"), "linear": ("all",), "constant": ("all",)}
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adam")
SAMPLERS = ("with_replacement", "without_replacement", "epoch", "full")
ALL = [
    {"model": model, "train": train, "optimizer": optimizer, "sampler": sampler}
    for model in REGIMES
    for train, optimizer, sampler in itertools.product(REGIMES[model], OPTIMIZERS, SAMPLERS)
]
"""All that the page can train."""


@pytest.fixture(scope="module")
def javascript(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    require_browser()
    with javascript_modules(request.getfixturevalue("browser"), *MODULES) as run:
        yield lambda code, given=None: run(FRESH + code, given)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def losses_of(found: dict[str, Any]) -> tuple[float, float | None]:
    """Save the files that a command needs, run it as a shell would, and return the losses at its end."""
    for one in found["files"]:
        Path(one["name"]).write_text(one["text"])
    words = shlex.split(found["command"])
    assert words[:4] == ["python", "-m", "reluviz", "train"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", *words[3:], *QUICK, "hydra.run.dir=run"])
        assert main() == 0
    metrics = json.loads(Path("run/metrics.json").read_text())
    return metrics["loss/train"][0], (metrics["loss/test"] or [None])[0]


def assert_same_losses(found: dict[str, Any]) -> None:
    train, test = losses_of(found)
    assert found["train"] == pytest.approx(train, rel=1e-9)
    assert found["test"] == (test if test is None else pytest.approx(test, rel=1e-9))


@pytest.mark.parametrize("given", HANDFUL, ids=lambda given: "-".join(map(str, given.values())))
def test_the_command_ends_at_the_losses_of_the_page(javascript: Any, given: dict[str, Any]) -> None:
    found = javascript(f"const run = await begin(given); run.train({UPDATES}); return found(run);", given)
    assert "trainer.precision=64-true" in found["command"]
    assert found["files"] == []
    assert_same_losses(found)


@pytest.mark.exhaustive
@pytest.mark.parametrize("given", ALL, ids=lambda given: "-".join(given.values()))
def test_each_command_ends_at_the_losses_of_the_page(javascript: Any, given: dict[str, Any]) -> None:
    seed = ALL.index(given) % 4
    given = {**given, "seed": seed, "data_seed": seed, "width": 1 if seed == 3 else 20, "n": 50 if seed == 2 else 200}
    assert_same_losses(javascript("const run = await begin(given); run.train(300); return found(run);", given))


def test_the_command_names_what_differs_from_the_defaults(javascript: Any) -> None:
    found = javascript("const run = await begin({}); run.train(7); return found(run);")
    assert found["command"] == "python -m reluviz train +exp=relu updates=7 trainer.precision=64-true optimizer.lr=0.02"
    given = {"model": "linear", "optimizer": "adam", "sampler": "with_replacement", "batch": 5, "seed": 3, "n": 9}
    found = javascript("return found(await begin(given));", given)
    words = "data.n=9 seed=3 optimizer=adam optimizer.lr=0.001 sampler=with_replacement sampler.batch_size=5"
    assert found["command"] == f"python -m reluviz train +exp=linear updates=1000 trainer.precision=64-true {words}"


POINTS = {"x": [1980.0, 1984.25, 1991.0, 2003.5, 2020.0], "y": [3e5, 3.25e5, -1e4, 0.1 + 0.2, 7e5 / 3]}


@pytest.mark.parametrize("given", [{"width": 5}, {"width": 4, "elbows": "at_data"}, {"model": "constant"}], ids=str)
def test_a_run_on_own_points_needs_a_file(javascript: Any, given: dict[str, Any]) -> None:
    given = {**given, "data": "own", "batch": 40, "points": POINTS}
    found = javascript(f"const run = await begin(given); run.train({UPDATES}); return found(run);", given)
    assert [one["name"] for one in found["files"]] == ["points.csv"]
    assert "data=file data.path=points.csv" in found["command"]
    assert found["test"] is None
    # a minibatch has at most as many points as there are
    assert ("sampler.batch_size=5" in found["command"]) == (given.get("model") is None)
    assert_same_losses(found)


CHANGES = {
    "settings": ("relu", [["l", [0.05]], ["b", [7]], ["s", [1]], ["r", [1]], ["n", [0.5, 9]]], []),
    "elbow": ("relu", [["e", [2, 0.4]]], ["start.json"]),
    "units": ("relu", [["d", [3]], ["a", [0.5, 2]], ["p", [0]], ["d", [1]]], ["start.json"]),
    "solved": ("relu", [["o", [0.001]]], ["start.json"]),
    "point": ("relu", [["x", [3, 0.017, 1.25]]], ["points.csv", "test_points.csv", "start.json"]),
    "replaced": ("relu", [["w", [0, 1, 1, 3, 2, 2]]], ["points.csv"]),
    "theta": ("linear", [["t", [0.1]], ["z", [0]]], ["points.csv", "test_points.csv"]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_before_the_first_update_are_in_the_command(javascript: Any, name: str) -> None:
    model, edits, files = CHANGES[name]
    code = f"""
      const run = await begin({{ model: given.model, width: 5 }});
      const done = given.edits.map(([kind, values]) => run.edit(kind, values));
      run.train({UPDATES});
      return {{ ...found(run), done }};"""
    found = javascript(code, {"model": model, "edits": edits})
    assert all(found["done"])
    assert [one["name"] for one in found["files"]] == files
    assert ("model.init_from=start.json" in found["command"]) == ("start.json" in files)
    assert_same_losses(found)


def test_other_branches_have_no_command(javascript: Any) -> None:
    code = """
      const run = await begin({ width: 3 });
      run.train(1234);
      run.edit("l", [0.1]);
      const start = { kind: "run", run: "lesson", replica: 0, update: 40000 };
      const points = { ...run, target: null }, parameters = run.trainedNet(0, 0);
      const later = { name: "b", start, settings: run.chosen, points, parameters, update: 40000 };
      const other = new branch.Branch(run.engine, later);
      const scaled = await begin({ width: 3, data: "own", points: given });
      scaled.edit("x", [0, 1970, 0]);
      const large = await begin({ width: 3 });
      large.chosen.seed = 2 ** 32;
      return [run, other, scaled, large].map(python_code.commandOf);"""
    assert javascript(code, POINTS) == [
        {"reason": "it was changed after update 1\u202f234 (step size changed)"},
        {"reason": "it begins at update 40\u202f000 of lesson, and a command begins at update 0"},
        {"reason": "it trains in units that were chosen for other points"},
        {"reason": "its seed is above 4\u202f294\u202f967\u202f295, the largest of the command line"},
    ]


NETWORK = """
    const run = await begin({ width: 6, seed: 5, ...given });
    run.edit("d", [2]);
    run.train(500);
    const net = run.asShown(run.trainedNet(run.S - 1, 0));
    const plainPart = (part) => (part.length ? Array.from(part) : part);
    const plain = Object.fromEntries(Object.entries(net).map(([key, part]) => [key, plainPart(part)]));
    const [low, high] = run.domain, at = Array.from({ length: 100 }, (_, i) => low + (i / 99) * (high - low));
    const overrides = python_code.startOverrides(net, "n.json");
    const texts = { json: python_code.networkJson(net), torch: python_code.torchCode(run.model, net), overrides };
    return { plain, at, f: at.map((x) => run.model.predictAt(net, x)), ...texts };
"""


@pytest.mark.parametrize("points", [None, POINTS], ids=["drawn", "scaled"])
def test_a_run_starts_from_the_network_of_the_page(javascript: Any, points: Any) -> None:
    found = javascript(NETWORK, {"data": "own", "points": points} if points else {})
    net = {key: np.array(value) for key, value in found["plain"].items()}
    kept = [0, 1, 3, 4, 5]
    assert net["w"][2] == net["b"][2] == net["v"][2] == 0
    Path("n.json").write_text(found["json"])
    assert found["overrides"] == ["model.init_from=n.json", "model.width=5"]
    module = ReLUModule(width=5, init_from="n.json").double()
    module.place_on(piecewise_linear())
    values = [module.input_slope, module.bias, module.output_weight]
    for key, value in zip("wbv", values, strict=True):
        assert value.detach().numpy()[0].tobytes() == net[key][kept].tobytes(), key
    assert module.output_bias.item() == net["c"]
    at = torch.tensor(found["at"], dtype=torch.float64)
    assert module(at)[0].tolist() == pytest.approx(found["f"], rel=1e-9)


@pytest.mark.parametrize("given", [{}, {"data": "own", "points": POINTS}], ids=["drawn", "scaled"])
def test_the_pytorch_code_computes_f(javascript: Any, given: Any) -> None:
    found = javascript(NETWORK, given)
    names: dict[str, Any] = {}
    exec(found["torch"], names)
    scale = max(map(abs, found["f"]))
    for dtype in (torch.float32, torch.float64):
        f = names["f"](torch.tensor(found["at"], dtype=torch.float64).to(dtype))
        digits = 1e-6 if dtype == torch.float64 or not given else 1e-2
        assert f.tolist() == pytest.approx(found["f"], abs=digits * scale)


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if not model.has_units])
def test_the_code_and_the_start_of_a_model_with_one_parameter(javascript: Any, name: str) -> None:
    code = """
      const run = await begin({ model: given }), { model } = run, net = { theta: -0.1 / 3 };
      const f = [2, -3].map((x) => model.predictAt(net, x));
      return { torch: python_code.torchCode(model, net), overrides: python_code.startOverrides(net), f };"""
    found = javascript(code, name)
    names: dict[str, Any] = {}
    exec(found["torch"], names)
    assert names["f"](torch.tensor([2.0, -3.0], dtype=torch.float64)).tolist() == found["f"]
    assert found["overrides"] == [f"model.start={-0.1 / 3!r}"]


def test_negative_zeros_and_extreme_numbers_survive(javascript: Any) -> None:
    net = {"w": [1e300, -5e-324, 0.1], "b": [0, 1 / 3, 4.788812359603589e19], "v": [2.0, 1.0, 3.0], "c": 0}
    found = javascript("given.b[0] = given.c = -0; return python_code.networkJson(given);", net)
    Path("n.json").write_text(found.replace("1e+300", "1e+30"))
    module = ReLUModule(width=3, init_from="n.json").double()
    module.place_on(piecewise_linear())
    assert module.bias.detach().numpy()[0].tobytes() == np.array([-0.0, 1 / 3, 4.788812359603589e19]).tobytes()
    assert np.signbit(module.output_bias.item())
    assert module.input_slope[0, 1].item() == -5e-324
    assert json.loads(found)["0.weight"] == [[1e300], [-5e-324], [0.1]]


def test_all_units_deleted_leave_a_network_that_python_reads(javascript: Any) -> None:
    code = "return python_code.networkJson({ w: [0, 0], b: [0, 0], v: [0, 0], c: 2 });"
    assert json.loads(javascript(code)) == {"0.weight": [[0]], "0.bias": [0], "2.weight": [[0]], "2.bias": [2]}


# in the page


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two short runs."""
    folder = tmp_path_factory.mktemp("runs")
    runs = {
        "relu": ["updates=300", "model.width=6", "snapshots.every=100"],
        "linear": ["updates=14", "snapshots.every=7"],
    }
    for name, words in runs.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(
                sys,
                "argv",
                ["reluviz", "train", f"+exp={name}", "callbacks=minimal", *words, f"hydra.run.dir=logs/{name}"],
            )
            assert main() == 0
    return folder / "logs"


@pytest.fixture(scope="module")
def page_text(logs: Path) -> str:
    return html_file.html({name: payload(load_run(logs / name), 2000) for name in ("relu", "linear")})


def text_of(view: Any, label: str = "Text for Python") -> str:
    current_state(view)
    text: str = view.get_by_label(label, exact=True).input_value()
    return text


def note_of(view: Any) -> str:
    current_state(view)
    text: str = view.locator("[aria-label='Back to Python'] > .note").inner_text()
    return text


def save(page: Any, view: Any, name: str) -> str:
    """Press a button that saves a file, and return the file's text."""
    with page.expect_download() as download:
        view.get_by_role("button", name=f"Save {name}", exact=True).click()
    assert download.value.suggested_filename == name
    return Path(download.value.path()).read_text()


def test_the_panel_follows_what_is_shown(request: pytest.FixtureRequest, page_text: str) -> None:
    require_browser()
    Path("page.html").write_text(page_text)
    with open_page(request.getfixturevalue("browser"), accept_downloads=True) as page:
        page.goto(f"{Path('page.html').absolute().as_uri()}#runs=relu&step=0")
        wait_for_state(page, "s => s.ready")
        page.get_by_role("button", name="Python", exact=True).click()
        assert note_of(page).startswith("This run was recorded")
        assert not page.get_by_label("Text for Python", exact=True).is_visible()
        page.get_by_role("button", name="1 update", exact=True).click()
        wait_for_state(page, "s => s.branches.length === 1 && s.update === 1")
        page.get_by_role("button", name="Python", exact=True).click()
        expected = (
            "python -m reluviz train +exp=relu updates=1 trainer.precision=64-true model.width=6 optimizer.lr=0.02"
        )
        assert text_of(page) == expected
        # the network is the one that is shown
        page.click("[data-value=start]")
        found = json.loads(text_of(page))
        net = current_state(page)["net"]
        assert found["0.bias"] == net["b"]
        assert found["2.weight"] == [net["v"]]
        assert "at update 1." in note_of(page)
        assert json.loads(save(page, page, "network-1.json")) == found
        page.click("[data-value=points]")
        Path("points.csv").write_text(save(page, page, "points.csv"))
        read, data = file("points.csv"), load_run(Path(request.getfixturevalue("logs")) / "relu").data
        assert (read.x.tobytes(), read.y.tobytes()) == (data.x.tobytes(), data.y.tobytes())
        page.click("[data-value=torch]")
        names: dict[str, Any] = {}
        exec(save(page, page, "network-1.py"), names)
        state = current_state(page)
        f = names["f"](torch.tensor(data.x)) - torch.tensor(data.y)
        assert f.tolist() == pytest.approx(state["residual"], abs=1e-12)
        # a change after the first update
        page.keyboard.press("Escape")
        page.get_by_label("step size").fill("0.05")
        page.keyboard.press("Tab")
        wait_for_state(page, "s => s.branches.some((one) => one.edits.length)")
        page.get_by_role("button", name="Python", exact=True).click()
        page.click("[data-value=command]")
        reason = "No one command repeats this branch: it was changed after update 1 (step size changed)."
        assert note_of(page) == reason


@pytest.mark.parametrize(
    ("elbows", "data"), [("at_data", "own"), ("uniform", "own"), ("at_data", "piecewise_linear"), ("torch", "own")]
)
def test_points_moved_before_the_first_update_begin_the_run_that_python_begins(
    request: pytest.FixtureRequest, elbows: str, data: str
) -> None:
    require_browser()
    Path("page.html").write_text(html_file.playground())
    with open_page(request.getfixturevalue("browser"), accept_downloads=True) as page:
        link = f"#width=6&elbows={elbows}&seed=3&data={data}&n=12&batch=4&control=off"
        page.goto(f"{Path('page.html').absolute().as_uri()}{link}")
        before = wait_for_state(page, "s => s.ready")
        page.keyboard.press("p")
        places = wait_for_state(page, "s => s.editsPoints")["places"]["points"]
        # the first point to the right of the third, and another one beside it
        page.mouse.move(places[0]["x"], places[0]["y"])
        page.mouse.down()
        page.mouse.move(places[3]["x"] + 20, places[0]["y"] + 30, steps=4)
        page.mouse.up()
        page.mouse.click(places[6]["x"] + 7, places[6]["y"] - 40)
        state = wait_for_state(page, "s => s.branches[0].edits.length === 2")
        x, y = np.array(state["x"]), np.array(state["y"])
        assert x[0] > before["x"][0]
        assert len(x) == len(before["x"]) + 1
        scaling = Scaling.of(x, y) if data == "own" else Scaling()
        start = initial_state(6, elbows, 3, (0.0, 1.0), None, scaling.trained_x(x), "float64")
        net = state["branches"][0]["net"]
        for key, name in {"w": "input_slope", "b": "bias", "v": "output_weight"}.items():
            assert net[key] == start[name].tolist(), key
        if elbows == "at_data":
            assert all(min(abs(x - one)) < 1e-12 * max(abs(x)) for one in state["elbows"])
        page.keyboard.press("p")
        page.get_by_role("button", name="1\u202f000 updates", exact=True).click()
        state = wait_for_state(page, "s => s.update === 1000 && !s.training")
        page.get_by_role("button", name="Python", exact=True).click()
        words, names = text_of(page), [one.inner_text() for one in page.locator(".saves button").all()]
        assert "start.json" not in words
        files = [
            {"name": name, "text": save(page, page, name)} for name in (one.removeprefix("Save ") for one in names)
        ]
        assert_same_losses({"command": words, "files": files, "train": state["lossTrain"], "test": state["lossTest"]})
        # the link repeats it
        page.keyboard.press("Escape")
        page.wait_for_timeout(400)
        address = page.url
        page.goto("about:blank")
        page.goto(address)
        again = wait_for_state(page, "s => s.ready && s.update === 1000")
        assert again["branches"][0]["net"] == state["branches"][0]["net"]


def test_elbows_that_were_moved_stay_where_points_are_moved_later(request: pytest.FixtureRequest) -> None:
    require_browser()
    Path("page.html").write_text(html_file.playground())
    with open_page(request.getfixturevalue("browser")) as page:
        page.goto(f"{Path('page.html').absolute().as_uri()}#width=3&elbows=at_data&data=own&control=off")
        wait_for_state(page, "s => s.ready")
        page.get_by_role("button", name="Add unit", exact=True).click()
        before = wait_for_state(page, "s => s.branches[0].edits.length === 1")
        page.keyboard.press("p")
        places = wait_for_state(page, "s => s.editsPoints")["places"]["points"]
        page.mouse.move(places[1]["x"], places[1]["y"])
        page.mouse.down()
        page.mouse.move(places[1]["x"] + 9, places[1]["y"] + 30, steps=4)
        page.mouse.up()
        after = wait_for_state(page, "s => s.branches[0].edits.length === 2")
        assert after["x"] != before["x"]
        assert after["net"] == before["net"]


def test_a_model_with_one_parameter_starts_at_the_shown_theta(request: pytest.FixtureRequest, page_text: str) -> None:
    require_browser()
    Path("page.html").write_text(page_text)
    with open_page(request.getfixturevalue("browser")) as page:
        page.goto(f"{Path('page.html').absolute().as_uri()}#runs=linear&step=7")
        state = wait_for_state(page, "s => s.ready && s.update === 7")
        page.get_by_role("button", name="Python", exact=True).click()
        page.click("[data-value=start]")
        command, theta = text_of(page), state["net"]["theta"]
        assert command == f"python -m reluviz train +exp=linear model.start={theta!r}"
        module = LinearModule(start=float(command.partition("start=")[2])).double()
        module.place_on(piecewise_linear())
        assert predict.linear({"theta": module.theta}, torch.ones(1, dtype=torch.float64)).item() == theta


def test_files_are_saved_and_texts_copied_in_tensorboard(request: pytest.FixtureRequest, logs: Path) -> None:
    require_browser()
    with running_tensorboard(logs) as address:
        wait_for_runs(address, {"relu": 300, "linear": 14})
        with open_page(request.getfixturevalue("browser"), accept_downloads=True) as page:
            page.goto(f"{address}#reluviz&p.reluviz.runs=relu")
            frame = tab_frame(page)
            frame.get_by_role("button", name="Python", exact=True).click()
            frame.click("[data-value=start]")
            text = text_of(frame)
            assert save(page, frame, "network-300.json") == text
            frame.get_by_role("button", name="Copy", exact=True).click()
            frame.get_by_text("Copied.").wait_for()
            # the clipboard is forbidden: the text is selected for the user's own keys
            frame.evaluate(
                "navigator.clipboard.writeText = () => Promise.reject(); document.execCommand = () => false;"
            )
            frame.get_by_role("button", name="Copy", exact=True).click()
            frame.get_by_text("The browser forbids to copy it here").wait_for()
            assert frame.evaluate("document.activeElement.selectionEnd") == len(text)


def test_files_are_saved_in_a_notebook(request: pytest.FixtureRequest, logs: Path) -> None:
    require_browser()
    from reluviz.analysis import notebook

    Path("notebook.html").write_text(
        f"<!DOCTYPE html><link rel=icon href=data:,>{notebook.html(load_run(logs / 'relu'))}"
    )
    with open_page(request.getfixturevalue("browser"), accept_downloads=True) as page:
        page.goto(Path("notebook.html").absolute().as_uri())
        frame = page.wait_for_selector("iframe").content_frame()
        wait_for_state(frame, "s => s.ready")
        frame.get_by_role("button", name="Python", exact=True).click()
        frame.click("[data-value=points]")
        assert save(page, frame, "points.csv") == text_of(frame)
