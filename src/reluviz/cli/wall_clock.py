"""When a command started, by the clock on the wall. Imports nothing heavy."""

import os
import time
from pathlib import Path

MAX_STARTUP_SECONDS = 60.0
"""No interpreter takes longer to start; a larger number is of a clock that cannot be compared with this one."""

_process_start: float | None = None


def begin() -> None:
    """Note when this process started; called as early as possible in a process that runs one command."""
    global _process_start
    _process_start = time.perf_counter() - _seconds_since_process_start()


def command_start() -> float:
    """Return when the command started, as `time.perf_counter` counts: its process, or now if it has no own one."""
    return time.perf_counter() if _process_start is None else _process_start


def _seconds_since_process_start() -> float:
    """Return for how long this process has run, to 0.01 s; 0 where the system does not tell (other than Linux)."""
    try:
        # the name of the command is in brackets and may contain any character; the first field after it is the third
        fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        found = time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
    return found if 0 <= found <= MAX_STARTUP_SECONDS else 0.0
