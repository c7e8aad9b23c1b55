"""Compilation of the kernels: on the first call, cached on disk, and announced to listeners."""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
from numba.core import event

from reluviz.engines.engine import compile_listeners

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
"""Options of every function. Division by 0 gives infinity or NaN, as in NumPy and PyTorch, instead of an error."""


class _CompileListener(event.Listener):
    """Calls the listeners when numba compiles a function, but not when it reads one from the cache on disk."""

    def on_start(self, event: Any) -> None:
        """Call the listeners."""
        for listener in compile_listeners:
            listener()

    def on_end(self, event: Any) -> None:
        """Do nothing."""


event.register("numba:compile", _CompileListener())  # type: ignore[no-untyped-call]


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Compile an entry point on its first call, once for each precision, and cache the code on disk.

    The cache is in the package's folder, or in the user's cache folder if that is read-only.

    Args:
        function: the function to compile; the cache on disk notices changes of its file only.
        options: options of `numba.njit`.
    """
    options |= OPTIONS | {"no_cfunc_wrapper": True}
    try:
        kernel = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # neither folder is writable: compile in each process
        kernel = numba.njit(**options)(function)

    called = False

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        nonlocal called
        if called:
            return kernel(*args)
        called = True
        # The compiler makes deeply nested calls. Python keeps frames in blocks of memory. Below the trainer's frames,
        # the compiler's calls would often cross the end of a block, and each crossing allocates or frees a block: a
        # fifth of the compile time. A new thread starts with a fresh block.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(kernel, *args).result()

    return call


def inlined(function: Callable[..., Any], **options: Any) -> Any:
    """Compile a function that is inlined into the kernels that call it. Python cannot call it.

    Without inlining, the process that compiles a kernel would call the function's separately compiled code, while
    later processes, which load the kernel from disk, would run the code inside the kernel. These two round
    differently. The wrapper for calls from Python is left out, because it takes as long to compile as the function.

    Args:
        function: the function to compile.
        options: options of `numba.njit`.
    """
    options |= OPTIONS | {"no_cfunc_wrapper": True, "no_cpython_wrapper": True}
    return numba.njit(forceinline=True, **options)(function)
