"""Each standard tab of a real TensorBoard, in a real browser, shows data of every model."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reluviz.__main__ import main

pytestmark = pytest.mark.long

MODELS = ("constant", "linear", "relu")
SMALL_RUN = ["updates=4", "snapshots.every=1", "hydra.run.dir=${name}"]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for model in MODELS:
            patch.setattr(sys, "argv", ["reluviz", "train", f"+exp={model}", "replicas=2", *SMALL_RUN])
            assert main() == 0
    return folder


@pytest.fixture(scope="module")
def page(browser, tensorboard_server, logs) -> Iterator:  # type: ignore[no-untyped-def, type-arg]
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(30_000)
    with tensorboard_server(logs) as url:
        yield lambda tab: (page.goto("about:blank"), page.goto(f"{url}#{tab}"), page)[-1]
    page.close()


def test_the_scalars_tab_shows_the_elbows_first_and_lists_every_group(page) -> None:
    shown = page("scalars")
    shown.get_by_text("elbow/00", exact=True).first.wait_for()
    for group in ("grad", "loss", "slope_jump", "theta", "units", "votes"):
        shown.get_by_text(group, exact=True).first.wait_for()


def test_the_images_tab_has_a_slider_over_the_pictures_of_each_model(page) -> None:
    shown = page("images")
    shown.get_by_text("tag: fit").nth(len(MODELS) - 1).wait_for()
    assert shown.get_by_text("tag: fit").count() == len(MODELS)
    # five snapshots, updates 0 to 4; a card shows the last one after it has loaded its pictures
    shown.get_by_text("step 4").nth(len(MODELS) - 1).wait_for()


def test_the_histograms_tab_shows_elbows_and_slopes(page) -> None:
    shown = page("histograms")
    for tag in ("elbow", "input_slope"):
        shown.get_by_text(f"tag: {tag}", exact=True).first.wait_for()


def test_the_custom_scalars_tab_shows_the_layout(page) -> None:
    shown = page("custom_scalars")
    for chart in ("train, test and batch", "norm of the gradient"):
        shown.get_by_text(chart, exact=True).first.wait_for()


def test_the_hparams_tab_has_a_row_for_each_run_with_its_settings_and_results(page) -> None:
    shown = page("hparams")
    for word in ("ReLUModule", "ConstantModule", "LinearModule", "optimizer.lr", "loss/train"):
        shown.get_by_text(word, exact=True).first.wait_for()


def test_the_text_tab_shows_results_and_settings_as_tables(page) -> None:
    shown = page("text")
    shown.get_by_text("After 4 updates").first.wait_for()
    shown.locator("table").get_by_text("optimizer.lr").first.wait_for()
