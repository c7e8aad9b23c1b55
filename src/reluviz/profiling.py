"""A profiler that measures nothing, in less time than Lightning's own takes for that."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lightning.pytorch.profilers import PassThroughProfiler

NOTHING = nullcontext()


class Unprofiled(PassThroughProfiler):
    """Lightning's, without a new context for each of the forty actions of a segment."""

    def profile(self, action_name: str) -> AbstractContextManager[Any]:  # type: ignore[override]
        """Return a context in which nothing is measured."""
        return NOTHING
