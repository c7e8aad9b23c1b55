"""A line in the terminal that shows the progress of a task in percent."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int], None]
"""Called with the number of steps done and the total number of steps."""


@contextmanager
def progress_line(label: str) -> Iterator[Progress]:
    """Yield a function that updates the line; erase the line at the end. Without a terminal, print nothing."""
    is_terminal = sys.stderr.isatty()

    def show(done: int, total: int) -> None:
        if is_terminal:
            print(f"\r\033[K{label}  {100 * done // total:3d} %", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        if is_terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
