"""Ctrl-C at moments at which Python ignores exceptions. Imports nothing heavy."""

import _thread
import sys
import time
from collections.abc import Callable


def raise_ignored_interrupts(ending: Callable[[], bool] = lambda: False) -> None:
    """Raise a KeyboardInterrupt again that Python ignored because it came while an object was finalized.

    Python would print a traceback, and the interrupt would be lost. Other ignored exceptions are printed as usual.

    Args:
        ending: returns True once the process is about to end, when an interrupt has no effect any more.
    """

    def interrupt_later() -> None:
        # if it were raised at once, it would be ignored again
        time.sleep(0.01)
        _thread.interrupt_main()

    def handle_ignored_exception(ignored: "sys.UnraisableHookArgs") -> None:
        if not issubclass(ignored.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(ignored)
        elif not ending():
            _thread.start_new_thread(interrupt_later, ())

    sys.unraisablehook = handle_ignored_exception
