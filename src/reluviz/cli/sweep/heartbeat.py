"""A sign of life that works across processes and machines: a file with a number that grows."""

import functools
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FILE_NAME = ".pulse"
INTERVAL_SECONDS = 1.0
"""Between two heartbeats."""
TIMEOUT_SECONDS = 15.0
"""Without a heartbeat for this long, a job in another process counts as dead."""


@contextmanager
def heartbeat(folder: Path) -> Iterator[None]:
    """Show within this context that a job is running in the folder."""
    file = folder / FILE_NAME
    ended = threading.Event()

    def write(number: int) -> None:
        with suppress(OSError):
            file.write_text(str(number), encoding="ascii")

    def beat() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            write(number)
            ended.wait(INTERVAL_SECONDS)

    # before the thread starts, so that the job shows as running from its first moment
    write(0)
    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with suppress(OSError):
            file.unlink()


@functools.cache
def exit_with_parent(parent: int) -> None:
    """Make this process exit as soon as it is no longer a child of the process `parent`.

    The workers of a pool outlive a parent that was killed. They would continue to train runs that a resumed sweep
    trains too. A pool of size one has no workers: its jobs run in the parent, which is left alone.
    """
    if os.getpid() == parent:
        return

    def watch_parent() -> None:
        while os.getppid() == parent:
            time.sleep(INTERVAL_SECONDS / 2)
        os._exit(1)

    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=watch_parent, name="parent", daemon=True).start()


def running_folders(folders: Iterable[Path], seconds: float = 2.5 * INTERVAL_SECONDS) -> list[Path]:
    """Return the folders in which a job is running now; waits `seconds` if any has a heartbeat file."""
    before = {folder: beat for folder in folders if (beat := last_beat(folder)) is not None}
    if not before:
        return []
    time.sleep(seconds)
    return [folder for folder, beat in before.items() if last_beat(folder) not in (None, beat)]


def last_beat(folder: Path) -> str | None:
    """Return the content of a folder's heartbeat file, or None if no job is running there."""
    try:
        # read the file, because network file systems cache modification times for seconds
        return (folder / FILE_NAME).read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
