"""Replicas shared between threads. What is called must leave Python's lock alone, as compiled code does."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

THREADS = torch.get_num_threads()
"""How many threads share the replicas; a run may since have told torch, whose tensors are small, to use one."""
SHORTEST_SHARED = 2e6
"""Nanoseconds of work from which threads, which take 0.1 ms to start, share it."""
SHARES = 8
"""Parts of the work for each thread, so that none waits long for another that was held up."""


def run_in_threads(run: Callable[[int, int], None], replicas: int, nanoseconds: float, most: int | None = None) -> None:
    """Call run(first, last) for replicas first .. last - 1 until all have been, on several threads where that pays.

    Args:
        run: what is called.
        replicas: how many there are.
        nanoseconds: what one of them takes, about.
        most: for how many it is called at a time, at most; for any number by default.
    """
    threads = min(replicas, THREADS)
    shared = threads > 1 and replicas * nanoseconds >= SHORTEST_SHARED
    step = max(1, min(most or replicas, -(-replicas // (threads * SHARES)) if shared else replicas))
    parts = [(first, min(first + step, replicas)) for first in range(0, replicas, step)]
    # of a list, since two threads may ask it at the same time
    left = iter(parts)

    def work() -> None:
        for part in left:
            run(*part)

    if not shared:
        work()
        return
    with ThreadPoolExecutor(threads) as pool:
        try:
            for done in [pool.submit(work) for _ in range(threads)]:
                done.result()
        finally:
            # whoever is interrupted does not wait for what has not begun
            for _ in left:
                pass
