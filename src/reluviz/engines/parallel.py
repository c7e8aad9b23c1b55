"""Replicas distributed over threads. This pays only for functions that release the GIL, as compiled code does."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

THREADS = torch.get_num_threads()
"""Number of threads. Read on import, because a run may later limit torch, whose tensors are small, to one thread."""
MIN_PARALLEL_NANOSECONDS = 2e6
"""Least work that is distributed over threads. Starting the threads takes 0.1 ms."""
CHUNKS_PER_THREAD = 8
"""Chunks of work for each thread; small chunks keep all threads busy when one of them is delayed."""


def run_in_threads(
    run: Callable[[int, int], None], replicas: int, nanoseconds: float, max_replicas: int | None = None
) -> None:
    """Call run(first, last) for chunks of replicas first .. last - 1 until all are done, in threads if that is faster.

    Args:
        run: the function to call.
        replicas: the number of replicas.
        nanoseconds: the estimated time of one replica.
        max_replicas: the most replicas in one call; unlimited by default.
    """
    threads = min(replicas, THREADS)
    parallel = threads > 1 and replicas * nanoseconds >= MIN_PARALLEL_NANOSECONDS
    size = -(-replicas // (threads * CHUNKS_PER_THREAD)) if parallel else replicas
    step = max(1, min(max_replicas or replicas, size))
    # an iterator over a list, since two threads may call `next` at the same time
    chunks = iter([(first, min(first + step, replicas)) for first in range(0, replicas, step)])

    def work() -> None:
        for chunk in chunks:
            run(*chunk)

    if not parallel:
        work()
        return
    with ThreadPoolExecutor(threads) as pool:
        try:
            for future in [pool.submit(work) for _ in range(threads)]:
                future.result()
        finally:
            # after an exception, discard the chunks that no thread has started
            for _ in chunks:
                pass
