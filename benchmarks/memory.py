"""Peak memory of a function, in a process of its own, and of a program."""

import math
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


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


def of_tree(process: subprocess.Popen[Any]) -> float:
    """Wait for a process, and return the peak memory in MB of it and its children together; NaN where unknown.

    Known from Linux's /proc, ten times a second. Pages that processes share count in each.
    """
    peak = math.nan
    while process.poll() is None:
        pages = sum(map(_resident, _descendants(process.pid)))
        if pages:
            peak = max(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 0.0 if math.isnan(peak) else peak)
        time.sleep(0.1)
    return peak


def _descendants(pid: int) -> list[int]:
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        children = []
    return [pid, *(one for child in children for one in _descendants(child))]


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
