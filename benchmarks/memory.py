"""Peak memory of a function, in a process of its own."""

import multiprocessing
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection


def of_function(work: Callable[[], object]) -> float | None:
    """Return by how many MB `work` raises the peak memory of a fresh fork of this process; None without fork.

    To be called before this process has used torch's threads, which a fork cannot take along.
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

    return mb(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def mb(maxrss: int) -> float:
    """Return what `getrusage` calls ru_maxrss in MB."""
    # macOS counts bytes, others KiB
    return maxrss / 1e6 if sys.platform == "darwin" else maxrss * 1024 / 1e6
