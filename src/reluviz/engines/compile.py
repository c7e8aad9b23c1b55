"""How the kernels are compiled: when they are first called, kept on disk, and not without a word."""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
from numba.core import event

from reluviz.engines.engine import compile_listeners

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
"""Of every function. Divided by 0, Python's numbers are errors; NumPy's and PyTorch's are infinite or NaN."""


class _Listener(event.Listener):
    """Says so when something is compiled, and not when it is read from the disk."""

    def on_start(self, event: Any) -> None:
        """Tell whoever wants to know."""
        for listener in compile_listeners:
            listener()

    def on_end(self, event: Any) -> None:
        """Do nothing."""


event.register("numba:compile", _Listener())  # type: ignore[no-untyped-call]


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Compile a function when it is first called, once for each precision, and keep the code on disk.

    The code goes to the package's folder, or to the user's cache folder where that is read-only.

    Args:
        function: what to compile; the cache on disk notices changes of its file only.
        options: of `numba.njit`.
    """
    options |= OPTIONS | {"no_cfunc_wrapper": True}
    try:
        kernel = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # neither folder can be written: compile in each process
        kernel = numba.njit(**options)(function)

    called = False

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        nonlocal called
        if called:
            return kernel(*args)
        called = True
        # The compiler calls deeply. Beneath the trainer's frames its own would come to lie across the ends of the
        # blocks that Python keeps frames in, which are taken from the system and given back at each call that
        # crosses one: a fifth of all the time. A thread begins with a block of its own.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(kernel, *args).result()

    return call


def part(function: Callable[..., Any], **options: Any) -> Any:
    """Compile a function that only kernels call; they take its code into their own.

    Without that the process that compiles a kernel would call the function as it was compiled by itself, and later
    ones, which load the kernel, as it was compiled within: two codes, which round differently. Python cannot call it:
    what that needs takes as long to compile as the function.

    Args:
        function: what to compile.
        options: of `numba.njit`.
    """
    options |= OPTIONS | {"no_cfunc_wrapper": True, "no_cpython_wrapper": True}
    return numba.njit(forceinline=True, **options)(function)
