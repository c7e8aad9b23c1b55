import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reluviz.training import helper_processes

# Each core runs its own test; torch's threads would only slow them down.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if TYPE_CHECKING:
    from playwright.sync_api import Browser

VIEW = "import sys; from reluviz.cli.view import main; sys.exit(main(sys.argv[1:]))"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# No sandbox, because continuous integration runs as root; and no background requests, which would wait for a network.
BROWSER_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests marked exhaustive unless -m names them, also where their whole module is marked long."""
    if "exhaustive" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("exhaustive")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("exhaustive")]


@pytest.fixture(scope="session", autouse=True)
def no_helper_processes() -> Iterator[None]:
    """Start no helper processes for commands that a test calls in its own process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(helper_processes, "start", lambda: None)
        yield


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        reason = f"no browser to test with: none of {', '.join(BROWSERS)} is on the PATH"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=BROWSER_ARGS)
        yield chromium
        chromium.close()


@contextlib.contextmanager
def _view_process(*args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", VIEW, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = threading.Timer(60, process.kill)
    deadline.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        deadline.cancel()
        if "http://" not in line:
            process.kill()
            pytest.fail(f"no address: {line!r}, {process.communicate()[1]!r}")
        yield process, line
    finally:
        deadline.cancel()
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)


@pytest.fixture(scope="session")
def view_process() -> Callable[..., AbstractContextManager[tuple[subprocess.Popen[str], str]]]:
    """`with view_process(*args) as (process, line)`: `reluviz view` in a new process, and the line that it printed."""
    return _view_process


@pytest.fixture(scope="session")
def tensorboard_server() -> Callable[[str | Path], AbstractContextManager[str]]:
    """`with tensorboard_server(folder) as url`: the TensorBoard server that `reluviz view folder` starts."""

    @contextlib.contextmanager
    def serve(folder: str | Path) -> Iterator[str]:
        with _view_process(str(folder), "--port", "0") as (_, line):
            yield next(word for word in line.split() if word.startswith("http://"))

    return serve
