"""The HTML page of a report: a single file with the right numbers, safe, and usable without network."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from browser import open_page, require_browser
from report_groups import diverge, make_group, make_groups, optimizer_groups

from reluviz.analysis.report import inline_images, page, pictures
from reluviz.analysis.report.groups import Group, Groups, ListedRun, Replica
from reluviz.analysis.report.page import format_number
from reluviz.errors import UserError

pytestmark = pytest.mark.long

EVIL = "<script>document.title='taken'</script>\"'&"


@dataclass(frozen=True)
class Row:
    settings: dict[str, Any]
    metric: str
    n: int
    diverged: int
    median: float
    q25: float
    q75: float
    low: float
    high: float


@dataclass(frozen=True)
class Finding:
    sentence: str
    verdict: str = "differs"


def rows(groups: Groups) -> list[Row]:
    found = []
    for group in groups.groups:
        q25, median, q75 = group.quartiles("loss/test")
        diverged = int(np.isinf(group.final["loss/test"]).sum())
        found.append(Row(dict(group.settings), "loss/test", len(group.replicas), diverged, median, q25, q75, q25, q75))
    return found


def with_folders(group: Group, folders: list[Path]) -> Group:
    """Return the group with each replica in a separate run."""
    replicas = tuple(Replica(folder, 0, i, "finished") for i, folder in enumerate(folders))
    return replace(group, replicas=replicas)


class ParsedPage(HTMLParser):
    """The elements of a page with their attributes, and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def shown(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """`shown(path, **context)` opens a page without network; errors and network requests fail the test."""
    require_browser()
    browser = request.getfixturevalue("browser")
    requested_urls: list[str] = []
    managers = []

    def show(path: Path, **context: Any) -> Any:
        manager = open_page(browser, offline=True, **context)
        view = manager.__enter__()
        managers.append(manager)
        view.on("request", lambda request_made: requested_urls.append(request_made.url))
        view.goto(path.as_uri())
        return view

    yield show
    for manager in managers:
        manager.__exit__(None, None, None)
    assert all(url.startswith(("file:", "data:")) for url in requested_urls), requested_urls


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Groups, Path]:
    """A page with all its sections: nine groups, one with a diverged replica, and two incomplete runs."""
    folder = tmp_path_factory.mktemp("report")
    groups = optimizer_groups(12)
    diverge(groups.groups[0], [3], 5)
    listed = (
        ListedRun(folder / "run 1", "damaged", "metrics.json is no JSON"),
        ListedRun(folder / "run 2", "unfinished", "at 7"),
    )
    groups = replace(groups, listed_runs=listed, runs=11)
    files = pictures.write(groups, folder / "pictures", ["png", "svg", "pdf"])
    found = [Finding("adam beats sgd & momentum"), Finding("sgd and momentum", "alike"), Finding("too few", "unknown")]
    page.write_page(groups, rows(groups), found, files, folder / "report.html")
    return groups, folder / "report.html"


def test_the_page_shows_how_many_runs_were_read_and_which_are_incomplete(report: tuple[Groups, Path]) -> None:
    text = " ".join("".join(ParsedPage(report[1].read_text("utf-8")).texts).split())
    assert "11 runs found; 108 replicas in 9 groups, which differ in model.width and optimizer." in text
    assert "Runs that are incomplete or left out: 1 damaged and 1 unfinished" in text
    assert "metrics.json is no JSON" in text
    assert "Differences that exceed the seeds' spread (1)adam beats sgd & momentum" in text
    assert "No difference beyond the seeds' spread (1)sgd and momentum" in text


def test_the_page_loads_no_other_file(report: tuple[Groups, Path]) -> None:
    found = ParsedPage(report[1].read_text("utf-8"))
    assert [tag for tag, given in found.elements if tag in ("link", "iframe", "object", "embed", "base")] == []
    assert all("src" not in given for given in found.all("script"))
    assert all(str(given["src"]).startswith("data:image/") for given in found.all("img"))
    assert all(str(given["href"])[:2] in ("./", "#f", "#t", "#p", "#r") for given in found.all("a"))
    assert not re.search(r"@import|url\(", report[1].read_text("utf-8").split("</style>")[0])


def test_the_page_is_small_and_has_every_picture_once_with_a_description(report: tuple[Groups, Path]) -> None:
    assert report[1].stat().st_size < 3_000_000
    images = ParsedPage(report[1].read_text("utf-8")).all("img")
    names = [picture.description for picture in pictures.draw_pictures(report[0])]
    assert [given["alt"] for given in images] == names
    assert len(set(names)) == len(names) == 6
    assert all(given["width"] == "960" and int(str(given["height"])) >= 600 for given in images)


def test_the_table_has_the_right_numbers_and_can_be_sorted_by_them(
    report: tuple[Groups, Path], shown: Callable[..., Any]
) -> None:
    groups, path = report
    view = shown(path)
    read = "[...document.querySelectorAll('tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    heads = view.evaluate("[...document.querySelectorAll('thead th')].map(h => h.textContent)")
    assert heads[:6] == ["model.width", "optimizer", "metric", "n", "diverged", "median"]
    table_rows = view.evaluate(read)
    expected = [format_number(float(np.median(group.final["loss/test"]))) for group in groups.groups]
    assert [row[5] for row in table_rows] == expected
    assert [row[4] for row in table_rows] == ["1"] + ["0"] * 8
    button = view.get_by_role("button", name="median")
    button.click()
    medians = np.array([np.median(group.final["loss/test"]) for group in groups.groups])
    assert [row[5] for row in view.evaluate(read)] == [expected[i] for i in np.argsort(medians)]
    assert view.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"
    button.click()
    assert [row[5] for row in view.evaluate(read)] == [expected[i] for i in np.argsort(-medians)]
    view.get_by_role("button", name="optimizer").click()
    assert [row[1] for row in view.evaluate(read)] == ["adam"] * 3 + ["momentum"] * 3 + ["sgd"] * 3
    view.get_by_role("button", name="model.width").click()
    assert [row[0] for row in view.evaluate(read)] == ["10"] * 3 + ["20"] * 3 + ["40"] * 3
    aligned = "[...document.querySelectorAll('td.number')].every(c => getComputedStyle(c).textAlign === 'right')"
    assert view.evaluate(aligned)


def test_infinity_is_sorted_above_all_numbers_and_nan_last(tmp_path: Path, shown: Callable[..., Any]) -> None:
    groups = make_groups(*(make_group({"a": name}, n=3) for name in "wxyz"))
    values = {"w": np.inf, "x": np.nan, "y": 2.0, "z": 10.0}
    table_rows = [Row({"a": name}, "loss/test", 3, 0, *[value] * 5) for name, value in values.items()]
    page.write_page(groups, table_rows, [], [], tmp_path / "report.html")
    view = shown(tmp_path / "report.html")
    order = "[...document.querySelectorAll('tbody tr')].map(r => r.cells[0].textContent).join('')"
    view.get_by_role("button", name="median").click()
    assert view.evaluate(order) == "yzwx"
    view.get_by_role("button", name="median").click()
    assert view.evaluate(order) == "wzyx"


@pytest.mark.parametrize("width", [800, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_the_window_in_light_and_in_dark_mode(
    report: tuple[Groups, Path], shown: Callable[..., Any], width: int, scheme: str
) -> None:
    view = shown(report[1], viewport={"width": width, "height": 900}, color_scheme=scheme)
    assert view.evaluate("document.documentElement.scrollWidth") == width
    assert view.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    style = "(e => { const s = getComputedStyle(e); return [s.color, s.backgroundColor] })"
    ink, ground = view.evaluate(f"{style}(document.body)")
    bright = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, ground)]
    assert (bright[0] > 600 and bright[1] < 150) == (scheme == "dark")
    white = "[...document.images].every(i => getComputedStyle(i).backgroundColor === 'rgb(255, 255, 255)')"
    assert view.evaluate(white)


def test_the_printed_page_is_light_and_unfolds_its_lists(
    report: tuple[Groups, Path], shown: Callable[..., Any]
) -> None:
    view = shown(report[1], color_scheme="dark")
    view.emulate_media(media="print", color_scheme="dark")
    assert view.evaluate("getComputedStyle(document.body).color") == "rgb(26, 26, 26)"
    assert view.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    view.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert view.evaluate("[...document.querySelectorAll('details.print')].every(d => d.open)")
    view.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not view.evaluate("[...document.querySelectorAll('details.print')].some(d => d.open)")
    assert len(re.findall(rb"/Type\s*/Page\b", view.pdf())) < 12


def test_screen_readers_find_headings_regions_and_columns(
    report: tuple[Groups, Path], shown: Callable[..., Any]
) -> None:
    view = shown(report[1])
    assert view.get_by_role("heading", level=1).count() == 1
    for name in ("Findings", "Table", "Pictures", "Runs"):
        assert view.get_by_role("region", name=name).count() >= 1
    assert view.get_by_role("columnheader").count() == 10
    assert view.locator("table caption").count() == 1
    assert view.locator("html").get_attribute("lang") == "en"


def test_names_that_contain_code_are_shown_and_not_run(tmp_path: Path, shown: Callable[..., Any]) -> None:
    folder = tmp_path / EVIL.replace("/", "_")
    folder.mkdir()
    (folder / f"{EVIL.replace('/', '_')}.html").write_text("")
    groups = make_groups(make_group({EVIL: EVIL, "b": 1}, n=3), make_group({EVIL: "x", "b": 2}, n=3, seed=1))
    moved = tuple(with_folders(group, [folder] * 3) for group in groups.groups)
    listed = (ListedRun(folder, EVIL, EVIL),)
    groups = replace(groups, groups=moved, folders=(folder,), listed_runs=listed)
    files = pictures.write(groups, tmp_path / "pictures", ["png", "svg"])
    table_rows = [replace(row, metric=EVIL) for row in rows(groups)]
    page.write_page(groups, table_rows, [Finding(EVIL)], files, tmp_path / "report.html")
    found = ParsedPage((tmp_path / "report.html").read_text("utf-8"))
    assert len(found.all("script")) == 1
    view = shown(tmp_path / "report.html")
    assert view.title().startswith("reluviz report: <script>")
    assert view.locator("script").count() == 1
    assert view.locator("tbody tr").first.locator("td").first.text_content() == EVIL
    assert view.locator("section#findings li").text_content() == EVIL


def test_an_injected_script_is_not_run(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    require_browser()
    groups = make_groups(make_group({}, n=2))
    text = page.render_page(groups, [], [], [], tmp_path / "report.html")
    (tmp_path / "report.html").write_text(text.replace("<main>", "<main><script>document.title = 'taken'</script>"))
    view = request.getfixturevalue("browser").new_page()
    view.goto((tmp_path / "report.html").as_uri())
    assert view.title() == "reluviz report: today"
    view.close()


def test_links_and_commands_work_for_unusual_run_names(
    tmp_path: Path, shown: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["with space", "100% #1?", "it's", "ümlaut", "a:b", "-x"]
    folders = [Path("runs") / name for name in names]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "fit.html").write_text("exported")
    groups = make_groups(with_folders(make_group({}, n=len(names)), folders))
    out = Path("out") / "deep" / "report.html"
    page.write_page(groups, [], [], [], out)
    found = ParsedPage(out.read_text("utf-8"))
    links = [str(given["href"]) for given in found.all("a") if str(given["href"]).startswith("./")]
    targets = [(out.parent / unquote(urlsplit(link).path)).resolve() for link in links]
    assert targets == [path.resolve() for folder in folders for path in (folder, folder / "fit.html")]
    assert all(urlsplit(link).scheme == "" for link in links)
    view = shown(out.resolve())
    commands = view.evaluate("[...document.querySelectorAll('code.command')].map(c => c.textContent)")
    arguments = [shlex.split(line) for line in commands]
    assert arguments == [["python", "-m", "reluviz", "view", str(folder)] for folder in folders]
    view.locator("summary").first.click()
    view.get_by_role("link", name="fit.html").first.click()
    assert view.text_content("body") == "exported"


def test_a_command_can_be_copied(tmp_path: Path, shown: Callable[..., Any]) -> None:
    groups = make_groups(with_folders(make_group({}, n=1), [tmp_path / "a run"]))
    page.write_page(groups, [], [], [], tmp_path / "report.html")
    view = shown(tmp_path / "report.html", permissions=["clipboard-read", "clipboard-write"])
    view.locator("summary").first.click()
    view.get_by_role("button", name="copy").click()
    view.get_by_role("button", name=re.compile("copied|selected")).wait_for()
    copied = view.evaluate("navigator.clipboard.readText().then(t => t || String(getSelection()))")
    assert copied == page.view_command(tmp_path / "a run")


@pytest.mark.skipif(os.name == "nt", reason="these shells quote differently")
def test_the_command_is_quoted_for_the_shell(tmp_path: Path) -> None:
    name = "a $HOME `b` 'c'"
    done = subprocess.run(
        ["sh", "-c", page.view_command(Path(name)).replace("python -m reluviz", f"{sys.executable} -c {PRINT}")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"view|{name}\n"


PRINT = shlex.quote("import sys; print('|'.join(sys.argv[1:]))")


@pytest.mark.long
def test_the_page_on_ten_thousand_runs_is_small(tmp_path: Path) -> None:
    members = []
    for i in range(500):
        group = make_group({"optimizer.lr": i / 500, "model.width": i}, n=20, snapshots=3, seed=i)
        members.append(with_folders(group, [Path(f"runs/{i}/{j}") for j in range(20)]))
    listed = tuple(ListedRun(Path(f"runs/bad/{i}"), "damaged", "cut off") for i in range(500))
    groups = replace(make_groups(*members), listed_runs=listed, runs=10_500)
    table_rows = [row for row in rows(groups) for _ in range(8)]
    page.write_page(groups, table_rows, [Finding(f"{i}") for i in range(5000)], [], tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 3_000_000
    text = "\n".join(ParsedPage((tmp_path / "report.html").read_text("utf-8")).texts)
    for words in (
        "10,500 runs found; 10,000 replicas in 500 groups",
        "damaged",
        "and 200 more runs",
        "and 300 more groups",
        "and 10 more runs",
        "The first 2,000 of 4,000 rows",
        "and 4,900 more",
    ):
        assert words in text, words


def test_pictures_that_would_make_the_page_too_large_are_linked(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    files = []
    for i in range(3):
        files.append(tmp_path / "pictures" / f"big {i}.png")
        files[-1].parent.mkdir(exist_ok=True)
        files[-1].write_bytes(b"\x89PNG\r\n\x1a\n" + random.bytes(900_000))
    page.write_page(make_groups(make_group({}, n=1)), [], [], files, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 3_000_000
    found = ParsedPage((tmp_path / "report.html").read_text("utf-8"))
    assert len(found.all("img")) == 2
    assert [given["href"] for given in found.all("a") if "big" in str(given["href"])] == ["./pictures/big%202.png"]


def test_the_smaller_file_of_a_picture_is_embedded_and_both_have_the_same_metadata(tmp_path: Path) -> None:
    groups = make_groups(*(make_group({"optimizer": "ädäm €"}, n=3, seed=i) for i in range(2)))
    files = pictures.write(groups, tmp_path, ["png", "svg"])
    for kind in ("png", "svg"):
        alone = inline_images.inline([path for path in files if path.suffix == f".{kind}"])
        assert [image.title for image in alone] == [picture.title for picture in pictures.draw_pictures(groups)]
        assert [image.description for image in alone] == [
            picture.description for picture in pictures.draw_pictures(groups)
        ]
        assert {image.size for image in alone} <= {(960, 600)} | {image.size for image in alone if image.size[1] > 600}
    for image in inline_images.inline(files):
        other = image.path.with_suffix({".png": ".svg", ".svg": ".png"}[image.path.suffix])
        assert image.path.stat().st_size <= other.stat().st_size


def test_floats_have_four_digits_and_integers_all() -> None:
    assert format_number(0.0123456) == "0.01235"
    assert format_number(-1.0) == "−1"
    assert format_number(12) == "12"
    assert format_number(1234567) == "1,234,567"
    assert format_number(float("inf")) == "∞"
    assert format_number(float("nan")) == "–"


def test_a_report_without_runs_has_a_page(tmp_path: Path, shown: Callable[..., Any]) -> None:
    page.write_page(Groups((Path("logs"),), (), (), (), 0), [], [], [], tmp_path / "report.html")
    view = shown(tmp_path / "report.html")
    assert "0 runs found; 0 replicas in 0 groups." in view.text_content("header")
    assert view.locator("section").count() == 0


def test_a_page_that_cannot_be_written_is_named_in_the_error_and_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(UserError, match=r"report\.html: cannot be written"):
        page.write_page(make_groups(make_group({}, n=1)), [], [], [], tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_new_page_replaces_the_old_one(tmp_path: Path) -> None:
    for name in ("first", "second"):
        page.write_page(make_groups(make_group({"optimizer": name}, n=1)), [], [], [], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "second" in text
    assert "first" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
