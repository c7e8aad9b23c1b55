"""Threads process every replica exactly once, and stop after an exception."""

import threading
from collections import Counter

import pytest

from reluviz.engines import parallel


@pytest.fixture
def four_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "THREADS", 4)


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("nanoseconds", [0.0, 1e9])
@pytest.mark.parametrize("max_replicas", [None, 1, 7])
@pytest.mark.parametrize("replicas", [1, 2, 3, 40, 1001])
def test_every_replica_is_processed_once(replicas: int, max_replicas: int | None, nanoseconds: float) -> None:
    seen: Counter[int] = Counter()
    lock = threading.Lock()

    def run(first: int, last: int) -> None:
        assert 0 < last - first <= (max_replicas or replicas)
        with lock:
            seen.update(range(first, last))

    parallel.run_in_threads(run, replicas, nanoseconds, max_replicas)
    assert seen == Counter(range(replicas))


@pytest.mark.usefixtures("four_threads")
def test_short_work_stays_in_the_calling_thread_and_long_work_is_distributed() -> None:
    barrier = threading.Barrier(4, timeout=30)
    seen: set[int] = set()

    def meet(first: int, last: int) -> None:
        seen.add(threading.get_ident())
        barrier.wait()

    parallel.run_in_threads(meet, 4, 1e9)
    assert len(seen) == 4
    seen.clear()
    parallel.run_in_threads(lambda first, last: seen.add(threading.get_ident()), 4, 1.0)
    assert seen == {threading.get_ident()}


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_no_further_chunk_starts_after_an_exception(error: type[BaseException]) -> None:
    started = []

    def fail(first: int, last: int) -> None:
        started.append(first)
        raise error("failed")

    with pytest.raises(error, match="failed"):
        parallel.run_in_threads(fail, 1000, 1e9, max_replicas=1)
    # each thread stops at its first chunk
    assert len(started) <= 4
