"""A stopwatch for functions within functions, in whichever thread they run."""

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
    """What functions take themselves, without those within them: processor time, of which waiting for others is none.

    Attributes:
        seconds: part -> seconds of each call.
        calls: part -> arguments of the last call.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.calls: dict[str, tuple[Any, ...]] = {}
        self._own = threading.local()

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
            yield

    def watched(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function under the watch, as a part."""

        @wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            if not hasattr(self._own, "within"):
                self._own.within = []
            within: list[float] = self._own.within
            self.calls[part] = args
            within.append(0.0)
            started = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.thread_time() - started
                self.seconds[part].append(took - within.pop())
                if within:
                    within[-1] += took

        return watched


def _find(target: str) -> tuple[Any, str]:
    """Return where a function of the name "package.module:Class.method" stands, and its own name."""
    module, _, path = target.partition(":")
    owner: Any = import_module(module)
    *classes, name = path.split(".")
    for attribute in classes:
        owner = getattr(owner, attribute)
    return owner, name
