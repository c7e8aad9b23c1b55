"""The terminal, whose reader may stop reading."""

import os
import sys

from rich.console import Console as RichConsole


class Console(RichConsole):
    """rich's, which says no more once nobody listens, where rich would end the process.

    What was trained is kept, and a sweep goes on, when its output goes to `head`.
    """

    def on_broken_pipe(self) -> None:
        """Write what would still be said to nobody, Python's own last flush included."""
        self.quiet = True
        nobody = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nobody, (sys.stderr if self.stderr else sys.stdout).fileno())
        os.close(nobody)
