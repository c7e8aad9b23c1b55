"""A line of the terminal that says how far something is."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int], None]


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """Keep a line of the terminal up to date, and take it away at the end; without a terminal, show nothing."""
    shown = sys.stderr.isatty()

    def show(done: int, total: int) -> None:
        if shown:
            print(f"\r\033[K{what}  {100 * done // total:3d} %", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        if shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
