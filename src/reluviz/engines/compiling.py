"""How the kernels are compiled: when they are first called, kept on disk, and not without a word."""

from collections.abc import Callable
from typing import Any

import numba
from numba.core import event

from reluviz import engines

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
"""Of every function. Divided by 0, Python's numbers are errors; NumPy's and PyTorch's are infinite or NaN."""


class _Listener(event.Listener):
    """Says so when something is compiled, and not when it is read from the disk."""

    def on_start(self, event: Any) -> None:
        """Tell whoever wants to know."""
        for listener in engines.listeners:
            listener()

    def on_end(self, event: Any) -> None:
        """Do nothing."""


event.register("numba:compile", _Listener())  # type: ignore[no-untyped-call]


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """Compile a function when it is first called, once for each precision, and keep the code on disk.

    The code goes to the package's folder, or to the user's cache folder where that is read-only.

    Args:
        function: what to compile; the cache on disk notices changes of its file only.
        options: of `numba.njit`.
    """
    try:
        return numba.njit(cache=True, **OPTIONS, **options)(function)
    except RuntimeError:
        # neither folder can be written: compile in each process
        return numba.njit(**OPTIONS, **options)(function)


def part(function: Callable[..., Any], **options: Any) -> Any:
    """Compile a function that only kernels call; they take its code into their own.

    Without that the process that compiles a kernel would call the function as it was compiled by itself, and later
    ones, which load the kernel, as it was compiled within: two codes, which round differently.

    Args:
        function: what to compile.
        options: of `numba.njit`.
    """
    return numba.njit(forceinline=True, **OPTIONS, **options)(function)
