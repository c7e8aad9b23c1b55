"""Workers of a pool end with the process that started the pool."""

import functools
import os
import threading
import time

POLL_SECONDS = 0.5


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
            time.sleep(POLL_SECONDS)
        os._exit(1)

    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=watch_parent, name="parent", daemon=True).start()
