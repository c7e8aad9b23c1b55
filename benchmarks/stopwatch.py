"""A stopwatch for functions within functions."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from importlib import import_module
from typing import Any
from unittest import mock


class Stopwatch:
    """What functions take themselves, without those within them; a lap is a segment and the snapshot after it.

    Args:
        whole: the part of which others are parts; a lap ends where it ends.

    Attributes:
        laps: part -> seconds, of each lap; the last one is what follows the last snapshot.
        walls: how long each lap was.
        calls: part -> arguments of the last call.
    """

    def __init__(self, whole: str) -> None:
        self.whole = whole
        self.laps: list[dict[str, float]] = [defaultdict(float)]
        self.walls: list[float] = []
        self.calls: dict[str, tuple[Any, ...]] = {}
        self._within: list[float] = []
        self._ended = 0.0

    @contextmanager
    def watching(self, parts: Mapping[str, Sequence[str]]) -> Iterator[None]:
        """Watch functions, and leave them alone afterwards.

        Args:
            parts: part -> the functions that it consists of, as "package.module:Class.method". A part must have one;
                those that do not exist are left out.
        """
        with ExitStack() as patches:
            for part, targets in parts.items():
                found = [_find(target) for target in targets]
                if not any(hasattr(owner, name) for owner, name in found):
                    raise AttributeError(f"{part}: there is none of {', '.join(targets)}")
                for owner, name in found:
                    if hasattr(owner, name):
                        watched = self.watched(part, getattr(owner, name))
                        patches.enter_context(mock.patch.object(owner, name, watched))
            self._ended = time.perf_counter()
            yield
            self._end_lap(time.perf_counter())

    def watched(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function under the watch, as a part; what other threads call is not counted."""
        own = threading.get_ident()

        @wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != own:
                return function(*args, **kwargs)
            self.calls[part] = args
            self._within.append(0.0)
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                now = time.perf_counter()
                self.laps[-1][part] += now - started - self._within.pop()
                if self._within:
                    self._within[-1] += now - started
                if part == self.whole:
                    self._end_lap(now)
                    self.laps.append(defaultdict(float))

        return watched

    def _end_lap(self, now: float) -> None:
        self.walls.append(now - self._ended)
        self._ended = now


def _find(target: str) -> tuple[Any, str]:
    """Return where a function of the name "package.module:Class.method" stands, and its own name."""
    module, _, path = target.partition(":")
    owner: Any = import_module(module)
    *classes, name = path.split(".")
    for attribute in classes:
        owner = getattr(owner, attribute)
    return owner, name
