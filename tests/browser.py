"""What the tests of the tab share: a page that reports its errors, and ways to wait for its state."""

import contextlib
import http.client
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import BROWSERS

import reluviz.tab

STATIC = Path(reluviz.tab.__file__).parent / "static"
WAIT = 20_000
IGNORED = ("Multiple instances of Three.js", "/favicon.ico")
"""What TensorBoard's own pages report."""


def needs_browser() -> None:
    """Fail where there is no browser: a view that was not looked at has not been tested."""
    if not any(map(shutil.which, BROWSERS)):
        pytest.fail(f"no browser to test with: none of {', '.join(BROWSERS)} is on the PATH")


@contextlib.contextmanager
def opened(browser: Any, **context: Any) -> Iterator[Any]:
    """A new page; whatever it reports as an error fails the test at its end."""
    page = browser.new_page(**{"viewport": {"width": 1400, "height": 900}, **context})
    page.set_default_timeout(WAIT)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console", lambda said: errors.append(f"{said.text} {said.location['url']}") if said.type == "error" else None
    )
    try:
        yield page
        errors = [error for error in errors if not any(known in error for known in IGNORED)]
        assert not errors, errors
    finally:
        page.close()


def tab(page: Any) -> Any:
    """The frame in which TensorBoard shows the tab, once its first run is drawn."""
    handle = page.wait_for_selector("iframe[src*='name=reluviz']", state="attached")
    frame = handle.content_frame()
    until(frame, "s => s.ready")
    return frame


def until(frame: Any, condition: str, timeout: float = WAIT) -> dict[str, Any]:
    """Wait until the state meets a condition, a JavaScript function of it, and return the state."""
    frame.wait_for_function(f"window.reluvizState && ({condition})(window.reluvizState)", timeout=timeout)
    return state(frame)


def state(frame: Any) -> dict[str, Any]:
    """The state, after what has changed has been drawn."""
    found: dict[str, Any] = frame.evaluate(
        "new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(window.reluvizState))))"
    )
    return found


def place(frame: Any, kind: str, key: str, which: int) -> tuple[float, float]:
    """Where on the page a unit, point or dot is drawn, for the mouse."""
    (found,) = [one for one in state(frame)["places"][kind] if one[key] == which]
    return offset(frame, found)


def offset(frame: Any, found: dict[str, float]) -> tuple[float, float]:
    """A place in a frame as a place on the page."""
    element = frame.frame_element() if frame.parent_frame else None
    box = element.bounding_box() if element else {"x": 0, "y": 0}
    return box["x"] + found["x"], box["y"] + found["y"]


@contextlib.contextmanager
def modules(browser: Any) -> Iterator[Callable[[str, Any], Any]]:
    """`run(code, argument)` runs JavaScript in which `math` and `wire` are the tab's own modules."""
    with opened(browser) as page:

        def answer(route: Any) -> None:
            name = route.request.url.rsplit("/", 1)[1]
            kind = "text/javascript" if name.endswith(".js") else "text/html"
            body = (STATIC / name).read_text() if name.endswith(".js") else "<!DOCTYPE html><link rel=icon href=data:,>"
            route.fulfill(body=body, content_type=kind)

        page.route("http://tab.test/**", answer)
        page.goto("http://tab.test/index.html")

        def run(code: str, argument: Any = None) -> Any:
            loaded = "const [math, wire] = await Promise.all([import('./math.js'), import('./wire.js')]);"
            return page.evaluate(f"async (given) => {{ {loaded} {code} }}", argument)

        yield run


@contextlib.contextmanager
def tensorboard(folder: Path, fast: bool = True) -> Iterator[str]:
    """TensorBoard on a folder, as a user starts it, with either of its readers; gives its address."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", "0"]
    reader = f"--load_fast={'true' if fast else 'false'}"
    process = subprocess.Popen([*command, reader], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    guard = threading.Timer(60, process.kill)
    guard.start()
    said = []
    try:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            address = re.search(r"http://\S+", line) if "TensorBoard" in line else None
            if address:
                break
        else:
            pytest.fail(f"TensorBoard did not start: {said}")
        yield address[0]
    finally:
        guard.cancel()
        process.terminate()
        process.communicate(timeout=30)


def ask(address: str, path: str) -> tuple[int, bytes, str]:
    """Status, body and kind of one of the plugin's answers; the path is sent as it is."""
    host = address.split("/")[2]
    connection = http.client.HTTPConnection(host, timeout=20)
    try:
        connection.request("GET", f"/data/plugin/reluviz/{path}")
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.getheader("Content-Type", "")
    finally:
        connection.close()


def read(address: str, last: dict[str, int], timeout: float = 30) -> list[dict[str, Any]]:
    """Wait until TensorBoard has read these runs, each up to its last update, and return what is listed."""
    deadline = time.monotonic() + timeout
    while True:
        listed: list[dict[str, Any]] = json.loads(ask(address, "runs")[1])["runs"]
        there = {one["run"]: one["last"] for one in listed}
        if last.items() <= there.items():
            return listed
        assert time.monotonic() < deadline, f"only {there} of {last}"
        time.sleep(0.1)
