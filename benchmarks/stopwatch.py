"""A stopwatch for nested functions in any thread."""

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
    """Measures the processor time of functions, without the time of watched functions that they call.

    Processor time does not include waiting.

    Attributes:
        seconds: part -> the seconds of each call.
        calls: part -> the arguments of the last call.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.calls: dict[str, tuple[Any, ...]] = {}
        self._thread = threading.local()

    @contextmanager
    def watching(self, parts: Mapping[str, Sequence[str]]) -> Iterator[None]:
        """Watch functions within this context.

        Args:
            parts: part -> its functions, in the form "package.module:Class.method". Functions that do not exist are
                left out, but each part needs one that exists.
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
        """Return a function that measures each call of `function` for a part."""

        @wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            if not hasattr(self._thread, "inner_seconds"):
                self._thread.inner_seconds = []
            # for each active call in this thread, the seconds of the watched calls inside it
            inner_seconds: list[float] = self._thread.inner_seconds
            self.calls[part] = args
            inner_seconds.append(0.0)
            started = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.thread_time() - started
                self.seconds[part].append(took - inner_seconds.pop())
                if inner_seconds:
                    inner_seconds[-1] += took

        return watched


def _find(target: str) -> tuple[Any, str]:
    """Return the owner of a function "package.module:Class.method" (the module or class) and the function's name."""
    module, _, path = target.partition(":")
    owner: Any = import_module(module)
    *classes, name = path.split(".")
    for attribute in classes:
        owner = getattr(owner, attribute)
    return owner, name
