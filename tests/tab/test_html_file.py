"""The page of its own: opened from a file with the network off, it is the same view."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import STATIC, needs_browser, opened, state, until
from tab_runs import network, walk

from reluviz.core.functions_torch import PARAMETERS
from reluviz.data.targets import piecewise_linear
from reluviz.tab import html_file, series, wire_format

MOST = 500_000


def blobs(values: Any, name: str = "relu") -> dict[str, bytes]:
    """A run of S snapshots [S, R, P] as the page takes it."""
    data = piecewise_linear()
    width = (values.shape[2] - 1) // 3
    arrays = {"x": data.x, "y": data.y, "target": data.target(data.x), "x_test": data.x_test, "y_test": data.y_test}
    told = {"model": "relu", "name": name, "domain": [0, 1], "trained": list(PARAMETERS["relu"])}
    told |= {"seeds": list(range(values.shape[1])), "settings": {"optimizer.lr": 0.02}, "dtype": "float32"}
    count = len(values)
    fields = [[key, 1 if key == "output_bias" else width] for key in PARAMETERS["relu"]]
    updates = np.array([0, 1, *(1000.0 * np.arange(1, count - 1))])[:count]
    params = {"update": updates, "wall": updates, "values": values.astype(np.float32)}
    random = np.random.default_rng(0)
    losses = {f"v{i}": random.uniform(size=count).astype(np.float32) for i in range(3)}
    tags = ["loss/train", "loss/test", "loss/batch"]
    return {
        "data": wire_format.encode({**arrays, "recorded": np.arange(len(data.x), dtype=np.int32)}, **told),
        "params": wire_format.encode(params, fields=fields),
        "scalars": wire_format.encode({**losses, **{f"u{i}": updates for i in range(3)}}, tags=tags),
    }


def noise(snapshots: int) -> Any:
    """Parameters that no compression makes smaller than a real run's."""
    return walk(snapshots) + np.random.default_rng(1).normal(size=(snapshots, 1, 61)) * 0.01


@pytest.fixture
def offline(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """`offline(html)` opens a page from a file with the network off; what it reports as an error fails the test."""
    needs_browser()
    browser = request.getfixturevalue("browser")
    with opened(browser, offline=True) as view:
        asked: list[str] = []
        view.on("request", lambda made: asked.append(made.url))

        def offline(html: str, link: str = "") -> Any:
            file = tmp_path / "page.html"
            file.write_text(html, "utf-8")
            view.goto(f"{file.as_uri()}{link}")
            until(view, "s => s.ready")
            return view

        yield offline
        assert all(url.startswith("file:") for url in asked), asked


def test_it_is_small_and_shows_the_run_without_a_network(offline: Any) -> None:
    values = noise(152)
    html = html_file.html({"relu": blobs(values)})
    assert len(html.encode()) < MOST
    assert not re.search(r"""(?:src|href)\s*=\s*["']?https?:|@import|url\(""", html)
    view = offline(html)
    found = state(view)
    assert (len(found["snapshots"]), found["update"]) == (152, 150_000)
    assert found["net"]["w"] == values[-1, 0, :20].astype(np.float32).tolist()
    assert sum(found["share"]) == pytest.approx(1)
    view.locator("body").press("Home")
    view.locator("body").press("Space")
    assert until(view, "s => s.update > 3000 && s.frames.count > 10")["playing"]


def test_a_link_into_it_selects_and_what_if_works(offline: Any) -> None:
    values = noise(20)
    html = html_file.html({"one": blobs(values), "two </script> & é": blobs(values + 0.1)}, title="a <title>")
    view = offline(html, "#runs=one&step=5000&unit=7&point=50&scale=log")
    found = state(view)
    assert [found[key] for key in ("selected", "update", "unit", "point", "scale")] == [["one"], 5000, 7, 50, "log"]
    assert found["runs"] == ["one", "two </script> & é"]
    assert view.title() == "a <title>"
    view.get_by_role("button", name="Solve output weights").click()
    assert state(view)["lossTrain"] < found["lossTrain"]
    view.get_by_role("button", name="Light or dark").click()
    assert state(view)["dark"] != found["dark"]


def test_all_runs_of_a_page_are_shown_at_once_and_without_losses_too(offline: Any) -> None:
    some = {name: kinds for name, kinds in blobs(noise(5)).items() if name != "scalars"}
    view = offline(html_file.html({"one": some, "two": some}))
    assert state(view)["selected"] == ["one", "two"]


def test_an_empty_page_says_what_to_do(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    needs_browser()
    (tmp_path / "page.html").write_text(html_file.html({}), "utf-8")
    with opened(request.getfixturevalue("browser")) as view:
        view.goto((tmp_path / "page.html").as_uri())
        view.get_by_text("python -m reluviz train +exp=relu").wait_for()


def test_a_thousand_units_are_drawn(offline: Any) -> None:
    random = np.random.default_rng(0)
    values = np.stack([network(random, 1000) for _ in range(3)])
    view = offline(html_file.html({"wide": blobs(values)}))
    assert len(state(view)["elbows"]) == 1000


def test_printing_is_one_page_and_light_on_any_screen(offline: Any) -> None:
    view = offline(html_file.html({"relu": blobs(noise(5))}))
    view.emulate_media(color_scheme="dark")
    until(view, "s => s.dark")
    view.set_viewport_size({"width": 800, "height": 600})
    pages = re.findall(rb"/Type\s*/Page\b", view.pdf(prefer_css_page_size=True))
    assert len(pages) == 1
    assert state(view)["dark"]


def test_a_page_of_many_points_computes_with_the_recorded_ones(offline: Any) -> None:
    n = 5000
    kinds = blobs(noise(3))
    _, header = wire_format.decode(kinds["data"])
    x = np.linspace(0, 1, n)
    recorded = np.linspace(0, n - 1, series.MOST_POINTS).round().astype(np.int32)
    more = {"x": x, "y": np.sin(x), "recorded": recorded}
    told = {key: value for key, value in header.items() if key != "arrays"}
    view = offline(html_file.html({"many": {**kinds, "data": wire_format.encode(more, **told)}}))
    assert len(state(view)["residual"]) == series.MOST_POINTS
    view.get_by_text("with 2\u2009000 of its 5\u2009000 points").wait_for()


def test_every_module_is_in_the_page_and_every_import_is_known() -> None:
    script = html_file.script()
    for file in STATIC.glob("*.js"):
        if file.name != "index.js":
            assert f"const m_{file.stem} = " in script, file.name
    assert not re.search(r"^\s*(?:import|export)\b", script, re.M)
