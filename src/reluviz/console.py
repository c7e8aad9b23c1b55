"""Terminal output that survives a closed pipe."""

import functools
import os
import sys

from rich.console import Console as RichConsole


class Console(RichConsole):
    """rich's console, except that a closed pipe silences it, where rich would end the process.

    With `reluviz train ... | head`, the run is still saved and a sweep continues.
    """

    def on_broken_pipe(self) -> None:
        """Discard all further output, including what Python flushes at exit."""
        self.quiet = True
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, (sys.stderr if self.stderr else sys.stdout).fileno())
        os.close(null)


@functools.cache
def say_once(line: str) -> None:
    """Print a line to standard error, once in a process: a program may train many modules in the same way."""
    # not with Python's logging, which Hydra switches off
    Console(stderr=True).print(line, highlight=False, soft_wrap=True, markup=False)
