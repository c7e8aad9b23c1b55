"""Helpers for browser tests: a page that reports its errors, the state of the view, a running TensorBoard."""

import contextlib
import http.client
import json
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import BROWSERS

import reluviz.tab

STATIC = Path(reluviz.tab.__file__).parent / "static"
TIMEOUT_MS = 20_000
IGNORED_ERRORS = ("Multiple instances of Three.js", "/favicon.ico")
"""Errors that TensorBoard's pages report."""
CORE_MODULES = tuple(
    f"core/{name}" for name in ("elbows", "functions", "least_squares", "models", "scaling", "votes", "wire_format")
)


def require_browser() -> None:
    """Fail the test if there is no browser."""
    if not any(map(shutil.which, BROWSERS)):
        pytest.fail(f"no browser to test with: none of {', '.join(BROWSERS)} is on the PATH")


@contextlib.contextmanager
def open_page(browser: Any, **context: Any) -> Iterator[Any]:
    """Open a page; any error that it reports fails the test at its end."""
    page = browser.new_page(**{"viewport": {"width": 1400, "height": 900}, **context})
    page.set_default_timeout(TIMEOUT_MS)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    def on_console(message: Any) -> None:
        if message.type == "error":
            errors.append(f"{message.text} {message.location['url']}")

    page.on("console", on_console)
    try:
        yield page
        errors = [error for error in errors if not any(known in error for known in IGNORED_ERRORS)]
        assert not errors, errors
    finally:
        page.close()


def tab_frame(page: Any) -> Any:
    """The frame in which TensorBoard shows the tab, after its first run is drawn."""
    handle = page.wait_for_selector("iframe[src*='name=reluviz']", state="attached")
    frame = handle.content_frame()
    wait_for_state(frame, "s => s.ready")
    return frame


def wait_for_state(frame: Any, condition: str, timeout: float = TIMEOUT_MS) -> dict[str, Any]:
    """Wait until the state meets a condition, a JavaScript function of the state, and return the state."""
    frame.wait_for_function(f"window.reluvizState && ({condition})(window.reluvizState)", timeout=timeout)
    return current_state(frame)


def current_state(frame: Any) -> dict[str, Any]:
    """The state, after all changes have been drawn."""
    found: dict[str, Any] = frame.evaluate(
        "new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(window.reluvizState))))"
    )
    return found


def position_of(frame: Any, kind: str, key: str, which: int) -> tuple[float, float]:
    """The position on the page at which a unit or a point is drawn."""
    (position,) = [entry for entry in current_state(frame)["places"][kind] if entry[key] == which]
    return page_position(frame, position)


def page_position(frame: Any, position: dict[str, float]) -> tuple[float, float]:
    """A position in a frame as a position on the page."""
    element = frame.frame_element() if frame.parent_frame else None
    box = element.bounding_box() if element else {"x": 0, "y": 0}
    return box["x"] + position["x"], box["y"] + position["y"]


@contextlib.contextmanager
def javascript_modules(browser: Any, *paths: str) -> Iterator[Callable[[str, Any], Any]]:
    """`run(code, argument)` runs JavaScript code in which modules of static/ are variables with their names.

    `paths` names the modules, such as "trainer/philox"; those of static/core by default.
    """
    paths = paths or CORE_MODULES
    names = ", ".join(path.rpartition("/")[2] for path in paths)
    modules = ", ".join(f"import('./{path}.js')" for path in paths)
    with open_page(browser) as page:

        def answer(route: Any) -> None:
            path = urllib.parse.urlsplit(route.request.url).path.lstrip("/")
            if path.endswith(".js"):
                route.fulfill(body=(STATIC / path).read_text(), content_type="text/javascript")
            else:
                route.fulfill(body="<!DOCTYPE html><link rel=icon href=data:,>", content_type="text/html")

        page.route("http://tab.test/**", answer)
        page.goto("http://tab.test/index.html")

        def run(code: str, argument: Any = None) -> Any:
            load = f"const [{names}] = await Promise.all([{modules}]);"
            return page.evaluate(f"async (given) => {{ {load} {code} }}", argument)

        yield run


@contextlib.contextmanager
def running_tensorboard(folder: Path, fast: bool = True) -> Iterator[str]:
    """Run TensorBoard on a folder, as a user does, with one of its two readers; yields its address."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", "0"]
    reader = f"--load_fast={'true' if fast else 'false'}"
    process = subprocess.Popen([*command, reader], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    kill_timer = threading.Timer(60, process.kill)
    kill_timer.start()
    output = []
    try:
        assert process.stderr is not None
        for line in process.stderr:
            output.append(line)
            address = re.search(r"http://\S+", line) if "TensorBoard" in line else None
            if address:
                break
        else:
            pytest.fail(f"TensorBoard did not start: {output}")
        # only the start is limited: the tests of a file share a server for longer
        kill_timer.cancel()
        yield address[0]
    finally:
        kill_timer.cancel()
        process.terminate()
        process.communicate(timeout=30)


def get_route(address: str, path: str) -> tuple[int, bytes, str]:
    """Status, body and content type of the answer to one of the plugin's routes; the path is sent without changes."""
    host = address.split("/")[2]
    connection = http.client.HTTPConnection(host, timeout=20)
    try:
        connection.request("GET", f"/data/plugin/reluviz/{path}")
        response = connection.getresponse()
        return response.status, response.read(), response.getheader("Content-Type", "")
    finally:
        connection.close()


def wait_for_runs(address: str, last: dict[str, int], timeout: float = 30) -> list[dict[str, Any]]:
    """Wait until TensorBoard has read each of these runs up to its last update, and return its list of runs."""
    deadline = time.monotonic() + timeout
    while True:
        listed: list[dict[str, Any]] = json.loads(get_route(address, "runs")[1])["runs"]
        found = {entry["run"]: entry["last"] for entry in listed}
        if last.items() <= found.items():
            return listed
        assert time.monotonic() < deadline, f"only {found} of {last}"
        time.sleep(0.1)
