"""The peak memory of a function, measured in a new process."""

import multiprocessing
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection


def of_function(work: Callable[[], object]) -> float | None:
    """Return by how many MB `work` raises the peak memory of a new fork of this process; None without fork.

    Call it before this process uses torch's threads, which do not survive a fork.
    """
    if sys.platform in ("win32", "darwin"):
        return None
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(sender, work))
    child.start()
    sender.close()
    try:
        return float(receiver.recv())
    finally:
        child.join()


def _child(sender: Connection, work: Callable[[], object]) -> None:
    before = _peak()
    work()
    sender.send(_peak() - before)


def _peak() -> float:
    import resource

    return to_mb(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def to_mb(maxrss: int) -> float:
    """Return the field ru_maxrss of `getrusage` in MB."""
    # in bytes on macOS, in KiB on other systems
    return maxrss / 1e6 if sys.platform == "darwin" else maxrss * 1024 / 1e6
