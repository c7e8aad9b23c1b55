"""A sign of life that works across processes and machines: a file in which a number grows."""

import functools
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NAME = ".pulse"
SECONDS = 1.0
"""Between two beats."""
PATIENCE = 15.0
"""Seconds without a beat after which a job elsewhere counts as dead."""


@contextmanager
def heartbeat(folder: Path) -> Iterator[None]:
    """Show that a job is being run in this folder."""
    file = folder / NAME
    ended = threading.Event()

    def show(number: int) -> None:
        with suppress(OSError):
            file.write_text(str(number), encoding="ascii")

    def beat() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            show(number)
            ended.wait(SECONDS)

    # whoever looks as soon as the job has begun is to see it
    show(0)
    thread = threading.Thread(target=beat, name="pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with suppress(OSError):
            file.unlink()


@functools.cache
def end_with(parent: int) -> None:
    """End this process as soon as it is no longer a child of `parent`.

    A pool's workers outlive a parent that was killed, and would train what somebody else goes on with. A pool of one
    has no workers: its jobs run in the parent itself.
    """
    if os.getpid() == parent:
        return

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS / 2)
        os._exit(1)

    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=look, name="parent", daemon=True).start()


def beating(folders: Iterable[Path], seconds: float = 2.5 * SECONDS) -> list[Path]:
    """Return the folders in which something is being run now; waits if any looks as though."""
    before = {folder: beat for folder in folders if (beat := last(folder)) is not None}
    if not before:
        return []
    time.sleep(seconds)
    return [folder for folder, beat in before.items() if last(folder) not in (None, beat)]


def last(folder: Path) -> str | None:
    """Return the last beat, or None where nothing is being run."""
    try:
        # opened, and not only looked up: network file systems cache times for seconds
        return (folder / NAME).read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
