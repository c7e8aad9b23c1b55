"""Imports of large packages without the garbage collector, which takes a third of the time and finds nothing."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def undisturbed() -> Iterator[None]:
    """Import within this context what stays until the process ends.

    The collector looks at all objects again and again while they are made, and once more when the
    interpreter ends. What has been imported is garbage at no time, so it need not look at it at all.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
