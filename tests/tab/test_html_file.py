"""The HTML page, opened from a file without a network, is the same view as the tab."""

import base64
import gzip
import re
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
from browser import current_state, open_page, require_browser, wait_for_state
from tab_runs import drifting_networks, random_network

from reluviz import Dataset, ReLUModule, SegmentData, SnapshotLogger, load_run
from reluviz.core import votes
from reluviz.core.elbows import STATUS
from reluviz.core.functions import PARAMETERS, mean_squared_error
from reluviz.core.models import MODELS
from reluviz.core.theory.baselines import reference_values
from reluviz.data import EverySchedule
from reluviz.data.targets import piecewise_linear
from reluviz.record.logger import RunLogger
from reluviz.tab import html_file, series, wire_format
from reluviz.tab.static_files import read_static, resolve_import, static_files
from reluviz.training.lightning_startup import quiet

MAX_BYTES = 500_000


def blobs(values: Any, name: str = "relu") -> dict[str, bytes]:
    """The blobs of a run of S snapshots [S, R, P], as the page embeds them."""
    data = piecewise_linear()
    width = (values.shape[2] - 1) // 3
    arrays = {"x": data.x, "y": data.y, "target": data.target(data.x), "x_test": data.x_test, "y_test": data.y_test}
    header = {"model": "relu", "name": name, "domain": [0, 1], "trained": list(PARAMETERS["relu"])}
    header |= {"seeds": list(range(values.shape[1])), "settings": {"optimizer.lr": 0.02}, "dtype": "float32"}
    count = len(values)
    fields = [[key, 1 if key == "output_bias" else width] for key in PARAMETERS["relu"]]
    updates = np.array([0, 1, *(1000.0 * np.arange(1, count - 1))])[:count]
    params = {"update": updates, "wall": updates, "values": values.astype(np.float32)}
    random = np.random.default_rng(0)
    losses = {f"v{i}": random.uniform(size=count).astype(np.float32) for i in range(3)}
    tags = ["loss/train", "loss/test", "loss/batch"]
    return {
        "data": wire_format.encode({**arrays, "recorded": np.arange(len(data.x), dtype=np.int32)}, **header),
        "params": wire_format.encode(params, fields=fields),
        "scalars": wire_format.encode({**losses, **{f"u{i}": updates for i in range(3)}}, tags=tags),
    }


def incompressible(snapshots: int) -> Any:
    """Parameters that compress no better than those of a real run."""
    return drifting_networks(snapshots) + np.random.default_rng(1).normal(size=(snapshots, 1, 61)) * 0.01


@pytest.fixture
def offline(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """`offline(html)` opens a page from a file with the network off; errors that it reports fail the test."""
    require_browser()
    browser = request.getfixturevalue("browser")
    with open_page(browser, offline=True) as view:
        requested: list[str] = []
        view.on("request", lambda made: requested.append(made.url))

        def offline(html: str, link: str = "") -> Any:
            file = tmp_path / "page.html"
            file.write_text(html, "utf-8")
            view.goto(f"{file.as_uri()}{link}")
            wait_for_state(view, "s => s.ready")
            return view

        yield offline
        assert all(url.startswith("file:") for url in requested), requested


def test_the_page_is_small_and_shows_the_run_without_a_network(offline: Any) -> None:
    values = incompressible(152)
    html = html_file.html({"relu": blobs(values)})
    assert len(html.encode()) < MAX_BYTES
    assert not re.search(r"""(?:src|href)\s*=\s*["']?https?:|@import|url\(""", html)
    view = offline(html)
    found = current_state(view)
    assert (len(found["snapshots"]), found["update"]) == (152, 150_000)
    assert found["net"]["w"] == values[-1, 0, :20].astype(np.float32).tolist()
    assert sum(found["share"]) == pytest.approx(1)
    view.locator("body").press("Home")
    view.locator("body").press("Space")
    assert wait_for_state(view, "s => s.update > 3000 && s.frames.count > 10")["playing"]


def test_the_address_selects_run_unit_and_point_and_what_if_works(offline: Any) -> None:
    values = incompressible(20)
    html = html_file.html({"one": blobs(values), "two </script> & é": blobs(values + 0.1)}, title="a <title>")
    view = offline(html, "#runs=one&step=5000&unit=7&point=50&scale=log")
    found = current_state(view)
    assert [found[key] for key in ("selected", "update", "unit", "point", "scale")] == [["one"], 5000, 7, 50, "log"]
    assert found["runs"] == ["one", "two </script> & é"]
    assert view.title() == "a <title>"
    view.get_by_role("button", name="Solve output weights").click()
    assert current_state(view)["lossTrain"] < found["lossTrain"]
    view.get_by_role("button", name="Light or dark").click()
    assert current_state(view)["dark"] != found["dark"]


def test_a_page_shows_all_its_runs_at_once_even_without_losses(offline: Any) -> None:
    some = {name: kinds for name, kinds in blobs(incompressible(5)).items() if name != "scalars"}
    view = offline(html_file.html({"one": some, "two": some}))
    assert current_state(view)["selected"] == ["one", "two"]


def scaled_run(folder: Path) -> Any:
    """A short run on data far from 0, as `load_run` returns it."""
    random = np.random.default_rng(4)
    x = 2e4 + 300 * np.sort(random.uniform(size=50))
    y = -5e6 + 2e5 * np.sin((x - 2e4) / 50) + 1e4 * random.normal(size=50)
    dataset = Dataset("far", x, y, (float(x[0]), float(x[-1])), x[::5] + 1, y[::5] + 1, scale="auto")
    with quiet():
        trainer = L.Trainer(
            accelerator="cpu",
            max_epochs=1,
            logger=RunLogger(str(folder)),
            callbacks=[SnapshotLogger(pictures=0)],
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            log_every_n_steps=0,
        )
        trainer.fit(ReLUModule(width=6), SegmentData(dataset, updates=2000, snapshots=EverySchedule(500)))
    return load_run(folder)


def test_a_run_on_scaled_data_is_shown_in_the_users_units(offline: Any, tmp_path: Path) -> None:
    run = scaled_run(tmp_path / "run")
    assert not run.data.scaling.identity
    view = offline(html_file.html({"far": run.payload()}), "#unit=2&point=7")
    found, snapshot, scale = current_state(view), run.snapshot(), run.data.scaling
    np.testing.assert_allclose(found["elbows"], run.elbow[-1, 0], rtol=1e-9)
    np.testing.assert_allclose(found["slopeJumps"], run.slope_jump[-1, 0], rtol=1e-12)
    np.testing.assert_allclose(found["net"]["w"], run.input_slope[-1, 0], rtol=1e-15)
    np.testing.assert_allclose(found["net"]["c"], run.output_bias[-1, 0], rtol=1e-15)
    np.testing.assert_allclose(found["residual"], snapshot.residual[0], rtol=1e-9)
    np.testing.assert_allclose(found["share"], snapshot.votes.share[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found["lossTrain"], run.loss()[-1, 0], rtol=1e-12)
    np.testing.assert_allclose(found["lossTest"], run.loss("test")[-1, 0], rtol=1e-12)
    assert found["status"] == [STATUS[code] for code in run.unit_status[-1, 0]]
    assert "scaled data" in view.locator("header.bar").inner_text()
    # a point is given with the digits that tell it from its neighbours
    assert f"{run.data.x[7]:.5g}" in view.locator(".inspector").inner_text().replace("\u202f", "")
    elbow = view.get_by_label("elbow", exact=True)
    elbow.fill("20150")
    elbow.press("Enter")
    moved = current_state(view)
    assert moved["whatIf"]
    assert moved["elbows"][2] == pytest.approx(20150, rel=1e-12)
    p = {name: value[-1].copy() for name, value in run.parameters.items()}
    p["bias"][0, 2] = -scale.trained_x(20150.0) * p["input_slope"][0, 2]
    points = run.data.as_trained
    wanted = scale.user_loss(mean_squared_error("relu", p, points.x, points.y))[0]
    assert moved["lossTrain"] == pytest.approx(wanted, rel=1e-9)
    wanted_shares = votes.vote_share(votes.per_sample_gradients("relu", p, points.x, points.y))[0]
    np.testing.assert_allclose(moved["share"], wanted_shares, rtol=1e-6, atol=1e-9)
    view.get_by_role("button", name="Solve output weights").click()
    solved = reference_values("relu", p, run.data, None).least_squares
    assert solved is not None
    assert current_state(view)["lossTrain"] == pytest.approx(solved.losses.train[0], rel=1e-8)


def test_a_model_that_the_page_does_not_know_is_named_in_one_sentence(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    require_browser()
    kinds = blobs(incompressible(5))
    arrays, header = wire_format.decode(kinds["data"])
    header = {key: value for key, value in header.items() if key != "arrays"} | {"model": "cubic"}
    (tmp_path / "page.html").write_text(
        html_file.html({"new": {**kinds, "data": wire_format.encode(arrays, **header)}}), "utf-8"
    )
    with open_page(request.getfixturevalue("browser")) as view:
        view.goto((tmp_path / "page.html").as_uri())
        view.get_by_text(f'This page cannot show the model "cubic"; it knows {", ".join(sorted(MODELS))}.').wait_for()
        assert current_state(view)["message"].startswith("new cannot be shown.")


def test_an_empty_page_shows_the_command_that_makes_a_run(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    require_browser()
    (tmp_path / "page.html").write_text(html_file.html({}), "utf-8")
    with open_page(request.getfixturevalue("browser")) as view:
        view.goto((tmp_path / "page.html").as_uri())
        view.get_by_text("python -m reluviz train +exp=relu").wait_for()


def test_a_thousand_units_are_drawn(offline: Any) -> None:
    random = np.random.default_rng(0)
    values = np.stack([random_network(random, 1000) for _ in range(3)])
    view = offline(html_file.html({"wide": blobs(values)}))
    assert len(current_state(view)["elbows"]) == 1000


def test_a_printed_page_is_one_sheet_in_light_colours(offline: Any) -> None:
    view = offline(html_file.html({"relu": blobs(incompressible(5))}))
    view.emulate_media(color_scheme="dark")
    wait_for_state(view, "s => s.dark")
    view.set_viewport_size({"width": 800, "height": 600})
    pages = re.findall(rb"/Type\s*/Page\b", view.pdf(prefer_css_page_size=True))
    assert len(pages) == 1
    assert current_state(view)["dark"]


def test_a_page_with_many_points_computes_with_the_recorded_points(offline: Any) -> None:
    n = 5000
    kinds = blobs(incompressible(3))
    _, header = wire_format.decode(kinds["data"])
    x = np.linspace(0, 1, n)
    recorded = np.linspace(0, n - 1, series.MAX_POINTS).round().astype(np.int32)
    more = {"x": x, "y": np.sin(x), "recorded": recorded}
    header = {key: value for key, value in header.items() if key != "arrays"}
    view = offline(html_file.html({"many": {**kinds, "data": wire_format.encode(more, **header)}}))
    assert len(current_state(view)["residual"]) == series.MAX_POINTS
    view.get_by_text("with 2\u202f000 of its 5\u202f000 points").wait_for()


def test_the_script_holds_every_module_in_its_own_variable_and_no_import() -> None:
    found: set[str] = set()
    for entry in (html_file.PAGE_ENTRY, html_file.PLAYGROUND_ENTRY):
        script = html_file.script(entry)
        variables = re.findall(r"^const (m_\w+) = \(\(\) =>", script, re.M)
        assert {"m_core_votes", "m_core_models", "m_core_models_relu"} <= set(variables)
        assert len(variables) == len(set(variables))
        assert not re.search(r"^\s*(?:import|export)\b", script, re.M)
        found |= set(variables)
    # index.js is TensorBoard's
    modules = [path for path in static_files() if path.endswith(".js") and path != "app/index.js"]
    assert len(found) == len(modules)


@pytest.mark.parametrize("target", ["../../secret.js", "../../../etc/passwd", "../x/../../html_file.py", "/etc/passwd"])
def test_an_import_from_outside_of_static_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match=r"core/votes\.js imports .* outside of static/"):
        resolve_import("core/votes.js", target)


def test_an_import_of_a_missing_file_is_refused() -> None:
    assert resolve_import("views/votes.js", "../core/votes.js") == "core/votes.js"
    assert resolve_import("core/models/relu.js", "../elbows.js") == "core/elbows.js"
    with pytest.raises(ValueError, match=r"there is no core/none\.js in static/"):
        read_static(resolve_import("core/votes.js", "./none.js"))


MODULES = sorted(path for path in static_files() if path.endswith(".js"))


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("// a comment\nconst a = 1; // stays\n\n  b();\n", "const a = 1; // stays\nb();\n"),
        ("/** several\n * lines */\nconst a = {\n  b: 2,\n};\n", "const a = {\nb: 2,\n};\n"),
        ("/* one */\n  /**\n   * c */\na(/* here */ b);\n", "a(/* here */ b);\n"),
        ('a("  // no comment", `/* nor here */`);\n', 'a("  // no comment", `/* nor here */`);\n'),
        ("a\n* b /* c */;\n", "a\n* b /* c */;\n"),
        ("", ""),
    ],
)
def test_comments_and_indentation_are_left_out(code: str, wanted: str) -> None:
    assert html_file.without_comments(code) == wanted
    assert html_file.without_comments(wanted) == wanted


@pytest.mark.parametrize("path", MODULES)
def test_a_module_keeps_all_its_code(path: str) -> None:
    text = static_files()[path].decode()
    kept = html_file.without_comments(text).splitlines()
    lines = [line.strip() for line in text.splitlines()]
    # the lines that are left out are empty or comments, and the others are whole and in order
    left = iter(lines)
    out = [line for wanted in kept for line in iter(lambda: next(left), wanted)] + list(left)
    assert all(re.match(r"$|//|/\*|\*", line) for line in out), out
    # white space at the begin of a line would be part of a template literal that spans lines
    assert all(re.sub(r"\\.", "", line).count("`") % 2 == 0 for line in kept)


def test_a_page_holds_its_script_compressed() -> None:
    (packed,) = re.findall(r'<script type="reluviz/code">([^<]*)</script>', html_file.html({}))
    assert gzip.decompress(base64.b64decode(packed)).decode() == html_file.script()
    assert html_file.script().endswith("m_app_page.startPage(document.body);")
