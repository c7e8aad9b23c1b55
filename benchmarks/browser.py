"""Chromium without a window."""

import shutil
import sys
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Browser:
    """A browser of the machine, closed at the end of the block."""

    def __init__(self, *options: str) -> None:
        self._options = options

    def __enter__(self) -> Any:
        """Start it."""
        from playwright.sync_api import sync_playwright

        path = next(filter(None, map(shutil.which, BROWSERS)), None)
        if path is None:
            sys.exit(f"a browser is needed: one of {', '.join(BROWSERS)}")
        self._playwright = sync_playwright().start()
        options = ["--no-sandbox", *self._options]
        self._browser = self._playwright.chromium.launch(executable_path=path, args=options)
        return self._browser

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self._browser.close()
        self._playwright.stop()
