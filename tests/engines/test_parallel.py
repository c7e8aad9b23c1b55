"""Replicas are shared between threads: each once, and no longer when something has gone wrong."""

import threading
from collections import Counter

import pytest

from reluviz.engines import parallel


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "THREADS", 4)


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize("nanoseconds", [0.0, 1e9])
@pytest.mark.parametrize("most", [None, 1, 7])
@pytest.mark.parametrize("replicas", [1, 2, 3, 40, 1001])
def test_every_replica_is_worked_on_once(replicas: int, most: int | None, nanoseconds: float) -> None:
    seen: Counter[int] = Counter()
    lock = threading.Lock()

    def run(first: int, last: int) -> None:
        assert 0 < last - first <= (most or replicas)
        with lock:
            seen.update(range(first, last))

    parallel.run_in_threads(run, replicas, nanoseconds, most)
    assert seen == Counter(range(replicas))


@pytest.mark.usefixtures("four")
def test_short_work_stays_in_its_thread_and_long_work_is_shared() -> None:
    together = threading.Barrier(4, timeout=30)
    seen: set[int] = set()

    def meet(first: int, last: int) -> None:
        seen.add(threading.get_ident())
        together.wait()

    parallel.run_in_threads(meet, 4, 1e9)
    assert len(seen) == 4
    seen.clear()
    parallel.run_in_threads(lambda first, last: seen.add(threading.get_ident()), 4, 1.0)
    assert seen == {threading.get_ident()}


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_an_error_nothing_more_is_begun(error: type[BaseException]) -> None:
    begun = []

    def fail(first: int, last: int) -> None:
        begun.append(first)
        raise error("torn")

    with pytest.raises(error, match="torn"):
        parallel.run_in_threads(fail, 1000, 1e9, most=1)
    # each thread ends with its first
    assert len(begun) <= 4
